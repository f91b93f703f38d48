//! An error as a user reads it: what happened, what caused it, and what to do about it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use clap::CommandFactory;

use crate::hint::{Hinted, hint as hint_of_system};

/// What is said where no error of a chain has a hint.
const NO_HINT: &str = "`--help` behind the command says what it takes";

type HintOf = Box<dyn Fn(&(dyn Error + 'static)) -> Option<String> + Send + Sync>;

/// An error and its causes.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// How a program prints the errors of its libraries. Libraries name settings (`l2`); this maps them to flags (`--l2`).
///
/// ```
/// use clap::Parser;
/// use host::program::Errors;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("`l2` is {0}: it must not be negative")]
/// struct Negative(f64);
///
/// impl Negative {
///     fn hint(&self) -> Option<String> {
///         Some("write for example `l2 = 0.01`, or leave out `n_init`".to_owned())
///     }
/// }
///
/// #[derive(Parser)]
/// struct Cli {
///     #[arg(long)]
///     l2: f64,
///     #[arg(long)]
///     restarts: usize,
/// }
///
/// let errors = Errors::new().hints(Negative::hint).flags::<Cli>().setting("n_init", "--restarts");
/// let expected = "error: `--l2` is -1: it must not be negative\n\
///                 hint: write for example `--l2 0.01`, or leave out `--restarts`";
/// assert_eq!(errors.message(&Negative(-1.0)), expected);
/// ```
#[derive(Default)]
pub struct Errors {
    hints: Vec<HintOf>,
    /// Flags by the name of their setting.
    flags: BTreeMap<String, String>,
}

impl Errors {
    /// Without any library's hints: only those of [`Hinted`] and of the operating system's errors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the hints of one error type. If several functions know a type, the first that returns a hint wins.
    #[must_use]
    pub fn hints<E: Error + 'static, H: Into<String>>(
        self,
        hint: impl Fn(&E) -> Option<H> + Send + Sync + 'static,
    ) -> Self {
        self.hints_of_any(move |error| hint(error.downcast_ref()?).map(Into::into))
    }

    /// Adds a function that returns hints for several error types.
    #[must_use]
    pub fn hints_of_any(
        mut self,
        hint: impl Fn(&(dyn Error + 'static)) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.hints.push(Box::new(hint));
        self
    }

    /// Adds the flags of a command line and all its subcommands. The name of a setting is the name of the flag's field.
    #[must_use]
    pub fn flags<T: CommandFactory>(mut self) -> Self {
        self.take(&T::command());
        self
    }

    /// Names the flag of one setting.
    #[must_use]
    pub fn setting(mut self, name: &str, flag: &str) -> Self {
        self.flags.insert(name.to_owned(), flag.to_owned());
        self
    }

    fn take(&mut self, command: &clap::Command) {
        for argument in command.get_arguments() {
            if let Some(long) = argument.get_long() {
                self.flags.entry(argument.get_id().to_string()).or_insert_with(|| format!("--{long}"));
            }
        }
        command.get_subcommands().for_each(|command| self.take(command));
    }

    /// The message: `error: ` with the error, `caused by: ` with each cause that the lines above do not already
    /// contain, and `hint: ` with one hint.
    ///
    /// The hint is that of the innermost error that has one, because it is the most specific. If there is none, the
    /// hint is that of the operating system's error in the chain.
    ///
    /// In hints, settings in backticks become flags, `l2 = 0.01` becomes `--l2 0.01`. In an error's own text, only a
    /// setting that it begins with does, because names from data are in backticks, too.
    pub fn message(&self, error: &(dyn Error + 'static)) -> String {
        let mut shown: Vec<String> = Vec::new();
        for error in chain(error) {
            let text = error.to_string();
            // Many errors show their source in their own message.
            if !shown.iter().any(|shown| shown.contains(&text)) {
                shown.push(text);
            }
        }
        let shown: Vec<String> = shown.iter().map(|text| self.begin_with_flag(text)).collect();
        let hint = self.hint(error).unwrap_or_else(|| NO_HINT.to_owned());
        format!("error: {}\nhint: {hint}", shown.join("\ncaused by: "))
    }

    /// The hint of the innermost error that has one, else that of the system error inside.
    pub(super) fn hint(&self, error: &(dyn Error + 'static)) -> Option<String> {
        let of_one = |error: &(dyn Error + 'static)| {
            let hinted = error.downcast_ref::<Hinted>().map(|error| error.hint().to_owned());
            hinted.or_else(|| self.hints.iter().find_map(|hint| hint(error)))
        };
        let of_system =
            |error: &(dyn Error + 'static)| Some(hint_of_system(error.downcast_ref()?).to_owned());
        let hint = chain(error).filter_map(of_one).last();
        hint.or_else(|| chain(error).find_map(of_system)).map(|hint| self.with_flags(&hint))
    }

    fn begin_with_flag(&self, text: &str) -> String {
        let named = text.strip_prefix('`').and_then(|rest| rest.split_once('`'));
        match named.and_then(|(name, rest)| Some((self.flag(name)?, rest))) {
            Some((flag, rest)) => format!("`{flag}`{rest}"),
            None => text.to_owned(),
        }
    }

    fn with_flags(&self, text: &str) -> String {
        let parts = text.split('`').enumerate().map(|(number, part)| {
            // Every second part stands in backticks.
            (number % 2 == 1).then(|| self.flag(part)).flatten().unwrap_or_else(|| part.to_owned())
        });
        parts.collect::<Vec<_>>().join("`")
    }

    /// `l2` as `--l2`, `l2 = 0.01` as `--l2 0.01`, `overwrite = true` as `--overwrite`.
    fn flag(&self, setting: &str) -> Option<String> {
        let (name, value) =
            setting.split_once(" = ").map_or((setting, None), |(name, value)| (name, Some(value)));
        let flag = self.flags.get(name)?;
        Some(match value {
            None | Some("true") => flag.clone(),
            Some(value) => format!("{flag} {value}"),
        })
    }
}

impl fmt::Debug for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errors").field("flags", &self.flags).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Said(&'static str, Option<Box<Said>>);

    impl std::fmt::Display for Said {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Said {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn causes_follow_and_the_innermost_hint_is_said_once() {
        let inner = Said("row 3 is bad (column 7)", None);
        let outer = Said("layer 5", Some(Box::new(Said("cannot fit: row 3 is bad", Some(Box::new(inner))))));
        let hint = |said: &Said| (said.0 != "layer 5").then(|| format!("look at {}", &said.0[..5]));
        assert_eq!(
            Errors::new().hints(hint).message(&outer),
            "error: layer 5\ncaused by: cannot fit: row 3 is bad\ncaused by: row 3 is bad (column 7)\nhint: look at row 3"
        );
        let whole = Said("layer 5: row 3 is bad", Some(Box::new(Said("row 3 is bad", None))));
        assert_eq!(
            Errors::new().hints(hint).message(&whole),
            "error: layer 5: row 3 is bad\nhint: look at row 3"
        );
        assert_eq!(Errors::new().message(&Hinted::new("no x", "give x")), "error: no x\nhint: give x");
    }

    #[test]
    fn no_error_is_without_a_hint() {
        let missing = fs_err::read("/nowhere/at/all").unwrap_err();
        let said = Errors::new().message(&missing);
        assert!(said.contains("/nowhere/at/all") && said.contains("\nhint: check how the path"), "{said}");
        let said = Errors::new().message(&Said("x", None));
        assert!(said.ends_with("hint: `--help` behind the command says what it takes"));
    }

    #[test]
    fn errors_are_asked_for_hints_and_settings_become_flags() {
        let hint = |said: &Said| {
            (said.0.len() > 8).then(|| "fewer `folds`, `limit = 10` or `all = true`; `x`".to_owned())
        };
        let errors = Errors::new().hints(hint).setting("folds", "--k-folds").setting("limit", "--limit");
        let errors = errors.setting("all", "--all");
        let cause = Said("column `folds` is not there", None);
        let said = errors.message(&Said("`folds`: 1", Some(Box::new(cause))));
        let expected = "error: `--k-folds`: 1\ncaused by: column `folds` is not there\n\
            hint: fewer `--k-folds`, `--limit 10` or `--all`; `x`";
        assert_eq!(said, expected, "a name from data stays");
    }
}

//! An error as a user reads it: what happened and why on one line, then what to do about it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;

use clap::CommandFactory;

use crate::hint::hint;

/// What is said where no error of a chain has a hint.
const NO_HINT: &str = "`--help` behind the command says what it takes";

type HintOf = Box<dyn Fn(&(dyn Error + 'static)) -> Option<String> + Send + Sync>;

/// How a program shows the errors of its libraries, which know settings by their names and no flags.
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
    /// Knows no library: hints are those that stand behind `hint: ` in an error's own text, and the system's.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks errors of a type what to do about them.
    #[must_use]
    pub fn hints<E: Error + 'static, H: Into<String>>(
        mut self,
        hint: impl Fn(&E) -> Option<H> + Send + Sync + 'static,
    ) -> Self {
        self.hints.push(Box::new(move |error| hint(error.downcast_ref()?).map(Into::into)));
        self
    }

    /// Takes the flags of a command line and of all its commands: a setting has its field's name there.
    #[must_use]
    pub fn flags<T: CommandFactory>(mut self) -> Self {
        self.take(&T::command());
        self
    }

    /// Says what the flag of one setting is.
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

    /// `error: `, the chain of causes on one line, then the hints, one a line. Every error has one at least: that of the
    /// system error inside, where it brings none.
    ///
    /// In hints, settings in backticks become flags, `l2 = 0.01` becomes `--l2 0.01`. In an error's own text that is so of a
    /// setting that it begins with, since names from data stand in backticks, too.
    pub fn message(&self, error: &(dyn Error + 'static)) -> String {
        let (mut chain, mut hints): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        let mut of_system = None;
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            let (text, own) =
                text.split_once("\nhint: ").map_or((text.as_str(), None), |(t, h)| (t, Some(h)));
            // Many errors show their source in their own message.
            if !chain.iter().any(|shown| shown.contains(text)) {
                chain.push(text.to_owned());
            }
            let asked = self.hints.iter().filter_map(|hint| hint(error));
            for hint in asked.chain(own.map(str::to_owned)) {
                if !hints.contains(&hint) {
                    hints.push(hint);
                }
            }
            of_system = of_system.or_else(|| error.downcast_ref::<io::Error>().map(hint));
            next = error.source();
        }
        if hints.is_empty() {
            hints.push(of_system.unwrap_or(NO_HINT).to_owned());
        }
        let chain: Vec<String> = chain.iter().map(|text| self.begin_with_flag(text)).collect();
        let first = format!("error: {}", chain.join(": "));
        hints.iter().fold(first, |said, hint| said + "\nhint: " + &self.with_flags(hint))
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
    fn the_chain_is_one_line_and_hints_come_last() {
        let inner = Said("row 3 is bad (column 7)\nhint: look at it", None);
        let outer = Said("layer 5", Some(Box::new(inner)));
        assert_eq!(
            Errors::new().message(&outer),
            "error: layer 5: row 3 is bad (column 7)\nhint: look at it"
        );
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
        let expected = "error: `--k-folds`: 1: column `folds` is not there\n\
            hint: fewer `--k-folds`, `--limit 10` or `--all`; `x`";
        assert_eq!(said, expected, "a hint is said once, and a name from data stays");
    }
}

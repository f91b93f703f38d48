//! How errors are shown: the library names settings, and here they get the flags that set them.

use std::error::Error;
use std::fmt;

use ccs_trainer::Outcome;

/// Settings of the library whose flags have another name than the field; `_` becomes `-` in all others.
const FLAGS: [(&str, &str); 5] = [
    ("c", "--lr-c"),
    ("datasets", "STORE"),
    ("max_iter", "--epochs"),
    ("n_init", "--restarts"),
    ("normalization", "--normalize"),
];

/// Settings whose flag is the field's name.
const SETTINGS: [&str; 23] = [
    "directions",
    "folds",
    "hidden",
    "init",
    "keep_trained",
    "l2",
    "layers",
    "learning_rate",
    "loss",
    "lr_c",
    "lr_cross_validated",
    "methods",
    "optimizer",
    "precision",
    "project",
    "recursive",
    "resamples",
    "seeds",
    "shuffles",
    "test_fraction",
    "true_share",
    "weight_decay",
    "zero_shot",
];

/// An error as the program prints it: the causes on one line, then what to do about it, with flags.
pub(crate) fn message(error: &(dyn Error + 'static)) -> String {
    let text = host::program::message(error);
    let mut lines = text.lines().map(|line| match line.strip_prefix("error: `") {
        Some(rest) => begin_with_flag(rest).unwrap_or_else(|| line.to_owned()),
        None if line.starts_with("hint: ") => with_flags(line),
        None => line.to_owned(),
    });
    let shown = lines.by_ref().collect::<Vec<String>>().join("\n");
    shown + &advice(error).unwrap_or_default()
}

/// What the hint means on this command line.
fn advice(error: &(dyn Error + 'static)) -> Option<String> {
    use ccs_trainer::Error as Trainer;
    Some(match error.downcast_ref::<Trainer>()? {
        Trainer::TokenRule { known, .. } => format!(": `--tokens {}`", known.first()?),
        Trainer::RunExists { content: "a run", .. } => ": `--overwrite`".to_owned(),
        Trainer::NoAnswerMean => ": `--zero-shot sum`".to_owned(),
        Trainer::NoProbe { hint, .. } if hint.starts_with("fit ") => ": `--methods ccs,lr`".to_owned(),
        Trainer::NoRows { hint, .. } if hint.contains("blank passages") => {
            ": `llama-ccs prompts --blank-passage`".to_owned()
        }
        Trainer::Setting { name: "datasets", value, .. } if value == "one data set" => {
            ": `NAME=STORE`; `ccs fit` is for one".to_owned()
        }
        Trainer::Setting { name: "datasets", .. } => ": `NAME=STORE`".to_owned(),
        _ => return None,
    })
}

/// A message that begins with a setting in backticks.
fn begin_with_flag(rest: &str) -> Option<String> {
    let (name, rest) = rest.split_once('`')?;
    Some(format!("error: `{}`{rest}", flag(name)?))
}

/// A hint with flags for the settings in backticks: `l2 = 0.01` is `--l2 0.01`.
fn with_flags(hint: &str) -> String {
    let parts = hint.split('`').enumerate().map(|(number, part)| {
        let quoted = number % 2 == 1;
        let shown = match part.split_once(" = ") {
            Some((name, value)) if quoted => flag(name).map(|flag| format!("{flag} {value}")),
            None if quoted => flag(part),
            _ => None,
        };
        shown.unwrap_or_else(|| part.to_owned())
    });
    parts.collect::<Vec<String>>().join("`")
}

fn flag(name: &str) -> Option<String> {
    let renamed = FLAGS.iter().find(|(field, _)| *field == name).map(|(_, flag)| (*flag).to_owned());
    renamed.or_else(|| SETTINGS.contains(&name).then(|| format!("--{}", name.replace('_', "-"))))
}

/// A run that was asked to stop.
#[derive(Debug)]
pub(crate) struct Stopped {
    done: usize,
    layers: usize,
    kept: bool,
}

impl Stopped {
    /// The result of a job that was not stopped.
    pub(crate) fn or_finished<T>(outcome: Outcome<T>) -> Result<T, Self> {
        match outcome {
            Outcome::Finished(found) => Ok(found),
            Outcome::Stopped { done, layers, kept } => Err(Self { done, layers, kept }),
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, layers, kept } = self;
        let hint = if *kept { "the same command goes on where this one ended" } else { "nothing was kept" };
        write!(f, "stopped with {done} of {layers} layers done\nhint: {hint}")
    }
}

impl Error for Stopped {}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn settings_become_flags_and_names_from_data_do_not() {
        let (name, value) = ("learning_rate", "0".to_owned());
        let refused = ccs_trainer::Error::Setting {
            name,
            value,
            reason: "it is a step size",
            hint: "give `learning_rate = 0.01`, or leave out `hidden`; see `x`",
        };
        let expected = "error: `--learning-rate` cannot be 0: it is a step size\n\
                        hint: give `--learning-rate 0.01`, or leave out `--hidden`; see `x`";
        assert_eq!(message(&refused), expected);
        assert!(message(&ccs_trainer::Error::NoAnswerMean).ends_with("go by the sum: `--zero-shot sum`"));
    }

    #[test]
    fn every_flag_is_one_of_the_command_line() {
        let command = Cli::command();
        let known: Vec<String> = command
            .get_subcommands()
            .flat_map(|command| command.get_arguments().filter_map(clap::Arg::get_long))
            .map(|long| format!("--{long}"))
            .collect();
        let renamed = FLAGS.iter().map(|(field, _)| *field);
        for flag in SETTINGS.iter().copied().chain(renamed).filter_map(flag) {
            assert!(known.contains(&flag) || flag == "STORE", "{flag}");
        }
    }
}

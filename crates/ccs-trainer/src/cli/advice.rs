//! How errors are shown: the library names settings, and here they get the flags that set them.

use std::error::Error;
use std::fmt;

use ccs_trainer::Outcome;
use clap::CommandFactory;
use host::program::Errors;

/// Settings become the flags of the command line; these have another name there than the field.
pub(crate) fn errors<Cli: CommandFactory>() -> Errors {
    [
        ("c", "--lr-c"),
        ("datasets", "STORE"),
        ("max_iter", "--epochs"),
        ("n_init", "--restarts"),
        ("normalization", "--normalize"),
    ]
    .into_iter()
    .fold(Errors::new().flags::<Cli>(), |errors, (field, flag)| errors.setting(field, flag))
    .hints(with_flags)
    .hints(ccs::Error::hint)
    .hints(ccs_report::Error::hint)
    .hints(activations::Error::hint)
    .hints(torch_runtime::Error::hint)
    .hints_of_any(torch_runtime::program::hint)
    .hints(|stopped: &Stopped| Some(stopped.hint()))
}

/// The hint of an error, with the flags that it means at the end.
fn with_flags(error: &ccs_trainer::Error) -> Option<String> {
    let hint = error.hint()?;
    Some(hint + &flags(error).unwrap_or_default())
}

/// What the hint means on this command line.
fn flags(error: &ccs_trainer::Error) -> Option<String> {
    use ccs_trainer::Error as Trainer;
    Some(match error {
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

    fn hint(&self) -> &'static str {
        if self.kept { "the same command goes on where this one ended" } else { "nothing was kept" }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, layers, .. } = self;
        write!(f, "stopped with {done} of {layers} layers done")
    }
}

impl Error for Stopped {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_flags_and_names_from_data_do_not() {
        let (name, value) = ("learning_rate", "0".to_owned());
        let refused = ccs_trainer::Error::Setting {
            name,
            value,
            reason: "it is a step size",
            hint: "give `learning_rate = 0.01`, or leave out `n_init`; see `x`",
        };
        let expected = "error: `--learning-rate` cannot be 0: it is a step size\n\
                        hint: give `--learning-rate 0.01`, or leave out `--restarts`; see `x`";
        assert_eq!(errors::<crate::cli::Cli>().message(&refused), expected);
        let sum = errors::<crate::cli::Cli>().message(&ccs_trainer::Error::NoAnswerMean);
        assert!(sum.ends_with("go by the sum: `--zero-shot sum`"), "{sum}");
    }
}

//! What can go wrong, with the row, file or setting at fault.

use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. The message names the thing at fault; [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A probe could not be fitted, read or applied.
    #[error(transparent)]
    Probe(#[from] ccs::Error),
    /// A report could not be made or read.
    #[error(transparent)]
    Report(#[from] ccs_report::Error),
    /// A folder that holds no run.
    #[error("no run in {path}: it has no report.json", path = path.display())]
    NoRun {
        /// The folder as given.
        path: PathBuf,
    },
    /// A file or folder could not be read or written; the message names it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A method's name is not known.
    #[error("unknown method `{name}`")]
    UnknownMethod {
        /// What was asked for.
        name: String,
        /// The nearest known name.
        suggestion: Option<String>,
    },
    /// A method that is for the other kind of rows.
    #[error("`{method}` is not for {}, which the data holds", rows.name())]
    MethodKind {
        /// What was asked for.
        method: ccs_report::Method,
        /// What the data holds.
        rows: ccs_report::RowKind,
    },
    /// A method that reads the states of all tokens, for data with one state a prompt.
    #[error("`{method}` reads the states of all tokens, and the data holds one state a prompt")]
    AllTokens {
        /// What was asked for.
        method: ccs_report::Method,
    },
    /// A method that reads one state a prompt, for data with those of all tokens.
    #[error("`{method}` reads one state a prompt, and the data holds those of all tokens")]
    OneState {
        /// What was asked for.
        method: ccs_report::Method,
    },
    /// A probe that reads the states of all tokens, where one state a prompt is read.
    #[error("the probe of `{method}` reads the states of all tokens; {what} takes probes of one state")]
    ReadsTokens {
        /// The method.
        method: ccs_report::Method,
        /// What takes no such probe.
        what: &'static str,
    },
    /// Rows of the other kind than are needed.
    #[error("{data} holds {}", found.name())]
    Kind {
        /// Which data.
        data: String,
        /// What it holds.
        found: ccs_report::RowKind,
    },
    /// A layer that the data does not have.
    #[error("layer {layer} is not in {data}")]
    UnknownLayer {
        /// What was asked for.
        layer: usize,
        /// Where it was looked for.
        data: String,
        /// The layers there are.
        available: String,
    },
    /// A token rule that the store does not have.
    #[error("the store has no states under the token rule `{rule}`; it has {}", if known.is_empty() { "none at all".to_owned() } else { known.join(", ") })]
    TokenRule {
        /// What was asked for.
        rule: String,
        /// The rules there are.
        known: Vec<String>,
    },
    /// A run holds no probe of that method, or none at that layer.
    #[error("{} has no probe: {what}", run.display())]
    NoProbe {
        /// The run's folder.
        run: PathBuf,
        /// Which probe was asked for, and why there is none.
        what: String,
        /// What there is.
        hint: String,
    },
    /// States are not of the kind that they must be, such as of another model than a probe was fitted on.
    #[error("{data}: {what} is {found}; {other}")]
    OtherStates {
        /// Whose states.
        data: String,
        /// What differs: the model, the hook point, …
        what: &'static str,
        /// What it is there.
        found: String,
        /// Whose it was compared with, and what it is there.
        other: String,
    },
    /// No row is left to evaluate a probe on.
    #[error("{data}: {why}")]
    NoRows {
        /// Which data.
        data: String,
        /// Why there are none.
        why: String,
        /// What to do.
        hint: &'static str,
    },
    /// A probe has no direction that the format could hold.
    #[error("{method} at layer {layer} has no direction to write: {why}")]
    NoDirection {
        /// How it was fitted.
        method: ccs_report::Method,
        /// Its layer.
        layer: usize,
        /// Why there is none.
        why: &'static str,
    },
    /// A method that fits no probe was to be fitted.
    #[error("{method} fits no probe")]
    NoFit {
        /// The method.
        method: ccs_report::Method,
    },
    /// A setting has a value that cannot be used.
    #[error("`{name}` cannot be {value}: {reason}")]
    Setting {
        /// The setting: the field's name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        reason: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Zero-shot was asked for where the data holds no answer log-probabilities.
    #[error("the data holds no `answer_logprob`, which `zero_shot` and `calibrated_zero_shot` need")]
    NoAnswerLogprob,
    /// Zero-shot by the mean over an answer's tokens was asked for where the data holds their sum alone.
    #[error("the data holds no `answer_logprob_mean`, which zero-shot by the mean needs")]
    NoAnswerMean,
    /// The data has no column of this name.
    #[error("the data has no column `{name}`; it has {}", listed(known))]
    UnknownColumn {
        /// What was asked for.
        name: String,
        /// The columns there are.
        known: Vec<String>,
        /// The nearest of them.
        suggestion: Option<String>,
    },
    /// A column of the data ([`Rows::columns`](crate::Rows::columns)) has not one value for each row.
    #[error("the column `{column}` of the data: {found} values for {expected} rows")]
    ColumnLength {
        /// The column's name.
        column: String,
        /// Rows.
        expected: usize,
        /// Values.
        found: usize,
    },
    /// A file is not a report, or not a split, that this version reads.
    #[error("{}: not a report: {reason}", path.display())]
    ReportFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of a run is missing or not as it was written.
    #[error("{}: {reason}", path.display())]
    RunFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The run folder is in use.
    #[error("{} already holds {content}", path.display())]
    RunExists {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        content: &'static str,
    },
    /// Another process is writing the same run folder.
    #[error("another `ccs` is writing {}", path.display())]
    OutInUse {
        /// The folder.
        path: PathBuf,
    },
    /// Something failed while a layer was worked on; the source says what.
    #[error("layer {layer} (`{hook}`)")]
    InLayer {
        /// The layer.
        layer: usize,
        /// Its hook point.
        hook: String,
        /// What failed.
        source: Box<Error>,
    },
    /// The store of hidden states could not be read.
    #[error("the store cannot be read")]
    Store(#[from] Box<activations::Error>),
    /// A table or a JSON document could not be written.
    #[error("{what} cannot be written: {reason}")]
    Write {
        /// Which file.
        what: &'static str,
        /// What the writer said.
        reason: String,
    },
    /// What connects several processes; one of them was lost, or they are not of one mind.
    #[cfg(feature = "distributed")]
    #[error("{0}")]
    Ranks(#[from] torch_runtime::dist::Error),
    /// The worker threads could not be started.
    #[error("cannot start {threads} worker threads: {reason}")]
    Threads {
        /// How many.
        threads: usize,
        /// What the system said.
        reason: String,
    },
}

fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn methods_for(rows: ccs_report::RowKind) -> String {
    let known: Vec<String> = crate::method::all(rows, false).map(|method| method.to_string()).collect();
    format!("the methods for {} are {}", rows.name(), known.join(", "))
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Probe(error) => return error.hint(),
            Self::Report(error) => return error.hint(),
            Self::InLayer { source, .. } => return source.hint(),
            Self::Store(error) => return error.hint(),
            #[cfg(feature = "distributed")]
            Self::Ranks(error) => return error.hint(),
            Self::UnknownMethod { suggestion, .. } => return Some(suggest(suggestion.as_deref())),
            Self::MethodKind { rows, .. } => return Some(methods_for(*rows)),
            Self::AllTokens { .. } => "extract the states of all tokens, and fit on those",
            Self::ReadsTokens { .. } => {
                "of the methods for all tokens, `last` reads one state; or fit on one token's states"
            }
            Self::OneState { .. } => {
                "on all tokens there are last, mean, attention and multi_max; for other methods fit on one token's states"
            }
            Self::Kind { found: ccs_report::RowKind::Pairs, .. } => "give a store of single statements",
            Self::Kind { .. } => "give a store of contrast pairs",
            Self::UnknownColumn { suggestion: Some(near), .. } => {
                return Some(format!("did you mean `{near}`?"));
            }
            Self::UnknownColumn { .. } => {
                "`llama-ccs prompts` keeps short columns of the data, and `llama-ccs extract` puts them into the store"
            }
            Self::UnknownLayer { available, .. } => return Some(layers(available)),
            Self::TokenRule { known, .. } => match known.first() {
                Some(rule) => return Some(format!("fit on the rule `{rule}`, or extract others")),
                None => "extract hook points, such as `blocks.*.hook_resid_post`",
            },
            Self::Io(error) => host::hint::hint(error),
            Self::NoProbe { hint, .. } => hint,
            Self::NoRows { hint, .. } | Self::Setting { hint, .. } => hint,
            Self::NoRun { .. } => "`ccs fit` makes a run; give its folder",
            Self::OtherStates { .. } => {
                "a direction means something only in the states of one model at one hook point and token; extract \
                 with the same model, tokenizer, hook points, and token rule"
            }
            Self::NoDirection { .. } => {
                "export a linear probe of the residual stream after a later block; as NumPy and JSON any linear probe can \
                 be written"
            }
            Self::ColumnLength { .. } => "every row has exactly one value, or none in its place",
            Self::NoFit { .. } => "it is a control; give a method such as ccs or lr",
            Self::NoAnswerLogprob => "extract it with the states, or leave these methods out",
            Self::NoAnswerMean => "extract it again, or go by the sum",
            Self::ReportFile { .. } => {
                "`report.json` and `split.json` are what `ccs fit` writes; fit again if they were changed"
            }
            Self::RunFile { .. } => {
                "the files of a run belong together and are compared with its sums.json; restore this one from a \
                 copy, or fit again"
            }
            Self::RunExists { .. } => "choose another folder, or replace the earlier run on purpose",
            Self::OutInUse { .. } => "wait until it is done, or choose another folder",
            Self::Write { .. } => "please report it, with the command",
            Self::Threads { .. } => "ask for fewer",
        };
        Some(hint.to_owned())
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        ccs::Error::from(error).into()
    }
}

impl From<torch_runtime::Error> for Error {
    fn from(error: torch_runtime::Error) -> Self {
        ccs::Error::from(error).into()
    }
}

/// A document that could not be written.
pub(crate) fn write_error(what: &'static str, reason: &dyn std::fmt::Display) -> Error {
    Error::Write { what, reason: reason.to_string() }
}

fn layers(available: &str) -> String {
    format!("it has the layers {available}; name some of these")
}

fn suggest(name: Option<&str>) -> String {
    let known = crate::method::ALL.iter().map(|m| m.name).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => format!("did you mean `{name}`? The methods are {known}"),
        None => format!("the methods are {known}"),
    }
}

//! What can go wrong, with the row, file or setting at fault.

use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. The message names the thing at fault; [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// LibTorch refused an operation.
    #[error("LibTorch: {0}")]
    Torch(#[from] tch::TchError),
    /// LibTorch or the device cannot be used.
    #[error(transparent)]
    Runtime(#[from] torch_runtime::Error),
    /// A file or folder could not be read or written; the message names it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A tensor is not of the shape it must have.
    #[error("{what} has shape {found:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: String,
        /// The shape it must have, in axis letters.
        expected: String,
        /// Its shape.
        found: Vec<i64>,
        /// What to do.
        hint: &'static str,
    },
    /// Two things that belong together differ in length.
    #[error("{what}: {found} values for {expected} rows")]
    Length {
        /// Which values.
        what: &'static str,
        /// Rows.
        expected: usize,
        /// Values.
        found: usize,
    },
    /// A row's question or template contradicts another row's.
    #[error("row {row}: {problem}")]
    Variant {
        /// The row, counted from 0.
        row: usize,
        /// What contradicts what.
        problem: String,
    },
    /// A prompt's tokens cannot be told from others'.
    #[error("row {row}: {problem}")]
    Tokens {
        /// The row, counted from 0.
        row: usize,
        /// What is wrong with its tokens.
        problem: String,
    },
    /// A state or score is NaN or infinite.
    #[error("{what} of row {row} is not finite{}", column.map(|c| format!(" (column {c})")).unwrap_or_default())]
    NotFinite {
        /// Which array.
        what: String,
        /// The row, counted from 0 in the array as given.
        row: usize,
        /// The column, where there are columns.
        column: Option<usize>,
    },
    /// Only one of the two labels occurs where both are needed.
    #[error("all {rows} rows of {part} are labeled {label}")]
    OneClass {
        /// Which rows.
        part: String,
        /// How many.
        rows: usize,
        /// Their label.
        label: bool,
    },
    /// There are fewer rows than the split needs.
    #[error("{found} rows are too few for {purpose}, which needs at least {needed}")]
    TooFewRows {
        /// What for.
        purpose: String,
        /// Minimum.
        needed: usize,
        /// Present.
        found: usize,
    },
    /// There are fewer groups (passages) than the split needs.
    #[error("{found} groups are too few for {purpose}, which needs at least {needed}")]
    TooFewGroups {
        /// What for.
        purpose: String,
        /// Minimum.
        needed: usize,
        /// Present.
        found: usize,
    },
    /// A probe's scores are of any scale, and nothing says which probability belongs to which.
    #[error("the probe's scores are no probabilities, and no Platt scaling is saved with it")]
    NoProbability,
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
    /// Newton's method for logistic regression did not get to the tolerance.
    #[error(
        "logistic regression stopped after {iterations} iterations with a largest gradient entry of {gradient:.3e} (wanted {tolerance:.1e})"
    )]
    NotConverged {
        /// Iterations done.
        iterations: usize,
        /// Largest absolute gradient entry, in the probe's own coordinates.
        gradient: f64,
        /// The tolerance.
        tolerance: f64,
    },
    /// Logistic regression without a penalty has no minimum: some direction tells the labels apart without error.
    #[error(
        "logistic regression without a penalty has no minimum: its labels can be told apart without error, so that weights grow for ever"
    )]
    Separable,
    /// CCS left every restart with a loss that is not a number.
    #[error("no CCS restart ended with a finite loss")]
    Diverged,
    /// A matrix that has to be inverted has no inverse.
    #[error("{what} cannot be inverted")]
    Singular {
        /// Which matrix.
        what: String,
    },
    /// There is no direction to choose: the states do not differ in what a method looks at.
    #[error("the training states do not vary in what the method looks at")]
    Constant,
    /// A file is not a probe that this version reads.
    #[error("{}: not a probe file: {reason}", path.display())]
    ProbeFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A table or a JSON document could not be written.
    #[error("{what} cannot be written: {reason}")]
    Write {
        /// Which file.
        what: &'static str,
        /// What the writer said.
        reason: String,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Runtime(error) => return error.hint(),
            Self::Io(error) => host::hint::hint(error),
            Self::Shape { hint, .. } | Self::Setting { hint, .. } => hint,
            Self::Torch(_) => {
                "if this is about memory, fit fewer layers at a time; otherwise please report it"
            }
            Self::Length { .. } => "every row has exactly one of each; index both with the same rows",
            Self::Variant { .. } => "a question is asked once with every template, always about one passage",
            Self::Tokens { .. } => "offsets begin at 0, rise by each prompt's tokens, and end at all of them",
            Self::NotFinite { .. } => {
                "find out why the model or the file yields it; a probe cannot be fitted through it"
            }
            Self::OneClass { .. } => {
                "a probe's sign and quality need both labels; use more rows, another seed, or fewer folds"
            }
            Self::TooFewRows { .. } => "extract more pairs",
            Self::TooFewGroups { .. } => {
                "rows of one group (one passage) stay together; add rows of other passages, or use fewer folds"
            }
            Self::NoProbability => {
                "use its scores, or fit a scaling on held-out scores (`Platt::fit_held_out`)"
            }
            Self::NotConverged { .. } => "raise the tolerance, or fit in f64",
            Self::Separable => "give a penalty (`l2`) above 0",
            Self::Diverged => "lower the learning rate, or look at the states' scale",
            Self::Singular { .. } => {
                "give more rows or more shrinkage, and look for values that are very large"
            }
            Self::Constant => {
                "an embedding layer whose last token is the same in every row cannot carry the answer; leave the layer out"
            }
            Self::ProbeFile { .. } => "probes are the `.safetensors` files that `Probe::save` writes",
            Self::Write { .. } => "please report it, with the command",
        };
        Some(hint.to_owned())
    }
}

//! What can go wrong, with the row, file or setting at fault.

use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Messages name the thing at fault and end in a line `hint: …`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A folder that holds no run.
    #[error("no run in {path}: it has no report.json\nhint: `ccs fit` makes a run; give its folder", path = path.display())]
    NoRun {
        /// The folder as given.
        path: PathBuf,
    },
    /// LibTorch refused an operation.
    #[error(
        "LibTorch: {0}\nhint: if this is about memory, fit fewer layers at a time with `--threads`; otherwise please report it"
    )]
    Torch(#[from] tch::TchError),
    /// LibTorch or the device cannot be used.
    #[error(transparent)]
    Runtime(#[from] torch_runtime::Error),
    /// A file or folder could not be read or written; the message names it.
    #[error("{0}\nhint: {hint}", hint = host::hint::hint(.0))]
    Io(#[from] std::io::Error),
    /// A tensor is not of the shape it must have.
    #[error("{what} has shape {found:?}, expected {expected}\nhint: {hint}")]
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
    #[error(
        "{what}: {found} values for {expected} rows\nhint: every row has exactly one of each; index both with the same rows"
    )]
    Length {
        /// Which values.
        what: &'static str,
        /// Rows.
        expected: usize,
        /// Values.
        found: usize,
    },
    /// A row's question or template contradicts another row's.
    #[error(
        "row {row}: {problem}\nhint: a question is asked once with every template, always about one passage"
    )]
    Variant {
        /// The row, counted from 0.
        row: usize,
        /// What contradicts what.
        problem: String,
    },
    /// A state or score is NaN or infinite.
    #[error("{what} of row {row} is not finite{}\nhint: find out why the model or the file yields it (`llama-ccs store verify`); a probe cannot be fitted through it", column.map(|c| format!(" (column {c})")).unwrap_or_default())]
    NotFinite {
        /// Which array.
        what: String,
        /// The row, counted from 0 in the array as given.
        row: usize,
        /// The column, where there are columns.
        column: Option<usize>,
    },
    /// Only one of the two labels occurs where both are needed.
    #[error(
        "all {rows} rows of {part} are labelled {label}\nhint: a probe's sign and quality need both labels; use more rows, another `--seed`, or fewer `--folds`"
    )]
    OneClass {
        /// Which rows.
        part: String,
        /// How many.
        rows: usize,
        /// Their label.
        label: bool,
    },
    /// There are fewer rows than the split needs.
    #[error(
        "{found} rows are too few for {purpose}, which needs at least {needed}\nhint: extract more pairs (`--limit`)"
    )]
    TooFewRows {
        /// What for.
        purpose: String,
        /// Minimum.
        needed: usize,
        /// Present.
        found: usize,
    },
    /// There are fewer groups (passages) than the split needs.
    #[error(
        "{found} groups are too few for {purpose}, which needs at least {needed}\nhint: rows of one group (one passage) stay together; add rows of other passages, or use fewer `--folds`"
    )]
    TooFewGroups {
        /// What for.
        purpose: String,
        /// Minimum.
        needed: usize,
        /// Present.
        found: usize,
    },
    /// A method's name is not known.
    #[error("unknown method `{name}`\nhint: {}", suggest(suggestion.as_deref()))]
    UnknownMethod {
        /// What was asked for.
        name: String,
        /// The nearest known name.
        suggestion: Option<String>,
    },
    /// A layer that the data does not have.
    #[error(
        "layer {layer} is not in {place}\nhint: it has the layers {available}; write for example `--layers 0,5-12`"
    )]
    UnknownLayer {
        /// What was asked for.
        layer: usize,
        /// Where it was looked for.
        place: String,
        /// The layers there are.
        available: String,
    },
    /// A token rule that the store does not have.
    #[error(
        "the store has no states under the token rule `{rule}`; it has {}\nhint: {}",
        if known.is_empty() { "none at all".to_owned() } else { known.join(", ") },
        known.first().map_or_else(|| "extract hook points, such as `blocks.*.hook_resid_post`".to_owned(), |rule| format!("`--tokens {rule}` fits on these; `llama-ccs extract --tokens` says which are kept"))
    )]
    TokenRule {
        /// What was asked for.
        rule: String,
        /// The rules there are.
        known: Vec<String>,
    },
    /// A run holds no probe of that method, or none at that layer.
    #[error("{} has no probe: {what}\nhint: {hint}", run.display())]
    NoProbe {
        /// The run's folder.
        run: PathBuf,
        /// Which probe was asked for, and why there is none.
        what: String,
        /// What there is.
        hint: String,
    },
    /// A probe's scores are of any scale, and nothing says which probability belongs to which.
    #[error(
        "the probe's scores are no probabilities, and no Platt scaling is saved with it\nhint: use its scores; `ccs fit` of this version saves a scaling with every probe that has one"
    )]
    NoProbability,
    /// States are not of the kind that they must be, such as of another model than a probe was fitted on.
    #[error(
        "{place}: {what} is {found}; {other}\nhint: a direction means something only in the states of one model at one hook point and token; extract with the same model, tokenizer, `--hooks` and `--tokens`"
    )]
    OtherStates {
        /// Whose states.
        place: String,
        /// What differs: the model, the hook point, …
        what: &'static str,
        /// What it is there.
        found: String,
        /// Whose it was compared with, and what it is there.
        other: String,
    },
    /// A run was asked to stop.
    #[error(
        "stopped with {done} of {layers} layers done\nhint: {}",
        if *kept { "the same command goes on where this one ended" } else { "nothing was kept" }
    )]
    Stopped {
        /// Layers that are done.
        done: usize,
        /// Layers that were asked for.
        layers: usize,
        /// Whether what is done was kept.
        kept: bool,
    },
    /// No row is left to judge a probe on.
    #[error("{place}: {why}\nhint: {hint}")]
    NoRows {
        /// Which data.
        place: String,
        /// Why there are none.
        why: String,
        /// What to do.
        hint: &'static str,
    },
    /// A method that fits no probe was to be fitted.
    #[error("{method} fits no probe\nhint: it is a control; give a method such as ccs or lr")]
    NoFit {
        /// The method.
        method: crate::Method,
    },
    /// A setting has a value that cannot be used.
    #[error("`{name}` cannot be {value}: {reason}\nhint: {hint}")]
    Setting {
        /// The setting, as on the command line.
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
        "logistic regression stopped after {iterations} iterations with a largest gradient entry of {gradient:.3e} (wanted {tolerance:.1e})\nhint: raise the tolerance, or fit in f64"
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
        "logistic regression without a penalty has no minimum: its labels can be told apart without error, so that weights grow for ever\nhint: give a penalty (`l2`) above 0"
    )]
    Separable,
    /// CCS left every restart with a loss that is not a number.
    #[error(
        "no CCS restart ended with a finite loss\nhint: lower the learning rate, or look at the states' scale"
    )]
    Diverged,
    /// A matrix that has to be inverted has no inverse.
    #[error(
        "{what} cannot be inverted\nhint: give more rows or more shrinkage, and look for values that are very large"
    )]
    Singular {
        /// Which matrix.
        what: String,
    },
    /// There is no direction to choose: the states do not differ in what a method looks at.
    #[error(
        "the training states do not vary in what the method looks at\nhint: an embedding layer whose last token is the same in every row holds no truth; leave the layer out"
    )]
    Constant,
    /// Zero-shot was asked for where the data holds no answer log-probabilities.
    #[error(
        "the data holds no `answer_logprob`, which `zero_shot` and `calibrated_zero_shot` need\nhint: extract it with the states, or leave them out of `--methods`"
    )]
    NoAnswerLogprob,
    /// Zero-shot by the mean over an answer's tokens was asked for where the data holds their sum alone.
    #[error(
        "the data holds no `answer_logprob_mean`, which zero-shot by the mean needs\nhint: extract it again, or go by the sum: `--zero-shot sum`"
    )]
    NoAnswerMean,
    /// A file is not a probe that this version reads.
    #[error("{}: not a probe file: {reason}\nhint: probes are the `.safetensors` files that `ccs fit` writes", path.display())]
    ProbeFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file is not a report, or not a split, that this version reads.
    #[error("{}: not a report: {reason}\nhint: `report.json` and `split.json` are what `ccs fit` writes; fit again if they were changed", path.display())]
    ReportFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of a run is missing or not as it was written.
    #[error("{}: {reason}\nhint: the files of a run belong together and are compared with its sums.json; restore this one from a copy, or fit again (`--overwrite` replaces the run)", path.display())]
    RunFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The run folder is in use.
    #[error("{} already holds {content}\nhint: choose another `--out`, or replace an earlier run with `--overwrite`", path.display())]
    RunExists {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        content: &'static str,
    },
    /// Another process is writing the same run folder.
    #[error("another `ccs` is writing {}\nhint: wait until it is done, or choose another `--out`", path.display())]
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
    #[error("{what} cannot be written: {reason}\nhint: please report it, with the command")]
    Write {
        /// Which file.
        what: &'static str,
        /// What the writer said.
        reason: String,
    },
    /// The worker threads could not be started.
    #[error("cannot start {threads} worker threads: {reason}\nhint: ask for fewer with `--threads`")]
    Threads {
        /// How many.
        threads: usize,
        /// What the system said.
        reason: String,
    },
}

fn suggest(name: Option<&str>) -> String {
    let known = crate::Method::ALL.map(crate::Method::name).join(", ");
    match name {
        Some(name) => format!("did you mean `{name}`? The methods are {known}"),
        None => format!("the methods are {known}"),
    }
}

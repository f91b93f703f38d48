//! The names of what lies in a run folder.

use crate::run::PROBES;

/// What was found; the file that makes a folder a run.
pub(crate) const REPORT: &str = "report.json";
/// The hashes of a run's files.
pub(crate) const SUMS: &str = "sums.json";
/// Which rows trained and which tested.
pub(crate) const SPLIT: &str = "split.json";
/// What every method predicts for every row.
pub(crate) const PREDICTIONS: &str = "predictions.parquet";
/// The same as text.
pub(crate) const PREDICTIONS_CSV: &str = "predictions.csv";
/// What each row is.
pub(crate) const ROWS: &str = "rows.parquet";
/// The page to search rows by, from `ccs explore`.
pub const EXPLORE: &str = "explore.html";
/// The runs of single data sets, in the folder of a sweep.
pub(crate) const RUNS: &str = "runs";
/// The table of a sweep.
pub(crate) const TRANSFER: &str = "transfer.csv";
/// What a fit that was stopped has done so far, in `OUT.partial`.
pub(crate) const LAYERS: &str = "layers";
/// Marks a folder that is still being written.
pub(crate) const UNFINISHED: &str = "unfinished";
/// What a run consists of, the file that makes it a run last.
pub(crate) const PARTS: [&str; 17] = [
    PROBES,
    RUNS,
    TRANSFER,
    LAYERS,
    "plots",
    "results.csv",
    "results.parquet",
    PREDICTIONS_CSV,
    PREDICTIONS,
    ROWS,
    SPLIT,
    SUMS,
    "report.html",
    EXPLORE,
    "log.jsonl",
    UNFINISHED,
    REPORT,
];

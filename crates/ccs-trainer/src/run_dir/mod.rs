//! The run folder: `report.json`, `report.html`, `plots/*.svg`, `results.csv` and `.parquet`,
//! `predictions.csv` and `.parquet`, `rows.parquet`, `split.json`,
//! `probes/METHOD/layer_NN.safetensors`, and `sums.json` with the hash of each (`sums`); of a sweep also `transfer.csv` and
//! `runs/NAME/`, a run each.

pub(crate) mod check;
mod contents;
pub(crate) mod fitted;
pub(crate) mod inspect;
pub(crate) mod layout;
pub(crate) mod reader;
mod results;
mod sums;
pub(crate) mod writer;

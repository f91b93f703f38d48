//! A run as files.

use std::path::Path;

use ccs_report::{Report, figures, page};
use polars::prelude::ParquetCompression;

use crate::error::write_error;
use crate::per_row::table;
use crate::run::{Run, probe_path};
use crate::run_dir::layout::{PREDICTIONS, PREDICTIONS_CSV, REPORT, ROWS, SPLIT, SUMS};
use crate::run_dir::results;
use crate::run_dir::sums::Summing;
use crate::{Result, files, tables};

/// Tables by row are packed; those by layer have a few kilobytes.
const PACKED: ParquetCompression = ParquetCompression::Zstd(None);

/// Writes a run's files, and one more beside them if there is one (its name and bytes).
pub(crate) fn write(run: &Run, dir: &Path, further: Option<(&str, &[u8])>) -> Result<()> {
    let mut sums = Summing::default();
    let mut part = |name: &str, bytes: &[u8]| {
        sums.add(name, bytes);
        files::create(&dir.join(name), bytes)
    };
    for (method, layer, probe) in &run.probes {
        part(&probe_path(*method, *layer), &probe.to_bytes()?)?;
    }
    let mut table = results::table(&run.report)?;
    part("results.csv", results::csv(&mut table)?.as_ref())?;
    part("results.parquet", results::parquet(&mut table)?.as_ref())?;
    let mut table = table::predictions(&run.rows, &run.predictions)?;
    part(PREDICTIONS_CSV, &tables::csv(&mut table, PREDICTIONS_CSV)?)?;
    part(PREDICTIONS, &tables::parquet(&mut table, PACKED, PREDICTIONS)?)?;
    part(ROWS, &tables::parquet(&mut table::rows(&run.rows)?, PACKED, ROWS)?)?;
    part(SPLIT, &json(SPLIT, &run.split)?)?;
    if let Some((name, bytes)) = further {
        part(name, bytes)?;
    }
    for (name, text) in drawn(&run.report)? {
        files::create(&dir.join(name), text.as_ref())?;
    }
    let report = run.report.to_json()?;
    sums.add(REPORT, &report);
    files::create(&dir.join(SUMS), &sums.into_json()?)?;
    files::create(&dir.join(REPORT), &report)
}

/// Draws a report anew: writes `report.html` and `plots/*.svg` to a folder, each over what is there of its name.
pub(crate) fn draw(report: &Report, dir: &Path) -> Result<()> {
    for (name, text) in drawn(report)? {
        // A reader of the page never sees half of one.
        files::replace(&dir.join(name), text.as_ref())?;
    }
    Ok(())
}

/// What is made from nothing but the report.
fn drawn(report: &Report) -> Result<[(&'static str, String); 3]> {
    Ok([
        ("report.html", page::html(report)?),
        ("plots/accuracy.svg", figures::accuracy_svg(report)),
        ("plots/auroc.svg", figures::auroc_svg(report)),
    ])
}

fn json(what: &'static str, value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| write_error(what, &e))?;
    text.push(b'\n');
    Ok(text)
}

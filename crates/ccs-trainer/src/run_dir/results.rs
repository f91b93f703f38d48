//! The report's layers as one flat table, a row per layer and method: `results.csv` and `results.parquet`.

use ccs_report::{Chosen, LayerReport, Method, MethodReport, Report};
use indexmap::IndexMap;
use polars::prelude::{DataFrame, ParquetCompression};

use crate::Result;
use crate::tables::{self, Columns};

/// A row of the table.
struct Entry<'a> {
    run: &'a Report,
    layer: &'a LayerReport,
    method: Method,
    report: &'a MethodReport,
}

impl Entry<'_> {
    /// Whether the numbers are those of a fit, or a constant guess stands in; nothing for what fits nothing.
    fn fitted(&self) -> Option<bool> {
        self.run.fits_probes(self.method).then_some(!self.run.lacks_fit(self.layer, self.method))
    }
}

/// The table.
pub(crate) fn table(report: &Report) -> Result<DataFrame> {
    let mut entries = Vec::new();
    for layer in &report.layers {
        for (&method, of_method) in &layer.methods {
            entries.push(Entry { run: report, layer, method, report: of_method });
        }
    }
    let confusion = |e: &Entry<'_>| e.report.test.confusion;
    let loss = |e: &Entry<'_>| e.report.loss.clone();
    let chosen_in = |choices: &IndexMap<Method, Chosen>, e: &Entry<'_>| {
        choices.get(&e.method).is_some_and(|c| c.layer == Some(e.layer.layer))
    };
    Columns::of(&entries)
        .count("layer", |e| Some(e.layer.layer))
        .text("hook", |e| e.layer.hook.clone())
        .text("method", |e| e.method.name().to_owned())
        .flag("chosen", |e| chosen_in(&report.chosen, e))
        .interval("test_accuracy", |e| Some(e.report.test.accuracy), |e| e.report.test.accuracy_ci)
        .interval("test_auroc", |e| e.report.test.auroc, |e| e.report.test.auroc_ci)
        .number("train_accuracy", |e| Some(e.report.train.accuracy))
        .number("train_auroc", |e| e.report.train.auroc)
        .number("cv_accuracy", |e| e.report.cross_validation.map(|cv| cv.accuracy))
        .number("cv_auroc", |e| e.report.cross_validation.and_then(|cv| cv.auroc))
        .number("train_consistency", |e| loss(e).map(|l| l.train.consistency))
        .number("train_confidence", |e| loss(e).map(|l| l.train.confidence))
        .number("test_consistency", |e| loss(e).map(|l| l.test.consistency))
        .number("test_confidence", |e| loss(e).map(|l| l.test.confidence))
        .count("true_positive", |e| confusion(e).map(|c| c.true_positive))
        .count("false_positive", |e| confusion(e).map(|c| c.false_positive))
        .count("true_negative", |e| confusion(e).map(|c| c.true_negative))
        .count("false_negative", |e| confusion(e).map(|c| c.false_negative))
        .flag("degenerate", |e| e.layer.degenerate)
        .flag("underdetermined", |e| e.layer.underdetermined)
        .flag("chosen_without_labels", |e| chosen_in(&report.chosen_without_labels, e))
        .maybe_flag("fitted", Entry::fitted)
        .number("l2", |e| e.report.l2)
        .count("directions", |e| Some(e.report.directions.len()).filter(|&n| n > 0))
        .table("the results table")
}

/// The table as CSV.
pub(crate) fn csv(table: &mut DataFrame) -> Result<Vec<u8>> {
    tables::csv(table, "results.csv")
}

/// The table as Parquet, uncompressed: a few kilobytes.
pub(crate) fn parquet(table: &mut DataFrame) -> Result<Vec<u8>> {
    tables::parquet(table, ParquetCompression::Uncompressed, "results.parquet")
}

//! The report's layers as one flat table, a row per layer and method: `results.csv` and `results.parquet`.

use polars::prelude::{Column, CsvWriter, DataFrame, ParquetCompression, ParquetWriter, SerWriter as _};

use crate::Result;
use crate::engine::evaluate::write_error;
use ccs_report::Method;
use ccs_report::{Evaluation, LayerReport, MethodReport, Report};

/// A row of the table.
struct Entry<'a> {
    run: &'a Report,
    layer: &'a LayerReport,
    method: Method,
    report: &'a MethodReport,
    chosen: bool,
}

impl Entry<'_> {
    /// Whether the numbers are those of a fit, or a constant guess stands in; nothing for what fits nothing.
    fn fitted(&self) -> Option<bool> {
        self.run.fits_probes(self.method).then_some(!self.run.lacks_fit(self.layer, self.method))
    }
}

/// The table.
pub(crate) fn table(report: &Report) -> Result<DataFrame> {
    host::threads::check(host::threads::cores())?; // polars panics where its own cannot be started
    let entries: Vec<Entry<'_>> = report
        .layers
        .iter()
        .flat_map(|layer| layer.methods.iter().map(move |(&method, report)| (layer, method, report)))
        .map(|(layer, method, r)| {
            let chosen = report.chosen.get(&method).is_some_and(|c| c.layer == Some(layer.layer));
            Entry { run: report, layer, method, report: r, chosen }
        })
        .collect();
    let number = |name: &str, value: &dyn Fn(&Entry<'_>) -> Option<f64>| {
        Column::new(name.into(), entries.iter().map(value).collect::<Vec<Option<f64>>>())
    };
    let count = |name: &str, value: &dyn Fn(&Entry<'_>) -> Option<u64>| {
        Column::new(name.into(), entries.iter().map(value).collect::<Vec<Option<u64>>>())
    };
    let flag = |name: &str, value: &dyn Fn(&Entry<'_>) -> bool| {
        Column::new(name.into(), entries.iter().map(value).collect::<Vec<bool>>())
    };
    let text = |name: &str, value: &dyn Fn(&Entry<'_>) -> String| {
        Column::new(name.into(), entries.iter().map(value).collect::<Vec<String>>())
    };
    let test = |e: &Entry<'_>| -> Evaluation { e.report.test.clone() };
    let mut columns = vec![
        count("layer", &|e| Some(e.layer.layer as u64)),
        text("hook", &|e| e.layer.hook.clone()),
        text("method", &|e| e.method.name().to_owned()),
        flag("chosen", &|e| e.chosen),
        number("test_accuracy", &|e| Some(e.report.test.accuracy)),
        number("test_accuracy_low", &|e| e.report.test.accuracy_ci.map(|ci| ci[0])),
        number("test_accuracy_high", &|e| e.report.test.accuracy_ci.map(|ci| ci[1])),
        number("test_auroc", &|e| e.report.test.auroc),
        number("test_auroc_low", &|e| e.report.test.auroc_ci.map(|ci| ci[0])),
        number("test_auroc_high", &|e| e.report.test.auroc_ci.map(|ci| ci[1])),
        number("train_accuracy", &|e| Some(e.report.train.accuracy)),
        number("train_auroc", &|e| e.report.train.auroc),
        number("cv_accuracy", &|e| e.report.cross_validation.map(|cv| cv.accuracy)),
        number("cv_auroc", &|e| e.report.cross_validation.and_then(|cv| cv.auroc)),
    ];
    let loss = |e: &Entry<'_>| e.report.loss.clone();
    columns.extend([
        number("train_consistency", &|e| loss(e).map(|l| l.train.consistency)),
        number("train_confidence", &|e| loss(e).map(|l| l.train.confidence)),
        number("test_consistency", &|e| loss(e).map(|l| l.test.consistency)),
        number("test_confidence", &|e| loss(e).map(|l| l.test.confidence)),
        count("true_positive", &|e| test(e).confusion.map(|c| c.true_positive as u64)),
        count("false_positive", &|e| test(e).confusion.map(|c| c.false_positive as u64)),
        count("true_negative", &|e| test(e).confusion.map(|c| c.true_negative as u64)),
        count("false_negative", &|e| test(e).confusion.map(|c| c.false_negative as u64)),
        flag("degenerate", &|e| e.layer.degenerate),
        flag("underdetermined", &|e| e.layer.underdetermined),
        flag("chosen_without_labels", &|e| {
            report.chosen_without_labels.get(&e.method).is_some_and(|c| c.layer == Some(e.layer.layer))
        }),
        Column::new("fitted".into(), entries.iter().map(Entry::fitted).collect::<Vec<Option<bool>>>()),
        number("l2", &|e| e.report.l2),
        count("directions", &|e| Some(e.report.directions.len() as u64).filter(|&n| n > 0)),
    ]);
    DataFrame::new(entries.len(), columns).map_err(|e| write_error("the results table", &e))
}

/// The table as CSV.
pub(crate) fn csv(table: &mut DataFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(table).map_err(|e| write_error("results.csv", &e))?;
    Ok(bytes)
}

/// The table as Parquet, uncompressed: a few kilobytes.
pub(crate) fn parquet(table: &mut DataFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .with_compression(ParquetCompression::Uncompressed)
        .finish(table)
        .map_err(|e| write_error("results.parquet", &e))?;
    Ok(bytes)
}

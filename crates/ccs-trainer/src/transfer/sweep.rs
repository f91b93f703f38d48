//! From data set to data set: a run of each, one of all together, and how each one's probes do on the others.

use crate::method::Ask as _;
use indexmap::IndexMap;
use std::path::Path;

use polars::prelude::{Column, CsvWriter, DataFrame, SerWriter as _};

use crate::engine::Execution;
use crate::engine::evaluate::write_error;
use crate::engine::one_thread;
use crate::engine::resume::Pausing;
use crate::engine::run_on;
use crate::run_dir::Overwrite;
use crate::run_dir::{TRANSFER, Writing};
use crate::settings::Settings;
use crate::source::Source as _;
use crate::source::pooled::{Dataset, Pooled, of_part};
use crate::transfer::matrix::{Kept, Matrix, is_chosen};
use crate::{Error, Result};
use ccs::bootstrap::Interval;
use ccs::rng::Stream;
use ccs::split::{Split, test_groups};
use ccs_report::Difference;
use ccs_report::Estimate;
use ccs_report::Evaluation;
use ccs_report::LayerReport;
use ccs_report::Method;
use ccs_report::Report;
use ccs_report::{Against, Transfer};

/// The name of all data sets together.
pub const ALL: &str = "all";

/// Said in every single run's report.
const SIDES: &str = "the sides of the split were decided over all data sets of the sweep together, so that a passage is on one side in all of them";

/// Fits every data set by itself and all of them together, judges each one's probes on the others' test rows, and writes a
/// folder: the run of all data sets, with the transfer matrix in its report, `transfer.csv`, and the single runs as
/// `runs/NAME/`. `on_layer` is called as in [`run_pausing`](super::run_pausing), with the data set's name or [`ALL`].
///
/// The sides of the split are decided once, over the groups (passages) of all data sets: a passage trains in all of them
/// or tests in all of them, so every column of the matrix is judged on the same rows, and no probe was trained on any of
/// their passages. It is stopped and watched as `pausing` says, whose folder is `out` here: what is done is kept in
/// `OUT.partial` until the same sweep is asked for again.
///
/// # Errors
/// As [`Pooled::new`], [`run_pausing`](super::run_pausing) and [`Run::write`](super::Run::write); fewer than two data sets; a
/// data set without rows of both labels on the training side, without test rows, or without the means that zero-shot is to
/// go by, named before the first fit.
pub fn sweep(
    datasets: &[Dataset<'_>],
    settings: &Settings,
    execution: Execution,
    out: &Path,
    overwrite: Overwrite,
    pausing: Pausing<'_>,
    on_layer: &(dyn Fn(&str, &LayerReport) + Sync),
) -> Result<Report> {
    if datasets.len() < 2 || datasets.iter().any(|part| part.name == ALL) {
        return Err(Error::Setting {
            name: "STORE",
            value: if datasets.len() < 2 { "one data set" } else { "a data set called `all`" }.to_owned(),
            reason: "a sweep goes from data set to data set, and `all` is all of them together",
            hint: "give two stores or more, named `NAME=STORE` where needed; `ccs fit` is for one",
        });
    }
    let pooled = Pooled::new(datasets, &settings.layers)?;
    let settings = &settings.resolved(pooled.layers().len());
    let groups: Vec<&[String]> = datasets.iter().map(|part| part.source.rows().groups.as_slice()).collect();
    let tested = test_groups(&groups, settings.test_fraction, &Stream::new(settings.seed).child("split"))?;
    for part in datasets {
        let rows = part.source.rows();
        Split::of_groups(&rows.labels, &rows.groups, &tested).map_err(|error| of_part(part.name, error))?;
        if settings.methods(rows.answer_logprob.is_some()).iter().any(|method| method.needs_answers()) {
            rows.answers(settings.zero_shot)?;
        }
    }
    let writing = Writing::begin(out, overwrite)?;
    let pausing = Pausing { out: Some(out), ..pausing };
    let mut runs = Vec::new();
    for part in datasets {
        let on_layer = |layer: &LayerReport| on_layer(part.name, layer);
        let mut done = run_on(part.source, settings, execution, pausing, Some(&tested), &on_layer)
            .map_err(|error| of_part(part.name, error))?;
        done.report.notes.push(SIDES.to_owned());
        done.write_parts(&writing.run(part.name), None)?;
        // The others are on disk; a sweep of many data sets must not hold them all.
        let chosen: Vec<bool> =
            done.probes.iter().map(|(m, layer, _)| is_chosen(&done, *m, *layer)).collect();
        let mut chosen = chosen.into_iter();
        done.probes.retain(|_| chosen.next().unwrap_or_default());
        runs.push(done);
    }
    let on_layer = |layer: &LayerReport| on_layer(ALL, layer);
    let mut all = run_on(&pooled, settings, execution, pausing, Some(&tested), &on_layer)?;
    let kept = datasets.iter().map(|part| part.name).zip(&runs).map(|(name, run)| Kept::of(name, run));
    let kept: Vec<Kept<'_>> = kept.chain([Kept::of(ALL, &all)]).collect();
    let found = one_thread(|| Matrix::new(&kept, &pooled, settings, execution.device)?.judge())?;
    let table = csv(&found.transfer)?;
    all.report.transfer = found.transfer;
    all.report.transfer_answers = found.answers;
    all.report.notes.push(SIDES.to_owned());
    all.report.notes.extend(pooled.notes().iter().cloned().chain(found.notes));
    all.write_parts(writing.partial(), Some((TRANSFER, &table)))?;
    writing.finish()?;
    Ok(all.report)
}

/// One of the differences of a cell.
type Compared = fn(&Against) -> Option<&Difference>;

/// The matrices as one flat table, a row a cell.
fn csv(transfer: &IndexMap<Method, Transfer>) -> Result<Vec<u8>> {
    struct Entry<'a> {
        method: Method,
        from: (&'a str, Option<usize>),
        to: &'a str,
        test: &'a Evaluation,
        against: Option<&'a Against>,
    }
    let mut entries = Vec::new();
    for (&method, matrix) in transfer {
        let rows = matrix.datasets.iter().zip(&matrix.layers).zip(matrix.cells.iter().zip(&matrix.against));
        for ((from, &layer), (cells, against)) in rows {
            for (to, (test, against)) in matrix.datasets.iter().zip(cells.iter().zip(against)) {
                let Some(test) = test else { continue };
                entries.push(Entry { method, from: (from, layer), to, test, against: against.as_ref() });
            }
        }
    }
    let text = |name: &str, value: &dyn Fn(&Entry<'_>) -> String| {
        Column::new(name.into(), entries.iter().map(value).collect::<Vec<String>>())
    };
    let count = |name: &str, value: &dyn Fn(&Entry<'_>) -> Option<u64>| {
        Column::new(name.into(), entries.iter().map(value).collect::<Vec<Option<u64>>>())
    };
    let number = |name: &str, value: &dyn Fn(&Entry<'_>) -> Option<f64>| {
        Column::new(name.into(), entries.iter().map(value).collect::<Vec<Option<f64>>>())
    };
    let mut columns = vec![
        text("method", &|e| e.method.name().to_owned()),
        text("fitted_on", &|e| e.from.0.to_owned()),
        count("layer", &|e| e.from.1.map(|layer| layer as u64)),
        text("judged_on", &|e| e.to.to_owned()),
        count("rows", &|e| e.test.confusion.map(|c| c.rows() as u64)),
        number("accuracy", &|e| Some(e.test.accuracy)),
        number("accuracy_low", &|e| e.test.accuracy_ci.map(|ci| ci[0])),
        number("accuracy_high", &|e| e.test.accuracy_ci.map(|ci| ci[1])),
        number("auroc", &|e| e.test.auroc),
        number("auroc_low", &|e| e.test.auroc_ci.map(|ci| ci[0])),
        number("auroc_high", &|e| e.test.auroc_ci.map(|ci| ci[1])),
    ];
    let band = |e: &Entry<'_>| -> Option<Interval> { e.against?.random.as_ref()?.accuracy_ci };
    columns.extend([
        number("random_low", &|e| band(e).map(|ci| ci[0])),
        number("random_high", &|e| band(e).map(|ci| ci[1])),
    ]);
    let differences: [(&str, Compared); 3] = [
        ("minus_random", |a| a.over_random.as_ref()),
        ("minus_own", |a| a.over_own.as_ref()),
        ("minus_zero_shot", |a| a.over_zero_shot.as_ref()),
    ];
    for (name, of) in differences {
        let accuracy = |e: &Entry<'_>| -> Option<Estimate> { Some(of(e.against?)?.accuracy) };
        columns.extend([
            number(name, &|e| accuracy(e).map(|d| d.value)),
            number(&format!("{name}_low"), &|e| accuracy(e)?.ci.map(|ci| ci[0])),
            number(&format!("{name}_high"), &|e| accuracy(e)?.ci.map(|ci| ci[1])),
        ]);
    }
    let mut table = DataFrame::new(entries.len(), columns).map_err(|e| write_error("transfer.csv", &e))?;
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(&mut table).map_err(|e| write_error("transfer.csv", &e))?;
    Ok(bytes)
}

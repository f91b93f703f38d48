//! From data set to data set: a run of each, one of all together, and how each one's probes do on the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use polars::prelude::{Column, CsvWriter, DataFrame, SerWriter as _};
use tch::Device;

use super::closeup::Transfer;
use super::evaluate::write_error;
use super::folder::Writing;
use super::pooled::{Dataset, Pooled};
use super::{
    Evaluation, Execution, Layer, LayerReport, Overwrite, Pausing, Report, Run, Settings, Source, run_pausing,
};
use crate::baselines::Predictions;
use crate::contrast::pick;
use crate::probe::Probe;
use crate::{Contrast, Error, Method, Result};

/// The name of all data sets together.
pub const ALL: &str = "all";

/// What is needed of a fitted run to judge it elsewhere.
struct Kept<'a> {
    name: &'a str,
    /// Test rows, by their numbers in its own source.
    test: &'a [usize],
    train_groups: BTreeSet<&'a str>,
    /// The probes at their chosen layers.
    probes: Vec<&'a (Method, usize, Probe)>,
}

impl<'a> Kept<'a> {
    fn of(name: &'a str, run: &'a Run) -> Self {
        let train_groups = run.split.train.group.iter().map(String::as_str).collect();
        let probes = run.probes.iter().filter(|(method, layer, _)| is_chosen(run, *method, *layer)).collect();
        Self { name, test: &run.split.test.row, train_groups, probes }
    }
}

fn is_chosen(run: &Run, method: Method, layer: usize) -> bool {
    run.report.chosen.get(&method).is_some_and(|chosen| chosen.layer == Some(layer))
}

/// Fits every data set by itself and all of them together, judges each one's probes on the others' test rows, and writes a
/// folder: the run of all data sets, with the transfer matrix in its report, `transfer.csv`, and the single runs as
/// `runs/NAME/`. `on_layer` is called as in [`run_pausing`], with the data set's name or [`ALL`].
///
/// A cell of the matrix leaves out test rows of groups (passages) that its probe was trained on; the report's notes say
/// how many. Once `stop` is true, no further layer is begun; what is done is kept in `OUT.partial` until the same sweep is asked for
/// again. The rows of `all` are judged on its own test rows, data set by data set.
///
/// # Errors
/// As [`Pooled::new`], [`run_pausing`] and [`Run::write`]; fewer than two data sets.
pub fn sweep(
    datasets: &[Dataset<'_>],
    settings: &Settings,
    execution: Execution,
    out: &Path,
    overwrite: Overwrite,
    stop: Option<&AtomicBool>,
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
    let writing = Writing::begin(out, overwrite)?;
    let pausing = Pausing { out: Some(out), stop, watch: None };
    let mut runs = Vec::new();
    for part in datasets {
        let mut done =
            run_pausing(part.source, settings, execution, pausing, &|layer| on_layer(part.name, layer))?;
        done.write_parts(&writing.run(part.name))?;
        // The others are on disk; a sweep of many data sets must not hold them all.
        let chosen: Vec<bool> =
            done.probes.iter().map(|(m, layer, _)| is_chosen(&done, *m, *layer)).collect();
        let mut chosen = chosen.into_iter();
        done.probes.retain(|_| chosen.next().unwrap_or_default());
        runs.push(done);
    }
    let mut all = run_pausing(&pooled, settings, execution, pausing, &|layer| on_layer(ALL, layer))?;
    let kept = datasets.iter().map(|part| part.name).zip(&runs).map(|(name, run)| Kept::of(name, run));
    let kept: Vec<Kept<'_>> = kept.chain([Kept::of(ALL, &all)]).collect();
    let matrix = Matrix { kept: &kept, pooled: &pooled, settings, device: execution.device };
    let (transfer, notes) = matrix.judge()?;
    writing.transfer(&csv(&transfer)?)?;
    all.report.transfer = transfer;
    all.report.notes.extend(pooled.notes().iter().cloned().chain(notes));
    all.write_parts(writing.partial())?;
    writing.finish()?;
    Ok(all.report)
}

/// Scores of a part's rows by a data set's probe of a method.
type Scores = BTreeMap<(usize, Method), Predictions>;

struct Matrix<'a> {
    /// The data sets in order, then all of them.
    kept: &'a [Kept<'a>],
    pooled: &'a Pooled<'a>,
    settings: &'a Settings,
    device: Device,
}

impl Matrix<'_> {
    fn judge(&self) -> Result<(BTreeMap<Method, Transfer>, Vec<String>)> {
        let parts = self.pooled.parts().len();
        let scores: Vec<Scores> = (0..parts).map(|part| self.scores(part)).collect::<Result<_>>()?;
        let methods: BTreeSet<Method> =
            self.kept.iter().flat_map(|kept| kept.probes.iter().map(|p| p.0)).collect();
        let (mut found, mut notes) = (BTreeMap::new(), Vec::new());
        for &method in &methods {
            let layer = |kept: &Kept<'_>| kept.probes.iter().find(|p| p.0 == method).map(|p| p.1);
            let Some(layers) = self.kept.iter().map(layer).collect::<Option<Vec<usize>>>() else {
                notes.push(format!("{method} has no chosen layer in every data set, and so no transfer"));
                continue;
            };
            let row = |from: usize| -> Result<Vec<Evaluation>> {
                (0..=parts).map(|to| self.cell(method, from, to, &scores)).collect()
            };
            let cells = (0..=parts).map(row).collect::<Result<_>>()?;
            let datasets = self.kept.iter().map(|kept| kept.name.to_owned()).collect();
            found.insert(method, Transfer { datasets, layers, cells });
        }
        notes.extend(self.left_out());
        Ok((found, notes))
    }

    /// Every data set's probes on all rows of one part, a layer in memory at a time.
    fn scores(&self, part: usize) -> Result<Scores> {
        let Some(data) = self.pooled.parts().get(part) else { return Ok(Scores::new()) };
        let wanted = self.kept.iter().flat_map(|kept| kept.probes.iter().map(|p| p.1));
        let wanted: BTreeSet<usize> = wanted.collect();
        let mut scores = Scores::new();
        for layer in self.pooled.layers().iter().filter(|l| wanted.contains(&l.layer)) {
            let (own, within_all) = self.pairs(data, part, layer)?;
            for (from, kept) in self.kept.iter().enumerate() {
                // Its templates are named as when it was fitted.
                let pairs = if kept.name == ALL { &within_all } else { &own };
                for (method, _, probe) in kept.probes.iter().copied().filter(|p| p.1 == layer.layer) {
                    let (scores_of, threshold) = (probe.scores(pairs)?, probe.readout.threshold());
                    scores.insert((from, *method), Predictions { scores: scores_of, threshold });
                }
            }
        }
        Ok(scores)
    }

    /// A part's rows at a layer, as its own source names them and as the pool does.
    fn pairs(&self, data: &Dataset<'_>, part: usize, layer: &Layer) -> Result<(Contrast, Contrast)> {
        let (plus, minus) = data.source.load(layer)?;
        let (plus, minus) = (plus.f_to_device(self.device)?, minus.f_to_device(self.device)?);
        let rows = data.source.rows();
        let make = || {
            let (plus, minus) = (plus.f_alias()?, minus.f_alias()?);
            Contrast::new(plus, minus, rows.labels.clone(), rows.groups.clone())
        };
        let own = match rows.variants() {
            Some((questions, templates)) => make()?.with_variants(questions, templates)?,
            None => make()?,
        };
        let at: Vec<usize> = self.pooled.range(part).collect();
        let all = self.pooled.rows();
        let within_all = make()?.with_variants(pick(&all.questions, &at)?, pick(&all.templates, &at)?)?;
        Ok((own, within_all))
    }

    /// The rows that a cell is judged on, as part and row in it, and how many were left out.
    fn rows(&self, from: usize, to: usize) -> (Vec<(usize, usize)>, usize) {
        let parts = self.pooled.parts();
        let (all, ranges) = (parts.len(), (0..parts.len()).map(|part| self.pooled.range(part)));
        let ranges: Vec<_> = ranges.collect();
        let test = |kept: usize| self.kept.get(kept).map_or(&[][..], |kept| kept.test);
        let rows: Vec<(usize, usize)> = if from == all || to == all {
            let place = |row: &usize| {
                let part = ranges.iter().position(|range| range.contains(row))?;
                Some((part, row - ranges.get(part)?.start))
            };
            test(all).iter().filter_map(place).filter(|(part, _)| to == all || to == *part).collect()
        } else {
            test(to).iter().map(|row| (to, *row)).collect()
        };
        let trained = |&(part, row): &(usize, usize)| {
            let group = parts.get(part).and_then(|p| p.source.rows().groups.get(row));
            group
                .zip(self.kept.get(from))
                .is_some_and(|(group, kept)| kept.train_groups.contains(group.as_str()))
        };
        let before = rows.len();
        let rows: Vec<_> = rows.into_iter().filter(|row| !trained(row)).collect();
        let left_out = before - rows.len();
        (rows, left_out)
    }

    fn cell(&self, method: Method, from: usize, to: usize, scores: &[Scores]) -> Result<Evaluation> {
        let (rows, _) = self.rows(from, to);
        let name = |at: usize| self.kept.get(at).map_or("", |kept| kept.name);
        if rows.is_empty() {
            return Err(Error::NoRows {
                place: format!("fitted on {}, judged on {}", name(from), name(to)),
                why: "no test row is left of a passage that did not train the probe".to_owned(),
                hint: "data sets that share their passages need more rows, or a larger `--test-fraction`",
            });
        }
        let mut predictions = Predictions { scores: Vec::with_capacity(rows.len()), threshold: 0.0 };
        let (mut labels, mut groups) = (Vec::new(), Vec::new());
        for (part, row) in rows {
            let found = scores.get(part).and_then(|scores| scores.get(&(from, method)));
            let data = self.pooled.parts().get(part).map(|part| part.source.rows());
            let Some((found, data)) = found.zip(data) else { continue };
            predictions.threshold = found.threshold;
            predictions.scores.extend(found.scores.get(row));
            labels.extend(data.labels.get(row));
            groups.extend(data.groups.get(row).cloned());
        }
        Evaluation::of(&predictions, &labels, &groups, self.settings.resamples, self.settings.seed)
    }

    /// Says which cells leave out rows.
    fn left_out(&self) -> Option<String> {
        let mut cells = Vec::new();
        for (from, one) in self.kept.iter().enumerate() {
            for (to, other) in self.kept.iter().enumerate() {
                match self.rows(from, to) {
                    (_, 0) => {}
                    (rows, left) => cells.push(format!(
                        "{} to {} ({left} of {})",
                        one.name,
                        other.name,
                        left + rows.len()
                    )),
                }
            }
        }
        let text = cells.join(", ");
        (!cells.is_empty())
            .then(|| format!("transfer leaves out test rows of passages that trained the probe: from {text}"))
    }
}

/// The matrices as one flat table, a row a cell.
fn csv(transfer: &BTreeMap<Method, Transfer>) -> Result<Vec<u8>> {
    struct Entry<'a> {
        method: Method,
        from: (&'a str, usize),
        to: &'a str,
        test: &'a Evaluation,
    }
    let mut entries = Vec::new();
    for (&method, matrix) in transfer {
        let rows = matrix.datasets.iter().zip(&matrix.layers).zip(&matrix.cells);
        for ((from, &layer), cells) in rows {
            for (to, test) in matrix.datasets.iter().zip(cells) {
                entries.push(Entry { method, from: (from, layer), to, test });
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
    let columns = vec![
        text("method", &|e| e.method.name().to_owned()),
        text("fitted_on", &|e| e.from.0.to_owned()),
        count("layer", &|e| Some(e.from.1 as u64)),
        text("judged_on", &|e| e.to.to_owned()),
        count("rows", &|e| {
            let all = |c: crate::metrics::Confusion| {
                c.true_positive + c.false_positive + c.true_negative + c.false_negative
            };
            e.test.confusion.map(|c| all(c) as u64)
        }),
        number("accuracy", &|e| Some(e.test.accuracy)),
        number("accuracy_low", &|e| e.test.accuracy_ci.map(|ci| ci[0])),
        number("accuracy_high", &|e| e.test.accuracy_ci.map(|ci| ci[1])),
        number("auroc", &|e| e.test.auroc),
        number("auroc_low", &|e| e.test.auroc_ci.map(|ci| ci[0])),
        number("auroc_high", &|e| e.test.auroc_ci.map(|ci| ci[1])),
    ];
    let mut table = DataFrame::new(entries.len(), columns).map_err(|e| write_error("transfer.csv", &e))?;
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(&mut table).map_err(|e| write_error("transfer.csv", &e))?;
    Ok(bytes)
}

//! Transfer: every data set's chosen probes on the test rows of every other, and what to compare that with.

use crate::method;
use ccs_report::{Against, LeftOut, Transfer};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;
use tch::Device;

use crate::Result;
use crate::engine::compute::in_parallel;
use crate::engine::evaluate::{Predicted, RandomDirections, predict};
use crate::settings::Settings;
use crate::source::Layer;
use crate::source::Source as _;
use crate::source::origin::locate;
use crate::source::pooled::Pooled;
use crate::transfer::directions::{cosines, gradient};
use crate::transfer::evaluate::Evaluator;
use crate::transfer::fitted_run::FittedRun;
use crate::transfer::target::unknown_templates;
use ccs::Contrast;
use ccs::SeedTree;
use ccs::baselines::{Predictions, random_directions_as};
use ccs::pick;
use ccs::probe::Probe;
use ccs::stats::split::Split;
use ccs_report::DirectionCosines;
use ccs_report::Evaluation;
use ccs_report::Method;

/// The name of all data sets together.
pub const ALL: &str = "all";

/// The transfer between data sets.
#[derive(Default)]
pub(crate) struct Transfers {
    pub(crate) by_method: IndexMap<Method, Transfer>,
    /// The model's own answers, by data set.
    pub(crate) answers: IndexMap<Method, Vec<Option<Evaluation>>>,
    pub(crate) notes: Vec<String>,
}

/// Runs of data sets that share the sides of their splits: no test row is of a group (passage) that any of them was
/// fitted on.
struct DataSets<'a> {
    /// Those of the data sets in order, then that of all of them, then those of all but one in the same order, if any.
    runs: &'a [FittedRun<'a>],
    pooled: &'a Pooled<'a>,
    settings: &'a Settings,
    device: Device,
    /// The pooled numbers of all test rows, ascending.
    tested: Vec<usize>,
    /// For each data set, and all of them, its rows, as positions in `tested`, and their evaluator.
    columns: Vec<(Vec<usize>, Evaluator)>,
}

/// What was found at the chosen layers, from data set to data set.
#[derive(Default)]
struct Scores {
    /// Of every test row, by the probes of a data set.
    predictions: BTreeMap<(usize, Method), (usize, Predictions)>,
    /// Random directions, by data set, layer and column.
    random: BTreeMap<(usize, usize, usize), (Evaluation, RandomDirections)>,
    /// Between the probes of the data sets, at the layer chosen for all of them.
    directions: BTreeMap<Method, DirectionCosines>,
    notes: BTreeSet<String>,
}

/// A probe on the rows of a column.
struct Cell {
    method: Method,
    layer: usize,
    test: Evaluation,
    predicted: Predicted,
}

/// Evaluates every run's chosen probes on the test rows of every other: `runs` are those of the data sets in order, then
/// that of all of them, then, where there are any, those of all but the first, all but the second, and so on.
pub(crate) fn transfers(
    runs: &[FittedRun<'_>],
    pooled: &Pooled<'_>,
    settings: &Settings,
    device: Device,
) -> Result<Transfers> {
    DataSets::new(runs, pooled, settings, device)?.transfers()
}

impl<'a> DataSets<'a> {
    fn new(
        runs: &'a [FittedRun<'a>],
        pooled: &'a Pooled<'a>,
        settings: &'a Settings,
        device: Device,
    ) -> Result<Self> {
        let rows = pooled.rows();
        let judged = || runs.iter().take(pooled.parts().len() + 1).map(|run| &run.test);
        let tested: Vec<usize> = judged().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let position: HashMap<usize, usize> = tested.iter().enumerate().map(|(at, row)| (*row, at)).collect();
        let column = |test: &Vec<usize>| {
            let (labels, groups) = (pick(&rows.labels, test)?, pick(&rows.groups, test)?);
            let evaluator = Evaluator::new(&labels, &groups)?;
            Ok((test.iter().filter_map(|row| position.get(row).copied()).collect(), evaluator))
        };
        let columns = judged().map(column).collect::<Result<_>>()?;
        Ok(Self { runs, pooled, settings, device, tested, columns })
    }

    /// The runs that the matrix has a row of: without those of all but one.
    fn matrix(&self) -> &'a [FittedRun<'a>] {
        self.runs.get(..self.columns.len()).unwrap_or(self.runs)
    }

    /// The columns that a run is evaluated on: all, or of all data sets but one that one.
    fn columns_of(&self, from: usize) -> std::ops::Range<usize> {
        match from.checked_sub(self.columns.len()) {
            Some(left_out) => left_out..left_out + 1,
            None => 0..self.columns.len(),
        }
    }

    fn transfers(&self) -> Result<Transfers> {
        let mut scores = Scores::default();
        let wanted: BTreeSet<usize> =
            self.runs.iter().flat_map(|run| run.chosen.iter().map(|p| p.1)).collect();
        for layer in self.pooled.layers().iter().filter(|l| wanted.contains(&l.layer)) {
            self.layer(layer, &mut scores)?;
        }
        let answers: Vec<Option<(Method, Predicted)>> =
            (0..self.columns.len()).map(|to| self.own_answers(to)).collect::<Result<_>>()?;
        let mut found = Transfers::default();
        let methods: BTreeSet<Method> = scores.predictions.keys().map(|(_, method)| *method).collect();
        for method in methods {
            for run in self.runs.iter().filter(|run| !run.chosen.iter().any(|p| p.0 == method)) {
                let note = format!("{method} has no chosen layer on {}: nothing goes from there", run.name);
                scores.notes.insert(note);
            }
            found.by_method.insert(method, self.transfer(method, &scores, &answers)?);
        }
        for method in [Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT] {
            let of: Vec<Option<Evaluation>> =
                self.matrix().iter().map(|run| run.answers.get(&method).cloned()).collect();
            if of.iter().any(Option::is_some) {
                found.answers.insert(method, of);
            }
        }
        found.by_method = method::in_order(found.by_method);
        found.notes = scores.notes.into_iter().collect();
        Ok(found)
    }

    /// All rows at a layer, with templates named as each data set names its own, and as the pool does.
    fn pairs(&self, layer: &Layer) -> Result<[Contrast; 2]> {
        let states = self.pooled.load(layer)?.moved_to(self.device)?;
        let rows = self.pooled.rows();
        let make = || {
            states
                .alias()?
                .labeled(rows.labels.clone(), rows.groups.clone())
                .map_err(|error| locate(self.pooled, error))
        };
        let own = self.pooled.parts().iter().flat_map(|part| {
            let rows = part.source.rows();
            (0..rows.labels.len()).map(|row| rows.templates.get(row).cloned().unwrap_or_default())
        });
        // Questions are told apart: one may stand in two data sets under templates of one name.
        let own = make()?.with_variants(rows.ids.clone(), own.collect())?;
        let within_all = make()?.with_variants(rows.questions.clone(), rows.templates.clone())?;
        Ok([own, within_all])
    }

    /// Predictions of the probes that chose a layer, and of random directions there, on all test rows.
    fn layer(&self, layer: &Layer, scores: &mut Scores) -> Result<()> {
        let [own, within_all] = self.pairs(layer)?;
        for (from, run) in self.runs.iter().enumerate() {
            let mut probes = run.chosen.iter().filter(|p| p.1 == layer.layer).peekable();
            if probes.peek().is_none() {
                continue;
            }
            // Its templates are named as when it was fitted.
            let pairs = if run.own_templates { &own } else { &within_all };
            let test = pairs.select(&self.tested)?;
            for (method, _, probe) in probes {
                scores.predictions.insert((from, *method), (layer.layer, predict(probe, &test)?));
                self.note_templates(from, run, probe, &test, &mut scores.notes)?;
            }
            if self.asked(Method::RANDOM) {
                self.random(from, layer, &pairs.select(&run.train)?, &test, scores)?;
            }
        }
        self.directions(layer, &within_all, scores)
    }

    /// Random directions, normalized and signed by the training rows of one run, on the columns that it is evaluated on.
    fn random(
        &self,
        from: usize,
        layer: &Layer,
        train: &Contrast,
        test: &Contrast,
        scores: &mut Scores,
    ) -> Result<()> {
        let (normalization, count) = (self.settings.normalization, self.settings.directions);
        let stream = SeedTree::new(self.settings.seed).child(Method::RANDOM.name());
        let stream = stream.indexed("layer", layer.layer);
        let directions = random_directions_as(normalization, train, test, count, &stream)?.predictions;
        let band = |(rows, evaluator): &(Vec<usize>, Evaluator)| -> Result<(Evaluation, RandomDirections)> {
            evaluator.band(&directions.iter().map(|d| at(d, rows)).collect::<Result<Vec<_>>>()?)
        };
        let asked = self.columns_of(from);
        let columns = self.columns.get(asked.clone()).unwrap_or_default();
        let bands = || columns.par_iter().map(band).collect::<Result<Vec<_>>>();
        let found = in_parallel(host::threads::cores(), bands)?;
        for (to, found) in asked.zip(found) {
            scores.random.insert((from, layer.layer, to), found);
        }
        Ok(())
    }

    /// How the data sets' directions lie to each other, for the methods whose layer it is on all data sets together.
    fn directions(&self, layer: &Layer, within_all: &Contrast, scores: &mut Scores) -> Result<()> {
        let Some(all) = self.matrix().last() else { return Ok(()) };
        for (method, ..) in all.chosen.iter().filter(|p| p.1 == layer.layer) {
            let mut named = Vec::new();
            for run in self.matrix() {
                let Some(probe) = run.probe(*method, layer.layer) else { continue };
                named.extend(gradient(probe)?.map(|direction| (run.name.clone(), direction)));
            }
            let found = cosines(layer.layer, named, &within_all.select(&all.train)?)?;
            scores.directions.extend(found.map(|found| (*method, found)));
        }
        Ok(())
    }

    fn asked(&self, method: Method) -> bool {
        self.settings.methods(self.pooled.kind(), self.pooled.all_tokens().is_some(), true).contains(&method)
    }

    /// Notes test rows of templates that a probe has no statistics for.
    fn note_templates(
        &self,
        from: usize,
        run: &FittedRun<'_>,
        probe: &Probe,
        test: &Contrast,
        notes: &mut BTreeSet<String>,
    ) -> Result<()> {
        for to in self.columns_of(from) {
            let (Some(other), Some((rows, _))) = (self.runs.get(to), self.columns.get(to)) else { continue };
            if other.name == ALL {
                continue;
            }
            if let Some((unknown, what)) = unknown_templates(probe, &test.select(rows)?) {
                let (from, to, all) = (&run.name, &other.name, rows.len());
                notes.insert(format!("from {from} to {to}: {unknown} of {all} test {what}"));
            }
        }
        Ok(())
    }

    /// The model's own answers to a column's test rows, by the reading that is the bar there.
    fn own_answers(&self, to: usize) -> Result<Option<(Method, Predicted)>> {
        let (Some(run), Some((_, evaluator))) = (self.runs.get(to), self.columns.get(to)) else {
            return Ok(None);
        };
        let Some(bar) = run.bar else { return Ok(None) };
        let part = self.pooled.parts().get(to);
        let source = part.map_or(self.pooled.rows(), |part| part.source.rows());
        let start = part.map_or(0, |_| self.pooled.range(to).start);
        let own = |rows: &[usize]| rows.iter().map(|row| row - start).collect();
        let split = Split { train: own(&run.train), test: own(&run.test) };
        let [_, test] = bar.predictions(source, self.settings.true_share, &split)?;
        Ok(Some((bar.method(), evaluator.predicted(&test)?)))
    }

    fn transfer(
        &self,
        method: Method,
        scores: &Scores,
        answers: &[Option<(Method, Predicted)>],
    ) -> Result<Transfer> {
        let rows = self.matrix().len();
        let (mut cells, mut against) = (vec![Vec::new(); rows], vec![Vec::new(); rows]);
        let mut left_out = Vec::new();
        for to in 0..self.columns.len() {
            let own = self.cell(scores, method, to, to)?;
            for (from, (cells, against)) in cells.iter_mut().zip(&mut against).enumerate() {
                let cell = self.cell(scores, method, from, to)?;
                let own = own.as_ref().filter(|_| from != to);
                against.push(cell.as_ref().map(|cell| self.against(cell, (from, to), own, scores, answers)));
                cells.push(cell.map(|cell| cell.test));
            }
            let from = rows + to;
            if from < self.runs.len() {
                left_out.push(self.cell(scores, method, from, to)?.map(|cell| {
                    let against = self.against(&cell, (from, to), own.as_ref(), scores, answers);
                    LeftOut { layer: cell.layer, test: cell.test, against }
                }));
            }
        }
        let layer = |from| scores.predictions.get(&(from, method)).map(|found| found.0);
        Ok(Transfer {
            datasets: self.matrix().iter().map(|run| run.name.clone()).collect(),
            layers: (0..rows).map(layer).collect(),
            cells,
            against,
            left_out,
            directions: scores.directions.get(&method).cloned(),
        })
    }

    /// A run's probe on the rows of a column; none where the run has no probe of the method.
    fn cell(&self, scores: &Scores, method: Method, from: usize, to: usize) -> Result<Option<Cell>> {
        let Some((layer, predictions)) = scores.predictions.get(&(from, method)) else { return Ok(None) };
        let Some((rows, evaluator)) = self.columns.get(to) else { return Ok(None) };
        let predictions = at(predictions, rows)?;
        let (test, predicted) = (evaluator.test(&predictions)?, evaluator.predicted(&predictions)?);
        Ok(Some(Cell { method, layer: *layer, test, predicted }))
    }

    /// What a cell is compared with; `own` is the one fitted on the data that both are evaluated on.
    fn against(
        &self,
        cell: &Cell,
        (from, to): (usize, usize),
        own: Option<&Cell>,
        scores: &Scores,
        answers: &[Option<(Method, Predicted)>],
    ) -> Against {
        let over = |second: Method, there: usize, other: &Predicted| {
            let (_, evaluator) = self.columns.get(to)?;
            Some(evaluator.difference((cell.method, cell.layer, &cell.predicted), (second, there, other)))
        };
        let random = scores.random.get(&(from, cell.layer, to));
        let answer = answers.get(to).and_then(Option::as_ref);
        Against {
            random: random.map(|(band, _)| band.clone()),
            over_random: random.and_then(|(_, other)| {
                let (_, evaluator) = self.columns.get(to)?;
                evaluator.beyond_random((cell.method, cell.layer, &cell.predicted), other)
            }),
            over_own: own.and_then(|own| over(own.method, own.layer, &own.predicted)),
            over_zero_shot: answer.and_then(|(own, other)| over(*own, cell.layer, other)),
        }
    }
}

/// The predictions at some of their rows.
fn at(predictions: &Predictions, rows: &[usize]) -> Result<Predictions> {
    Ok(Predictions { scores: pick(&predictions.scores, rows)?, threshold: predictions.threshold })
}

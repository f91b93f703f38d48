//! Transfer: every data set's chosen probes on the test rows of every other, and what to compare that with.

use crate::method;
use ccs_report::{Against, Transfer};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;
use tch::Device;

use crate::Result;
use crate::engine::compute::in_parallel;
use crate::engine::evaluate::{Predicted, RandomDirections, predict};
use crate::run::Run;
use crate::settings::Settings;
use crate::source::Layer;
use crate::source::Source as _;
use crate::source::origin::locate;
use crate::source::pooled::Pooled;
use crate::transfer::evaluate::Evaluator;
use crate::transfer::target::unknown_templates;
use ccs::Contrast;
use ccs::SeedTree;
use ccs::baselines::{Predictions, random_directions_as, zero_shot};
use ccs::pick;
use ccs::probe::Probe;
use ccs_report::Evaluation;
use ccs_report::Method;

/// The name of all data sets together.
pub const ALL: &str = "all";

/// What is needed of a fitted run to evaluate its probes elsewhere.
pub(crate) struct FittedRun<'a> {
    name: &'a str,
    /// Rows by their numbers in its own source.
    train: &'a [usize],
    test: &'a [usize],
    /// The probes at their chosen layers.
    probes: Vec<&'a (Method, usize, Probe)>,
    /// The model's own answers, as the run evaluated them.
    answers: IndexMap<Method, Evaluation>,
}

impl<'a> FittedRun<'a> {
    pub(crate) fn of(name: &'a str, run: &'a Run) -> Self {
        let probes = run.probes.iter().filter(|(method, layer, _)| run.is_chosen(*method, *layer)).collect();
        let found = |method: Method| {
            let report = run.report.layers.iter().find_map(|l| l.methods.get(&method))?;
            Some((method, report.test.clone()))
        };
        let answers =
            [Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT].into_iter().filter_map(found).collect();
        Self { name, train: &run.split.train.row, test: &run.split.test.row, probes, answers }
    }
}

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
    /// The data sets in order, then all of them.
    runs: &'a [FittedRun<'a>],
    pooled: &'a Pooled<'a>,
    settings: &'a Settings,
    device: Device,
    /// The pooled numbers of all test rows, ascending.
    tested: Vec<usize>,
    /// For each column its rows, as positions in `tested`, and their evaluator.
    columns: Vec<(Vec<usize>, Evaluator)>,
}

/// What was found at the chosen layers, from data set to data set.
#[derive(Default)]
struct Scores {
    /// Of every test row, by the probes of a data set.
    predictions: BTreeMap<(usize, Method), (usize, Predictions)>,
    /// Random directions, by data set, layer and column.
    random: BTreeMap<(usize, usize, usize), (Evaluation, RandomDirections)>,
    notes: BTreeSet<String>,
}

/// Evaluates every run's chosen probes on the test rows of every other: `runs` are those of the data sets in order, then
/// that of all of them.
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
        let start = |at: usize| if at < pooled.parts().len() { pooled.range(at).start } else { 0 };
        let tests = runs.iter().enumerate().map(|(at, run)| {
            let start = start(at);
            run.test.iter().map(|row| start + row).collect::<Vec<usize>>()
        });
        let tests: Vec<Vec<usize>> = tests.collect();
        let tested: Vec<usize> =
            tests.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let position: HashMap<usize, usize> = tested.iter().enumerate().map(|(at, row)| (*row, at)).collect();
        let column = |test: &Vec<usize>| {
            let (labels, groups) = (pick(&rows.labels, test)?, pick(&rows.groups, test)?);
            let evaluator = Evaluator::new(&labels, &groups)?;
            Ok((test.iter().filter_map(|row| position.get(row).copied()).collect(), evaluator))
        };
        let columns = tests.iter().map(column).collect::<Result<_>>()?;
        Ok(Self { runs, pooled, settings, device, tested, columns })
    }

    fn transfers(&self) -> Result<Transfers> {
        let mut scores = Scores::default();
        let wanted: BTreeSet<usize> =
            self.runs.iter().flat_map(|run| run.probes.iter().map(|p| p.1)).collect();
        for layer in self.pooled.layers().iter().filter(|l| wanted.contains(&l.layer)) {
            self.layer(layer, &mut scores)?;
        }
        let answers: Vec<Option<Predicted>> =
            (0..self.runs.len()).map(|to| self.zero_shot(to)).collect::<Result<_>>()?;
        let mut found = Transfers::default();
        let methods: BTreeSet<Method> = scores.predictions.keys().map(|(_, method)| *method).collect();
        for method in methods {
            for run in self.runs.iter().filter(|run| !run.probes.iter().any(|p| p.0 == method)) {
                let note = format!("{method} has no chosen layer on {}: nothing goes from there", run.name);
                scores.notes.insert(note);
            }
            found.by_method.insert(method, self.transfer(method, &scores, &answers)?);
        }
        for method in [Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT] {
            let of: Vec<Option<Evaluation>> =
                self.runs.iter().map(|run| run.answers.get(&method).cloned()).collect();
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
        let (plus, minus) = self.pooled.load(layer)?;
        let (plus, minus) = (plus.f_to_device(self.device)?, minus.f_to_device(self.device)?);
        let rows = self.pooled.rows();
        let make = || {
            let (plus, minus) = (plus.f_alias()?, minus.f_alias()?);
            Contrast::new(plus, minus, rows.labels.clone(), rows.groups.clone())
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
        let stream = SeedTree::new(self.settings.seed).child(Method::RANDOM.name());
        for (from, run) in self.runs.iter().enumerate() {
            let mut probes = run.probes.iter().filter(|p| p.1 == layer.layer).peekable();
            if probes.peek().is_none() {
                continue;
            }
            // Its templates are named as when it was fitted.
            let (pairs, start) = match self.pooled.parts().get(from) {
                Some(_) => (&own, self.pooled.range(from).start),
                None => (&within_all, 0),
            };
            let test = pairs.select(&self.tested)?;
            for (method, _, probe) in probes {
                scores.predictions.insert((from, *method), (layer.layer, predict(probe, &test)?));
                self.note_templates(run, probe, &test, &mut scores.notes)?;
            }
            if !self.asked(Method::RANDOM) {
                continue;
            }
            let train: Vec<usize> = run.train.iter().map(|row| start + row).collect();
            let (train, stream) = (pairs.select(&train)?, stream.indexed("layer", layer.layer));
            let (normalization, count) = (self.settings.normalization, self.settings.directions);
            let directions = random_directions_as(normalization, &train, &test, count, &stream)?.predictions;
            let band = |(rows, evaluator): &(Vec<usize>, Evaluator)| -> Result<(Evaluation, RandomDirections)> {
                evaluator.band(&directions.iter().map(|d| at(d, rows)).collect::<Result<Vec<_>>>()?)
            };
            let columns = &self.columns;
            let bands = || columns.par_iter().map(band).collect::<Result<Vec<_>>>();
            let columns = in_parallel(host::threads::cores(), bands)?;
            for (to, found) in columns.into_iter().enumerate() {
                scores.random.insert((from, layer.layer, to), found);
            }
        }
        Ok(())
    }

    fn asked(&self, method: Method) -> bool {
        self.settings.methods(true).contains(&method)
    }

    /// Notes test rows of templates that a probe has no statistics for.
    fn note_templates(
        &self,
        run: &FittedRun<'_>,
        probe: &Probe,
        test: &Contrast,
        notes: &mut BTreeSet<String>,
    ) -> Result<()> {
        for (other, (rows, _)) in self.runs.iter().zip(&self.columns).filter(|(other, _)| other.name != ALL) {
            if let Some((unknown, what)) = unknown_templates(probe, &test.select(rows)?) {
                let (from, to, all) = (run.name, other.name, rows.len());
                notes.insert(format!("from {from} to {to}: {unknown} of {all} test {what}"));
            }
        }
        Ok(())
    }

    /// The model's own answers to a column's rows.
    fn zero_shot(&self, to: usize) -> Result<Option<Predicted>> {
        let source = self.pooled.parts().get(to).map_or(self.pooled.rows(), |part| part.source.rows());
        let (Some(run), Some((_, evaluator))) = (self.runs.get(to), self.columns.get(to)) else {
            return Ok(None);
        };
        if !self.asked(Method::ZERO_SHOT) {
            return Ok(None);
        }
        match source.answers(self.settings.zero_shot)? {
            Some((plus, minus)) => {
                let answers = zero_shot(&pick(plus, run.test)?, &pick(minus, run.test)?)?;
                evaluator.predicted(&answers).map(Some)
            }
            None => Ok(None),
        }
    }

    fn transfer(&self, method: Method, scores: &Scores, answers: &[Option<Predicted>]) -> Result<Transfer> {
        let all = 0..self.runs.len();
        let cell = |from: usize, to: usize| -> Result<Option<(usize, Evaluation, Predicted)>> {
            let Some((layer, predictions)) = scores.predictions.get(&(from, method)) else { return Ok(None) };
            let Some((rows, evaluator)) = self.columns.get(to) else { return Ok(None) };
            let predictions = at(predictions, rows)?;
            Ok(Some((*layer, evaluator.test(&predictions)?, evaluator.predicted(&predictions)?)))
        };
        let (mut cells, mut against) = (vec![Vec::new(); all.len()], vec![Vec::new(); all.len()]);
        for (to, (_, evaluator)) in self.columns.iter().enumerate() {
            let own = cell(to, to)?;
            for (from, (cells, against)) in cells.iter_mut().zip(&mut against).enumerate() {
                let Some((layer, test, predicted)) = cell(from, to)? else {
                    cells.push(None);
                    against.push(None);
                    continue;
                };
                let over = |(second, layer_there): (Method, usize), other: &Predicted| {
                    evaluator.difference((method, layer, &predicted), (second, layer_there, other))
                };
                let random = scores.random.get(&(from, layer, to));
                let own = own.as_ref().filter(|_| from != to);
                let answer = answers.get(to).and_then(Option::as_ref);
                against.push(Some(Against {
                    random: random.map(|(band, _)| band.clone()),
                    over_random: random.and_then(|(_, other)| {
                        evaluator.beyond_random((method, layer, &predicted), other)
                    }),
                    over_own: own.map(|(there, _, other)| over((method, *there), other)),
                    over_zero_shot: answer.map(|other| over((Method::ZERO_SHOT, layer), other)),
                }));
                cells.push(Some(test));
            }
        }
        let layers = all.map(|from| scores.predictions.get(&(from, method)).map(|found| found.0)).collect();
        let datasets = self.runs.iter().map(|run| run.name.to_owned()).collect();
        Ok(Transfer { datasets, layers, cells, against })
    }
}

/// The predictions at some of their rows.
fn at(predictions: &Predictions, rows: &[usize]) -> Result<Predictions> {
    Ok(Predictions { scores: pick(&predictions.scores, rows)?, threshold: predictions.threshold })
}

//! From data set to data set: every data set's chosen probes on the test rows of every other, and what to hold that
//! against.

use crate::method;
use ccs_report::{Against, Transfer};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;
use tch::Device;

use crate::Result;
use crate::engine::Run;
use crate::engine::evaluate::{Resampled, predict};
use crate::settings::Settings;
use crate::source::Layer;
use crate::source::Source as _;
use crate::source::origin::placed;
use crate::source::pooled::Pooled;
use crate::transfer::eval::unknown_templates;
use crate::transfer::judge::Judge;
use crate::transfer::sweep::ALL;
use ccs::Contrast;
use ccs::baselines::{Predictions, random_directions_as, zero_shot};
use ccs::pick;
use ccs::probe::Probe;
use ccs::rng::Stream;
use ccs_report::Evaluation;
use ccs_report::Method;

/// What is needed of a fitted run to judge it elsewhere.
pub(crate) struct Kept<'a> {
    name: &'a str,
    /// Rows by their numbers in its own source.
    train: &'a [usize],
    test: &'a [usize],
    /// The probes at their chosen layers.
    probes: Vec<&'a (Method, usize, Probe)>,
    /// The model's own answers, as the run judged them.
    answers: IndexMap<Method, Evaluation>,
}

impl<'a> Kept<'a> {
    pub(crate) fn of(name: &'a str, run: &'a Run) -> Self {
        let probes = run.probes.iter().filter(|(method, layer, _)| is_chosen(run, *method, *layer)).collect();
        let found = |method: Method| {
            let report = run.report.layers.iter().find_map(|l| l.methods.get(&method))?;
            Some((method, report.test.clone()))
        };
        let answers =
            [Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT].into_iter().filter_map(found).collect();
        Self { name, train: &run.split.train.row, test: &run.split.test.row, probes, answers }
    }
}

pub(crate) fn is_chosen(run: &Run, method: Method, layer: usize) -> bool {
    run.report.chosen.get(&method).is_some_and(|chosen| chosen.layer == Some(layer))
}

/// What a sweep finds.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) transfer: IndexMap<Method, Transfer>,
    pub(crate) answers: IndexMap<Method, Vec<Option<Evaluation>>>,
    pub(crate) notes: Vec<String>,
}

/// Runs of data sets that share the sides of their splits: no test row is of a group (passage) that any of them was
/// fitted on.
pub(crate) struct Matrix<'a> {
    /// The data sets in order, then all of them.
    kept: &'a [Kept<'a>],
    pooled: &'a Pooled<'a>,
    settings: &'a Settings,
    device: Device,
    /// The pooled numbers of all test rows, ascending.
    tested: Vec<usize>,
    /// For each column its rows, as places in `tested`, and their judge.
    columns: Vec<(Vec<usize>, Judge)>,
}

/// What was found at the chosen layers, from data set to data set.
#[derive(Default)]
struct Scores {
    /// Of every test row, by the probes of a data set.
    predictions: BTreeMap<(usize, Method), (usize, Predictions)>,
    /// Random directions, by data set, layer and column.
    random: BTreeMap<(usize, usize, usize), (Evaluation, Resampled)>,
    notes: BTreeSet<String>,
}

impl<'a> Matrix<'a> {
    pub(crate) fn new(
        kept: &'a [Kept<'a>],
        pooled: &'a Pooled<'a>,
        settings: &'a Settings,
        device: Device,
    ) -> Result<Self> {
        let rows = pooled.rows();
        let start = |at: usize| if at < pooled.parts().len() { pooled.range(at).start } else { 0 };
        let tests = kept.iter().enumerate().map(|(at, kept)| {
            let start = start(at);
            kept.test.iter().map(|row| start + row).collect::<Vec<usize>>()
        });
        let tests: Vec<Vec<usize>> = tests.collect();
        let tested: Vec<usize> =
            tests.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let place: HashMap<usize, usize> = tested.iter().enumerate().map(|(at, row)| (*row, at)).collect();
        let column = |test: &Vec<usize>| {
            let (labels, groups) = (pick(&rows.labels, test)?, pick(&rows.groups, test)?);
            let judge = Judge::new(&labels, &groups, settings.resamples, settings.seed)?;
            Ok((test.iter().filter_map(|row| place.get(row).copied()).collect(), judge))
        };
        let columns = tests.iter().map(column).collect::<Result<_>>()?;
        Ok(Self { kept, pooled, settings, device, tested, columns })
    }

    pub(crate) fn judge(&self) -> Result<Found> {
        let mut scores = Scores::default();
        let wanted: BTreeSet<usize> =
            self.kept.iter().flat_map(|kept| kept.probes.iter().map(|p| p.1)).collect();
        for layer in self.pooled.layers().iter().filter(|l| wanted.contains(&l.layer)) {
            self.layer(layer, &mut scores)?;
        }
        let answers: Vec<Option<Resampled>> =
            (0..self.kept.len()).map(|to| self.zero_shot(to)).collect::<Result<_>>()?;
        let mut found = Found::default();
        let methods: BTreeSet<Method> = scores.predictions.keys().map(|(_, method)| *method).collect();
        for method in methods {
            for kept in self.kept.iter().filter(|kept| !kept.probes.iter().any(|p| p.0 == method)) {
                let note = format!("{method} has no chosen layer on {}: nothing goes from there", kept.name);
                scores.notes.insert(note);
            }
            found.transfer.insert(method, self.transfer(method, &scores, &answers)?);
        }
        for method in [Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT] {
            let of: Vec<Option<Evaluation>> =
                self.kept.iter().map(|kept| kept.answers.get(&method).cloned()).collect();
            if of.iter().any(Option::is_some) {
                found.answers.insert(method, of);
            }
        }
        found.transfer = method::in_order(found.transfer);
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
                .map_err(|error| placed(self.pooled, error))
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

    /// What the probes that chose a layer, and random directions there, make of all test rows.
    fn layer(&self, layer: &Layer, scores: &mut Scores) -> Result<()> {
        let [own, within_all] = self.pairs(layer)?;
        let stream = Stream::new(self.settings.seed).child(Method::RANDOM.name());
        for (from, kept) in self.kept.iter().enumerate() {
            let mut probes = kept.probes.iter().filter(|p| p.1 == layer.layer).peekable();
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
                self.note_templates(kept, probe, &test, &mut scores.notes)?;
            }
            if !self.asked(Method::RANDOM) {
                continue;
            }
            let train: Vec<usize> = kept.train.iter().map(|row| start + row).collect();
            let (train, stream) = (pairs.select(&train)?, stream.indexed("layer", layer.layer));
            let (normalization, count) = (self.settings.normalization, self.settings.directions);
            let directions = random_directions_as(normalization, &train, &test, count, &stream)?.predictions;
            let band = |(rows, judge): &(Vec<usize>, Judge)| -> Result<(Evaluation, Resampled)> {
                judge.band(directions.iter().map(|d| at(d, rows)).collect::<Result<_>>()?)
            };
            let columns = &self.columns;
            let bands = || columns.par_iter().map(band).collect::<Result<Vec<_>>>();
            let columns = crate::engine::in_parallel(host::threads::cores(), bands)?;
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
        kept: &Kept<'_>,
        probe: &Probe,
        test: &Contrast,
        notes: &mut BTreeSet<String>,
    ) -> Result<()> {
        for (other, (rows, _)) in self.kept.iter().zip(&self.columns).filter(|(other, _)| other.name != ALL) {
            if let Some((unknown, what)) = unknown_templates(probe, &test.select(rows)?) {
                let (from, to, all) = (kept.name, other.name, rows.len());
                notes.insert(format!("from {from} to {to}: {unknown} of {all} test {what}"));
            }
        }
        Ok(())
    }

    /// The model's own answers to a column's rows.
    fn zero_shot(&self, to: usize) -> Result<Option<Resampled>> {
        let source = self.pooled.parts().get(to).map_or(self.pooled.rows(), |part| part.source.rows());
        let (Some(kept), Some((_, judge))) = (self.kept.get(to), self.columns.get(to)) else {
            return Ok(None);
        };
        if !self.asked(Method::ZERO_SHOT) {
            return Ok(None);
        }
        match source.answers(self.settings.zero_shot)? {
            Some((plus, minus)) => {
                let answers = zero_shot(&pick(plus, kept.test)?, &pick(minus, kept.test)?)?;
                judge.resampled(&answers).map(Some)
            }
            None => Ok(None),
        }
    }

    fn transfer(&self, method: Method, scores: &Scores, answers: &[Option<Resampled>]) -> Result<Transfer> {
        let all = 0..self.kept.len();
        let cell = |from: usize, to: usize| -> Result<Option<(usize, Evaluation, Resampled)>> {
            let Some((layer, predictions)) = scores.predictions.get(&(from, method)) else { return Ok(None) };
            let Some((rows, judge)) = self.columns.get(to) else { return Ok(None) };
            let predictions = at(predictions, rows)?;
            Ok(Some((*layer, judge.test(&predictions)?, judge.resampled(&predictions)?)))
        };
        let (mut cells, mut against) = (vec![Vec::new(); all.len()], vec![Vec::new(); all.len()]);
        for (to, (_, judge)) in self.columns.iter().enumerate() {
            let own = cell(to, to)?;
            for (from, (cells, against)) in cells.iter_mut().zip(&mut against).enumerate() {
                let Some((layer, test, resampled)) = cell(from, to)? else {
                    cells.push(None);
                    against.push(None);
                    continue;
                };
                let over = |(second, layer_there): (Method, usize), other: &Resampled| {
                    judge.difference((method, layer, &resampled), (second, layer_there, other))
                };
                let random = scores.random.get(&(from, layer, to));
                let own = own.as_ref().filter(|_| from != to);
                let answer = answers.get(to).and_then(Option::as_ref);
                against.push(Some(Against {
                    random: random.map(|(band, _)| band.clone()),
                    over_random: random.map(|(_, other)| over((Method::RANDOM, layer), other)),
                    over_own: own.map(|(there, _, other)| over((method, *there), other)),
                    over_zero_shot: answer.map(|other| over((Method::ZERO_SHOT, layer), other)),
                }));
                cells.push(Some(test));
            }
        }
        let layers = all.map(|from| scores.predictions.get(&(from, method)).map(|found| found.0)).collect();
        let datasets = self.kept.iter().map(|kept| kept.name.to_owned()).collect();
        Ok(Transfer { datasets, layers, cells, against })
    }
}

/// The predictions at some of their rows.
fn at(predictions: &Predictions, rows: &[usize]) -> Result<Predictions> {
    Ok(Predictions { scores: pick(&predictions.scores, rows)?, threshold: predictions.threshold })
}

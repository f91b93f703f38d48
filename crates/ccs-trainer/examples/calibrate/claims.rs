//! What a report claims, and whether it is so.

use std::collections::BTreeMap;

use ccs::baselines::{Band, random_directions_as};
use ccs::stats::metrics::Scored;
use ccs::{Contrast, Normalization, Probe, SeedTree};
use ccs_report::{Finding, Interval, Method, Report};
use ccs_trainer::Run;

/// Each kind of claim that the report of a set could make, and whether one was wrong; without those that could not be wrong.
pub(crate) type Claims = BTreeMap<String, bool>;

pub(crate) const ABOVE: &str = "predicts the labels (any method)";
pub(crate) const BELOW: &str = "predicts the opposite (any method)";
pub(crate) const BEYOND_RANDOM: &str = "better than random directions (any method)";
pub(crate) const BEYOND_ANSWERS: &str = "better than the model's own answers";
pub(crate) const MANY_DIRECTIONS: &str = "more random directions than by chance";
pub(crate) const STANDS_OUT: &str = "a direction stands out in the spectrum of RRC";
pub(crate) const BELOW_LR: &str = "CCS (mass mean) falls short of logistic regression";
pub(crate) const ABOVE_LR: &str = "CCS (mass mean) exceeds logistic regression";
pub(crate) const COLUMN: &str = "a column explains the decisions";
pub(crate) const TURNS: &str = "turns round with a negation (any method)";
pub(crate) const PLACE: &str = "a learned place beats fixed tokens (either method)";
pub(crate) const CROSSES: &str = "a probe of one polarity ranks the other (any method)";
pub(crate) const GAP: &str = "there is a gap between two speakers to recover";
pub(crate) const BAND: &str = "shuffled labels leave their band";
pub(crate) const AUROC: &str = "95% interval of the AUROC of CCS (mass mean, attention)";
pub(crate) const ACCURACY: &str = "95% interval of the accuracy of CCS (mass mean, attention)";
pub(crate) const MINUS_LR: &str = "95% interval of the difference in AUROC from logistic regression";
pub(crate) const RECALL: &str = "95% interval of the share of true rows above 1% of control text";
pub(crate) const FALSE_ROWS: &str = "95% interval of the share of false rows above it";
pub(crate) const RECOVERED: &str = "95% interval of the share of a gap that a probe recovers";
pub(crate) const MINUS_ANSWERS: &str = "95% interval of the difference in AUROC from the model's own answers";

/// Every kind of claim and its level: in how large a share of reports one may be wrong.
pub(crate) const LEVELS: [(&str, f64); 21] = [
    (ABOVE, 0.025),
    (BELOW, 0.025),
    (BEYOND_RANDOM, 0.025),
    (BEYOND_ANSWERS, 0.05),
    (MANY_DIRECTIONS, 0.05),
    (STANDS_OUT, 0.05),
    (BELOW_LR, 0.025),
    (ABOVE_LR, 0.025),
    (COLUMN, 0.05),
    (TURNS, 0.025),
    (CROSSES, 0.05),
    (PLACE, 0.025),
    (GAP, 0.025),
    (BAND, 0.05),
    (AUROC, 0.05),
    (ACCURACY, 0.05),
    (MINUS_LR, 0.05),
    (MINUS_ANSWERS, 0.05),
    (RECALL, 0.05),
    (FALSE_ROWS, 0.05),
    (RECOVERED, 0.05),
];

/// What every probe of a report does on many further rows of its population.
pub(crate) struct Truths(BTreeMap<Method, Truth>);

struct Truth {
    auroc: f64,
    accuracy: f64,
    /// The AUROC of the median random direction at its layer.
    random: f64,
}

impl Truths {
    /// Of a run's probes on many rows, whose states `many` gives by layer.
    pub(crate) fn of(run: &Run, many: &dyn Fn(usize) -> ccs::Result<Contrast>) -> ccs::Result<Self> {
        let mut truths = BTreeMap::new();
        let mut randoms: BTreeMap<usize, f64> = BTreeMap::new();
        for (&method, choice) in &run.report.chosen {
            let Some((layer, probe)) = choice.layer.and_then(|layer| Some((layer, probe(run, method)?)))
            else {
                continue;
            };
            let rows = many(layer)?;
            let scores = probe.score_pairs(&rows)?;
            let scored = Scored::new(&scores, rows.labels(), probe.input().threshold())?;
            let random = match randoms.get(&layer) {
                Some(random) => *random,
                None => *randoms.entry(layer).or_insert(median_of_random_directions(&rows)?),
            };
            let (auroc, accuracy) = (scored.auroc().unwrap_or(0.5), scored.accuracy());
            truths.insert(method, Truth { auroc, accuracy, random });
        }
        Ok(Self(truths))
    }

    pub(crate) fn auroc(&self, method: Method) -> Option<f64> {
        self.0.get(&method).map(|truth| truth.auroc)
    }

    /// Whether a claim of this finding is wrong of any method that it is made of.
    pub(crate) fn wrong(
        &self,
        report: &Report,
        finding: &dyn Fn(Finding) -> bool,
        is_so: &dyn Fn(Method, f64) -> bool,
    ) -> bool {
        let claims = report.verdicts.iter().filter(|v| finding(v.finding));
        claims.filter_map(|v| Some((v.method, self.auroc(v.method)?))).any(|(m, auroc)| !is_so(m, auroc))
    }

    /// The claims that reports of every kind make; `main` is the method whose intervals are looked at.
    pub(crate) fn claims(&self, report: &Report, main: Method) -> Claims {
        let is = |wanted: Finding| move |found: Finding| found == wanted;
        let random = |method: Method| self.0.get(&method).map_or(0.5, |truth| truth.random);
        let own = self.0.get(&main);
        let test = report.chosen.get(&main).and_then(|choice| choice.test.as_ref());
        let compared = report.chosen_difference.as_ref();
        let difference = compared.and_then(|d| Some(self.auroc(d.first)? - self.auroc(d.second)?));
        let mut found = Claims::new();
        let mut add = |name: &str, wrong: Option<bool>| {
            found.extend(wrong.map(|wrong| (name.to_owned(), wrong)));
        };
        // Where nothing is true, 0.5 is what every probe has.
        add(ABOVE, Some(self.wrong(report, &Finding::is_above_chance, &|_, auroc| auroc > 0.505)));
        add(BELOW, Some(self.wrong(report, &is(Finding::BelowChance), &|_, auroc| auroc < 0.495)));
        let beyond = |method: Method, auroc: f64| auroc > random(method) + 0.005;
        add(BEYOND_RANDOM, Some(self.wrong(report, &is(Finding::BetterThanRandom), &beyond)));
        let less = |difference| self.wrong(report, &is(Finding::BelowSupervised), &|_, _| difference < 0.0);
        add(BELOW_LR, difference.map(less));
        let more = |difference| self.wrong(report, &is(Finding::AboveSupervised), &|_, _| difference > 0.0);
        add(ABOVE_LR, difference.map(more));
        let bands = report.shuffled.values().filter_map(|shuffled| shuffled.band.as_ref());
        add(BAND, (!report.shuffled.is_empty()).then(|| bands.into_iter().any(|band| band.outside > 0)));
        add(AUROC, own.zip(test).map(|(truth, test)| outside(test.auroc_ci, truth.auroc)));
        add(ACCURACY, own.zip(test).map(|(truth, test)| outside(test.accuracy_ci, truth.accuracy)));
        let ci = compared.and_then(|d| d.auroc?.ci);
        add(MINUS_LR, difference.map(|difference| outside(ci, difference)));
        found
    }
}

/// A method's probe at its chosen layer.
pub(crate) fn probe(run: &Run, method: Method) -> Option<&Probe> {
    let layer = run.report.chosen_layer(method)?;
    run.probes.iter().find(|(m, l, _)| (*m, *l) == (method, layer)).map(|(.., probe)| probe)
}

/// Whether an interval misses the truth; where there is none, it does not.
pub(crate) fn outside(ci: Option<Interval>, truth: f64) -> bool {
    ci.is_some_and(|[low, high]| truth < low || truth > high)
}

/// The AUROC of the median random direction, with signs from a part of the rows.
fn median_of_random_directions(rows: &Contrast) -> ccs::Result<f64> {
    let part = rows.select(&(0..1000).collect::<Vec<_>>())?;
    let band = random_directions_as(Normalization::default(), &part, rows, 25, &SeedTree::new(0))?;
    Ok(Band::of(band.test.iter().filter_map(|q| q.auroc).collect()).map_or(0.5, |band| band.median))
}

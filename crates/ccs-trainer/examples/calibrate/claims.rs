//! What a report claims, and whether it is so.

use std::collections::BTreeMap;

use ccs::baselines::{Band, random_directions_as};
use ccs::stats::metrics::Scored;
use ccs::{Contrast, Normalization, Probe, SeedTree};
use ccs_report::{AnswerScore, DirectionsReport, Finding, Interval, Method, Report, ZeroShot};
use ccs_trainer::Run;

use crate::data::{Drawn, Population};

/// Each kind of claim that the report of a set could make, and whether one was wrong; without those that could not be wrong.
pub(crate) type Claims = BTreeMap<String, bool>;

/// A kind of claim and its level: in how large a share of reports one may be wrong.
pub(crate) const LEVELS: [(&str, f64); 14] = [
    ("predicts the labels (any method)", 0.025),
    ("predicts the opposite (any method)", 0.025),
    ("better than random directions (any method)", 0.025),
    ("better than the model's own answers", 0.05),
    ("more random directions than by chance", 0.05),
    ("a direction stands out in the spectrum of RRC", 0.05),
    ("CCS falls short of logistic regression", 0.025),
    ("CCS exceeds logistic regression", 0.025),
    ("a column explains the decisions", 0.05),
    ("shuffled labels leave their band", 0.05),
    ("95% interval of CCS's AUROC", 0.05),
    ("95% interval of CCS's accuracy", 0.05),
    ("95% interval of the difference in AUROC between CCS and LR", 0.05),
    ("95% interval of the difference in AUROC between CCS and the model's own answers", 0.05),
];

/// How well a probe does on the population.
struct Truth {
    auroc: f64,
    accuracy: f64,
    random: f64,
}

/// The AUROC of the median random direction, with signs from a part of the rows.
fn median_of_random_directions(pairs: &Contrast) -> ccs::Result<f64> {
    let part = pairs.select(&(0..1000).collect::<Vec<_>>())?;
    let band = random_directions_as(Normalization::default(), &part, pairs, 25, &SeedTree::new(0))?;
    Ok(Band::of(band.test.iter().filter_map(|q| q.auroc).collect()).map_or(0.5, |band| band.median))
}

pub(crate) fn judge(run: &Run, population: &Population) -> ccs::Result<Claims> {
    let many = population.many();
    let mut truths: BTreeMap<Method, Truth> = BTreeMap::new();
    let mut randoms: BTreeMap<usize, f64> = BTreeMap::new();
    for (&method, choice) in &run.report.chosen {
        let Some(layer) = choice.layer else { continue };
        let of_choice = |(of, at, _): &&(Method, usize, Probe)| (*of, *at) == (method, layer);
        let Some((_, _, probe)) = run.probes.iter().find(of_choice) else { continue };
        let pairs = many.pairs(layer)?;
        let scores = probe.score_pairs(&pairs)?;
        let scored = Scored::new(&scores, pairs.labels(), probe.input().threshold())?;
        let random = match randoms.get(&layer) {
            Some(random) => *random,
            None => *randoms.entry(layer).or_insert(median_of_random_directions(&pairs)?),
        };
        let auroc = scored.auroc().unwrap_or(0.5);
        truths.insert(method, Truth { auroc, accuracy: scored.accuracy(), random });
    }
    let report = &run.report;
    let own = own_answers(report, &many)?;
    let wrong = |finding: &dyn Fn(Finding) -> bool, is_so: &dyn Fn(&Truth) -> bool| {
        let claims = report.verdicts.iter().filter(|v| finding(v.finding));
        claims.filter_map(|v| truths.get(&v.method)).any(|truth| !is_so(truth))
    };
    let outside =
        |ci: Option<Interval>, truth: f64| ci.is_some_and(|[low, high]| truth < low || truth > high);
    let (ccs, lr) = (truths.get(&Method::CCS), truths.get(&Method::LR));
    let test = report.chosen.get(&Method::CCS).and_then(|choice| choice.test.as_ref());
    let difference = ccs.zip(lr).map_or(0.0, |(ccs, lr)| ccs.auroc - lr.auroc);
    let explained = |v: &&ccs_report::Verdict| v.finding == Finding::ExplainedByColumn;
    let named = report.verdicts.iter().filter(explained);
    let other_column = |text: &str| !(population.has_relation() && text.contains("`relation`"));
    let beyond = report.zero_shot.iter().flat_map(|own| &own.beyond);
    let beyond = beyond.filter(|c| c.difference.first == Method::CCS).find_map(|c| c.difference.auroc?.ci);
    let directions = report.directions.as_ref();
    let more_than_chance = directions.map(|d| d.more_than_chance && !population.has_truth(d.layer));
    let found = [
        // Where nothing is true, 0.5 is what every probe has.
        Some(wrong(&Finding::is_above_chance, &|t| t.auroc > 0.505)),
        Some(wrong(&|f| f == Finding::BelowChance, &|t| t.auroc < 0.495)),
        Some(wrong(&|f| f == Finding::BetterThanRandom, &|t| t.auroc > t.random + 0.005)),
        Some(wrong(&|f| f == Finding::BetterThanZeroShot, &|t| t.auroc > own)),
        more_than_chance,
        directions.and_then(|d| stands_out(d, population)),
        Some(wrong(&|f| f == Finding::BelowSupervised, &|_| difference < 0.0)),
        Some(wrong(&|f| f == Finding::AboveSupervised, &|_| difference > 0.0)),
        Some(named.into_iter().any(|v| other_column(&v.text))),
        Some(report.shuffled.values().filter_map(|s| s.band.as_ref()).any(|band| band.outside > 0)),
        ccs.zip(test).map(|(truth, test)| outside(test.auroc_ci, truth.auroc)),
        ccs.zip(test).map(|(truth, test)| outside(test.accuracy_ci, truth.accuracy)),
        Some(outside(report.chosen_difference.as_ref().and_then(|d| d.auroc?.ci), difference)),
        ccs.map(|truth| outside(beyond, truth.auroc - own)),
    ];
    let named = LEVELS.iter().map(|(name, _)| (*name).to_owned());
    Ok(named.zip(found).filter_map(|(name, found)| Some((name, found?))).collect())
}

/// The AUROC of the model's own answers by the reading that is the bar.
fn own_answers(report: &Report, many: &Drawn) -> ccs::Result<f64> {
    let bar = report.zero_shot.as_ref().and_then(ZeroShot::bar_reading);
    let [sum, mean] = &many.answers;
    let answers = if bar.is_some_and(|bar| bar.score == AnswerScore::Mean) { mean } else { sum };
    Ok(Scored::new(answers, &many.labels, 0.0)?.auroc().unwrap_or(0.5))
}

/// Whether a direction is said to stand out where nothing does; none where something may.
fn stands_out(directions: &DirectionsReport, population: &Population) -> Option<bool> {
    if population.has_contrast(directions.layer) {
        return None;
    }
    let rrc = directions.spectra.iter().find(|spectrum| spectrum.method.name() == "rrc")?;
    Some(rrc.standing_out > 0)
}

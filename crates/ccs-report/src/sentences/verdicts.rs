//! Verdicts: what a run's intervals say.
//!
//! Chance is a statement about intervals: an AUROC interval that contains 0.5. Claims against chance, random directions,
//! the model's own answers, and fixed tokens go by intervals that hold for all methods of the run at once: with fourteen methods none is called
//! better than chance by luck more often than with one. Nothing is said to be absent: where a claim is not shown, its interval
//! says how large it may be.

use super::caveats::{TestRows, too_few};
use super::directions::about_directions;
use super::numbers::{difference_in, numbers};
use super::places::learned_places;
use super::polarity::{crosses_negation, turned_round};
use super::strata::explained;
use crate::method::Method;
use crate::numbers::percent;
use crate::report::{Blank, Chosen, Comparison, Evaluation, Finding, Report, Verdict};

/// What there is to say about each method at its chosen layer, about CCS and logistic regression together, and about random
/// directions.
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    let few = too_few(test_rows(report));
    let mut found = Vec::new();
    for (&method, choice) in &report.chosen {
        found.extend(of_method(report, method, choice, few.as_deref()));
    }
    if few.is_none() {
        found.extend(against_supervised(report, &found));
        found.extend(learned_places(report));
        found.extend(report.directions.as_ref().map(about_directions));
    }
    found
}

/// The test rows of a run.
pub(super) fn test_rows(report: &Report) -> TestRows {
    TestRows { groups: report.groups.test, groups_of_rarer_label: report.groups_of_rarer_label }
}

fn of_method(report: &Report, method: Method, choice: &Chosen, few: Option<&str>) -> Vec<Verdict> {
    let title = report.title(method);
    let verdict = |layer, finding, text| Verdict { method, layer, finding, text };
    let Some((layer, test)) = choice.layer.zip(choice.test.as_ref()) else {
        return vec![verdict(None, Finding::NothingToFit, format!("{title}: {}.", choice.rule))];
    };
    let mut found = Vec::new();
    if let Some(few) = few {
        let text =
            format!("{title} at layer {layer}: {}. Too few rows to conclude from: {few}.", numbers(choice));
        found.push(verdict(Some(layer), Finding::TooFewGroups, text));
    } else {
        let (finding, text) = against_chance(report, method, layer, choice, test);
        found.push(verdict(Some(layer), finding, text));
        let main = method.is_main();
        if main && finding.is_above_chance() {
            found.extend(against_zero_shot(report, method));
            found.extend(without_passages(report, method, layer));
            found.extend(crosses_negation(report, method, layer));
        }
        found.extend(turned_round(report, method, layer));
        if main {
            found.extend(explained(report, method, layer));
        }
    }
    if let Some(layer) =
        report.layer(layer).filter(|l| l.underdetermined && method == report.row_kind.leading())
    {
        let text = format!("Layer {}: {}.", layer.layer, layer.notes.join("; "));
        found.push(verdict(Some(layer.layer), Finding::Underdetermined, text));
    }
    found
}

/// Against 0.5 and against random directions, in one sentence.
fn against_chance(
    report: &Report,
    method: Method,
    layer: usize,
    choice: &Chosen,
    test: &Evaluation,
) -> (Finding, String) {
    let (title, numbers) = (report.title(method), numbers(choice));
    let of_methods = choice.of_methods.unwrap_or_default();
    let majority = percent(report.majority);
    let accuracy = match of_methods.accuracy_ci {
        Some([low, _]) if low > report.majority => format!("the majority class has accuracy {majority}"),
        _ => format!("its accuracy is not shown to exceed the majority class's {majority}"),
    };
    match (test.auroc, of_methods.auroc_ci) {
        (Some(_), Some([low, _])) if low > 0.5 => {
            let random = compared(report, method, Method::RANDOM);
            let better = random.and_then(|c| c.of_methods.auroc_ci).map(|[low, _]| low > 0.0);
            let by = random
                .and_then(|c| difference_in("AUROC", c.difference.auroc?, c.of_methods.auroc_ci, c.methods));
            let by = by.map(|by| format!("; compared with random directions, {by}")).unwrap_or_default();
            let (finding, relation) = match better {
                Some(true) => (Finding::BetterThanRandom, ", better than random directions do"),
                Some(false) => {
                    (Finding::NoBetterThanRandom, ", but is not shown to do so better than random directions")
                }
                None => (Finding::AboveChance, ""),
            };
            (
                finding,
                format!("{title} predicts the labels at layer {layer}{relation}: {numbers}; {accuracy}{by}."),
            )
        }
        (Some(_), Some([_, high])) if high < 0.5 => (
            Finding::BelowChance,
            format!(
                "{title} predicts the opposite of the labels at layer {layer}: {numbers}. The sign chosen on the training \
                 rows does not hold on the test rows."
            ),
        ),
        _ => (
            Finding::NotShown,
            format!("{title} is not shown to predict the labels at layer {layer}: {numbers}; {accuracy}."),
        ),
    }
}

/// A method at its chosen layer compared with another.
fn compared(report: &Report, first: Method, second: Method) -> Option<&Comparison> {
    report.comparisons.iter().find(|c| (c.difference.first, c.difference.second) == (first, second))
}

/// Against the model's own answers, by the reading of them that ranks the training rows best: what a probe finds beyond
/// them, the model does not say.
fn against_zero_shot(report: &Report, method: Method) -> Option<Verdict> {
    let own = report.zero_shot.as_ref()?;
    let compared = own.beyond.iter().find(|c| c.difference.first == method)?;
    let estimate = compared.difference.auroc?;
    let [low, high] = compared.of_methods.auroc_ci?;
    let (finding, relation) = if low > 0.0 {
        (Finding::BetterThanZeroShot, "ranks statements better than")
    } else if high < 0.0 {
        (Finding::NoBetterThanZeroShot, "ranks statements worse than")
    } else {
        (Finding::NoBetterThanZeroShot, "is not shown to rank statements better than")
    };
    let (title, layer) = (report.title(method), compared.difference.first_layer);
    let by = difference_in("AUROC", estimate, compared.of_methods.auroc_ci, compared.methods)?;
    let read = match (own.bar_reading()?, own.readings.len()) {
        (bar, 1) => bar.describe(),
        (bar, readings) => {
            format!("{}, of {readings} readings the best on the training rows", bar.describe())
        }
    };
    let text = format!("{title} at layer {layer} {relation} the model's own answers ({read}): {by}.");
    Some(Verdict { method, layer: Some(layer), finding, text })
}

/// Without passages.
fn without_passages(report: &Report, method: Method, layer: usize) -> Option<Verdict> {
    let Blank { without, change, .. } = report.blank.as_ref()?.get(&method)?;
    let (estimate, auroc) = (change.auroc?, without.auroc?);
    let by = difference_in("AUROC", estimate, None, 1)?;
    let (finding, relation) = match estimate.ci? {
        [_, high] if high < 0.0 => {
            (Finding::ReadsPassages, "part of what it finds is read from the passages")
        }
        _ => (Finding::PassagesNotShown, "what it finds is not shown to be read from the passages"),
    };
    let title = report.title(method);
    let text =
        format!("With blank passages {title} at layer {layer} has AUROC {auroc:.3}; {by}: {relation}.");
    Some(Verdict { method, layer: Some(layer), finding, text })
}

/// The leading method minus logistic regression, where either predicts the labels.
fn against_supervised(report: &Report, found: &[Verdict]) -> Option<Verdict> {
    let compared = report.chosen_difference.as_ref()?;
    let above = |method: Method| found.iter().any(|v| v.method == method && v.finding.is_above_chance());
    if !above(compared.first) && !above(compared.second) {
        return None;
    }
    let estimate = compared.auroc?;
    let [low, high] = estimate.ci?;
    let (title, named) = (report.title(compared.first), compared.first == Method::CCS);
    // A name that is a word stands small within a sentence.
    let within = if named { title.clone() } else { title.to_lowercase() };
    let [first, inner, lr] = [
        (title.as_str(), compared.first_layer),
        (within.as_str(), compared.first_layer),
        ("logistic regression", compared.second_layer),
    ]
    .map(|(title, layer)| format!("{title} (layer {layer})"));
    let by = difference_in("AUROC", estimate, None, 1)?;
    let (finding, text) = if high < 0.0 {
        (Finding::BelowSupervised, format!("{first} falls short of {lr}: {by}."))
    } else if low > 0.0 {
        (Finding::AboveSupervised, format!("{first} exceeds {lr}: {by}."))
    } else {
        (Finding::NearSupervised, format!("Between {inner} and {lr}, {by}: neither is shown to be better."))
    };
    Some(Verdict { method: compared.first, layer: None, finding, text })
}

#[cfg(test)]
mod tests;

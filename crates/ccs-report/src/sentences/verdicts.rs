//! What a run's intervals say. Chance is a statement about intervals: an AUROC interval that contains 0.5,
//! an accuracy interval that contains the majority's.

use serde::{Deserialize, Serialize};

use crate::{Comparison, Difference, Estimate, Evaluation, Interval, Method, Report};

/// Fewer test groups than this say little about an interval: nothing is concluded from them.
pub const FEWEST_GROUPS: usize = 10;

/// A sentence about the results, and what it is computed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// About this method.
    pub method: Method,
    /// At this layer; none if it is about the whole run.
    pub layer: Option<usize>,
    /// The finding in one word.
    pub finding: Finding,
    /// The finding in plain language.
    pub text: String,
}

/// A finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Both intervals lie above chance.
    AboveChance,
    /// Truth is ranked above falsehood, but the decisions are no better than the majority's.
    RanksOnly,
    /// The AUROC interval contains 0.5, or there is none and the accuracy interval contains the majority's.
    AtChance,
    /// The AUROC interval lies below 0.5: the sign of the training rows does not hold on the test rows.
    BelowChance,
    /// The test rows are of too few groups for an interval to be relied on.
    TooFewGroups,
    /// Nothing could be fitted.
    NothingToFit,
    /// No better than random directions.
    NoBetterThanRandom,
    /// Better than random directions.
    BetterThanRandom,
    /// Better than the model's own answers.
    BetterThanZeroShot,
    /// No better than the model's own answers.
    NoBetterThanZeroShot,
    /// Fewer training rows than dimensions.
    Underdetermined,
    /// Worse than logistic regression.
    BelowSupervised,
    /// Not distinguishable from logistic regression, or better.
    ReachesSupervised,
    /// Neither CCS nor logistic regression does better than chance.
    NeitherFinds,
}

/// What a reader should know about the whole run.
pub fn notes(test_groups: usize, layers: usize) -> Vec<String> {
    let few = (test_groups < FEWEST_GROUPS).then(|| {
        format!("{}: intervals are rough, and nothing is concluded from them", too_few(test_groups))
    });
    let many = (layers > 1).then(|| {
        format!(
            "{layers} layers were looked at: each method's was chosen inside the training rows; a reader who picks \
             another by its test numbers should go by the wider intervals that hold for all {layers} at once"
        )
    });
    few.into_iter().chain(many).collect()
}

fn too_few(test_groups: usize) -> String {
    let groups = if test_groups == 1 { "group" } else { "groups" };
    format!("the test rows are of {test_groups} {groups}, fewer than {FEWEST_GROUPS}")
}

/// What there is to say about each chosen layer and about the choices together.
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    let few = report.groups.test < FEWEST_GROUPS;
    let mut found = Vec::new();
    for (&method, choice) in &report.chosen {
        let title = report.title(method);
        let Some((layer, test)) = choice.layer.zip(choice.test.as_ref()) else {
            let text = format!("{title}: {}.", choice.rule);
            found.push(Verdict { method, layer: None, finding: Finding::NothingToFit, text });
            continue;
        };
        let (finding, text) = if few {
            let (numbers, few) = (numbers(test), too_few(report.groups.test));
            let text =
                format!("{title} at layer {layer}: {numbers}, but {few}: too few to tell it from chance.");
            (Finding::TooFewGroups, text)
        } else {
            against_chance(&title, layer, test, report.majority)
        };
        let Some(at_layer) = report.layer(layer) else { continue };
        let random = against_random(report, method).filter(|_| !few);
        if matches!(method, Method::CCS | Method::LR) {
            found.push(Verdict { method, layer: Some(layer), finding, text });
            found.extend(random);
            found.extend(against_zero_shot(report, method).filter(|_| !few));
        } else {
            // One sentence for each of the others: the one that takes the other back, where there is such.
            let above = matches!(finding, Finding::AboveChance | Finding::RanksOnly);
            let taken_back = random.filter(|v| above && v.finding == Finding::NoBetterThanRandom);
            found.push(match taken_back {
                Some(back) => Verdict { text: format!("{} Its {}.", back.text, numbers(test)), ..back },
                None => Verdict { method, layer: Some(layer), finding, text },
            });
        }
        if at_layer.underdetermined && method == Method::CCS {
            let text = format!("Layer {layer}: {}.", at_layer.notes.join("; "));
            found.push(Verdict { method, layer: Some(layer), finding: Finding::Underdetermined, text });
        }
    }
    if let Some(difference) = report.chosen_difference.as_ref().filter(|_| !few) {
        let nothing = |method: Method| {
            let chance = |v: &Verdict| matches!(v.finding, Finding::AtChance | Finding::BelowChance);
            found.iter().any(|v| v.method == method && chance(v))
        };
        let neither = nothing(difference.first) && nothing(difference.second);
        found.push(against_supervised(difference, neither));
    }
    found
}

fn against_chance(title: &str, layer: usize, test: &Evaluation, majority: f64) -> (Finding, String) {
    let numbers = numbers(test);
    let above_majority = test.accuracy_ci.is_some_and(|[low, _]| low > majority);
    let finding = match test.auroc_ci {
        Some([low, _]) if low > 0.5 && above_majority => Finding::AboveChance,
        Some([low, _]) if low > 0.5 => Finding::RanksOnly,
        Some([_, high]) if high < 0.5 => Finding::BelowChance,
        None if above_majority => Finding::AboveChance,
        _ => Finding::AtChance,
    };
    let majority = percent(majority);
    let text = match finding {
        Finding::AboveChance => {
            format!("{title} reads truth at layer {layer}: {numbers}; the majority's accuracy is {majority}.")
        }
        Finding::RanksOnly => format!(
            "{title} ranks true above false at layer {layer}, but decides no better than the majority ({majority}): {numbers}."
        ),
        Finding::BelowChance => format!(
            "{title} at layer {layer} is below chance: {numbers}; the sign found on the training rows does not hold on the test rows."
        ),
        _ => format!(
            "{title} is not distinguishable from chance here (layer {layer}): {numbers}; the majority's accuracy is {majority}."
        ),
    };
    (finding, text)
}

fn against_random(report: &Report, method: Method) -> Option<Verdict> {
    let of = |c: &&Comparison| (c.difference.first, c.difference.second) == (method, Method::RANDOM);
    let Comparison { difference, layers, accuracy_ci, auroc_ci } = report.comparisons.iter().find(of)?;
    let estimate = difference.auroc.unwrap_or(difference.accuracy);
    let [low, _] = estimate.ci?;
    let (title, layer) = (report.title(method), difference.first_layer);
    let mut by = by(&estimate, difference.auroc.is_some());
    let wide = if difference.auroc.is_some() { auroc_ci } else { accuracy_ci };
    if let Some([low, high]) = wide.filter(|_| *layers > 1) {
        by = format!("{by}; {low:+.3} to {high:+.3} if all {layers} layers are to hold at once");
    }
    let (finding, text) = if low > 0.0 {
        (
            Finding::BetterThanRandom,
            format!("{title} beats random directions at layer {layer}: the difference is {by}."),
        )
    } else {
        (
            Finding::NoBetterThanRandom,
            format!(
                "{title} is not distinguishable from random directions at layer {layer}: the difference is {by}."
            ),
        )
    };
    Some(Verdict { method, layer: Some(layer), finding, text })
}

/// Against what the model says itself: what a probe finds beyond it, the model does not say. Of the two ways to read its
/// answer off, the one that leaves the probe less.
fn against_zero_shot(report: &Report, method: Method) -> Option<Verdict> {
    let own = report.comparisons.iter().filter(|c| {
        c.difference.first == method
            && matches!(c.difference.second, Method::ZERO_SHOT | Method::CALIBRATED_ZERO_SHOT)
    });
    let said = own.min_by(|a, b| a.difference.accuracy.value.total_cmp(&b.difference.accuracy.value))?;
    let own = match said.difference.second {
        Method::CALIBRATED_ZERO_SHOT => "the model's own answers (zero-shot, calibrated)",
        _ => "the model's own answers (zero-shot)",
    };
    let Difference { first_layer: layer, accuracy, .. } = said.difference;
    let [low, high] = accuracy.ci?;
    let (title, by) = (report.title(method), by(&accuracy, false));
    let (finding, text) = if low > 0.0 {
        (
            Finding::BetterThanZeroShot,
            format!("{title} at layer {layer} is more accurate than {own}: by {by}."),
        )
    } else if high < 0.0 {
        (
            Finding::NoBetterThanZeroShot,
            format!("{title} at layer {layer} is less accurate than {own}: by {by}."),
        )
    } else {
        (
            Finding::NoBetterThanZeroShot,
            format!(
                "{title} at layer {layer} is not distinguishably more accurate than {own}: the difference is {by}."
            ),
        )
    };
    Some(Verdict { method, layer: Some(layer), finding, text })
}

fn against_supervised(difference: &Difference, neither: bool) -> Verdict {
    let estimate = difference.auroc.unwrap_or(difference.accuracy);
    let by = by(&estimate, difference.auroc.is_some());
    let layers = format!(
        "CCS (layer {}) and logistic regression (layer {})",
        difference.first_layer, difference.second_layer
    );
    let below = estimate.ci.is_some_and(|[_, high]| high < 0.0);
    let (finding, text) = if neither {
        (
            Finding::NeitherFinds,
            format!(
                "Neither finds anything, with labels or without: between {layers} the difference is {by}."
            ),
        )
    } else if below {
        (
            Finding::BelowSupervised,
            format!("Labels find more than CCS does: between {layers} the difference is {by}."),
        )
    } else {
        (
            Finding::ReachesSupervised,
            format!(
                "CCS is not distinguishably worse than what labels find: between {layers} the difference is {by}."
            ),
        )
    };
    Verdict { method: Method::CCS, layer: None, finding, text }
}

fn numbers(test: &Evaluation) -> String {
    let accuracy = format!("accuracy {}{}", percent(test.accuracy), interval(test.accuracy_ci, percent));
    match test.auroc {
        Some(auroc) => {
            format!("{accuracy}, AUROC {auroc:.3}{}", interval(test.auroc_ci, |x| format!("{x:.3}")))
        }
        None => accuracy,
    }
}

fn by(estimate: &Estimate, auroc: bool) -> String {
    let what = if auroc { "in AUROC" } else { "in accuracy" };
    format!("{:+.3}{} {what}", estimate.value, interval(estimate.ci, |x| format!("{x:+.3}")))
}

fn interval(ci: Option<Interval>, show: impl Fn(f64) -> String) -> String {
    ci.map(|[low, high]| format!(" (95 % interval {} to {})", show(low), show(high))).unwrap_or_default()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(accuracy_ci: Interval, auroc_ci: Option<Interval>, majority: f64) -> Finding {
        let test = Evaluation {
            accuracy: 0.6,
            accuracy_ci: Some(accuracy_ci),
            auroc: auroc_ci.map(|_| 0.6),
            auroc_ci,
            confusion: None,
        };
        against_chance("CCS", 3, &test, majority).0
    }

    #[test]
    fn chance_is_decided_by_intervals() {
        assert_eq!(finding([0.65, 0.8], Some([0.6, 0.8]), 0.6), Finding::AboveChance);
        assert_eq!(finding([0.55, 0.8], Some([0.6, 0.8]), 0.6), Finding::RanksOnly);
        assert_eq!(finding([0.65, 0.8], Some([0.49, 0.8]), 0.6), Finding::AtChance);
        assert_eq!(finding([0.3, 0.4], Some([0.3, 0.49]), 0.6), Finding::BelowChance);
        assert_eq!(finding([0.65, 0.8], None, 0.6), Finding::AboveChance);
        assert_eq!(finding([0.5, 0.5], Some([0.5, 0.5]), 0.5), Finding::AtChance);
    }

    #[test]
    fn sentences_carry_their_numbers() {
        let test = Evaluation {
            accuracy: 0.525,
            accuracy_ci: Some([0.45, 0.6]),
            auroc: Some(0.527),
            auroc_ci: Some([0.44, 0.61]),
            confusion: None,
        };
        let text = against_chance("CCS", 7, &test, 0.55).1;
        assert!(text.starts_with("CCS is not distinguishable from chance here (layer 7): accuracy 52.5 % (95 % interval 45.0 % to 60.0 %)"), "{text}");
        assert!(
            text.contains("AUROC 0.527 (95 % interval 0.440 to 0.610)") && text.contains("55.0 %"),
            "{text}"
        );
    }
}

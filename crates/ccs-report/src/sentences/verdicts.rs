//! Verdicts: what a run's intervals say. Chance is a statement about intervals: an AUROC interval that contains 0.5, an
//! accuracy interval that contains the accuracy of the majority class.

use super::caveats::{FEWEST_GROUPS, too_few};
use crate::method::Method;
use crate::numbers::{decimal, difference, from_to, percent};
use crate::report::{
    Chosen, Comparison, Difference, Estimate, Evaluation, Finding, Interval, Report, Verdict,
};

/// What there is to say about each method at its chosen layer, and about CCS and logistic regression together.
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    let few = report.groups.test < FEWEST_GROUPS;
    let mut found = Vec::new();
    for (&method, choice) in &report.chosen {
        found.extend(of_method(report, method, choice, few));
    }
    if let Some(difference) = report.chosen_difference.as_ref().filter(|_| !few) {
        let no_better_than_chance = |method: Method| {
            let chance = |v: &Verdict| matches!(v.finding, Finding::AtChance | Finding::BelowChance);
            found.iter().any(|v| v.method == method && chance(v))
        };
        let neither = no_better_than_chance(difference.first) && no_better_than_chance(difference.second);
        found.push(against_supervised(difference, neither));
    }
    found
}

fn of_method(report: &Report, method: Method, choice: &Chosen, few: bool) -> Vec<Verdict> {
    let title = report.title(method);
    let verdict = |layer, finding, text| Verdict { method, layer, finding, text };
    let Some((layer, test)) = choice.layer.zip(choice.test.as_ref()) else {
        return vec![verdict(None, Finding::NothingToFit, format!("{title}: {}.", choice.rule))];
    };
    let (finding, text) = if few {
        let groups = too_few(report.groups.test);
        let text = format!(
            "{title} at layer {layer}: {}. The test rows come from {groups}, too few to compare with chance.",
            numbers(test)
        );
        (Finding::TooFewGroups, text)
    } else {
        against_chance(&title, layer, test, report.majority)
    };
    let random = against_random(report, method).filter(|_| !few);
    let mut found = Vec::new();
    if matches!(method, Method::CCS | Method::LR) {
        found.push(verdict(Some(layer), finding, text));
        found.extend(random);
        found.extend(against_zero_shot(report, method).filter(|_| !few));
    } else {
        // The other methods have one sentence each. Above chance but no better than random directions counts as the latter.
        let above = matches!(finding, Finding::AboveChance | Finding::RanksOnly);
        let no_better = random.filter(|v| above && v.finding == Finding::NoBetterThanRandom);
        found.push(match no_better {
            Some(random) => Verdict { text: format!("{} Its {}.", random.text, numbers(test)), ..random },
            None => verdict(Some(layer), finding, text),
        });
    }
    if let Some(layer) = report.layer(layer).filter(|l| l.underdetermined && method == Method::CCS) {
        let text = format!("Layer {}: {}.", layer.layer, layer.notes.join("; "));
        found.push(verdict(Some(layer.layer), Finding::Underdetermined, text));
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
    let majority = format!("the majority class has accuracy {}", percent(majority));
    let text = match finding {
        Finding::AboveChance => format!("{title} is above chance at layer {layer}: {numbers}; {majority}."),
        Finding::RanksOnly => format!(
            "{title} ranks true above false at layer {layer}, but is not more accurate than the majority class: \
             {numbers}; {majority}."
        ),
        Finding::BelowChance => format!(
            "{title} is below chance at layer {layer}: {numbers}. The sign chosen on the training rows is wrong on the \
             test rows."
        ),
        _ => format!("{title} is not distinguishable from chance at layer {layer}: {numbers}; {majority}."),
    };
    (finding, text)
}

fn against_random(report: &Report, method: Method) -> Option<Verdict> {
    let of = |c: &&Comparison| (c.difference.first, c.difference.second) == (method, Method::RANDOM);
    let comparison = report.comparisons.iter().find(of)?;
    let layer = comparison.difference.first_layer;
    let (metric, estimate) = ranking(&comparison.difference);
    let corrected = if comparison.difference.auroc.is_some() { comparison.auroc_ci } else { comparison.accuracy_ci };
    let corrected = corrected.filter(|_| comparison.layers > 1);
    let corrected =
        corrected.map(|ci| format!("{} corrected for {} layers", from_to(ci, difference), comparison.layers));
    let by = by(metric, &estimate, corrected);
    let (finding, relation) = if estimate.ci?[0] > 0.0 {
        (Finding::BetterThanRandom, "is better than random directions")
    } else {
        (Finding::NoBetterThanRandom, "is not distinguishable from random directions")
    };
    let text = format!("{} {relation} at layer {layer}: {by}.", report.title(method));
    Some(Verdict { method, layer: Some(layer), finding, text })
}

/// Against the model's own answers: what a probe finds beyond them, the model does not say. Of plain and calibrated
/// zero-shot, the more accurate one counts.
fn against_zero_shot(report: &Report, method: Method) -> Option<Verdict> {
    let own = report.comparisons.iter().map(|c| &c.difference).filter(|d| {
        d.first == method && matches!(d.second, Method::ZERO_SHOT | Method::CALIBRATED_ZERO_SHOT)
    });
    let closest = own.min_by(|a, b| a.accuracy.value.total_cmp(&b.accuracy.value))?;
    let own = match closest.second {
        Method::CALIBRATED_ZERO_SHOT => "the model's own answers (zero-shot, calibrated)",
        _ => "the model's own answers (zero-shot)",
    };
    let [low, high] = closest.accuracy.ci?;
    let (finding, relation) = if low > 0.0 {
        (Finding::BetterThanZeroShot, "is more accurate than")
    } else if high < 0.0 {
        (Finding::NoBetterThanZeroShot, "is less accurate than")
    } else {
        (Finding::NoBetterThanZeroShot, "is not distinguishably more accurate than")
    };
    let (title, layer) = (report.title(method), closest.first_layer);
    let by = by("accuracy", &closest.accuracy, None);
    let text = format!("{title} at layer {layer} {relation} {own}: {by}.");
    Some(Verdict { method, layer: Some(layer), finding, text })
}

/// CCS minus logistic regression. `neither` says that both are at chance.
fn against_supervised(compared: &Difference, neither: bool) -> Verdict {
    let (metric, estimate) = ranking(compared);
    let below = estimate.ci.is_some_and(|[_, high]| high < 0.0);
    let [ccs, lr] = [("CCS", compared.first_layer), ("logistic regression", compared.second_layer)]
        .map(|(title, layer)| format!("{title} (layer {layer})"));
    let (finding, text) = if neither {
        (Finding::NeitherFinds, format!("Neither {ccs} nor {lr} is above chance"))
    } else if below {
        (Finding::BelowSupervised, format!("{ccs} falls short of {lr}"))
    } else {
        (Finding::ReachesSupervised, format!("{ccs} is not distinguishably worse than {lr}"))
    };
    let text = format!("{text}: {}.", by(metric, &estimate, None));
    Verdict { method: Method::CCS, layer: None, finding, text }
}

/// The difference of AUROCs, or of accuracies where there are no AUROCs.
fn ranking(compared: &Difference) -> (&'static str, Estimate) {
    compared.auroc.map_or(("accuracy", compared.accuracy), |auroc| ("AUROC", auroc))
}

/// `accuracy 52.5% (95% interval 45.0% to 60.0%), AUROC 0.527 (95% interval 0.440 to 0.610)`
fn numbers(test: &Evaluation) -> String {
    let number = |name: &str, value: f64, ci: Option<Interval>, show: fn(f64) -> String| {
        let ci = ci.map(|ci| format!(" (95% interval {})", from_to(ci, show)));
        format!("{name} {}{}", show(value), ci.unwrap_or_default())
    };
    let accuracy = number("accuracy", test.accuracy, test.accuracy_ci, percent);
    match test.auroc {
        Some(auroc) => format!("{accuracy}, {}", number("AUROC", auroc, test.auroc_ci, decimal)),
        None => accuracy,
    }
}

/// `the difference in AUROC is +0.045 (95% interval −0.284 to +0.406)`; `more` stands after the interval.
fn by(metric: &str, estimate: &Estimate, more: Option<String>) -> String {
    let plain = estimate.ci.map(|ci| format!("95% interval {}", from_to(ci, difference)));
    let intervals: Vec<String> = plain.into_iter().chain(more).collect();
    let intervals =
        if intervals.is_empty() { String::new() } else { format!(" ({})", intervals.join("; ")) };
    format!("the difference in {metric} is {}{intervals}", difference(estimate.value))
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
        assert_eq!(
            against_chance("CCS", 7, &test, 0.55).1,
            "CCS is not distinguishable from chance at layer 7: accuracy 52.5% (95% interval 45.0% to 60.0%), AUROC \
             0.527 (95% interval 0.440 to 0.610); the majority class has accuracy 55.0%."
        );
        let estimate = Estimate { value: -0.2, ci: Some([-0.3, 0.0]) };
        assert_eq!(
            by("AUROC", &estimate, Some("more".to_owned())),
            "the difference in AUROC is \u{2212}0.200 (95% interval \u{2212}0.300 to 0.000; more)"
        );
        assert_eq!(by("accuracy", &Estimate { value: 0.1, ci: None }, None), "the difference in accuracy is +0.100");
    }
}

//! Numbers with their intervals, as they stand in sentences.

use crate::numbers::{decimal, difference, from_to, percent};
use crate::report::{Chosen, Estimate, Interval};

/// `AUROC 0.527 (95% interval 0.440 to 0.610), accuracy 52.5% (45.0% to 60.0%)`: a method at its chosen layer.
pub(super) fn numbers(choice: &Chosen) -> String {
    let Some(test) = &choice.test else { return "no results".to_owned() };
    let of_methods = choice.of_methods.unwrap_or_default();
    let accuracy = number("accuracy", &percent(test.accuracy), test.accuracy_ci, None, percent);
    match test.auroc {
        Some(auroc) => {
            let auroc = number("AUROC", &decimal(auroc), test.auroc_ci, of_methods.auroc_ci, decimal);
            format!("{auroc}, {accuracy}")
        }
        None => accuracy,
    }
}

fn number(
    name: &str,
    value: &str,
    ci: Option<Interval>,
    of_methods: Option<Interval>,
    show: fn(f64) -> String,
) -> String {
    let ci = ci.map(|ci| {
        // With one method they are the same.
        let jointly = of_methods.map(|ci| from_to(ci, show)).filter(|jointly| *jointly != from_to(ci, show));
        let jointly = jointly.map(|jointly| format!("; {jointly} for all methods at once"));
        format!(" (95% interval {}{})", from_to(ci, show), jointly.unwrap_or_default())
    });
    format!("{name} {value}{}", ci.unwrap_or_default())
}

/// `the difference in AUROC is +0.045 (95% interval −0.284 to +0.406)`. None without an interval.
pub(super) fn difference_in(
    metric: &str,
    estimate: Estimate,
    of_methods: Option<Interval>,
    methods: usize,
) -> Option<String> {
    let ci = from_to(estimate.ci?, difference);
    let jointly = of_methods.filter(|_| methods > 1);
    let jointly = jointly.map(|ci| format!("; {} for all methods at once", from_to(ci, difference)));
    let (value, jointly) = (difference(estimate.value), jointly.unwrap_or_default());
    Some(format!("the difference in {metric} is {value} (95% interval {ci}{jointly})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Evaluation, Intervals};

    #[test]
    fn numbers_carry_their_intervals() {
        let test = Evaluation {
            accuracy: 0.525,
            accuracy_ci: Some([0.45, 0.6]),
            auroc: Some(0.527),
            auroc_ci: Some([0.44, 0.61]),
            confusion: None,
        };
        let of_methods = Some(Intervals { auroc_ci: Some([0.4, 0.65]), accuracy_ci: Some([0.4, 0.65]) });
        let mut choice = Chosen {
            layer: Some(1),
            rule: String::new(),
            uses_labels: true,
            test: Some(test),
            of_methods,
            oracle: None,
        };
        assert_eq!(
            numbers(&choice),
            "AUROC 0.527 (95% interval 0.440 to 0.610; 0.400 to 0.650 for all methods at once), accuracy 52.5% (95% \
             interval 45.0% to 60.0%)"
        );
        choice.of_methods = None;
        choice.test.as_mut().unwrap().auroc = None;
        assert_eq!(numbers(&choice), "accuracy 52.5% (95% interval 45.0% to 60.0%)");
        let estimate = Estimate { value: -0.2, ci: Some([-0.3, 0.0]) };
        assert_eq!(
            difference_in("AUROC", estimate, Some([-0.4, 0.1]), 3).unwrap(),
            "the difference in AUROC is \u{2212}0.200 (95% interval \u{2212}0.300 to 0.000; \u{2212}0.400 to +0.100 for \
             all methods at once)"
        );
        assert_eq!(difference_in("AUROC", Estimate { value: 0.1, ci: None }, None, 1), None);
    }
}

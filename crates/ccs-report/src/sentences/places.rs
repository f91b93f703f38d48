//! Whether it pays to learn which tokens to read.

use super::numbers::difference_in;
use crate::method::Method;
use crate::report::{Comparison, Finding, Report, Verdict};

/// What reads all tokens without learning which.
const FIXED: [(Method, &str); 2] = [(Method::MEAN, "the mean token"), (Method::LAST, "the last token")];

/// Methods that learn which tokens to read, at their chosen layers, against logistic regression on the mean and on the last
/// token's state at theirs: better than both, by intervals that hold for all methods at once, or not shown to be.
pub(super) fn learned_places(report: &Report) -> Vec<Verdict> {
    [Method::ATTENTION, Method::MULTI_MAX].into_iter().filter_map(|method| of(report, method)).collect()
}

fn of(report: &Report, method: Method) -> Option<Verdict> {
    let layer = report.chosen_layer(method)?;
    let compared = |second: Method| {
        report.comparisons.iter().find(|c| (c.difference.first, c.difference.second) == (method, second))
    };
    let found: Vec<(&str, &Comparison)> =
        FIXED.iter().filter_map(|&(second, name)| Some((name, compared(second)?))).collect();
    let above = |c: &Comparison| c.of_methods.auroc_ci.is_some_and(|[low, _]| low > 0.0);
    let below = |c: &Comparison| c.of_methods.auroc_ci.is_some_and(|[_, high]| high < 0.0);
    let by = |(name, c): &(&str, &Comparison)| {
        let by = difference_in("AUROC", c.difference.auroc?, c.of_methods.auroc_ci, c.methods)?;
        Some(format!("compared with {name} (layer {}), {by}", c.difference.second_layer))
    };
    let numbers = found.iter().map(by).collect::<Option<Vec<_>>>().filter(|n| !n.is_empty())?.join("; ");
    let names = found.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and on ");
    let (finding, relation) = if found.iter().all(|(_, c)| above(c)) {
        (Finding::PlaceLearned, "ranks statements better than")
    } else if found.iter().all(|(_, c)| below(c)) {
        (Finding::PlaceNotShown, "ranks statements worse than")
    } else {
        let both = if found.len() > 1 { "both " } else { "" };
        let text = format!(
            "{} at layer {layer} is not shown to rank statements better than logistic regression {both}on {names}: \
             {numbers}.",
            report.title(method)
        );
        return Some(Verdict { method, layer: Some(layer), finding: Finding::PlaceNotShown, text });
    };
    let text = format!(
        "{} at layer {layer} {relation} logistic regression on {names}: {numbers}.",
        report.title(method)
    );
    Some(Verdict { method, layer: Some(layer), finding, text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Chosen, Difference, Estimate, Intervals};

    const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/report.json");

    /// A comparison whose interval for all methods at once is this far to either side.
    fn compared(second: Method, value: f64, half: f64) -> Comparison {
        let around = |half: f64| Some([value - half, value + half]);
        Comparison {
            difference: Difference {
                first: Method::ATTENTION,
                first_layer: 3,
                second,
                second_layer: 2,
                accuracy: None,
                auroc: Some(Estimate { value, ci: around(half / 2.0) }),
            },
            layers: 1,
            accuracy_ci: None,
            auroc_ci: None,
            methods: 4,
            of_methods: Intervals { accuracy_ci: None, auroc_ci: around(half) },
        }
    }

    fn said(comparisons: Vec<Comparison>) -> Option<(Finding, String)> {
        let mut report = Report::from_json(FIXTURE).unwrap();
        let choice = Chosen {
            layer: Some(3),
            rule: String::new(),
            uses_labels: true,
            test: None,
            of_methods: None,
            oracle: None,
        };
        report.chosen.insert(Method::ATTENTION, choice);
        report.comparisons = comparisons;
        let mut found = learned_places(&report);
        assert!(found.len() < 2);
        found.pop().map(|verdict| (verdict.finding, verdict.text))
    }

    #[test]
    fn both_fixed_tokens_have_to_be_beaten_for_all_methods_at_once() {
        let better = said(vec![compared(Method::MEAN, 0.2, 0.1), compared(Method::LAST, 0.3, 0.1)]).unwrap();
        assert_eq!(better.0, Finding::PlaceLearned);
        assert_eq!(
            better.1,
            "attention at layer 3 ranks statements better than logistic regression on the mean token and on the last token: \
             compared with the mean token (layer 2), the difference in AUROC is +0.200 (95% interval +0.150 to +0.250; +0.100 \
             to +0.300 for all methods at once); compared with the last token (layer 2), the difference in AUROC is +0.300 (95% \
             interval +0.250 to +0.350; +0.200 to +0.400 for all methods at once)."
        );
        // The plain interval alone is above 0.
        let one = said(vec![compared(Method::MEAN, 0.08, 0.1), compared(Method::LAST, 0.3, 0.1)]).unwrap();
        assert_eq!(one.0, Finding::PlaceNotShown);
        assert!(
            one.1
                .contains("is not shown to rank statements better than logistic regression both on the mean")
        );
        let worse = said(vec![compared(Method::LAST, -0.3, 0.1)]).unwrap();
        assert_eq!(worse.0, Finding::PlaceNotShown);
        assert!(worse.1.contains("ranks statements worse than logistic regression on the last token:"));
        assert_eq!(said(Vec::new()), None);
    }
}

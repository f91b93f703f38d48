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
        let both = if found.len() > 1 { " both" } else { "" };
        let text = format!(
            "{} at layer {layer} is not shown to rank statements better than{both} logistic regression on {names}: \
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

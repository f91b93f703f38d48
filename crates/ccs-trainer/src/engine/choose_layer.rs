//! Which layer stands for a method.

use ccs::stats::select::{Candidate, best};
use ccs_report::{Chosen, LayerReport, Method, MethodReport, Oracle};

/// Chooses by cross-validation among the layers where there is a probe.
pub(crate) fn by_cross_validation(method: Method, layers: &[&LayerReport], folds: usize) -> Chosen {
    let reports = fitted(method, layers);
    at(best(&cross_validated(&reports)), &reports, layer_rule(folds), true)
}

/// The layers that cross-validation ranks highest, at most `count`, the best first.
pub(crate) fn highest_ranked(method: Method, layers: &[&LayerReport], count: usize) -> Vec<usize> {
    let mut left = cross_validated(&fitted(method, layers));
    let mut found = Vec::new();
    while found.len() < count
        && let Some(layer) = best(&left)
    {
        left.retain(|candidate| candidate.layer != layer);
        found.push(layer);
    }
    found
}

/// Layers by their cross-validation.
fn cross_validated(reports: &[(usize, &MethodReport)]) -> Vec<Candidate> {
    let candidate = |(layer, report): &(usize, &MethodReport)| {
        let cv = report.cross_validation?;
        Some(Candidate { layer: *layer, accuracy: cv.accuracy, auroc: cv.auroc, loss: cv.loss })
    };
    reports.iter().filter_map(candidate).collect()
}

/// Chooses CCS's layer by its training loss; none where nothing could be fitted.
pub(crate) fn without_labels(layers: &[&LayerReport]) -> Option<Chosen> {
    let reports = fitted(Method::CCS, layers);
    let by_loss: Vec<Candidate> = reports
        .iter()
        .filter_map(|(layer, report)| {
            let loss = report.loss.as_ref()?.train.total();
            Some(Candidate { layer: *layer, accuracy: 0.0, auroc: None, loss })
        })
        .collect();
    let mut rule =
        "lowest CCS loss on the training rows; labels have a say in the probe's sign alone".to_owned();
    if layers.iter().any(|l| l.underdetermined && !l.degenerate) {
        rule.push_str(" (with fewer rows than dimensions every layer's loss is near zero, and says little)");
    }
    let layer = best(&by_loss)?;
    Some(at(Some(layer), &reports, rule, false))
}

fn at(layer: Option<usize>, reports: &[(usize, &MethodReport)], rule: String, uses_labels: bool) -> Chosen {
    let by_test: Vec<Candidate> = reports
        .iter()
        .map(|(layer, r)| Candidate {
            layer: *layer,
            accuracy: r.test.accuracy,
            auroc: r.test.auroc,
            loss: 0.0,
        })
        .collect();
    let test = |layer: usize| reports.iter().find(|(l, _)| *l == layer).map(|(_, r)| r.test.clone());
    let chosen = layer.and_then(test);
    let oracle = best(&by_test).and_then(|layer| {
        let accuracy = test(layer)?.accuracy;
        Some(Oracle { layer, accuracy, gap: accuracy - chosen.as_ref()?.accuracy })
    });
    let rule = match layer {
        Some(_) => rule,
        None => "none: the states of every layer are the same for every training row, or nothing could be \
                 fitted to them"
            .to_owned(),
    };
    Chosen { layer, rule, uses_labels, test: chosen, of_methods: None, oracle }
}

/// The layers at which a method has a probe.
fn fitted<'a>(method: Method, layers: &[&'a LayerReport]) -> Vec<(usize, &'a MethodReport)> {
    let reports = layers.iter().filter_map(|l| Some((l.layer, l.methods.get(&method)?)));
    reports.filter(|(_, report)| report.probe.is_some()).collect()
}

/// How a layer is chosen.
pub(crate) fn layer_rule(folds: usize) -> String {
    format!("highest accuracy in {folds}-fold grouped cross-validation inside the training rows")
}

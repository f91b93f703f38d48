//! Choosing a layer: by grouped cross-validation inside the training rows, with the choice that the test rows would
//! have made (the oracle's) beside it.

use serde::{Deserialize, Serialize};

use crate::probe::Probe;
use crate::stats::metrics::Scored;
use crate::stats::split::Split;
use crate::{Contrast, Error, Result};

/// How a method does on held-out folds of the training rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// Folds.
    pub folds: usize,
    /// The share of rows judged rightly by the probe that did not see them.
    pub accuracy: f64,
    /// Mean over folds, weighted by rows; folds whose held-out part carries one label are left out.
    pub auroc: Option<f64>,
    /// Mean over folds of the loss that each fit ended with, on its own part of the training rows.
    pub loss: f64,
}

/// The scores of held-out rows, each by the probe that did not see it: with that probe's sign, on that probe's scale.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Rows of the training rows, fold by fold.
    pub rows: Vec<usize>,
    /// Their scores.
    pub scores: Vec<f64>,
}

/// How a probe does on the rows of a fold that it did not see.
#[derive(Debug, Clone, PartialEq)]
pub struct OnFold {
    /// What its fit ended with, on the fold's training part.
    loss: f64,
    /// Rows judged rightly.
    right: usize,
    /// None if they carry one label.
    auroc: Option<f64>,
    scores: Vec<f64>,
}

/// Fits a probe on a fold's training part and judges it on the rest. `fit` gets the part and returns the probe, its sign
/// included, with its training loss. Folds need nothing of each other.
///
/// # Shapes
/// `fold` indexes the rows of `train`.
///
/// # Errors
/// Those of `fit`.
pub fn on_fold<E: From<Error>>(
    train: &Contrast,
    fold: &Split,
    fit: impl FnOnce(&Contrast) -> Result<(Probe, f64), E>,
) -> Result<OnFold, E> {
    let (probe, loss) = fit(&train.select(&fold.train)?)?;
    let held_out = train.select(&fold.test)?;
    let scores = probe.score_pairs(&held_out)?;
    let scored = Scored::new(&scores, held_out.labels(), probe.input.threshold())?;
    let right = scored.correct().iter().filter(|&&right| right).count();
    let auroc = scored.auroc();
    Ok(OnFold { loss, right, auroc, scores })
}

/// All folds together, and what was found of each held-out row.
///
/// # Shapes
/// `found`: of every fold, in their order.
pub fn over_folds(folds: &[Split], found: Vec<OnFold>) -> (CrossValidation, HeldOut) {
    let mut all = HeldOut { rows: Vec::new(), scores: Vec::new() };
    let (mut right, mut losses, mut area, mut ranked) = (0usize, 0.0, 0.0, 0usize);
    for (fold, on_fold) in folds.iter().zip(found) {
        losses += on_fold.loss;
        right += on_fold.right;
        if let Some(auroc) = on_fold.auroc {
            area += auroc * fold.test.len() as f64;
            ranked += fold.test.len();
        }
        all.rows.extend(&fold.test);
        all.scores.extend(on_fold.scores);
    }
    let found = CrossValidation {
        folds: folds.len(),
        accuracy: right as f64 / all.rows.len().max(1) as f64,
        auroc: (ranked > 0).then(|| area / ranked as f64),
        loss: losses / folds.len().max(1) as f64,
    };
    (found, all)
}

/// What a layer is chosen by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The layer.
    pub layer: usize,
    /// Higher is better.
    pub accuracy: f64,
    /// Decides between equal accuracies.
    pub auroc: Option<f64>,
    /// Lower decides between equal AUROCs.
    pub loss: f64,
}

/// The layer with the highest accuracy; of equals the highest AUROC, then the lowest loss, then the earliest.
pub fn best(candidates: &[Candidate]) -> Option<usize> {
    let rank = |c: &Candidate| (c.accuracy, c.auroc.unwrap_or(f64::NEG_INFINITY), -c.loss);
    let order = |a: &&Candidate, b: &&Candidate| {
        let (x, y) = (rank(a), rank(b));
        let by_value = x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1)).then(x.2.total_cmp(&y.2));
        by_value.then(b.layer.cmp(&a.layer))
    };
    candidates.iter().max_by(order).map(|c| c.layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_then_auroc_then_loss_then_the_earlier_layer() {
        let at = |layer, accuracy, auroc, loss| Candidate { layer, accuracy, auroc: Some(auroc), loss };
        assert_eq!(best(&[at(0, 0.5, 0.9, 0.1), at(1, 0.6, 0.5, 0.2)]), Some(1));
        assert_eq!(best(&[at(0, 0.6, 0.5, 0.1), at(1, 0.6, 0.7, 0.2)]), Some(1));
        assert_eq!(best(&[at(0, 0.6, 0.7, 0.2), at(1, 0.6, 0.7, 0.1)]), Some(1));
        assert_eq!(best(&[at(3, 0.6, 0.7, 0.1), at(2, 0.6, 0.7, 0.1)]), Some(2));
        assert_eq!(best(&[]), None);
    }
}

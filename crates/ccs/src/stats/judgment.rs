//! How well scores judge rows, with how sure that is.

use super::intervals::{Interval, Resamples};
use super::metrics::Scored;

/// Accuracy and AUROC, each with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Judgment {
    /// Rows judged.
    pub rows: usize,
    /// Groups among them, which intervals resample whole.
    pub groups: usize,
    /// The share of rows judged rightly.
    pub accuracy: f64,
    /// `None` with a single group, and without resamples.
    pub accuracy_interval: Option<Interval>,
    /// The area under the ROC curve; `None` if the rows carry one label.
    pub auroc: Option<f64>,
    /// `None` where [`Judgment::accuracy_interval`] or [`Judgment::auroc`] is.
    pub auroc_interval: Option<Interval>,
}

impl Judgment {
    /// Of scored rows, over resamples of them.
    pub fn of(scored: &Scored<'_>, resamples: &Resamples) -> Self {
        let correct = scored.correct();
        let aurocs = resamples.aurocs(&scored.ranking());
        Self {
            rows: correct.len(),
            groups: resamples.groups(),
            accuracy: scored.accuracy(),
            accuracy_interval: resamples.interval(resamples.accuracies(&correct)),
            auroc: scored.auroc(),
            auroc_interval: aurocs.and_then(|aurocs| resamples.interval(aurocs)),
        }
    }
}

//! How well scores predict labels, with how sure that is.

use super::clusters::Clusters;
use super::intervals::{Interval, MISS};
use super::metrics::Scored;

/// Accuracy and AUROC, each with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// Rows.
    pub rows: usize,
    /// Groups among them, which intervals take for independent.
    pub groups: usize,
    /// The share of rows predicted rightly.
    pub accuracy: f64,
    /// `None` with a single group.
    pub accuracy_interval: Option<Interval>,
    /// The area under the ROC curve; `None` if the rows carry one label.
    pub auroc: Option<f64>,
    /// `None` where [`Evaluation::accuracy_interval`] or [`Evaluation::auroc`] is, and with a single row of either label.
    pub auroc_interval: Option<Interval>,
}

impl Evaluation {
    /// Of scored rows in these groups.
    pub fn of(scored: &Scored<'_>, clusters: &Clusters) -> Self {
        let correct = scored.correct();
        let placements = scored.placements();
        Self {
            rows: correct.len(),
            groups: clusters.groups(),
            accuracy: scored.accuracy(),
            accuracy_interval: clusters.accuracy_interval(&correct, MISS),
            auroc: placements.as_ref().map(|placements| placements.auroc),
            auroc_interval: placements.and_then(|placements| clusters.auroc_interval(&placements, MISS)),
        }
    }
}

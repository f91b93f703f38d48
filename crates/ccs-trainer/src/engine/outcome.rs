//! What one layer gives, and one method there.

use indexmap::IndexMap;

use ccs::baselines::Predictions;
use ccs::probe::Probe;
use ccs_report::{LayerReport, Method, MethodReport};

use crate::Result;
use crate::engine::evaluate::Resampled;
use crate::engine::split::DataSplit;

/// What one layer gives.
pub(crate) struct LayerOutcome {
    pub(crate) report: LayerReport,
    pub(crate) probes: Vec<(Method, Probe)>,
    /// Test predictions of the methods that have one per row.
    pub(crate) predictions: IndexMap<Method, Predictions>,
    /// Random directions in every resample.
    pub(crate) band: Option<Resampled>,
}

impl LayerOutcome {
    /// A method in every resample; none if it has no predictions here.
    pub(crate) fn resampled(&self, method: Method, split: &DataSplit) -> Result<Option<Resampled>> {
        if method == Method::RANDOM {
            return Ok(self.band.clone());
        }
        let of = |p: &Predictions| Resampled::of(p, &split.test_labels, &split.resamples);
        self.predictions.get(&method).map(of).transpose()
    }
}

/// What one method gives at a layer.
pub(crate) struct MethodOutcome {
    pub(crate) report: MethodReport,
    pub(crate) predictions: Predictions,
    pub(crate) probe: Option<Probe>,
}

//! What one layer gives, and one method there.

use indexmap::IndexMap;

use ccs::baselines::Predictions;
use ccs::probe::Probe;
use ccs_report::{Comparison, LayerReport, Method, MethodReport};

use crate::Result;
use crate::engine::evaluate::Predicted;
use crate::engine::split::DataSplit;

/// What one layer gives.
pub(crate) struct LayerOutcome {
    pub(crate) report: LayerReport,
    pub(crate) probes: Vec<(Method, Probe)>,
    /// Test predictions of the methods that have one per row.
    pub(crate) predictions: IndexMap<Method, Predictions>,
    /// Every method that fits probes minus random directions.
    pub(crate) beyond_random: IndexMap<Method, Comparison>,
}

impl LayerOutcome {
    /// A method's predictions, for comparisons; none if it has none here.
    pub(crate) fn predicted(&self, method: Method, split: &DataSplit) -> Result<Option<Predicted>> {
        self.predictions.get(&method).map(|p| Predicted::of(p, &split.test_labels)).transpose()
    }
}

/// What one method gives at a layer.
pub(crate) struct MethodOutcome {
    pub(crate) report: MethodReport,
    pub(crate) predictions: Predictions,
    pub(crate) probe: Option<Probe>,
}

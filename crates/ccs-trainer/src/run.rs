//! The results of a run, in memory.

use ccs::probe::Probe;
use ccs_report::{Method, Report, SplitReport};

use crate::per_row::about::RunRows;
use crate::per_row::predictions::MethodPredictions;

/// What a run found. [`Run::write`] makes a folder of it.
#[derive(Debug)]
pub struct Run {
    /// Everything that was found.
    pub report: Report,
    /// Which rows trained and which tested.
    pub split: SplitReport,
    /// What each row is.
    pub rows: RunRows,
    /// What every method at its chosen layer predicts for each row, in the order of reports. Random directions, which are
    /// many, have no entry.
    pub predictions: Vec<MethodPredictions>,
    /// The fitted probes by method and layer.
    pub probes: Vec<(Method, usize, Probe)>,
}

impl Run {
    /// The probe of a method at a layer.
    pub(crate) fn probe(&self, method: Method, layer: usize) -> Option<&Probe> {
        let found = self.probes.iter().find(|(m, l, _)| (*m, *l) == (method, layer));
        found.map(|(.., probe)| probe)
    }

    /// Whether this is the layer that the run chose for the method.
    pub(crate) fn is_chosen(&self, method: Method, layer: usize) -> bool {
        self.report.chosen.get(&method).is_some_and(|chosen| chosen.layer == Some(layer))
    }
}

/// The folder of probes in a run folder.
pub(crate) const PROBES: &str = "probes";

/// The name of a probe's file in the run folder, as the report has it.
pub(crate) fn probe_path(method: Method, layer: usize) -> String {
    format!("{PROBES}/{method}/layer_{layer:02}.safetensors")
}

//! Diagnostics of each method at its chosen layer: calibration, templates.

use serde::{Deserialize, Serialize};

use super::calibration::{Calibration, Histogram};
use super::evaluation::Evaluation;
use super::strata::ColumnReport;

/// The diagnostics of one method at its chosen layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// The layer.
    pub layer: usize,
    /// How calibrated its probabilities are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calibration: Option<Calibration>,
    /// The distribution of its probabilities; none where it has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub histogram: Option<Histogram>,
    /// Each template alone; empty where there is only one.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub templates: Vec<TemplateReport>,
    /// Templates combined; empty where there is only one.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ensembles: Vec<EnsembleReport>,
    /// Columns of the data that may explain its decisions.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub columns: Vec<ColumnReport>,
}

/// The test rows of one template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateReport {
    /// Its name.
    pub template: String,
    /// Its test rows.
    pub rows: usize,
    /// The probe fitted on all templates, on these rows.
    pub pooled: Evaluation,
    /// A probe fitted on this template's training rows alone, on these rows.
    pub own: Option<Evaluation>,
}

/// One way to combine the templates of a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnsembleReport {
    /// The way.
    pub ensembling: Ensembling,
    /// On test rows.
    pub test: Evaluation,
}

/// How the templates of a question are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ensembling {
    /// Each statement is scored alone.
    None,
    /// Each row is scored by the difference of its two statements.
    Partial,
    /// Each question is scored by the mean over its rows.
    Full,
}

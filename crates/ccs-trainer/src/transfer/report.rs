//! What [`eval()`](crate::eval()) reports.

use std::collections::BTreeMap;

use ccs_report::{AnswerScore, Difference, Evaluation, Method, Side};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What probes of a run do on other data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// The program and its version.
    pub program: String,
    /// What the run was fitted on, and what it is evaluated on.
    pub data: Side<Value>,
    /// Rows that are evaluated.
    pub rows: usize,
    /// Their groups, which intervals resample.
    pub groups: usize,
    /// Those labeled true.
    pub positives: usize,
    /// Rows of the data that are of groups (passages) the run was trained on.
    pub trained_rows: usize,
    /// Whether those are among the evaluated rows.
    pub trained_kept: bool,
    /// The share of the more frequent label among the evaluated rows: what the best constant answer reaches.
    pub majority: f64,
    /// By name: the method's, with `_reestimated` where the normalization is not the run's.
    pub probes: BTreeMap<String, EvaluatedProbe>,
    /// The model's own answer, where the data has its log-probabilities.
    pub zero_shot: Option<Evaluation>,
    /// What that goes by.
    pub zero_shot_score: Option<AnswerScore>,
    /// The same against a threshold at which the run's `true_share` of the evaluated rows of each template is true. Labels
    /// are not asked, but the rows are those that it is evaluated on.
    pub calibrated_zero_shot: Option<Evaluation>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// One probe on other data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluatedProbe {
    /// How it was fitted.
    pub method: Method,
    /// Its layer.
    pub layer: usize,
    /// The hook point it reads.
    pub hook: String,
    /// Whether its normalization was estimated on the evaluated rows.
    pub reestimated: bool,
    /// On the run's own test rows, as its report has it.
    pub own: Option<Evaluation>,
    /// On the evaluated rows.
    pub test: Evaluation,
    /// Random directions at the layer on the evaluated rows, normalized as the probe's states are: their median and central
    /// 95 %. The run's training rows, which could give them their signs, are not at hand: each is the way round that
    /// ranks the evaluated rows better, which errs in favor of the directions.
    pub random: Option<Evaluation>,
    /// The probe minus those, on the same rows.
    pub over_random: Option<Difference>,
    /// The probe minus the model's own answer, paired.
    pub over_zero_shot: Option<Difference>,
}

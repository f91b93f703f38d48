//! What [`eval()`](crate::eval()) reports.

use std::collections::BTreeMap;

use ccs_report::{
    AnswerScore, Difference, Estimate, Evaluation, Method, NegationConsistency, OnPolarity, Side,
};
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
    /// Their groups, which intervals take for independent.
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
    /// The unrelated text that thresholds were set by, where there was any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub control: Option<ControlText>,
    /// Which evaluated rows are negated; none where all are of one polarity, or nothing says it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub polarity: Option<EvaluatedPolarity>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Affirmative and negated rows among those that are evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluatedPolarity {
    /// The column that says which rows are negated.
    pub column: String,
    /// Its values in negated rows.
    pub values: Vec<String>,
    /// Whether the column was found by its name and values, and not asked for.
    pub by_name: bool,
    /// Affirmative and negated rows.
    pub rows: [usize; 2],
    /// Among either, groups with a row of the rarer label: with few, nothing is concluded.
    pub groups_of_rarer_label: [usize; 2],
    /// The columns that a row and its negation share; empty where no row was found to be another's negation.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub matched_by: Vec<String>,
    /// How many results, probes times two, the joint intervals hold for at once.
    pub results: usize,
}

/// A probe on affirmative and on negated rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbePolarity {
    /// On affirmative rows.
    pub affirmative: OnPolarity,
    /// And on negated rows.
    pub negated: OnPolarity,
    /// Whether decisions turn round between a row and its negation; none without such pairs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub consistency: Option<NegationConsistency>,
}

/// Unrelated text, which a probe should not flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlText {
    /// What it is.
    pub data: Value,
    /// Rows that thresholds were set by.
    pub rows: usize,
    /// Their groups.
    pub groups: usize,
    /// Rows that were left out, of groups (passages) that the run was trained on.
    pub trained_rows: usize,
}

/// What a probe finds at the threshold that 1% of the control rows are above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// The score that at most 1% of the control rows are above; a row is flagged where its score is higher.
    pub threshold: f64,
    /// Where the threshold lies that 1% of all such text would be above, 97.5% of the time: lower and upper limit. No upper
    /// limit where the control rows are of too few groups for one.
    pub threshold_ci: [Option<f64>; 2],
    /// Control rows above the threshold.
    pub false_positives: usize,
    /// The share of rows labeled true that are above it: recall. The 95% interval covers that the threshold is uncertain
    /// too. None without such rows.
    pub true_rows: Option<Estimate>,
    /// The same share of the rows labeled false. As high as recall, and the probe tells the evaluated data from the control
    /// text, not true from false.
    pub false_rows: Option<Estimate>,
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
    /// 95%. The run's training rows, which could give them their signs, are not at hand: each is the way round that
    /// ranks the evaluated rows better, which errs in favor of the directions.
    pub random: Option<Evaluation>,
    /// The probe minus those, on the same rows.
    pub over_random: Option<Difference>,
    /// The probe minus the model's own answer, paired.
    pub over_zero_shot: Option<Difference>,
    /// At the threshold that unrelated text sets, where there was any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recall: Option<Recall>,
    /// On the rows of either polarity, where there are both.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub polarity: Option<ProbePolarity>,
}

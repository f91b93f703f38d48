//! Affirmative and negated rows: what a probe makes of either, and whether its decisions turn round with "not".

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::evaluation::{Estimate, Evaluation, Interval};
use crate::method::Method;

/// What probes make of affirmative and of negated rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolarityReport {
    /// The column that says which rows are negated.
    pub column: String,
    /// Its values in negated rows.
    pub values: Vec<String>,
    /// Whether the column was found by its name and values, and not asked for.
    pub by_name: bool,
    /// Affirmative and negated rows that trained.
    pub train: [usize; 2],
    /// Affirmative and negated rows that tested.
    pub test: [usize; 2],
    /// Among affirmative and among negated test rows, groups with a row of the rarer label: with few, nothing is concluded.
    pub groups_of_rarer_label: [usize; 2],
    /// The columns that a row and its negation share; empty where no row was found to be another's negation.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub matched_by: Vec<String>,
    /// How many results, methods times two, the joint intervals hold for at once.
    pub results: usize,
    /// Every method at its chosen layer.
    pub methods: IndexMap<Method, MethodPolarity>,
    /// Where test rows lie along the directions of TTPD.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plane: Option<TruthPlane>,
}

/// A probe on affirmative and on negated test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodPolarity {
    /// Its layer.
    pub layer: usize,
    /// The run's probe on affirmative rows.
    pub affirmative: OnPolarity,
    /// And on negated rows.
    pub negated: OnPolarity,
    /// A probe fitted on affirmative training rows alone: on affirmative, and on negated test rows. None if it could not be
    /// fitted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub of_affirmative: Option<[OnPolarity; 2]>,
    /// A probe fitted on negated training rows alone, likewise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub of_negated: Option<[OnPolarity; 2]>,
    /// Whether decisions turn round between a row and its negation; none without such pairs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub consistency: Option<NegationConsistency>,
    /// The same method with statistics of normalization taken within affirmative and within negated rows; of CCS alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub within_polarity: Option<WithinPolarity>,
}

/// The test rows of one polarity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OnPolarity {
    /// How well their labels are predicted.
    pub test: Evaluation,
    /// The interval of its AUROC that holds for both polarities and all methods of the run at once; of a probe fitted on the
    /// other polarity alone, for both directions and all methods.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auroc_joint: Option<Interval>,
}

/// Test rows with their negations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NegationConsistency {
    /// Pairs of a row and its negation.
    pub pairs: usize,
    /// The share of pairs whose decisions differ, as their labels do.
    pub turned: Estimate,
    /// The share of pairs both of whose rows are judged rightly.
    pub right: Estimate,
}

/// A fit whose normalization knows polarity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithinPolarity {
    /// On all test rows.
    pub test: Evaluation,
    /// On affirmative rows.
    pub affirmative: Evaluation,
    /// On negated rows.
    pub negated: Evaluation,
    /// Its AUROC on all test rows less that of the plain fit, paired.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub change: Option<Estimate>,
}

/// Test rows on the plane of TTPD's directions `t_G`, along which truth looks the same for both polarities, and `t_P`, along
/// which a negation turns it round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthPlane {
    /// The layer, TTPD's chosen one.
    pub layer: usize,
    /// The test rows that are shown, by their numbers in the data: a seeded choice where there are more.
    pub rows: Vec<usize>,
    /// Whether each is true.
    pub labels: Vec<bool>,
    /// Whether each is affirmative.
    pub affirmative: Vec<bool>,
    /// Along `t_G`, of normalized states, rounded.
    pub general: Vec<f64>,
    /// Along `t_P`.
    pub sensitive: Vec<f64>,
    /// The cosine between the two directions.
    pub cosine: f64,
}

//! Single test rows to look at: where methods are sure, unsure, right and wrong, and where two of them disagree.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::row_text::RowText;
use crate::method::Method;

/// Test rows to look at, of the methods at their chosen layers. Of several templates of a question a list shows one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RowExamples {
    /// The rows that the lists name, each once, ascending.
    pub rows: Vec<ExampleRow>,
    /// Of every method that ranks rows.
    pub methods: IndexMap<Method, MethodExamples>,
    /// Where two methods disagree most; none where fewer than two have calibrated probabilities.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disagreements: Option<Disagreements>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExampleRow {
    /// Its number in the data.
    pub row: usize,
    /// Its own name.
    pub id: String,
    /// Its template; empty where there is one.
    pub template: String,
    /// Whether the plus side is true.
    pub label: bool,
    /// The end of its text, where the data has texts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<RowText>,
}

/// The rows of one method. A method is the surer of a row, the further its score lies from its threshold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MethodExamples {
    /// The layer chosen for it; none for what is the same at every layer.
    pub layer: Option<usize>,
    /// Predicted wrongly, surest first.
    pub wrong: Vec<Judged>,
    /// Predicted rightly, surest first.
    pub right: Vec<Judged>,
    /// Least sure first.
    pub unsure: Vec<Judged>,
}

/// What a method makes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The row's number in the data.
    pub row: usize,
    /// Whether it is predicted true.
    pub prediction: bool,
    /// The calibrated probability that it is true, where there is one.
    pub p: Option<f64>,
}

/// Where two methods disagree most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disagreements {
    /// The methods.
    pub methods: [Method; 2],
    /// Their rows, by the distance between the two probabilities.
    pub rows: Vec<Disagreement>,
}

/// A row that two methods disagree on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The row's number in the data.
    pub row: usize,
    /// The calibrated probability that it is true, by either method.
    pub p: [f64; 2],
}

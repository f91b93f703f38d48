//! What the page is given.

use indexmap::IndexMap;
use serde::Serialize;

use crate::method::Method;

/// The rows of a run, and what every method predicts for them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Explore {
    /// What the data is, in a few words each.
    pub about: Vec<String>,
    /// Whether rows are single statements.
    pub statements: bool,
    /// Rows of the run that are not here.
    pub left_out: usize,
    /// The rows.
    pub rows: ExploredRows,
    /// Further columns of the data, an entry a row in each.
    pub columns: IndexMap<String, Vec<Option<String>>>,
    /// What methods predict.
    pub methods: Vec<ExploredMethod>,
    /// The column that points' marks tell, as in the run's pictures; `template` for the rows' templates.
    pub marks: Option<String>,
    /// Principal components of plus statements.
    pub pictures: Vec<Picture>,
}

/// What rows are, an entry a row in every list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExploredRows {
    /// Row numbers in the data.
    pub number: Vec<usize>,
    /// Their own names.
    pub id: Vec<String>,
    /// Their questions.
    pub question: Vec<String>,
    /// Their templates.
    pub template: Vec<String>,
    /// `train`, `test`, or nothing.
    pub split: Vec<&'static str>,
    /// Whether the plus side is true.
    pub label: Vec<bool>,
    /// The end of what both prompts begin with.
    pub text: Vec<Option<String>>,
    /// How the plus prompt goes on.
    pub plus: Vec<Option<String>>,
    /// How the minus prompt goes on.
    pub minus: Vec<Option<String>>,
}

/// What one method at its chosen layer predicts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExploredMethod {
    /// The method.
    pub name: Method,
    /// What it is called.
    pub title: String,
    /// Its layer; none for what is the same at every layer.
    pub layer: Option<usize>,
    /// For every row of the page, where its numbers are in the lists below.
    pub place: Vec<Option<usize>>,
    /// Scores.
    pub score: Vec<f64>,
    /// A score above it predicts true.
    pub threshold: f64,
    /// Calibrated probabilities, where there are any.
    pub p: Option<Vec<f64>>,
    /// The token that a probe reads most, between the texts before and behind it, and its share; of probes that learn where to
    /// look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<Vec<([String; 3], f64)>>,
    /// Whether the rows are predicted true.
    pub prediction: Vec<bool>,
}

/// Where plus statements lie on the plane of a layer's principal components, by row of the page; none for rows that the
/// run's picture does not show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Picture {
    /// The layer.
    pub layer: usize,
    /// Along the first component.
    pub x: Vec<Option<f64>>,
    /// Along the second.
    pub y: Vec<Option<f64>>,
}

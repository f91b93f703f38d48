//! Where probes that read all tokens look.

use serde::{Deserialize, Serialize};

/// Which tokens a probe reads at its chosen layer, on test rows: a share of each token, all of a prompt's together 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenPlaces {
    /// The layer.
    pub layer: usize,
    /// Head by head.
    pub heads: Vec<HeadPlaces>,
}

/// Which tokens one head reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadPlaces {
    /// The mean share of the last token, of the one before it, and so on, over all prompts; a prompt that has no such token
    /// counts as 0.
    pub from_end: Vec<f64>,
    /// The mean share of all tokens before those.
    pub earlier: f64,
    /// The texts of tokens with the largest mean share, where texts are known.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tokens: Vec<TokenShare>,
}

/// How much of one text's tokens is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenShare {
    /// The text.
    pub text: String,
    /// The mean share over the tokens that have it.
    pub share: f64,
    /// How many tokens that are.
    pub count: usize,
    /// Where one of them has the largest share.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub most: Option<TokenExample>,
}

/// A token among those around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenExample {
    /// The row's number in the data.
    pub row: usize,
    /// Its share.
    pub share: f64,
    /// The text before it, with an ellipsis for what was cut.
    pub before: String,
    /// The token as it stands in the text.
    pub token: String,
    /// The text behind it.
    pub after: String,
}

//! What families of models do otherwise than LLaMA: one type for each idea, whose default is LLaMA's way.

use serde::{Deserialize, Serialize};

/// Some of a model's layers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Layers {
    /// All of them.
    #[default]
    All,
    /// Those of these numbers, ascending.
    Only(Vec<usize>),
}

impl Layers {
    /// Those of `n_layers` layers that a rule names.
    pub fn chosen(n_layers: usize, rule: impl Fn(usize) -> bool) -> Self {
        let chosen: Vec<usize> = (0..n_layers).filter(|&layer| rule(layer)).collect();
        if chosen.len() == n_layers { Self::All } else { Self::Only(chosen) }
    }

    /// Whether a layer is one of them.
    pub fn contains(&self, layer: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(layers) => layers.binary_search(&layer).is_ok(),
        }
    }
}

/// Which products of a block have a bias added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Biases {
    /// None.
    #[default]
    None,
    /// Queries, keys, and values (Qwen 2).
    QueriesKeysValues,
    /// Queries, keys, values, and attention's output (`attention_bias`).
    Attention,
}

/// What queries and keys are divided by their root mean square over, before they are rotated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QueryKeyNorm {
    /// They are not.
    #[default]
    None,
    /// Each head, all heads with one gain (Qwen 3, Gemma 3).
    Heads,
    /// All heads together (`OLMo` 2).
    Projections,
}

/// Where a block's norms are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlockNorms {
    /// Before attention and before the MLP.
    #[default]
    Before,
    /// Before and after each (Gemma 2 and 3).
    Around,
    /// After each, which reads the residual stream as it is (`OLMo` 2).
    After,
}

/// What the MLP's gate passes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Gate {
    /// `x · sigmoid(x)`
    #[default]
    Silu,
    /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))` (Gemma)
    GeluTanh,
}

/// `cap · tanh(x / cap)` instead of x (Gemma 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SoftCaps {
    /// Of attention scores, before what is not seen is masked.
    pub scores: Option<f64>,
    /// Of logits.
    pub logits: Option<f64>,
}

/// Factors that are 1 in a LLaMA (Granite, Gemma).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Multipliers {
    /// Of the embedding, where it enters the residual stream.
    pub embedding: f64,
    /// Of what attention and the MLP write into the residual stream.
    pub residual: f64,
    /// Of products of queries and keys; `None` is LLaMA's `1/√K`.
    pub scores: Option<f64>,
    /// What logits are divided by.
    pub logit_divisor: f64,
}

impl Default for Multipliers {
    fn default() -> Self {
        Self { embedding: 1.0, residual: 1.0, scores: None, logit_divisor: 1.0 }
    }
}

/// Whether an option is LLaMA's, and left out of what is written.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

//! Probes that read all tokens of a prompt: what they make of them, before the last weight.

use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::tensors::tensor;
use crate::normalize::Normalizer;
use crate::tokens::TokenStates;
use crate::{Contrast, Result};

/// What a probe makes of the T tokens of a prompt.
#[derive(Debug)]
pub enum TokenReader {
    /// The mean of the states, then normalized: f(x) = φ(Σₜ xₜ/T), D numbers.
    Mean,
    /// H heads of attention on normalized states, H numbers: `f_h`(x) = Σₜ `a_ht`·(`v_h`·φₜ), where a is the softmax over the
    /// prompt's tokens of `q_h`·φₜ + `p_h`·(t − T + 1), t from 0.
    Attention {
        /// q. \[H, D\]
        query: Tensor,
        /// p, of each token that it is nearer to the end. \[H\]
        position: Tensor,
        /// v. \[H, D\]
        value: Tensor,
    },
    /// H heads of the largest value on normalized states, H numbers: `f_h`(x) = maxₜ `v_h`·φₜ.
    MultiMax {
        /// v. \[H, D\]
        value: Tensor,
    },
}

/// Which of them, in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenKind {
    Mean,
    Attention,
    MultiMax,
}

impl TokenReader {
    pub(super) fn kind(&self) -> TokenKind {
        match self {
            Self::Mean => TokenKind::Mean,
            Self::Attention { .. } => TokenKind::Attention,
            Self::MultiMax { .. } => TokenKind::MultiMax,
        }
    }

    /// D, where it has parameters that say so.
    pub(super) fn dim(&self) -> Option<usize> {
        match self {
            Self::Mean => None,
            Self::Attention { value, .. } | Self::MultiMax { value } => {
                value.size().get(1).map(|&d| d as usize)
            }
        }
    }

    /// f of both sides' prompts, f64. \[N, F\] each
    pub(super) fn features(&self, normalizer: &Normalizer, pairs: &Contrast) -> Result<(Tensor, Tensor)> {
        if matches!(self, Self::Mean) {
            return normalizer.apply(&pairs.of_mean_tokens()?, Kind::Double);
        }
        Self::of_sides(normalizer, pairs, |side, states| {
            let (weights, values) = self.heads(side, states)?; // [M, H] each
            side.segments()?.sum(&weights.f_mul(&values)?)
        })
    }

    /// How much of what each head reads is each token's: attention, 1 for the token with the largest value, or the share of
    /// the mean, which has one head. \[M, H\] of either side, f64; the shares of a prompt are 1 together.
    pub(super) fn shares(&self, normalizer: &Normalizer, pairs: &Contrast) -> Result<(Tensor, Tensor)> {
        Self::of_sides(normalizer, pairs, |side, states| Ok(self.heads(side, states)?.0))
    }

    /// Something of each side, from its normalized tokens; of single statements of the plus side alone.
    fn of_sides(
        normalizer: &Normalizer,
        pairs: &Contrast,
        of: impl Fn(&TokenStates, &Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, Tensor)> {
        let (plus, minus) = normalizer.apply_tokens(pairs, Kind::Double)?;
        let (plus_side, minus_side) = pairs.all_tokens()?;
        let found = of(plus_side, &plus)?;
        if pairs.is_single() {
            return Ok((found.f_alias()?, found));
        }
        Ok((found, of(minus_side, &minus)?))
    }

    /// Each token's weight and value, head by head. `x`: \[M, D\], normalized; the results: \[M, H\].
    fn heads(&self, side: &TokenStates, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let times = |heads: &Tensor| -> Result<Tensor> { Ok(x.f_mm(&on(heads, x)?.f_tr()?)?) };
        let segments = side.segments()?;
        match self {
            Self::Mean => {
                let equal = x.f_narrow(1, 0, 1)?.f_zeros_like()?;
                Ok((segments.shares(&equal)?, equal))
            }
            Self::Attention { query, position, value } => {
                let places = Tensor::f_from_slice(&side.positions())?;
                let places = on(&places, x)?.f_outer(&on(position, x)?)?;
                Ok((segments.shares(&times(query)?.f_add(&places)?)?, times(value)?))
            }
            Self::MultiMax { value } => {
                let values = times(value)?;
                Ok((segments.hard_max(&values)?, values))
            }
        }
    }

    /// Its tensors under their names in a probe's file.
    pub(super) fn tensors(&self) -> Vec<(String, &Tensor)> {
        let named = |name: &str| format!("heads.{name}");
        match self {
            Self::Mean => Vec::new(),
            Self::Attention { query, position, value } => {
                vec![(named("query"), query), (named("position"), position), (named("value"), value)]
            }
            Self::MultiMax { value } => vec![(named("value"), value)],
        }
    }

    /// The reader of a probe's file whose weight has `outputs` numbers, and D.
    pub(super) fn read(file: &SafeTensors, kind: TokenKind, outputs: usize) -> Result<(Self, usize), String> {
        if kind == TokenKind::Mean {
            return Ok((Self::Mean, outputs));
        }
        let get = |part: &str, shape: &[_]| tensor(file, &format!("heads.{part}"), shape);
        let value = get("value", &[Some(outputs), None])?;
        let dim = value.dims2("value").map_err(|e| e.to_string())?.1 as usize;
        let reader = match kind {
            TokenKind::Attention => Self::Attention {
                query: get("query", &[Some(outputs), Some(dim)])?,
                position: get("position", &[Some(outputs)])?,
                value,
            },
            TokenKind::MultiMax | TokenKind::Mean => Self::MultiMax { value },
        };
        Ok((reader, dim))
    }
}

/// A parameter in f64 where the states are.
fn on(parameter: &Tensor, states: &Tensor) -> Result<Tensor> {
    Ok(parameter.f_to_device(states.device())?.f_to_kind(Kind::Double)?)
}

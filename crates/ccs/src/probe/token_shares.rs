//! What a probe that reads all tokens says of prompts: scores, and which tokens they are from.

use tch::{Device, Tensor};

use super::{HiddenLayers, Probe};
use crate::tokens::TokenStates;
use crate::{Contrast, Result};

/// Which tokens a probe reads, and how much of each.
#[derive(Debug)]
pub struct TokenShares {
    /// Of the plus side's tokens, head by head, each prompt's together 1. \[M⁺, H\], f64, on the CPU
    pub plus: Tensor,
    /// Of the minus side's. \[M⁻, H\]
    pub minus: Tensor,
}

impl Probe {
    /// Which tokens the probe reads of these rows: each head's attention, the token with its largest value, or equal shares
    /// of a mean. None of a probe that reads one state.
    ///
    /// # Errors
    /// Rows with one state each, or another D.
    pub fn token_shares(&self, pairs: &Contrast) -> Result<Option<TokenShares>> {
        let HiddenLayers::Tokens(reader) = &self.hidden_layers else { return Ok(None) };
        let (plus, minus) = reader.shares(&self.normalizer, pairs)?;
        Ok(Some(TokenShares { plus: plus.f_to_device(Device::Cpu)?, minus: minus.f_to_device(Device::Cpu)? }))
    }

    /// One score per prompt or pair of prompts of many tokens, as [`Probe::scores`](super::Probe::scores) of one state each.
    /// Without a minus side they are single statements.
    ///
    /// # Errors
    /// Sides of different lengths, or another D.
    pub fn scores_of_tokens(&self, plus: TokenStates, minus: Option<TokenStates>) -> Result<Vec<f64>> {
        let rows = plus.rows();
        let (labels, groups) = (vec![false; rows], vec![String::new(); rows]);
        let rows = match minus {
            Some(minus) => Contrast::of_tokens(plus, minus, labels, groups)?,
            None => Contrast::single_of_tokens(plus, labels, groups)?,
        };
        self.score_pairs(&rows)
    }
}

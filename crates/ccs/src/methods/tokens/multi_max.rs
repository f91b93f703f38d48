//! Multi-max probes (Kramár et al. 2026, "Building Production-Ready Probes For Gemini"): heads that read the token that says
//! most.
//!
//! Of a prompt with normalized states φₜ, the score is Σₕ maxₜ(`v_h`·φₜ): attention with the maximum in the softmax's place, so
//! that a long prompt's other tokens cannot dilute the one that matters. The authors' heads read a small network's output of each
//! token; here they read the states, as all probes here do unless they are told otherwise. The maximum is the hard one in training
//! too, whose derivative is that of the token that has it. One maximum is convex in v, and the difference of a pair's
//! sides is not; fits go from several starts.

use tch::Tensor;

use super::fit::{TokenFit, TokenOptions, fit, fit_from};
use super::loss::Heads;
use crate::methods::fit::{Fit, Fitted};
use crate::{Contrast, Result, SeedTree};

/// Multi-max probes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MultiMax {
    /// How it is fitted.
    pub options: TokenOptions,
}

impl Fit for MultiMax {
    fn fit_checked(&self, train: &Contrast, seeds: &SeedTree) -> Result<Fitted> {
        multi_max(train, &self.options, seeds)?.fitted(&self.options)
    }

    fn fits_statements(&self) -> bool {
        true
    }

    fn draws_from_seeds(&self) -> bool {
        true
    }

    fn reads_tokens(&self) -> bool {
        true
    }
}

/// Fits a multi-max probe.
///
/// # Shapes
/// `train`: N rows of many tokens of D, pairs or single statements.
///
/// # Errors
/// As [`attention`](super::attention::attention).
pub fn multi_max(train: &Contrast, options: &TokenOptions, seeds: &SeedTree) -> Result<TokenFit> {
    fit(train, Heads::MultiMax, options, seeds)
}

/// Fits it from given starts ([`TokenOptions::n_init`] is not used).
///
/// # Shapes
/// `start`: \[R, P\], P = H·D + 1: values, each head after the other, and the bias.
///
/// # Errors
/// As [`multi_max`], and starts of another shape.
pub fn multi_max_from(train: &Contrast, options: &TokenOptions, start: &Tensor) -> Result<TokenFit> {
    fit_from(train, Heads::MultiMax, options, start)
}

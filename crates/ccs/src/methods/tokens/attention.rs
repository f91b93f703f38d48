//! Attention probes ("Attention Probes", `EleutherAI` 2025): heads that learn which tokens to read.
//!
//! Of a prompt with normalized states φₜ, t from 0 to T − 1, each head h has a query `q_h`, a value `v_h` and a slope `p_h` by
//! places, `a_h` = softmaxₜ(`q_h`·φₜ + `p_h`·(t − T + 1)) and the output Σₜ `a_ht`·(`v_h`·φₜ); the outputs of all heads are
//! added. The published probe counts places from either end; here they count back from the last token, where prompts of
//! different lengths agree. As there, fits begin at the mean of all tokens, with q = p = 0 and random v, and run L-BFGS with a
//! quadratic penalty on all parameters (here b is free). With one token a prompt it is logistic regression, H times.

use tch::Tensor;

use super::fit::{TokenFit, TokenOptions, fit, fit_from};
use super::loss::Heads;
use crate::methods::fit::{Fit, Fitted};
use crate::{Contrast, Result, SeedTree};

/// Attention probes.
///
/// ```
/// use ccs::methods::tokens::TokenOptions;
/// use ccs::methods::tokens::attention::Attention;
/// use ccs::{Fit, SeedTree, Statements, TokenStates};
/// use tch::Tensor;
///
/// // Six prompts of two tokens; the one that is marked in the second dimension knows the truth.
/// let states = Tensor::from_slice(&[
///     1.0, 1.0, 0.1, 0.0, 0.2, 0.0, 1.1, 1.0, 0.9, 1.0, -0.3, 0.0, //
///     -1.0, 1.0, 0.2, 0.0, 0.1, 0.0, -1.2, 1.0, -0.8, 1.0, 0.3, 0.0,
/// ]);
/// let prompts = TokenStates::new(states.reshape([12, 2]), vec![0, 2, 4, 6, 8, 10, 12])?;
/// let groups = (0..6).map(|row| row.to_string()).collect();
/// let labels = vec![true, true, true, false, false, false];
/// let train = Statements::of_tokens(prompts, labels, groups)?;
/// let method = Attention { options: TokenOptions { heads: 1, ..TokenOptions::default() } };
/// let probe = method.fit_statements(&train, &SeedTree::new(0))?.probe;
/// assert!(probe.accuracy(train.as_contrast())? > 0.99);
/// let attention = probe.token_shares(train.as_contrast())?.expect("it reads all tokens").plus;
/// assert!(attention.double_value(&[0, 0]) > attention.double_value(&[1, 0]));
/// # Ok::<(), ccs::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Attention {
    /// How it is fitted.
    pub options: TokenOptions,
}

impl Fit for Attention {
    fn fit_checked(&self, train: &Contrast, seeds: &SeedTree) -> Result<Fitted> {
        attention(train, &self.options, seeds)?.fitted(&self.options)
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

/// Fits an attention probe.
///
/// # Shapes
/// `train`: N rows of many tokens of D, pairs or single statements.
///
/// # Errors
/// Rows of one label or with one state each, settings that cannot be used, or no start with a finite objective.
pub fn attention(train: &Contrast, options: &TokenOptions, seeds: &SeedTree) -> Result<TokenFit> {
    fit(train, Heads::Attention, options, seeds)
}

/// Fits it from given starts ([`TokenOptions::n_init`] is not used).
///
/// # Shapes
/// `start`: \[R, P\], P = 2·H·D + H + 1: queries and values, each head after the other, H slopes by places (in units of
/// the training prompts' mean length), and the bias.
///
/// # Errors
/// As [`attention`], and starts of another shape.
pub fn attention_from(train: &Contrast, options: &TokenOptions, start: &Tensor) -> Result<TokenFit> {
    fit_from(train, Heads::Attention, options, start)
}

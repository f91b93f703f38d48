//! The baselines of probes that read all tokens: logistic regression on one state a prompt, the last token's or the mean.

use crate::methods::fit::{Fit, Fitted};
use crate::methods::logistic_regression::LogisticRegression;
use crate::normalize::Normalization;
use crate::probe::{HiddenLayers, Probe, TokenReader};
use crate::{Contrast, Result, SeedTree};

/// What becomes of a prompt's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// The last one's state.
    Last,
    /// The mean of all states, normalized by the spread of such means.
    Mean,
}

/// Logistic regression on one state a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooled {
    /// Which state.
    pub pool: Pool,
    /// On what of a pair, and with which penalty.
    pub regression: LogisticRegression,
}

impl Pooled {
    /// On differences, or on single statements where rows are such.
    pub fn new(pool: Pool, normalization: Normalization) -> Self {
        Self { pool, regression: LogisticRegression::differences(normalization) }
    }
}

impl Fit for Pooled {
    fn fit_checked(&self, train: &Contrast, seeds: &SeedTree) -> Result<Fitted> {
        match self.pool {
            Pool::Last => self.regression.fit(&train.of_last_tokens()?, seeds),
            Pool::Mean => {
                let fitted = self.regression.fit(&train.of_mean_tokens()?, seeds)?;
                let hidden_layers = HiddenLayers::Tokens(TokenReader::Mean);
                Ok(Fitted { probe: Probe { hidden_layers, ..fitted.probe }, ..fitted })
            }
        }
    }

    fn fits_statements(&self) -> bool {
        true
    }

    fn draws_from_seeds(&self) -> bool {
        self.regression.draws_from_seeds()
    }

    fn reads_tokens(&self) -> bool {
        true
    }
}

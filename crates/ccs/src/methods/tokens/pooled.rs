//! The baselines of probes that read all tokens: logistic regression on one state a prompt, the last token's or the mean.

use crate::methods::fit::{Fit, Fitted};
use crate::methods::logistic_regression::LogisticRegression;
use crate::normalize::Normalization;
use crate::probe::{HiddenLayers, Probe, TokenReader};
use crate::stats::split::Split;
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

    /// The rows with one state each.
    fn pooled(&self, rows: &Contrast) -> Result<Contrast> {
        match self.pool {
            Pool::Last => rows.of_last_tokens(),
            Pool::Mean => rows.of_mean_tokens(),
        }
    }
}

impl Fit for Pooled {
    fn fit_checked(&self, train: &Contrast, seeds: &SeedTree) -> Result<Fitted> {
        let fitted = self.regression.fit(&self.pooled(train)?, seeds)?;
        match self.pool {
            Pool::Last => Ok(fitted),
            Pool::Mean => {
                let hidden_layers = HiddenLayers::Tokens(TokenReader::Mean);
                Ok(Fitted { probe: Probe { hidden_layers, ..fitted.probe }, ..fitted })
            }
        }
    }

    fn tuned(&self, train: &Contrast, folds: &[Split]) -> Result<Option<Box<dyn Fit>>> {
        let tuned = self.regression.with_tuned_penalty(&self.pooled(train)?, folds)?;
        Ok(tuned.map(|regression| -> Box<dyn Fit> { Box::new(Self { pool: self.pool, regression }) }))
    }

    fn l2(&self) -> Option<f64> {
        self.regression.l2()
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

//! Logistic regression as a method.

use serde_json::json;

use super::fit::{Convergence, Fit, Fitted};
use super::logistic::{LrInput, LrOptions, choose, logistic_on, penalized};
use crate::normalize::Normalization;
use crate::stats::split::{Split, grouped_folds};
use crate::{Contrast, Result, SeedTree};

/// Folds where none are given.
const FOLDS: usize = 5;

/// Where the penalty comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum PenaltyRule {
    /// [`LrOptions::c`].
    #[default]
    FromC,
    /// Cross-validation inside the training rows chooses λ.
    CrossValidated,
    /// This λ, which cross-validation chose.
    Chosen(f64),
}

/// Logistic regression: on what, and with which penalty.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticRegression {
    /// What it sees of a pair.
    pub input: LrInput,
    /// Where the penalty comes from.
    pub penalty: PenaltyRule,
    /// C, tolerance, precision and normalization.
    pub options: LrOptions,
}

impl LogisticRegression {
    fn new(input: LrInput, penalty: PenaltyRule, normalization: Normalization) -> Self {
        Self { input, penalty, options: LrOptions { normalization, ..LrOptions::default() } }
    }

    /// On differences, with the C of [`LrOptions`].
    pub fn differences(normalization: Normalization) -> Self {
        Self::new(LrInput::Differences, PenaltyRule::FromC, normalization)
    }

    /// On single statements, with the penalty by cross-validation.
    pub fn statements(normalization: Normalization) -> Self {
        Self::new(LrInput::Statements, PenaltyRule::CrossValidated, normalization)
    }

    /// On concatenated pairs, with the penalty by cross-validation.
    pub fn concatenated(normalization: Normalization) -> Self {
        Self::new(LrInput::Concatenated, PenaltyRule::CrossValidated, normalization)
    }

    /// The same with the penalty that these folds choose, where they are to choose it.
    pub(crate) fn with_tuned_penalty(&self, train: &Contrast, folds: &[Split]) -> Result<Option<Self>> {
        if self.penalty != PenaltyRule::CrossValidated {
            return Ok(None);
        }
        let penalty = PenaltyRule::Chosen(self.choose(train, folds)?);
        Ok(Some(Self { penalty, ..self.clone() }))
    }

    /// The penalty that does best on these folds.
    fn choose(&self, train: &Contrast, folds: &[Split]) -> Result<f64> {
        Ok(choose(train, self.input, folds, &self.options)?.0)
    }
}

impl Fit for LogisticRegression {
    fn fit_checked(&self, train: &Contrast, seeds: &SeedTree) -> Result<Fitted> {
        let l2 = match self.penalty {
            PenaltyRule::FromC => None,
            PenaltyRule::Chosen(l2) => Some(l2),
            PenaltyRule::CrossValidated => {
                let folds = grouped_folds(train.labels(), train.groups(), FOLDS, &seeds.child("folds"))?;
                Some(self.choose(train, &folds)?)
            }
        };
        let fit = match l2 {
            Some(l2) => penalized(train, self.input, l2, &self.options)?,
            None => logistic_on(train, self.input, &self.options)?,
        };
        let about = json!({
            "input": self.input,
            "c": l2.is_none().then_some(self.options.c),
            "l2": l2,
            "objective": fit.objective,
            "gradient": fit.gradient,
            "normalization": self.options.normalization,
        });
        let newton = Convergence { gradient: fit.gradient, iterations: fit.iterations };
        Ok(Fitted { newton: Some(newton), ..Fitted::new(fit.probe, fit.objective, about) })
    }

    fn tuned(&self, train: &Contrast, folds: &[Split]) -> Result<Option<Box<dyn Fit>>> {
        Ok(self.with_tuned_penalty(train, folds)?.map(|tuned| -> Box<dyn Fit> { Box::new(tuned) }))
    }

    fn l2(&self) -> Option<f64> {
        match self.penalty {
            PenaltyRule::Chosen(l2) => Some(l2),
            PenaltyRule::FromC | PenaltyRule::CrossValidated => None,
        }
    }

    fn fits_statements(&self) -> bool {
        self.input != LrInput::Concatenated
    }

    fn draws_from_seeds(&self) -> bool {
        self.penalty == PenaltyRule::CrossValidated
    }
}

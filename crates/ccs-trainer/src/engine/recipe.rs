//! A method of the registry with the hyper-parameters of a run's settings.

use crate::settings::Settings;
use crate::{Error, Result};
use ccs::methods::inlp::Inlp;
use ccs::methods::logistic::LrInput;
use ccs::methods::logistic_regression::{LogisticRegression, PenaltyRule};
use ccs::methods::tokens::TokenOptions;
use ccs::methods::tokens::attention::Attention;
use ccs::methods::tokens::multi_max::MultiMax;
use ccs::methods::tokens::pooled::{Pool, Pooled};
use ccs::methods::{Entry, Fit, Fitted, REGISTRY, STATEMENT_METHODS};
use ccs::stats::split::Split;
use ccs::{Contrast, SeedTree};
use ccs_report::{Method, RowKind};

/// INLP ends after so many directions in any case.
const INLP_DIRECTIONS: usize = 20;

/// A method with all that its fit needs to know but the rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe<'a> {
    pub(crate) method: Method,
    rows: RowKind,
    settings: &'a Settings,
    /// The penalty of logistic regression, where cross-validation chose it.
    pub(crate) l2: Option<f64>,
    probe_only: bool,
}

/// A fit that these rows do not allow becomes the reason in words; all other errors stay errors.
pub(crate) fn possible<T, E: Into<Error>>(fit: Result<T, E>) -> Result<Result<T, String>> {
    match fit.map_err(Into::into) {
        Ok(fit) => Ok(Ok(fit)),
        Err(Error::Probe(
            error @ (ccs::Error::Constant
            | ccs::Error::Singular { .. }
            | ccs::Error::NotConverged { .. }
            | ccs::Error::Separable
            | ccs::Error::Diverged
            | ccs::Error::OneClass { .. }
            | ccs::Error::TooFewRows { .. }
            | ccs::Error::TooFewGroups { .. }),
        )) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

impl<'a> Recipe<'a> {
    /// Chooses on folds of the training rows what the method leaves open.
    pub(crate) fn new(
        method: Method,
        settings: &'a Settings,
        train: &Contrast,
        folds: &[Split],
    ) -> Result<Self> {
        let rows = if train.is_single() { RowKind::Statements } else { RowKind::Pairs };
        let open = Self::known(method, rows, settings, None);
        let tuned = open.configured()?.tuned(train, folds)?;
        Ok(Self { l2: tuned.and_then(|tuned| tuned.l2()), ..open })
    }

    /// With the penalty that was chosen before, if any.
    pub(crate) fn known(method: Method, rows: RowKind, settings: &'a Settings, l2: Option<f64>) -> Self {
        Self { method, rows, settings, l2, probe_only: false }
    }

    /// For the probe alone, without what else a report shows.
    pub(crate) fn briefly(self) -> Self {
        Self { probe_only: true, ..self }
    }

    /// The method with the hyper-parameters of these settings. A method that has none of its own there takes its defaults.
    fn configured(&self) -> Result<Box<dyn Fit>> {
        let Settings { ccs, lr, lr_cross_validated, normalization, .. } = self.settings;
        let logistic = |input, open| {
            let penalty = self.l2.map_or(open, PenaltyRule::Chosen);
            Box::new(LogisticRegression { input, penalty, options: lr.clone() })
        };
        let of_differences =
            if *lr_cross_validated { PenaltyRule::CrossValidated } else { PenaltyRule::FromC };
        let pooled = |pool| {
            let regression = *logistic(LrInput::Differences, of_differences);
            Box::new(Pooled { pool, regression })
        };
        // The penalty of the baselines that they are compared with.
        let of_tokens = TokenOptions {
            heads: self.settings.token_heads.unwrap_or(TokenOptions::default().heads),
            n_init: self.settings.token_starts.unwrap_or(TokenOptions::default().n_init),
            c: lr.c,
            normalization: *normalization,
            ..TokenOptions::default()
        };
        let of_statements = self.rows == RowKind::Statements;
        Ok(match self.method.name() {
            "lr" if of_statements => logistic(LrInput::Statements, PenaltyRule::CrossValidated),
            "ccs" => Box::new(ccs.clone()),
            "lr" => logistic(LrInput::Differences, of_differences),
            "lr_statements" => logistic(LrInput::Statements, PenaltyRule::CrossValidated),
            "lr_pairs" => logistic(LrInput::Concatenated, PenaltyRule::CrossValidated),
            "inlp" => {
                Box::new(Inlp { max_directions: INLP_DIRECTIONS, regression: lr.clone(), ..Inlp::default() })
            }
            "last" => pooled(Pool::Last),
            "mean" => pooled(Pool::Mean),
            "attention" => Box::new(Attention { options: of_tokens }),
            "multi_max" => Box::new(MultiMax { options: of_tokens }),
            name => {
                let registry: &[Entry] = if of_statements { &STATEMENT_METHODS } else { &REGISTRY };
                let entry = registry.iter().find(|entry| entry.name == name);
                entry.ok_or(Error::NoFit { method: self.method })?.method(*normalization)
            }
        })
    }

    /// Whether other seeds may give another probe.
    pub(crate) fn draws_from_seeds(&self) -> Result<bool> {
        Ok(self.configured()?.draws_from_seeds())
    }

    /// Fits on training rows.
    pub(crate) fn fit(&self, train: &Contrast, seeds: &SeedTree) -> Result<Fitted> {
        let method = self.configured()?;
        let brief = if self.probe_only { method.probe_only() } else { None };
        Ok(brief.unwrap_or(method).fit(train, seeds)?)
    }
}

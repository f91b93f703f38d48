//! How each method that gives a probe is fitted on training rows.

use serde_json::{Value, json};

use super::Settings;
use crate::fit::ccs::ccs;
use crate::fit::inlp::{InlpOptions, inlp};
use crate::fit::kmeans::{KMeansOptions, kmeans};
use crate::fit::logistic::{LrFit, LrInput, cross_validated, logistic, penalised};
use crate::fit::means::{Shrinkage, lda, mean_difference};
use crate::fit::quadratic::{Objective, quadratic};
use crate::fit::salience::{BssOptions, bss};
use crate::loss::Terms;
use crate::probe::Probe;
use crate::rng::Stream;
use crate::split::Split;
use crate::{Contrast, Error, Method, Result};

/// INLP ends after so many directions in any case.
const INLP_DIRECTIONS: usize = 20;

/// A method with all that its fit needs to know but the rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe<'a> {
    pub(super) method: Method,
    settings: &'a Settings,
    /// The penalty of logistic regression, where cross-validation chose it.
    pub(super) l2: Option<f64>,
    directions: usize,
}

/// A fitted probe, and what the report says of the fit.
#[derive(Debug)]
pub(super) struct Fit {
    pub(super) probe: Probe,
    /// What was minimised; 0 where nothing is.
    pub(super) loss: f64,
    /// For the probe's file.
    pub(super) about: Value,
    /// CCS's kept start: its terms, its number and every start's final terms.
    pub(super) starts: Option<(Terms, usize, Vec<Terms>)>,
    /// Logistic regression's largest gradient entry, and its iterations.
    pub(super) newton: Option<(f64, usize)>,
    /// INLP's probes after the first.
    pub(super) further: Vec<Probe>,
    pub(super) note: Option<String>,
}

impl Fit {
    fn new(probe: Probe, loss: f64, about: Value) -> Self {
        Self { probe, loss, about, starts: None, newton: None, further: Vec::new(), note: None }
    }
}

/// A fit that these rows do not allow becomes the reason in words; all other errors stay errors.
pub(super) fn possible<T>(fit: Result<T>) -> Result<Result<T, String>> {
    match fit {
        Ok(fit) => Ok(Ok(fit)),
        Err(
            error @ (Error::Constant
            | Error::Singular { .. }
            | Error::NotConverged { .. }
            | Error::Separable
            | Error::Diverged
            | Error::OneClass { .. }
            | Error::TooFewRows { .. }
            | Error::TooFewGroups { .. }),
        ) => {
            let text = error.to_string();
            Ok(Err(text.split_once("\nhint: ").map_or(text.as_str(), |(text, _)| text).to_owned()))
        }
        Err(error) => Err(error),
    }
}

impl<'a> Recipe<'a> {
    /// Chooses on folds of the training rows what the method leaves open.
    pub(super) fn new(
        method: Method,
        settings: &'a Settings,
        train: &Contrast,
        folds: &[Split],
    ) -> Result<Self> {
        let input = match method {
            Method::Lr if settings.lr_cross_validated => Some(LrInput::Differences),
            Method::LrStatements => Some(LrInput::Statements),
            Method::LrPairs => Some(LrInput::Concatenated),
            _ => None,
        };
        let l2 = match input {
            Some(input) => Some(cross_validated(train, input, folds, &settings.lr)?.l2),
            None => None,
        };
        Ok(Self::known(method, settings, l2))
    }

    /// With the penalty that was chosen before, if any.
    pub(super) fn known(method: Method, settings: &'a Settings, l2: Option<f64>) -> Self {
        Self { method, settings, l2, directions: INLP_DIRECTIONS }
    }

    /// For the probe alone, without what else a report shows.
    pub(super) fn briefly(self) -> Self {
        Self { directions: 1, ..self }
    }

    /// Fits on training rows.
    pub(super) fn fit(&self, train: &Contrast, stream: &Stream) -> Result<Fit> {
        let normalization = self.settings.normalization;
        let form = |objective| {
            let fit = quadratic(train, objective, normalization)?;
            let about = json!({ "value": fit.value, "trace": fit.trace, "objective": objective, "normalization": normalization });
            Ok(Fit::new(fit.probe, -fit.value, about))
        };
        match self.method {
            Method::Ccs => self.ccs(train, stream),
            Method::Tpc => form(Objective::TPC),
            Method::Drc => form(Objective::DRC),
            Method::Rrc => form(Objective::RRC),
            Method::Vinc => form(Objective::VINC),
            Method::VincS => form(Objective::VINC_S),
            Method::Bss => {
                let options = BssOptions::default();
                let fit = bss(train, &options, normalization, stream)?;
                let about = json!({
                    "restart": fit.restart, "train_loss": fit.loss, "options": options, "normalization": normalization,
                });
                Ok(Fit::new(fit.probe, fit.loss, about))
            }
            Method::Kmeans => {
                let options = KMeansOptions::default();
                let fit = kmeans(train, &options, normalization, stream)?;
                let about = json!({
                    "inertia": fit.inertia, "sizes": fit.sizes, "options": options, "normalization": normalization,
                });
                Ok(Fit::new(fit.probe, fit.inertia, about))
            }
            Method::Lr => self.logistic(train, LrInput::Differences),
            Method::LrStatements => self.logistic(train, LrInput::Statements),
            Method::LrPairs => self.logistic(train, LrInput::Concatenated),
            Method::MeanDifference => {
                let probe = mean_difference(train, normalization)?;
                Ok(Fit::new(probe, 0.0, json!({ "normalization": normalization })))
            }
            Method::Lda => {
                let fit = lda(train, Shrinkage::LedoitWolf, normalization)?;
                let about = json!({ "shrinkage": fit.shrinkage, "normalization": normalization });
                Ok(Fit::new(fit.probe, 0.0, about))
            }
            Method::Inlp => self.inlp(train),
            Method::Random | Method::ZeroShot | Method::CalibratedZeroShot | Method::Majority => {
                Err(Error::NoFit { method: self.method })
            }
        }
    }

    fn ccs(&self, train: &Contrast, stream: &Stream) -> Result<Fit> {
        let options = &self.settings.ccs;
        let fit = ccs(train, options, stream)?;
        let loss = fit.objectives.get(fit.restart).copied().unwrap_or_else(|| fit.terms.total());
        let about = json!({
            "restart": fit.restart,
            "train_loss": fit.terms.total(),
            "under_determined": fit.under_determined,
            "options": options,
        });
        let starts = Some((fit.terms, fit.restart, fit.restarts));
        Ok(Fit { starts, ..Fit::new(fit.probe, loss, about) })
    }

    fn logistic(&self, train: &Contrast, input: LrInput) -> Result<Fit> {
        let options = &self.settings.lr;
        let fit: LrFit = match self.l2 {
            Some(l2) => penalised(train, input, l2, options)?,
            None if input == LrInput::Differences => logistic(train, options)?,
            None => return Err(Error::NoFit { method: self.method }),
        };
        let about = json!({
            "input": input,
            "c": self.l2.is_none().then_some(options.c),
            "l2": self.l2,
            "objective": fit.objective,
            "gradient": fit.gradient,
            "normalization": options.normalization,
        });
        let newton = Some((fit.gradient, fit.iterations));
        Ok(Fit { newton, ..Fit::new(fit.probe, fit.objective, about) })
    }

    fn inlp(&self, train: &Contrast) -> Result<Fit> {
        let regression = self.settings.lr.clone();
        let normalization = regression.normalization;
        let options = InlpOptions { max_directions: self.directions, regression, ..InlpOptions::default() };
        let fit = inlp(train, &options, normalization)?;
        let about = json!({
            "c": options.regression.c, "epsilon": options.epsilon, "losses": fit.losses, "entropy": fit.entropy,
            "normalization": normalization,
        });
        let note = if fit.exhausted {
            format!(
                "the first of {} directions, of which the last tells labels no better than their shares do",
                fit.probes.len()
            )
        } else {
            format!("the first of {} directions; more would follow", fit.probes.len())
        };
        let loss = fit.losses.first().copied().unwrap_or_default();
        let mut probes = fit.probes.into_iter();
        let probe = probes.next().ok_or(Error::Constant)?;
        Ok(Fit { further: probes.collect(), note: Some(note), ..Fit::new(probe, loss, about) })
    }
}

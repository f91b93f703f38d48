//! How each method that gives a probe is fitted on training rows.

use serde_json::{Value, json};

use crate::settings::Settings;
use crate::{Error, Result};
use ccs::Contrast;
use ccs::fit::ccs::ccs;
use ccs::fit::inlp::{InlpOptions, inlp};
use ccs::fit::kmeans::{KMeansOptions, kmeans};
use ccs::fit::logistic::{LrFit, LrInput, cross_validated, logistic, penalised};
use ccs::fit::means::{Shrinkage, lda, mean_difference};
use ccs::fit::quadratic::{Objective, quadratic};
use ccs::fit::salience::{BssOptions, bss};
use ccs::loss::Terms;
use ccs::probe::Probe;
use ccs::rng::Stream;
use ccs::split::Split;
use ccs_report::Method;

/// INLP ends after so many directions in any case.
const INLP_DIRECTIONS: usize = 20;

/// A method with all that its fit needs to know but the rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe<'a> {
    pub(crate) method: Method,
    settings: &'a Settings,
    /// The penalty of logistic regression, where cross-validation chose it.
    pub(crate) l2: Option<f64>,
    directions: usize,
}

/// A fitted probe, and what the report says of the fit.
#[derive(Debug)]
pub(crate) struct Fit {
    pub(crate) probe: Probe,
    /// What was minimised; 0 where nothing is.
    pub(crate) loss: f64,
    /// For the probe's file.
    pub(crate) about: Value,
    /// CCS's kept start: its terms, its number and every start's final terms.
    pub(crate) starts: Option<(Terms, usize, Vec<Terms>)>,
    /// Logistic regression's largest gradient entry, and its iterations.
    pub(crate) newton: Option<(f64, usize)>,
    /// INLP's probes after the first.
    pub(crate) further: Vec<Probe>,
    pub(crate) note: Option<String>,
}

impl Fit {
    fn new(probe: Probe, loss: f64, about: Value) -> Self {
        Self { probe, loss, about, starts: None, newton: None, further: Vec::new(), note: None }
    }
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
        )) => {
            let text = error.to_string();
            Ok(Err(text.split_once("\nhint: ").map_or(text.as_str(), |(text, _)| text).to_owned()))
        }
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
        let input = match method.name() {
            "lr" if settings.lr_cross_validated => Some(LrInput::Differences),
            "lr_statements" => Some(LrInput::Statements),
            "lr_pairs" => Some(LrInput::Concatenated),
            _ => None,
        };
        let l2 = match input {
            Some(input) => Some(cross_validated(train, input, folds, &settings.lr)?.l2),
            None => None,
        };
        Ok(Self::known(method, settings, l2))
    }

    /// With the penalty that was chosen before, if any.
    pub(crate) fn known(method: Method, settings: &'a Settings, l2: Option<f64>) -> Self {
        Self { method, settings, l2, directions: INLP_DIRECTIONS }
    }

    /// For the probe alone, without what else a report shows.
    pub(crate) fn briefly(self) -> Self {
        Self { directions: 1, ..self }
    }

    /// Fits on training rows.
    pub(crate) fn fit(&self, train: &Contrast, stream: &Stream) -> Result<Fit> {
        let normalization = self.settings.normalization;
        let form = |objective| {
            let fit = quadratic(train, objective, normalization)?;
            let about = json!({ "value": fit.value, "trace": fit.trace, "objective": objective, "normalization": normalization });
            Ok(Fit::new(fit.probe, -fit.value, about))
        };
        match self.method.name() {
            "ccs" => self.ccs(train, stream),
            "tpc" => form(Objective::TPC),
            "drc" => form(Objective::DRC),
            "rrc" => form(Objective::RRC),
            "vinc" => form(Objective::VINC),
            "vinc_s" => form(Objective::VINC_S),
            "bss" => {
                let options = BssOptions::default();
                let fit = bss(train, &options, normalization, stream)?;
                let about = json!({
                    "restart": fit.restart, "train_loss": fit.loss, "options": options, "normalization": normalization,
                });
                Ok(Fit::new(fit.probe, fit.loss, about))
            }
            "kmeans" => {
                let options = KMeansOptions::default();
                let fit = kmeans(train, &options, normalization, stream)?;
                let about = json!({
                    "inertia": fit.inertia, "sizes": fit.sizes, "options": options, "normalization": normalization,
                });
                Ok(Fit::new(fit.probe, fit.inertia, about))
            }
            "lr" => self.logistic(train, LrInput::Differences),
            "lr_statements" => self.logistic(train, LrInput::Statements),
            "lr_pairs" => self.logistic(train, LrInput::Concatenated),
            "mean_difference" => {
                let probe = mean_difference(train, normalization)?;
                Ok(Fit::new(probe, 0.0, json!({ "normalization": normalization })))
            }
            "lda" => {
                let fit = lda(train, Shrinkage::LedoitWolf, normalization)?;
                let about = json!({ "shrinkage": fit.shrinkage, "normalization": normalization });
                Ok(Fit::new(fit.probe, 0.0, about))
            }
            "inlp" => self.inlp(train),
            _ => Err(Error::NoFit { method: self.method }),
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
        let probe = probes.next().ok_or(ccs::Error::Constant)?;
        Ok(Fit { further: probes.collect(), note: Some(note), ..Fit::new(probe, loss, about) })
    }
}

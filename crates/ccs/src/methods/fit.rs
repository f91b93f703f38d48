//! The contract of all methods.

use std::fmt::Debug;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::Kind;

use crate::contrast::both_labels;
use crate::loss::Terms;
use crate::probe::Probe;
use crate::stats::split::Split;
use crate::{Contrast, Error, Result, SeedTree, Statements};

/// A method with its hyper-parameters: it fits one probe on training rows.
///
/// ```
/// use ccs::methods::{Fit, ccs::Ccs};
/// use ccs::{Contrast, SeedTree};
/// use tch::Tensor;
///
/// let plus = Tensor::from_slice(&[1.0, 0.2, -1.0, -0.3, 1.2, 0.1, -0.9, 0.2]).reshape([4, 2]);
/// let groups = (0..4).map(|i| i.to_string()).collect();
/// let pairs = Contrast::new(plus.copy(), -plus, vec![true, false, true, false], groups)?;
/// let method = Ccs { n_init: 3, max_iter: 200, ..Ccs::default() };
/// assert!(method.fit(&pairs, &SeedTree::new(0))?.probe.accuracy(&pairs)? > 0.99);
/// # Ok::<(), ccs::Error>(())
/// ```
pub trait Fit: Debug + Send + Sync {
    /// The fit itself, on rows that carry both labels and vary. Call [`Fit::fit`], which makes sure of that.
    ///
    /// # Errors
    /// Hyper-parameters that cannot be used, or rows that this method cannot be fitted on.
    fn fit_checked(&self, train: &Contrast, seeds: &SeedTree) -> Result<Fitted>;

    /// Fits a probe on training rows. What cross-validation has to choose and [`Fit::tuned`] has not fixed is chosen on five
    /// folds that are drawn from `seeds`.
    ///
    /// # Shapes
    /// `train`: N pairs of length D.
    ///
    /// # Errors
    /// Rows of one label ([`Error::OneClass`]), rows that do not vary at all ([`Error::Constant`]), and those of the method.
    fn fit(&self, train: &Contrast, seeds: &SeedTree) -> Result<Fitted> {
        both_labels(train.labels(), "the training rows")?;
        if train.is_constant()? {
            return Err(Error::Constant);
        }
        if train.is_single() && !self.fits_statements() {
            return Err(Error::Setting {
                name: "method",
                value: format!("{self:?}"),
                reason: "it is for contrast pairs, and these are single statements",
                hint: "`ccs::methods::STATEMENT_METHODS` has those for single statements",
            });
        }
        if self.reads_tokens() {
            train.all_tokens()?;
        }
        self.fit_checked(train, seeds)
    }

    /// Fits a probe on single statements.
    ///
    /// # Errors
    /// As [`Fit::fit`]; a method that is for pairs alone.
    fn fit_statements(&self, train: &Statements, seeds: &SeedTree) -> Result<Fitted> {
        self.fit(train.as_contrast(), seeds)
    }

    /// Whether it can be fitted on single statements, whose state takes the place of a pair's difference.
    fn fits_statements(&self) -> bool {
        false
    }

    /// Whether it needs the states of all tokens ([`Contrast::of_tokens`]); other methods read the last one's.
    fn reads_tokens(&self) -> bool {
        false
    }

    /// The same method with everything fixed that cross-validation has to choose: chosen on these folds of the training rows.
    /// `None` for a method that leaves nothing open.
    ///
    /// # Shapes
    /// `folds` index the rows of `train`.
    ///
    /// # Errors
    /// As [`Fit::fit`]; no folds.
    fn tuned(&self, _train: &Contrast, _folds: &[Split]) -> Result<Option<Box<dyn Fit>>> {
        Ok(None)
    }

    /// λ of the penalty, where it was chosen by cross-validation.
    fn l2(&self) -> Option<f64> {
        None
    }

    /// A method that gives the same probe without what only a report shows ([`Fitted::further`]): for folds and repetitions.
    /// `None` where that would save nothing.
    fn probe_only(&self) -> Option<Box<dyn Fit>> {
        None
    }

    /// Whether other seeds may give another probe.
    fn draws_from_seeds(&self) -> bool {
        false
    }
}

/// A fitted probe, and what is reported of the fit.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fitted {
    /// The probe, with its sign.
    pub probe: Probe,
    /// What was minimized, at the probe; 0 where nothing is.
    pub objective: f64,
    /// Hyper-parameters and results of the fit, for the probe's file.
    pub about: serde_json::Value,
    /// Of a fit from several starts whose objective is the CCS loss or a relative.
    pub starts: Option<Starts>,
    /// Of a fit by Newton's method.
    pub newton: Option<Convergence>,
    /// The probes of further directions, in the order found, where a method finds more than one.
    pub further: Vec<Probe>,
    /// What a reader of the result should know, in words.
    pub note: Option<String>,
}

/// The starts of a CCS fit.
#[derive(Debug, Clone)]
pub struct Starts {
    /// The CCS terms of the kept start, on the training rows.
    pub terms: Terms,
    /// Which start is kept: the one with the lowest final objective.
    pub kept: usize,
    /// The final CCS terms of every start.
    pub all: Vec<Terms>,
}

/// How well Newton's method converged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Convergence {
    /// The largest absolute entry of the gradient at the end.
    pub gradient: f64,
    /// Iterations done.
    pub iterations: usize,
}

impl Fitted {
    /// A probe with nothing further to report.
    pub fn new(probe: Probe, objective: f64, about: serde_json::Value) -> Self {
        Self { probe, objective, about, starts: None, newton: None, further: Vec::new(), note: None }
    }
}

/// The floating-point kind that a fit computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

impl Precision {
    /// LibTorch's name for it.
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::F64 => Kind::Double,
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.trim().to_lowercase().as_str() {
            "f32" => Ok(Self::F32),
            "f64" => Ok(Self::F64),
            _ => Err(Error::Setting {
                name: "precision",
                value: format!("`{name}`"),
                reason: "no precision has this name",
                hint: "give f32 or f64",
            }),
        }
    }
}

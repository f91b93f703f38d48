//! How CCS is fitted.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::loss::CcsLoss;
use crate::methods::fit::Precision;
use crate::normalize::Normalization;
use crate::{Error, Result};

/// How CCS is fitted; the defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ccs {
    /// Starts; the one with the lowest final objective on the training rows is kept.
    #[serde(rename = "restarts")]
    pub n_init: usize,
    /// Steps of full-batch AdamW; at most so many iterations of L-BFGS.
    #[serde(rename = "epochs")]
    pub max_iter: usize,
    /// AdamW's step size.
    pub learning_rate: f64,
    /// AdamW's decoupled weight decay, on the bias too. L-BFGS has none: it takes [`Ccs::l2`].
    pub weight_decay: f64,
    /// What the fit computes in.
    pub precision: Precision,
    /// How states are normalized.
    #[serde(default)]
    pub normalization: Normalization,
    /// What is minimized.
    #[serde(default)]
    pub loss: CcsLoss,
    /// By which method.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// Where the starts are.
    #[serde(default)]
    pub init: Init,
    /// Whether the probe has a bias.
    #[serde(default = "yes")]
    pub bias: bool,
    /// λ of a penalty ½λ‖w‖² on the weights, not on the bias, added to the objective.
    #[serde(default)]
    pub l2: f64,
    /// Widths of hidden layers, with `ReLU` between them, from the states up; none for a linear probe. Burns et al.'s
    /// code has one of 100.
    #[serde(default)]
    pub hidden: Vec<usize>,
    /// Fit in the span of the first so many principal directions of the training rows' differences of normalized
    /// states; the probe's weights lie in it. For fewer rows than dimensions, where CCS is under-determined.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project: Option<usize>,
    /// Take the difference of the training rows' means by label out of the states before the fit ("-md" of Exhaustive-CCS):
    /// what is found then is not what labels would have found at once. Uses labels. Linear probes only.
    #[serde(skip_serializing_if = "is_false", default)]
    pub remove_mean_difference: bool,
    /// Keep the kept start's loss before every step of AdamW, and after every iteration of L-BFGS.
    #[serde(skip)]
    pub trace: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

fn yes() -> bool {
    true
}

impl Default for Ccs {
    fn default() -> Self {
        Self {
            n_init: 10,
            max_iter: 1000,
            learning_rate: 1e-2,
            weight_decay: 1e-2,
            precision: Precision::F32,
            normalization: Normalization::default(),
            loss: CcsLoss::default(),
            optimizer: Optimizer::AdamW,
            init: Init::UnitSphere,
            bias: true,
            l2: 0.0,
            hidden: Vec::new(),
            project: None,
            remove_mean_difference: false,
            trace: false,
        }
    }
}

/// What minimizes the objective.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Optimizer {
    /// Full-batch AdamW, as in the paper.
    #[default]
    #[serde(rename = "adamw")]
    AdamW,
    /// L-BFGS with a line search for the strong Wolfe conditions, as in elk (which adds an `l2` of 0.01). Linear probes
    /// only. With fewer statements than dimensions it works in the span of the data, which changes no iterate.
    Lbfgs,
}

/// Where the starts of a linear probe are. Hidden layers always start at [`Init::Uniform`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// Uniform on the unit sphere, with zero bias, as in the paper's code.
    #[default]
    UnitSphere,
    /// Weights and bias from U(±1/√D), as PyTorch's `nn.Linear` and llama-ccs.
    Uniform,
    /// Start r is the r-th principal direction of the differences of the normalized states, largest entry positive; with
    /// zero bias. No seed: one result.
    Pca,
    /// All zeros, as elk offers. States are centered and all probabilities tie there, so the loss has no slope in the weights:
    /// rounding decides in which direction a fit leaves, on each machine in its own way, or whether it does. One that does
    /// not ends at the constant guess. Restarts differ by rounding alone.
    Zero,
}

impl FromStr for Optimizer {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.trim().to_lowercase().replace(['-', '_'], "").as_str() {
            "adamw" => Ok(Self::AdamW),
            "lbfgs" => Ok(Self::Lbfgs),
            _ => Err(Error::Setting {
                name: "optimizer",
                value: format!("`{name}`"),
                reason: "no optimizer has this name",
                hint: "give adamw or lbfgs",
            }),
        }
    }
}

impl FromStr for Init {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.trim().to_lowercase().replace('-', "_").as_str() {
            "unit_sphere" => Ok(Self::UnitSphere),
            "uniform" => Ok(Self::Uniform),
            "pca" => Ok(Self::Pca),
            "zero" => Ok(Self::Zero),
            _ => Err(Error::Setting {
                name: "init",
                value: format!("`{name}`"),
                reason: "no way to start has this name",
                hint: "give unit_sphere, uniform, pca or zero",
            }),
        }
    }
}

impl Ccs {
    /// Refuses hyper-parameters that cannot be used.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let not_negative = |x: f64| x.is_finite() && x >= 0.0;
        let unusable = |name, value: String, reason, hint| Err(Error::Setting { name, value, reason, hint });
        if !positive(self.learning_rate) {
            let value = self.learning_rate.to_string();
            return unusable("learning_rate", value, "it is a step size", "the paper uses 0.01");
        }
        if !not_negative(self.weight_decay) {
            let value = self.weight_decay.to_string();
            return unusable("weight_decay", value, "it must not be negative", "the paper uses 0.01");
        }
        if !not_negative(self.l2) {
            let value = self.l2.to_string();
            return unusable("l2", value, "a penalty must not be negative", "elk uses 0.01");
        }
        if self.hidden.contains(&0) {
            return unusable("hidden", "0".to_owned(), "a layer needs a width", "one layer of 100 is usual");
        }
        if self.project == Some(0) {
            let hint = "give fewer directions than there are training rows, such as 50";
            return unusable("project", "0".to_owned(), "there must be a dimension to fit in", hint);
        }
        if self.remove_mean_difference && !self.hidden.is_empty() {
            let reason = "hidden layers see states as they are, whatever was taken out at the fit";
            let hint = "fit a linear probe";
            return unusable("remove_mean_difference", "true".to_owned(), reason, hint);
        }
        if self.optimizer == Optimizer::Lbfgs && !self.hidden.is_empty() {
            let hint = "fit hidden layers with AdamW";
            return unusable("optimizer", "lbfgs".to_owned(), "it fits linear probes only", hint);
        }
        Ok(())
    }
}

//! What fits of both kinds of head share: options, starts, and the way from training rows to a probe.

use std::collections::BTreeMap;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::loss::{Heads, TokenLoss};
use super::space::TokenSpace;
use crate::contrast::both_labels;
use crate::methods::Precision;
use crate::methods::fit::{Convergence, Fitted};
use crate::methods::lbfgs::Lbfgs;
use crate::normalize::{Normalization, Normalizer};
use crate::probe::{Calibration, HiddenLayers, Probe, ProbeInput, Sign, TokenReader};
use crate::tokens::{Segments, TokenStates};
use crate::{Contrast, Error, Result, SeedTree};

/// How a probe with heads is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenOptions {
    /// Heads, H.
    pub heads: usize,
    /// Random starts, R; the one with the lowest objective on the training rows is kept.
    pub n_init: usize,
    /// Iterations of L-BFGS at most.
    pub max_iter: usize,
    /// C, the weight of the data against the penalty, as in logistic regression.
    pub c: f64,
    /// What the fit computes in.
    pub precision: Precision,
    /// How states are normalized.
    #[serde(skip)]
    pub normalization: Normalization,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self {
            heads: 4,
            n_init: 3,
            max_iter: 200,
            c: 0.1,
            precision: Precision::F32,
            normalization: Normalization::default(),
        }
    }
}

impl TokenOptions {
    fn check(&self) -> Result<()> {
        let refuse = |name, value: String, reason, hint| Err(Error::Setting { name, value, reason, hint });
        for (name, value) in [("heads", self.heads), ("n_init", self.n_init)] {
            if value == 0 {
                return refuse(
                    name,
                    "0".to_owned(),
                    "at least one is needed",
                    "leave it out for the default",
                );
            }
        }
        if !(self.c.is_finite() && self.c > 0.0) {
            let reason = "it weighs the data against the penalty";
            return refuse("c", self.c.to_string(), reason, "the default is 0.1");
        }
        Ok(())
    }
}

/// A fitted probe with heads.
#[derive(Debug)]
#[non_exhaustive]
pub struct TokenFit {
    /// The probe.
    pub probe: Probe,
    /// Mean log loss and penalty on the training rows, of the kept start.
    pub objective: f64,
    /// The same of every start. R
    pub objectives: Vec<f64>,
    /// Which start is kept.
    pub restart: usize,
    /// Iterations done, of all starts together.
    pub iterations: usize,
    /// The kept start's gradient, penalty included, f64; of the largest value of tokens, that of one side of a kink where
    /// it ends in one. \[P\]
    pub gradient: Tensor,
}

/// Training rows as the optimizer takes them.
struct Data {
    space: TokenSpace,
    loss: TokenLoss,
    normalizer: Normalizer,
    /// What places are divided by: the mean length of the training prompts, so that a head's slope by places is of the
    /// size of its other parameters.
    unit: f64,
}

impl Data {
    fn new(train: &Contrast, kind: Heads, options: &TokenOptions, probes: i64) -> Result<Self> {
        let normalizer = Normalizer::fit_tokens(options.normalization, train)?;
        let precision = options.precision.kind();
        let (plus, minus) = normalizer.apply_tokens(train, precision)?;
        let (on_plus, on_minus) = train.all_tokens()?;
        let pairs = !train.is_single();
        let sides: Vec<&TokenStates> = if pairs { vec![on_plus, on_minus] } else { vec![on_plus] };
        let x = if pairs { Tensor::f_cat(&[plus, minus], 0)? } else { plus };
        let device = x.device();
        let tokens: usize = sides.iter().map(|side| side.tokens()).sum();
        let prompts: usize = sides.iter().map(|side| side.rows()).sum();
        let unit = tokens as f64 / prompts.max(1) as f64;
        let places = match kind {
            Heads::Attention => {
                let places = sides.iter().flat_map(|side| side.positions()).map(|at| at as f64 / unit);
                let places: Vec<f64> = places.collect();
                Some(Tensor::f_from_slice(&places)?.f_to_device(device)?.f_to_kind(precision)?)
            }
            Heads::MultiMax => None,
        };
        let signs: Vec<f64> = train.labels().iter().map(|&label| if label { 1.0 } else { -1.0 }).collect();
        let signs = Tensor::f_from_slice(&signs)?.f_unsqueeze(1)?;
        let heads = options.heads as i64;
        let columns = if kind == Heads::Attention { 2 * heads } else { heads };
        let loss = TokenLoss {
            kind,
            segments: Segments::new(sides.iter().flat_map(|side| side.lengths()), device)?,
            signs: signs.f_to_device(device)?.f_to_kind(precision)?,
            pairs,
            rows: train.rows() as i64,
            tokens: tokens as i64,
            heads,
            probes,
        };
        let l2 = 1.0 / (options.c * train.rows() as f64);
        Ok(Self { space: TokenSpace::new(x, places, columns, heads, l2)?, loss, normalizer, unit })
    }

    /// The probe with these parameters. \[P\]
    fn probe(self, parameters: &Tensor, kind: Heads, single: bool) -> Result<Probe> {
        let (weights, places, bias) = self.space.parameters(parameters)?;
        let here = |t: &Tensor| -> Result<Tensor> { Ok(t.f_to_device(Device::Cpu)?.f_contiguous()?) };
        let heads = self.loss.heads;
        let reader = match (kind, places) {
            (Heads::Attention, Some(places)) => TokenReader::Attention {
                query: here(&weights.f_narrow(0, 0, heads)?)?,
                position: here(&places.f_div_scalar(self.unit)?)?,
                value: here(&weights.f_narrow(0, heads, heads)?)?,
            },
            _ => TokenReader::MultiMax { value: here(&weights)? },
        };
        Ok(Probe {
            weight: Tensor::f_ones([heads], (Kind::Float, Device::Cpu))?,
            bias,
            hidden_layers: HiddenLayers::Tokens(reader),
            sign: Sign::Plus,
            input: if single { ProbeInput::Single } else { ProbeInput::Difference },
            calibration: Calibration::OWN,
            normalizer: self.normalizer,
            meta: BTreeMap::new(),
        })
    }
}

/// Values from U(±1/√D), start by start and head by head; queries, slopes by places and biases 0, so that attention begins
/// with the mean. \[R, P\], f64
fn random_starts(dim: usize, kind: Heads, options: &TokenOptions, seeds: &SeedTree) -> Result<Tensor> {
    let bound = 1.0 / (dim.max(1) as f64).sqrt();
    let (before, after) = match kind {
        Heads::Attention => (options.heads * dim, options.heads + 1),
        Heads::MultiMax => (0, 1),
    };
    let mut all = Vec::new();
    for restart in 0..options.n_init {
        let mut rng = seeds.indexed("restart", restart).rng();
        all.extend(std::iter::repeat_n(0f64, before));
        all.extend((0..options.heads * dim).map(|_| bound * (2.0 * rng.random::<f64>() - 1.0)));
        all.extend(std::iter::repeat_n(0f64, after));
    }
    Ok(Tensor::f_from_slice(&all)?.f_reshape([options.n_init as i64, -1])?)
}

/// Fits heads on training rows from random starts.
pub(super) fn fit(
    train: &Contrast,
    kind: Heads,
    options: &TokenOptions,
    seeds: &SeedTree,
) -> Result<TokenFit> {
    options.check()?;
    fit_from(train, kind, options, &random_starts(train.dim(), kind, options, seeds)?)
}

/// Fits heads on training rows from given starts. `start`: \[R, P\].
pub(super) fn fit_from(
    train: &Contrast,
    kind: Heads,
    options: &TokenOptions,
    start: &Tensor,
) -> Result<TokenFit> {
    options.check()?;
    both_labels(train.labels(), "the training rows")?;
    let (probes, length) = start.dims2("start")?;
    let data = Data::new(train, kind, options, probes)?;
    if probes == 0 || length != data.space.length() {
        return Err(Error::Shape {
            what: "the start".to_owned(),
            expected: format!("[R, {}], R at least 1", data.space.length()),
            found: start.size(),
            hint: "a start has queries, values, slopes by places, and a bias",
        });
    }
    let start = start.f_to_device(data.loss.signs.device())?.f_to_kind(options.precision.kind())?;
    let mut state = Lbfgs::new(&data.space, &data.loss, start)?;
    let mut iterations = 0;
    while iterations < options.max_iter && state.iterate()? {
        iterations += 1;
    }
    let objectives = state.values.clone();
    let finite = objectives.iter().copied().enumerate().filter(|(_, value)| value.is_finite());
    let (restart, objective) = finite.min_by(|a, b| a.1.total_cmp(&b.1)).ok_or(Error::Diverged)?;
    let of_kept = |of: &Tensor| of.f_select(0, restart as i64);
    let gradient = of_kept(&state.gradient)?.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?;
    let parameters = of_kept(&state.x)?;
    let probe = data.probe(&parameters, kind, train.is_single())?;
    Ok(TokenFit { probe, objective, objectives, restart, iterations, gradient })
}

impl TokenFit {
    /// As the contract of methods has it.
    pub(super) fn fitted(self, options: &TokenOptions) -> Result<Fitted> {
        let about = json!({
            "restart": self.restart,
            "objective": self.objective,
            "options": options,
            "normalization": options.normalization,
        });
        let gradient = self.gradient.f_abs()?.f_max()?.f_double_value(&[])?;
        let convergence = Convergence { gradient, iterations: self.iterations };
        // Whether it would still have gone on: what is fitted is used all the same.
        let note = (self.iterations >= options.max_iter).then(|| {
            format!(
                "its fit was ended after {} iterations, before it came to rest; the largest slope of its objective was {gradient:.1e}",
                self.iterations
            )
        });
        Ok(Fitted { newton: Some(convergence), note, ..Fitted::new(self.probe, self.objective, about) })
    }
}

//! How far rounding takes a model's numbers, measured on the model itself.
//!
//! A bound on bf16's errors cannot be read off one machine: kernels round at other places and sum in another order. Here
//! every number that bf16 rounds is moved at random, in a run in f32, by as much as a rounding can move it. What comes of
//! that in each layer is the layer's sensitivity, whatever the machine.

use llama_core::tch::Tensor;
use llama_core::{Action, Activation, Hook, HookPoint, HookSet, Precision, Result, Site};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::support::{relative, relative_l2};

/// bf16's unit roundoff: of 8 bits, half of the last one's place, which in a number just above a power of two is this part
/// of it.
const UNIT: f64 = 1.0 / 256.0;

/// How many times what one rounding of each number does is allowed. Up to four things behind a number are rounded: the
/// product's weights, its inputs, what some kernels keep on the way (attention its probabilities), and the number itself.
/// Each does at most what is measured here, and all together at most four times that; as they are independent, rather
/// twice, which leaves as much for one draw's being smaller than another's. The order of sums, tiles, and flushed
/// denormals are no part of it: kernels add up in f32, where a sum of n terms is off by √n · 2⁻²⁴ of them.
pub(crate) const ROUNDINGS: f64 = 4.0;

/// Where a product, a norm or a rotation leaves a number in bf16.
const PRODUCTS: [Site; 13] = [
    Site::Ln1Normalized,
    Site::Q,
    Site::K,
    Site::V,
    Site::RotQ,
    Site::RotK,
    Site::Z,
    Site::AttnOut,
    Site::Ln2Normalized,
    Site::MlpPre,
    Site::MlpPreLinear,
    Site::MlpPost,
    Site::MlpOut,
];

/// Where the residual stream is rounded, if it is bf16 too.
const STREAM: [Site; 2] = [Site::ResidMid, Site::ResidPost];

/// A hook that multiplies each number that a precision rounds by 1 + u·ξ: u is bf16's unit, ξ uniform in \[−1, 1\].
pub(crate) struct Rounding {
    points: HookSet,
    /// ξ, drawn once; each point of each run begins elsewhere in it.
    draws: Tensor,
    rng: ChaCha8Rng,
}

impl Rounding {
    /// How many numbers are drawn: prime, so that they repeat at no width of a model.
    const DRAWS: usize = 1_000_003;

    /// Rounding as in `precision`, bf16 or mixed. The same seed moves the same numbers.
    pub(crate) fn new(precision: Precision, n_layers: usize, seed: u64) -> Self {
        let stream = if precision == Precision::Bf16 { &STREAM[..] } else { &[] };
        let sites = PRODUCTS.iter().chain(stream);
        let blocks =
            (0..n_layers as u16).flat_map(|i| sites.clone().map(move |site| HookPoint::Block(i, *site)));
        let mut points: HookSet = blocks.chain([HookPoint::FinalNormalized, HookPoint::Logits]).collect();
        if precision == Precision::Bf16 {
            points.insert(HookPoint::Embed);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let draws: Vec<f32> = (0..Self::DRAWS).map(|_| rng.random_range(-1.0..1.0)).collect();
        Self { points, draws: Tensor::from_slice(&draws), rng }
    }
}

impl Hook for Rounding {
    fn points(&self) -> HookSet {
        self.points.clone()
    }

    fn visit(&mut self, activation: &Activation<'_>) -> Result<Action> {
        let count = activation.tensor.numel();
        let start = self.rng.random_range(0..Self::DRAWS);
        let whole = self.draws.repeat([(start + count).div_ceil(Self::DRAWS) as i64]);
        let xi = whole.narrow(0, start as i64, count as i64).view_as(activation.tensor);
        Ok(Action::Replace(activation.tensor * (xi * UNIT + 1.0)))
    }
}

/// Errors of a run, layer by layer and then of its logits: the largest over the reference's largest value, and the largest
/// of a row in L2.
#[derive(Clone, Debug)]
pub(crate) struct Errors(Vec<[f64; 2]>);

impl Errors {
    /// States \[rows, L + 1, D\] and logits \[rows, V\] against a reference.
    pub(crate) fn of(found: &(Tensor, Tensor), reference: (&Tensor, &Tensor)) -> Self {
        let both =
            |found: &Tensor, reference: &Tensor| [relative(found, reference), relative_l2(found, reference)];
        let layers = reference.0.size()[1];
        let states = (0..layers).map(|l| both(&found.0.select(1, l), &reference.0.select(1, l)));
        Self(states.chain([both(&found.1, reference.1)]).collect())
    }

    /// `factor` times these, and besides that so much at every layer and of the logits.
    pub(crate) fn allowing(&self, factor: f64, states: f64, logits: f64) -> Self {
        let last = self.0.len() - 1;
        let more = |i| if i == last { logits } else { states };
        Self(self.0.iter().enumerate().map(|(i, e)| e.map(|e| factor * e + more(i))).collect())
    }

    /// The first layer, or the logits, with errors above these. (A NaN is above everything.)
    pub(crate) fn above(&self, allowed: &Self) -> Option<String> {
        let last = self.0.len() - 1;
        let within = |i: usize| (0..2).all(|kind| self.0[i][kind] < allowed.0[i][kind]);
        let first = (0..=last).find(|i| !within(*i))?;
        let what = if first == last { "logits".to_owned() } else { format!("layer {first}") };
        let ([largest, l2], [most, most_l2]) = (self.0[first], allowed.0[first]);
        Some(format!(
            "{what}: {largest:.2e} of the largest, below {most:.2e} allowed; L2 {l2:.2e}, below {most_l2:.2e}"
        ))
    }
}

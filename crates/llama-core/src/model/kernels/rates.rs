//! How fast this machine multiplies a model's matrices, measured on matrices of the model's own shapes.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{Attention, Kernels, Products};
use crate::checkpoint::IdentityCache;
use crate::config::Config;
use crate::error::Result;
use crate::model::Precision;
use crate::model::attention::{Scores, Sight};
use crate::model::matrix::Matrix;

/// How fast this machine computes a block of a model, by type. [`Rates::of`] measures it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rates {
    /// In f32.
    pub f32: KernelRates,
    /// In bf16.
    pub bf16: KernelRates,
}

/// Floating-point operations a second of each kernel. One multiplication and one addition are two operations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KernelRates {
    /// [`Products::Plain`], over the four matrices of a block.
    pub plain: f64,
    /// [`Products::Packed`]; as plain where LibTorch has no such kernels.
    pub packed: f64,
    /// [`Attention::Fused`]. Only scores that are seen count as operations.
    pub fused: f64,
    /// [`Attention::Products`].
    pub products: f64,
}

/// Rows of the inputs: a few prompts. Rates hardly change above.
const ROWS: i64 = 256;
/// Most outputs of a matrix: of a larger one some rows are measured, which takes as long for each.
const MOST_OUTPUTS: i64 = 1024;
/// Each kernel is timed so often, and the shortest time counts.
const REPETITIONS: usize = 7;
/// A kernel must be so much faster than the one that is everywhere.
const BY_A_FIFTH: f64 = 1.2;
/// bf16 must be so much faster than f32 to be worth its rounding.
const WORTH_BF16: f64 = 1.3;
/// Blocks of fewer weights take microseconds, whatever computes them.
const WORTH_MEASURING: i64 = 1 << 20;

impl Rates {
    /// Measures this machine, for some tens of milliseconds a kernel; `None` for a model so small that its kernels do not
    /// matter. With a folder in `cache`, a machine is measured once for each shape, number of threads and release of
    /// LibTorch, and choices made from rates stay what they are.
    ///
    /// # Errors
    /// What LibTorch refuses (memory).
    pub fn of(config: &Config, cache: &IdentityCache) -> Result<Option<Self>> {
        let shapes = shapes(config);
        if shapes.iter().map(|[out, inputs]| out * inputs).sum::<i64>() < WORTH_MEASURING {
            return Ok(None);
        }
        let machine = super::remembered::Machine::here(shapes);
        if let Some(rates) = machine.recall(cache) {
            return Ok(Some(rates));
        }
        let rates = Self::measure(config)?;
        tracing::debug!("products of {shapes:?}: {rates:?}");
        machine.remember(cache, &rates);
        Ok(Some(rates))
    }

    /// The fastest kernels for a precision.
    pub fn kernels(&self, precision: Precision) -> Kernels {
        match precision {
            Precision::F32 => self.f32.fastest(),
            Precision::Bf16 | Precision::Mixed => self.bf16.fastest(),
            Precision::F64 => Kernels::default(),
        }
    }

    /// How many times as fast products are in bf16 as in f32, each by its fastest kernel.
    pub fn bf16_over_f32(&self) -> f64 {
        let rate = |rates: KernelRates| rates.plain.max(rates.packed);
        rate(self.bf16) / rate(self.f32)
    }

    /// Whether bf16 is so much faster here that a model whose weights are no finer is computed in it.
    pub fn suggest_bf16(&self) -> bool {
        self.bf16_over_f32() >= WORTH_BF16
    }

    fn measure(config: &Config) -> Result<Self> {
        let _no_gradients = tch::no_grad_guard();
        let of = |kind| -> Result<KernelRates> {
            let [plain, packed] = products(config, kind)?;
            let [fused, products] = attention(config, kind)?;
            Ok(KernelRates { plain, packed, fused, products })
        };
        Ok(Self { f32: of(Kind::Float)?, bf16: of(Kind::BFloat16)? })
    }
}

impl KernelRates {
    /// The fastest kernels; those that are everywhere unless others are faster by a fifth.
    fn fastest(&self) -> Kernels {
        let faster = |other: f64, fixed: f64| other > BY_A_FIFTH * fixed;
        Kernels {
            products: if faster(self.packed, self.plain) { Products::Packed } else { Products::Plain },
            attention: if faster(self.products, self.fused) { Attention::Products } else { Attention::Fused },
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.plain > 0.0 && self.packed > 0.0 && self.fused > 0.0 && self.products > 0.0
    }
}

/// Shapes `[out, in]` of a block's matrices, large ones cut.
fn shapes(c: &Config) -> [[i64; 2]; 4] {
    let (q, kv) = (c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim);
    [[q + 2 * kv, c.dim], [c.dim, q], [2 * c.hidden_dim, c.dim], [c.dim, c.hidden_dim]]
        .map(|[out, inputs]| [out.min(MOST_OUTPUTS), inputs])
}

/// Operations a second over a block's matrices: plain, and packed.
fn products(config: &Config, kind: Kind) -> Result<[f64; 2]> {
    let (mut operations, mut seconds) = (0.0, [0.0; 2]);
    for [out, inputs] in shapes(config) {
        let x = Tensor::f_ones([ROWS, inputs], (kind, Device::Cpu))?;
        let weight = || Tensor::f_ones([out, inputs], (kind, Device::Cpu));
        let plain = Matrix::arranged(weight()?, Products::Plain)?;
        // A LibTorch without oneDNN has none, and CPUs without AVX-512 none in bf16: there the plain one stands in, which
        // is never chosen.
        let packed = Matrix::arranged(weight()?, Products::Packed);
        let packed = match packed.and_then(|packed| packed.linear(&x).map(|_| packed)) {
            Err(_) => Matrix::Plain(weight()?),
            packed => packed?,
        };
        operations += (2 * ROWS * out * inputs) as f64;
        for (sum, time) in seconds.iter_mut().zip(shortest([&|| plain.linear(&x), &|| packed.linear(&x)])?) {
            *sum += time;
        }
    }
    Ok(seconds.map(|seconds| operations / seconds))
}

/// Operations a second of attention over a prompt: fused, and by products.
fn attention(c: &Config, kind: Kind) -> Result<[f64; 2]> {
    let states = |heads| Tensor::f_ones([1, heads, ROWS, c.head_dim], (kind, Device::Cpu));
    let (q, k, v) = (states(c.n_heads)?, states(c.n_kv_heads)?, states(c.n_kv_heads)?);
    let sight = Sight::causal(ROWS, kind, Device::Cpu)?;
    let by = |kernel| sight.attend([&q, &k, &v], Scores::of(c), kernel);
    let seconds = shortest([&|| by(Attention::Fused), &|| by(Attention::Products)])?;
    let seen = ROWS * (ROWS + 1) / 2; // scores of each head
    let operations = 2 * 2 * seen * c.n_heads * c.head_dim; // q kᵀ, and the pattern times v
    Ok(seconds.map(|seconds| operations as f64 / seconds))
}

/// The shortest times that computations took, in seconds: other programs make them longer, nothing makes them shorter. They
/// take turns, so that what disturbs one disturbs the other.
fn shortest(computations: [&dyn Fn() -> Result<Tensor>; 2]) -> Result<[f64; 2]> {
    let mut shortest = [f64::INFINITY; 2];
    for repetition in 0..=REPETITIONS {
        for (shortest, compute) in shortest.iter_mut().zip(computations) {
            let started = Instant::now();
            let _ = compute()?;
            // Kernels are made, and numbers brought near, by the first.
            if repetition > 0 {
                *shortest = shortest.min(started.elapsed().as_secs_f64());
            }
        }
    }
    Ok(shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As on an AMD EPYC (family 26) with two cores.
    const EPYC: Rates = Rates {
        f32: KernelRates { plain: 200e9, packed: 450e9, fused: 60e9, products: 20e9 },
        bf16: KernelRates { plain: 950e9, packed: 990e9, fused: 30e9, products: 70e9 },
    };

    #[test]
    fn a_kernel_is_chosen_where_it_is_faster_by_a_fifth() {
        let chosen = |rates: Rates, precision| rates.kernels(precision).to_string();
        assert_eq!(chosen(EPYC, Precision::F32), "products=packed,attention=fused");
        assert_eq!(chosen(EPYC, Precision::Bf16), "products=plain,attention=products");
        assert_eq!(chosen(EPYC, Precision::Mixed), "products=plain,attention=products");
        assert_eq!(chosen(EPYC, Precision::F64), "products=plain,attention=fused");
        let f32 = KernelRates { packed: 239e9, products: 71e9, ..EPYC.f32 };
        assert_eq!(chosen(Rates { f32, ..EPYC }, Precision::F32), "products=plain,attention=fused");
    }

    #[test]
    fn bf16_is_suggested_where_it_is_faster_than_the_best_f32() {
        assert!(EPYC.suggest_bf16());
        assert!((EPYC.bf16_over_f32() - 990.0 / 450.0).abs() < 1e-12);
        let of = |plain| Rates { bf16: KernelRates { plain, packed: plain, ..EPYC.bf16 }, ..EPYC };
        assert!(!of(210e9).suggest_bf16(), "half as fast as f32");
        assert!(!of(580e9).suggest_bf16(), "1.29 times");
        assert!(of(590e9).suggest_bf16(), "1.31 times");
    }

    #[test]
    fn rates_are_measured_where_they_matter_and_remembered() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = IdentityCache::in_folder(folder.path());
        let tiny =
            Config { dim: 64, hidden_dim: 128, n_heads: 4, n_kv_heads: 4, head_dim: 16, ..Config::default() };
        assert_eq!(Rates::of(&tiny, &cache).expect("nothing to measure"), None);
        let small = Config {
            dim: 512,
            hidden_dim: 1024,
            n_heads: 8,
            n_kv_heads: 8,
            head_dim: 64,
            ..Config::default()
        };
        let first = Rates::of(&small, &cache).expect("measured").expect("large enough");
        assert!(first.f32.is_sound() && first.bf16.is_sound(), "{first:?}");
        assert_eq!(
            Rates::of(&small, &cache).expect("remembered"),
            Some(first),
            "no clock gives the same twice"
        );
        // What is damaged is measured again.
        let file = std::fs::read_dir(folder.path().join("kernels")).expect("folder").next();
        std::fs::write(file.expect("one").expect("entry").path(), "{").expect("written");
        assert!(Rates::of(&small, &cache).expect("measured").is_some());
    }
}

//! What a model is computed in, and by which kernels, where nobody says.

use std::fmt;

use serde::{Deserialize, Serialize};
use tch::Device;

use super::{Kernels, Rates};
use crate::checkpoint::{Checkpoint, IdentityCache};
use crate::error::Result;
use crate::model::Precision;

/// What a model is computed in, and by which kernels. As text, it says why:
/// `mixed (weights are stored in Q4_1; bf16 is 2.1 times as fast as f32 here), products=plain,attention=fused`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Suited {
    /// The types.
    pub precision: Precision,
    /// The kernels.
    pub kernels: Kernels,
    because: String,
}

impl Suited {
    /// What somebody decided.
    pub fn given(precision: Precision, kernels: Kernels, because: &str) -> Self {
        Self { precision, kernels, because: because.to_owned() }
    }
}

impl Checkpoint {
    /// What this model is computed in on a device, where only some of it, or nothing, is given.
    ///
    /// `mixed` for a model whose weights are mostly stored in less than f32 (bf16, f16, quantized), if the device multiplies
    /// at least 1.3 times as fast in bf16: CPUs are measured ([`Rates::of`]), GPUs taken for such; else `f32`. On a CPU the
    /// kernels are the fastest of that precision, as measured.
    ///
    /// # Errors
    /// What LibTorch refuses while it is measured.
    pub fn suited(
        &self,
        device: Device,
        (precision, kernels): (Option<Precision>, Option<Kernels>),
        cache: &IdentityCache,
    ) -> Result<Suited> {
        if let (Some(precision), Some(kernels)) = (precision, kernels) {
            return Ok(Suited::given(precision, kernels, "as asked"));
        }
        let rates = if device == Device::Cpu { Rates::of(self.config(), cache)? } else { None };
        let (precision, because) = match precision {
            Some(precision) => (precision, "as asked".to_owned()),
            None => choose(&self.stored_as()?, device, rates.as_ref()),
        };
        let fastest = rates.map_or_else(Kernels::default, |rates| rates.kernels(precision));
        Ok(Suited { precision, kernels: kernels.unwrap_or(fastest), because })
    }
}

/// The precision for weights of these types, most bytes first, and why.
fn choose(stored: &[impl AsRef<str>], device: Device, rates: Option<&Rates>) -> (Precision, String) {
    let most = stored.first().map_or("f32", AsRef::as_ref);
    let stored = format!("weights are stored in {most}");
    if matches!(most, "f32" | "f64") {
        return (Precision::F32, stored);
    }
    match rates {
        _ if device != Device::Cpu => (Precision::Mixed, format!("{stored}; GPUs are faster in bf16")),
        None => (Precision::F32, "a small model".to_owned()),
        Some(rates) => {
            let precision = if rates.suggest_bf16() { Precision::Mixed } else { Precision::F32 };
            let times = rates.bf16_over_f32();
            (precision, format!("{stored}; bf16 is {times:.1} times as fast as f32 here"))
        }
    }
}

impl fmt::Display for Suited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}), {}", self.precision, self.because, self.kernels)
    }
}

#[cfg(test)]
mod tests {
    use super::super::KernelRates;
    use super::*;

    #[test]
    fn narrow_weights_are_computed_in_bf16_where_that_is_faster() {
        let rates = |bf16: f64| {
            let of = |plain: f64| KernelRates { plain, packed: 0.0, fused: plain, products: plain };
            Rates { f32: of(200e9), bf16: of(bf16) }
        };
        let (fast, slow) = (rates(500e9), rates(210e9));
        let chosen = |stored: &[&str], device, rates| choose(stored, device, rates).0;
        for narrow in ["bf16", "f16", "Q4_1", "Q8_0"] {
            assert_eq!(chosen(&[narrow, "f32"], Device::Cpu, Some(&fast)), Precision::Mixed, "{narrow}");
            assert_eq!(chosen(&[narrow], Device::Cpu, Some(&slow)), Precision::F32, "{narrow}");
            assert_eq!(chosen(&[narrow], Device::Cpu, None), Precision::F32, "{narrow}");
            assert_eq!(chosen(&[narrow], Device::Cuda(0), None), Precision::Mixed, "{narrow}");
        }
        assert_eq!(chosen(&["f32", "bf16"], Device::Cpu, Some(&fast)), Precision::F32);
        assert_eq!(chosen(&["f32"], Device::Cuda(0), None), Precision::F32);
        let (precision, because) = choose(&["Q4_1"], Device::Cpu, Some(&fast));
        let suited = Suited::given(precision, Kernels::default(), &because).to_string();
        assert_eq!(
            suited,
            "mixed (weights are stored in Q4_1; bf16 is 2.5 times as fast as f32 here), products=plain,attention=fused"
        );
    }
}

//! Which kernels compute a model's matrix products and its attention.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};
use torch_runtime::PackedWeight;

mod rates;
mod remembered;
mod suited;

pub use rates::{KernelRates, Rates};
pub use suited::Suited;

use super::Precision;
use crate::error::{Error, Result};

/// Which kernels compute a model's matrix products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Products {
    /// LibTorch's `linear`, which chooses among MKL's, oneDNN's and CUDA's kernels at every call.
    #[default]
    Plain,
    /// oneDNN's, with weights laid out for it once, in f32 or bf16 on a CPU. The packed weight takes the plain one's
    /// place in memory.
    Packed,
}

/// Which kernels compute attention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Attention {
    /// LibTorch's fused kernel, in which scores stay in f32.
    #[default]
    Fused,
    /// Matrix products, and a soft maximum between them. In bf16 the scores are rounded to it, as transformers' `eager`
    /// attention rounds them.
    Products,
}

/// Which kernels compute a model: numbers are equal to their last bits only where kernels are.
///
/// What is fastest depends on the CPU. [`Llama::with_kernels`](crate::Llama::with_kernels) sets them,
/// [`Checkpoint::suited`](crate::Checkpoint::suited) finds them; without either, a model has those of [`Kernels::default`], which are everywhere.
///
/// ```
/// use llama_core::{Kernels, Products};
///
/// let kernels: Kernels = "products=packed".parse()?;
/// assert_eq!(kernels.products, Products::Packed);
/// assert_eq!(kernels.to_string(), "products=packed,attention=fused");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Kernels {
    /// Those of matrix products.
    pub products: Products,
    /// Those of attention.
    pub attention: Attention,
}

impl Kernels {
    /// Whether they compute in a precision on a device, here: CPUs without AVX-512 have no packed products in bf16.
    pub fn compute(self, precision: Precision, device: Device) -> bool {
        self.check(precision, device).is_ok()
    }

    /// Refuses kernels that do not compute in a precision or on a device.
    pub(super) fn check(self, precision: Precision, device: Device) -> Result<()> {
        let reason = match self.products {
            Products::Packed if device != Device::Cpu => "packed products are computed on CPUs alone",
            Products::Packed if precision == Precision::F64 => "oneDNN has no products in f64",
            Products::Packed if !packs(precision) => {
                "this CPU or LibTorch has no packed products in that type"
            }
            _ => return Ok(()),
        };
        Err(Error::Kernels { kernels: self, reason })
    }
}

/// Whether there are packed products, found out with the smallest one.
fn packs(precision: Precision) -> bool {
    let one = Tensor::f_ones([1, 1], (precision.product(), Device::Cpu));
    one.and_then(|one| PackedWeight::new(&one, 1)?.linear(&one)).is_ok()
}

impl fmt::Display for Products {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Packed => "packed",
        })
    }
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fused => "fused",
            Self::Products => "products",
        })
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "products={},attention={}", self.products, self.attention)
    }
}

impl FromStr for Kernels {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut kernels = Self::default();
        for part in text.split(',').map(str::trim) {
            match part {
                "products=plain" => kernels.products = Products::Plain,
                "products=packed" => kernels.products = Products::Packed,
                "attention=fused" => kernels.attention = Attention::Fused,
                "attention=products" => kernels.attention = Attention::Products,
                other => {
                    let known = "products=plain, products=packed, attention=fused, attention=products";
                    return Err(format!("`{other}` is none of {known}"));
                }
            }
        }
        Ok(kernels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_kernels_are_read_again() {
        for products in [Products::Plain, Products::Packed] {
            for attention in [Attention::Fused, Attention::Products] {
                let kernels = Kernels { products, attention };
                assert_eq!(kernels.to_string().parse(), Ok(kernels));
            }
        }
        for bad in ["", "packed", "products", "products=", "products=PACKED", "attention=packed"] {
            assert!(bad.parse::<Kernels>().is_err(), "{bad}");
        }
    }
}

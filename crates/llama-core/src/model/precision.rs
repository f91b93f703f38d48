//! What a model computes in: a choice apart from what a checkpoint stores and what a capture keeps.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::Kind;

/// The number types of a forward pass.
///
/// There is no f16: its products are slow on CPUs and its range is too small for LLaMA's residual stream. Checkpoints
/// in f16 are computed in one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// f32 throughout.
    F32,
    /// bf16 throughout, as Hugging Face runs bf16 models.
    Bf16,
    /// Products in bf16, the residual stream and norms in f32.
    Mixed,
    /// f64 throughout: slow, for reference results.
    F64,
}

impl Precision {
    /// The residual stream's type: what hooks on it see.
    pub fn stream(self) -> Kind {
        match self {
            Self::F32 | Self::Mixed => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
            Self::F64 => Kind::Double,
        }
    }

    /// The type of matrix products and of the weights they use.
    pub fn product(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 | Self::Mixed => Kind::BFloat16,
            Self::F64 => Kind::Double,
        }
    }

    /// Rotary embedding is computed in f32 at least, as Meta's code does.
    pub(crate) fn rotation(self) -> Kind {
        if self == Self::F64 { Kind::Double } else { Kind::Float }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Mixed => "mixed",
            Self::F64 => "f64",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::F32, Self::Bf16, Self::Mixed, Self::F64]
            .into_iter()
            .find(|p| p.to_string() == name)
            .ok_or_else(|| format!("`{name}` is none of f32, bf16, mixed, f64"))
    }
}

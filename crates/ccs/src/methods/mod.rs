//! Fitting probes on training rows.

pub mod ccs;
mod direction;
mod eigen;
pub mod inlp;
pub mod kmeans;
pub mod logistic;
pub mod means;
pub mod quadratic;
pub mod recursive;
pub mod salience;

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::Kind;

use crate::{Error, Result};

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
                name: "--precision",
                value: format!("`{name}`"),
                reason: "no precision has this name",
                hint: "give f32 or f64",
            }),
        }
    }
}

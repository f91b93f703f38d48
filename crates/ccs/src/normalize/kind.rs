//! Which normalization: the choice, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What is done to states before a probe sees them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Each side loses its mean: x − μ±.
    MeanOnly,
    /// Each side loses its mean, each dimension is scaled to unit spread: (x − μ±)/s± (the paper's text).
    #[default]
    ElementWise,
    /// Each side loses its mean, and one number scales both sides and all dimensions so that the mean length of a
    /// pair (φ⁺, φ⁻) is √(2D) (the paper's code). The same number is used at fit and later.
    Burns,
    /// LEACE of template × side ([`crate::normalize::erase`]), then the mean that all of them share is taken away: which side and
    /// template a state is of cannot be told linearly. One affine map for all rows, whatever their template.
    Leace,
    /// Each side loses the mean of its pair's cluster, at fit ([`super::Normalizer::fit_transform`]); all other rows, later,
    /// that of their template. One number scales everything, so chosen as Burns' is, on the training rows.
    Cluster,
}

impl Normalization {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::MeanOnly, Self::ElementWise, Self::Burns, Self::Leace, Self::Cluster];

    /// The name in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::MeanOnly => "mean_only",
            Self::ElementWise => "element_wise",
            Self::Burns => "burns",
            Self::Leace => "leace",
            Self::Cluster => "cluster",
        }
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Normalization {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let plain = name.trim().to_lowercase().replace('-', "_");
        Self::ALL.into_iter().find(|n| n.name() == plain).ok_or_else(|| Error::Setting {
            name: "normalization",
            value: name.to_owned(),
            reason: "no normalization has this name",
            hint: "give mean_only, element_wise, burns, leace or cluster",
        })
    }
}

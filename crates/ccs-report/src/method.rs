//! Methods as a report names them.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most bytes of a name.
const LONGEST: usize = 30;

/// A method's name, such as `ccs`. Results are listed under it. A report takes any method and describes each
/// ([`MethodInfo`]), so a new method needs no change here.
///
/// ```
/// use ccs_report::Method;
///
/// assert_eq!("ccs".parse(), Ok(Method::CCS));
/// assert_eq!(Method::LR.name(), "lr");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method {
    name: [u8; LONGEST],
    length: u8,
}

impl Method {
    /// Contrast-Consistent Search.
    pub const CCS: Self = Self::known("ccs");
    /// Logistic regression on differences: the supervised ceiling.
    pub const LR: Self = Self::known("lr");
    /// The difference of class means of single statements.
    pub const MASS_MEAN: Self = Self::known("mass_mean");
    /// The same through the inverse of the covariance within classes.
    pub const MASS_MEAN_COVARIANCE: Self = Self::known("mass_mean_covariance");
    /// Training of Truth and Polarity Direction, on single statements.
    pub const TTPD: Self = Self::known("ttpd");
    /// Logistic regression on the last token's state, of rows with those of all tokens.
    pub const LAST: Self = Self::known("last");
    /// The same on the mean of all tokens' states.
    pub const MEAN: Self = Self::known("mean");
    /// Heads of attention that learn which tokens to read.
    pub const ATTENTION: Self = Self::known("attention");
    /// Heads that read the token with the largest value.
    pub const MULTI_MAX: Self = Self::known("multi_max");
    /// Random directions: the baseline of every probe.
    pub const RANDOM: Self = Self::known("random");
    /// The model's own answers, by their log-probabilities.
    pub const ZERO_SHOT: Self = Self::known("zero_shot");
    /// The model's own answers, with a threshold at which a given share of the training rows is true.
    pub const CALIBRATED_ZERO_SHOT: Self = Self::known("calibrated_zero_shot");
    /// Always the more frequent label of the training rows.
    pub const MAJORITY: Self = Self::known("majority");

    /// A name written in this file.
    const fn known(name: &str) -> Self {
        let (bytes, mut copy, mut at) = (name.as_bytes(), [0; LONGEST], 0);
        while at < bytes.len() {
            copy[at] = bytes[at];
            at += 1;
        }
        Self { name: copy, length: bytes.len() as u8 }
    }

    /// Whether it is one of those that sections of a report begin with. None of those for pairs is in a run on statements, and
    /// the reverse, logistic regression apart.
    pub(crate) fn is_main(self) -> bool {
        matches!(
            self,
            Self::CCS
                | Self::LR
                | Self::MASS_MEAN
                | Self::TTPD
                | Self::LAST
                | Self::MEAN
                | Self::ATTENTION
                | Self::MULTI_MAX
        )
    }

    /// The name.
    pub fn name(&self) -> &str {
        let bytes = self.name.get(..usize::from(self.length)).unwrap_or(&self.name);
        std::str::from_utf8(bytes).unwrap_or("?") // made of text alone
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Method({})", self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    /// Any name of 1 to 30 lower-case letters, digits and underscores.
    fn from_str(name: &str) -> Result<Self, String> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || name.len() > LONGEST || !name.bytes().all(plain) {
            return Err(format!(
                "a method's name is 1 to {LONGEST} lower-case letters, digits and underscores, not `{name}`"
            ));
        }
        Ok(Self::known(name))
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        name.parse().map_err(D::Error::custom)
    }
}

/// What a report says about a method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodInfo {
    /// Its name in sentences and tables.
    pub title: String,
    /// Whether it fits one probe per layer, so that a layer has to be chosen.
    pub fits_probes: bool,
    /// Whether a fit uses labels for more than the probe's sign.
    pub uses_labels: bool,
    /// Whether it needs the model's log-probabilities of the answers.
    pub needs_answers: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for name in ["ccs", "calibrated_zero_shot", "a", "vinc_s", &"x".repeat(LONGEST)] {
            let method: Method = name.parse().unwrap();
            assert_eq!((method.name(), method.to_string().as_str()), (name, name));
            let json = serde_json::to_string(&method).unwrap();
            assert_eq!(serde_json::from_str::<Method>(&json).unwrap(), method);
        }
        for name in ["", "CCS", "a-b", "é", &"x".repeat(LONGEST + 1)] {
            assert!(name.parse::<Method>().is_err(), "{name}");
        }
    }
}

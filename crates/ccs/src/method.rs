//! The methods by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A way to read truth out of contrast pairs, or a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Contrast-Consistent Search: no labels but for the sign.
    Ccs,
    /// Logistic regression on differences: the supervised ceiling.
    Lr,
    /// Random directions: what any direction gives.
    Random,
    /// The model's own answer, by its log-probability.
    ZeroShot,
    /// Always the more frequent label.
    Majority,
}

impl Method {
    /// All methods, in the order of reports.
    pub const ALL: [Self; 5] = [Self::Ccs, Self::Lr, Self::Random, Self::ZeroShot, Self::Majority];

    /// The name in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ccs => "ccs",
            Self::Lr => "lr",
            Self::Random => "random",
            Self::ZeroShot => "zero_shot",
            Self::Majority => "majority",
        }
    }

    /// The name in sentences.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ccs => "CCS",
            Self::Lr => "Logistic regression",
            Self::Random => "Random directions",
            Self::ZeroShot => "Zero-shot",
            Self::Majority => "The majority",
        }
    }

    /// Whether the method fits one probe per layer, whose layer has to be chosen.
    pub fn is_probe(self) -> bool {
        matches!(self, Self::Ccs | Self::Lr)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let plain = name.trim().to_lowercase().replace('-', "_");
        if let Some(method) = Self::ALL.into_iter().find(|m| m.name() == plain) {
            return Ok(method);
        }
        let near = |m: &Self| strsim::jaro_winkler(m.name(), &plain);
        let suggestion = Self::ALL
            .into_iter()
            .max_by(|a, b| near(a).total_cmp(&near(b)))
            .filter(|m| near(m) > 0.6)
            .map(|m| m.name().to_owned());
        Err(Error::UnknownMethod { name: name.to_owned(), suggestion })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_misspellings_get_a_suggestion() {
        for method in Method::ALL {
            assert_eq!(method.name().parse::<Method>().unwrap(), method);
            assert_eq!(serde_json::to_value(method).unwrap(), method.name());
        }
        assert_eq!("zero-shot".parse::<Method>().unwrap(), Method::ZeroShot);
        let error = "cs".parse::<Method>().unwrap_err().to_string();
        assert!(error.contains("`cs`") && error.contains("did you mean `ccs`?"), "{error}");
        let error = "xyz".parse::<Method>().unwrap_err().to_string();
        assert!(error.contains("the methods are ccs, lr, random, zero_shot, majority"), "{error}");
    }
}

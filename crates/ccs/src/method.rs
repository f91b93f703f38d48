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
    /// CRC-TPC, the top principal component of differences: no labels but for the sign.
    Tpc,
    /// CRC-BSS, bimodal salience search: no labels but for the sign.
    Bss,
    /// Two means on differences: no labels but for the sign.
    Kmeans,
    /// DRC, the direction along which the sides are most opposite: no labels but for the sign.
    Drc,
    /// RRC, the same in relation to how much the states vary: no labels but for the sign.
    Rrc,
    /// VINC, invariance over templates and negation: no labels but for the sign.
    Vinc,
    /// VINC with variance and supervision added.
    VincS,
    /// Logistic regression on differences: the supervised ceiling.
    Lr,
    /// Logistic regression on single statements, its penalty chosen by cross-validation.
    LrStatements,
    /// Logistic regression on concatenated pairs, its penalty chosen by cross-validation.
    LrPairs,
    /// The difference of the classes' means.
    MeanDifference,
    /// Linear discriminant analysis.
    Lda,
    /// Iterative null-space projection: logistic regression again and again without the directions found before. Its
    /// probe is the first; how many there are, and how well each does, is reported with it.
    Inlp,
    /// Random directions: what any direction gives.
    Random,
    /// The model's own answer, by its log-probability.
    ZeroShot,
    /// The model's own answer against a threshold at which half of the training rows are true.
    CalibratedZeroShot,
    /// Always the more frequent label.
    Majority,
}

impl Method {
    /// All methods, in the order of reports.
    pub const ALL: [Self; 18] = [
        Self::Ccs,
        Self::Tpc,
        Self::Bss,
        Self::Kmeans,
        Self::Drc,
        Self::Rrc,
        Self::Vinc,
        Self::VincS,
        Self::Lr,
        Self::LrStatements,
        Self::LrPairs,
        Self::MeanDifference,
        Self::Lda,
        Self::Inlp,
        Self::Random,
        Self::ZeroShot,
        Self::CalibratedZeroShot,
        Self::Majority,
    ];

    /// Those of a run that asks for none by name: the quick ones that others are measured by.
    pub const DEFAULT: [Self; 8] = [
        Self::Ccs,
        Self::Tpc,
        Self::Lr,
        Self::MeanDifference,
        Self::Random,
        Self::ZeroShot,
        Self::CalibratedZeroShot,
        Self::Majority,
    ];

    /// The name in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ccs => "ccs",
            Self::Tpc => "tpc",
            Self::Bss => "bss",
            Self::Kmeans => "kmeans",
            Self::Drc => "drc",
            Self::Rrc => "rrc",
            Self::Vinc => "vinc",
            Self::VincS => "vinc_s",
            Self::Lr => "lr",
            Self::LrStatements => "lr_statements",
            Self::LrPairs => "lr_pairs",
            Self::MeanDifference => "mean_difference",
            Self::Lda => "lda",
            Self::Inlp => "inlp",
            Self::Random => "random",
            Self::ZeroShot => "zero_shot",
            Self::CalibratedZeroShot => "calibrated_zero_shot",
            Self::Majority => "majority",
        }
    }

    /// The name in sentences.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ccs => "CCS",
            Self::Tpc => "TPC",
            Self::Bss => "BSS",
            Self::Kmeans => "Two means",
            Self::Drc => "DRC",
            Self::Rrc => "RRC",
            Self::Vinc => "VINC",
            Self::VincS => "VINC-S",
            Self::Lr => "Logistic regression",
            Self::LrStatements => "Logistic regression on statements",
            Self::LrPairs => "Logistic regression on concatenated pairs",
            Self::MeanDifference => "Mean difference",
            Self::Lda => "LDA",
            Self::Inlp => "INLP",
            Self::Random => "Random directions",
            Self::ZeroShot => "Zero-shot",
            Self::CalibratedZeroShot => "Calibrated zero-shot",
            Self::Majority => "The majority",
        }
    }

    /// Whether the method fits one probe per layer, whose layer has to be chosen.
    pub fn is_probe(self) -> bool {
        !matches!(self, Self::Random | Self::Majority) && !self.needs_answers()
    }

    /// Whether a fit sees labels for more than the probe's sign.
    pub fn is_supervised(self) -> bool {
        matches!(
            self,
            Self::VincS
                | Self::Lr
                | Self::LrStatements
                | Self::LrPairs
                | Self::MeanDifference
                | Self::Lda
                | Self::Inlp
        )
    }

    /// Whether it reads the model's log-probabilities of its answers.
    pub fn needs_answers(self) -> bool {
        matches!(self, Self::ZeroShot | Self::CalibratedZeroShot)
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
            .min_by(|a, b| near(b).total_cmp(&near(a)))
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
        assert!(error.contains("the methods are ccs, tpc, bss, kmeans"), "{error}");
        assert!(error.ends_with("calibrated_zero_shot, majority"), "{error}");
    }

    #[test]
    fn reports_keep_the_order_of_the_list() {
        assert!(Method::ALL.is_sorted() && Method::DEFAULT.is_sorted());
        assert_eq!(Method::ALL.into_iter().filter(|m| m.is_probe()).count(), 14);
        assert!(Method::ALL.into_iter().filter(|m| m.is_supervised()).all(Method::is_probe));
    }
}

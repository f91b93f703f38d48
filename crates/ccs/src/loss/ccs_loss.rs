//! The terms that an objective is mixed from, and the mix as text: `ccs`, `consistency+0.5*js`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One term of an objective, a mean over rows; p⁺ and p⁻ are the probabilities of the two statements of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// Consistency and confidence (Burns et al. 2022, eq. 1).
    Ccs,
    /// (p⁺ + p⁻ − 1)².
    Consistency,
    /// min(p⁺, p⁻)².
    Confidence,
    /// min(p⁺, p⁻, 1 − p⁺, 1 − p⁻)², which leaves (p⁺, p⁻) and (1 − p⁺, 1 − p⁻) alike (Laurito et al. 2024).
    SymmetricConfidence,
    /// The Jensen-Shannon divergence between p⁺ and 1 − p⁻, in nats: H(m) − ½(H(p⁺) + H(1 − p⁻)) with
    /// m = ½(p⁺ + 1 − p⁻) and H a coin's entropy.
    Js,
    /// H(m), the entropy of the mixture in [`Term::Js`], in nats.
    JsConfidence,
    /// (p⁺ − mean p⁺)² + (p⁻ − mean p⁻)², means over the rows of one question (its templates).
    PromptVar,
    /// [`Term::Ccs`] and [`Term::PromptVar`].
    CcsPromptVar,
}

impl Term {
    /// All terms.
    pub const ALL: [Self; 8] = [
        Self::Ccs,
        Self::Consistency,
        Self::Confidence,
        Self::SymmetricConfidence,
        Self::Js,
        Self::JsConfidence,
        Self::PromptVar,
        Self::CcsPromptVar,
    ];

    /// The name in mixes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ccs => "ccs",
            Self::Consistency => "consistency",
            Self::Confidence => "confidence",
            Self::SymmetricConfidence => "symmetric_confidence",
            Self::Js => "js",
            Self::JsConfidence => "js_confidence",
            Self::PromptVar => "prompt_var",
            Self::CcsPromptVar => "ccs_prompt_var",
        }
    }

    /// The term called `name`; elk's `consistency_squared`, `confidence_squared` and `prompt_var_squared` are known.
    fn named(name: &str) -> Option<Self> {
        let plain = name.to_lowercase().replace('-', "_");
        let plain = plain.strip_suffix("_squared").unwrap_or(&plain);
        Self::ALL.into_iter().find(|term| term.name() == plain)
    }
}

/// A weighted sum of terms. Written and read as text: `ccs+0.5*js`.
///
/// ```
/// use ccs::loss::{CcsLoss, Term};
///
/// let mix: CcsLoss = "ccs + 0.5*js".parse()?;
/// assert_eq!(mix.parts(), [(1.0, Term::Ccs), (0.5, Term::Js)]);
/// assert_eq!(mix.to_string(), "ccs+0.5*js");
/// # Ok::<(), ccs::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CcsLoss {
    parts: Vec<(f64, Term)>,
}

impl Default for CcsLoss {
    fn default() -> Self {
        Self { parts: vec![(1.0, Term::Ccs)] }
    }
}

impl CcsLoss {
    /// A sum of weighted terms.
    ///
    /// # Errors
    /// No terms, or a weight that is not positive and finite.
    pub fn new(parts: Vec<(f64, Term)>) -> Result<Self> {
        if parts.is_empty() {
            return Err(unusable("nothing", "an objective needs a term"));
        }
        if let Some((weight, _)) = parts.iter().find(|(weight, _)| !(weight.is_finite() && *weight > 0.0)) {
            return Err(unusable(&weight.to_string(), "a weight is a positive number"));
        }
        Ok(Self { parts })
    }

    /// The terms with their weights, in the order given.
    pub fn parts(&self) -> &[(f64, Term)] {
        &self.parts
    }

    /// Whether its minima are those of the CCS loss: consistency and confidence in equal parts and nothing else.
    ///
    /// ```
    /// use ccs::loss::CcsLoss;
    ///
    /// assert!("ccs".parse::<CcsLoss>()?.is_ccs() && "2*consistency+2*confidence".parse::<CcsLoss>()?.is_ccs());
    /// assert!(!"ccs+js".parse::<CcsLoss>()?.is_ccs() && !"consistency".parse::<CcsLoss>()?.is_ccs());
    /// # Ok::<(), ccs::Error>(())
    /// ```
    pub fn is_ccs(&self) -> bool {
        let weights = self.weights();
        let equal = weights.consistency.total_cmp(&weights.confidence).is_eq();
        equal && weights.symmetric + weights.js + weights.mixture + weights.prompt_var <= 0.0
    }

    /// The terms' weights, compound terms taken apart.
    pub(crate) fn weights(&self) -> Weights {
        let mut all = Weights::default();
        for &(weight, term) in &self.parts {
            if matches!(term, Term::Ccs | Term::Consistency | Term::CcsPromptVar) {
                all.consistency += weight;
            }
            if matches!(term, Term::Ccs | Term::Confidence | Term::CcsPromptVar) {
                all.confidence += weight;
            }
            if matches!(term, Term::PromptVar | Term::CcsPromptVar) {
                all.prompt_var += weight;
            }
            match term {
                Term::SymmetricConfidence => all.symmetric += weight,
                Term::Js => all.js += weight,
                Term::JsConfidence => all.mixture += weight,
                _ => {}
            }
        }
        all
    }
}

/// A mix as one weight for each simple term.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Weights {
    pub(crate) consistency: f64,
    pub(crate) confidence: f64,
    pub(crate) symmetric: f64,
    pub(crate) js: f64,
    pub(crate) mixture: f64,
    pub(crate) prompt_var: f64,
}

impl Weights {
    /// Whether confidence has another weight than 1.
    pub(crate) fn is_scaled(&self) -> bool {
        self.confidence.to_bits() != 1f64.to_bits()
    }

    /// Whether the mix is of consistency and confidence alone.
    pub(crate) fn only_ccs(&self) -> bool {
        *self == Self { consistency: self.consistency, confidence: self.confidence, ..Self::default() }
    }
}

fn unusable(value: &str, reason: &'static str) -> Error {
    Error::Setting {
        name: "loss",
        value: value.to_owned(),
        reason,
        hint: "write terms with weights, such as `ccs+0.5*js`; the terms are ccs, consistency, confidence, \
               symmetric_confidence, js, js_confidence, prompt_var and ccs_prompt_var",
    }
}

impl FromStr for CcsLoss {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let part = |part: &str| -> Result<(f64, Term)> {
            let (weight, name) = match part.split_once('*') {
                Some((weight, name)) => {
                    let weight = weight.trim();
                    (
                        weight.parse().map_err(|_| unusable(weight, "a weight is a positive number"))?,
                        name.trim(),
                    )
                }
                None => (1.0, part.trim()),
            };
            let term = Term::named(name).ok_or_else(|| unusable(name, "it is not the name of a term"))?;
            Ok((weight, term))
        };
        // A `+` of an exponent (1e+2) belongs to its number.
        let mut parts: Vec<String> = Vec::new();
        for piece in text.split('+') {
            match parts.last_mut().filter(|p| ends_in_exponent(p)) {
                Some(previous) => *previous = format!("{previous}+{piece}"),
                None => parts.push(piece.to_owned()),
            }
        }
        Self::new(parts.iter().map(|p| part(p)).collect::<Result<_>>()?)
    }
}

/// Whether the text stops inside a number such as `1e`.
fn ends_in_exponent(text: &str) -> bool {
    let number = text.trim_start().strip_suffix(['e', 'E']);
    number.is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

impl fmt::Display for CcsLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (weight, term)) in self.parts.iter().enumerate() {
            let plus = if i == 0 { "" } else { "+" };
            match weight {
                1.0 => write!(f, "{plus}{}", term.name())?,
                _ => write!(f, "{plus}{weight}*{}", term.name())?,
            }
        }
        Ok(())
    }
}

impl From<CcsLoss> for String {
    fn from(mix: CcsLoss) -> Self {
        mix.to_string()
    }
}

impl TryFrom<String> for CcsLoss {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_is_read_back(parts in prop::collection::vec((1e-3f64..1e3, 0usize..8), 1..6)) {
            let mix = CcsLoss::new(parts.into_iter().map(|(w, t)| (w, Term::ALL[t])).collect()).unwrap();
            prop_assert_eq!(&mix.to_string().parse::<CcsLoss>().unwrap(), &mix);
            prop_assert_eq!(&serde_json::from_value::<CcsLoss>(serde_json::to_value(&mix).unwrap()).unwrap(), &mix);
        }
    }

    #[test]
    fn spaces_exponents_and_elks_names() {
        let mix: CcsLoss = " 2e+0 * consistency_squared + confidence-squared ".parse().unwrap();
        assert_eq!(mix.to_string(), "2*consistency+confidence");
        assert_eq!("1e-3*js".parse::<CcsLoss>().unwrap().parts(), [(1e-3, Term::Js)]);
    }

    #[test]
    fn what_is_not_a_mix_is_named() {
        for (text, part) in [
            ("", "``"),
            ("ccs+", "``"),
            ("css", "css"),
            ("x*ccs", "`loss` cannot be x"),
            ("0*js", "0"),
            ("-1*js", "-1"),
        ] {
            let error = text.parse::<CcsLoss>().unwrap_err();
            assert!(error.hint().unwrap().contains("symmetric_confidence"), "{text}: {error}");
            assert!(error.to_string().contains(part) || part == "``", "{text}: {error}");
        }
    }

    #[test]
    fn compound_terms_are_the_sum_of_their_parts() {
        let weights = |text: &str| text.parse::<CcsLoss>().unwrap().weights();
        assert_eq!(weights("ccs"), weights("consistency+confidence"));
        assert_eq!(weights("2*ccs_prompt_var"), weights("2*ccs+2*prompt_var"));
        assert!(weights("ccs+0.1*confidence").only_ccs() && !weights("ccs+js").only_ccs());
    }
}

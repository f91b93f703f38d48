//! Whether two sets of states are of one model, as far as those who made them recorded it.

use super::{Provenance, short};

/// Why states cannot be compared: they are not of the same model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {found}, not {expected}")]
#[non_exhaustive]
pub struct Conflict {
    /// What differs: `the model`, `the tokenizer`, …
    pub what: &'static str,
    /// That of the states in question.
    pub found: String,
    /// That of the states they are compared with.
    pub expected: String,
}

/// A difference that does not prevent a comparison but should be known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Caveat {
    /// The states in question do not record something that the others record, so it is not compared.
    NotRecorded {
        /// `the model` or `the tokenizer`.
        what: &'static str,
    },
    /// The states that they are compared with do not record something that these record.
    NotRecordedByOther {
        /// `the model` or `the tokenizer`.
        what: &'static str,
    },
    /// The model computed in another type.
    Precision {
        /// That of the states in question.
        found: String,
        /// That of the states they are compared with.
        expected: String,
    },
}

impl Caveat {
    /// The caveat as a sentence; `found` is what to call the states in question (`the store`), `reference` those they are
    /// compared with (`the probe`).
    pub fn sentence(&self, found: &str, reference: &str) -> String {
        let silent = |who: &str, what: &str| {
            format!("{who} does not say what {what} is: whether it is the same is not checked")
        };
        match self {
            Self::NotRecorded { what } => silent(found, what),
            Self::NotRecordedByOther { what } => silent(reference, what),
            Self::Precision { found: own, expected } => {
                format!(
                    "{found} is of states computed in {own}, {reference} of states computed in {expected}"
                )
            }
        }
    }
}

impl Provenance {
    /// Checks that these states may be compared with the others: the same model, tokenizer, and edits. Models are
    /// compared by their identity, or by name if one has no identity. What only one of the two records is a caveat.
    ///
    /// # Errors
    /// The first thing that differs.
    pub fn same_states_as(&self, other: &Self) -> Result<Vec<Caveat>, Conflict> {
        let mut caveats = Vec::new();
        caveats.extend(self.same_model(other)?);
        let tokenizers = (self.tokenizer_identity(), other.tokenizer_identity());
        caveats.extend(same("the tokenizer", tokenizers, |found, expected| {
            [shortened(found), shortened(expected)]
        })?);
        if let (Some(found), Some(expected)) = (self.precision(), other.precision())
            && found != expected
        {
            let (found, expected) = (found.to_owned(), expected.to_owned());
            caveats.push(Caveat::Precision { found, expected });
        }
        let (found, expected) = (self.edits_text(), other.edits_text());
        if found == expected {
            Ok(caveats)
        } else {
            Err(Conflict { what: "the edits of the model", found, expected })
        }
    }

    fn same_model(&self, other: &Self) -> Result<Option<Caveat>, Conflict> {
        let identities = (self.model_identity(), other.model_identity());
        let caveat = same("the model", identities, |found, expected| {
            [self.with_model_name(found), other.with_model_name(expected)]
        })?;
        match (self.model_name(), other.model_name(), identities) {
            (_, _, (Some(_), Some(_))) => Ok(caveat),
            // The names are all that there is to compare.
            (Some(found), Some(expected), _) if found != expected => {
                let (found, expected) = (found.to_owned(), expected.to_owned());
                Err(Conflict { what: "the model's name", found, expected })
            }
            _ => Ok(caveat),
        }
    }

    /// The beginning of the model's hash, with its name if there is one.
    fn with_model_name(&self, identity: &str) -> String {
        let short = shortened(identity);
        self.model_name().map_or_else(|| short.clone(), |name| format!("{short} ({name})"))
    }

    fn edits_text(&self) -> String {
        self.edits.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
    }
}

/// Compares two identities; `shown` says how they stand in a conflict.
fn same(
    what: &'static str,
    identities: (Option<&str>, Option<&str>),
    shown: impl FnOnce(&str, &str) -> [String; 2],
) -> Result<Option<Caveat>, Conflict> {
    match identities {
        (Some(found), Some(expected)) if found != expected => {
            let [found, expected] = shown(found, expected);
            Err(Conflict { what, found, expected })
        }
        (None, Some(_)) => Ok(Some(Caveat::NotRecorded { what })),
        (Some(_), None) => Ok(Some(Caveat::NotRecordedByOther { what })),
        _ => Ok(None),
    }
}

/// The beginning of a hash, with dots where something is left out.
fn shortened(hash: &str) -> String {
    let short = short(hash);
    if short.len() < hash.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn compare(found: &Value, expected: &Value) -> Result<Vec<String>, Conflict> {
        let caveats = Provenance::from_json(found).same_states_as(&Provenance::from_json(expected))?;
        Ok(caveats.iter().map(|caveat| caveat.sentence("the store", "the probe")).collect())
    }

    #[test]
    fn identities_decide_and_names_only_without_them() {
        let model = |identity: &str, name: &str| json!({ "model": { "identity": identity, "name": name } });
        let (a, b) = (model("0123456789abcdef", "LLaMA"), model("fedcba9876543210", "LLaMA"));
        assert_eq!(compare(&a, &a), Ok(vec![]));
        let conflict = compare(&a, &b).unwrap_err();
        assert_eq!(conflict.what, "the model");
        assert_eq!(conflict.to_string(), "the model: 0123456789ab… (LLaMA), not fedcba987654… (LLaMA)");
        assert_eq!(compare(&a, &model("0123456789abcdef", "renamed")), Ok(vec![]));
        let named = |name: &str| json!({ "model": { "name": name } });
        assert_eq!(compare(&named("x"), &named("x")), Ok(vec![]));
        assert_eq!(compare(&named("x"), &named("y")).unwrap_err().what, "the model's name");
        assert_eq!(compare(&a, &named("y")).unwrap_err().what, "the model's name");
        assert_eq!(
            compare(&a, &named("LLaMA")),
            Ok(vec![
                "the probe does not say what the model is: whether it is the same is not checked".to_owned()
            ])
        );
    }

    #[test]
    fn what_one_side_does_not_record_is_a_caveat() {
        let of = |v: &str| json!({ "tokenizer": { "identity": v }, "extraction": { "precision": v } });
        let silent = "the store does not say what the tokenizer is: whether it is the same is not checked";
        assert_eq!(compare(&json!({}), &of("a")), Ok(vec![silent.to_owned()]));
        assert_eq!(compare(&Value::Null, &Value::Null), Ok(vec![]));
        assert_eq!(compare(&of("a"), &of("b")).unwrap_err().what, "the tokenizer");
        let precision = |v: &str| json!({ "extraction": { "precision": v } });
        let differs = "the store is of states computed in bf16, the probe of states computed in f32";
        assert_eq!(compare(&precision("bf16"), &precision("f32")), Ok(vec![differs.to_owned()]));
        let edited = compare(&json!({ "edits": ["zero"] }), &json!({ "edits": null })).unwrap_err();
        assert_eq!(edited.to_string(), r#"the edits of the model: ["zero"], not none"#);
    }
}

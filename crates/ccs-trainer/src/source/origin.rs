//! Whether states are of the model that other states are of, as far as those who made both recorded it.

use serde_json::Value;

use crate::source::Layer;
use crate::source::Source;
use crate::{Error, Result};

/// Whose states: what to call them, and the settings that made them.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// `the probe`, `the store`.
    pub(crate) name: &'a str,
    /// [`Source::made_by`].
    pub(crate) made_by: &'a Value,
}

impl<'a> Origin<'a> {
    fn text(self, pointer: &str) -> Option<&'a str> {
        self.made_by.pointer(pointer).and_then(Value::as_str)
    }
}

/// Refuses states of another model, tokenizer or edit than `reference`'s. What only one of the two recorded cannot be
/// compared; that and what may matter (precision) comes back in sentences.
pub(crate) fn same_model(found: Origin<'_>, reference: Origin<'_>) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for (what, pointer, must) in [
        ("the model", "/model/identity", true),
        ("the model's name", "/model/name", false),
        ("the tokenizer", "/tokenizer/identity", true),
        ("the precision", "/extraction/precision", false),
    ] {
        match (found.text(pointer), reference.text(pointer)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) if must || (what == "the model's name" && nameless(found, reference)) => {
                let (a, b) = (named(found, what, a), named(reference, what, b));
                return Err(differ(found.name, what, a, reference.name, &b));
            }
            (Some(a), Some(b)) if what == "the precision" => notes.push(format!(
                "{} is of states computed in {a}, {} of states computed in {b}",
                found.name, reference.name
            )),
            (Some(_), None) if must => notes.push(unsaid(reference.name, what)),
            (None, Some(_)) if must => notes.push(unsaid(found.name, what)),
            _ => {}
        }
    }
    let edits = |origin: Origin<'_>| match origin.made_by.get("edits") {
        None | Some(Value::Null) => "none".to_owned(),
        Some(edits) => edits.to_string(),
    };
    let (a, b) = (edits(found), edits(reference));
    if a == b { Ok(notes) } else { Err(differ(found.name, "the edits of the model", a, reference.name, &b)) }
}

/// Whether the names are all that there is to compare.
fn nameless(found: Origin<'_>, reference: Origin<'_>) -> bool {
    [found, reference].iter().any(|o| o.text("/model/identity").is_none())
}

/// The beginning of a hash, with the model's name where it is the model's.
fn named(origin: Origin<'_>, what: &str, identity: &str) -> String {
    let short: String = identity.chars().take(12).collect();
    let short = if short.len() < identity.len() { format!("{short}…") } else { short };
    let name = origin.text("/model/name").filter(|_| what == "the model");
    name.map_or_else(|| short.clone(), |name| format!("{short} ({name})"))
}

fn unsaid(place: &str, what: &str) -> String {
    format!("{place} does not say what {what} is: whether it is the same is not checked")
}

pub(crate) fn differ(
    place: &str,
    what: &'static str,
    found: String,
    reference: &str,
    expected: &str,
) -> Error {
    Error::OtherStates { place: place.to_owned(), what, found, other: format!("{reference} is {expected}") }
}

/// The layer of `source` that a probe of `layer`, `hook`, `tokens` and `dim` reads.
pub(crate) fn layer_of(
    source: &dyn Source,
    (layer, hook, tokens): (usize, &str, &str),
    dim: usize,
) -> Result<Layer> {
    let place = source.describe();
    let refuse =
        |what, found: String, expected: String| differ(&place, what, found, "the probe's", &expected);
    if let Some(found) = source.tokens().filter(|found| *found != tokens) {
        return Err(refuse("the token rule", found.to_owned(), tokens.to_owned()));
    }
    let Some(found) = source.layers().iter().find(|l| l.hook == hook) else {
        let at = source.layers().iter().find(|l| l.layer == layer).map(|l| format!("`{}`", l.hook));
        let found = at.unwrap_or_else(|| "missing".to_owned());
        return Err(refuse("the hook point of that layer", found, format!("`{hook}` (layer {layer})")));
    };
    if found.layer != layer {
        return Err(refuse("the layer of that hook point", found.layer.to_string(), layer.to_string()));
    }
    match source.dim(found) {
        Some(there) if there != dim => {
            Err(refuse("the length of a state", there.to_string(), dim.to_string()))
        }
        _ => Ok(found.clone()),
    }
}

/// An error of `source`'s row, told of the source that the row comes from.
pub(crate) fn placed(source: &dyn Source, error: impl Into<Error>) -> Error {
    let (what, row, column) = match error.into() {
        Error::Probe(ccs::Error::NotFinite { what, row, column }) => (what, row, column),
        other => return other,
    };
    let (what, row) = match source.place(row) {
        Some((place, row)) => (format!("{place}: {what}"), row),
        None => (what, row),
    };
    ccs::Error::NotFinite { what, row, column }.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compare(a: &Value, b: &Value) -> Result<Vec<String>, String> {
        let of = |name, made_by| Origin { name, made_by };
        same_model(of("the store", a), of("the probe", b)).map_err(|e| e.to_string())
    }

    #[test]
    fn identities_decide_and_names_only_without_them() {
        let model = |identity: &str, name: &str| json!({ "model": { "identity": identity, "name": name } });
        let (a, b) = (model("0123456789abcdef", "LLaMA"), model("fedcba9876543210", "LLaMA"));
        assert_eq!(compare(&a, &a), Ok(vec![]));
        let error = compare(&a, &b).unwrap_err();
        assert!(
            error.starts_with("the store: the model is 0123456789ab… (LLaMA); the probe is fedc"),
            "{error}"
        );
        assert_eq!(compare(&a, &model("0123456789abcdef", "renamed")), Ok(vec![]));
        let named = |name: &str| json!({ "model": { "name": name } });
        assert_eq!(compare(&named("x"), &named("x")), Ok(vec![]));
        assert!(compare(&named("x"), &named("y")).is_err());
    }

    #[test]
    fn what_one_side_does_not_say_is_said() {
        let of = |v: &str| json!({ "tokenizer": { "identity": v }, "extraction": { "precision": v } });
        assert!(
            compare(&json!({}), &of("a")).unwrap()[0]
                .contains("the store does not say what the tokenizer is")
        );
        assert!(compare(&Value::Null, &Value::Null).unwrap().is_empty());
        let precision = |v: &str| json!({ "extraction": { "precision": v } });
        assert!(compare(&precision("bf16"), &precision("f32")).unwrap()[0].contains("computed in bf16"));
        assert!(compare(&json!({ "edits": ["zero"] }), &json!({ "edits": null })).is_err());
    }
}

//! Whether states are of the model that other states are of, and of the layer that a probe reads.

use activations::provenance::Provenance;

use crate::source::Layer;
use crate::source::Source;
use crate::{Error, Result};

/// Refuses states of another model, tokenizer or edit than `reference`'s, each with its name (`the store`, `the probe`).
/// What only one of the two recorded cannot be compared; that and what may matter comes back in sentences.
pub(crate) fn same_model(
    (name, found): (&str, Option<&Provenance>),
    (reference_name, reference): (&str, Option<&Provenance>),
) -> Result<Vec<String>> {
    let nothing = Provenance::default();
    let (found, reference) = (found.unwrap_or(&nothing), reference.unwrap_or(&nothing));
    let caveats = found.same_states_as(reference).map_err(|conflict| {
        differ(name, conflict.what, conflict.found, reference_name, &conflict.expected)
    })?;
    Ok(caveats.iter().map(|caveat| caveat.sentence(name, reference_name)).collect())
}

pub(crate) fn differ(
    name: &str,
    what: &'static str,
    found: String,
    reference: &str,
    expected: &str,
) -> Error {
    Error::OtherStates { data: name.to_owned(), what, found, other: format!("{reference} is {expected}") }
}

/// The layer of `source` that a probe of `layer`, `hook`, `tokens` and `dim` reads.
pub(crate) fn layer_of(
    source: &dyn Source,
    (layer, hook, tokens): (usize, &str, &str),
    dim: usize,
) -> Result<Layer> {
    let name = source.describe();
    let refuse = |what, found: String, expected: String| differ(&name, what, found, "the probe's", &expected);
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
pub(crate) fn locate(source: &dyn Source, error: impl Into<Error>) -> Error {
    let (what, row, column) = match error.into() {
        Error::Probe(ccs::Error::NotFinite { what, row, column }) => (what, row, column),
        other => return other,
    };
    let (what, row) = match source.locate(row) {
        Some((name, row)) => (format!("{name}: {what}"), row),
        None => (what, row),
    };
    ccs::Error::NotFinite { what, row, column }.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn other_models_are_refused_by_name_and_silence_is_noted() {
        let model = |identity: &str| {
            Provenance::from_json(&json!({ "model": { "identity": identity, "name": "LLaMA" } }))
        };
        let (a, b) = (model("0123456789abcdef"), model("fedcba9876543210"));
        let compare = |b: Option<&Provenance>| same_model(("the store", Some(&a)), ("the probe", b));
        assert!(compare(Some(&a)).unwrap().is_empty());
        let error = compare(Some(&b)).unwrap_err().to_string();
        assert!(
            error.starts_with("the store: the model is 0123456789ab… (LLaMA); the probe is fedc"),
            "{error}"
        );
        assert!(compare(None).unwrap()[0].contains("the probe does not say what the model is"));
    }
}

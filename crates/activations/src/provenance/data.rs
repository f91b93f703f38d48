//! What a report records of the data that it is about, and how it says so in a few words.

use serde_json::Value;

use super::section::section;
use super::{Provenance, short};
use crate::side::RowKind;
use crate::store::Store;

section! {
    /// What a report or a run records of its data: a store at one token rule, several stores pooled, or whatever else a
    /// program fitted probes on.
    DataRecord {
        /// `store`, `pooled`, or another program's word.
        kind: String,
        /// [`Store::fingerprint`].
        fingerprint: String,
        /// Rows: contrast pairs, unless `sides` says otherwise.
        rows: u64,
        /// What the rows are, where they are no pairs.
        sides: RowKind,
        /// What the states are kept in.
        dtype: String,
        /// The token rule whose states are meant.
        tokens: String,
        /// What made the states.
        made_by: Provenance,
        /// The parts of pooled data.
        datasets: Vec<NamedData>,
        /// The data's name, from sources that have no [`Provenance`].
        dataset: String,
        /// The model's name, from sources that have no [`Provenance`].
        model: String,
    }
}

/// A part of pooled data with the name that it has in reports.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NamedData {
    /// The name.
    pub name: String,
    /// The part.
    pub data: DataRecord,
}

impl DataRecord {
    /// A finished store, read at one token rule.
    pub fn of_store(store: &Store, tokens: &str) -> Self {
        let manifest = store.manifest();
        Self {
            kind: Some("store".to_owned()),
            fingerprint: Some(store.fingerprint().to_owned()),
            rows: Some(manifest.rows as u64),
            sides: Self::unless_pairs(manifest.kind),
            dtype: Some(manifest.dtype.name().to_owned()),
            tokens: Some(tokens.to_owned()),
            made_by: Some(store.provenance()),
            ..Self::default()
        }
    }

    /// What the rows are, as a record has it: pairs go without saying.
    pub fn unless_pairs(kind: RowKind) -> Option<RowKind> {
        (!kind.is_pairs()).then_some(kind)
    }

    /// Several data sets as one, with what made them all together ([`Provenance::pooled`]).
    pub fn pooled(parts: Vec<NamedData>) -> Self {
        let rows = parts.iter().map(|part| part.data.rows).sum();
        let first = parts.first().map(|part| part.data.clone()).unwrap_or_default();
        let sources: Vec<(&str, Option<&Provenance>)> =
            parts.iter().map(|part| (part.name.as_str(), part.data.made_by.as_ref())).collect();
        Self {
            kind: Some("pooled".to_owned()),
            rows,
            sides: first.sides,
            dtype: first.dtype,
            tokens: first.tokens,
            made_by: Provenance::pooled(&sources),
            datasets: Some(parts),
            ..Self::default()
        }
    }

    /// Reads what a report records. Anything but an object counts as empty.
    pub fn from_json(value: &Value) -> Self {
        value.as_object().cloned().map(Self::from).unwrap_or_default()
    }

    /// Which states were read, such as `at the last token, computed in bf16 and kept in f32`; `None` if nothing is
    /// recorded.
    pub fn states(&self) -> Option<String> {
        let tokens = self.tokens.as_deref().map(|rule| match rule {
            "last" => "at the last token".to_owned(),
            "first" => "at the first token".to_owned(),
            "mean" => "at the mean of all tokens".to_owned(),
            "answer_mean" => "at the mean of the answer's tokens".to_owned(),
            "answer_last" => "at the last token of the answer".to_owned(),
            "all" => "at all tokens".to_owned(),
            other => format!("at the tokens `{other}`"),
        });
        let made_by = self.made_by.as_ref();
        let computed =
            made_by.and_then(Provenance::precision).map(|precision| format!("computed in {precision}"));
        let kept = self.dtype.as_ref().map(|dtype| format!("kept in {dtype}"));
        let types: Vec<String> = [computed, kept].into_iter().flatten().collect();
        let types = Some(types.join(" and ")).filter(|text| !text.is_empty());
        let edited = made_by.and_then(|made_by| made_by.edits.as_ref());
        let edited = edited.map(|_| "of a model that was edited on the way".to_owned());
        let parts: Vec<String> = [tokens, types, edited].into_iter().flatten().collect();
        Some(parts.join(", ")).filter(|text| !text.is_empty())
    }

    /// The data in a few lines, for the head of a report: data set, model, its size, states, hashes, pairs; each only if it
    /// is recorded.
    pub fn description(&self) -> Vec<String> {
        let nothing = Provenance::default();
        let made_by = self.made_by.as_ref().unwrap_or(&nothing);
        let model = made_by.model.as_ref();
        let dataset = self.dataset.as_ref().or(made_by.dataset.as_ref());
        let name = made_by.model_name().or(self.model.as_deref());
        let layout = || Some(format!("checkpoint {}", model?.layout.as_ref()?));
        let size = || {
            let config = model?.config.as_ref()?;
            Some(format!("{} blocks of width {}", config.n_layers?, config.dim?))
        };
        let hash = made_by.model_identity().map(|hash| format!("model hash {}", short(hash)));
        [
            dataset.map(|name| format!("dataset {name}")),
            name.map(|name| format!("model {name}")).or_else(layout),
            size(),
            self.states().map(|states| format!("states {states}")),
            hash,
            self.fingerprint.as_deref().map(|hash| format!("store {}", short(hash))),
            self.rows.map(|rows| format!("{rows} {}", self.sides.unwrap_or_default())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stores_record_is_described_line_by_line() {
        let record = json!({
            "kind": "store", "fingerprint": "0123456789abcdef", "rows": 40, "dtype": "f32", "tokens": "mean",
            "made_by": {
                "dataset": "boolq", "edits": ["zero"], "extraction": { "precision": "bf16" },
                "model": { "name": "LLaMA", "identity": "fedcba9876543210", "config": { "n_layers": 12, "dim": 64 } },
            },
        });
        let read = DataRecord::from_json(&record);
        assert_eq!(
            read.description(),
            [
                "dataset boolq",
                "model LLaMA",
                "12 blocks of width 64",
                "states at the mean of all tokens, computed in bf16 and kept in f32, of a model that was edited on the way",
                "model hash fedcba987654",
                "store 0123456789ab",
                "40 pairs"
            ]
        );
        assert_eq!(serde_json::to_value(&read).unwrap(), record);
    }

    #[test]
    fn other_sources_say_what_they_like() {
        let of = |value| DataRecord::from_json(&value).description();
        assert_eq!(of(json!({ "dataset": "mine", "model": "m", "n": 3 })), ["dataset mine", "model m"]);
        assert_eq!(
            of(json!({ "made_by": { "model": { "layout": "Meta, 2 parts" } } })),
            ["checkpoint Meta, 2 parts"]
        );
        assert!(of(json!("text")).is_empty());
        let memory = json!({ "kind": "memory", "rows": 5, "states": "abc", "made_by": null });
        assert_eq!(serde_json::to_value(DataRecord::from_json(&memory)).unwrap(), memory);
    }
}

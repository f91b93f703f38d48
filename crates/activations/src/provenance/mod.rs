//! What made the states of a store: the `settings` of its manifest, as typed fields.
//!
//! `llama-ccs extract` writes every field; another program writes those that it knows, and whatever else it likes
//! ([`Provenance::other`]). Each section is built as `Model { name, ..Model::default() }`, which stays valid when fields
//! are added.
//!
//! ```
//! use activations::provenance::{Model, ModelConfig, Provenance};
//!
//! let model = Model {
//!     name: Some("LLaMA, 6.7 billion parameters".to_owned()),
//!     config: Some(ModelConfig { n_layers: Some(32), dim: Some(4096), ..ModelConfig::default() }),
//!     ..Model::default()
//! };
//! let provenance = Provenance { model: Some(model), ..Provenance::default() };
//! let settings = serde_json::Map::from(provenance.clone()); // for `Manifest::new`
//! assert_eq!(Provenance::from(settings), provenance);
//! ```

use std::collections::BTreeMap;

use serde_json::{Map, Value};

mod data;
mod pool;
mod same;
mod section;

pub use data::{DataRecord, NamedData};
pub use same::{Caveat, Conflict};

use section::section;

section! {
    /// What made the states of a store.
    Provenance {
        /// How prompts were made chats; `None` for prompts that are none.
        chat: Chat,
        /// The names of the data sets, joined by `, `.
        dataset: String,
        /// Edits of activations, as in the edits' file; `None` for an unchanged model.
        edits: Value,
        /// How the states were computed.
        extraction: Extraction,
        /// The model.
        model: Model,
        /// What readers of reports should know about the data, in sentences: for example, that groups were guessed, or
        /// that one of them is large.
        notes: Vec<String>,
        /// Which part of a plan these rows are; `None` for all of it.
        part: Part,
        /// The names of the templates, joined by `, `; [`Provenance::template_names`] takes them apart.
        template: String,
        /// The templates that were recorded in full, by name.
        templates: BTreeMap<String, Template>,
        /// The tokenizer.
        tokenizer: Tokenizer,
        /// Versions of the programs and libraries, by name.
        versions: BTreeMap<String, String>,
    }
}

section! {
    /// A chat template, and what it was rendered with. Prompts that it rendered hold their control tokens, BOS among them:
    /// nothing is put in front of them.
    Chat {
        /// A hash of the template and the special tokens that it mentions.
        identity: String,
        /// The template's name among the tokenizer's.
        name: String,
        /// Its Jinja source.
        source: String,
        /// The special tokens that it mentions, by their names.
        tokens: BTreeMap<String, String>,
        /// The system message.
        system: String,
        /// The date and time that the template wrote into the prompts.
        date: String,
        /// Further variables of the template.
        variables: Map<String, Value>,
    }
}

/// One of the parts that a plan was divided into, for machines that do not see each other.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Which one, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// The number, in the whole plan, of each row.
    pub rows: Vec<usize>,
    /// The number, in the whole plan, of each batch.
    pub batches: Vec<usize>,
}

section! {
    /// A model.
    Model {
        /// What people call it.
        name: String,
        /// A hash of its weights and configuration: equal for equal models, whatever files they are in.
        identity: String,
        /// The layout of its files, for people.
        layout: String,
        /// The types that its weights are stored in.
        weights: String,
        /// Its configuration.
        config: ModelConfig,
        /// Something that readers of reports should know about the model.
        note: String,
    }
}

section! {
    /// A model's configuration; the keys that reports show are fields.
    ModelConfig {
        /// Blocks, L.
        n_layers: u64,
        /// Width of the residual stream, D.
        dim: u64,
    }
}

section! {
    /// A tokenizer.
    Tokenizer {
        /// A hash of all that decides how text becomes tokens.
        identity: String,
        /// How many tokens it knows.
        vocab_size: u64,
    }
}

section! {
    /// A template in full.
    Template {
        /// A hash of its text.
        identity: String,
        /// The text, in the form of the program that renders it.
        text: Value,
    }
}

section! {
    /// How states were computed, on which machine.
    Extraction {
        /// The token rules, in the order of the columns.
        tokens: Vec<String>,
        /// What the model computed in: `f32`, `bf16`, `mixed`, `f64`.
        precision: String,
        /// The kind of device that computed: `cpu`, `cuda`.
        device: String,
        /// LibTorch's threads.
        threads: u64,
        /// The instructions that LibTorch's kernels use.
        cpu_capability: String,
        /// The CPU, and the variables that choose among kernels.
        kernels: BTreeMap<String, String>,
        /// The most tokens of a batch, padding included.
        batch_tokens: u64,
        /// The side on which prompts are padded.
        padding: String,
        /// Whether what prompts begin with in common was computed once.
        sharing: bool,
        /// Whether each pair had a pass of its own.
        deterministic: bool,
        /// How many processes held one model together, where several did: sums are added up in another order then.
        tensor_parallel: u64,
        /// What the column `answer_logprob` holds.
        answer_logprob: String,
        /// What the column `answer_logprob_mean` holds.
        answer_logprob_mean: String,
    }
}

impl Provenance {
    /// Reads the settings of a manifest, or what a report or a probe records of them. Anything but an object counts as
    /// empty.
    pub fn from_json(value: &Value) -> Self {
        value.as_object().cloned().map(Self::from).unwrap_or_default()
    }

    /// Whether nothing at all is recorded.
    pub fn is_empty(&self) -> bool {
        Map::from(self.clone()).is_empty()
    }

    /// The names of the data sets.
    pub fn dataset_names(&self) -> Vec<&str> {
        names(self.dataset.as_deref())
    }

    /// The names of the templates.
    pub fn template_names(&self) -> Vec<&str> {
        let joined = self.template.as_deref();
        // A name may hold what stands between names.
        let recorded: Vec<&str> = self.templates.iter().flatten().map(|(name, _)| name.as_str()).collect();
        if joined == Some(&recorded.join(", ")) && !recorded.is_empty() { recorded } else { names(joined) }
    }

    /// The model's name.
    pub fn model_name(&self) -> Option<&str> {
        self.model.as_ref()?.name.as_deref()
    }

    /// The hash that stands for the model.
    pub fn model_identity(&self) -> Option<&str> {
        self.model.as_ref()?.identity.as_deref()
    }

    /// The hash that stands for the tokenizer.
    pub fn tokenizer_identity(&self) -> Option<&str> {
        self.tokenizer.as_ref()?.identity.as_deref()
    }

    /// What the model computed in.
    pub fn precision(&self) -> Option<&str> {
        self.extraction.as_ref()?.precision.as_deref()
    }
}

/// Names that were joined by `, `.
fn names(joined: Option<&str>) -> Vec<&str> {
    joined.into_iter().flat_map(|joined| joined.split(", ")).filter(|name| !name.is_empty()).collect()
}

/// The beginning of a hash, long enough for people to tell two apart.
pub fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

impl From<Provenance> for Value {
    fn from(provenance: Provenance) -> Self {
        Self::Object(provenance.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Provenance {
        Provenance::from_json(value)
    }

    #[test]
    fn what_no_field_holds_is_kept_and_written_as_it_was() {
        let free = json!({
            "dataset": ["a", "b"], // not text
            "edits": null,
            "extraction": { "threads": -1, "precision": "f32", "more": { "z": 1, "a": [2.5, 1e300] } },
            "model": "gpt2",
            "seed": 7,
            "templates": { "t": { "identity": "x", "text": { "source": "…" }, "author": "me" } },
            "versions": { "llama-ccs": 1 },
        });
        let provenance = read(&free);
        assert_eq!(Value::from(provenance.clone()), free);
        let keys: Vec<&str> = provenance.other.keys().map(String::as_str).collect();
        assert_eq!(keys, ["dataset", "edits", "model", "seed", "versions"].as_slice());
        assert_eq!(provenance.precision(), Some("f32"));
        let extraction = provenance.extraction.clone().unwrap_or_default();
        assert_eq!((extraction.threads, extraction.other["threads"].as_i64()), (None, Some(-1)));
        let templates = provenance.templates.clone().unwrap_or_default();
        assert_eq!(templates["t"].other["author"], "me");
        // Through text and through serde too.
        let text = serde_json::to_string(&provenance).unwrap();
        assert_eq!(serde_json::from_str::<Provenance>(&text).unwrap(), provenance);
        for nothing in [Value::Null, json!(3), json!({})] {
            assert!(read(&nothing).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn keys_are_written_sorted() {
        let model = Model { name: Some("n".to_owned()), identity: Some("i".to_owned()), ..Model::default() };
        let provenance =
            Provenance { model: Some(model), dataset: Some("d".to_owned()), ..Provenance::default() };
        let text = serde_json::to_string(&provenance).unwrap();
        assert_eq!(text, r#"{"dataset":"d","model":{"identity":"i","name":"n"}}"#);
    }

    #[test]
    fn names_are_taken_apart_unless_they_hold_what_stands_between() {
        let names = |value: Value| -> Vec<String> {
            read(&value).template_names().into_iter().map(str::to_owned).collect()
        };
        assert_eq!(names(json!({ "template": "a, b" })), ["a", "b"]);
        assert_eq!(names(json!({ "template": "a, b", "templates": { "a, b": {} } })), ["a, b"]);
        assert_eq!(names(json!({ "template": "a, b", "templates": { "b": {} } })), ["a", "b"]);
        assert!(names(json!({ "template": "" })).is_empty());
        assert!(names(json!({})).is_empty());
        assert_eq!(read(&json!({ "dataset": "boolq, imdb" })).dataset_names(), ["boolq", "imdb"]);
    }
}

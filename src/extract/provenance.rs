//! What the manifest says of how its states were made; compared when a store is continued.

use std::collections::BTreeSet;

use activations::RowKind;
use activations::provenance::{self, Model, ModelConfig, Provenance};
use boolq::Origin;
use llama_core::tch::{self, Device};
use serde_json::{Value, json};

use super::examples::Example;
use super::{Extraction, computing, plan};
use crate::error::{Error, Result};

impl Extraction<'_> {
    /// Everything that states depend on: no clock time and no path. `identity` is the checkpoint's.
    pub(super) fn provenance(
        &self,
        examples: &[Example<'_>],
        kind: RowKind,
        identity: &str,
    ) -> Result<Provenance> {
        let template = |template: &&boolq::Template| {
            let (identity, text) = (Some(template.identity()), Some(json!(template.text())));
            (template.name().to_owned(), provenance::Template { identity, text, ..Default::default() })
        };
        Ok(Provenance {
            chat: self.chat_of(examples)?,
            dataset: Some(names(examples, |origin| origin.dataset)),
            edits: self.edits.map(llama_core::Edits::to_json).transpose()?,
            extraction: Some(self.computation(kind)),
            model: Some(self.model(identity)?),
            notes: (!self.data_notes.is_empty()).then(|| self.data_notes.clone()),
            template: Some(names(examples, |origin| origin.template)),
            templates: (!self.templates.is_empty()).then(|| self.templates.iter().map(template).collect()),
            tokenizer: Some(provenance::Tokenizer {
                identity: Some(self.tokenizer.identity().to_owned()),
                vocab_size: Some(self.tokenizer.vocab_size() as u64),
                ..Default::default()
            }),
            versions: Some(
                [
                    ("llama-ccs", env!("CARGO_PKG_VERSION").to_owned()),
                    ("libtorch", torch_runtime::loaded_version()),
                ]
                .map(|(name, version)| (name.to_owned(), version))
                .into(),
            ),
            ..Provenance::default()
        })
    }

    /// How the prompts were made chats, if they are: as it was given, else what they themselves say.
    fn chat_of(&self, examples: &[Example<'_>]) -> Result<Option<provenance::Chat>> {
        let chats: BTreeSet<Option<&str>> = examples.iter().map(|example| example.origin.chat).collect();
        let [only] = Vec::from_iter(chats)[..] else { return Err(Error::MixedChats) };
        let Some(identity) = only else { return Ok(None) };
        let given = self.chat.clone().filter(|chat| chat.identity.as_deref() == Some(identity));
        let bare = || provenance::Chat { identity: Some(identity.to_owned()), ..Default::default() };
        Ok(Some(given.unwrap_or_else(bare)))
    }

    fn model(&self, identity: &str) -> Result<Model> {
        let config = match json!(self.checkpoint.config()) {
            Value::Object(config) => Some(ModelConfig::from(config)),
            _ => None,
        };
        Ok(Model {
            name: Some(format!("LLaMA, {} parameters", rounded(self.checkpoint.config().n_params()))),
            identity: Some(identity.to_owned()),
            layout: Some(self.checkpoint.layout()),
            weights: Some(self.checkpoint.stored_as()?.join(", ")),
            config,
            note: self.note.clone(),
            ..Model::default()
        })
    }

    fn computation(&self, kind: RowKind) -> provenance::Extraction {
        let of_answers = |what: &str| (kind == RowKind::Pairs).then(|| what.to_owned());
        let machine = torch_runtime::machine::kernels().into_iter();
        let kernels = machine.map(|(name, value)| (name.to_owned(), value));
        provenance::Extraction {
            tokens: Some(self.rules.iter().map(ToString::to_string).collect()),
            precision: Some(self.precision.to_string()),
            device: Some(device_name(self.device)),
            threads: Some(tch::get_num_threads() as u64),
            cpu_capability: Some(torch_runtime::cpu_capability()),
            kernels: Some(kernels.chain(computing::record(self.kernels)).collect()),
            batch_tokens: Some(self.tokens_of_batch() as u64),
            padding: Some("right".to_owned()),
            sharing: Some(self.grouping() != plan::Grouping::Prompts),
            deterministic: Some(self.deterministic),
            tensor_parallel: self.recorded_tensor_parallel(),
            answer_logprob: of_answers("sum over all tokens of the whole answer, natural logarithm"),
            answer_logprob_mean: of_answers("mean over the same tokens"),
            ..Default::default()
        }
    }
}

/// The names that examples bear, sorted, each once.
pub(super) fn names<'a>(examples: &[Example<'a>], name: fn(&Origin<'a>) -> &'a str) -> String {
    let names: BTreeSet<&str> = examples.iter().map(|example| name(&example.origin)).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// `6.7 billion`: what people call a model by.
fn rounded(parameters: i64) -> String {
    let parameters = parameters as f64;
    let (unit, name) = if parameters >= 1e9 { (1e9, "billion") } else { (1e6, "million") };
    format!("{:.1} {name}", parameters / unit)
}

/// The kind of a device: which of a host's GPUs computes changes nothing.
fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(_) => "cuda".to_owned(),
        Device::Cpu => "cpu".to_owned(),
        other => format!("{other:?}"),
    }
}

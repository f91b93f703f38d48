//! The files beside a tokenizer, which are a part of it: `tokenizer_config.json`, `special_tokens_map.json`,
//! `added_tokens.json`, and of `config.json` and `generation_config.json` what concerns tokens.
//!
//! They mean what transformers 5.24 makes of them (`PreTrainedTokenizerBase._from_pretrained`,
//! `TokenizersBackend.__init__`, `AutoTokenizer.from_pretrained`). Of `tokenizer_config.json`, these keys can change a
//! text's ids: `tokenizer_class` (else `config.json`'s), `add_bos_token` and `add_eos_token` (not beside a
//! `tokenizer.json`, whose post-processor decides), `add_prefix_space`, `legacy`, `added_tokens_decoder`, every
//! `*_token`, `additional_special_tokens`, `extra_special_tokens` and `split_special_tokens`. They are obeyed.
//! `add_eos_token`, code of one's own (`auto_map`), sampling, versions of `tokenizer.json` and `fix_mistral_regex` are
//! refused ([`Sidecars::check`]). All else (`chat_template`, `model_max_length`, `clean_up_tokenization_spaces`,
//! `use_default_system_prompt`, padding, …) changes no id. `special_tokens_map.json` and `added_tokens.json` count only
//! without `added_tokens_decoder`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::huggingface::class_tokens;
use super::keys::Keys;
use super::steps::short;
use super::{Refusal, input, refuse};
use crate::chat::ChatSource;
use crate::error::Result;

mod tokens;

pub(super) use tokens::Context;
use tokens::token;

const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

const NO_END: &str = "a LLaMA's prompt ends with its last word, and that is the token which is looked at: set \
                      add_eos_token to false";
const OTHER_FILE: &str = "give the model's own tokenizer.json";

/// A tokenizer's class in transformers, as far as it cuts text in its own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `TokenizersBackend`, once `PreTrainedTokenizerFast`: as the file says.
    Backend,
    Llama,
    CodeLlama,
    Gpt2,
    /// A class that is not known here.
    Other(String),
}

/// The sidecars; all empty where there are none.
#[derive(Default)]
pub(super) struct Sidecars {
    config: Map<String, Value>,
    /// The order of `tokenizer_config.json`'s keys, and of those in its `extra_special_tokens`.
    keys: Keys,
    special: Map<String, Value>,
    added: BTreeMap<u32, String>,
    model: ModelConfig,
    generation: ModelConfig,
    /// The files that decide ids, with their names.
    files: Vec<(&'static str, Vec<u8>)>,
}

/// What counts of `generation_config.json` and `config.json`.
#[derive(Default, Deserialize)]
struct ModelConfig {
    model_type: Option<String>,
    tokenizer_class: Option<String>,
    eos_token_id: Option<Ids>,
}

/// Signed: some files say −1 for none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(i64),
    Several(Vec<i64>),
}

impl Ids {
    fn tokens(&self) -> Vec<u32> {
        let ids = match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Several(ids) => ids,
        };
        ids.iter().filter_map(|id| u32::try_from(*id).ok()).collect()
    }
}

impl Sidecars {
    /// Reads what lies in a folder.
    pub(super) fn read(folder: Option<&Path>) -> Result<Self> {
        let mut read = Self::default();
        let Some(folder) = folder else { return Ok(read) };
        if let Some((config, bytes)) = sidecar(folder, CONFIG)? {
            (read.config, read.keys) = (config, json(folder, CONFIG, &bytes)?);
            read.files.push((CONFIG, bytes));
        }
        if read.config.get("added_tokens_decoder").is_none() {
            if let Some((special, bytes)) = sidecar(folder, SPECIAL)? {
                read.special = special;
                read.files.push((SPECIAL, bytes));
            }
            if let Some((added, bytes)) = sidecar::<BTreeMap<String, u32>>(folder, ADDED)? {
                read.added = added.into_iter().map(|(token, id)| (id, token)).collect();
                read.files.push((ADDED, bytes));
            }
        }
        read.model = sidecar(folder, "config.json")?.map(|(model, _)| model).unwrap_or_default();
        read.generation =
            sidecar(folder, "generation_config.json")?.map(|(model, _)| model).unwrap_or_default();
        Ok(read)
    }

    /// Where the chat templates are, with the special tokens that they may write: what transformers calls
    /// `special_tokens_map`.
    pub(super) fn chat(&self, path: &Path, folder: Option<&Path>) -> ChatSource {
        let mut tokens: BTreeMap<String, String> =
            class_tokens(&self.class()).into_iter().map(|(key, token)| (key.to_owned(), token)).collect();
        let named = self.special.iter().chain(&self.config).map(|(key, _)| key.as_str());
        for key in named.filter(|key| key.ends_with("_token")) {
            match self.special_token(key) {
                Ok(Some(Some(token))) => drop(tokens.insert(key.to_owned(), token.content)),
                Ok(Some(None)) => drop(tokens.remove(key)),
                // `add_bos_token` and its like.
                Ok(None) | Err(_) => {}
            }
        }
        ChatSource {
            path: path.to_owned(),
            folder: folder.map(Path::to_owned),
            config: self.config.get("chat_template").cloned(),
            metadata: Vec::new(),
            tokens,
        }
    }

    /// Whether there is a file that says something of the tokenizer.
    pub(super) fn any(&self) -> bool {
        !self.files.is_empty()
    }

    /// The bytes that decide ids, the tokenizer's own first.
    pub(super) fn parts<'a>(&'a self, own: &'a [u8]) -> Vec<&'a [u8]> {
        let mut parts = vec![own];
        for (name, bytes) in &self.files {
            if *name != CONFIG {
                parts.push(name.as_bytes());
            }
            parts.push(bytes);
        }
        if self.model.model_type.as_deref().is_some_and(|kind| kind != "llama") || self.class_elsewhere() {
            parts.push(match self.class() {
                Class::Backend => b"TokenizersBackend",
                _ => b"its own class",
            });
        }
        parts
    }

    fn class_elsewhere(&self) -> bool {
        self.config.get("tokenizer_class").is_none() && self.model.tokenizer_class.is_some()
    }

    /// The class, where it counts: a model of another type than LLaMA has the backend's.
    pub(super) fn class(&self) -> Class {
        let declared = self.config.get("tokenizer_class").and_then(Value::as_str);
        let declared = declared.or(self.model.tokenizer_class.as_deref()).unwrap_or_default();
        if !matches!(self.model.model_type.as_deref(), None | Some("llama")) {
            return Class::Backend;
        }
        match declared.strip_suffix("Fast").unwrap_or(declared) {
            // The last is what conversions of the first days wrote; no transformers has such a class.
            "" | "TokenizersBackend" | "PreTrainedTokenizer" | "PythonBackend" | "LLaMATokenizer" => {
                Class::Backend
            }
            "LlamaTokenizer" => Class::Llama,
            "CodeLlamaTokenizer" => Class::CodeLlama,
            "GPT2Tokenizer" => Class::Gpt2,
            other => Class::Other(other.to_owned()),
        }
    }

    /// Refuses what is asked for and not done. Beside a `tokenizer.json`, `add_eos_token` does not count.
    pub(super) fn check(&self, beside_json: bool) -> Result<(), Refusal> {
        if !beside_json && self.flag("add_eos_token")? == Some(true) {
            return Err(Refusal::new(format!("{CONFIG}: add_eos_token wants EOS after every text"), NO_END));
        }
        let names_code = self
            .config
            .get("auto_map")
            .is_some_and(|map| map.get("AutoTokenizer").is_some() || map.is_array());
        if names_code && matches!(self.class(), Class::Other(_)) {
            let reason = format!("{CONFIG}: auto_map names code of the model's own, which is not run");
            return Err(Refusal::new(reason, OTHER_FILE));
        }
        let asks = |key: &str, asked: bool| {
            let refused =
                || Refusal::new(format!("{CONFIG}: {key} asks for what is not done here"), OTHER_FILE);
            if asked { Err(refused()) } else { Ok(()) }
        };
        let versions = self.config.get("fast_tokenizer_files").and_then(Value::as_array);
        asks(
            "fast_tokenizer_files",
            versions.is_some_and(|names| names.iter().any(|name| name != "tokenizer.json")),
        )?;
        let sampling = self.config.get("sp_model_kwargs").and_then(|kwargs| kwargs.get("enable_sampling"));
        asks("sp_model_kwargs (enable_sampling)", sampling.is_some_and(|on| on != false))?;
        let inputs = self.config.get("init_inputs").and_then(Value::as_array);
        asks("init_inputs", inputs.is_some_and(|inputs| !inputs.is_empty()))?;
        asks("fix_mistral_regex", self.flag("fix_mistral_regex")? == Some(true))
    }

    /// `null` is as good as nothing, as it is in Python.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        match self.config.get(key) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(false)),
            Some(Value::Bool(on)) => Ok(Some(*on)),
            Some(other) => {
                Err(format!("{CONFIG}: {key} is {}, not true or false", short(&other.to_string())).into())
            }
        }
    }

    /// `add_prefix_space`; `null` means its default.
    pub(super) fn prefix_space(&self) -> Result<Option<bool>, Refusal> {
        if self.config.get("add_prefix_space").is_some_and(Value::is_null) {
            return Ok(None);
        }
        self.flag("add_prefix_space")
    }

    /// The name of a special token, given its default.
    pub(super) fn name(&self, key: &str, default: Option<&str>) -> Result<Option<String>, Refusal> {
        match self.special_token(key)? {
            None => Ok(default.map(str::to_owned)),
            Some(token) => Ok(token.map(|token| token.content)),
        }
    }

    /// BOS where `add_bos_token` asks for it.
    pub(super) fn bos(
        &self,
        default: Option<&str>,
        added_unless_said: bool,
    ) -> Result<Option<String>, Refusal> {
        let said = self.flag("add_bos_token")?;
        if said.is_none() && !added_unless_said {
            tracing::warn!(
                "no token is put in front of texts: {CONFIG} does not say add_bos_token, which transformers 5 takes for \
                 false; transformers 4 put BOS in front for a LlamaTokenizer"
            );
        }
        if said.unwrap_or(added_unless_said) { self.name("bos_token", default) } else { Ok(None) }
    }

    /// The tokens at which generation stops: the model's, else the tokenizer's.
    pub(super) fn eos(&self, find: &dyn Fn(&str) -> Option<u32>) -> Option<Vec<u32>> {
        let stated = self.generation.eos_token_id.as_ref().or(self.model.eos_token_id.as_ref());
        let named = || Some(vec![find(&self.name("eos_token", None).ok()??)?]);
        stated.map(Ids::tokens).or_else(named)
    }

    /// A special token by its key; the outer `None` where no file says anything of it.
    #[allow(clippy::option_option)] // a file may say that there is none
    fn special_token(&self, key: &str) -> Result<Option<Option<AddedToken>>, Refusal> {
        match (self.special.get(key), self.config.get(key)) {
            (Some(value), _) => token(key, value, true).map(Some),
            (None, Some(value)) => token(key, value, false).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// A file in the folder, if it is there.
fn sidecar<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<(T, Vec<u8>)>> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = input::read(&path, input::MOST_SIDECAR)?;
    Ok(Some((json(folder, name, &bytes)?, bytes)))
}

fn json<T: DeserializeOwned>(folder: &Path, name: &str, bytes: &[u8]) -> Result<T> {
    let hint = "copy the file anew from where the model came from; without it, the tokenizer's own file alone counts";
    serde_json::from_slice(bytes).map_err(|e| refuse(&folder.join(name), Refusal::new(e.to_string(), hint)))
}

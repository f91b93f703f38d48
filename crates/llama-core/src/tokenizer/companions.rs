//! The files beside a tokenizer, which are a part of it: `tokenizer_config.json`, `special_tokens_map.json`,
//! `added_tokens.json`, and of `config.json` and `generation_config.json` what concerns tokens.
//!
//! They mean what transformers 5.24 makes of them (`PreTrainedTokenizerBase._from_pretrained`,
//! `TokenizersBackend.__init__`, `AutoTokenizer.from_pretrained`). Of `tokenizer_config.json`, these keys can change a
//! text's ids: `tokenizer_class` (else `config.json`'s), `add_bos_token` and `add_eos_token` (not beside a
//! `tokenizer.json`, whose post-processor decides), `add_prefix_space`, `legacy`, `added_tokens_decoder`, every
//! `*_token`, `additional_special_tokens`, `extra_special_tokens` and `split_special_tokens`. They are obeyed.
//! `add_eos_token`, code of one's own (`auto_map`), sampling, versions of `tokenizer.json` and `fix_mistral_regex` are
//! refused ([`Companions::check`]). All else (`chat_template`, `model_max_length`, `clean_up_tokenization_spaces`,
//! `use_default_system_prompt`, padding, …) changes no id. `special_tokens_map.json` and `added_tokens.json` count only
//! without `added_tokens_decoder`.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::bpe::Added;
use super::keys::Keys;
use super::steps::short;
use super::{Refusal, input, refuse};
use crate::error::Result;

/// The special tokens with names of their own, in transformers' order (`SPECIAL_TOKENS_ATTRIBUTES`).
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A model of images and sounds has a dozen.
const MOST_NAMED: usize = 1000;

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

/// What the tokenizer's own file says of special tokens, before its companions do.
#[derive(Default)]
pub(super) struct Context {
    /// The file's added tokens.
    pub(super) own: Vec<Added>,
    /// Whether the class makes a tokenizer anew, so that the file's added tokens count as its companions' do.
    pub(super) anew: bool,
    /// Named tokens that hold unless a companion says otherwise.
    pub(super) named: Vec<(&'static str, String)>,
    /// Further special tokens, unless `extra_special_tokens` names some.
    pub(super) extra: Vec<AddedToken>,
    /// Whether `added_tokens_decoder`'s tokens are looked for in the text as it stands, whatever they say.
    pub(super) raw: bool,
}

/// The companions; all empty where there are none.
#[derive(Default)]
pub(super) struct Companions {
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

impl Companions {
    /// Reads what lies in a folder.
    pub(super) fn read(folder: Option<&Path>) -> Result<Self> {
        let mut read = Self::default();
        let Some(folder) = folder else { return Ok(read) };
        if let Some((config, bytes)) = beside(folder, CONFIG)? {
            (read.config, read.keys) = (config, json(folder, CONFIG, &bytes)?);
            read.files.push((CONFIG, bytes));
        }
        if read.config.get("added_tokens_decoder").is_none() {
            if let Some((special, bytes)) = beside(folder, SPECIAL)? {
                read.special = special;
                read.files.push((SPECIAL, bytes));
            }
            if let Some((added, bytes)) = beside::<BTreeMap<String, u32>>(folder, ADDED)? {
                read.added = added.into_iter().map(|(token, id)| (id, token)).collect();
                read.files.push((ADDED, bytes));
            }
        }
        read.model = beside(folder, "config.json")?.map(|(model, _)| model).unwrap_or_default();
        read.generation =
            beside(folder, "generation_config.json")?.map(|(model, _)| model).unwrap_or_default();
        Ok(read)
    }

    /// Whether there is a file that says something of the tokenizer.
    pub(super) fn speak(&self) -> bool {
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
        match self.said(key)? {
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
    fn said(&self, key: &str) -> Result<Option<Option<AddedToken>>, Refusal> {
        match (self.special.get(key), self.config.get(key)) {
            (Some(value), _) => token(key, value, true).map(Some),
            (None, Some(value)) => token(key, value, false).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// `added_tokens_decoder`.
    fn decoder(&self) -> Result<Option<BTreeMap<u32, AddedToken>>, Refusal> {
        let Some(decoder) = self.config.get("added_tokens_decoder") else { return Ok(None) };
        let refused = |e: String| Refusal::from(format!("{CONFIG}: added_tokens_decoder: {e}"));
        let decoder: BTreeMap<u32, Value> =
            Deserialize::deserialize(decoder).map_err(|e| refused(e.to_string()))?;
        let with_id = |(id, value): (u32, Value)| {
            let found = token("a token", &value, false).map_err(|refusal| refused(refusal.reason))?;
            found.map(|token| (id, token)).ok_or_else(|| refused(format!("{id} has no token")))
        };
        decoder.into_iter().map(with_id).collect::<Result<_, _>>().map(Some)
    }

    /// The ids that `added_tokens_decoder` gives names to.
    pub(super) fn renames(&self) -> Result<BTreeMap<u32, AddedToken>, Refusal> {
        Ok(self.decoder()?.unwrap_or_default())
    }

    /// All tokens that are looked for in a text, in the order in which they get their ids.
    pub(super) fn added(&self, context: &Context) -> Result<Vec<Added>, Refusal> {
        let named = self.named(context)?;
        let names: HashSet<&str> = named.iter().map(|token| token.content.as_str()).collect();
        let listed = self.listed(context)?;
        let mut all = if context.anew { Vec::new() } else { context.own.clone() };
        let own: HashSet<_> = all.iter().map(|added| settings(&added.token)).collect();
        let mut known: HashSet<String> = all.iter().map(|added| added.token.content.clone()).collect();
        for (id, mut token) in listed {
            if own.contains(&settings(&token)) {
                continue;
            }
            token.special |= names.contains(token.content.as_str());
            token.normalized &= !context.raw;
            known.insert(token.content.clone());
            all.push(Added { id: Some(id), token });
        }
        let special = |mut token: AddedToken| {
            token.special = true;
            token
        };
        for token in named.iter().cloned().map(special).chain(self.extra(context)?) {
            if known.insert(token.content.clone()) {
                all.push(Added { id: None, token });
            }
        }
        Ok(all)
    }

    /// Tokens with ids: `added_tokens_decoder`, else `added_tokens.json` and the tokenizer's own.
    fn listed(&self, context: &Context) -> Result<BTreeMap<u32, AddedToken>, Refusal> {
        if let Some(decoder) = self.decoder()? {
            return Ok(decoder);
        }
        let mut special = self.unnamed()?.unwrap_or_default();
        for key in NAMED {
            special.extend(self.said(key)?.flatten());
        }
        let special: HashSet<&str> = special.iter().map(|token| token.content.as_str()).collect();
        let with_id = |(id, name): (&u32, &String)| {
            (*id, AddedToken::from(name.as_str(), special.contains(name.as_str())))
        };
        let added = self.added.iter().map(with_id);
        let own = context.own.iter().filter_map(|own| Some((own.id?, own.token.clone())));
        Ok(added.chain(own).collect())
    }

    /// The special tokens with names: transformers' seven, then those of the class, then the file's own.
    fn named(&self, context: &Context) -> Result<Vec<AddedToken>, Refusal> {
        let default =
            |key: &str| context.named.iter().find(|(name, _)| *name == key).map(|(_, token)| token.as_str());
        let mut named = Vec::new();
        for key in NAMED {
            let token = match self.said(key)? {
                Some(token) => token,
                None => default(key).map(|name| AddedToken::from(name, true)),
            };
            named.extend(token.map(|token| (key, token)));
        }
        let of_class = context.named.iter().filter(|(key, _)| !NAMED.contains(key));
        named.extend(of_class.map(|(key, name)| (*key, AddedToken::from(name.as_str(), true))));
        let is_token = |value: &&Value| value.is_string() || value.is_object();
        let own = self.keys.top().filter(|key| key.ends_with("_token") && !NAMED.contains(key));
        let own = own.filter_map(|key| Some((key, self.config.get(key).filter(is_token)?)));
        let extra = self.config.get("extra_special_tokens").and_then(Value::as_object);
        let extra = self.keys.extra().filter_map(|key| Some((key, extra?.get(key)?)));
        for (key, value) in own.chain(extra) {
            let Some(token) = token(key, value, false)? else { continue };
            match named.iter().position(|(known, _)| *known == key) {
                Some(place) => named[place].1 = token,
                None => named.push((key, token)),
            }
            if named.len() > MOST_NAMED {
                return Err(format!("{CONFIG}: more than {MOST_NAMED} special tokens with names").into());
            }
        }
        Ok(named.into_iter().map(|(_, token)| token).collect())
    }

    /// Special tokens without names.
    fn extra(&self, context: &Context) -> Result<Vec<AddedToken>, Refusal> {
        match self.unnamed()? {
            Some(extra) => Ok(extra),
            // A SentencePiece model's own control tokens take the place of the map's.
            None if !context.extra.is_empty() => Ok(context.extra.clone()),
            None => Ok(list(&self.special, "additional_special_tokens")?.unwrap_or_default()),
        }
    }

    /// `extra_special_tokens`, or `additional_special_tokens` where the former is empty.
    fn unnamed(&self) -> Result<Option<Vec<AddedToken>>, Refusal> {
        let mut extra = match list(&self.config, "extra_special_tokens")? {
            Some(extra) => Some(extra),
            None => list(&self.config, "additional_special_tokens")?,
        };
        if let Some(more) = list(&self.special, "extra_special_tokens")? {
            extra.get_or_insert_default().extend(more);
        }
        Ok(extra)
    }
}

/// A list of tokens; `None` where there is none or none in it.
fn list(map: &Map<String, Value>, key: &str) -> Result<Option<Vec<AddedToken>>, Refusal> {
    match map.get(key) {
        None | Some(Value::Null | Value::Object(_)) => Ok(None),
        Some(Value::Array(tokens)) if tokens.is_empty() => Ok(None),
        Some(Value::Array(tokens)) => {
            let tokens =
                tokens.iter().map(|value| token(key, value, false)).collect::<Result<Vec<_>, _>>()?;
            Ok(Some(tokens.into_iter().flatten().collect()))
        }
        Some(other) => Err(format!("{key} is {}, not a list of tokens", short(&other.to_string())).into()),
    }
}

/// A token with its flags; the crate's equality looks at the text alone.
fn settings(token: &AddedToken) -> (String, [bool; 5]) {
    let flags = [token.single_word, token.lstrip, token.rstrip, token.normalized, token.special];
    (token.content.clone(), flags)
}

/// A token's text, or its text among its settings; nothing for `null`. A text alone is special.
fn token(key: &str, value: &Value, special: bool) -> Result<Option<AddedToken>, Refusal> {
    #[derive(Deserialize)]
    struct Written {
        content: String,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        normalized: Option<bool>,
        special: Option<bool>,
    }
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(AddedToken::from(text.as_str(), true))),
        object => {
            let written = Written::deserialize(object).map_err(|e| format!("{key}: not a token ({e})"))?;
            let special = special || written.special.unwrap_or(false);
            let token = AddedToken::from(written.content, special)
                .single_word(written.single_word)
                .lstrip(written.lstrip)
                .rstrip(written.rstrip)
                .normalized(written.normalized.unwrap_or(!special));
            Ok(Some(token))
        }
    }
}

/// A file in the folder, if it is there.
fn beside<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<(T, Vec<u8>)>> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = input::read(&path, input::MOST_BESIDE)?;
    Ok(Some((json(folder, name, &bytes)?, bytes)))
}

fn json<T: DeserializeOwned>(folder: &Path, name: &str, bytes: &[u8]) -> Result<T> {
    let hint = "copy the file anew from where the model came from; without it, the tokenizer's own file alone counts";
    serde_json::from_slice(bytes).map_err(|e| refuse(&folder.join(name), Refusal::new(e.to_string(), hint)))
}

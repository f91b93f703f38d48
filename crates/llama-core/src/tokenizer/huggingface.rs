//! Hugging Face's `tokenizer.json` and the files beside it.
//!
//! What it means is what transformers 5.23 makes of it. Three things there are not in the file: the class named in
//! `tokenizer_config.json` may cut text in its own way ([`rebuild`]); the tokens that `tokenizer_config.json` names are
//! found in texts too; `generation_config.json`, else `config.json`, says where generation stops. Truncation and
//! padding do not apply. Other than in transformers, named tokens that are not in the vocabulary (often a padding
//! token) are not added to it: the model has no embedding for them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::bpe::{Bpe, Parts};
use super::{Engine, Refusal, Tokenizer, identity, post_processor, refuse};
use crate::error::Result;

/// Steps that a LLaMA's `tokenizer.json` is made of, out of those the `tokenizers` crate knows. `Precompiled`
/// normalisers and the untyped forms of old files make it panic; the rest belongs to other models.
const NORMALIZERS: &[&str] =
    &["Sequence", "Prepend", "Replace", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip"];
const PRE_TOKENIZERS: &[&str] = &[
    "Sequence",
    "Split",
    "ByteLevel",
    "Metaspace",
    "Digits",
    "Punctuation",
    "Whitespace",
    "WhitespaceSplit",
];
const DECODERS: &[&str] = &["Sequence", "ByteLevel", "Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"];

/// `tokenizer.json`.
#[derive(Deserialize)]
struct File {
    version: Option<String>,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: Value,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

/// The `model` of a `tokenizer.json`.
#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    dropout: Option<f32>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

/// What counts of `tokenizer_config.json`.
#[derive(Default, Deserialize)]
struct Config {
    tokenizer_class: Option<String>,
    add_bos_token: Option<bool>,
    add_prefix_space: Option<bool>,
    legacy: Option<bool>,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<u32, AddedToken>,
    bos_token: Option<Named>,
    eos_token: Option<Named>,
    unk_token: Option<Named>,
    pad_token: Option<Named>,
}

/// A token's name, or its name among its settings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Text(String),
    Token { content: String },
}

impl Named {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Token { content: text } => text,
        }
    }
}

/// What counts of `generation_config.json` and `config.json`.
#[derive(Default, Deserialize)]
struct ModelConfig {
    model_type: Option<String>,
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
    fn into_tokens(self) -> Vec<u32> {
        let ids = match self {
            Self::One(id) => vec![id],
            Self::Several(ids) => ids,
        };
        ids.into_iter().filter_map(|id| u32::try_from(id).ok()).collect()
    }
}

/// Whether a file is a JSON object. (A SentencePiece model begins with a line feed and may have a brace after it.)
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let mut visible = bytes.iter().filter(|b| !b.is_ascii_whitespace());
    visible.next() == Some(&b'{') && matches!(visible.next(), Some(b'"' | b'}') | None)
}

/// Reads `tokenizer.json` and, if there is a folder, the files beside it.
pub(super) fn read(bytes: &[u8], path: &Path, folder: Option<&Path>) -> Result<Tokenizer> {
    let (config, config_bytes): (Config, _) = beside(folder, "tokenizer_config.json")?;
    let (model, _): (ModelConfig, _) = beside(folder, "config.json")?;
    let (generation, _): (ModelConfig, _) = beside(folder, "generation_config.json")?;
    let parts: Vec<&[u8]> = std::iter::once(bytes).chain(config_bytes.as_deref()).collect();
    let identity = identity(&parts);
    let made = File::parse(bytes).and_then(|file| file.into_tokenizer(&config, model, generation, identity));
    made.map_err(|refusal| refuse(path, refusal))
}

/// A file beside the tokenizer, if it is there; an empty one otherwise.
fn beside<T: Default + DeserializeOwned>(folder: Option<&Path>, name: &str) -> Result<(T, Option<Vec<u8>>)> {
    let Some(path) = folder.map(|folder| folder.join(name)).filter(|path| path.is_file()) else {
        return Ok((T::default(), None));
    };
    let bytes = fs_err::read(&path)?;
    match serde_json::from_slice(&bytes) {
        Ok(parsed) => Ok((parsed, Some(bytes))),
        Err(e) => {
            let hint =
                "copy the file anew from where the model came from; without it, tokenizer.json alone counts";
            Err(refuse(&path, Refusal::new(e.to_string(), hint)))
        }
    }
}

impl File {
    fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let file: Self = serde_json::from_slice(bytes)
            .map_err(|e| format!("not a tokenizer.json of Hugging Face ({e})"))?;
        match file.version.as_deref() {
            None | Some("1.0") => Ok(file),
            Some(other) => Err(format!("tokenizer.json of version {other:?}; 1.0 is known").into()),
        }
    }

    fn into_tokenizer(
        mut self,
        config: &Config,
        model: ModelConfig,
        generation: ModelConfig,
        identity: String,
    ) -> Result<Tokenizer, Refusal> {
        let class = class(config, model.model_type.as_deref());
        // This class has BOS of its own and never asks the post-processor.
        let own_bos =
            (class == "CodeLlamaTokenizer").then(|| config.bos_token.as_ref().map_or("<s>", Named::text));
        let mut prefix = match own_bos {
            Some(_) => Vec::new(),
            None => post_processor::prefix(&self.post_processor)?,
        };
        rebuild(&mut self, config, class);
        let (engine, pieces) = Bpe::new(self.into_parts(config)?)?;
        let ids: HashMap<&str, u32> = pieces.iter().map(String::as_str).zip(0..).collect();
        let missing = |what: &str| {
            Refusal::new(
                format!("BOS comes before every text, and {what} is not in the vocabulary"),
                "tokenizer.json and tokenizer_config.json belong to different models, or one of them is damaged",
            )
        };
        let exists = |id: u32| pieces.get(id as usize).is_some_and(|piece| !piece.is_empty());
        if let Some(id) = prefix.iter().find(|id| !exists(**id)) {
            return Err(missing(&format!("id {id} (post_processor)")));
        }
        if let Some(bos) = own_bos {
            prefix.push(*ids.get(bos).ok_or_else(|| missing(&format!("{bos:?} (bos_token)")))?);
        }
        if config.add_bos_token == Some(true) {
            let bos = config.bos_token.as_ref().map(Named::text);
            if let Some(bos) = bos.filter(|bos| !ids.contains_key(bos)) {
                return Err(missing(&format!("{bos:?} (bos_token)")));
            }
        }
        let stated = generation.eos_token_id.or(model.eos_token_id);
        let named = || config.eos_token.as_ref().and_then(|eos| ids.get(eos.text()).copied());
        let mut eos = match stated {
            Some(ids) => ids.into_tokens(),
            None => named().into_iter().collect(),
        };
        eos.retain(|id| exists(*id));
        Ok(Tokenizer { engine: Engine::Bpe(Box::new(engine)), pieces, prefix, eos, identity, padded: true })
    }

    fn into_parts(self, config: &Config) -> Result<Parts, Refusal> {
        let byte_level =
            [&self.normalizer, &self.pre_tokenizer, &self.decoder].iter().any(|s| has(s, "ByteLevel"));
        let model = model(self.model)?;
        let added = added(self.added_tokens, &model.vocab, config);
        Ok(Parts {
            vocab: model.vocab.into_iter().collect(),
            merges: model.merges.into_iter().map(pair).collect::<Result<_, _>>()?,
            ignore_merges: model.ignore_merges,
            byte_fallback: model.byte_fallback,
            fuse_unknown: model.fuse_unk,
            unknown: model.unk_token,
            normalizer: step("normalizer", self.normalizer, NORMALIZERS)?,
            pre_tokenizer: step("pre_tokenizer", self.pre_tokenizer, PRE_TOKENIZERS)?,
            decoder: step("decoder", self.decoder, DECODERS)?,
            added,
            byte_level,
        })
    }
}

fn model(value: Value) -> Result<Model, Refusal> {
    match value.get("type") {
        None => {}
        Some(kind) if kind == "BPE" => {}
        Some(kind) => {
            return Err(format!("a tokenizer.json with a model of type {kind}; LLaMA's are BPE").into());
        }
    }
    let model: Model = serde_json::from_value(value).map_err(|e| format!("model: {e}"))?;
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err("model: it cuts text at random (dropout)".into());
    }
    for (key, affix) in [
        ("continuing_subword_prefix", &model.continuing_subword_prefix),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ] {
        if affix.as_ref().is_some_and(|affix| !affix.is_empty()) {
            return Err(format!("model: {key} {affix:?} is not LLaMA's").into());
        }
    }
    Ok(model)
}

fn pair(merge: Merge) -> Result<(String, String), Refusal> {
    match merge {
        Merge::Pair(left, right) => Ok((left, right)),
        Merge::Line(line) => match line.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
            _ => Err(format!("model: the merge {line:?} is not two tokens").into()),
        },
    }
}

/// The tokens found in a text before it is cut: `tokenizer.json`'s, changed and completed by `tokenizer_config.json`.
fn added(file: Vec<Added>, vocab: &HashMap<String, u32>, config: &Config) -> Vec<(u32, AddedToken)> {
    let mut added: Vec<_> = file.into_iter().map(|Added { id, token }| (id, token)).collect();
    for (id, token) in &config.added_tokens_decoder {
        match added.iter_mut().find(|(_, known)| known.content == token.content) {
            Some((_, known)) => known.clone_from(token),
            None => added.push((*id, token.clone())),
        }
    }
    let named = [&config.bos_token, &config.eos_token, &config.unk_token, &config.pad_token];
    for name in named.into_iter().flatten().map(Named::text) {
        if let Some((_, known)) = added.iter_mut().find(|(_, known)| known.content == name) {
            known.special = true;
        } else if let Some(id) = vocab.get(name) {
            added.push((*id, AddedToken::from(name, true)));
        }
    }
    added
}

/// The class that `tokenizer_config.json` names, where it counts.
fn class<'a>(config: &'a Config, model_type: Option<&str>) -> &'a str {
    let class = config.tokenizer_class.as_deref().unwrap_or_default();
    let class = class.strip_suffix("Fast").unwrap_or(class);
    if matches!(model_type, None | Some("llama")) { class } else { "" }
}

/// Puts in the steps of the class that `tokenizer_config.json` names, where transformers does so.
///
/// transformers 5 takes vocabulary, merges, added tokens and post-processor from the file and everything else from the
/// class. A byte-level file that says `LlamaTokenizer`, as some LLaMA 3 fine-tunes do, is taken as it is.
fn rebuild(file: &mut File, config: &Config, class: &str) {
    let byte_level = [&file.normalizer, &file.pre_tokenizer, &file.post_processor, &file.decoder]
        .iter()
        .any(|step| has(step, "ByteLevel"));
    let prefix_space = config.add_prefix_space;
    let unknown = config.unk_token.as_ref().map_or("<unk>", Named::text);
    match class {
        "LlamaTokenizer" if !byte_level => {
            let always = config.legacy == Some(true);
            metaspace(file, prefix_space.unwrap_or(true), if always { "always" } else { "first" }, None);
        }
        "CodeLlamaTokenizer" => metaspace(file, prefix_space.unwrap_or(true), "first", Some(unknown)),
        "GPT2Tokenizer" => {
            let space = prefix_space.unwrap_or(false);
            let step = json!({ "type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true, "use_regex": true });
            file.normalizer = Value::Null;
            file.pre_tokenizer = step.clone();
            file.decoder = step;
            set_model(file, false, None);
        }
        _ => {}
    }
}

/// SentencePiece's way in `tokenizers`' terms: spaces become ▁, unknown characters bytes.
fn metaspace(file: &mut File, prefix_space: bool, scheme: &str, unknown: Option<&str>) {
    let scheme = if prefix_space { scheme } else { "never" };
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix_space {
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    file.normalizer = Value::Null;
    file.pre_tokenizer =
        json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false });
    file.decoder = json!({ "type": "Sequence", "decoders": decoders });
    set_model(file, true, unknown);
}

fn set_model(file: &mut File, fallback: bool, unknown: Option<&str>) {
    if let Value::Object(model) = &mut file.model {
        model.insert("byte_fallback".to_owned(), json!(fallback));
        model.insert("fuse_unk".to_owned(), json!(fallback));
        model.insert("ignore_merges".to_owned(), json!(false));
        model.insert("unk_token".to_owned(), json!(unknown));
    }
}

/// Whether a step, or one inside it, is of a type.
fn has(step: &Value, kind: &str) -> bool {
    match step {
        Value::Object(fields) => {
            fields.get("type").is_some_and(|t| t == kind) || fields.values().any(|v| has(v, kind))
        }
        Value::Array(steps) => steps.iter().any(|step| has(step, kind)),
        _ => false,
    }
}

/// A step of the `tokenizers` crate, every type in it being one of those known.
fn step<T: DeserializeOwned>(name: &str, value: Value, known: &[&str]) -> Result<Option<T>, Refusal> {
    if value.is_null() {
        return Ok(None);
    }
    check_step(&value, known).map_err(|reason| format!("{name}: {reason}"))?;
    serde_json::from_value(value).map(Some).map_err(|e| format!("{name}: {e}").into())
}

fn check_step(step: &Value, known: &[&str]) -> Result<(), String> {
    let kind = step.get("type").and_then(Value::as_str).ok_or("a step without type")?;
    if !known.contains(&kind) {
        return Err(format!("{kind} is not one of {}", known.join(", ")));
    }
    match kind {
        "Sequence" => {
            let steps = ["normalizers", "pretokenizers", "decoders"].iter().find_map(|key| step.get(key));
            let steps = steps.and_then(Value::as_array).ok_or("a Sequence without steps")?;
            steps.iter().try_for_each(|step| check_step(step, known))
        }
        // The crate's decoder counts back from the token's end without looking whether there is one.
        "Strip" if step.get("stop").and_then(Value::as_u64).is_some_and(|stop| stop > 0) => {
            Err("Strip at the end of tokens is not LLaMA's".to_owned())
        }
        "Replace" => match step.get("pattern").and_then(|p| p.get("String")).and_then(Value::as_str) {
            Some(text) if !text.is_empty() => Ok(()),
            _ => Err("Replace is known for a text that is not empty".to_owned()),
        },
        _ => Ok(()),
    }
}

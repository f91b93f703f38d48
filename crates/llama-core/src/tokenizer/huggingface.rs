//! Hugging Face's `tokenizer.json`.
//!
//! What it means is what transformers 5.24 makes of it. Three things there are not in the file: the class named in
//! `tokenizer_config.json` may cut text in its own way ([`as_class`]); the tokens that its sidecars name are found in
//! texts too ([`Sidecars::added`]); `generation_config.json`, else `config.json`, says where generation stops.
//! Truncation and padding do not apply.

use std::collections::HashMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokenizers::AddedToken;
use tokenizers::decoders::DecoderWrapper;

use super::bpe::{Added, Bpe, Built, Parts};
use super::json_steps::{changes, check_decoder, cuts, has};
use super::sidecars::{Class, Context, Sidecars};
use super::steps::short;
use super::{Engine, Refusal, Tokenizer, identity, post_processor};

/// `tokenizer.json`.
#[derive(Deserialize)]
struct File {
    version: Option<String>,
    #[serde(default)]
    added_tokens: Vec<Listed>,
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
struct Listed {
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

/// Whether a file is a JSON object. (A SentencePiece model begins with a line feed and may have a brace after it.)
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let mut visible = bytes.iter().filter(|b| !b.is_ascii_whitespace());
    visible.next() == Some(&b'{') && matches!(visible.next(), Some(b'"' | b'}') | None)
}

/// Reads `tokenizer.json`.
pub(super) fn read(bytes: &[u8], sidecars: &Sidecars) -> Result<Tokenizer, Refusal> {
    sidecars.check(true)?;
    File::parse(bytes)?.into_tokenizer(sidecars, identity(&sidecars.parts(bytes)))
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

    fn into_tokenizer(self, sidecars: &Sidecars, identity: String) -> Result<Tokenizer, Refusal> {
        let class = self.class(sidecars);
        // This class has BOS of its own and never asks the post-processor.
        let own_bos = if class == Class::CodeLlama { sidecars.name("bos_token", Some("<s>"))? } else { None };
        let mut prefix = match class {
            Class::CodeLlama => Vec::new(),
            _ => post_processor::prefix(&self.post_processor)?,
        };
        let mut parts = self.into_parts(sidecars, &class)?;
        parts.split_special = sidecars.flag("split_special_tokens")?.unwrap_or(false);
        let Built { engine, pieces, ordinary } = Bpe::build(parts)?;
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
            prefix.push(*ids.get(bos.as_str()).ok_or_else(|| missing(&format!("{bos:?} (bos_token)")))?);
        }
        let mut eos = sidecars.eos(&|name| ids.get(name).copied()).unwrap_or_default();
        eos.retain(|id| exists(*id));
        Ok(Tokenizer::new(Engine::Bpe(Box::new(engine)), pieces, prefix, eos, identity, ordinary))
    }

    /// The class that counts. A byte-level file that says `LlamaTokenizer`, as some LLaMA 3 fine-tunes do, is taken as it
    /// is.
    fn class(&self, sidecars: &Sidecars) -> Class {
        let steps = [&self.normalizer, &self.pre_tokenizer, &self.post_processor, &self.decoder];
        let byte_level = steps.iter().any(|step| has(step, "ByteLevel"));
        match sidecars.class() {
            Class::Llama if byte_level => Class::Backend,
            Class::Other(name) => {
                tracing::warn!(
                    "text is cut as tokenizer.json says; how transformers' {name} (tokenizer_class in \
                     tokenizer_config.json) would change that is not known here"
                );
                Class::Backend
            }
            class => class,
        }
    }

    fn into_parts(self, sidecars: &Sidecars, class: &Class) -> Result<Parts, Refusal> {
        let byte_level =
            [&self.normalizer, &self.pre_tokenizer, &self.decoder].iter().any(|s| has(s, "ByteLevel"));
        let model = model(self.model)?;
        let listed = |Listed { id, token }| Added { id: Some(id), token };
        let own = self.added_tokens.into_iter().map(listed).collect();
        let (named, anew) = (class_tokens(class), *class != Class::Backend);
        let mut parts = Parts {
            vocab: model.vocab.into_iter().collect(),
            merges: model.merges.into_iter().map(pair).collect::<Result<_, _>>()?,
            ignore_merges: model.ignore_merges,
            byte_fallback: model.byte_fallback,
            fuse_unknown: model.fuse_unk,
            unknown: model.unk_token,
            added: sidecars.added(&Context { own, anew, named, ..Context::default() })?,
            byte_level,
            ..Parts::default()
        };
        if anew {
            as_class(&mut parts, sidecars)?;
        } else {
            parts.changes = changes(&self.normalizer)?;
            parts.cuts = cuts(&self.pre_tokenizer)?;
            parts.decoder = decoder(self.decoder)?;
        }
        Ok(parts)
    }
}

fn decoder(value: Value) -> Result<Option<DecoderWrapper>, Refusal> {
    if value.is_null() {
        return Ok(None);
    }
    check_decoder(&value)?;
    parsed("decoder", value).map(Some)
}

fn parsed<T: DeserializeOwned>(name: &str, value: Value) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|e| format!("{name}: {e}").into())
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
            return Err(format!(
                "model: {key} {} is not LLaMA's",
                short(affix.as_deref().unwrap_or_default())
            )
            .into());
        }
    }
    Ok(model)
}

fn pair(merge: Merge) -> Result<(String, String), Refusal> {
    match merge {
        Merge::Pair(left, right) => Ok((left, right)),
        Merge::Line(line) => match line.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
            _ => Err(format!("model: the merge {} is not two tokens", short(&line)).into()),
        },
    }
}

/// The special tokens that a class has unless a sidecar says otherwise.
pub(super) fn class_tokens(class: &Class) -> Vec<(&'static str, String)> {
    let named: &[(&str, &str)] = match class {
        Class::Llama => &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")],
        Class::CodeLlama => &[
            ("bos_token", "<s>"),
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
            ("prefix_token", "▁<PRE>"),
            ("middle_token", "▁<MID>"),
            ("suffix_token", "▁<SUF>"),
            ("eot_token", "▁<EOT>"),
            ("fill_token", "<FILL_ME>"),
        ],
        Class::Gpt2 => {
            &[("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>")]
        }
        Class::Backend | Class::Other(_) => &[],
    };
    named.iter().map(|(key, name)| (*key, (*name).to_owned())).collect()
}

/// Puts in the steps of the class: transformers 5 takes vocabulary, merges, added tokens and post-processor from a file
/// and everything else from the class.
pub(super) fn as_class(parts: &mut Parts, sidecars: &Sidecars) -> Result<(), Refusal> {
    let space = sidecars.prefix_space()?;
    match sidecars.class() {
        Class::Llama => {
            let always = sidecars.flag("legacy")?.unwrap_or(false);
            metaspace(parts, space.unwrap_or(true), if always { "always" } else { "first" }, None)
        }
        Class::CodeLlama => {
            let unknown = sidecars.name("unk_token", Some("<unk>"))?;
            metaspace(parts, space.unwrap_or(true), "first", unknown)
        }
        Class::Gpt2 => {
            let space = space.unwrap_or(false);
            let step = json!({ "type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true, "use_regex": true });
            parts.changes = Vec::new();
            parts.cuts = cuts(&step)?;
            parts.decoder = decoder(step)?;
            set_model(parts, false, None);
            Ok(())
        }
        Class::Backend | Class::Other(_) => Ok(()),
    }
}

/// SentencePiece's way in `tokenizers`' terms: spaces become ▁, unknown characters bytes.
fn metaspace(
    parts: &mut Parts,
    prefix_space: bool,
    scheme: &str,
    unknown: Option<String>,
) -> Result<(), Refusal> {
    let scheme = if prefix_space { scheme } else { "never" };
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix_space {
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    parts.changes = Vec::new();
    parts.cuts =
        cuts(&json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false }))?;
    parts.decoder = decoder(json!({ "type": "Sequence", "decoders": decoders }))?;
    set_model(parts, true, unknown);
    Ok(())
}

fn set_model(parts: &mut Parts, fallback: bool, unknown: Option<String>) {
    parts.byte_fallback = fallback;
    parts.fuse_unknown = fallback;
    parts.ignore_merges = false;
    parts.unknown = unknown;
}

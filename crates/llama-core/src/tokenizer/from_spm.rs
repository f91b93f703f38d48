//! A SentencePiece model with sidecars, made byte-pair encoding as transformers 5.24 makes it.
//!
//! `LlamaTokenizer` takes the pieces for its vocabulary and, for merges, every way to cut a piece into two, in the order of
//! ids (`generate_merges`); the model's normalization rules do not count. Without a class that counts,
//! `SpmConverter.build_tokenizer_from_spm_proto` does as SentencePiece does. Where SentencePiece's algorithm is not
//! byte-pair encoding (`unigram`), SentencePiece itself cuts.

use std::collections::HashMap;

use serde_json::json;
use tokenizers::normalizers::precompiled::Precompiled;
use tokenizers::{AddedToken, NormalizerWrapper, SplitDelimiterBehavior};

use super::bpe::{Bpe, Built, Parts};
use super::proto::{Kind, Model};
use super::sidecars::{Class, Context, Sidecars};
use super::steps::{Change, Cut, Find};
use super::{Engine, Refusal, Tokenizer, charsmap, huggingface, identity};

/// Reads a `tokenizer.model` of byte-pair encoding.
pub(super) fn read(bytes: &[u8], model: &Model, sidecars: &Sidecars) -> Result<Tokenizer, Refusal> {
    sidecars.check(false)?;
    let class = sidecars.class();
    let mut parts = match &class {
        Class::Backend => as_sentence_piece(model, sidecars)?,
        Class::Llama | Class::CodeLlama => of_class(model, sidecars)?,
        Class::Gpt2 => return Err(unknown_class("GPT2Tokenizer")),
        Class::Other(name) => return Err(unknown_class(name)),
    };
    parts.added = sidecars.added(&context(model, sidecars))?;
    parts.split_special = sidecars.flag("split_special_tokens")?.unwrap_or(false);
    let Built { engine, pieces, ordinary } = Bpe::build(parts)?;
    let find = |name: &str| pieces.iter().zip(0u32..).find(|(piece, _)| *piece == name).map(|(_, id)| id);
    let bos = bos(model, sidecars)?;
    let prefix = bos
        .as_deref()
        .map(|bos| find(bos).ok_or_else(|| format!("bos_token {bos:?} is not in the vocabulary")));
    let prefix = prefix.transpose()?.into_iter().collect();
    let own_eos = || Some(vec![u32::try_from(model.eos.0).ok()?]);
    let mut eos = sidecars.eos(&find).or_else(own_eos).unwrap_or_default();
    eos.retain(|id| pieces.get(*id as usize).is_some_and(|piece| !piece.is_empty()));
    let identity = identity(&sidecars.parts(bytes));
    Ok(Tokenizer::new(Engine::Bpe(Box::new(engine)), pieces, prefix, eos, identity, ordinary))
}

/// BOS, where there is one in front.
pub(super) fn bos(model: &Model, sidecars: &Sidecars) -> Result<Option<String>, Refusal> {
    let own = (model.bos.0 >= 0).then_some(model.bos.1.as_str());
    match sidecars.class() {
        Class::Llama => sidecars.bos(Some("<s>"), false),
        Class::CodeLlama => sidecars.bos(Some("<s>"), true),
        _ => sidecars.bos(own, false),
    }
}

fn unknown_class(name: &str) -> Refusal {
    let hint = "give the model's own tokenizer.json, which says how text is cut";
    Refusal::new(
        format!("tokenizer_config.json: {name} (tokenizer_class) cuts text in a way that is not known here"),
        hint,
    )
}

/// The special tokens that hold unless a sidecar says otherwise.
pub(super) fn context(model: &Model, sidecars: &Sidecars) -> Context {
    let class = sidecars.class();
    let backend = class == Class::Backend;
    let named = match &class {
        Class::Llama | Class::CodeLlama => huggingface::class_tokens(&class),
        _ => [("bos_token", &model.bos), ("eos_token", &model.eos), ("unk_token", &model.unknown)]
            .into_iter()
            .filter(|(_, (id, _))| *id >= 0)
            .map(|(key, (_, name))| (key, name.clone()))
            .collect(),
    };
    let found = |kind: Kind, special: bool| {
        let pieces = model.pieces.iter().zip(0u32..).filter(move |(piece, _)| piece.is(kind));
        pieces.map(move |(piece, id)| (id, AddedToken::from(piece.text.as_str(), special).normalized(false)))
    };
    // The backend leaves user-defined pieces to the engine.
    let user_defined = found(Kind::UserDefined, false).filter(|_| !backend);
    let mut extra: Vec<_> = found(Kind::Control, true).chain(user_defined).collect();
    extra.sort_by_key(|(id, _)| *id);
    let extra = extra.into_iter().map(|(_, token)| token).collect();
    let raw = backend && model.dummy_prefix;
    Context { own: Vec::new(), anew: true, named, extra, raw }
}

/// `LlamaTokenizer` and `CodeLlamaTokenizer`.
fn of_class(model: &Model, sidecars: &Sidecars) -> Result<Parts, Refusal> {
    let vocab: HashMap<&str, u32> = model.pieces.iter().map(|piece| piece.text.as_str()).zip(0..).collect();
    let mut merges = Vec::new();
    for (piece, id) in model.pieces.iter().zip(0u32..) {
        for (left, right, cut) in cuts(&piece.text) {
            if vocab.contains_key(left) && vocab.contains_key(right) {
                merges.push(((id, cut), (left.to_owned(), right.to_owned())));
            }
        }
    }
    merges.sort_by_key(|(order, _)| *order);
    let mut parts = Parts {
        vocab: vocab.into_iter().map(|(piece, id)| (piece.to_owned(), id)).collect(),
        merges: merges.into_iter().map(|(_, merge)| merge).collect(),
        ..Parts::default()
    };
    huggingface::as_class(&mut parts, sidecars)?;
    Ok(parts)
}

/// Every way to cut a text into two, with the characters in the first.
fn cuts(text: &str) -> impl Iterator<Item = (&str, &str, usize)> {
    let places = text.char_indices().map(|(at, _)| at).enumerate().skip(1);
    places.map(|(cut, at)| (&text[..at], &text[at..], cut))
}

/// What SentencePiece does, in the `tokenizers` crate's terms.
fn as_sentence_piece(model: &Model, sidecars: &Sidecars) -> Result<Parts, Refusal> {
    let names = renamed(model, sidecars)?;
    let kind = |kind: Kind| model.pieces.iter().zip(&names).filter(move |(piece, _)| piece.is(kind));
    let normal: HashMap<&str, (f32, usize)> = model
        .pieces
        .iter()
        .enumerate()
        .filter(|(_, piece)| piece.is(Kind::Normal))
        .map(|(id, piece)| (names[id].as_str(), (piece.score, id)))
        .collect();
    let mut merges = Vec::new();
    for (token, (score, id)) in &normal {
        for (left, right, _) in cuts(token) {
            if normal.contains_key(left) && normal.contains_key(right) {
                merges.push((*score, *id, left.to_owned(), right.to_owned()));
            }
        }
    }
    // The highest score first, then the lowest id.
    merges.sort_by(|one, other| {
        other.0.total_cmp(&one.0).then_with(|| (one.1, &one.2, &one.3).cmp(&(other.1, &other.2, &other.3)))
    });
    let mut user_defined: Vec<&String> = kind(Kind::UserDefined).map(|(_, name)| name).collect();
    user_defined.sort_by_key(|name| std::cmp::Reverse(name.chars().count()));
    let always = sidecars.flag("legacy")?.unwrap_or(true);
    Ok(Parts {
        vocab: names.iter().cloned().zip(0..).collect(),
        merges: merges.into_iter().map(|(_, _, left, right)| (left, right)).collect(),
        ignore_merges: !user_defined.is_empty(),
        byte_fallback: model.byte_fallback,
        fuse_unknown: true,
        unknown: Some(model.unknown.1.clone()),
        changes: changes(model, always)?,
        cuts: pre_tokenizer(model, always, &user_defined)?,
        decoder: Some(decoder(model)?),
        ..Parts::default()
    })
}

/// The pieces' names, by id: `added_tokens_decoder` gives placeholders others, unless another piece has that name.
fn renamed(model: &Model, sidecars: &Sidecars) -> Result<Vec<String>, Refusal> {
    let renames = sidecars.renames()?;
    let own = |id: u32| renames.get(&id).map(|token| token.content.as_str());
    let numbered = || model.pieces.iter().zip(0u32..);
    let kept = |name: &str| numbered().any(|(piece, id)| own(id).is_none() && piece.text == name);
    let name = |(piece, id): (&super::proto::Piece, u32)| match own(id) {
        Some(name) if name != piece.text && !kept(name) => name.to_owned(),
        _ => piece.text.clone(),
    };
    Ok(numbered().map(name).collect())
}

/// In SentencePiece's order: its rules, spaces that are too many, spaces.
fn changes(model: &Model, always: bool) -> Result<Vec<Change>, Refusal> {
    let regex = |pattern: &str, by: &str| {
        Ok::<_, String>(Change::Replace { find: Find::regex(pattern)?, by: by.to_owned() })
    };
    let mut changes = Vec::new();
    if !model.charsmap.is_empty() {
        let damaged = |reason: &str| format!("its normalization rules cannot be used: {reason}");
        charsmap::check_for_crate(&model.charsmap).map_err(damaged)?;
        let rules = Precompiled::from(&model.charsmap).map_err(|e| damaged(&e.to_string()))?;
        changes.push(Change::Other(NormalizerWrapper::Precompiled(rules)));
    }
    if model.remove_extra_spaces {
        changes.push(regex(r"\A +| +\z", "")?);
        changes.push(regex(" {2,}", " ")?);
    }
    if model.escape_spaces {
        changes.push(Change::Replace { find: Find::Text(" ".to_owned()), by: "▁".to_owned() });
    }
    // Metaspace puts no space before a text that begins with one; SentencePiece does.
    if model.dummy_prefix && always {
        changes.push(regex(r"\A▁", "▁▁")?);
    }
    Ok(changes)
}

fn pre_tokenizer(model: &Model, always: bool, user_defined: &[&String]) -> Result<Vec<Cut>, Refusal> {
    let mut cuts = Vec::new();
    if model.dummy_prefix {
        let scheme = if always { "always" } else { "first" };
        let step =
            json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false });
        cuts.push(Cut::Other(serde_json::from_value(step).map_err(|e| e.to_string())?));
    }
    if !user_defined.is_empty() {
        let escaped: Vec<_> = user_defined.iter().map(|name| fancy_regex::escape(name)).collect();
        let find = Find::regex(&escaped.join("|"))?;
        cuts.push(Cut::Split { find, behavior: SplitDelimiterBehavior::Isolated, invert: false });
    }
    Ok(cuts)
}

fn decoder(model: &Model) -> Result<tokenizers::DecoderWrapper, Refusal> {
    let mut steps = vec![json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " })];
    if model.byte_fallback {
        steps.push(json!({ "type": "ByteFallback" }));
    }
    if model.byte_fallback || model.dummy_prefix {
        steps.push(json!({ "type": "Fuse" }));
    }
    if model.dummy_prefix {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let decoder = json!({ "type": "Sequence", "decoders": steps });
    serde_json::from_value(decoder).map_err(|e| e.to_string().into())
}

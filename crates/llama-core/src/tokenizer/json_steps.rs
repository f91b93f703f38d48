//! The steps of a `tokenizer.json` (`normalizer`, `pre_tokenizer`, `decoder`), each of a type that is known.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::steps::{Change, Cut, Find};
use super::{LONGEST_TOKEN, Refusal, charsmap, split};

/// Steps that a LLaMA's `tokenizer.json` is made of, out of those the `tokenizers` crate knows. The untyped forms of old
/// files make it panic; the rest belongs to other models.
const NORMALIZERS: &[&str] = &[
    "Sequence",
    "Prepend",
    "Replace",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Lowercase",
    "Strip",
    "StripAccents",
    "Nmt",
    "Precompiled",
];
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

/// LLaMA 3's has four.
const MOST_STEPS: usize = 64;

/// The steps that change the text, those inside a `Sequence` in their place.
pub(super) fn changes(normalizer: &Value) -> Result<Vec<Change>, Refusal> {
    let steps = flat(normalizer, "normalizers", NORMALIZERS);
    let changes = steps.and_then(|steps| steps.into_iter().map(|(kind, step)| change(kind, step)).collect());
    changes.map_err(|reason: String| format!("normalizer: {reason}").into())
}

/// The steps that cut the text.
pub(super) fn cuts(pre_tokenizer: &Value) -> Result<Vec<Cut>, Refusal> {
    let steps = flat(pre_tokenizer, "pretokenizers", PRE_TOKENIZERS);
    let mut cuts = Vec::new();
    steps
        .and_then(|steps| steps.into_iter().try_for_each(|(kind, step)| cut(kind, step, &mut cuts)))
        .map_err(|reason| Refusal::from(format!("pre_tokenizer: {reason}")))?;
    Ok(cuts)
}

/// A decoder is the crate's as a whole.
pub(super) fn check_decoder(decoder: &Value) -> Result<(), Refusal> {
    let steps = flat(decoder, "decoders", DECODERS);
    let check = |(kind, step): (&str, &Value)| match kind {
        // The crate's decoder counts back from the token's end without looking whether there is one.
        "Strip" if step.get("stop").and_then(Value::as_u64).is_some_and(|stop| stop > 0) => {
            Err("Strip at the end of tokens is not LLaMA's".to_owned())
        }
        "Replace" => find(step).map(|_| ()),
        _ => Ok(()),
    };
    let checked = steps.and_then(|steps| steps.into_iter().try_for_each(check));
    checked.map_err(|reason| format!("decoder: {reason}").into())
}

/// Whether a step, or one inside it, is of a type.
pub(super) fn has(step: &Value, kind: &str) -> bool {
    match step {
        Value::Object(fields) => {
            fields.get("type").is_some_and(|t| t == kind) || fields.values().any(|v| has(v, kind))
        }
        Value::Array(steps) => steps.iter().any(|step| has(step, kind)),
        _ => false,
    }
}

/// The steps with their types, one after another, none of them a `Sequence`.
fn flat<'a>(step: &'a Value, list: &str, known: &[&str]) -> Result<Vec<(&'a str, &'a Value)>, String> {
    let mut all = Vec::new();
    let mut open = vec![step];
    while let Some(step) = open.pop().filter(|step| !step.is_null()) {
        let kind = step.get("type").and_then(Value::as_str).ok_or("a step without type")?;
        if !known.contains(&kind) {
            return Err(format!("{kind} is not one of {}", known.join(", ")));
        }
        if kind == "Sequence" {
            let steps = step.get(list).and_then(Value::as_array).ok_or("a Sequence without steps")?;
            open.extend(steps.iter().rev());
        } else {
            all.push((kind, step));
        }
        if all.len() + open.len() > MOST_STEPS {
            return Err(format!("more than {MOST_STEPS} steps"));
        }
    }
    Ok(all)
}

fn change(kind: &str, step: &Value) -> Result<Change, String> {
    let text = |key: &str| match step.get(key).and_then(Value::as_str) {
        None => Err(format!("{kind} without {key}")),
        Some(text) if text.len() > LONGEST_TOKEN => {
            Err(format!("{kind} puts in {} bytes, and at most {LONGEST_TOKEN} are allowed", text.len()))
        }
        Some(text) => Ok(text.to_owned()),
    };
    match kind {
        "Replace" => Ok(Change::Replace { find: find(step)?, by: text("content")? }),
        "Prepend" => text("prepend").map(Change::Prepend),
        "Precompiled" => {
            let rules = step.get("precompiled_charsmap").and_then(Value::as_str);
            let rules = rules.ok_or("Precompiled without precompiled_charsmap")?;
            let rules = STANDARD.decode(rules).map_err(|_| "precompiled_charsmap is not base64")?;
            let damaged = |reason| format!("precompiled_charsmap is damaged: {reason}");
            charsmap::check(&rules).and_then(|()| charsmap::check_for_crate(&rules)).map_err(damaged)?;
            other(step).map(Change::Other)
        }
        _ => other(step).map(Change::Other),
    }
}

fn cut(kind: &str, step: &Value, cuts: &mut Vec<Cut>) -> Result<(), String> {
    match kind {
        "Split" => {
            let behavior = step.get("behavior").ok_or("Split without behavior")?;
            let behavior = serde_json::from_value(behavior.clone()).map_err(|e| e.to_string())?;
            let invert = step.get("invert").and_then(Value::as_bool).ok_or("Split without invert")?;
            cuts.push(Cut::Split { find: find(step)?, behavior, invert });
        }
        "ByteLevel" => {
            let step: ByteLevel = other(step)?;
            if step.add_prefix_space {
                cuts.push(Cut::Space);
            }
            if step.use_regex {
                cuts.push(split::gpt_2()?);
            }
            cuts.push(Cut::Other(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, false))));
        }
        "Punctuation" if step.get("behavior").is_some_and(|b| *b == "Removed") => {
            return Err("Punctuation that is left out of the text is not LLaMA's".to_owned());
        }
        _ => cuts.push(Cut::Other(other(step)?)),
    }
    Ok(())
}

/// What `Split` and `Replace` look for.
fn find(step: &Value) -> Result<Find, String> {
    let pattern = |kind: &str| step.get("pattern").and_then(|p| p.get(kind)).and_then(Value::as_str);
    match (pattern("String"), pattern("Regex")) {
        (Some(text), _) if !text.is_empty() => Ok(Find::Text(text.to_owned())),
        (None, Some(regex)) => Find::regex(regex),
        _ => {
            Err("Split and Replace are known for a regular expression or a text that is not empty".to_owned())
        }
    }
}

fn other<T: serde::de::DeserializeOwned>(step: &Value) -> Result<T, String> {
    serde_json::from_value(step.clone()).map_err(|e| e.to_string())
}

//! The tokens that a tokenizer's sidecars name, with their ids where they say them.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::{CONFIG, Sidecars};
use crate::tokenizer::Refusal;
use crate::tokenizer::bpe::Added;
use crate::tokenizer::steps::short;

/// The special tokens with names of their own, in transformers' order (`SPECIAL_TOKENS_ATTRIBUTES`).
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A model of images and sounds has a dozen.
const MOST_NAMED: usize = 1000;

/// What the tokenizer's own file says of special tokens, before its sidecars do.
#[derive(Default)]
pub(in crate::tokenizer) struct Context {
    /// The file's added tokens.
    pub(in crate::tokenizer) own: Vec<Added>,
    /// Whether the class makes a tokenizer anew, so that the file's added tokens count as its sidecars' do.
    pub(in crate::tokenizer) anew: bool,
    /// Named tokens that hold unless a sidecar says otherwise.
    pub(in crate::tokenizer) named: Vec<(&'static str, String)>,
    /// Further special tokens, unless `extra_special_tokens` names some.
    pub(in crate::tokenizer) extra: Vec<AddedToken>,
    /// Whether `added_tokens_decoder`'s tokens are looked for in the text as it stands, whatever they say.
    pub(in crate::tokenizer) raw: bool,
}

impl Sidecars {
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
    pub(in crate::tokenizer) fn renames(&self) -> Result<BTreeMap<u32, AddedToken>, Refusal> {
        Ok(self.decoder()?.unwrap_or_default())
    }

    /// All tokens that are looked for in a text, in the order in which they get their ids.
    pub(in crate::tokenizer) fn added(&self, context: &Context) -> Result<Vec<Added>, Refusal> {
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
            special.extend(self.special_token(key)?.flatten());
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
            let token = match self.special_token(key)? {
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
                Some(at) => named[at].1 = token,
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
pub(super) fn token(key: &str, value: &Value, special: bool) -> Result<Option<AddedToken>, Refusal> {
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

//! The vocabulary that a GGUF file carries along (`tokenizer.ggml.*`), made a tokenizer.
//!
//! `llama` is SentencePiece's byte-pair encoding: the vocabulary is written as a SentencePiece model and read by
//! SentencePiece itself. `gpt2` is byte-level byte-pair encoding, cut as `tokenizer.ggml.pre` says.
//!
//! The token types are llama.cpp's, and looser than SentencePiece's: converters have called `<unk>` a control or a normal
//! token, padding unknown tokens, or written no types. [`Vocabulary::kinds`] says what is meant.

use std::path::Path;

use tokenizers::AddedToken;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::bpe::{self, Added, Bpe, Parts};
use super::proto::{self, Algorithm, Kind, Spec};
use super::sentence_piece::{self, Prefix, SentencePiece};
use super::steps::short;
use super::{Engine, MOST_TOKENS, Refusal, Tokenizer, split};
use crate::chat::ChatSource;

/// What the keys `tokenizer.ggml.*` of a GGUF file say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vocabulary {
    /// `tokenizer.ggml.model`: `llama` or `gpt2`.
    pub(crate) model: String,
    /// `tokenizer.ggml.pre`: how a `gpt2` vocabulary cuts text.
    pub(crate) pre: Option<String>,
    /// `tokenizer.ggml.tokens`.
    pub(crate) tokens: Vec<String>,
    /// `tokenizer.ggml.scores`: a `llama` vocabulary joins the pair with the highest score first.
    pub(crate) scores: Option<Vec<f32>>,
    /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub(crate) types: Option<Vec<i32>>,
    /// `tokenizer.ggml.merges`: pairs with a space between, the first to join first.
    pub(crate) merges: Option<Vec<String>>,
    /// `tokenizer.ggml.bos_token_id`.
    pub(crate) bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub(crate) eos: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub(crate) unknown: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub(crate) add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub(crate) add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`: whether a `llama` vocabulary counts the text's beginning as a space.
    pub(crate) add_space_prefix: Option<bool>,
    /// `tokenizer.ggml.remove_extra_whitespaces`.
    pub(crate) remove_extra_spaces: Option<bool>,
    /// Whether there is a `tokenizer.ggml.precompiled_charsmap`.
    pub(crate) rules: bool,
    /// `tokenizer.chat_template`, and `tokenizer.chat_template.NAME`.
    pub(crate) chat_templates: Vec<(String, String)>,
}

const OTHER_TOKENIZER: &str = "give the model's own tokenizer.json or tokenizer.model";

impl Vocabulary {
    /// The chat templates, and the special tokens that they may write.
    pub(super) fn chat(&self, path: &Path) -> ChatSource {
        let named = [("bos_token", self.bos), ("eos_token", self.eos), ("unk_token", self.unknown)];
        let token = |(name, id): (&str, Option<u32>)| {
            Some((name.to_owned(), self.tokens.get(usize::try_from(id?).ok()?)?.clone()))
        };
        ChatSource {
            path: path.to_owned(),
            metadata: self.chat_templates.clone(),
            tokens: named.into_iter().filter_map(token).collect(),
            ..ChatSource::default()
        }
    }

    pub(super) fn into_tokenizer(self) -> Result<Tokenizer, Refusal> {
        self.check()?;
        let identity = self.identity();
        let (engine, pieces, ordinary, adds_bos) = match self.model.as_str() {
            "llama" => {
                let sentence_piece::Built { engine, pieces, ordinary } = self.sentence_piece()?;
                (Engine::SentencePiece(Box::new(engine)), pieces, ordinary, true)
            }
            "gpt2" => self.byte_level()?,
            other => {
                let reason = format!(
                    "the vocabulary's kind is {} (tokenizer.ggml.model), not llama or gpt2",
                    short(other)
                );
                return Err(Refusal::new(reason, OTHER_TOKENIZER));
            }
        };
        let prefix = match (self.add_bos.unwrap_or(adds_bos), self.bos) {
            (false, _) => Vec::new(),
            (true, Some(bos)) => vec![bos],
            (true, None) => {
                return Err(Refusal::new(
                    "the vocabulary wants BOS before every text and does not say which token that is \
                     (tokenizer.ggml.bos_token_id)",
                    OTHER_TOKENIZER,
                ));
            }
        };
        Ok(Tokenizer::new(engine, pieces, prefix, self.eos.into_iter().collect(), identity, ordinary))
    }

    /// Lists of one length, ids inside the vocabulary, no EOS after every text.
    fn check(&self) -> Result<(), Refusal> {
        let count = self.tokens.len();
        if count == 0 || count > MOST_TOKENS {
            return Err(format!("the vocabulary has {count} tokens").into());
        }
        let lengths = [
            ("scores", self.scores.as_ref().map(Vec::len)),
            ("token_type", self.types.as_ref().map(Vec::len)),
        ];
        if let Some((key, Some(found))) = lengths.into_iter().find(|(_, len)| len.is_some_and(|l| l != count))
        {
            return Err(format!("tokenizer.ggml.{key} has {found} entries for {count} tokens").into());
        }
        for (key, id) in
            [("bos_token_id", self.bos), ("eos_token_id", self.eos), ("unknown_token_id", self.unknown)]
        {
            let token = id.map(|id| self.tokens.get(id as usize).map_or("", String::as_str));
            if let (Some(id), Some("")) = (id, token) {
                return Err(format!("tokenizer.ggml.{key} is {id}, which is no token").into());
            }
        }
        if self.add_eos == Some(true) {
            return Err(Refusal::new(
                "the vocabulary wants EOS after every text (tokenizer.ggml.add_eos_token); a LLaMA's prompt ends with \
                 its last word, and that is the token which is looked at",
                OTHER_TOKENIZER,
            ));
        }
        let rules = [
            ("remove_extra_whitespaces", self.remove_extra_spaces == Some(true)),
            ("precompiled_charsmap", self.rules),
        ];
        match rules.into_iter().find(|(_, asked)| *asked) {
            Some((key, _)) => {
                let reason = format!(
                    "tokenizer.ggml.{key} changes a text before it is cut, which no LLaMA's vocabulary does"
                );
                Err(Refusal::new(reason, OTHER_TOKENIZER))
            }
            None => Ok(()),
        }
    }

    /// What every token is for, in SentencePiece's terms.
    ///
    /// One token is the unknown one: the one that is said to be, else the one called `<unk>`, else the first of its type,
    /// else the first of all, as in llama.cpp. Others of that type are padding, which no text has. BOS and EOS are control
    /// tokens. Where no token is a byte and all 256 have a byte's name, they are.
    fn kinds(&self) -> Vec<u64> {
        let count = self.tokens.len();
        let said = |id: usize| self.types.as_ref().and_then(|types| types.get(id)).copied().unwrap_or(1);
        let is = |id: usize, kind: Kind| said(id) == kind as i32;
        let called = |name: &str| self.tokens.iter().position(|token| token == name);
        let unknown = self.unknown.map(|id| id as usize);
        let unknown =
            unknown.or_else(|| called("<unk>")).or_else(|| (0..count).find(|id| is(*id, Kind::Unknown)));
        let unknown = unknown.unwrap_or(0);
        let names: std::collections::HashSet<String> =
            (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
        let unsaid = !(0..count).any(|id| is(id, Kind::Byte))
            && self.tokens.iter().filter(|token| names.contains(*token)).count() == names.len();
        let marks = [self.bos, self.eos].map(|id| id.map(|id| id as usize));
        let kind = |id: usize| match said(id) {
            _ if id == unknown => Kind::Unknown,
            _ if marks.contains(&Some(id)) => Kind::Control,
            2 | 5 => Kind::Unused,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            6 => Kind::Byte,
            _ if unsaid && names.contains(&self.tokens[id]) => Kind::Byte,
            _ => Kind::Normal,
        };
        (0..count).map(|id| kind(id) as u64).collect()
    }

    fn sentence_piece(&self) -> Result<sentence_piece::Built, Refusal> {
        let Some(scores) = &self.scores else {
            return Err("a llama vocabulary needs scores (tokenizer.ggml.scores)".into());
        };
        let kinds = self.kinds();
        let pieces: Vec<_> = self
            .tokens
            .iter()
            .zip(scores)
            .zip(&kinds)
            .map(|((text, score), kind)| (text.as_str(), *score, *kind))
            .collect();
        let byte_fallback = kinds.contains(&(Kind::Byte as u64));
        let dummy_prefix = self.add_space_prefix.unwrap_or(true);
        let spec = Spec { algorithm: Algorithm::Bpe, byte_fallback, dummy_prefix };
        let model = proto::write(&pieces, &spec);
        let added: Vec<_> = self.found(&kinds).map(|(_, token)| token.normalized(false)).collect();
        SentencePiece::build(&model, &proto::Model::read(&model)?, &added, Prefix::First)
    }

    /// Control, user-defined and unknown tokens are found in a text before it is cut.
    fn found<'a>(&'a self, kinds: &'a [u64]) -> impl Iterator<Item = (u32, AddedToken)> + 'a {
        let special = |kind: u64| kind == Kind::Control as u64 || kind == Kind::Unknown as u64;
        let tokens = (0u32..).zip(&self.tokens).zip(kinds).filter(|((_, token), _)| !token.is_empty());
        tokens
            .filter(move |(_, kind)| special(**kind) || **kind == Kind::UserDefined as u64)
            .map(move |((id, token), kind)| (id, AddedToken::from(token.as_str(), special(*kind))))
    }

    /// Also whether BOS comes first if the file does not say.
    fn byte_level(&self) -> Result<(Engine, Vec<String>, usize, bool), Refusal> {
        let Some(pre) = &self.pre else {
            return Err(Refusal::new(
                "a gpt2 vocabulary that does not say how it cuts text (tokenizer.ggml.pre)",
                OTHER_TOKENIZER,
            ));
        };
        let (cuts, llama_3) = split::named(pre)?;
        let Some(merges) = &self.merges else {
            return Err("a gpt2 vocabulary needs merges (tokenizer.ggml.merges)".into());
        };
        let merge = |merge: &String| {
            let (left, right) =
                merge.split_once(' ').ok_or_else(|| format!("{} is no merge", short(merge)))?;
            Ok((left.to_owned(), right.to_owned()))
        };
        let tokens = || (0u32..).zip(&self.tokens).filter(|(_, token)| !token.is_empty());
        let parts = Parts {
            vocab: tokens().map(|(id, token)| (token.clone(), id)).collect(),
            merges: merges.iter().map(merge).collect::<Result<_, Refusal>>()?,
            ignore_merges: llama_3,
            cuts,
            decoder: Some(ByteLevel::default().into()),
            added: self.found(&self.kinds()).map(|(id, token)| Added { id: Some(id), token }).collect(),
            byte_level: true,
            ..Parts::default()
        };
        let bpe::Built { engine, mut pieces, ordinary } = Bpe::build(parts)?;
        pieces.resize(self.tokens.len(), String::new());
        Ok((Engine::Bpe(Box::new(engine)), pieces, ordinary, llama_3))
    }

    /// BLAKE3 of everything that decides ids, every part with its length.
    fn identity(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(self.model.as_bytes());
        part(self.pre.as_deref().unwrap_or_default().as_bytes());
        for list in [Some(&self.tokens), self.merges.as_ref()] {
            let list = list.map_or(&[][..], Vec::as_slice);
            part(&(list.len() as u64).to_le_bytes());
            for text in list {
                part(text.as_bytes());
            }
        }
        let scores: Vec<u8> = self.scores.iter().flatten().flat_map(|s| s.to_le_bytes()).collect();
        let types: Vec<u8> = self.types.iter().flatten().flat_map(|t| t.to_le_bytes()).collect();
        part(&scores);
        part(&types);
        let flags = (self.bos, self.eos, self.add_bos, self.add_space_prefix);
        part(format!("{flags:?}").as_bytes());
        if let Some(unknown) = self.unknown {
            part(&unknown.to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests;

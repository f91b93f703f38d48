//! The vocabulary that a GGUF file carries along (`tokenizer.ggml.*`), made a tokenizer.
//!
//! `llama` is SentencePiece's byte-pair encoding: the vocabulary is written as a SentencePiece model and read by
//! SentencePiece itself. `gpt2` is byte-level byte-pair encoding, cut as `tokenizer.ggml.pre` says.

use tokenizers::AddedToken;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::bpe::{Bpe, Parts};
use super::proto::{self, Algorithm, Kind, Spec};
use super::sentence_piece::SentencePiece;
use super::{Engine, MOST_TOKENS, Refusal, Tokenizer, split};

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
    /// `tokenizer.ggml.add_bos_token`.
    pub(crate) add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub(crate) add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`: whether a `llama` vocabulary counts the text's beginning as a space.
    pub(crate) add_space_prefix: Option<bool>,
}

const OTHER_TOKENIZER: &str = "give the model's own tokenizer.json or tokenizer.model with --tokenizer FILE";

impl Vocabulary {
    pub(super) fn into_tokenizer(self) -> Result<Tokenizer, Refusal> {
        self.check()?;
        let identity = self.identity();
        let (engine, pieces, adds_bos) = match self.model.as_str() {
            "llama" => {
                let (engine, pieces) = self.sentence_piece()?;
                (Engine::SentencePiece(engine), pieces, true)
            }
            "gpt2" => self.byte_level()?,
            other => {
                let reason =
                    format!("the vocabulary's kind is {other:?} (tokenizer.ggml.model), not llama or gpt2");
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
        Ok(Tokenizer { engine, pieces, prefix, eos: self.eos.into_iter().collect(), identity, padded: true })
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
        for (key, id) in [("bos_token_id", self.bos), ("eos_token_id", self.eos)] {
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
        Ok(())
    }

    fn kind(&self, id: usize) -> u64 {
        let kind = self.types.as_ref().and_then(|types| types.get(id)).copied();
        kind.and_then(|kind| u64::try_from(kind).ok())
            .filter(|kind| (1..=6).contains(kind))
            .unwrap_or(Kind::Normal as u64)
    }

    fn sentence_piece(&self) -> Result<(SentencePiece, Vec<String>), Refusal> {
        let Some(scores) = &self.scores else {
            return Err("a llama vocabulary needs scores (tokenizer.ggml.scores)".into());
        };
        let kinds = (0..self.tokens.len()).map(|id| self.kind(id));
        let pieces: Vec<_> = self
            .tokens
            .iter()
            .zip(scores)
            .zip(kinds)
            .map(|((text, score), kind)| (text.as_str(), *score, kind))
            .collect();
        let byte_fallback = pieces.iter().any(|(_, _, kind)| *kind == Kind::Byte as u64);
        let dummy_prefix = self.add_space_prefix.unwrap_or(true);
        let spec = Spec { algorithm: Algorithm::Bpe, byte_fallback, dummy_prefix };
        SentencePiece::new(&proto::write(&pieces, &spec))
    }

    /// Also whether BOS comes first if the file does not say.
    fn byte_level(&self) -> Result<(Engine, Vec<String>, bool), Refusal> {
        let Some(pre) = &self.pre else {
            return Err(Refusal::new(
                "a gpt2 vocabulary that does not say how it cuts text (tokenizer.ggml.pre)",
                OTHER_TOKENIZER,
            ));
        };
        let (pre_tokenizer, llama_3) = split::named(pre)?;
        let Some(merges) = &self.merges else {
            return Err("a gpt2 vocabulary needs merges (tokenizer.ggml.merges)".into());
        };
        let merge = |merge: &String| {
            let (left, right) = merge.split_once(' ').ok_or_else(|| format!("{merge:?} is no merge"))?;
            Ok((left.to_owned(), right.to_owned()))
        };
        let tokens = || (0u32..).zip(&self.tokens).filter(|(_, token)| !token.is_empty());
        let parts = Parts {
            vocab: tokens().map(|(id, token)| (token.clone(), id)).collect(),
            merges: merges.iter().map(merge).collect::<Result<_, Refusal>>()?,
            ignore_merges: llama_3,
            pre_tokenizer: Some(pre_tokenizer),
            decoder: Some(ByteLevel::default().into()),
            added: tokens().filter_map(|(id, token)| Some((id, self.added(id, token)?))).collect(),
            byte_level: true,
            ..Parts::default()
        };
        let (engine, mut pieces) = Bpe::new(parts)?;
        pieces.resize(self.tokens.len(), String::new());
        Ok((Engine::Bpe(Box::new(engine)), pieces, llama_3))
    }

    /// Control and user-defined tokens are found in the text before it is cut.
    fn added(&self, id: u32, token: &str) -> Option<AddedToken> {
        let kind = self.kind(id as usize);
        let special = kind == Kind::Control as u64 || kind == Kind::Unknown as u64;
        (special || kind == Kind::UserDefined as u64).then(|| AddedToken::from(token, special))
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
            list.iter().for_each(|text| part(text.as_bytes()));
        }
        let scores: Vec<u8> = self.scores.iter().flatten().flat_map(|s| s.to_le_bytes()).collect();
        let types: Vec<u8> = self.types.iter().flatten().flat_map(|t| t.to_le_bytes()).collect();
        part(&scores);
        part(&types);
        let flags = (self.bos, self.eos, self.add_bos, self.add_space_prefix);
        part(format!("{flags:?}").as_bytes());
        hasher.finalize().to_hex().to_string()
    }
}

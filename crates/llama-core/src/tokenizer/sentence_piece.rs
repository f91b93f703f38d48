//! SentencePiece by the `sentencepiece` crate, Google's implementation.
//!
//! SentencePiece itself takes `</s>` in a text for four characters. A model's control tokens are found first, as
//! transformers and llama.cpp do, and SentencePiece cuts what lies between. Only a piece that begins the text counts its
//! beginning as a space, as transformers has it (`legacy: false`), so that a model's `tokenizer.model`, `tokenizer.json`
//! and GGUF file give the same ids; llama.cpp puts a further `▁` behind a control token.

use std::ops::Range;

use sentencepiece::SentencePieceProcessor;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::{AddedToken, AddedVocabulary, NormalizerWrapper, OffsetReferential, OffsetType};

use super::proto::{Kind, Model, without_prefix};
use super::sidecars::{Class, Sidecars};
use super::{Engine, Refusal, Token, Tokenizer, from_spm, identity};

/// Which pieces between added tokens count their beginning as a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// The one that begins the text.
    First,
    /// All.
    Always,
}

/// The engine.
pub(super) struct SentencePiece {
    /// As the model says; for what begins the text.
    first: SentencePieceProcessor,
    /// Without a space that the beginning counts as; for what follows a control token.
    inner: SentencePieceProcessor,
    prefix: Prefix,
    /// Tokens found in the text before it is cut.
    added: AddedVocabulary,
    /// Whether a token stands for one byte, by id.
    is_byte: Vec<bool>,
}

/// The engine, and what is known of its tokens.
pub(super) struct Built {
    pub(super) engine: SentencePiece,
    /// Every token for people to read, by id.
    pub(super) pieces: Vec<String>,
    /// One more than the highest id that a text without added tokens can have.
    pub(super) ordinary: usize,
}

/// Reads a `tokenizer.model` that stands alone, or whose algorithm only SentencePiece has.
pub(super) fn read(bytes: &[u8], sidecars: &Sidecars) -> Result<Tokenizer, Refusal> {
    let model = Model::read(bytes)?;
    if sidecars.any() && model.is_bpe {
        return from_spm::read(bytes, &model, sidecars);
    }
    sidecars.check(false)?;
    let mut added: Vec<_> = controls(&model).map(|(_, token)| token).collect();
    let mut prefix = Prefix::First;
    if sidecars.any() {
        let named = sidecars.added(&from_spm::context(&model, sidecars))?;
        added.extend(named.into_iter().map(|added| added.token));
        if sidecars.flag("legacy")?.unwrap_or(sidecars.class() == Class::Backend) {
            prefix = Prefix::Always;
        }
    }
    let Built { engine, pieces, ordinary } = SentencePiece::build(bytes, &model, &added, prefix)?;
    let find = |name: &str| pieces.iter().zip(0u32..).find(|(piece, _)| *piece == name).map(|(_, id)| id);
    let bos = if sidecars.any() {
        from_spm::bos(&model, sidecars)?.and_then(|bos| find(&bos))
    } else {
        engine.first.bos_id()
    };
    let own_eos = || engine.first.eos_id().into_iter().collect();
    let mut eos = sidecars.eos(&find).unwrap_or_else(own_eos);
    eos.retain(|id| (*id as usize) < pieces.len());
    let identity = identity(&sidecars.parts(bytes));
    let prefix = bos.into_iter().collect();
    Ok(Tokenizer::new(Engine::SentencePiece(Box::new(engine)), pieces, prefix, eos, identity, ordinary))
}

/// The tokens that are found in a text: control tokens and the unknown token.
fn controls(model: &Model) -> impl Iterator<Item = (u32, AddedToken)> {
    let found = model
        .pieces
        .iter()
        .zip(0u32..)
        .filter(|(piece, _)| piece.is(Kind::Control) || piece.is(Kind::Unknown));
    found.map(|(piece, id)| (id, AddedToken::from(piece.text.as_str(), true)))
}

impl SentencePiece {
    /// Builds the engine. Every added token is one of the model's pieces.
    pub(super) fn build(
        bytes: &[u8],
        model: &Model,
        added: &[AddedToken],
        prefix: Prefix,
    ) -> Result<Built, Refusal> {
        let processor = |bytes: &[u8]| {
            SentencePieceProcessor::from_serialized_proto(bytes)
                .map_err(|e| format!("not a SentencePiece model ({e})"))
        };
        let (first, inner) = (processor(bytes)?, processor(&without_prefix(bytes))?);
        let refused = |e: tokenizers::Error| Refusal::from(e.to_string());
        let names = model.pieces.iter().zip(0u32..).map(|(piece, id)| (piece.text.clone(), id)).collect();
        let names = WordLevel::builder().vocab(names).build().map_err(refused)?;
        let mut found = AddedVocabulary::new();
        found.add_tokens(added.iter().cloned(), &names, None::<&NormalizerWrapper>).map_err(refused)?;
        let known = found
            .get_added_tokens_decoder()
            .keys()
            .max()
            .is_none_or(|id| (*id as usize) < model.pieces.len());
        if !known {
            return Err("a token that is to be found in texts is not in the vocabulary".into());
        }
        let marked = |id: usize| found.get_added_tokens_decoder().contains_key(&(id as u32));
        let own = |id: &usize| !marked(*id) && !model.pieces[*id].is(Kind::Unused);
        let ordinary = (0..model.pieces.len()).rev().find(own).map_or(0, |id| id + 1);
        let is_byte = model.pieces.iter().map(|piece| piece.is(Kind::Byte)).collect();
        let pieces = model.pieces.iter().map(|piece| piece.text.clone()).collect();
        Ok(Built { engine: Self { first, inner, prefix, added: found, is_byte }, pieces, ordinary })
    }

    pub(super) fn encode(&self, text: &str) -> Result<Vec<Token>, String> {
        let parts = self.added.extract_and_normalize(None::<&NormalizerWrapper>, text);
        let mut tokens = Vec::new();
        for (part, (start, end), found) in parts.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            if let Some(found) = found {
                tokens.extend(found.iter().map(|token| Token { id: token.id, span: start..end }));
                continue;
            }
            let begins = start == 0 || self.prefix == Prefix::Always;
            let own = self.cut(if begins { &self.first } else { &self.inner }, part)?;
            let shifted = |span: Range<usize>| start + span.start..start + span.end;
            tokens.extend(own.into_iter().map(|token| Token { id: token.id, span: shifted(token.span) }));
        }
        Ok(tokens)
    }

    fn cut(&self, processor: &SentencePieceProcessor, text: &str) -> Result<Vec<Token>, String> {
        let encoded = processor.encode(text).map_err(|e| e.to_string())?;
        if encoded.is_empty() && !text.trim().is_empty() {
            return Err("SentencePiece made no tokens of the text".to_owned());
        }
        let spans = encoded.iter().map(|piece| piece.span.0 as usize..piece.span.1 as usize);
        let mut tokens: Vec<_> =
            encoded.iter().zip(spans).map(|(piece, span)| Token { id: piece.id, span }).collect();
        // Of a character's bytes, the library gives the last one the whole character and the others nothing.
        for i in (1..tokens.len()).rev() {
            let next = tokens[i].clone();
            let bytes = self.is_byte(tokens[i - 1].id) && self.is_byte(next.id);
            if bytes && tokens[i - 1].span.is_empty() && tokens[i - 1].span.start == next.span.start {
                tokens[i - 1].span = next.span;
            }
        }
        Ok(tokens)
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String, String> {
        self.first.decode_piece_ids(ids).map_err(|e| e.to_string())
    }

    fn is_byte(&self, id: u32) -> bool {
        self.is_byte.get(id as usize) == Some(&true)
    }
}

//! Byte-pair encoding by the `tokenizers` crate, built from parts that are checked first.
//!
//! The crate trusts its input: it indexes and unwraps where a file contradicts itself. What it would panic on is
//! refused here or by the readers of the parts: a merge of tokens that are not in the vocabulary, tokens that take the
//! space around them along while others begin with space, templates that name missing tokens, decoders that strip more
//! than there is, compiled normalisers. Post-processing (BOS) is done outside.

use std::collections::HashSet;

use tokenizers::models::bpe::{BpeBuilder, Vocab};
use tokenizers::{AddedToken, DecoderWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

use super::{MOST_TOKENS, Refusal, Token, alphabet};

/// The engine.
pub(super) struct Bpe(Tokenizer);

/// What a tokenizer is made of.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // the `tokenizers` crate's own switches
pub(super) struct Parts {
    /// Token and id.
    pub(super) vocab: Vec<(String, u32)>,
    /// Pairs in the order in which they are merged.
    pub(super) merges: Vec<(String, String)>,
    /// A word that is a token is that token, even if no merges lead to it.
    pub(super) ignore_merges: bool,
    /// Unknown characters become tokens `<0x00>` of their bytes.
    pub(super) byte_fallback: bool,
    /// Unknown characters in a row are one unknown token.
    pub(super) fuse_unknown: bool,
    pub(super) unknown: Option<String>,
    pub(super) normalizer: Option<NormalizerWrapper>,
    pub(super) pre_tokenizer: Option<PreTokenizerWrapper>,
    pub(super) decoder: Option<DecoderWrapper>,
    /// Tokens found in the text before anything else, with their ids.
    pub(super) added: Vec<(u32, AddedToken)>,
    /// Whether tokens are written in the byte-level alphabet.
    pub(super) byte_level: bool,
}

impl Bpe {
    /// Builds the engine and the pieces, by id.
    pub(super) fn new(parts: Parts) -> Result<(Self, Vec<String>), Refusal> {
        check_vocabulary(&parts)?;
        check_added(&parts.added)?;
        let pieces = pieces(&parts);
        let mut model = BpeBuilder::new()
            .vocab_and_merges(parts.vocab.into_iter().collect::<Vocab>(), parts.merges)
            .ignore_merges(parts.ignore_merges)
            .byte_fallback(parts.byte_fallback)
            .fuse_unk(parts.fuse_unknown);
        if let Some(unknown) = parts.unknown {
            model = model.unk_token(unknown);
        }
        let refused = |e: tokenizers::Error| Refusal::from(e.to_string());
        let mut tokenizer = Tokenizer::new(model.build().map_err(refused)?);
        tokenizer.with_normalizer(parts.normalizer).map_err(refused)?;
        tokenizer.with_pre_tokenizer(parts.pre_tokenizer);
        tokenizer.with_decoder(parts.decoder);
        tokenizer.add_tokens(parts.added.iter().map(|(_, token)| token.clone())).map_err(refused)?;
        // The crate numbers added tokens itself, from the vocabulary's end on.
        for (id, token) in &parts.added {
            let given = tokenizer.token_to_id(&token.content);
            if given != Some(*id) {
                let given = given.map_or("none".to_owned(), |id| id.to_string());
                let token = &token.content;
                return Err(
                    format!("the added token {token:?} has id {id}, and its place gives it {given}").into()
                );
            }
        }
        Ok((Self(tokenizer), pieces))
    }

    pub(super) fn encode(&self, text: &str) -> Result<Vec<Token>, String> {
        let encoding = self.0.encode(text, false).map_err(|e| e.to_string())?;
        let spans = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        Ok(encoding.get_ids().iter().zip(spans).map(|(&id, span)| Token { id, span }).collect())
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String, String> {
        self.0.decode(ids, true).map_err(|e| e.to_string())
    }
}

/// Merges join tokens of the vocabulary to a token of the vocabulary, and every id is one token's.
fn check_vocabulary(parts: &Parts) -> Result<(), Refusal> {
    if parts.vocab.is_empty() {
        return Err("the vocabulary is empty".into());
    }
    let mut ids = HashSet::new();
    let mut tokens = HashSet::new();
    for (token, id) in &parts.vocab {
        if *id as usize >= MOST_TOKENS {
            return Err(format!("the token {token:?} has id {id}, more than any vocabulary has").into());
        }
        if !ids.insert(*id) {
            return Err(format!("id {id} belongs to {token:?} and to another token").into());
        }
        if !tokens.insert(token.as_str()) {
            return Err(format!("the token {token:?} is in the vocabulary twice").into());
        }
    }
    for (number, (left, right)) in parts.merges.iter().enumerate() {
        let joined = format!("{left}{right}");
        if let Some(missing) = [left, right, &joined].into_iter().find(|t| !tokens.contains(t.as_str())) {
            let number = number + 1;
            return Err(
                format!("merge {number} ({left:?} {right:?}): {missing:?} is not in the vocabulary").into()
            );
        }
    }
    Ok(())
}

/// A token that swallows the space after it may swallow the next token if that one begins with space; the crate then
/// cuts at a range that ends before it starts.
fn check_added(added: &[(u32, AddedToken)]) -> Result<(), Refusal> {
    if let Some((id, _)) = added.iter().find(|(id, _)| *id as usize >= MOST_TOKENS) {
        return Err(format!("an added token has id {id}, more than any vocabulary has").into());
    }
    let swallows = added.iter().find(|(_, t)| t.rstrip);
    let spaced = added.iter().find(|(_, t)| t.content.starts_with(char::is_whitespace));
    match (swallows, spaced) {
        (Some((_, one)), Some((_, other))) => {
            let (one, other) = (&one.content, &other.content);
            Err(format!(
                "the added token {one:?} takes the space after it (rstrip), and {other:?} begins with space"
            )
            .into())
        }
        _ => Ok(()),
    }
}

fn pieces(parts: &Parts) -> Vec<String> {
    let ids = parts.vocab.iter().map(|(_, id)| *id).chain(parts.added.iter().map(|(id, _)| *id));
    let mut pieces = vec![String::new(); ids.max().map_or(0, |id| id as usize + 1)];
    let bytes = alphabet::bytes();
    let of_vocab = parts.vocab.iter().map(|(token, id)| {
        let own = parts.byte_level.then(|| alphabet::decode(token, &bytes)).flatten();
        (*id, own.map_or_else(|| token.clone(), |bytes| alphabet::readable(&bytes)))
    });
    let of_added = parts.added.iter().map(|(id, token)| (*id, token.content.clone()));
    for (id, piece) in of_vocab.chain(of_added) {
        if let Some(place) = pieces.get_mut(id as usize) {
            *place = piece;
        }
    }
    pieces
}

//! Byte-pair encoding by the `tokenizers` crate, built from parts that are checked first.
//!
//! The crate trusts its input: it indexes and unwraps where a file contradicts itself. What it would panic on is
//! refused here or by the readers of the parts: a merge of tokens that are not in the vocabulary, tokens that take the
//! space around them along while others begin with space, templates that name missing tokens, decoders that strip more
//! than there is, compiled normalizers. Its pipeline is run step by step, because it ends or shortens a text in silence
//! where a step fails ([`super::steps`]) or a character has no token ([`Bpe::uncovered`]). Post-processing (BOS) is done
//! outside.

use std::collections::{HashMap, HashSet};

use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};
use tokenizers::normalizer::Range;
use tokenizers::{AddedToken, AddedVocabulary, Decoder as _, DecoderWrapper, Model as _, NormalizedString};

use super::steps::{Change, Changes, Cut, short};
use super::{LONGEST_TOKEN, MOST_TOKENS, Refusal, Token, alphabet};

/// The engine.
pub(super) struct Bpe {
    model: BPE,
    /// Tokens found in the text before it is cut.
    added: AddedVocabulary,
    changes: Vec<Change>,
    cuts: Vec<Cut>,
    decoder: Option<DecoderWrapper>,
}

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
    pub(super) changes: Vec<Change>,
    pub(super) cuts: Vec<Cut>,
    pub(super) decoder: Option<DecoderWrapper>,
    /// Tokens found in the text before anything else.
    pub(super) added: Vec<Added>,
    /// Special tokens in a text are text.
    pub(super) split_special: bool,
    /// Whether tokens are written in the byte-level alphabet.
    pub(super) byte_level: bool,
}

/// A token that is found in a text before it is cut.
#[derive(Clone, Debug)]
pub(super) struct Added {
    /// The id that its file says; without one it has the vocabulary's, or the next.
    pub(super) id: Option<u32>,
    pub(super) token: AddedToken,
}

/// The engine, and what is known of its tokens.
pub(super) struct Built {
    pub(super) engine: Bpe,
    /// Every token for people to read, by id.
    pub(super) pieces: Vec<String>,
    /// One more than the highest id that a text without added tokens can have.
    pub(super) ordinary: usize,
}

impl Bpe {
    /// Builds the engine.
    pub(super) fn build(parts: Parts) -> Result<Built, Refusal> {
        check_vocabulary(&parts)?;
        let added = numbered(&parts)?;
        check_added(&added)?;
        let pieces = pieces(&parts, &added);
        let ordinary = ordinary(&parts, &added);
        let mut model = BpeBuilder::new()
            .vocab_and_merges(parts.vocab.into_iter().collect::<Vocab>(), parts.merges)
            .ignore_merges(parts.ignore_merges)
            .byte_fallback(parts.byte_fallback)
            .fuse_unk(parts.fuse_unknown);
        if let Some(unknown) = parts.unknown {
            model = model.unk_token(unknown);
        }
        let refused = |e: tokenizers::Error| Refusal::from(e.to_string());
        let model = model.build().map_err(refused)?;
        let mut found = AddedVocabulary::new();
        found.set_encode_special_tokens(parts.split_special);
        let changes = Changes::new(&parts.changes);
        found
            .add_tokens(added.iter().map(|(_, token)| token.clone()), &model, Some(&changes))
            .map_err(refused)?;
        changes.result()?;
        for (id, token) in &added {
            let given = found.token_to_id(&token.content, &model);
            if given != Some(*id) {
                return Err(misplaced(&token.content, *id, given));
            }
        }
        let (changes, cuts, decoder) = (parts.changes, parts.cuts, parts.decoder);
        Ok(Built { engine: Self { model, added: found, changes, cuts, decoder }, pieces, ordinary })
    }

    pub(super) fn encode(&self, text: &str) -> Result<Vec<Token>, String> {
        let changes = Changes::new(&self.changes);
        let mut pieces = self.added.extract_and_normalize(Some(&changes), text);
        changes.result()?;
        for cut in &self.cuts {
            cut.apply(&mut pieces)?;
        }
        let merged = |piece: &NormalizedString| {
            let tokens = self.model.tokenize(piece.get())?;
            let covered = tokens.last().map_or(0, |token| token.offsets.1);
            if covered == piece.get().len() { Ok(tokens) } else { Err(self.uncovered(piece).into()) }
        };
        pieces.tokenize(merged).map_err(|e| e.to_string())?;
        let encoding =
            pieces.into_encoding(None, 0, tokenizers::OffsetType::Byte).map_err(|e| e.to_string())?;
        let spans = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        Ok(encoding.get_ids().iter().zip(spans).map(|(&id, span)| Token { id, span }).collect())
    }

    /// What is said of a piece of which merging makes fewer bytes than it has: characters that are no token, without an
    /// unknown token or the bytes to stand for them. (The crate, and with it transformers, leaves them out.)
    fn uncovered(&self, piece: &NormalizedString) -> String {
        let text = piece.get();
        let known = |c: &str| {
            let of_bytes = || c.bytes().all(|b| self.model.token_to_id(&format!("<0x{b:02X}>")).is_some());
            self.model.token_to_id(c).is_some() || self.model.byte_fallback && of_bytes()
        };
        let lost = |(at, c): (usize, char)| (!known(&text[at..at + c.len_utf8()])).then_some((at, c));
        match text.char_indices().find_map(lost) {
            Some((at, c)) => {
                let range = piece.convert_offsets(Range::Normalized(at..at + c.len_utf8()));
                let at = piece.offsets_original().0 + range.map_or(at, |range| range.start);
                format!(
                    "{c:?} at byte {at} of the text is no token, and the vocabulary has none for unknown characters"
                )
            }
            None => format!("the tokens do not cover {}", short(text)),
        }
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String, String> {
        let token = |id: &u32| self.added.simple_id_to_token(*id).or_else(|| self.model.id_to_token(*id));
        let shown = |token: &String| !self.added.is_special_token(token);
        let tokens: Vec<String> = ids.iter().filter_map(token).filter(shown).collect();
        match &self.decoder {
            Some(decoder) => decoder.decode(tokens).map_err(|e| e.to_string()),
            None => Ok(tokens.join(" ")),
        }
    }
}

fn misplaced(token: &str, id: u32, given: Option<u32>) -> Refusal {
    let given = given.map_or("none".to_owned(), |id| id.to_string());
    format!("the added token {} has id {id}, and its place gives it {given}", short(token)).into()
}

/// Merges join tokens of the vocabulary to a token of the vocabulary, and every id is one token's.
fn check_vocabulary(parts: &Parts) -> Result<(), Refusal> {
    if parts.vocab.is_empty() {
        return Err("the vocabulary is empty".into());
    }
    let mut ids = HashSet::new();
    let mut tokens = HashSet::new();
    for (token, id) in &parts.vocab {
        let shown = || short(token);
        if token.len() > LONGEST_TOKEN {
            let length = token.len();
            return Err(format!(
                "the token {} has {length} bytes, and at most {LONGEST_TOKEN} are read",
                shown()
            )
            .into());
        }
        if *id as usize >= MOST_TOKENS {
            return Err(format!("the token {} has id {id}, more than any vocabulary has", shown()).into());
        }
        if !ids.insert(*id) {
            return Err(format!("id {id} belongs to {} and to another token", shown()).into());
        }
        if !tokens.insert(token.as_str()) {
            return Err(format!("the token {} is in the vocabulary twice", shown()).into());
        }
    }
    for (number, (left, right)) in parts.merges.iter().enumerate() {
        let missing = |token: &str| {
            let (number, left, right, token) = (number + 1, short(left), short(right), short(token));
            Refusal::from(format!("merge {number} ({left} {right}): {token} is not in the vocabulary"))
        };
        if let Some(part) = [left, right].into_iter().find(|part| !tokens.contains(part.as_str())) {
            return Err(missing(part));
        }
        // Both parts are tokens now, and short.
        let joined = format!("{left}{right}");
        if !tokens.contains(joined.as_str()) {
            return Err(missing(&joined));
        }
    }
    match &parts.unknown {
        Some(unknown) if !tokens.contains(unknown.as_str()) => {
            Err(format!("the token for unknown characters, {}, is not in the vocabulary", short(unknown))
                .into())
        }
        _ => Ok(()),
    }
}

/// The added tokens with their ids, as the crate numbers them: the vocabulary's, or the next after its size.
fn numbered(parts: &Parts) -> Result<Vec<(u32, AddedToken)>, Refusal> {
    let vocab: HashMap<&str, u32> = parts.vocab.iter().map(|(token, id)| (token.as_str(), *id)).collect();
    let taken: HashSet<u32> = vocab.values().copied().collect();
    let mut next = parts.vocab.len() as u32;
    let mut new: HashMap<&str, u32> = HashMap::new();
    let mut all = Vec::new();
    // The crate takes no notice of a token without text.
    for Added { id, token } in parts.added.iter().filter(|added| !added.token.content.is_empty()) {
        let name = token.content.as_str();
        let given = vocab.get(name).or_else(|| new.get(name)).copied().unwrap_or(next);
        if let Some(id) = id.filter(|id| *id != given) {
            return Err(misplaced(name, id, Some(given)));
        }
        if !vocab.contains_key(name) && new.insert(name, given).is_none() {
            if taken.contains(&given) {
                return Err(format!(
                    "the added token {} would have id {given}, which is another token's",
                    short(name)
                )
                .into());
            }
            next += 1;
        }
        all.push((given, token.clone()));
    }
    Ok(all)
}

/// A token that swallows the space after it may swallow the next token if that one begins with space; the crate then
/// cuts at a range that ends before it starts.
fn check_added(added: &[(u32, AddedToken)]) -> Result<(), Refusal> {
    if let Some((_, long)) = added.iter().find(|(_, token)| token.content.len() > LONGEST_TOKEN) {
        let (token, length) = (short(&long.content), long.content.len());
        return Err(format!(
            "the added token {token} has {length} bytes, and at most {LONGEST_TOKEN} are read"
        )
        .into());
    }
    if added.iter().any(|(id, _)| *id as usize >= MOST_TOKENS) {
        return Err("an added token has an id that is more than any vocabulary has".into());
    }
    let swallows = added.iter().find(|(_, t)| t.rstrip);
    let spaced = added.iter().find(|(_, t)| t.content.starts_with(char::is_whitespace));
    match (swallows, spaced) {
        (Some((_, one)), Some((_, other))) => {
            let (one, other) = (short(&one.content), short(&other.content));
            Err(format!(
                "the added token {one} takes the space after it (rstrip), and {other} begins with space"
            )
            .into())
        }
        _ => Ok(()),
    }
}

/// Ids that ordinary text can have: all of the vocabulary's but those of added tokens.
fn ordinary(parts: &Parts, added: &[(u32, AddedToken)]) -> usize {
    let marked: HashSet<u32> = added.iter().map(|(id, _)| *id).collect();
    let own = parts.vocab.iter().map(|(_, id)| *id).filter(|id| !marked.contains(id));
    own.max().map_or(0, |id| id as usize + 1)
}

fn pieces(parts: &Parts, added: &[(u32, AddedToken)]) -> Vec<String> {
    let ids = parts.vocab.iter().map(|(_, id)| *id).chain(added.iter().map(|(id, _)| *id));
    let mut pieces = vec![String::new(); ids.max().map_or(0, |id| id as usize + 1)];
    let bytes = alphabet::bytes();
    let of_vocab = parts.vocab.iter().map(|(token, id)| {
        let own = parts.byte_level.then(|| alphabet::decode(token, &bytes)).flatten();
        (*id, own.map_or_else(|| token.clone(), |bytes| alphabet::readable(&bytes)))
    });
    let of_added = added.iter().map(|(id, token)| (*id, token.content.clone()));
    for (id, piece) in of_vocab.chain(of_added) {
        if let Some(slot) = pieces.get_mut(id as usize) {
            *slot = piece;
        }
    }
    pieces
}

//! SentencePiece's model file, a protocol-buffer `ModelProto`: reading what the library does not show or does not check,
//! and writing one. Field numbers are those of `sentencepiece_model.proto`.

use std::collections::HashSet;

use super::charsmap;

/// `ModelProto.pieces` and its parts.
const PIECES: u64 = 1;
const PIECE_TEXT: u64 = 1;
const PIECE_SCORE: u64 = 2;
const PIECE_TYPE: u64 = 3;
/// `ModelProto.trainer_spec`, `normalizer_spec` and `denormalizer_spec`.
const TRAINER: u64 = 2;
const NORMALIZER: u64 = 3;
const DENORMALIZER: u64 = 5;
/// `NormalizerSpec.precompiled_charsmap`.
const CHARSMAP: u64 = 2;

/// What a piece is for (`SentencePiece.Type`; GGUF's token types are the same numbers). 5, unused, is passed on only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Byte = 6,
}

/// A piece as the file has it.
pub(super) struct Piece {
    pub(super) text: String,
    /// [`Kind`]; a number that is none of them counts as normal.
    pub(super) kind: u64,
}

/// The pieces, by id, of a model that the library can read without harm.
pub(super) fn pieces(model: &[u8]) -> Result<Vec<Piece>, String> {
    let not_one = |reason: String| format!("not a SentencePiece model ({reason})");
    let mut pieces = Vec::new();
    for field in fields(model) {
        match field.map_err(not_one)? {
            (PIECES, Field::Bytes(bytes)) => {
                pieces.push(
                    piece(bytes).map_err(|reason| not_one(format!("piece {}: {reason}", pieces.len())))?,
                );
            }
            (NORMALIZER | DENORMALIZER, Field::Bytes(spec)) => check_normalizer(spec).map_err(not_one)?,
            _ => {}
        }
    }
    if pieces.is_empty() {
        return Err(not_one("it holds no pieces".to_owned()));
    }
    // The library keeps unknown, control and byte tokens apart from text; in either group a name is one token's.
    let mut names = HashSet::new();
    let reserved = |kind| [Kind::Unknown, Kind::Control, Kind::Byte].iter().any(|k| *k as u64 == kind);
    match pieces.iter().find(|piece| !names.insert((reserved(piece.kind), piece.text.as_str()))) {
        Some(twice) => Err(not_one(format!("the piece {:?} is there twice", twice.text))),
        None => Ok(pieces),
    }
}

fn piece(bytes: &[u8]) -> Result<Piece, String> {
    let (mut text, mut kind) = (None, Kind::Normal as u64);
    for part in fields(bytes) {
        match part? {
            (PIECE_TEXT, Field::Bytes(bytes)) => {
                text = Some(std::str::from_utf8(bytes).map_err(|_| "not text")?.to_owned());
            }
            (PIECE_SCORE, Field::Fixed(bits)) if !f32::from_bits(bits).is_finite() => {
                return Err("its score is not finite".to_owned());
            }
            (PIECE_TYPE, Field::Varint(number)) => kind = number,
            _ => {}
        }
    }
    match text {
        // Tries in the library end keys at a zero byte.
        Some(text) if text.contains('\0') => Err("it holds a zero byte".to_owned()),
        Some(text) if !text.is_empty() => Ok(Piece { text, kind }),
        _ => Err("it has no text".to_owned()),
    }
}

fn check_normalizer(spec: &[u8]) -> Result<(), String> {
    for field in fields(spec) {
        if let (CHARSMAP, Field::Bytes(rules)) = field?
            && !rules.is_empty()
        {
            charsmap::check(rules)
                .map_err(|reason| format!("its normalisation rules are damaged: {reason}"))?;
        }
    }
    Ok(())
}

/// A SentencePiece model that cuts text at spaces into the given words and nothing smaller: `<unk>`, `<s>`, `</s>`, then
/// the words in order. A word begins with "▁" if a space comes before it (the text's beginning counts as one).
pub fn word_model(words: &[String]) -> Vec<u8> {
    let special = [("<unk>", Kind::Unknown), ("<s>", Kind::Control), ("</s>", Kind::Control)];
    // A unigram model takes the best-scoring cut: fewer, longer pieces win when every piece costs the same.
    let pieces: Vec<_> = special
        .into_iter()
        .map(|(text, kind)| (text, 0.0, kind as u64))
        .chain(words.iter().map(|word| (word.as_str(), -1.0, Kind::Normal as u64)))
        .collect();
    write(&pieces, &Spec { algorithm: Algorithm::Unigram, byte_fallback: false, dummy_prefix: true })
}

/// `TrainerSpec.model_type`.
#[derive(Clone, Copy)]
pub(super) enum Algorithm {
    Unigram = 1,
    Bpe = 2,
}

/// What a model says besides its pieces.
pub(super) struct Spec {
    pub(super) algorithm: Algorithm,
    pub(super) byte_fallback: bool,
    /// Whether the text's beginning counts as a space.
    pub(super) dummy_prefix: bool,
}

/// Writes a model that changes nothing in a text but spaces, which become "▁". A piece is its text, score and kind.
pub(super) fn write(pieces: &[(&str, f32, u64)], spec: &Spec) -> Vec<u8> {
    let mut model = Vec::new();
    for (text, score, kind) in pieces {
        let mut piece = Vec::new();
        bytes(&mut piece, PIECE_TEXT, text.as_bytes());
        key(&mut piece, PIECE_SCORE, 5);
        piece.extend(score.to_le_bytes());
        number(&mut piece, PIECE_TYPE, *kind);
        bytes(&mut model, PIECES, &piece);
    }
    let mut trainer = Vec::new();
    number(&mut trainer, 3, spec.algorithm as u64); // model_type
    number(&mut trainer, 4, pieces.len() as u64); // vocab_size
    if spec.byte_fallback {
        number(&mut trainer, 35, 1); // byte_fallback
    }
    bytes(&mut model, TRAINER, &trainer);
    let mut normalizer = Vec::new();
    bytes(&mut normalizer, 1, b"identity"); // name
    number(&mut normalizer, 3, u64::from(spec.dummy_prefix)); // add_dummy_prefix
    number(&mut normalizer, 4, 0); // remove_extra_whitespaces
    number(&mut normalizer, 5, 1); // escape_whitespaces
    bytes(&mut model, NORMALIZER, &normalizer);
    model
}

/// A field's content.
pub(super) enum Field<'a> {
    Bytes(&'a [u8]),
    Varint(u64),
    Fixed(u32),
    Other,
}

/// The fields of a message, one after another; an error ends them.
pub(super) fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<(u64, Field<'_>), String>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next(&mut rest).ok_or_else(|| "it ends in the middle of a field".to_owned());
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let key = read_varint(rest)?;
    let content = match key & 7 {
        0 => Field::Varint(read_varint(rest)?),
        1 => take(rest, 8).map(|_| Field::Other)?,
        5 => Field::Fixed(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?)),
        2 => {
            let length = usize::try_from(read_varint(rest)?).ok()?;
            Field::Bytes(take(rest, length)?)
        }
        _ => return None,
    };
    Some((key >> 3, content))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn key(into: &mut Vec<u8>, field: u64, wire: u64) {
    varint(into, field << 3 | wire);
}

fn number(into: &mut Vec<u8>, field: u64, value: u64) {
    key(into, field, 0);
    varint(into, value);
}

fn bytes(into: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(into, field, 2);
    varint(into, content.len() as u64);
    into.extend(content);
}

//! SentencePiece's model file, a protocol-buffer `ModelProto`: reading what the library does not show or does not check,
//! and writing one. Field numbers are those of `sentencepiece_model.proto`.

use std::collections::HashSet;

use super::steps::short;
use super::{LONGEST_TOKEN, charsmap};

/// `ModelProto.pieces` and its parts.
const PIECES: u64 = 1;
const PIECE_TEXT: u64 = 1;
const PIECE_SCORE: u64 = 2;
const PIECE_TYPE: u64 = 3;
/// `ModelProto.trainer_spec`, `normalizer_spec` and `denormalizer_spec`.
const TRAINER: u64 = 2;
const NORMALIZER: u64 = 3;
const DENORMALIZER: u64 = 5;
/// Parts of `TrainerSpec`.
const MODEL_TYPE: u64 = 3;
const SPACE_AS_SUFFIX: u64 = 24;
const BYTE_FALLBACK: u64 = 35;
const UNKNOWN_ID: u64 = 40;
const BOS_ID: u64 = 41;
const EOS_ID: u64 = 42;
const UNKNOWN_PIECE: u64 = 45;
const BOS_PIECE: u64 = 46;
const EOS_PIECE: u64 = 47;
/// Parts of `NormalizerSpec`.
const CHARSMAP: u64 = 2;
const DUMMY_PREFIX: u64 = 3;
const REMOVE_EXTRA_SPACES: u64 = 4;
const ESCAPE_SPACES: u64 = 5;

/// What a piece is for (`SentencePiece.Type`; GGUF's token types are the same numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// A piece as the file has it.
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    /// [`Kind`]; a number that is none of them counts as normal.
    pub(super) kind: u64,
}

impl Piece {
    pub(super) fn is(&self, kind: Kind) -> bool {
        self.kind == kind as u64
    }
}

/// A model's pieces, by id, and what it says besides.
#[allow(clippy::struct_excessive_bools)] // SentencePiece's own switches
pub(super) struct Model {
    pub(super) pieces: Vec<Piece>,
    /// Whether it is byte-pair encoding ([`Algorithm`]).
    pub(super) is_bpe: bool,
    pub(super) byte_fallback: bool,
    /// The ids and names of the unknown token, BOS and EOS; −1 where there is none.
    pub(super) unknown: (i64, String),
    pub(super) bos: (i64, String),
    pub(super) eos: (i64, String),
    /// Whether the text's beginning counts as a space.
    pub(super) dummy_prefix: bool,
    pub(super) remove_extra_spaces: bool,
    pub(super) escape_spaces: bool,
    /// Compiled normalization rules; empty without.
    pub(super) charsmap: Vec<u8>,
    spaces_follow: bool,
}

impl Default for Model {
    /// The defaults of `sentencepiece_model.proto`.
    fn default() -> Self {
        Self {
            pieces: Vec::new(),
            is_bpe: false,
            byte_fallback: false,
            unknown: (0, "<unk>".to_owned()),
            bos: (1, "<s>".to_owned()),
            eos: (2, "</s>".to_owned()),
            dummy_prefix: true,
            remove_extra_spaces: true,
            escape_spaces: true,
            charsmap: Vec::new(),
            spaces_follow: false,
        }
    }
}

impl Model {
    /// Reads a model that the library can read without harm.
    pub(super) fn read(model: &[u8]) -> Result<Self, String> {
        let not_one = |reason: String| format!("not a SentencePiece model ({reason})");
        let mut read = Self::default();
        for field in fields(model) {
            match field.map_err(not_one)? {
                (PIECES, Field::Bytes(bytes)) => {
                    let number = read.pieces.len();
                    read.pieces.push(piece(bytes).map_err(|e| not_one(format!("piece {number}: {e}")))?);
                }
                (TRAINER, Field::Bytes(spec)) => read.trainer(spec).map_err(not_one)?,
                (NORMALIZER, Field::Bytes(spec)) => read.normalizer(spec).map_err(not_one)?,
                (DENORMALIZER, Field::Bytes(spec)) => check_normalizer(spec).map_err(not_one)?,
                _ => {}
            }
        }
        if read.pieces.is_empty() {
            return Err(not_one("it holds no pieces".to_owned()));
        }
        if read.spaces_follow {
            return Err("the SentencePiece model puts the space behind a word (treat_whitespace_as_suffix), which no \
                        LLaMA's does"
                .to_owned());
        }
        // The library keeps unknown, control and byte tokens apart from text; in either group a name is one token's.
        let mut names = HashSet::new();
        let reserved =
            |piece: &Piece| [Kind::Unknown, Kind::Control, Kind::Byte].iter().any(|k| piece.is(*k));
        match read.pieces.iter().find(|piece| !names.insert((reserved(piece), piece.text.as_str()))) {
            Some(twice) => Err(not_one(format!("the piece {} is there twice", short(&twice.text)))),
            None => Ok(read),
        }
    }

    fn trainer(&mut self, spec: &[u8]) -> Result<(), String> {
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for field in fields(spec) {
            match field? {
                (MODEL_TYPE, Field::Varint(kind)) => self.is_bpe = kind == Algorithm::Bpe as u64,
                (SPACE_AS_SUFFIX, Field::Varint(on)) => self.spaces_follow = on != 0,
                (BYTE_FALLBACK, Field::Varint(on)) => self.byte_fallback = on != 0,
                (UNKNOWN_ID, Field::Varint(id)) => self.unknown.0 = i64::from(id as i32),
                (BOS_ID, Field::Varint(id)) => self.bos.0 = i64::from(id as i32),
                (EOS_ID, Field::Varint(id)) => self.eos.0 = i64::from(id as i32),
                (UNKNOWN_PIECE, Field::Bytes(text)) => self.unknown.1 = name(text),
                (BOS_PIECE, Field::Bytes(text)) => self.bos.1 = name(text),
                (EOS_PIECE, Field::Bytes(text)) => self.eos.1 = name(text),
                _ => {}
            }
        }
        Ok(())
    }

    fn normalizer(&mut self, spec: &[u8]) -> Result<(), String> {
        check_normalizer(spec)?;
        for field in fields(spec) {
            match field? {
                (CHARSMAP, Field::Bytes(rules)) => self.charsmap = rules.to_vec(),
                (DUMMY_PREFIX, Field::Varint(on)) => self.dummy_prefix = on != 0,
                (REMOVE_EXTRA_SPACES, Field::Varint(on)) => self.remove_extra_spaces = on != 0,
                (ESCAPE_SPACES, Field::Varint(on)) => self.escape_spaces = on != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The same model without a space that the text's beginning counts as: a message's later part overrides the earlier.
pub(super) fn without_prefix(model: &[u8]) -> Vec<u8> {
    let mut model = model.to_vec();
    let mut normalizer = Vec::new();
    number(&mut normalizer, DUMMY_PREFIX, 0);
    bytes(&mut model, NORMALIZER, &normalizer);
    model
}

fn piece(bytes: &[u8]) -> Result<Piece, String> {
    let (mut text, mut score, mut kind) = (None, 0.0, Kind::Normal as u64);
    for part in fields(bytes) {
        match part? {
            (PIECE_TEXT, Field::Bytes(bytes)) if bytes.len() > LONGEST_TOKEN => {
                return Err(format!("it has {} bytes, and at most {LONGEST_TOKEN} are read", bytes.len()));
            }
            (PIECE_TEXT, Field::Bytes(bytes)) => {
                text = Some(std::str::from_utf8(bytes).map_err(|_| "not text")?.to_owned());
            }
            (PIECE_SCORE, Field::Fixed(bits)) => score = f32::from_bits(bits),
            (PIECE_TYPE, Field::Varint(number)) => kind = number,
            _ => {}
        }
    }
    if !score.is_finite() {
        return Err("its score is not finite".to_owned());
    }
    match text {
        // Tries in the library end keys at a zero byte.
        Some(text) if text.contains('\0') => Err("it holds a zero byte".to_owned()),
        Some(text) if !text.is_empty() => Ok(Piece { text, score, kind }),
        _ => Err("it has no text".to_owned()),
    }
}

fn check_normalizer(spec: &[u8]) -> Result<(), String> {
    for field in fields(spec) {
        if let (CHARSMAP, Field::Bytes(rules)) = field?
            && !rules.is_empty()
        {
            charsmap::check(rules)
                .map_err(|reason| format!("its normalization rules are damaged: {reason}"))?;
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

//! The few fields of a SentencePiece model file that the library does not show: its pieces, by id. And writing one.
//!
//! The file is a protocol-buffer `ModelProto`; field numbers are those of `sentencepiece_model.proto`.

/// `ModelProto.pieces` and its parts.
const PIECES: u64 = 1;
const PIECE_TEXT: u64 = 1;
const PIECE_SCORE: u64 = 2;
const PIECE_TYPE: u64 = 3;
/// `ModelProto.trainer_spec` and `normalizer_spec`.
const TRAINER: u64 = 2;
const NORMALIZER: u64 = 3;

/// What a piece is for (`SentencePiece.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
}

/// The pieces' texts, by id.
pub(super) fn pieces(model: &[u8]) -> Result<Vec<String>, String> {
    let mut pieces = Vec::new();
    for field in fields(model) {
        let (PIECES, Field::Bytes(piece)) = field? else { continue };
        let mut text = None;
        for part in fields(piece) {
            if let (PIECE_TEXT, Field::Bytes(bytes)) = part? {
                text = Some(String::from_utf8_lossy(bytes).into_owned());
            }
        }
        pieces.push(text.ok_or("a piece without text")?);
    }
    if pieces.is_empty() { Err("it holds no pieces".to_owned()) } else { Ok(pieces) }
}

/// A SentencePiece model that cuts text at spaces into the given words and nothing smaller: `<unk>`, `<s>`, `</s>`, then
/// the words in order. A word begins with "▁" if a space comes before it (the text's beginning counts as one).
pub fn word_model(words: &[String]) -> Vec<u8> {
    let mut model = Vec::new();
    let special = [("<unk>", Kind::Unknown), ("<s>", Kind::Control), ("</s>", Kind::Control)];
    let special = special.map(|(text, kind)| (text.to_owned(), kind));
    for (text, kind) in special.into_iter().chain(words.iter().map(|w| (w.clone(), Kind::Normal))) {
        let mut piece = Vec::new();
        bytes(&mut piece, PIECE_TEXT, text.as_bytes());
        // A unigram model takes the best-scoring cut: fewer, longer pieces win when every piece costs the same.
        let score: f32 = if kind == Kind::Normal { -1.0 } else { 0.0 };
        key(&mut piece, PIECE_SCORE, 5);
        piece.extend(score.to_le_bytes());
        key(&mut piece, PIECE_TYPE, 0);
        varint(&mut piece, kind as u64);
        bytes(&mut model, PIECES, &piece);
    }
    let mut trainer = Vec::new();
    for (field, value) in [(3, 1), (4, special_count() + words.len() as u64)] {
        key(&mut trainer, field, 0); // model_type = UNIGRAM, vocab_size
        varint(&mut trainer, value);
    }
    bytes(&mut model, TRAINER, &trainer);
    let mut normalizer = Vec::new();
    bytes(&mut normalizer, 1, b"identity"); // name
    for field in [3, 4, 5] {
        key(&mut normalizer, field, 0); // add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces
        varint(&mut normalizer, u64::from(field != 4));
    }
    bytes(&mut model, NORMALIZER, &normalizer);
    model
}

fn special_count() -> u64 {
    3
}

/// A field's content.
enum Field<'a> {
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message, one after another; an error ends them.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<(u64, Field<'_>), String>> {
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
    let mut take = |count: usize| -> Option<&'a [u8]> {
        let (taken, left) = rest.split_at_checked(count)?;
        *rest = left;
        Some(taken)
    };
    let content = match key & 7 {
        0 => read_varint(rest).map(|_| Field::Other)?,
        1 => take(8).map(|_| Field::Other)?,
        5 => take(4).map(|_| Field::Other)?,
        2 => {
            let length = usize::try_from(read_varint(rest)?).ok()?;
            let (taken, left) = rest.split_at_checked(length)?;
            *rest = left;
            Field::Bytes(taken)
        }
        _ => return None,
    };
    Some((key >> 3, content))
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

fn bytes(into: &mut Vec<u8>, field: u64, content: &[u8]) {
    key(into, field, 2);
    varint(into, content.len() as u64);
    into.extend(content);
}

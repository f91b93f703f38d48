//! SentencePiece by the `sentencepiece` crate, Google's implementation.

use sentencepiece::SentencePieceProcessor;

use super::proto::{self, Kind};
use super::{Engine, Refusal, Token, Tokenizer, identity};

/// The engine.
pub(super) struct SentencePiece {
    processor: SentencePieceProcessor,
    /// Whether a token stands for one byte, by id.
    is_byte: Vec<bool>,
}

/// Reads a `tokenizer.model`.
pub(super) fn read(model: &[u8]) -> Result<Tokenizer, Refusal> {
    let (engine, pieces) = SentencePiece::new(model)?;
    let (bos, eos) = (engine.processor.bos_id(), engine.processor.eos_id());
    Ok(Tokenizer {
        engine: Engine::SentencePiece(engine),
        pieces,
        prefix: bos.into_iter().collect(),
        eos: eos.into_iter().collect(),
        identity: identity(&[model]),
        padded: false,
    })
}

impl SentencePiece {
    /// Builds the engine and the pieces, by id.
    pub(super) fn new(model: &[u8]) -> Result<(Self, Vec<String>), Refusal> {
        // Our own reader goes first: it refuses what the C++ library would take on trust.
        let pieces = proto::pieces(model)?;
        let processor = SentencePieceProcessor::from_serialized_proto(model)
            .map_err(|e| format!("not a SentencePiece model ({e})"))?;
        let is_byte = pieces.iter().map(|piece| piece.kind == Kind::Byte as u64).collect();
        Ok((Self { processor, is_byte }, pieces.into_iter().map(|piece| piece.text).collect()))
    }

    pub(super) fn encode(&self, text: &str) -> Result<Vec<Token>, String> {
        let encoded = self.processor.encode(text).map_err(|e| e.to_string())?;
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
        self.processor.decode_piece_ids(ids).map_err(|e| e.to_string())
    }

    fn is_byte(&self, id: u32) -> bool {
        self.is_byte.get(id as usize) == Some(&true)
    }
}

//! LLaMA's tokenizer: SentencePiece, with BOS in front and no EOS, as LLaMA was trained.

use std::ops::Range;
use std::path::Path;

use sentencepiece::SentencePieceProcessor;

use crate::error::{Error, Result};

mod proto;

pub use proto::word_model;

/// A token of a text: its id and the bytes of the text it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The id.
    pub id: u32,
    /// Byte range in the encoded text, the space before a word included; empty for BOS.
    pub span: Range<usize>,
}

/// A tokenizer read from a `tokenizer.model` file.
#[derive(Debug)]
pub struct Tokenizer {
    processor: SentencePieceProcessor,
    pieces: Vec<String>,
    bos: Option<u32>,
    eos: Option<u32>,
    identity: String,
}

impl Tokenizer {
    /// Reads a SentencePiece model.
    ///
    /// # Errors
    /// A file that cannot be read or is no SentencePiece model.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_bytes(&fs_err::read(path)?, path)
    }

    /// Reads a SentencePiece model from memory; `path` is what errors call it.
    ///
    /// # Errors
    /// Bytes that are no SentencePiece model.
    pub fn from_bytes(bytes: &[u8], path: impl AsRef<Path>) -> Result<Self> {
        let refuse = |reason: String| Error::Tokenizer { path: path.as_ref().to_owned(), reason };
        // Our own reader goes first: it refuses what is no such file before the C++ library sees it.
        let pieces = proto::pieces(bytes).map_err(refuse)?;
        let processor =
            SentencePieceProcessor::from_serialized_proto(bytes).map_err(|e| refuse(e.to_string()))?;
        let (bos, eos) = (processor.bos_id(), processor.eos_id());
        Ok(Self { processor, pieces, bos, eos, identity: blake3::hash(bytes).to_hex().to_string() })
    }

    /// The tokens of a text, BOS first.
    ///
    /// # Errors
    /// A text that SentencePiece cannot encode.
    pub fn encode(&self, text: &str) -> Result<Vec<Token>> {
        let encoded = self
            .processor
            .encode(text)
            .map_err(|e| Error::Tokenizer { path: "text".into(), reason: e.to_string() })?;
        let bos = self.bos.map(|id| Token { id, span: 0..0 });
        let own = encoded
            .into_iter()
            .map(|piece| Token { id: piece.id, span: piece.span.0 as usize..piece.span.1 as usize });
        Ok(bos.into_iter().chain(own).collect())
    }

    /// The ids of a text, BOS first.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.encode(text)?.into_iter().map(|token| token.id).collect())
    }

    /// The text of ids; control tokens have none.
    ///
    /// # Errors
    /// Ids that the tokenizer does not have.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.processor
            .decode_piece_ids(ids)
            .map_err(|e| Error::Tokenizer { path: "ids".into(), reason: e.to_string() })
    }

    /// A token as the tokenizer writes it (`▁True`); empty for an id it does not have.
    pub fn piece(&self, id: u32) -> &str {
        self.pieces.get(id as usize).map_or("", String::as_str)
    }

    /// How many tokens there are.
    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// Beginning of sequence, which [`Tokenizer::encode`] puts first.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// End of sequence, where generation stops.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// BLAKE3 hash of the file, in hex.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Refuses a tokenizer that does not belong to a model.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] with both sizes.
    pub fn check_fits(&self, config: &crate::Config) -> Result<()> {
        let model = config.vocab_size as usize;
        if self.vocab_size() == model {
            Ok(())
        } else {
            Err(Error::Vocabulary { tokenizer: self.vocab_size(), model })
        }
    }
}

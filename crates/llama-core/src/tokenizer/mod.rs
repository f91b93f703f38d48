//! Every LLaMA's tokenizer behind one interface: text in, ids and the bytes that they cover out, with BOS in front and
//! no EOS.
//!
//! | where it comes from | engine | BOS |
//! |---|---|---|
//! | `tokenizer.model` of SentencePiece (LLaMA 1 and 2), alone | `sentencepiece` | if the model has one |
//! | the same with `tokenizer_config.json` and its like beside it | `tokenizers` | as `add_bos_token` says |
//! | `tokenizer.json` of Hugging Face | `tokenizers` | as its post-processor says |
//! | `tokenizer.model` of Meta's LLaMA 3 (tiktoken ranks) | `tokenizers` | always; with sidecars as `add_bos_token` says |
//! | the vocabulary in a GGUF file, `llama` | `sentencepiece` | unless the file says no |
//! | the vocabulary in a GGUF file, `gpt2` | `tokenizers` | if the file says so; LLaMA 3's always |
//!
//! A tokenizer is its folder: the files beside it are read whichever way it was opened ([`sidecars`]), and with them it
//! is what `AutoTokenizer` of transformers 5.24 makes of the folder. Control tokens that are written in a text (`</s>`,
//! `<|eot_id|>`) are those tokens, whatever the engine. `open` looks at a file's bytes, never at its name.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Once;

use crate::chat::ChatSource;
use crate::error::{Error, Result};

mod alphabet;
mod bpe;
mod charsmap;
mod chat;
mod from_spm;
mod huggingface;
mod input;
mod json_steps;
mod keys;
mod post_processor;
mod proto;
mod sentence_piece;
mod sidecars;
mod split;
mod steps;
mod tiktoken;
#[cfg(feature = "gguf")]
mod vocabulary;

pub use proto::word_model;
use sidecars::Sidecars;
#[cfg(feature = "gguf")]
pub(crate) use vocabulary::Vocabulary;

/// More tokens than any vocabulary has (the largest known ones have 262,144): a damaged id above it would only cost
/// memory.
const MOST_TOKENS: usize = 1 << 21;

/// More bytes than any token has (the longest known ones have a few hundred).
const LONGEST_TOKEN: usize = 4096;

/// A padded embedding has fewer surplus rows than this.
const MOST_PADDING: usize = 1024;

/// A token of a text: its id and the bytes of the text it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The id.
    pub id: u32,
    /// Byte range in the encoded text, the space before a word included; empty (`0..0`) for BOS. It begins and ends at
    /// characters: several tokens that make up one character have the whole character each. Ranges are in the text's
    /// order, and together they cover every character that the tokenizer does not drop.
    pub span: Range<usize>,
}

/// The tokenizer of a model.
///
/// Special tokens that are written out in a text (`</s>`, `<|eot_id|>`) become those tokens, as in transformers and
/// llama.cpp. What comes after one does not count as the beginning of a text unless the tokenizer's files say so
/// (`legacy`): `a</s>b` is `▁a`, `</s>`, `b`. A text that begins with the BOS which is put in front has it twice, and the
/// first such text is warned of.
///
/// ```
/// # use llama_core::{Tokenizer, word_model};
/// let words = ["▁The", "▁cat", "▁sat", "."].map(str::to_owned);
/// let tokenizer = Tokenizer::from_bytes(&word_model(&words), "words")?;
/// let tokens = tokenizer.encode("The cat sat.")?;
/// assert_eq!(tokens.iter().map(|t| tokenizer.piece(t.id)).collect::<Vec<_>>(), ["<s>", "▁The", "▁cat", "▁sat", "."]);
/// assert_eq!(tokens[2].span, 3..7); // " cat"
/// # Ok::<(), llama_core::Error>(())
/// ```
pub struct Tokenizer {
    engine: Engine,
    /// Every token for people to read, by id; empty for an id that is none.
    pieces: Vec<String>,
    /// What stands before every text: BOS or nothing.
    prefix: Vec<u32>,
    eos: Vec<u32>,
    identity: String,
    /// One more than the highest id that a text without special tokens can have.
    ordinary: usize,
    /// How many embeddings the model has, if it is known.
    embeddings: Option<usize>,
    /// Whether a text that begins with BOS has been warned of.
    warned: Once,
    /// Where its chat templates are.
    chat: ChatSource,
}

/// What cuts text.
enum Engine {
    SentencePiece(Box<sentence_piece::SentencePiece>),
    Bpe(Box<bpe::Bpe>),
}

/// Why a vocabulary is not read.
#[derive(Debug)]
struct Refusal {
    reason: String,
    hint: &'static str,
}

impl Refusal {
    const ACCEPTED: &'static str = "a tokenizer is SentencePiece's tokenizer.model, Meta's tokenizer.model of LLaMA 3 \
         (lines of base64 and rank), Hugging Face's tokenizer.json, or a folder that holds one of them";

    fn new(reason: impl Into<String>, hint: &'static str) -> Self {
        Self { reason: reason.into(), hint }
    }
}

impl<T: Into<String>> From<T> for Refusal {
    fn from(reason: T) -> Self {
        Self::new(reason, Self::ACCEPTED)
    }
}

impl Tokenizer {
    /// Reads a tokenizer: `tokenizer.json` of Hugging Face, `tokenizer.model` of SentencePiece or of Meta's LLaMA 3, or a
    /// folder that holds one of them, `tokenizer.json` first; each with the `tokenizer_config.json`,
    /// `special_tokens_map.json`, `added_tokens.json`, `generation_config.json` and `config.json` beside it.
    ///
    /// What they mean together is what `AutoTokenizer` of transformers 5.24 makes of them, without padding and
    /// truncation. With `tokenizer.json`, BOS is the post-processor's (`add_bos_token` does not count beside it); with
    /// `tokenizer.model`, `add_bos_token` says whether there is one, and one that stands alone has it, as Meta's code.
    /// For the class names `LlamaTokenizer`, `CodeLlamaTokenizer` and `GPT2Tokenizer` text is cut as that class cuts it,
    /// whatever the file says. Special tokens that the vocabulary lacks get the next ids, and an error where a text
    /// has one that the model has no embedding for ([`Tokenizer::for_model`]).
    ///
    /// # Errors
    /// A file that cannot be read, is no tokenizer, is larger than a tokenizer can be, or needs something that no LLaMA's
    /// tokenizer needs. A vocabulary inside a GGUF file is opened with its checkpoint.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let path = if path.is_dir() { in_folder(path)? } else { path.to_owned() };
        let bytes = input::read(&path, input::MOST_BYTES)?;
        Self::read(&bytes, &path, path.parent())
    }

    /// Reads a tokenizer from the bytes of one file; `path` is what errors call it. Nothing beside it is looked at.
    ///
    /// # Errors
    /// As [`Tokenizer::open`].
    pub fn from_bytes(bytes: &[u8], path: impl AsRef<Path>) -> Result<Self> {
        Self::read(bytes, path.as_ref(), None)
    }

    /// A tokenizer from the vocabulary in a GGUF file; `path` is what errors call it.
    ///
    /// # Errors
    /// A vocabulary that contradicts itself, cuts text in a way that is not known here, or asks for EOS at the end.
    #[cfg(feature = "gguf")]
    pub(crate) fn from_vocabulary(vocabulary: Vocabulary, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let chat = vocabulary.chat(path);
        let tokenizer = vocabulary.into_tokenizer().map_err(|refusal| refuse(path, refusal))?;
        Ok(Self { chat, ..tokenizer })
    }

    fn read(bytes: &[u8], path: &Path, folder: Option<&Path>) -> Result<Self> {
        let refused = |refusal| refuse(path, refusal);
        if bytes.starts_with(b"GGUF") {
            let hint = "open the GGUF file as a checkpoint; its vocabulary comes with it";
            return Err(refused(Refusal::new("a whole model in GGUF format, not a tokenizer", hint)));
        }
        let sidecars = Sidecars::read(folder)?;
        let tokenizer = if huggingface::looks_like(bytes) {
            huggingface::read(bytes, &sidecars)
        } else if tiktoken::looks_like(bytes) {
            tiktoken::read(bytes, &sidecars)
        } else {
            sentence_piece::read(bytes, &sidecars)
        };
        let tokenizer = tokenizer.map_err(refused)?;
        let mut chat = sidecars.chat(path, folder);
        if !sidecars.any() {
            chat.tokens = tokenizer.own_special_tokens();
        }
        Ok(Self { chat, ..tokenizer })
    }

    fn new(
        engine: Engine,
        pieces: Vec<String>,
        prefix: Vec<u32>,
        eos: Vec<u32>,
        identity: String,
        ordinary: usize,
    ) -> Self {
        let (embeddings, warned, chat) = (None, Once::new(), ChatSource::default());
        Self { engine, pieces, prefix, eos, identity, ordinary, embeddings, warned, chat }
    }

    /// The same tokenizer for one model: from now on, a text with a token that the model has no embedding for is an
    /// error.
    #[must_use]
    pub fn for_model(mut self, config: &crate::Config) -> Self {
        self.embeddings = usize::try_from(config.vocab_size).ok();
        self
    }

    /// The engine's name, for people: `SentencePiece` or `BPE`.
    pub fn kind(&self) -> &'static str {
        match self.engine {
            Engine::SentencePiece(_) => "SentencePiece",
            Engine::Bpe(_) => "BPE",
        }
    }

    /// The tokens of a text, BOS first (if the tokenizer has one in front).
    ///
    /// # Errors
    /// A text that the engine cannot cut: a character for which there is no token, a regular expression without end, a
    /// text that grows beyond bounds. [`Error::NoEmbedding`] after [`Tokenizer::for_model`].
    pub fn encode(&self, text: &str) -> Result<Vec<Token>> {
        let own = self.cut(text)?;
        self.check_embeddings(&own)?;
        let prefix = self.prefix.iter().map(|&id| Token { id, span: 0..0 });
        let tokens: Vec<_> = prefix.chain(own).collect();
        if self.has_two_bos(&tokens) {
            self.warn_of_two();
        }
        Ok(tokens)
    }

    /// The text's own tokens.
    fn cut(&self, text: &str) -> Result<Vec<Token>> {
        let own = match &self.engine {
            Engine::SentencePiece(engine) => engine.encode(text),
            Engine::Bpe(engine) => engine.encode(text),
        };
        Ok(in_order(own.map_err(|reason| Error::Tokenize { reason })?, text))
    }

    /// Whether the text of tokens that [`Tokenizer::encode`] made begins with the BOS that stands in front of it anyway.
    pub fn has_two_bos(&self, tokens: &[Token]) -> bool {
        let written = tokens.get(self.prefix.len()).map(|token| token.id);
        written.is_some() && written == self.bos()
    }

    fn check_embeddings(&self, tokens: &[Token]) -> Result<()> {
        let Some(embeddings) = self.embeddings else { return Ok(()) };
        let ids = self.prefix.iter().copied().chain(tokens.iter().map(|token| token.id));
        match ids.into_iter().find(|id| *id as usize >= embeddings) {
            Some(id) => Err(Error::NoEmbedding { token: self.piece(id).to_owned(), id, embeddings }),
            None => Ok(()),
        }
    }

    fn warn_of_two(&self) {
        let bos = self.bos().map(|id| self.piece(id)).unwrap_or_default();
        self.warned.call_once(|| {
            tracing::warn!(
                "a text begins with {bos}, and the tokenizer puts {bos} in front of every text: there are two; leave it \
                 out of the text, as the models have seen one"
            );
        });
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
        let unknown = |id: &&u32| self.piece(**id).is_empty();
        if let Some(&id) = ids.iter().find(unknown) {
            return Err(Error::UnknownToken { id, tokens: self.vocab_size() });
        }
        match &self.engine {
            Engine::SentencePiece(engine) => engine.decode(ids),
            Engine::Bpe(engine) => engine.decode(ids),
        }
        .map_err(|reason| Error::Tokenize { reason })
    }

    /// A token in SentencePiece's notation, for people to read, whatever the tokenizer: `▁True` is a word with the
    /// space before it, `<0xE2>` a byte that is not a character by itself. Empty for an id that the tokenizer does not
    /// have.
    pub fn piece(&self, id: u32) -> &str {
        self.pieces.get(id as usize).map_or("", String::as_str)
    }

    /// One more than the highest id.
    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// Beginning of sequence, which [`Tokenizer::encode`] puts first; `None` if it puts none.
    pub fn bos(&self) -> Option<u32> {
        self.prefix.first().copied()
    }

    /// The tokens at which generation stops: end of sequence, end of turn.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// BLAKE3 hash, in hex, of the files (of a GGUF file: the vocabulary) that decide the ids.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Refuses a tokenizer that does not belong to a model: one whose ordinary tokens, or BOS, the model has no embedding
    /// for.
    ///
    /// Counts need not be equal. Embeddings are padded to round numbers of rows, which compute faster, or have rows for
    /// tokens of images; and a special token (`<pad>`) that never stands in a text needs none. What matters is that every
    /// id that occurs exists: see [`Tokenizer::for_model`]. Many more rows than tokens are warned of.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] with both sizes; [`Error::NoEmbedding`] for BOS.
    pub fn check_fits(&self, config: &crate::Config) -> Result<()> {
        let model = usize::try_from(config.vocab_size).unwrap_or(0);
        if self.ordinary > model {
            return Err(Error::Vocabulary { tokenizer: self.ordinary, model });
        }
        if let Some(&id) = self.prefix.iter().find(|id| **id as usize >= model) {
            return Err(Error::NoEmbedding { token: self.piece(id).to_owned(), id, embeddings: model });
        }
        let tokens = self.vocab_size();
        if model > tokens + (tokens / 8).max(MOST_PADDING) {
            tracing::warn!(
                "the model has {model} embeddings, and the tokenizer {tokens} tokens: is this the model's own tokenizer?"
            );
        }
        Ok(())
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("engine", &self.kind())
            .field("vocab_size", &self.vocab_size())
            .field("prefix", &self.prefix)
            .field("eos", &self.eos)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

fn refuse(path: &Path, Refusal { reason, hint }: Refusal) -> Error {
    Error::Tokenizer { path: path.to_owned(), reason, hint }
}

fn in_folder(folder: &Path) -> Result<PathBuf> {
    ["tokenizer.json", "tokenizer.model"]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|file| file.is_file())
        .ok_or_else(|| Error::NoTokenizer { path: folder.to_owned() })
}

/// Spans made to keep [`Token::span`]'s promise: normalizers may report a range that splits a character or lies before
/// the one of the token before.
fn in_order(mut tokens: Vec<Token>, text: &str) -> Vec<Token> {
    let mut least = 0;
    for Token { span, .. } in &mut tokens {
        let start = text.floor_char_boundary(span.start).max(least);
        let end = text.ceil_char_boundary(span.end).max(start);
        least = start;
        *span = start..end;
    }
    tokens
}

/// BLAKE3 of one part, or of the hashes of several.
fn identity(parts: &[&[u8]]) -> String {
    if let [only] = parts {
        return blake3::hash(only).to_hex().to_string();
    }
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(blake3::hash(part).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_put_in_order_at_characters() {
        let token = |span| Token { id: 0, span };
        let text = "aé b"; // é is bytes 1 and 2
        let made = in_order(vec![token(0..2), token(2..3), token(1..9), token(0..0)], text);
        assert_eq!(made.into_iter().map(|t| t.span).collect::<Vec<_>>(), [0..3, 1..3, 1..5, 1..1]);
    }

    #[test]
    fn shared_between_threads() {
        fn both<T: Send + Sync>() {}
        both::<Tokenizer>();
    }
}

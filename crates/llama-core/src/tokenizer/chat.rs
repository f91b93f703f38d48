//! What a tokenizer has to do with chats: its templates, and texts that they rendered.

use std::collections::BTreeMap;

use super::{Token, Tokenizer};
use crate::chat::ChatTemplate;
use crate::error::Result;

impl Tokenizer {
    /// The tokens of a text that a chat template rendered: nothing is put in front of it, because it holds BOS where the
    /// model wants one.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_chat(&self, text: &str) -> Result<Vec<Token>> {
        let own = self.cut(text)?;
        self.check_embeddings(&own)?;
        Ok(own)
    }

    /// The chat template of that name, or the one that transformers takes where none is named: `default`, or the only
    /// one. It comes from `chat_template.jinja` and `additional_chat_templates/` in the tokenizer's folder, else from
    /// `tokenizer_config.json`, or from a GGUF file's metadata, with the special tokens that it may write.
    ///
    /// # Errors
    /// No template, none of that name, one that is no Jinja.
    pub fn chat_template(&self, name: Option<&str>) -> Result<ChatTemplate> {
        self.chat.template(name)
    }

    /// The special tokens of a tokenizer without companions that name them.
    pub(super) fn own_special_tokens(&self) -> BTreeMap<String, String> {
        let named = [("bos_token", self.bos()), ("eos_token", self.eos().first().copied())];
        let token = |(name, id): (&str, Option<u32>)| Some((name.to_owned(), self.piece(id?).to_owned()));
        named.into_iter().filter_map(token).collect()
    }
}

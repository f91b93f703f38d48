//! Toy tokenizers: one that cuts at words, as SentencePiece does with frequent ones, and one that cuts as byte-level
//! BPE does.

use boolq::{AnswerSpans, BoxError, ContrastPair, Token, Tokenizer};

/// BOS, then one token a word, which covers the white space before the word too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words;

pub(crate) const BOS: u32 = 1;

impl Tokenizer for Words {
    fn encode(&self, text: &str) -> Result<Vec<Token>, BoxError> {
        if text.contains("unspeakable") {
            return Err("a word the toy does not speak".into());
        }
        let mut tokens = vec![Token { id: BOS, span: 0..0 }];
        let mut start = 0;
        for word in text.split_inclusive(char::is_whitespace).flat_map(str::split_whitespace) {
            let at = start + text[start..].find(word).expect("a word of the text");
            let end = at + word.len();
            tokens.push(Token { id: id_of(word), span: start..end });
            start = end;
        }
        Ok(tokens)
    }

    fn encode_chat(&self, text: &str) -> Result<Vec<Token>, BoxError> {
        Ok(self.encode(text)?.split_off(1))
    }

    fn token_text(&self, id: u32) -> String {
        if id == BOS { "<s>".to_owned() } else { format!("w{id}") }
    }
}

pub(crate) fn id_of(word: &str) -> u32 {
    word.bytes().fold(7, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

/// Cuts as byte-level BPE does, and finely: the one space before a word belongs to the word's token, a word goes on
/// in pieces of four bytes of ASCII, and every other character is a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BytePairs;

impl Tokenizer for BytePairs {
    fn encode(&self, text: &str) -> Result<Vec<Token>, BoxError> {
        let is_word = |c: char| c.is_ascii_alphabetic();
        let mut tokens = Vec::new();
        let mut start = 0;
        while let Some(first) = text[start..].chars().next() {
            let rest = &text[start + first.len_utf8()..];
            let begins = is_word(first) || first == ' ' && rest.starts_with(is_word);
            let more = if begins { rest.chars().take(3).take_while(|c| is_word(*c)).count() } else { 0 };
            let end = start + first.len_utf8() + more;
            tokens.push(Token { id: id_of(&text[start..end]), span: start..end });
            start = end;
        }
        Ok(tokens)
    }

    fn encode_chat(&self, text: &str) -> Result<Vec<Token>, BoxError> {
        self.encode(text)
    }

    fn token_text(&self, id: u32) -> String {
        format!("b{id}")
    }
}

/// A pair whose plus prompt has `words` words and whose minus prompt has `more` words in addition.
pub(crate) fn pair(idx: u64, words: usize, more: usize, label: bool) -> ContrastPair {
    let stem = vec!["word"; words - 1].join(" ");
    with_words(ContrastPair {
        idx,
        plus_prompt: format!("{stem} True"),
        minus_prompt: format!("{stem} False{}", " indeed".repeat(more)),
        answers: AnswerSpans { plus: 0..0, minus: 0..0 },
        label,
        question_id: idx.to_string(),
        group: format!("{:016x}", idx / 2),
        template: "toy".to_owned(),
        dataset: "toy".to_owned(),
        classes: None,
        chat: None,
        columns: boolq::DataColumns::default(),
    })
}

/// The pair with the words in which its prompts differ as its answers, if they differ.
pub(crate) fn with_words(pair: ContrastPair) -> ContrastPair {
    let words = AnswerSpans::of_differing_words(&pair.plus_prompt, &pair.minus_prompt);
    ContrastPair { answers: words.unwrap_or_else(|| pair.answers.clone()), ..pair }
}

/// A file of `tests/it/fixtures`.
pub(crate) fn fixture_file(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name)
}

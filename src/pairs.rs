//! Where `boolq`, which knows no tokenizer, meets `llama-core`, which knows no pairs.

use boolq::{BoxError, ContrastPair, Statement, TokenizedPair, TokenizedStatement};
use rayon::prelude::*;

use crate::error::Result;

/// A LLaMA's tokenizer as `boolq` wants one.
#[derive(Clone, Copy, Debug)]
pub struct PairTokenizer<'a>(pub &'a llama_core::Tokenizer);

impl boolq::Tokenizer for PairTokenizer<'_> {
    fn encode(&self, text: &str) -> std::result::Result<Vec<boolq::Token>, BoxError> {
        Ok(as_boolqs(self.0.encode(text)?))
    }

    fn encode_chat(&self, text: &str) -> std::result::Result<Vec<boolq::Token>, BoxError> {
        Ok(as_boolqs(self.0.encode_chat(text)?))
    }

    fn token_text(&self, id: u32) -> String {
        self.0.piece(id).to_owned()
    }
}

fn as_boolqs(tokens: Vec<llama_core::Token>) -> Vec<boolq::Token> {
    tokens.into_iter().map(|token| boolq::Token { id: token.id, span: token.span }).collect()
}

/// Tokenizes pairs as they are, all of them, in parallel and in order.
///
/// # Errors
/// The first pair whose prompts hold no two different answers, by its `idx`.
pub fn tokenize_all(
    pairs: Vec<ContrastPair>,
    tokenizer: &llama_core::Tokenizer,
) -> Result<Vec<TokenizedPair>> {
    let tokenizer = PairTokenizer(tokenizer);
    let tokenize = || pairs.into_par_iter().map(|pair| TokenizedPair::new(pair, &tokenizer)).collect();
    Ok(host::threads::pool()?.install::<_, boolq::Result<_>>(tokenize)?)
}

/// Tokenizes single statements as they are, all of them, in parallel and in order.
///
/// # Errors
/// The first statement that the tokenizer refuses, by its `idx`.
pub fn tokenize_statements(
    statements: Vec<Statement>,
    tokenizer: &llama_core::Tokenizer,
) -> Result<Vec<TokenizedStatement>> {
    let tokenizer = PairTokenizer(tokenizer);
    let tokenize =
        || statements.into_par_iter().map(|one| TokenizedStatement::new(one, &tokenizer)).collect();
    Ok(host::threads::pool()?.install::<_, boolq::Result<_>>(tokenize)?)
}

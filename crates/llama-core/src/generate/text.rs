//! Generated tokens as text, and texts that end a generation.

use super::Sampling;
use crate::error::Result;
use crate::hooks::Hook;
use crate::model::Llama;
use crate::tokenizer::Tokenizer;

/// A text that was generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The new tokens: without the one of [`Sampling::stop`] that ended the text, with those of a stop text.
    pub ids: Vec<u32>,
    /// What they add to the prompt's text; without the stop text.
    pub text: String,
    /// Why it ends here.
    pub ended: Ended,
}

/// Why a generated text ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It has [`Sampling::max_new_tokens`] tokens.
    Length,
    /// A token of [`Sampling::stop`] came.
    Token,
    /// This text came.
    Text(String),
}

impl Llama {
    /// As [`Llama::generate_with`], to text, which ends before the first of `stop_texts` in it. They are looked for in the text
    /// and not among tokens: a stop text may begin and end inside of tokens. An empty one is ignored.
    ///
    /// # Errors
    /// As [`Llama::generate_with`]; ids that the tokenizer does not have.
    pub fn generate_text<P: AsRef<[u32]>>(
        &self,
        tokenizer: &Tokenizer,
        prompts: &[P],
        sampling: &Sampling,
        stop_texts: &[String],
        hook: Option<&mut dyn Hook>,
    ) -> Result<Vec<Generated>> {
        let text = |row: usize, ids: &[u32]| added(tokenizer, prompts[row].as_ref(), ids);
        let mut ended = |row: usize, ids: &[u32]| {
            Ok(stop_texts.iter().any(|stop| !stop.is_empty())
                && first_stop(&text(row, ids)?, stop_texts).is_some())
        };
        let all = self.continue_all(prompts, sampling, hook, &mut ended)?;
        let generated = |(row, ids): (usize, Vec<u32>)| {
            let mut text = text(row, &ids)?;
            let ended = if let Some((at, stop)) = first_stop(&text, stop_texts) {
                text.truncate(at);
                Ended::Text(stop.to_owned())
            } else if ids.len() < sampling.max_new_tokens {
                Ended::Token
            } else {
                Ended::Length
            };
            Ok(Generated { ids, text, ended })
        };
        all.into_iter().enumerate().map(generated).collect()
    }
}

/// The text that tokens add to a prompt's. Alone they would lose the space before their first word.
fn added(tokenizer: &Tokenizer, prompt: &[u32], ids: &[u32]) -> Result<String> {
    let (before, whole) = (tokenizer.decode(prompt)?, tokenizer.decode(&[prompt, ids].concat())?);
    match whole.strip_prefix(&before) {
        Some(added) => Ok(added.to_owned()),
        // The prompt ends inside of a character.
        None => tokenizer.decode(ids),
    }
}

/// The stop text that begins first, and where.
fn first_stop<'s>(text: &str, stops: &'s [String]) -> Option<(usize, &'s str)> {
    let found = stops
        .iter()
        .filter(|stop| !stop.is_empty())
        .filter_map(|stop| Some((text.find(stop.as_str())?, stop.as_str())));
    found.min_by_key(|(at, stop)| (*at, std::cmp::Reverse(stop.len())))
}

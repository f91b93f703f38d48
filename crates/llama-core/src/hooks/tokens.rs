//! Which tokens of a prompt are wanted, counted over its real tokens.

use crate::batch::Batch;
use crate::error::{Error, Result};

/// Which tokens of each prompt are wanted. Padding is never counted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tokens {
    /// The last token: in a contrast pair, the end of the answer.
    Last,
    /// The first token, BOS where there is one.
    First,
    /// The mean over a prompt's tokens.
    Mean,
    /// Every token, prompt after prompt.
    All,
    /// These positions of each prompt, prompt after prompt; one list per prompt of the batch.
    At(Vec<Vec<usize>>),
}

impl Tokens {
    /// Places in the batch's layout of the tokens wanted, prompt after prompt. For `Mean`, those it averages over.
    pub(crate) fn places(&self, batch: &Batch) -> Result<Vec<i64>> {
        let prompts = batch.places();
        Ok(match self {
            Self::Last => prompts.iter().filter_map(|p| p.last().copied()).collect(),
            Self::First => prompts.iter().filter_map(|p| p.first().copied()).collect(),
            Self::Mean | Self::All => prompts.concat(),
            Self::At(wanted) => {
                if wanted.len() != prompts.len() {
                    return Err(Error::Selection { expected: prompts.len(), found: wanted.len() });
                }
                let mut places = Vec::new();
                for (prompt, (positions, own)) in wanted.iter().zip(prompts).enumerate() {
                    for &position in positions {
                        let out = || Error::Position { prompt, tokens: own.len(), position };
                        places.push(*own.get(position).ok_or_else(out)?);
                    }
                }
                places
            }
        })
    }
}

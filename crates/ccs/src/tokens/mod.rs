//! The states of every token of prompts, which differ in length.

mod segments;

use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::floats::{all_finite, is_float};
use crate::{Error, Result};

pub(crate) use segments::Segments;

/// The states of all tokens of N prompts at one hook point, prompt after prompt. Checked once, on construction.
///
/// ```
/// use ccs::TokenStates;
/// use tch::{Kind, Tensor};
///
/// // Two prompts, of two tokens and of one.
/// let states = Tensor::from_slice(&[1.0f32, 3.0, 8.0]).reshape([3, 1]);
/// let prompts = TokenStates::new(states, vec![0, 2, 3])?;
/// assert_eq!((prompts.rows(), prompts.tokens(), prompts.dim()), (2, 3, 1));
/// assert_eq!(Vec::<f32>::try_from(prompts.last()?.reshape(-1))?, [3.0, 8.0]);
/// assert_eq!(Vec::<f64>::try_from(prompts.mean()?.reshape(-1))?, [2.0, 8.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TokenStates {
    states: Tensor,      // [M, D]
    offsets: Vec<usize>, // N + 1, from 0 to M, rising
    dim: usize,
}

impl TokenStates {
    /// Puts prompts together: the tokens of prompt i are those from `offsets[i]` up to `offsets[i + 1]`.
    ///
    /// # Shapes
    /// `states`: \[M, D\], any floating-point kind; `offsets`: N + 1.
    ///
    /// # Errors
    /// Another shape, no prompts, offsets that do not rise from 0 to M (a prompt has a token at least), or a value that is
    /// not finite, with its row and token.
    pub fn new(states: Tensor, offsets: Vec<usize>) -> Result<Self> {
        let size = states.size();
        if size.len() != 2 || size.contains(&0) || !is_float(states.kind()) {
            return Err(Error::Shape {
                what: "the states of tokens".to_owned(),
                expected: "[M, D] of a floating-point kind, M and D at least 1".to_owned(),
                found: size,
                hint: "give one state a token, prompt after prompt",
            });
        }
        let (tokens, dim) = states.dims2("states")?;
        check(&offsets, tokens as usize)?;
        let found = Self { states, offsets, dim: dim as usize };
        all_finite("the state", &found.states).map_err(|error| found.located(error))?;
        Ok(found)
    }

    /// An error that counts tokens as one that names the row and the token.
    fn located(&self, error: Error) -> Error {
        match error {
            Error::NotFinite { row: token, column, .. } => {
                let row = self.offsets.partition_point(|&from| from <= token).saturating_sub(1);
                let within = token - self.offsets.get(row).copied().unwrap_or_default();
                Error::NotFinite { what: format!("the state of token {within}"), row, column }
            }
            other => other,
        }
    }

    /// The states of all tokens. \[M, D\]
    pub fn states(&self) -> &Tensor {
        &self.states
    }

    /// Where each prompt's tokens begin, and where the last one's end. N + 1
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// N, the number of prompts.
    pub fn rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// M, the number of tokens of all prompts.
    pub fn tokens(&self) -> usize {
        self.offsets.last().copied().unwrap_or_default()
    }

    /// D.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many tokens each prompt has. N
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.offsets.iter().zip(self.offsets.iter().skip(1)).map(|(from, to)| to - from)
    }

    /// Each token's place relative to its prompt's last, which has 0, the one before it −1. M
    pub fn positions(&self) -> Vec<i64> {
        self.lengths().flat_map(|length| (0..length).map(move |at| at as i64 + 1 - length as i64)).collect()
    }

    /// Each prompt's last token's state, of the states' kind. \[N, D\]
    ///
    /// # Errors
    /// LibTorch's.
    pub fn last(&self) -> Result<Tensor> {
        let last: Vec<i64> = self.offsets.iter().skip(1).map(|&to| to as i64 - 1).collect();
        Ok(self.states.f_index_select(0, &Tensor::f_from_slice(&last)?.f_to_device(self.states.device())?)?)
    }

    /// The mean of each prompt's tokens, f64. \[N, D\]
    ///
    /// # Errors
    /// LibTorch's.
    pub fn mean(&self) -> Result<Tensor> {
        let segments = self.segments()?;
        let lengths: Vec<f64> = self.lengths().map(|length| length as f64).collect();
        let lengths = Tensor::f_from_slice(&lengths)?.f_to_device(self.states.device())?.f_unsqueeze(1)?;
        Ok(segments.sum(&self.states.f_to_kind(Kind::Double)?)?.f_div(&lengths)?)
    }

    /// The prompts at `rows`, in that order.
    ///
    /// # Errors
    /// No rows, or a row number that is not below N.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let (mut tokens, mut offsets) = (Vec::new(), vec![0]);
        for &row in rows {
            let range = self.offsets.get(row).zip(self.offsets.get(row + 1));
            let Some((&from, &to)) = range else {
                let purpose = "the rows asked for".to_owned();
                return Err(Error::TooFewRows { purpose, needed: row + 1, found: self.rows() });
            };
            tokens.extend(from as i64..to as i64);
            offsets.push(tokens.len());
        }
        if tokens.is_empty() {
            return Err(Error::TooFewRows { purpose: "a part of the rows".to_owned(), needed: 1, found: 0 });
        }
        let index = Tensor::f_from_slice(&tokens)?.f_to_device(self.states.device())?;
        Ok(Self { states: self.states.f_index_select(0, &index)?, offsets, dim: self.dim })
    }

    /// The same prompts on another device.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn moved_to(&self, device: Device) -> Result<Self> {
        Ok(Self { states: self.states.f_to_device(device)?, offsets: self.offsets.clone(), dim: self.dim })
    }

    /// The prompts of several parts, one part after the other; none for no parts.
    ///
    /// # Errors
    /// Parts of different D.
    pub fn concatenate(parts: &[&Self]) -> Result<Option<Self>> {
        let Some(dim) = parts.first().map(|part| part.dim) else { return Ok(None) };
        let states: Vec<&Tensor> = parts.iter().map(|part| &part.states).collect();
        let mut offsets = vec![0];
        for part in parts {
            let before = offsets.last().copied().unwrap_or_default();
            offsets.extend(part.offsets.iter().skip(1).map(|end| before + end));
        }
        Ok(Some(Self { states: Tensor::f_cat(&states, 0)?, offsets, dim }))
    }

    /// The same prompts once more, on the same numbers.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn alias(&self) -> Result<Self> {
        Ok(Self { states: self.states.f_alias()?, offsets: self.offsets.clone(), dim: self.dim })
    }

    /// Which tokens are one prompt's.
    pub(crate) fn segments(&self) -> Result<Segments> {
        Segments::new(self.lengths(), self.states.device())
    }

    /// Whether all tokens of all prompts have the same state.
    pub(crate) fn is_constant(&self) -> Result<bool> {
        let same = self.states.f_eq_tensor(&self.states.f_narrow(0, 0, 1)?)?.f_all()?;
        Ok(same.f_int64_value(&[])? != 0)
    }
}

/// Refuses offsets that are not those of prompts of one token or more.
fn check(offsets: &[usize], tokens: usize) -> Result<()> {
    let wrong = |row: usize, problem: String| Err(Error::Tokens { row, problem });
    match (offsets.first(), offsets.last()) {
        (Some(0), Some(&end)) if offsets.len() > 1 => {
            let rise = offsets.iter().zip(offsets.iter().skip(1));
            if let Some((row, (from, to))) = rise.enumerate().find(|(_, (from, to))| from >= to) {
                return wrong(row, format!("its tokens are from {from} up to {to}, which is none"));
            }
            if end != tokens {
                let problem = format!("its tokens end at {end}, and there are {tokens}");
                return wrong(offsets.len() - 2, problem);
            }
            Ok(())
        }
        (Some(&from), _) if offsets.len() > 1 => wrong(0, format!("its tokens begin at {from}, not at 0")),
        _ => Err(Error::TooFewRows { purpose: "states of tokens".to_owned(), needed: 1, found: 0 }),
    }
}

#[cfg(test)]
mod tests;

//! Which tokens of a prompt are wanted, counted over its real tokens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::error::{Error, Result};

/// Which tokens of each prompt are wanted. Padding is never counted.
///
/// Serialized as `"last"`, `"first"`, `"mean"`, `"all"` or `{"at": [[0, 3], [5]]}`; on a command line, and by
/// [`fmt::Display`], the last is `at:0,3;5`.
///
/// ```
/// use llama_core::Tokens;
///
/// assert_eq!("last".parse::<Tokens>()?, Tokens::Last);
/// assert_eq!("at:0,3;5".parse::<Tokens>()?, Tokens::At(vec![vec![0, 3], vec![5]]));
/// # Ok::<(), llama_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Last => "last",
            Self::First => "first",
            Self::Mean => "mean",
            Self::All => "all",
            Self::At(prompts) => {
                let joined =
                    |own: &Vec<usize>| own.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
                return write!(f, "at:{}", prompts.iter().map(joined).collect::<Vec<_>>().join(";"));
            }
        };
        f.write_str(name)
    }
}

impl FromStr for Tokens {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::TokensName { text: text.to_owned() };
        if let Some(prompts) = text.strip_prefix("at:") {
            let position = |p: &str| p.trim().parse::<usize>().map_err(|_| wrong());
            let own = |own: &str| -> Result<Vec<usize>> {
                if own.trim().is_empty() { Ok(Vec::new()) } else { own.split(',').map(position).collect() }
            };
            return Ok(Self::At(prompts.split(';').map(own).collect::<Result<_>>()?));
        }
        let named = [Self::Last, Self::First, Self::Mean, Self::All];
        named.into_iter().find(|tokens| tokens.to_string() == text).ok_or_else(wrong)
    }
}

impl Tokens {
    /// Positions of the tokens wanted, in each of a batch's prompts. For `Mean`, those it averages over. In a generation they
    /// are counted from the first token of this pass, and those that it does not read are left out.
    pub(crate) fn positions(&self, batch: &Batch) -> Result<Vec<Vec<usize>>> {
        let lengths = batch.lengths();
        let of = |own: &dyn Fn(usize) -> Vec<usize>| Ok(lengths.iter().map(|&length| own(length)).collect());
        match (self, batch.past()) {
            (Self::Last, _) => of(&|length| vec![length - 1]), // a batch has no empty prompt
            (Self::First, Some(past)) => {
                Ok(past.iter().map(|&past| if past == 0 { vec![0] } else { Vec::new() }).collect())
            }
            (Self::First, None) => of(&|_| vec![0]),
            (Self::Mean | Self::All, _) => of(&|length| (0..length).collect()),
            (Self::At(wanted), past) => {
                if wanted.len() != lengths.len() {
                    return Err(Error::Selection { expected: lengths.len(), found: wanted.len() });
                }
                if let Some(past) = past {
                    let own = |((wanted, past), length): ((&Vec<usize>, &usize), usize)| {
                        let here = wanted.iter().filter_map(|position| position.checked_sub(*past));
                        here.filter(|position| *position < length).collect()
                    };
                    return Ok(wanted.iter().zip(past).zip(lengths).map(own).collect());
                }
                for (prompt, (positions, &tokens)) in wanted.iter().zip(&lengths).enumerate() {
                    if let Some(&position) = positions.iter().find(|position| **position >= tokens) {
                        return Err(Error::Position { prompt, tokens, position });
                    }
                }
                Ok(wanted.clone())
            }
        }
    }

    /// Slots in the batch's layout of the tokens wanted, prompt after prompt. For `Mean`, those it averages over.
    pub(crate) fn slots(&self, batch: &Batch) -> Result<Vec<i64>> {
        let positions = self.positions(batch)?;
        let pairs = batch.slots().iter().zip(positions);
        Ok(pairs.flat_map(|(own, positions)| positions.into_iter().map(|position| own[position])).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_json_round_trip() {
        let at = Tokens::At(vec![vec![0, 3], vec![], vec![5]]);
        for (tokens, name, json) in [
            (Tokens::Last, "last", "\"last\""),
            (Tokens::First, "first", "\"first\""),
            (Tokens::Mean, "mean", "\"mean\""),
            (Tokens::All, "all", "\"all\""),
            (at, "at:0,3;;5", r#"{"at":[[0,3],[],[5]]}"#),
        ] {
            assert_eq!(tokens.to_string(), name);
            assert_eq!(name.parse::<Tokens>().expect(name), tokens);
            assert_eq!(serde_json::to_string(&tokens).expect("json"), json);
            assert_eq!(serde_json::from_str::<Tokens>(json).expect(json), tokens);
        }
        for bad in ["", "Last", "at:x", "at:1,,2", "at:-1", "3"] {
            assert!(bad.parse::<Tokens>().expect_err(bad).hint().is_some());
        }
    }
}

//! Consistency under negation: whether a probe's decision turns round between a statement and its negation.
//!
//! A probe that reads truth calls exactly one of "Oslo is in Norway" and "Oslo is not in Norway" true. One that reads what is
//! typical of affirmative statements, or a feature that "not" leaves as it is, gives both the same answer; accuracy on each
//! polarity alone does not show that.
//!
//! To normalize each side within polarity, so that what "not" does to states by itself is not what is found, give a method
//! [`crate::Contrast::by_polarity`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// An affirmative row and a negated one of the same question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Negation {
    /// The affirmative row.
    pub affirmative: usize,
    /// The negated row.
    pub negated: usize,
    /// Whether the decisions differ exactly if the labels do.
    pub consistent: bool,
    /// Whether both are judged rightly.
    pub right: bool,
}

/// How often decisions turn round as they should.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consistency {
    /// Every affirmative row with every negated row of its question, in the order of the affirmative rows.
    pub pairs: Vec<Negation>,
}

impl Consistency {
    /// The share of pairs whose decisions turn round as they should; ½ by chance for a probe that is right half the time and
    /// whose errors are independent. `None` without pairs.
    pub fn share(&self) -> Option<f64> {
        self.share_of(|pair| pair.consistent)
    }

    /// The share of pairs both of whose rows are judged rightly. `None` without pairs.
    pub fn right(&self) -> Option<f64> {
        self.share_of(|pair| pair.right)
    }

    fn share_of(&self, of: impl Fn(&Negation) -> bool) -> Option<f64> {
        let count = self.pairs.iter().filter(|&pair| of(pair)).count();
        (!self.pairs.is_empty()).then(|| count as f64 / self.pairs.len() as f64)
    }
}

struct Judged {
    row: usize,
    decision: bool,
    label: bool,
}

/// Brings affirmative and negated rows of the same question together, and judges their decisions.
///
/// ```
/// use ccs::negation::consistency;
///
/// // Oslo is / is not in Norway: both called true. Lima is / is not in Chile: false and true.
/// let found = consistency(
///     &[2.0, 1.0, -1.0, 3.0], 0.0, &[true, false, false, true], &[true, false, true, false], &[0, 0, 1, 1],
/// )?;
/// assert_eq!((found.share(), found.right()), (Some(0.5), Some(0.5)));
/// # Ok::<(), ccs::Error>(())
/// ```
///
/// # Shapes
/// `scores`, `labels`, `affirmative`, `keys`: N. Rows about the same thing have the same key: the question's number, or the
/// question's and the template's.
///
/// # Errors
/// Different lengths, or a score that is NaN.
pub fn consistency(
    scores: &[f64],
    threshold: f64,
    labels: &[bool],
    affirmative: &[bool],
    keys: &[usize],
) -> Result<Consistency> {
    for (what, found) in
        [("labels", labels.len()), ("polarity", affirmative.len()), ("questions", keys.len())]
    {
        if found != scores.len() {
            return Err(Error::Length { what, expected: scores.len(), found });
        }
    }
    if let Some(row) = scores.iter().position(|score| score.is_nan()) {
        return Err(Error::NotFinite { what: "the score".to_owned(), row, column: None });
    }
    let rows: Vec<Judged> = (0..)
        .zip(scores.iter().zip(labels))
        .map(|(row, (&score, &label))| Judged { row, decision: score > threshold, label })
        .collect();
    let of = |polarity: bool| {
        rows.iter().zip(keys).zip(affirmative).filter(move |(_, a)| **a == polarity).map(|(row, _)| row)
    };
    let mut negated: BTreeMap<usize, Vec<&Judged>> = BTreeMap::new();
    for (row, &key) in of(false) {
        negated.entry(key).or_default().push(row);
    }
    let mut pairs = Vec::new();
    for (row, key) in of(true) {
        for other in negated.get(key).into_iter().flatten() {
            pairs.push(Negation {
                affirmative: row.row,
                negated: other.row,
                consistent: (row.decision != other.decision) == (row.label != other.label),
                right: row.decision == row.label && other.decision == other.label,
            });
        }
    }
    Ok(Consistency { pairs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_pair_by_key_and_a_constant_answer_is_never_consistent() {
        let keys = [4, 9, 4, 9, 4, 7];
        let affirmative = [true, false, false, true, false, true];
        let labels = [true, true, false, false, false, true];
        let found = consistency(&[1.0; 6], 0.5, &labels, &affirmative, &keys).unwrap();
        let rows: Vec<_> = found.pairs.iter().map(|p| (p.affirmative, p.negated)).collect();
        assert_eq!(rows, [(0, 2), (0, 4), (3, 1)]);
        assert_eq!((found.share(), found.right()), (Some(0.0), Some(0.0)));
        // Decisions are the labels, or always their opposite: both turn round.
        for (sign, right) in [(1.0, 1.0), (-1.0, 0.0)] {
            let scores: Vec<f64> = labels.iter().map(|&l| if l { sign } else { -sign }).collect();
            let found = consistency(&scores, 0.0, &labels, &affirmative, &keys).unwrap();
            assert_eq!((found.share(), found.right()), (Some(1.0), Some(right)));
        }
        assert_eq!(consistency(&[1.0], 0.0, &[true], &[true], &[0]).unwrap().share(), None);
        assert!(consistency(&[1.0], 0.0, &[true], &[true, false], &[0]).is_err());
        assert!(consistency(&[f64::NAN], 0.0, &[true], &[true], &[0]).is_err());
    }
}

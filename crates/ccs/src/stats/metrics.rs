//! Accuracy, AUROC and confusion counts of scores against labels.
//!
//! Scores and labels are plain slices of one length, checked when they are brought together: a column of
//! predictions broadcast against a row of labels, which made an accuracy that no probe can change, cannot be written.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Scores of N rows with their labels; a score above the threshold predicts `true`.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    scores: &'a [f64],
    labels: &'a [bool],
    threshold: f64,
}

/// Counts of predictions by label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Label true, predicted true.
    pub true_positive: usize,
    /// Label false, predicted true.
    pub false_positive: usize,
    /// Label false, predicted false.
    pub true_negative: usize,
    /// Label true, predicted false.
    pub false_negative: usize,
}

impl<'a> Scored<'a> {
    /// Brings scores and labels together.
    ///
    /// # Shapes
    /// `scores`, `labels`: N, at least 1.
    ///
    /// # Errors
    /// Different lengths, no rows, or a score that is NaN.
    pub fn new(scores: &'a [f64], labels: &'a [bool], threshold: f64) -> Result<Self> {
        if scores.len() != labels.len() {
            return Err(Error::Length { what: "scores", expected: labels.len(), found: scores.len() });
        }
        if scores.is_empty() {
            return Err(Error::TooFewRows { purpose: "a metric".to_owned(), needed: 1, found: 0 });
        }
        if let Some(row) = scores.iter().position(|s| s.is_nan()) {
            return Err(Error::NotFinite { what: "the score".to_owned(), row, column: None });
        }
        Ok(Self { scores, labels, threshold })
    }

    /// Whether each row is predicted rightly. N
    pub fn correct(&self) -> Vec<bool> {
        self.scores
            .iter()
            .zip(self.labels)
            .map(|(&score, &label)| (score > self.threshold) == label)
            .collect()
    }

    /// The share of rows predicted rightly.
    pub fn accuracy(&self) -> f64 {
        let right = self.correct().iter().filter(|&&right| right).count();
        right as f64 / self.labels.len() as f64
    }

    /// The probability that a true row scores above a false one, ties counting half (the Mann–Whitney
    /// statistic); `None` if one label is missing.
    pub fn auroc(&self) -> Option<f64> {
        self.ranking().auroc(|_| 1)
    }

    /// Predictions by label.
    pub fn confusion(&self) -> Confusion {
        let mut counts =
            Confusion { true_positive: 0, false_positive: 0, true_negative: 0, false_negative: 0 };
        for (&score, &label) in self.scores.iter().zip(self.labels) {
            match (label, score > self.threshold) {
                (true, true) => counts.true_positive += 1,
                (false, true) => counts.false_positive += 1,
                (false, false) => counts.true_negative += 1,
                (true, false) => counts.false_negative += 1,
            }
        }
        counts
    }

    /// The rows sorted by score, for many AUROCs of the same scores under different weights.
    pub fn ranking(&self) -> Ranking {
        let mut rows: Vec<(f64, u32, bool)> = (0u32..)
            .zip(self.scores.iter().zip(self.labels))
            .map(|(row, (&score, &label))| (score, row, label))
            .collect();
        rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut ranked = Vec::with_capacity(rows.len());
        let mut previous = None;
        for (score, row, label) in rows {
            // In ascending order, not below is equal; −0 and +0 are a tie too.
            let tied = previous.is_some_and(|p: f64| p >= score);
            ranked.push(Ranked { row, label, tied });
            previous = Some(score);
        }
        Ranking { ranked }
    }
}

#[derive(Debug, Clone, Copy)]
struct Ranked {
    row: u32,
    label: bool,
    /// Scores the same as the row before it.
    tied: bool,
}

/// Rows in ascending order of score, with their labels.
#[derive(Debug, Clone)]
pub struct Ranking {
    ranked: Vec<Ranked>,
}

impl Ranking {
    /// AUROC where row i counts `weight(i)` times; `None` if one label has no weight. Linear in N.
    pub fn auroc(&self, weight: impl Fn(usize) -> u64) -> Option<f64> {
        let (mut below, mut trues) = (0u64, 0u64); // weights of false rows scored lower, of all true rows
        let (mut tied_false, mut tied_true) = (0u64, 0u64); // weights within the current run of equal scores
        let mut twice = 0u64; // 2 × the Mann–Whitney statistic, exact in integers
        for entry in &self.ranked {
            if !entry.tied {
                twice += tied_true * (2 * below + tied_false);
                below += tied_false;
                (tied_false, tied_true) = (0, 0);
            }
            let weight = weight(entry.row as usize);
            if entry.label {
                tied_true += weight;
                trues += weight;
            } else {
                tied_false += weight;
            }
        }
        twice += tied_true * (2 * below + tied_false);
        below += tied_false;
        (below > 0 && trues > 0).then(|| twice as f64 / 2.0 / (below as f64 * trues as f64))
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, pair by pair.
    fn mann_whitney(scores: &[f64], labels: &[bool]) -> Option<f64> {
        let (mut wins, mut pairs) = (0.0, 0.0);
        for (s, _) in scores.iter().zip(labels).filter(|(_, l)| **l) {
            for (t, _) in scores.iter().zip(labels).filter(|(_, l)| !**l) {
                pairs += 1.0;
                wins += if s > t {
                    1.0
                } else if s == t {
                    0.5
                } else {
                    0.0
                };
            }
        }
        (pairs > 0.0).then(|| wins / pairs)
    }

    proptest! {
        #[test]
        fn auroc_with_ties_is_mann_whitney(rows in prop::collection::vec((0u8..6, any::<bool>()), 1..60)) {
            let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
            let labels: Vec<bool> = rows.iter().map(|r| r.1).collect();
            let got = Scored::new(&scores, &labels, 0.5).unwrap().auroc();
            match mann_whitney(&scores, &labels) {
                Some(want) => prop_assert!((got.unwrap() - want).abs() < 1e-12),
                None => prop_assert!(got.is_none()),
            }
        }

        #[test]
        fn weights_are_repetitions(rows in prop::collection::vec((0u8..6, any::<bool>(), 0u64..4), 1..40)) {
            let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
            let labels: Vec<bool> = rows.iter().map(|r| r.1).collect();
            let repeat = |i: usize| std::iter::repeat_n(i, rows[i].2 as usize);
            let index: Vec<usize> = (0..rows.len()).flat_map(repeat).collect();
            let many: Vec<f64> = index.iter().map(|&i| scores[i]).collect();
            let many_labels: Vec<bool> = index.iter().map(|&i| labels[i]).collect();
            let weighted = Scored::new(&scores, &labels, 0.0).unwrap().ranking().auroc(|i| rows[i].2);
            prop_assert_eq!(weighted, Scored::new(&many, &many_labels, 0.0).ok().and_then(|s| s.auroc()));
        }
    }

    #[test]
    fn perfect_inverted_and_constant() {
        let labels = [true, false, true, false];
        let check = |scores: [f64; 4]| {
            let scored = Scored::new(&scores, &labels, 0.5).unwrap();
            (scored.accuracy(), scored.auroc().unwrap())
        };
        assert_eq!(check([0.9, 0.1, 0.8, 0.2]), (1.0, 1.0));
        assert_eq!(check([0.1, 0.9, 0.2, 0.8]), (0.0, 0.0));
        assert_eq!(check([0.5; 4]), (0.5, 0.5));
        assert_eq!(check([0.0, -0.0, 0.0, -0.0]).1, 0.5);
    }

    #[test]
    fn confusion_counts_each_row_once() {
        let scored = Scored::new(&[0.9, 0.8, 0.1, 0.2, 0.7], &[true, false, true, false, true], 0.5).unwrap();
        let want = Confusion { true_positive: 2, false_positive: 1, true_negative: 1, false_negative: 1 };
        assert_eq!(scored.confusion(), want);
        assert_eq!(scored.accuracy(), 0.6);
    }

    #[test]
    fn lengths_and_nan_are_refused() {
        assert!(matches!(Scored::new(&[0.1], &[true, false], 0.5), Err(Error::Length { .. })));
        assert!(matches!(
            Scored::new(&[0.1, f64::NAN], &[true, false], 0.5),
            Err(Error::NotFinite { row: 1, .. })
        ));
        assert!(matches!(Scored::new(&[], &[], 0.5), Err(Error::TooFewRows { .. })));
    }
}

//! Accuracy, AUROC and confusion counts of scores against labels.
//!
//! Scores and labels are plain slices of one length, checked when they are brought together: a column of
//! predictions broadcast against a row of labels, which made an accuracy that no probe can change, cannot be written.

use serde::{Deserialize, Serialize};

use super::order::ascending;
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

    /// The rows' scores. N
    pub(super) fn scores(&self) -> &[f64] {
        self.scores
    }

    /// The rows' labels. N
    pub(super) fn labels(&self) -> &[bool] {
        self.labels
    }

    /// The decision boundary.
    pub(super) fn threshold(&self) -> f64 {
        self.threshold
    }

    /// What each row is predicted to be. N
    pub fn decisions(&self) -> Vec<bool> {
        self.scores.iter().map(|&score| score > self.threshold).collect()
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
        let [falses, trues] = self.counts()?;
        let (mut below, mut wins) = (0u64, 0u64); // false rows that score lower; twice the pairs that true rows win
        for tied in ascending(self.scores).chunk_by(|a, b| a.key == b.key) {
            let positives = tied.iter().filter(|at| self.label(at.row)).count() as u64;
            let negatives = tied.len() as u64 - positives;
            wins += positives * (2 * below + negatives);
            below += negatives;
        }
        Some(share_of_pairs(wins, falses, trues))
    }

    /// Rows labeled false and true; `None` if one label is missing.
    fn counts(&self) -> Option<[usize; 2]> {
        let trues = self.labels.iter().filter(|&&label| label).count();
        let falses = self.labels.len() - trues;
        (trues > 0 && falses > 0).then_some([falses, trues])
    }

    fn label(&self, row: u32) -> bool {
        self.labels.get(row as usize).copied().unwrap_or_default()
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

    /// How each row stands among the rows of the other label; `None` if one label is missing.
    pub fn placements(&self) -> Option<Placements> {
        let [falses, trues] = self.counts()?;
        let order = ascending(self.scores);
        // Twice the pairs that each row wins, ties counting half: exact in integers.
        let mut twice = vec![0u64; order.len()];
        let (mut below, mut wins) = ([0u64; 2], 0u64); // rows of either label that score lower; of all true rows
        let mut scores = 0;
        for tied in order.chunk_by(|a, b| a.key == b.key) {
            scores += 1;
            let positives = tied.iter().filter(|at| self.label(at.row)).count() as u64;
            let here = [tied.len() as u64 - positives, positives];
            for at in tied {
                let label = self.label(at.row);
                let (of_others, others) = if label { (0, falses) } else { (1, trues) };
                let lower = 2 * below[of_others] + here[of_others];
                let won = if label { lower } else { 2 * others as u64 - lower };
                wins += if label { won } else { 0 };
                if let Some(twice) = twice.get_mut(at.row as usize) {
                    *twice = won;
                }
            }
            below = [below[0] + here[0], below[1] + here[1]];
        }
        let auroc = share_of_pairs(wins, falses, trues);
        let influence = twice.iter().zip(self.labels).map(|(&twice, &label)| {
            let (own, others) = if label { (trues, falses) } else { (falses, trues) };
            (twice as f64 / 2.0 / others as f64 - auroc) / own as f64
        });
        let tied = scores == 1;
        Some(Placements { auroc, influence: influence.collect(), trues, falses, tied, strata: Vec::new() })
    }
}

/// The AUROC of true rows that win so many pairs, each counted twice.
fn share_of_pairs(wins: u64, falses: usize, trues: usize) -> f64 {
    wins as f64 / 2.0 / (falses as f64 * trues as f64)
}

/// How each row stands among the rows of the other label.
///
/// A true row's placement is the share of false rows that it scores above, a false row's the share of true rows that score
/// above it, ties counting half (DeLong, DeLong & Clarke-Pearson 1988). The mean of either is the AUROC.
#[derive(Debug, Clone, PartialEq)]
pub struct Placements {
    /// The area under the ROC curve.
    pub auroc: f64,
    /// What each row adds to the AUROC's deviation from its mean: its placement less the AUROC, over the number of rows of
    /// its label. They add up to zero. N
    pub influence: Vec<f64>,
    /// Rows labeled true.
    pub trues: usize,
    /// Rows labeled false.
    pub falses: usize,
    /// Whether all rows score the same, so that nothing is ranked.
    pub tied: bool,
    /// The strata that pairs are formed in; none where all rows are one.
    pub(super) strata: Vec<Pairs>,
}

/// Pairs of a true and a false row of one stratum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pairs {
    /// Their share of all pairs.
    pub(super) share: f64,
    pub(super) trues: f64,
    pub(super) falses: f64,
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
        fn influences_are_of_placements(rows in prop::collection::vec((0u8..6, any::<bool>()), 2..40)) {
            let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
            let labels: Vec<bool> = rows.iter().map(|r| r.1).collect();
            let Some(found) = Scored::new(&scores, &labels, 0.5).unwrap().placements() else { return Ok(()) };
            for (row, influence) in found.influence.iter().enumerate() {
                // The row's own label once, against all rows of the other.
                let against: Vec<usize> = (0..rows.len()).filter(|&r| r == row || labels[r] != labels[row]).collect();
                let alone = mann_whitney(
                    &against.iter().map(|&r| scores[r]).collect::<Vec<_>>(),
                    &against.iter().map(|&r| labels[r]).collect::<Vec<_>>(),
                );
                let own = if labels[row] { found.trues } else { found.falses };
                prop_assert!((influence * own as f64 + found.auroc - alone.unwrap()).abs() < 1e-12);
            }
            prop_assert!(found.influence.iter().sum::<f64>().abs() < 1e-12);
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

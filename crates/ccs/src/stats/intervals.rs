//! 95 % percentile intervals from resampled groups.
//!
//! Groups (passages) are drawn with replacement, not rows: rows of one passage are not independent. One set of
//! resamples serves every method and layer, which makes their differences paired.

use std::collections::HashMap;

use rand::RngExt;

use crate::SeedTree;
use crate::stats::metrics::Ranking;
use crate::{Error, Result};

/// An interval, `[low, high]`.
pub type Interval = [f64; 2];

/// With fewer groups than this an interval is too rough to call anything better than chance: it misses far more
/// often than one time in twenty.
pub const FEWEST_GROUPS: usize = 10;

/// Gives up on resamples with both labels after this many draws per resample wanted.
const MOST_DRAWS: usize = 50;

/// How often each group occurs in each resample.
#[derive(Debug, Clone)]
pub struct Resamples {
    group_of_row: Vec<usize>,
    groups: usize,
    /// One list of counts by group for each resample.
    counts: Vec<Vec<u32>>,
    redrawn: usize,
}

impl Resamples {
    /// Draws `count` resamples of the rows' groups. Where the rows carry both labels, so does every resample:
    /// one that does not is drawn again, and [`Resamples::redrawn`] says how many were.
    ///
    /// # Shapes
    /// `labels`, `groups`: N, at least 1.
    ///
    /// # Errors
    /// Different lengths, no rows, or groups among which resamples with both labels are too rare.
    pub fn draw(labels: &[bool], groups: &[String], count: usize, stream: &SeedTree) -> Result<Self> {
        if labels.len() != groups.len() {
            return Err(Error::Length { what: "groups", expected: labels.len(), found: groups.len() });
        }
        let mut ids: HashMap<&str, usize> = HashMap::new();
        let group_of_row: Vec<usize> = groups
            .iter()
            .map(|group| {
                let next = ids.len();
                *ids.entry(group).or_insert(next)
            })
            .collect();
        let total = ids.len();
        if total == 0 {
            return Err(Error::TooFewRows { purpose: "an interval".to_owned(), needed: 1, found: 0 });
        }
        // Which labels a group brings: bit 0 false, bit 1 true.
        let mut brings = vec![0u8; total];
        for (&group, &label) in group_of_row.iter().zip(labels) {
            if let Some(bits) = brings.get_mut(group) {
                *bits |= 1 << u8::from(label);
            }
        }
        let wanted = brings.iter().fold(0, |all, bits| all | bits);
        let mut rng = stream.rng();
        let mut counts = Vec::with_capacity(count);
        let mut redrawn = 0;
        while counts.len() < count {
            let mut drawn = vec![0u32; total];
            let mut brought = 0;
            for _ in 0..total {
                let group = rng.random_range(0..total);
                if let (Some(times), Some(bits)) = (drawn.get_mut(group), brings.get(group)) {
                    *times += 1;
                    brought |= bits;
                }
            }
            if brought == wanted {
                counts.push(drawn);
            } else {
                redrawn += 1;
                if redrawn > MOST_DRAWS * count {
                    let purpose = "intervals with both labels in every resample".to_owned();
                    return Err(Error::TooFewGroups { purpose, needed: 4, found: total });
                }
            }
        }
        Ok(Self { group_of_row, groups: total, counts, redrawn })
    }

    /// The number of groups resampled.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The number of resamples.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are no resamples.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Resamples drawn again because they held one label only.
    pub fn redrawn(&self) -> usize {
        self.redrawn
    }

    /// The central 95 % of values, one for each resample; `None` without values, and for a single group, of which
    /// every resample is the same.
    pub fn interval(&self, values: Vec<f64>) -> Option<Interval> {
        self.interval_missing(0.05, values)
    }

    /// As [`Resamples::interval`], with the central 1 − `miss` of the values. Where it is smaller than two resamples'
    /// share, the interval is that of all of them.
    pub fn interval_missing(&self, miss: f64, mut values: Vec<f64>) -> Option<Interval> {
        if self.groups < 2 {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        Some([quantile(&values, miss / 2.0)?, quantile(&values, 1.0 - miss / 2.0)?])
    }

    /// The accuracy in each resample.
    ///
    /// # Shapes
    /// `correct`: N; the result: one value per resample.
    pub fn accuracies(&self, correct: &[bool]) -> Vec<f64> {
        let by_group = self.by_group(correct);
        self.counts.iter().map(|counts| share(counts, &by_group)).collect()
    }

    /// The accuracy in one resample.
    pub fn accuracy(&self, resample: usize, correct: &[bool]) -> f64 {
        let counts = self.counts.get(resample).map(Vec::as_slice).unwrap_or_default();
        share(counts, &self.by_group(correct))
    }

    /// Each group's rows that are judged rightly, and all its rows.
    fn by_group(&self, correct: &[bool]) -> Vec<[u64; 2]> {
        let mut found = vec![[0, 0]; self.groups];
        for (&group, &correct) in self.group_of_row.iter().zip(correct) {
            if let Some([right, rows]) = found.get_mut(group) {
                *right += u64::from(correct);
                *rows += 1;
            }
        }
        found
    }

    /// The AUROC in each resample; `None` if the rows carry one label only.
    pub fn aurocs(&self, ranking: &Ranking) -> Option<Vec<f64>> {
        (0..self.counts.len()).map(|resample| self.auroc(resample, ranking)).collect()
    }

    /// The AUROC in one resample.
    pub fn auroc(&self, resample: usize, ranking: &Ranking) -> Option<f64> {
        let counts = self.counts.get(resample)?;
        let times = |row: usize| self.group_of_row.get(row).and_then(|&group| counts.get(group));
        ranking.auroc(|row| times(row).map_or(0, |&times| u64::from(times)))
    }
}

/// The share of right rows, each group counted so many times.
fn share(counts: &[u32], by_group: &[[u64; 2]]) -> f64 {
    let (mut right, mut rows) = (0u64, 0u64);
    for (&times, &[right_of, rows_of]) in counts.iter().zip(by_group) {
        right += u64::from(times) * right_of;
        rows += u64::from(times) * rows_of;
    }
    right as f64 / rows.max(1) as f64
}

/// The value below which the share `q` (0 to 1) of the values lies, interpolated linearly; `None` without values.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q.clamp(0.0, 1.0) * (sorted.len().checked_sub(1)? as f64);
    let low = *sorted.get(at.floor() as usize)?;
    let high = *sorted.get(at.ceil() as usize)?;
    Some(low + (high - low) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::metrics::Scored;

    fn names(n: usize, per_group: usize) -> Vec<String> {
        (0..n).map(|i| (i / per_group).to_string()).collect()
    }

    #[test]
    fn quantiles_interpolate_as_numpy_does() {
        let values = [0.0, 1.0, 2.0, 3.0];
        assert_eq!(quantile(&values, 0.5), Some(1.5));
        assert!((quantile(&values, 0.025).unwrap() - 0.075).abs() < 1e-12);
        assert_eq!(quantile(&values, 1.0), Some(3.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn the_interval_of_an_accuracy_is_the_binomials() {
        // 400 independent rows, 75 % right: ±1.96·√(.75·.25/400) = ±0.042.
        let labels: Vec<bool> = (0..400).map(|i| i % 2 == 0).collect();
        let correct: Vec<bool> = (0..400).map(|i| i % 4 != 0).collect();
        let resamples = Resamples::draw(&labels, &names(400, 1), 1000, &SeedTree::new(0)).unwrap();
        let [low, high] = resamples.interval(resamples.accuracies(&correct)).unwrap();
        assert!((low - 0.708).abs() < 0.008 && (high - 0.792).abs() < 0.008, "{low} {high}");
    }

    #[test]
    fn whole_groups_are_resampled() {
        // Rows of a group agree, so ten groups of 40 are worth ten rows: the interval must be wide.
        let labels: Vec<bool> = (0..400).map(|i| i % 2 == 0).collect();
        let correct: Vec<bool> = (0..400).map(|i| (i / 40) % 4 != 0).collect();
        let resamples = Resamples::draw(&labels, &names(400, 40), 1000, &SeedTree::new(0)).unwrap();
        assert_eq!(resamples.groups(), 10);
        let [low, high] = resamples.interval(resamples.accuracies(&correct)).unwrap();
        assert!(high - low > 0.4, "{low} {high}");
    }

    #[test]
    fn resamples_with_one_label_are_drawn_again_and_counted() {
        let labels = [true, false, false, false];
        let resamples = Resamples::draw(&labels, &names(4, 1), 200, &SeedTree::new(0)).unwrap();
        assert!(resamples.redrawn() > 20, "{}", resamples.redrawn());
        let ranking = Scored::new(&[0.9, 0.1, 0.2, 0.3], &labels, 0.5).unwrap().ranking();
        assert_eq!(resamples.aurocs(&ranking).unwrap(), vec![1.0; 200]);
    }

    #[test]
    fn a_single_group_has_no_interval() {
        let labels = [true, false, true];
        let interval = |per_group| {
            let resamples = Resamples::draw(&labels, &names(3, per_group), 50, &SeedTree::new(0)).unwrap();
            resamples.interval(resamples.accuracies(&[true, true, false]))
        };
        assert_eq!(interval(3), None);
        assert!(interval(1).is_some());
    }

    #[test]
    fn one_label_gives_accuracies_but_no_auroc() {
        let labels = [true; 6];
        let resamples = Resamples::draw(&labels, &names(6, 1), 10, &SeedTree::new(0)).unwrap();
        assert_eq!(resamples.redrawn(), 0);
        let ranking = Scored::new(&[0.0; 6], &labels, 0.5).unwrap().ranking();
        assert!(resamples.aurocs(&ranking).is_none());
        assert_eq!(resamples.accuracies(&[true; 6]), vec![1.0; 10]);
    }
}

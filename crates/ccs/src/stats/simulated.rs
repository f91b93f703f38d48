//! Rows with a known truth, for tests of intervals: how often does an interval hold what it is to hold?

use rand::RngExt as _;
use rand_distr::StandardNormal;
use statrs::distribution::{ContinuousCDF as _, Normal};

use crate::SeedTree;

/// Rows in groups of one size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) rows: usize,
    pub(super) group: usize,
    /// The correlation of two rows of a group.
    pub(super) alike: f64,
}

impl Sample {
    /// The rows' groups.
    pub(super) fn groups(self) -> Vec<String> {
        (0..self.rows).map(|row| (row / self.group).to_string()).collect()
    }

    /// A standard normal number for each row.
    pub(super) fn noise(self, rng: &mut impl rand::Rng) -> Vec<f64> {
        let (shared, own) = (self.alike.sqrt(), (1.0 - self.alike).sqrt());
        let mut of_group = 0.0;
        let mut row = |at: usize| -> f64 {
            if at.is_multiple_of(self.group) {
                of_group = rng.sample(StandardNormal);
            }
            shared * of_group + own * rng.sample::<f64, _>(StandardNormal)
        };
        (0..self.rows).map(&mut row).collect()
    }

    /// Labels that are true with probability ½, drawn by row; both occur at least twice.
    pub(super) fn labels(self, rng: &mut impl rand::Rng) -> Vec<bool> {
        loop {
            let labels: Vec<bool> = (0..self.rows).map(|_| rng.random_range(0..2) == 1).collect();
            let trues = labels.iter().filter(|&&label| label).count();
            if trues >= 2 && self.rows - trues >= 2 {
                return labels;
            }
        }
    }
}

/// Φ⁻¹(p).
pub(super) fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// The share of `times` samples whose interval holds what it should.
pub(super) fn share_that_hold(
    name: &str,
    times: usize,
    mut holds: impl FnMut(&mut rand_chacha::ChaCha12Rng) -> bool,
) -> f64 {
    let stream = SeedTree::new(0).child(name);
    let held = (0..times).filter(|&time| holds(&mut stream.indexed("sample", time).rng())).count();
    held as f64 / times as f64
}

/// What coverage is asked for: at least `least` in every cell and at least 94% on average, where sampling leaves both
/// four standard errors of `times` samples.
pub(super) fn assert_coverage(cells: &[(String, f64)], times: usize) {
    let error = |share: f64, samples: usize| 4.0 * (share * (1.0 - share) / samples as f64).sqrt();
    for (cell, share) in cells {
        assert!(*share > 0.92 - error(0.92, times), "{cell}: {share}");
    }
    let mean = cells.iter().map(|(_, share)| share).sum::<f64>() / cells.len() as f64;
    assert!(mean > 0.94 - error(0.95, times * cells.len()), "{mean}");
}

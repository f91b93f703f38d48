//! Intervals of accuracy and AUROC on rows in groups.
//!
//! Both hold near 1, where resampling gives an interval of no width: they ask which true values would make the sample
//! found unlikely, and do not estimate the spread from a sample that may show none. What rows of a group have in common is
//! estimated as a *design effect*: how many times larger the variance is than that of rows of their own. Where a sample says
//! little about it, it is drawn to the worst case, in which a group counts as a single row.

use super::clusters::Clusters;
use super::metrics::Placements;
use super::tails::{binomial, crossing, normal, student};

/// An interval, `[low, high]`.
pub type Interval = [f64; 2];

/// How often a 95% interval misses.
pub const MISS: f64 = 0.05;

/// The weight of the worst case in a design effect of an accuracy, as a share of one group that is half right.
const PRIOR_OF_ACCURACY: f64 = 0.25;

/// Half a group's share of wrong and right rows: p(1 − p) at p = ½.
const LARGEST_VARIANCE: f64 = 0.25;

impl Clusters {
    /// The interval of a share of right rows, which misses with probability `miss`. `None` with a single group.
    ///
    /// The mid-P interval of a binomial of N/deff rows, where deff is the design effect of the groups (Korn & Graubard 1998);
    /// with groups of more than one row, Student's quantile takes the place of the normal's.
    ///
    /// # Shapes
    /// `correct`: N.
    pub fn accuracy_interval(&self, correct: &[bool], miss: f64) -> Option<Interval> {
        if self.groups() < 2 {
            return None;
        }
        let rows = self.rows() as f64;
        let right = correct.iter().filter(|&&correct| correct).count() as f64;
        let share = right / rows;
        let deviations = correct.iter().map(|&correct| f64::from(u8::from(correct)) - share);
        let alone = rows * share * (1.0 - share); // the variance of the sum of N independent rows
        let rows = rows / self.design_effect(self.variance_of_sum(deviations), alone, miss);
        Some(binomial(share * rows, rows, miss))
    }

    /// The design effect of a sum with variance `found`, which would be `alone` if rows were independent; between 1 and the
    /// size of a group, then widened for having been estimated.
    pub(super) fn design_effect(&self, found: f64, alone: f64, miss: f64) -> f64 {
        if self.are_single_rows() {
            return 1.0;
        }
        let size = self.size_seen_by_a_row();
        // One more group that is half right and half wrong, all its rows alike, with a small weight.
        let prior = PRIOR_OF_ACCURACY * LARGEST_VARIANCE * size;
        let effect = ((found + prior * size) / (alone + prior)).clamp(1.0, size);
        effect * (student(miss, self.groups() as f64 - 1.0) / normal(miss)).powi(2)
    }

    /// The interval of an AUROC, which misses with probability `miss`. `None` with a single group, or with a single row of
    /// either label.
    ///
    /// It holds the values θ with |found − θ| ≤ t·√(k·V(θ)), where V is Hanley and McNeil's variance (1982) in the form of
    /// Newcombe (2006, method 5) and k is how many times larger the variance found by groups is (Obuchowski 1997).
    pub fn auroc_interval(&self, placements: &Placements, miss: f64) -> Option<Interval> {
        let (trues, falses) = (placements.trues as f64, placements.falses as f64);
        if self.groups() < 2 || trues.min(falses) < 2.0 {
            return None;
        }
        let found = placements.auroc;
        if placements.tied {
            return Some([found, found]); // a constant ranks nothing, whatever the rows
        }
        let variance = |auroc| placements.variance_alone(auroc);
        let prior = variance(0.5) / trues.min(falses);
        let by_groups = self.variance_of_sum(placements.influence.iter().copied());
        let factor = (by_groups + self.size_seen_by_a_row() * prior) / (variance(found) + prior);
        let critical = student(miss, self.degrees()).powi(2) * factor.max(placements.least_factor());
        let is_outside = |auroc: f64| (found - auroc).powi(2) > critical * variance(auroc);
        let low = crossing(0.0, found, |auroc| !is_outside(auroc));
        let high = crossing(found, 1.0, is_outside);
        Some([if found <= 0.0 { 0.0 } else { low }, if found >= 1.0 { 1.0 } else { high }])
    }

    /// Degrees of freedom of a variance between groups of which two kinds are compared: those of the rarer label twice.
    pub(super) fn degrees(&self) -> f64 {
        let rarer = self.groups_of_rarer_label() as f64;
        (2.0 * (rarer - 1.0)).clamp(1.0, self.groups() as f64 - 1.0)
    }
}

/// The least that the variance of an AUROC may fall short of Hanley and McNeil's.
const LEAST_FACTOR: f64 = 0.7;

impl Placements {
    /// The variance of such an AUROC over rows that are independent.
    fn variance_alone(&self, auroc: f64) -> f64 {
        if self.strata.is_empty() {
            return hanley_mcneil(auroc, self.trues as f64, self.falses as f64);
        }
        self.strata.iter().map(|of| of.share.powi(2) * hanley_mcneil(auroc, of.trues, of.falses)).sum()
    }

    /// The least that [`LEAST_FACTOR`] says, or 1 within strata: rows are measured against their own stratum's AUROC, which a
    /// stratum of few rows follows, so that the variance they show falls short.
    fn least_factor(&self) -> f64 {
        if self.strata.is_empty() { LEAST_FACTOR } else { 1.0 }
    }
}

/// The variance of an AUROC by Hanley & McNeil (1982), with both numbers of rows replaced by their mean (Newcombe 2006).
fn hanley_mcneil(auroc: f64, trues: f64, falses: f64) -> f64 {
    let others = 0.5 * (trues + falses) - 1.0;
    let spread = 1.0 + others * ((1.0 - auroc) / (2.0 - auroc) + auroc / (1.0 + auroc));
    auroc * (1.0 - auroc) * spread / (trues * falses)
}

/// The value below which the share `q` (0 to 1) of the values lies, interpolated linearly; `None` without values.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q.clamp(0.0, 1.0) * (sorted.len().checked_sub(1)? as f64);
    let low = *sorted.get(at.floor() as usize)?;
    let high = *sorted.get(at.ceil() as usize)?;
    Some(low + (high - low) * at.fract())
}

#[cfg(test)]
mod tests;

//! Intervals of the difference of two methods on the same rows.

use super::clusters::Clusters;
use super::intervals::Interval;
use super::metrics::Placements;
use super::tails::{crossing, normal, normal_cdf, student};

/// What two rankings of the same rows must be able to differ by, however alike they are here: as if they disagreed about
/// this many groups' rows.
const LEAST_DISAGREEMENT: f64 = 0.5;

impl Clusters {
    /// The interval of the difference of two shares of right rows. `None` with a single group.
    ///
    /// Tango's score interval (1998) of the rows about which the two disagree, with N over their design effect for N. It has
    /// a width where they disagree about none.
    ///
    /// # Shapes
    /// `first`, `second`: N.
    pub fn accuracy_difference(&self, first: &[bool], second: &[bool], miss: f64) -> Option<Interval> {
        if self.groups() < 2 {
            return None;
        }
        let rows = self.rows() as f64;
        let differences =
            || first.iter().zip(second).map(|(&a, &b)| f64::from(u8::from(a)) - f64::from(u8::from(b)));
        let mean = differences().sum::<f64>() / rows;
        let found = self.variance_of_sum(differences().map(|d| d - mean));
        let alone = differences().map(|d| (d - mean).powi(2)).sum::<f64>();
        let effect = self.design_effect(found, alone, miss);
        let only = |sign: f64| differences().filter(|d| d * sign > 0.5).count() as f64 / effect;
        Some(tango(only(1.0), only(-1.0), rows / effect, normal(miss)))
    }

    /// The interval of the difference of two AUROCs. `None` with a single group.
    ///
    /// From the variance of the differences between placements, by groups (DeLong et al. 1988; Obuchowski 1997).
    pub fn auroc_difference(&self, first: &Placements, second: &Placements, miss: f64) -> Option<Interval> {
        if self.groups() < 2 {
            return None;
        }
        let half = student(miss, self.degrees()) * self.deviation_of_difference(first, second);
        let found = first.auroc - second.auroc;
        Some([(found - half).max(-1.0), (found + half).min(1.0)])
    }

    /// The interval of the difference between an AUROC and that of a direction drawn at random: it covers the choice of the
    /// direction as well as that of the rows. `None` with a single group, or without directions.
    ///
    /// The quantiles of an equal mixture of normal distributions, one for each direction, each as wide as
    /// [`Clusters::auroc_difference`] is.
    pub fn auroc_beyond_directions(
        &self,
        found: &Placements,
        directions: &[Placements],
        misses: &[f64],
    ) -> Option<Vec<Interval>> {
        let differences: Vec<[f64; 2]> =
            directions.iter().map(|other| self.beyond_direction(found, other)).collect();
        self.interval_beyond_directions(&differences, misses)
    }

    /// The difference of two AUROCs and its standard deviation, for [`Clusters::interval_beyond_directions`].
    pub fn beyond_direction(&self, found: &Placements, direction: &Placements) -> [f64; 2] {
        [found.auroc - direction.auroc, self.deviation_of_difference(found, direction)]
    }

    /// [`Clusters::auroc_beyond_directions`] from what [`Clusters::beyond_direction`] says of every direction.
    pub fn interval_beyond_directions(
        &self,
        differences: &[[f64; 2]],
        misses: &[f64],
    ) -> Option<Vec<Interval>> {
        if self.groups() < 2 || differences.is_empty() {
            return None;
        }
        let interval = |&miss: &f64| {
            let widened = student(miss, self.degrees()) / normal(miss);
            let below = |x: f64| {
                let of_one = |[mean, deviation]: &[f64; 2]| normal_cdf((x - mean) / (deviation * widened));
                differences.iter().map(of_one).sum::<f64>() / differences.len() as f64
            };
            let at = |share: f64| crossing(-1.0, 1.0, |x| below(x) > share);
            [at(miss / 2.0), at(1.0 - miss / 2.0)]
        };
        Some(misses.iter().map(interval).collect())
    }

    /// The standard deviation of the difference of two AUROCs.
    fn deviation_of_difference(&self, first: &Placements, second: &Placements) -> f64 {
        let differences = first.influence.iter().zip(&second.influence).map(|(a, b)| a - b);
        let rarer = first.trues.min(first.falses) as f64;
        let least = LEAST_DISAGREEMENT * self.size_seen_by_a_row() / (rarer * rarer);
        self.variance_of_sum(differences).max(least).sqrt()
    }
}

/// The score interval of (first − second)/rows, where `first` rows are right by the first method alone and `second` by the
/// second alone (Tango 1998, equations 5 and 6).
fn tango(first: f64, second: f64, rows: f64, critical: f64) -> Interval {
    let found = (first - second) / rows;
    let is_outside = |difference: f64| {
        // The share of `second`'s rows that is likeliest if this is the difference.
        let (a, b, c) = (
            2.0 * rows,
            (2.0 * rows - first + second) * difference - first - second,
            -second * difference * (1.0 - difference),
        );
        let share = ((b * b - 4.0 * a * c).max(0.0).sqrt() - b) / (2.0 * a);
        let variance = rows * (2.0 * share + difference * (1.0 - difference));
        (first - second - rows * difference).powi(2) > critical * critical * variance.max(0.0)
    };
    let low = if found <= -1.0 { -1.0 } else { crossing(-1.0, found, |d| !is_outside(d)) };
    let high = if found >= 1.0 { 1.0 } else { crossing(found, 1.0, is_outside) };
    [low, high]
}

#[cfg(test)]
mod tests;

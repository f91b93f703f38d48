//! Tails of the distributions that intervals are made of.

use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};
use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc;

/// Halvings of a bracket inside \[−1, 1\]: the last bits of an f64.
const HALVINGS: usize = 60;

/// The normal distribution's two-sided critical value: 1.96 for `miss` = 0.05.
pub(crate) fn normal(miss: f64) -> f64 {
    Normal::standard().inverse_cdf(1.0 - miss / 2.0)
}

/// Student's two-sided critical value; the normal's where there is no such distribution.
pub(crate) fn student(miss: f64, degrees: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees.max(1.0))
        .map_or_else(|_| normal(miss), |student| student.inverse_cdf(1.0 - miss / 2.0))
}

/// Φ(z).
pub(crate) fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z / std::f64::consts::SQRT_2)
}

/// The interval of a binomial's share by its mid-P value: `right` of `rows`, neither need be whole. It holds the shares p
/// for which P(X > right) + ½·P(X = right), and the same below, are both at least `miss`/2 (Lancaster 1961).
///
/// It keeps its level where all rows are right, as Clopper and Pearson's does, and is not as wide elsewhere.
pub(crate) fn binomial(right: f64, rows: f64, miss: f64) -> [f64; 2] {
    let share = (right / rows).clamp(0.0, 1.0);
    // P(X > right) + ½·P(X = right), which grows with p.
    let above = |p: f64| {
        let from = if right > 0.0 { beta_reg(right, rows - right + 1.0, p) } else { 1.0 }; // P(X ≥ right)
        let beyond =
            if right < rows { beta_reg(right + 1.0, (rows - right).max(f64::MIN_POSITIVE), p) } else { 0.0 };
        0.5 * (from + beyond)
    };
    let low = if right <= 0.0 { 0.0 } else { crossing(0.0, share, |p| above(p) > miss / 2.0) };
    let high = if right >= rows { 1.0 } else { crossing(share, 1.0, |p| above(p) > 1.0 - miss / 2.0) };
    [low, high]
}

/// Where `beyond` turns from false (at `low`) to true (at `high`).
pub(crate) fn crossing(mut low: f64, mut high: f64, beyond: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if beyond(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn critical_values_are_those_of_tables() {
        assert!((normal(0.05) - 1.959_963_985).abs() < 1e-8);
        assert!((student(0.05, 9.0) - 2.262_157_163).abs() < 1e-6);
        assert!((student(0.05, 3.0) - 3.182_446_305).abs() < 1e-6);
        assert!((student(0.01, 1e6) - normal(0.01)).abs() < 1e-4);
        assert!((normal_cdf(1.959_963_985) - 0.975).abs() < 1e-9);
    }

    /// From `scipy.optimize.brentq` on `binom.sf(k, n, p) + 0.5 * binom.pmf(k, n, p)`.
    #[test]
    fn binomial_intervals_are_scipys() {
        for (right, rows, want) in MID_P {
            let [low, high] = binomial(right, rows, 0.05);
            assert!(
                (low - want[0]).abs() < 1e-9 && (high - want[1]).abs() < 1e-9,
                "{right} of {rows}: {low} {high}"
            );
        }
    }

    const MID_P: [(f64, f64, [f64; 2]); 5] = [
        (0.0, 20.0, [0.0, 0.139_108_340_668]),
        (20.0, 20.0, [0.860_891_659_332, 1.0]),
        (19.0, 20.0, [0.777_193_944_282, 0.997_499_127_168]),
        (37.0, 50.0, [0.605_803_589_486, 0.847_089_996_729]),
        (396.0, 400.0, [0.976_057_502_654, 0.996_814_778_880]),
    ];
}

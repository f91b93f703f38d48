//! Numbers as sentences, tables and the page show them.

use crate::report::Interval;

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

/// `[88.1, 95.6]`, in percent.
pub(crate) fn percents(ci: Interval) -> String {
    interval(ci, |v| format!("{:.1}", 100.0 * v))
}

/// An AUROC or a loss.
pub(crate) fn decimal(value: f64) -> String {
    format!("{value:.3}")
}

/// A number that may be negative, to three digits after the point.
pub(crate) fn signed_decimal(value: f64) -> String {
    signed(&decimal(value))
}

/// `[0.881, 0.956]`.
pub(crate) fn decimals(ci: Interval) -> String {
    interval(ci, decimal)
}

/// A difference of shares in percentage points, with its sign.
pub(crate) fn points(difference: f64) -> String {
    signed(&format!("{:+.1}", 100.0 * difference))
}

/// A difference with its sign.
pub(crate) fn difference(value: f64) -> String {
    signed(&format!("{value:+.3}"))
}

/// An interval of numbers shown by `show`.
pub(crate) fn interval(ci: Interval, show: impl Fn(f64) -> String) -> String {
    format!("[{}, {}]", show(ci[0]), show(ci[1]))
}

/// An interval in a sentence: `0.881 to 0.956`.
pub(crate) fn from_to(ci: Interval, show: impl Fn(f64) -> String) -> String {
    format!("{} to {}", show(ci[0]), show(ci[1]))
}

/// With a minus sign instead of a hyphen, and zero without a sign.
fn signed(number: &str) -> String {
    if number.chars().all(|c| "+-0.".contains(c)) {
        return number.trim_start_matches(['+', '-']).to_owned();
    }
    number.replace('-', "\u{2212}")
}

/// The lowest, the median and the highest of the finite values.
pub(crate) fn low_median_high(values: impl Iterator<Item = f64>) -> Option<[f64; 3]> {
    let mut sorted: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.first()?, sorted.last()?);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some([*low, f64::midpoint(*lower, *upper), *high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_carry_their_sign_and_zero_has_none() {
        assert_eq!(points(-0.0312), "\u{2212}3.1");
        assert_eq!(points(0.0312), "+3.1");
        assert_eq!([-0.0312, -0.0001, 0.5].map(signed_decimal), ["\u{2212}0.031", "0.000", "0.500"]);
        assert_eq!(
            (points(-0.0), points(-0.0001), difference(0.0)),
            ("0.0".into(), "0.0".into(), "0.000".into())
        );
        assert_eq!(interval([-0.1, 0.2], difference), "[\u{2212}0.100, +0.200]");
        assert_eq!(from_to([0.5, 0.75], percent), "50.0% to 75.0%");
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "these values are exact")]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(low_median_high([4.0, 1.0, 2.0, 8.0].into_iter()), Some([1.0, 3.0, 8.0]));
        assert_eq!(low_median_high([4.0, f64::NAN, 1.0, 2.0].into_iter()), Some([1.0, 2.0, 4.0]));
        assert_eq!(low_median_high([0.5].into_iter()), Some([0.5; 3]));
        assert_eq!(low_median_high([].into_iter()), None);
    }
}

//! Numbers as the page shows them.

use crate::Interval;

/// A share in per cent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// `[88.1, 95.6]`, in per cent.
pub(super) fn percents(ci: Interval) -> String {
    interval(ci, |v| format!("{:.1}", 100.0 * v))
}

/// An AUROC or a loss.
pub(super) fn decimal(value: f64) -> String {
    format!("{value:.3}")
}

/// `[0.881, 0.956]`.
pub(super) fn decimals(ci: Interval) -> String {
    interval(ci, decimal)
}

/// A difference of shares in percentage points, with its sign.
pub(super) fn points(difference: f64) -> String {
    signed(&format!("{:+.1}", 100.0 * difference))
}

/// A difference with its sign.
pub(super) fn difference(value: f64) -> String {
    signed(&format!("{value:+.3}"))
}

/// An interval of numbers shown by `show`.
pub(super) fn interval(ci: Interval, show: impl Fn(f64) -> String) -> String {
    format!("[{}, {}]", show(ci[0]), show(ci[1]))
}

/// With a minus sign instead of a hyphen, and zero without a sign.
fn signed(number: &str) -> String {
    if number.chars().all(|c| "+-0.".contains(c)) {
        return number.trim_start_matches(['+', '-']).to_owned();
    }
    number.replace('-', "\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_carry_their_sign_and_zero_has_none() {
        assert_eq!(points(-0.0312), "\u{2212}3.1");
        assert_eq!(points(0.0312), "+3.1");
        assert_eq!(
            (points(-0.0), points(-0.0001), difference(0.0)),
            ("0.0".into(), "0.0".into(), "0.000".into())
        );
        assert_eq!(interval([-0.1, 0.2], difference), "[\u{2212}0.100, +0.200]");
    }
}

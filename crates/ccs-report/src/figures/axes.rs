//! Axes: from numbers to pixels, with round ticks.

use super::canvas::{Anchor, Canvas};
use super::palette::{LINE, QUIET};
use crate::report::Interval;

/// Numbers along one side of a figure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    /// Pixels at the low and at the high end.
    from: f64,
    to: f64,
    /// Between ticks.
    step: f64,
}

impl Axis {
    /// From pixel `from` at `low` to pixel `to` at `high`, with round ticks about `apart` pixels from each other.
    pub(super) fn new([low, high]: Interval, [from, to]: [f64; 2], apart: f64) -> Self {
        let span = (high - low).max(f64::MIN_POSITIVE);
        let least = span * apart / (to - from).abs();
        let power = 10f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 5.0].into_iter().map(|f| f * power).find(|s| *s >= least * 0.999);
        Self { low, high: low + span, from, to, step: step.unwrap_or(10.0 * power) }
    }

    /// The pixel of a value; of the nearer end where it lies outside.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        if value.is_nan() { f64::NAN } else { self.from + share * (self.to - self.from) }
    }

    /// Pixels between two values that are one apart.
    pub(super) fn unit(&self) -> f64 {
        (self.to - self.from).abs() / (self.high - self.low)
    }

    pub(super) fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-6).ceil();
        let value = |k: u32| (first + f64::from(k)) * self.step;
        (0..200).map(value).take_while(|v| *v <= self.high + 1e-6 * self.step).map(|v| v + 0.0).collect()
    }

    /// Pixels at the low and at the high end.
    pub(super) fn ends(&self) -> [f64; 2] {
        [self.from, self.to]
    }
}

/// Steps of 0.05 around shares, at least 0.2 wide, from 0 to 1 with a margin so that no point at an end is cut.
pub(super) fn share_range(values: impl Iterator<Item = f64>) -> Interval {
    let (low, high) =
        values.filter(|v| v.is_finite()).fold((1.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return [0.0, 1.0];
    }
    let low = ((low - 0.01) * 20.0).floor() / 20.0;
    let high = ((high + 0.01) * 20.0).ceil() / 20.0;
    let missing = (0.2 - (high - low)).max(0.0) / 2.0;
    [(low - missing).max(-0.02), (high + missing).min(1.02)]
}

/// Level lines with their numbers to the left.
pub(super) fn grid(
    canvas: &mut Canvas,
    y: &Axis,
    [left, right]: [f64; 2],
    size: i32,
    show: impl Fn(f64) -> Option<String>,
) {
    for tick in y.ticks() {
        if let Some(number) = show(tick) {
            canvas.line((left, y.at(tick)), (right, y.at(tick)), LINE, 1.0);
            canvas.text((left - 6.0, y.at(tick)), size - 1, Anchor::End, QUIET, &number);
        }
    }
}

/// Numbers below a figure's `bottom`, and what they count.
pub(super) fn below(
    canvas: &mut Canvas,
    x: &Axis,
    bottom: f64,
    size: i32,
    title: &str,
    show: impl Fn(f64) -> Option<String>,
) {
    for tick in x.ticks() {
        if let Some(number) = show(tick) {
            canvas.text((x.at(tick), bottom + 13.0), size - 1, Anchor::Middle, QUIET, &number);
        }
    }
    let [left, right] = x.ends();
    canvas.text((f64::midpoint(left, right), bottom + 32.0), size, Anchor::Middle, QUIET, title);
}

/// Ticks of shares.
pub(super) fn percent(tick: f64) -> String {
    format!("{:.0}%", 100.0 * tick)
}

/// Ticks of counts: whole numbers from `first`.
pub(super) fn whole(tick: f64, first: f64) -> Option<String> {
    ((tick - tick.round()).abs() < 1e-6 && tick > first - 0.5).then(|| format!("{:.0}", tick.round().abs()))
}

/// A count as a coordinate.
pub(super) fn coordinate(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_values_stay_on_the_figure() {
        let axis = Axis::new([0.45, 0.9], [100.0, 300.0], 40.0);
        let ticks: Vec<String> = axis.ticks().iter().map(|t| format!("{t:.2}")).collect();
        assert_eq!(ticks, ["0.50", "0.60", "0.70", "0.80", "0.90"]);
        assert!((axis.at(0.45) - 100.0).abs() < 1e-9 && (axis.at(7.0) - 300.0).abs() < 1e-9);
        let flat = Axis::new([0.0, 0.0], [0.0, 100.0], 40.0);
        assert!(flat.at(0.0).is_finite() && flat.ticks().len() < 200);
    }

    #[test]
    fn ranges_of_shares_hold_their_values() {
        let [low, high] = share_range([0.52, 1.0, f64::NAN].into_iter());
        assert!(low <= 0.51 && low > 0.4 && (1.0..1.03).contains(&high));
        let [low, high] = share_range([0.5].into_iter());
        assert!((high - low - 0.2).abs() < 1e-9);
        assert_eq!(share_range(std::iter::empty()).map(f64::to_bits), [0.0f64, 1.0].map(f64::to_bits));
    }
}

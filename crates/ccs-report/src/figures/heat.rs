//! Colors of table cells by their numbers.

/// Percent of the strongest color, so that text stays legible on it.
const STRONGEST: f64 = 72.0;
/// A number at least this far from the middle may have the strongest color.
const FAR: f64 = 0.15;

/// Colors on both sides of a middle; the numbers farthest from it have the strongest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    middle: f64,
    far: f64,
    /// The smallest number there can be; the largest is 1.
    least: f64,
}

impl Scale {
    /// Around `middle`, as far as these values reach.
    pub(crate) fn new(middle: f64, values: impl Iterator<Item = f64>) -> Self {
        let far = values.map(|v| (v - middle).abs()).filter(|d| d.is_finite()).fold(FAR, f64::max);
        Self { middle, far, least: 0.0 }
    }

    /// From 0 to 1, on one side.
    pub(crate) fn share() -> Self {
        Self { middle: 0.0, far: 1.0, least: 0.0 }
    }

    /// From −1 to 1, around 0.
    pub(crate) fn cosine() -> Self {
        Self { middle: 0.0, far: 1.0, least: -1.0 }
    }

    /// The CSS style of a cell; empty for NaN.
    pub(crate) fn style(&self, value: f64) -> String {
        if !value.is_finite() {
            return String::new();
        }
        let side = if value < self.middle { "below" } else { "above" };
        let strength = ((value - self.middle).abs() / self.far).min(1.0) * STRONGEST;
        format!("background: color-mix(in srgb, var(--{side}) {strength:.0}%, var(--paper))")
    }

    /// Up to five numbers from one end of the colors to the other.
    pub(crate) fn key(&self) -> impl Iterator<Item = f64> {
        let Self { middle, far, least } = *self;
        [-1.0, -0.5, 0.0, 0.5, 1.0]
            .into_iter()
            .map(move |step| middle + step * far)
            .filter(move |v| (least..=1.0).contains(v))
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn colors_are_strongest_far_from_the_middle_and_weak_numbers_stay_pale() {
        let scale = Scale::new(0.5, [0.52, 0.9].into_iter());
        assert!(scale.style(0.9).contains("--above) 72%") && scale.style(0.1).contains("--below) 72%"));
        assert!(scale.style(0.5).contains(" 0%") && scale.style(f64::NAN).is_empty());
        let noise = Scale::new(0.5, [0.51].into_iter());
        assert!(noise.style(0.51).contains(" 5%"));
        assert_eq!(Scale::share().key().collect::<Vec<_>>(), [0.0, 0.5, 1.0]);
        assert_eq!(Scale::cosine().key().collect::<Vec<_>>(), [-1.0, -0.5, 0.0, 0.5, 1.0]);
    }
}

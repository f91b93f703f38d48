//! A line search for the strong Wolfe conditions (Nocedal and Wright, Numerical Optimization, Algorithms 3.5 and 3.6), as a
//! machine that is asked for a step and told what was found there: so many searches advance together, each at its own step.

/// Sufficient decrease.
const C1: f64 = 1e-4;
/// Curvature, as usual for quasi-Newton directions.
const C2: f64 = 0.9;
/// Steps tried before the best so far is taken.
const MOST_STEPS: usize = 25;

/// A step with the objective and its derivative there.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    t: f64,
    value: f64,
    slope: f64,
}

/// One search along a direction of descent.
#[derive(Debug, Clone)]
pub(super) struct Search {
    origin: Point,
    /// The end with the lowest value so far; in a bracket, one end.
    low: Point,
    /// The other end of the bracket, once there is one.
    high: Option<Point>,
    /// The step to be tried; `None` when the search is over.
    next: Option<f64>,
    tried: usize,
}

impl Search {
    /// From step 0, where the objective has `value` and the negative derivative `slope`.
    pub(super) fn new(value: f64, slope: f64, first: f64) -> Self {
        let origin = Point { t: 0.0, value, slope };
        let next = (slope < 0.0 && value.is_finite() && first > 0.0).then_some(first);
        Self { origin, low: origin, high: None, next, tried: 0 }
    }

    /// The step to try next; `None` when the search is over.
    pub(super) fn next(&self) -> Option<f64> {
        self.next
    }

    /// The step found, 0 if none lowers the objective enough.
    pub(super) fn step(&self) -> f64 {
        self.low.t
    }

    /// The objective at the step found.
    pub(super) fn value(&self) -> f64 {
        self.low.value
    }

    /// What the objective and its derivative are at the step that was to be tried.
    pub(super) fn tell(&mut self, value: f64, slope: f64) {
        let Some(t) = self.next else { return };
        self.tried += 1;
        let point = Point { t, value, slope };
        let enough =
            value.is_finite() && slope.is_finite() && value <= self.origin.value + C1 * t * self.origin.slope;
        let lower = value < self.low.value;
        if !enough || !lower {
            self.high = Some(point);
        } else if slope.abs() <= -C2 * self.origin.slope {
            (self.low, self.next) = (point, None);
            return;
        } else {
            // Downhill from here lies either the old end or what is beyond.
            let beyond = self.high.map_or(1.0, |high| high.t - self.low.t);
            if slope * beyond >= 0.0 {
                self.high = Some(self.low);
            }
            let previous = std::mem::replace(&mut self.low, point);
            if self.high.is_none() {
                self.next = Some(extrapolate(previous, point));
                self.stop_if_long();
                return;
            }
        }
        self.next = self.high.map(|high| interpolate(self.low, high));
        let narrow = self.high.is_some_and(|high| {
            let width = (high.t - self.low.t).abs();
            width <= 1e-9 * self.low.t.max(high.t)
                || width * self.low.slope.abs() <= 1e-16 * self.low.value.abs()
        });
        if narrow {
            self.next = None;
        }
        self.stop_if_long();
    }

    fn stop_if_long(&mut self) {
        if self.tried >= MOST_STEPS {
            self.next = None;
        }
    }
}

/// The minimum of the cubic through both points with their slopes (Nocedal and Wright, eq. 3.59).
fn cubic(a: Point, b: Point) -> Option<f64> {
    let d1 = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.t - b.t);
    let square = d1 * d1 - a.slope * b.slope;
    let d2 = (b.t - a.t).signum() * square.max(0.0).sqrt();
    let t = b.t - (b.t - a.t) * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
    (square >= 0.0 && t.is_finite()).then_some(t)
}

/// A step between both ends, at least a tenth of the bracket away from either.
fn interpolate(low: Point, high: Point) -> f64 {
    let (left, right) = (low.t.min(high.t), low.t.max(high.t));
    let margin = 0.1 * (right - left);
    let inside = high.value.is_finite() && high.slope.is_finite();
    let t = if inside { cubic(low, high) } else { None }.unwrap_or(0.5 * (left + right));
    t.clamp(left + margin, right - margin)
}

/// A longer step, up to ten times.
fn extrapolate(previous: Point, point: Point) -> f64 {
    let least = point.t + 0.01 * (point.t - previous.t);
    cubic(previous, point).filter(|t| *t > point.t).unwrap_or(10.0 * point.t).clamp(least, 10.0 * point.t)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a search on a function given with its derivative.
    fn run(f: impl Fn(f64) -> (f64, f64), first: f64) -> Search {
        let (value, slope) = f(0.0);
        let mut search = Search::new(value, slope, first);
        while let Some(t) = search.next() {
            let (value, slope) = f(t);
            search.tell(value, slope);
        }
        search
    }

    proptest! {
        /// A well with its bottom at `place`, with waves on its walls; the first step may be far too short or too long.
        #[test]
        fn steps_satisfy_the_strong_wolfe_conditions(
            place in 1e-2f64..1e2, first in 1e-3f64..1e3, wave in 0.0f64..0.5, pitch in 0.1f64..3.0,
        ) {
            let f = |t: f64| {
                let u = t / place - 1.0;
                let root = (1.0 + u * u).sqrt();
                (root + wave * (pitch * u).sin(), (u / root + wave * pitch * (pitch * u).cos()) / place)
            };
            let (value, slope) = f(0.0);
            prop_assume!(slope < 0.0);
            let search = run(f, first);
            let (at, slope_at) = f(search.step());
            prop_assert!(search.step() > 0.0);
            prop_assert!(at <= value + C1 * search.step() * slope, "{:?}", search);
            prop_assert!(search.tried == MOST_STEPS || slope_at.abs() <= -C2 * slope, "{:?}", search);
            prop_assert_eq!(at.to_bits(), search.value().to_bits());
        }
    }

    #[test]
    fn uphill_and_not_a_number_take_no_step() {
        assert_eq!(run(|t| (t, 1.0), 1.0).step().to_bits(), 0);
        assert_eq!(
            run(|t| if t > 0.0 { (f64::NAN, f64::NAN) } else { (1.0, -1.0) }, 1.0).step().to_bits(),
            0
        );
        // A wall beyond which nothing is defined is kept away from.
        let search = run(
            |t| if t < 0.3 { ((t - 0.2).powi(2), 2.0 * (t - 0.2)) } else { (f64::INFINITY, f64::NAN) },
            1.0,
        );
        assert!((search.step() - 0.2).abs() < 0.19, "{search:?}");
    }
}

//! Probabilities that mean what they say: Platt scaling on training rows, and how far from it a probe is on others.

use serde::{Deserialize, Serialize};

use crate::contrast::both_labels;
use crate::{Error, Result};

/// Newton steps before the best so far is taken; separable scores have no minimum, only ever larger slopes.
const MOST_STEPS: usize = 100;

/// p(true) = σ(a·s + b) for a score s (Platt 1999, without his smoothing of labels). A negative a turns the score round.
///
/// ```
/// use ccs::stats::calibrate::Platt;
///
/// let platt = Platt::fit(&[-2.0, -1.0, 0.5, 1.0, 2.0, -0.5], &[false, false, true, true, true, true])?;
/// assert!(platt.probability(2.0) > 0.9 && platt.probability(-2.0) < 0.1);
/// # Ok::<(), ccs::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Platt {
    /// a.
    pub a: f64,
    /// b.
    pub b: f64,
}

impl Platt {
    /// Fits on held-out scores of the rows that a probe is then fitted on, as Platt 1999 recommends: on its own training
    /// rows a probe is surer and more often right than on others, and where they are fewer than dimensions it separates them
    /// and the slope says nothing.
    ///
    /// As Platt's, the targets are not 1 and 0 but (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2), so that separable scores have
    /// a scaling too. The slope is at least 0: where held-out scores run against the labels they know nothing, and every
    /// score gets the share of trues; it is the training rows that say which way round a probe is.
    ///
    /// ```
    /// use ccs::stats::calibrate::Platt;
    ///
    /// let separable = Platt::fit_held_out(&[-1.0, -2.0, 1.0, 2.0], &[false, false, true, true])?;
    /// assert!(separable.probability(2.0) > 0.7 && separable.probability(2.0) < 0.9);
    /// # Ok::<(), ccs::Error>(())
    /// ```
    ///
    /// # Shapes
    /// `scores`, `labels`: N.
    ///
    /// # Errors
    /// As [`Platt::fit`].
    pub fn fit_held_out(scores: &[f64], labels: &[bool]) -> Result<Self> {
        check(scores, labels)?;
        let positives = labels.iter().filter(|&&l| l).count();
        let (positives, negatives) = (positives as f64, (labels.len() - positives) as f64);
        let [high, low] = [(positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0)];
        let targets: Vec<f64> = labels.iter().map(|&label| if label { high } else { low }).collect();
        let platt = Self::to_targets(scores, &targets);
        // The loss is convex: where its minimum is below 0, the best slope that is not is 0.
        Ok(if platt.a < 0.0 { Self::constant(&targets) } else { platt })
    }

    /// Minimizes the mean of −log p(label). Fit on rows that the evaluation does not see; for scores of pairs the label is
    /// whether the plus side is true.
    ///
    /// Where a threshold separates the labels, a would grow without end; it is that of the step at which the mean
    /// log loss has a slope below 1e-10.
    ///
    /// # Shapes
    /// `scores`, `labels`: N.
    ///
    /// # Errors
    /// Different lengths, one label only, or a score that is not finite.
    pub fn fit(scores: &[f64], labels: &[bool]) -> Result<Self> {
        check(scores, labels)?;
        let targets: Vec<f64> = labels.iter().map(|&l| f64::from(u8::from(l))).collect();
        Ok(Self::to_targets(scores, &targets))
    }

    /// The same probability of every score.
    fn constant(targets: &[f64]) -> Self {
        let share = targets.iter().sum::<f64>() / targets.len() as f64;
        Self { a: 0.0, b: (share / (1.0 - share)).ln() }
    }

    fn to_targets(scores: &[f64], targets: &[f64]) -> Self {
        // In units of the scores' own spread, so that steps and slopes have a scale.
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let spread = (scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n).sqrt();
        if spread <= 1e-12 * mean.abs() {
            return Self::constant(targets);
        }
        let rows: Vec<(f64, f64)> =
            scores.iter().zip(targets).map(|(s, &target)| ((s - mean) / spread, target)).collect();
        let (a, b) = newton(&rows);
        Self { a: a / spread, b: b - a * mean / spread }
    }

    /// Fits on statements: `plus` and `minus` are the scores of a pair's two statements, of which exactly one is true.
    ///
    /// # Shapes
    /// `plus`, `minus`, `labels`: N.
    ///
    /// # Errors
    /// As [`Platt::fit`].
    pub fn fit_statements(plus: &[f64], minus: &[f64], labels: &[bool]) -> Result<Self> {
        if minus.len() != labels.len() {
            return Err(Error::Length { what: "minus scores", expected: labels.len(), found: minus.len() });
        }
        if plus.len() != labels.len() {
            return Err(Error::Length { what: "plus scores", expected: labels.len(), found: plus.len() });
        }
        let opposite = labels.iter().map(|l| !l);
        Self::fit(&[plus, minus].concat(), &labels.iter().copied().chain(opposite).collect::<Vec<_>>())
    }

    /// σ(a·s + b).
    pub fn probability(&self, score: f64) -> f64 {
        sigma(self.a * score + self.b)
    }

    /// One probability for each score.
    pub fn probabilities(&self, scores: &[f64]) -> Vec<f64> {
        scores.iter().map(|&score| self.probability(score)).collect()
    }
}

fn check(scores: &[f64], labels: &[bool]) -> Result<()> {
    if scores.len() != labels.len() {
        return Err(Error::Length { what: "scores", expected: labels.len(), found: scores.len() });
    }
    both_labels(labels, "the rows that Platt scaling is fitted on")?;
    match scores.iter().position(|s| !s.is_finite()) {
        Some(row) => Err(Error::NotFinite { what: "the score".to_owned(), row, column: None }),
        None => Ok(()),
    }
}

fn sigma(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// Mean log loss at (a, b).
fn log_loss(rows: &[(f64, f64)], a: f64, b: f64) -> f64 {
    let one = |&(s, y): &(f64, f64)| {
        let z = a * s + b;
        z.max(0.0) + (-z.abs()).exp().ln_1p() - y * z
    };
    rows.iter().map(one).sum::<f64>() / rows.len() as f64
}

/// Newton's method with halving steps on scores and targets.
fn newton(rows: &[(f64, f64)]) -> (f64, f64) {
    let (mut a, mut b) = (0.0, 0.0);
    let mut value = log_loss(rows, a, b);
    for _ in 0..MOST_STEPS {
        let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(s, y) in rows {
            let p = sigma(a * s + b);
            let (g, h) = (p - y, p * (1.0 - p));
            (ga, gb) = (ga + g * s, gb + g);
            (haa, hab, hbb) = (haa + h * s * s, hab + h * s, hbb + h);
        }
        if ga.abs().max(gb.abs()) <= 1e-10 * rows.len() as f64 {
            break;
        }
        // A trace of curvature keeps the step finite where every p is 0 or 1.
        let ridge = 1e-12 * rows.len() as f64;
        (haa, hbb) = (haa + ridge, hbb + ridge);
        let determinant = haa * hbb - hab * hab;
        let (da, db) = ((hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant);
        let mut length = 1.0;
        let (next_a, next_b, next) = loop {
            let (x, y) = (a - length * da, b - length * db);
            let next = log_loss(rows, x, y);
            if next <= value || length < 1e-10 {
                break (x, y, next);
            }
            length /= 2.0;
        };
        if next.is_nan() || next >= value {
            break;
        }
        (a, b, value) = (next_a, next_b, next);
    }
    (a, b)
}

/// The rows whose probability lies in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// From this probability,
    pub low: f64,
    /// up to this one, exclusive but for 1.
    pub high: f64,
    /// Rows.
    pub rows: usize,
    /// Their mean probability; `None` without rows.
    pub probability: Option<f64>,
    /// The share of them that is true; `None` without rows.
    pub share: Option<f64>,
}

/// The reliability curve and what it sums up to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Intervals of equal width, from 0 to 1.
    pub bins: Vec<Bin>,
    /// The expected calibration error: over bins the mean of |share − mean probability|, weighted by rows.
    pub ece: f64,
}

impl Reliability {
    /// Of probabilities that rows are true, in `bins` intervals (10 is usual).
    ///
    /// # Shapes
    /// `probabilities`, `labels`: N, at least 1.
    ///
    /// # Errors
    /// Different lengths, no rows, no bins, or a number that is no probability.
    pub fn of(probabilities: &[f64], labels: &[bool], bins: usize) -> Result<Self> {
        if probabilities.len() != labels.len() {
            return Err(Error::Length {
                what: "probabilities",
                expected: labels.len(),
                found: probabilities.len(),
            });
        }
        if labels.is_empty() {
            return Err(Error::TooFewRows { purpose: "a reliability curve".to_owned(), needed: 1, found: 0 });
        }
        if bins == 0 {
            return Err(Error::Setting {
                name: "bins",
                value: "0".to_owned(),
                reason: "a reliability curve needs intervals",
                hint: "10 is usual",
            });
        }
        if let Some(row) = probabilities.iter().position(|p| !(0.0..=1.0).contains(p)) {
            return Err(Error::NotFinite { what: "the probability".to_owned(), row, column: None });
        }
        let mut sums = vec![(0usize, 0.0, 0usize); bins]; // rows, probabilities, trues
        for (&p, &label) in probabilities.iter().zip(labels) {
            if let Some(sum) = sums.get_mut(((p * bins as f64) as usize).min(bins - 1)) {
                *sum = (sum.0 + 1, sum.1 + p, sum.2 + usize::from(label));
            }
        }
        let of = |(index, &(rows, sum, trues)): (usize, &(usize, f64, usize))| Bin {
            low: index as f64 / bins as f64,
            high: (index + 1) as f64 / bins as f64,
            rows,
            probability: (rows > 0).then(|| sum / rows as f64),
            share: (rows > 0).then(|| trues as f64 / rows as f64),
        };
        let away: f64 = sums.iter().map(|&(_, sum, trues)| (trues as f64 - sum).abs()).sum();
        Ok(Self { bins: sums.iter().enumerate().map(of).collect(), ece: away / labels.len() as f64 })
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_turned_score_gets_a_negative_slope_and_scale_does_not_matter() {
        let scores = [0.1, 0.9, 0.2, 0.8, 0.6, 0.35];
        let labels = [false, true, false, true, false, true];
        let platt = Platt::fit(&scores, &labels).unwrap();
        let turned = Platt::fit(&scores.map(|s| 1e6 * (5.0 - s)), &labels).unwrap();
        assert!(platt.a > 0.0 && turned.a < 0.0);
        for s in scores {
            assert!((platt.probability(s) - turned.probability(1e6 * (5.0 - s))).abs() < 1e-9);
        }
        let mean = platt.probabilities(&scores).iter().sum::<f64>() / 6.0;
        assert!((mean - 0.5).abs() < 1e-9, "the mean probability is the share of trues");
    }

    #[test]
    fn separable_constant_and_one_sided_scores() {
        let separable = Platt::fit(&[0.0, 1.0, 2.0, 3.0], &[false, false, true, true]).unwrap();
        assert!(
            separable.a.is_finite() && separable.probability(2.0) > 0.99 && separable.probability(1.0) < 0.01
        );
        let constant = Platt::fit(&[2.0; 4], &[true, true, true, false]).unwrap();
        assert_eq!((constant.a, constant.probability(2.0)), (0.0, 0.75));
        assert!(matches!(Platt::fit(&[1.0, 2.0], &[true, true]), Err(Error::OneClass { .. })));
        assert!(matches!(Platt::fit(&[1.0, f64::NAN], &[true, false]), Err(Error::NotFinite { row: 1, .. })));
        assert!(matches!(Platt::fit(&[1.0], &[true, false]), Err(Error::Length { .. })));
    }

    #[test]
    fn held_out_scores_never_turn_a_probe_round_and_never_make_it_certain() {
        let separable: Vec<f64> = (0..40).map(|i| f64::from(i - 20) + 0.5).collect();
        let labels: Vec<bool> = (0..40).map(|i| i >= 20).collect();
        let platt = Platt::fit_held_out(&separable, &labels).unwrap();
        let mean = platt.probabilities(&separable[20..]).iter().sum::<f64>() / 20.0;
        assert!(platt.a > 0.0 && mean < 21.0 / 22.0 + 1e-9, "{platt:?} {mean}");
        assert!(Platt::fit(&separable, &labels).unwrap().a > 2.0 * platt.a);
        let against: Vec<bool> = labels.iter().enumerate().map(|(i, l)| !l || i == 39).collect();
        let turned = Platt::fit_held_out(&separable, &against).unwrap();
        let share = (21.0 * 22.0 / 23.0 + 19.0 / 21.0) / 40.0;
        assert!(turned.a == 0.0 && (turned.probability(7.0) - share).abs() < 1e-12, "{turned:?}");
        // Of many rows, what Platt::fit gives.
        let many: Vec<f64> = (0..4000).map(|i| (f64::from(i) * 0.7).sin()).collect();
        let labels: Vec<bool> =
            many.iter().zip(0u32..).map(|(s, i)| s + (f64::from(i) * 1.3).cos() > 0.0).collect();
        let (plain, held_out) =
            (Platt::fit(&many, &labels).unwrap(), Platt::fit_held_out(&many, &labels).unwrap());
        assert!((plain.a / held_out.a - 1.0).abs() < 0.01, "{plain:?} {held_out:?}");
    }

    #[test]
    fn statements_are_two_rows_a_pair() {
        let (plus, minus, labels) = ([1.0, -0.5, 0.2], [-0.8, 0.9, 0.3], [true, false, true]);
        let both = Platt::fit_statements(&plus, &minus, &labels).unwrap();
        let rows =
            Platt::fit(&[1.0, -0.5, 0.2, -0.8, 0.9, 0.3], &[true, false, true, false, true, false]).unwrap();
        assert_eq!(both, rows);
        assert!(Platt::fit_statements(&plus, &minus[..2], &labels).is_err());
    }

    #[test]
    fn ece_of_known_rows() {
        // Bin 0: two rows at 0.1 of which one true; the last bin: two rows at 1 and 0.95, both true.
        let curve = Reliability::of(&[0.1, 0.1, 1.0, 0.95], &[true, false, true, true], 5).unwrap();
        assert_eq!(curve.bins.iter().map(|b| b.rows).collect::<Vec<_>>(), [2, 0, 0, 0, 2]);
        assert_eq!((curve.bins[0].share, curve.bins[1].share), (Some(0.5), None));
        assert!((curve.ece - (0.5 * 0.4 + 0.5 * 0.025)).abs() < 1e-15);
        assert_eq!(Reliability::of(&[0.0, 1.0], &[false, true], 10).unwrap().ece, 0.0, "pure bins count too");
        assert!(
            Reliability::of(&[1.2], &[true], 10).is_err()
                && Reliability::of(&[f64::NAN], &[true], 10).is_err()
        );
        assert!(Reliability::of(&[], &[], 10).is_err() && Reliability::of(&[0.5], &[true], 0).is_err());
    }
}

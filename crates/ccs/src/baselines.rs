//! Controls: what random directions, the model's own answer and a constant guess reach.

use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::SeedTree;
use crate::contrast::both_labels;
use crate::normalize::{Normalization, Normalizer};
use crate::stats::intervals::quantile;
use crate::stats::metrics::{Placements, Scored};
use crate::{Contrast, Error, Result};

/// Scores of rows under one rule; a score above `threshold` predicts true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    /// N
    pub scores: Vec<f64>,
    /// The decision boundary.
    pub threshold: f64,
}

impl Predictions {
    /// With the labels they are judged by.
    ///
    /// # Errors
    /// Another number of labels, or a score that is NaN.
    pub fn against<'a>(&'a self, labels: &'a [bool]) -> Result<Scored<'a>> {
        Scored::new(&self.scores, labels, self.threshold)
    }

    /// The opposite answers.
    #[must_use]
    pub fn turned(&self) -> Self {
        let scores = self.scores.iter().map(|score| 2.0 * self.threshold - score).collect();
        Self { scores, threshold: self.threshold }
    }

    /// The same answer for `rows` rows.
    pub fn constant(answer: bool, rows: usize) -> Self {
        Self { scores: vec![f64::from(u8::from(answer)); rows], threshold: 0.5 }
    }
}

/// The label that at least half of the rows carry.
pub fn majority_label(labels: &[bool]) -> bool {
    2 * labels.iter().filter(|&&l| l).count() >= labels.len()
}

/// The share of the more frequent label, which the best constant answer reaches.
pub fn majority_share(labels: &[bool]) -> f64 {
    let positive = labels.iter().filter(|&&l| l).count();
    positive.max(labels.len() - positive) as f64 / labels.len().max(1) as f64
}

/// The model's own answer: true where it finds the plus side's answer more likely.
///
/// # Shapes
/// `plus`, `minus`: N log-probabilities of the answer on either side.
///
/// # Errors
/// Different lengths.
pub fn zero_shot(plus: &[f64], minus: &[f64]) -> Result<Predictions> {
    if plus.len() != minus.len() {
        return Err(Error::Length {
            what: "minus log-probabilities",
            expected: plus.len(),
            found: minus.len(),
        });
    }
    Ok(Predictions { scores: plus.iter().zip(minus).map(|(p, m)| p - m).collect(), threshold: 0.0 })
}

/// γ of calibrated zero-shot: the (1 − π)-quantile of log-probability differences of training rows, so that a share π of
/// them is called true. Labels are not needed: π is what is known of the base rate, ½ of balanced data (the median).
///
/// # Shapes
/// `plus`, `minus`: N log-probabilities of the answer on either side, of training rows.
///
/// # Errors
/// Different lengths, no rows, a difference that is not a number, or a share outside \[0, 1\].
pub fn zero_shot_threshold(plus: &[f64], minus: &[f64], true_share: f64) -> Result<f64> {
    if !(0.0..=1.0).contains(&true_share) {
        return Err(Error::Setting {
            name: "true share",
            value: true_share.to_string(),
            reason: "it is the share of rows that are true",
            hint: "give a number from 0 to 1; 0.5 for balanced data",
        });
    }
    let mut differences = zero_shot(plus, minus)?.scores;
    if let Some(row) = differences.iter().position(|d| d.is_nan()) {
        return Err(Error::NotFinite { what: "the log-probability".to_owned(), row, column: None });
    }
    differences.sort_unstable_by(f64::total_cmp);
    quantile(&differences, 1.0 - true_share).ok_or(Error::TooFewRows {
        purpose: "calibrated zero-shot".to_owned(),
        needed: 1,
        found: 0,
    })
}

/// The model's own answer against a threshold from training rows ([`zero_shot_threshold`]): what is left of zero-shot when
/// the model's liking for one answer whatever the question is taken out (Zhao et al. 2021; Burns et al. 2022).
///
/// # Shapes
/// `plus`, `minus`: N log-probabilities of the answer on either side.
///
/// # Errors
/// Different lengths.
pub fn calibrated_zero_shot(plus: &[f64], minus: &[f64], threshold: f64) -> Result<Predictions> {
    Ok(Predictions { threshold, ..zero_shot(plus, minus)? })
}

/// What many random directions give on the same rows, each with its sign from the training rows.
#[derive(Debug)]
pub struct RandomBand {
    /// Of each direction, on training rows.
    pub train: Vec<Quality>,
    /// Of each direction, on test rows.
    pub test: Vec<Quality>,
    /// Each direction's predictions on test rows.
    pub predictions: Vec<Predictions>,
}

/// How one direction does.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// Share of rows judged rightly.
    pub accuracy: f64,
    /// Area under the ROC curve; `None` if the rows carry one label.
    pub auroc: Option<f64>,
}

impl Quality {
    fn of(predictions: &Predictions, labels: &[bool]) -> Result<Self> {
        let scored = predictions.against(labels)?;
        Ok(Self { accuracy: scored.accuracy(), auroc: scored.auroc() })
    }
}

/// Median and central 95% of a quality over directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// 2.5%.
    pub low: f64,
    /// 50%.
    pub median: f64,
    /// 97.5%.
    pub high: f64,
}

impl Band {
    /// Of the values; `None` without values.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        Some(Self {
            low: quantile(&values, 0.025)?,
            median: quantile(&values, 0.5)?,
            high: quantile(&values, 0.975)?,
        })
    }
}

/// Gaussian directions.
#[derive(Debug)]
pub struct Directions(Tensor); // [R, D], f32

/// Directions scored at once.
const PART: i64 = 64;

impl Directions {
    /// The same in parts of which the scores can be held.
    fn in_parts(&self) -> Result<Vec<Self>> {
        Ok(self.0.f_split(PART, 0)?.into_iter().map(Self).collect())
    }

    /// The next `count` of `rng`, on the device of the states they are for.
    pub fn draw(count: usize, dim: usize, rng: &mut impl rand::Rng, device: Device) -> Result<Self> {
        let numbers: Vec<f32> = (0..count * dim).map(|_| rng.sample(StandardNormal)).collect();
        let directions = Tensor::f_from_slice(&numbers)?.f_reshape([count as i64, dim as i64])?;
        Ok(Self(directions.f_to_device(device)?))
    }

    /// What each direction makes of every row.
    ///
    /// # Shapes
    /// `differences`: \[N, D\], N at least 1, f32; the result: R times N scores.
    pub fn scores(&self, differences: &Tensor) -> Result<Vec<Predictions>> {
        let (rows, _) = differences.dims2("differences")?;
        let scores = self.0.f_mm(&differences.f_tr()?)?.f_to_device(Device::Cpu)?; // [R, N]
        let scores = Vec::<f32>::try_from(scores.f_reshape([-1])?)?;
        let one = |scores: &[f32]| Predictions {
            scores: scores.iter().map(|&score| f64::from(score)).collect(),
            threshold: 0.0,
        };
        Ok(scores.chunks(rows.max(1) as usize).map(one).collect())
    }
}

/// Scores rows by `directions` Gaussian directions on differences of states normalized in the default way. A direction
/// is turned round where its AUROC on the training rows is below 0.5.
///
/// # Shapes
/// `train`, `test`: pairs of length D.
///
/// # Errors
/// Training rows of one label, no test rows, or no directions.
pub fn random_directions(
    train: &Contrast,
    test: &Contrast,
    directions: usize,
    stream: &SeedTree,
) -> Result<RandomBand> {
    random_directions_as(Normalization::default(), train, test, directions, stream)
}

/// As [`random_directions`], on states normalized as other probes' are.
///
/// # Shapes
/// `train`, `test`: pairs of length D.
///
/// # Errors
/// As [`random_directions`].
pub fn random_directions_as(
    normalization: Normalization,
    train: &Contrast,
    test: &Contrast,
    directions: usize,
    stream: &SeedTree,
) -> Result<RandomBand> {
    let mut band = RandomBand { train: Vec::new(), test: Vec::new(), predictions: Vec::new() };
    each_random_direction(normalization, train, test, directions, stream, |direction| {
        band.train.push(direction.train);
        band.test.push(direction.test);
        band.predictions.push(direction.predictions);
        Ok(())
    })?;
    Ok(band)
}

/// A random direction with its sign from the training rows.
#[derive(Debug)]
pub struct RandomDirection {
    /// On the training rows.
    pub train: Quality,
    /// On the test rows.
    pub test: Quality,
    /// Of the test rows.
    pub predictions: Predictions,
    /// Of the test rows; none if they carry one label.
    pub placements: Option<Placements>,
}

/// The directions of [`random_directions_as`] one after the other, so that not all have to be held.
///
/// # Shapes
/// `train`, `test`: pairs of length D.
///
/// # Errors
/// As [`random_directions`], and those of `take`.
pub fn each_random_direction(
    normalization: Normalization,
    train: &Contrast,
    test: &Contrast,
    directions: usize,
    stream: &SeedTree,
    mut take: impl FnMut(RandomDirection) -> Result<()>,
) -> Result<()> {
    both_labels(train.labels(), "the training rows")?;
    if test.rows() == 0 {
        return Err(Error::TooFewRows { purpose: "testing".to_owned(), needed: 1, found: 0 });
    }
    if directions == 0 {
        return Err(Error::Setting {
            name: "directions",
            value: "0".to_owned(),
            reason: "a band needs directions",
            hint: "the default is 1000",
        });
    }
    let normalizer = Normalizer::fit_as(normalization, train)?;
    let drawn = Directions::draw(directions, train.dim(), &mut stream.rng(), train.plus().device())?;
    let differences = |pairs: &Contrast| normalizer.differences(pairs, Kind::Float);
    let (on_train, on_test) = (differences(train)?, differences(test)?);
    for part in drawn.in_parts()? {
        for (of_train, mut predictions) in part.scores(&on_train)?.into_iter().zip(part.scores(&on_test)?) {
            let scored = of_train.against(train.labels())?;
            let mut quality = Quality { accuracy: scored.accuracy(), auroc: scored.auroc() };
            // By AUROC, which asks for no boundary: of unbalanced labels accuracy turns the better half of the directions
            // round where the boundary is badly placed.
            if quality.auroc.is_some_and(|auroc| auroc < 0.5) {
                quality = Quality::of(&of_train.turned(), train.labels())?;
                predictions = predictions.turned();
            }
            let scored = predictions.against(test.labels())?;
            let placements = scored.placements();
            let auroc = placements.as_ref().map(|placements| placements.auroc);
            let test = Quality { accuracy: scored.accuracy(), auroc };
            take(RandomDirection { train: quality, test, predictions, placements })?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn zero_shot_prefers_the_likelier_side() {
        let predictions = zero_shot(&[-1.0, -3.0, -2.0], &[-2.0, -1.0, -2.0]).unwrap();
        assert_eq!(predictions.against(&[true, false, false]).unwrap().accuracy(), 1.0, "a tie is not true");
        assert!(zero_shot(&[-1.0], &[]).is_err());
    }

    #[test]
    fn calibrated_zero_shot_calls_the_known_share_true() {
        let plus: Vec<f64> = (0..100).map(|i| f64::from(i * 37 % 101).sin() - 5.0).collect();
        let minus = vec![-1.0; 100];
        let share = |p: &Predictions| p.scores.iter().filter(|s| **s > p.threshold).count();
        assert_eq!(share(&zero_shot(&plus, &minus).unwrap()), 0, "the model likes one answer");
        for (true_share, rows) in [(0.3, 30), (0.5, 50), (0.0, 0)] {
            let threshold = zero_shot_threshold(&plus, &minus, true_share).unwrap();
            assert_eq!(share(&calibrated_zero_shot(&plus, &minus, threshold).unwrap()), rows);
        }
        assert!(matches!(zero_shot_threshold(&plus, &minus, 1.5), Err(Error::Setting { .. })));
        assert!(matches!(zero_shot_threshold(&[], &[], 0.5), Err(Error::TooFewRows { .. })));
        assert!(matches!(
            zero_shot_threshold(&[f64::NAN], &[0.0], 0.5),
            Err(Error::NotFinite { row: 0, .. })
        ));
    }

    #[test]
    fn the_majority_is_the_training_rows_more_frequent_label() {
        assert!(majority_label(&[true, true, false]));
        assert!(!majority_label(&[true, false, false]));
        assert_eq!(majority_share(&[true, false, false, false]), 0.75);
    }

    #[test]
    fn directions_are_turned_by_their_order_of_the_rows_and_not_by_the_boundary() {
        // Four true rows to one false, and noise: the boundary at zero says little, accuracy is below ½ by chance.
        let labels: Vec<bool> = (0..100).map(|i| i % 5 != 0).collect();
        let groups: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let wave = |step: f64| {
            let values = Tensor::arange(300, (Kind::Double, Device::Cpu)).square() * step;
            values.sin().reshape([100, 3])
        };
        let pairs = Contrast::new(wave(0.7), wave(1.3), labels, groups).unwrap();
        let band = random_directions(&pairs, &pairs, 200, &SeedTree::new(0)).unwrap();
        assert!(band.train.iter().all(|q| q.auroc.unwrap() >= 0.5));
        assert!(band.train.iter().any(|q| q.accuracy < 0.5), "otherwise both rules are one here");
        assert_eq!(band.train[7].auroc, band.test[7].auroc, "test rows are turned with them");
    }

    #[test]
    fn random_directions_do_well_where_any_direction_does_and_at_chance_where_none_does() {
        // One dimension that is the label (plus) or its opposite (minus), or noise unrelated to it.
        let labels: Vec<bool> = (0..200).map(|i| i % 2 == 0).collect();
        let groups: Vec<String> = (0..200).map(|i| i.to_string()).collect();
        let make = |value: &dyn Fn(usize) -> f32| {
            let plus = Tensor::from_slice(&(0..200).map(value).collect::<Vec<f32>>()).reshape([200, 1]);
            Contrast::new(plus.copy(), -plus, labels.clone(), groups.clone()).unwrap()
        };
        let halves = |c: &Contrast| {
            let rows: Vec<usize> = (0..200).collect();
            (c.select(&rows[..100]).unwrap(), c.select(&rows[100..]).unwrap())
        };
        let median = |c: &Contrast| {
            let (train, test) = halves(c);
            let band = random_directions(&train, &test, 20, &SeedTree::new(0)).unwrap();
            Band::of(band.test.iter().map(|q| q.accuracy).collect()).unwrap().median
        };
        assert_eq!(median(&make(&|i| if i % 2 == 0 { 1.0 } else { -1.0 })), 1.0);
        let noise = median(&make(&|i| (i as f32 * 12.9898).sin()));
        assert!((noise - 0.5).abs() < 0.15, "{noise}");
    }
}

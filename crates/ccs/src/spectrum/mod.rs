//! How many directions stand out: the eigenvalues of DRC, RRC and VINC beside those of pairs with shuffled partners.
//!
//! A top eigenvector exists in any data. What says that it is more than the largest of many chance values is what the same
//! objective reaches where the two sides have nothing to do with each other: every plus state keeps its place and gets
//! another question's minus state (`shuffle.rs`). Each side's covariance, and so S, stays what it is to rounding; only K, how the
//! sides go together, becomes chance. Swapping the sides of pairs would not do: it leaves S and K as they are.
//!
//! What already stands out varies most when it is shuffled, and would hide the rest. So it is a step-down procedure: eigenvectors
//! above the 95% quantile of the shuffled largest eigenvalue are taken out, the rest is shuffled again, until none is
//! above. Where nothing stands out, something is said to with a probability of at most 5% ([`LEVEL`]), over all directions
//! together.
//!
//! What the sides *share*, such as what a question is about, hides directions too: shuffled, it is of random sign and large.
//! DRC and VINC, which go by variance, can then say "none" where there is one; RRC divides by the variance and does not
//! mind. Taking shared directions out first would not do: chosen on the same pairs, they take chance agreement with them,
//! and leave chance opposition behind (simulated: something stood out in 25 to 95 of 100 sets without any).
//!
//! All of it happens in the leading principal directions of both sides together ([`SpectrumOptions::dimensions`]). They
//! depend on S alone, so that data and shuffles are treated alike. For RRC there are at most an eighth as many as
//! questions: with as many as questions, some direction has opposite sides by chance alone.

mod form;
mod null;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::methods::quadratic::Objective;
use crate::normalize::Normalization;
use crate::shuffle::{Shuffler, exceeded_with};
use crate::{Contrast, Error, Result, SeedTree};
use form::{Form, Pairs};

/// RRC looks along at most one direction for so many questions.
const QUESTIONS_PER_DIRECTION: usize = 8;
/// How often something is said to stand out where nothing does.
pub const LEVEL: f64 = 0.05;
/// Eigenvalues that are reported.
const LEADING: usize = 20;

/// How a spectrum is made.
#[derive(Debug, Clone, PartialEq)]
pub struct SpectrumOptions {
    /// How states are normalized.
    pub normalization: Normalization,
    /// Shuffles; with the least number, 19, the largest of them is the 95% quantile.
    pub shuffles: usize,
    /// In how many leading principal directions; all of them where there are no more.
    pub dimensions: usize,
}

impl Default for SpectrumOptions {
    fn default() -> Self {
        Self { normalization: Normalization::default(), shuffles: 19, dimensions: 128 }
    }
}

/// The largest eigenvalues of an objective, and what is known of them by chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// What is maximized.
    pub objective: Objective,
    /// The leading eigenvalues, largest first; at most 20. The first is the objective's maximum.
    pub eigenvalues: Vec<f64>,
    /// The largest eigenvalue of shuffled pairs, after the last step.
    pub null: Null,
    /// Eigenvalues above [`Null::high`].
    pub standing_out: usize,
    /// Dimensions in which all this was done.
    pub dimensions: usize,
}

/// Quantiles of the largest eigenvalue over shuffles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Null {
    /// 50%.
    pub median: f64,
    /// 95%.
    pub high: f64,
}

/// The spectra of several objectives on training rows. Labels are not used.
///
/// ```
/// use ccs::spectrum::{SpectrumOptions, spectra};
/// use ccs::{Contrast, Objective, SeedTree};
/// use tch::{Device, Kind, Tensor};
///
/// // Opposite sides along the first of four dimensions, noise along the others.
/// let noise = |step: f64| (Tensor::arange(1600, (Kind::Double, Device::Cpu)).square() * step).sin().reshape([400, 4]);
/// let truth = noise(0.7).slice(1, 0, 1, 1) * Tensor::from_slice(&[3.0, 0.0, 0.0, 0.0]);
/// let labels = (0..400).map(|i| i % 2 == 0).collect();
/// let groups = (0..400).map(|i| i.to_string()).collect();
/// let pairs = Contrast::new(noise(1.3) + &truth, noise(2.1) - truth, labels, groups)?;
/// let found = spectra(&pairs, &[Objective::DRC], &SpectrumOptions::default(), &SeedTree::new(0))?;
/// assert_eq!(found[0].standing_out, 1);
/// # Ok::<(), ccs::Error>(())
/// ```
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// Training rows of one label, fewer than 19 shuffles, no dimensions, VINC with supervision, or states that do not vary.
pub fn spectra(
    train: &Contrast,
    objectives: &[Objective],
    options: &SpectrumOptions,
    seeds: &SeedTree,
) -> Result<Vec<Spectrum>> {
    check(options)?;
    let pairs = Pairs::new(train, options)?;
    let shuffler = Shuffler::new(train);
    let mut rng = seeds.child("spectrum").rng();
    let shuffles: Vec<_> = (0..options.shuffles).map(|_| shuffler.draw(&mut rng)).collect();
    let one = |&objective| -> Result<Spectrum> {
        let form = match objective {
            Objective::Relative { .. } => {
                pairs.leading(pairs.questions() / QUESTIONS_PER_DIRECTION)?.form(objective)?
            }
            _ => pairs.form(objective)?,
        };
        let shuffles = shuffles.iter().map(|s| if form.of_questions { &s.questions } else { &s.rows });
        step_down(objective, form.rotated()?, &null::Shuffles::new(shuffles, pairs.device())?)
    };
    objectives.iter().map(one).collect()
}

fn check(options: &SpectrumOptions) -> Result<()> {
    let unusable = |name, value: usize, reason, hint| {
        Err(Error::Setting { name, value: value.to_string(), reason, hint })
    };
    if options.shuffles < 19 {
        let reason = "the largest of 19 shuffles is the first that chance exceeds once in 20 times";
        return unusable("shuffles", options.shuffles, reason, "19 is the default");
    }
    if options.dimensions == 0 {
        return unusable("dimensions", 0, "there must be one to look along", "128 is the default");
    }
    Ok(())
}

/// Takes out what is above the shuffled largest eigenvalues until nothing is.
fn step_down(objective: Objective, rotated: (Tensor, Form), shuffles: &null::Shuffles) -> Result<Spectrum> {
    let (values, form) = rotated; // ascending
    let values = Vec::<f64>::try_from(values)?;
    let mut left = values.len();
    let mut null = Null { median: 0.0, high: 0.0 };
    while left > 0 {
        let mut largest = null::largest(&form.first(left as i64)?, shuffles)?;
        largest.sort_unstable_by(f64::total_cmp);
        null = Null { median: exceeded_with(&largest, 0.5), high: exceeded_with(&largest, LEVEL) };
        let above = values.iter().take(left).rev().take_while(|&&value| value > null.high).count();
        if above == 0 {
            break;
        }
        left -= above;
    }
    let eigenvalues = values.iter().rev().take(LEADING).copied().collect();
    let standing_out = values.len() - left;
    Ok(Spectrum { objective, eigenvalues, null, standing_out, dimensions: values.len() })
}

//! How many of many directions rank true above false better than chance allows.
//!
//! Directions share their rows, so that a sample in which one does well by chance favors others too. How many of them may
//! pass is therefore counted where labels mean nothing: labels change places by whole groups (`shuffle.rs`), and all directions
//! are judged by each of these labelings at once.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::baselines::Predictions;
use crate::contrast::both_labels;
use crate::shuffle::{Shuffler, exceeded_with};
use crate::stats::order::ascending;
use crate::{Contrast, Error, Result, SeedTree};

/// How many directions rank better than chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AboveChance {
    /// Directions.
    pub directions: usize,
    /// Those whose AUROC is above [`AboveChance::threshold`].
    pub above: usize,
    /// `above / directions`.
    pub share: f64,
    /// The AUROC that a direction exceeds by chance with the level's probability.
    pub threshold: f64,
    /// That probability, which is also the share expected by chance.
    pub level: f64,
    /// The share that shuffled labels exceed once in 20 times: a higher one is more than chance.
    pub high: f64,
}

impl AboveChance {
    /// Whether more directions rank better than chance than chance allows, at 5%.
    pub fn more_than_chance(&self) -> bool {
        self.share > self.high
    }
}

/// Labelings by chance where none are asked for.
pub const SHUFFLES: usize = 199;

/// Counts the directions whose AUROC is above what shuffled labels reach with probability `level`. Signs of directions are to
/// come from other rows, as those of [`crate::baselines::RandomBand::predictions`] do.
///
/// # Shapes
/// `predictions`: R directions' scores of the N rows of `pairs`.
///
/// # Errors
/// Rows of one label, no directions, other numbers of scores, fewer than 19 shuffles or fewer than the level needs.
pub fn directions_above_chance(
    predictions: &[Predictions],
    pairs: &Contrast,
    level: f64,
    shuffles: usize,
    seeds: &SeedTree,
) -> Result<AboveChance> {
    let mut judged = ByChance::new(pairs, shuffles, seeds)?;
    for predictions in predictions {
        judged.take(predictions)?;
    }
    judged.above(level)
}

/// [`directions_above_chance`] of directions that are taken in one after the other, so that not all have to be held.
#[derive(Debug)]
pub struct ByChance {
    /// Own labels, 0 or 1, and every shuffle's. \[1 + shuffles, N\]
    labels: Tensor,
    /// Rows of either label: false, true.
    rows: [f64; 2],
    shuffles: usize,
    /// Of directions that are not judged yet. N each
    ranks: Vec<Tensor>,
    /// By every labeling. \[R, 1 + shuffles\] in parts
    aurocs: Vec<Tensor>,
}

/// Directions judged at once.
const PART: usize = 32;

impl ByChance {
    /// Draws the labelings of `pairs`.
    ///
    /// # Errors
    /// Rows of one label, or fewer than 19 shuffles.
    pub fn new(pairs: &Contrast, shuffles: usize, seeds: &SeedTree) -> Result<Self> {
        both_labels(pairs.labels(), "the rows")?;
        check_shuffles(shuffles)?;
        let shuffler = Shuffler::new(pairs);
        let mut rng = seeds.child("labels by chance").rng();
        let own: Vec<f64> = pairs.labels().iter().map(|&label| f64::from(u8::from(label))).collect();
        let (rows, trues) = (own.len(), own.iter().sum::<f64>());
        let labels = Tensor::f_zeros([shuffles as i64 + 1, rows as i64], (Kind::Double, Device::Cpu))?;
        labels.f_select(0, 0)?.f_copy_(&Tensor::f_from_slice(&own)?)?;
        for shuffle in 1..=shuffles {
            let taken = shuffler.draw(&mut rng).rows;
            let shuffled: Vec<f64> =
                taken.iter().map(|&row| own.get(row).copied().unwrap_or_default()).collect();
            labels.f_select(0, shuffle as i64)?.f_copy_(&Tensor::f_from_slice(&shuffled)?)?;
        }
        let rows = [rows as f64 - trues, trues];
        Ok(Self { labels, rows, shuffles, ranks: Vec::new(), aurocs: Vec::new() })
    }

    /// Takes a direction in.
    ///
    /// # Errors
    /// Another number of scores, or a score that is NaN.
    pub fn take(&mut self, predictions: &Predictions) -> Result<()> {
        self.ranks.push(ranks(predictions, self.labels.dims2("labels")?.1 as usize)?);
        if self.ranks.len() == PART { self.judge() } else { Ok(()) }
    }

    /// The Mann–Whitney statistic: (Σ ranks of true rows − n₁(n₁ + 1)/2) / (n₁n₀). Sums of half numbers are exact.
    fn judge(&mut self) -> Result<()> {
        let ranks = Tensor::f_stack(&std::mem::take(&mut self.ranks), 0)?; // [R, N]
        let [falses, trues] = self.rows;
        let sums = ranks.f_mm(&self.labels.f_tr()?)?.f_sub_scalar(trues * (trues + 1.0) / 2.0)?;
        self.aurocs.push(sums.f_div_scalar(trues * falses)?);
        Ok(())
    }

    /// Counts the directions above what shuffled labels reach with probability `level`.
    ///
    /// # Errors
    /// No directions, or fewer shuffles than the level needs.
    pub fn above(mut self, level: f64) -> Result<AboveChance> {
        if !self.ranks.is_empty() {
            self.judge()?;
        }
        let directions = self.aurocs.iter().map(|part| Ok(part.dims2("AUROCs")?.0)).sum::<Result<i64>>()?;
        check(directions, level)?;
        let aurocs = Tensor::f_cat(&self.aurocs, 0)?; // [R, 1 + shuffles]
        let chance = aurocs.f_narrow(1, 1, self.shuffles as i64)?;
        let threshold = quantile(&chance, level)?;
        let counts = aurocs.f_gt(threshold)?.f_sum_dim_intlist(0, false, Kind::Int64)?; // [1 + shuffles]
        let counts = Vec::<i64>::try_from(counts)?;
        let share = |count: i64| count as f64 / directions as f64;
        let mut by_chance: Vec<f64> = counts.iter().skip(1).map(|&count| share(count)).collect();
        by_chance.sort_unstable_by(f64::total_cmp);
        let above = counts.first().copied().unwrap_or_default();
        let high = exceeded_with(&by_chance, 0.05);
        let (directions, share) = (directions as usize, share(above));
        Ok(AboveChance { directions, above: above as usize, share, threshold, level, high })
    }
}

fn unusable(name: &'static str, value: String, reason: &'static str, hint: &'static str) -> Result<()> {
    Err(Error::Setting { name, value, reason, hint })
}

fn check(directions: i64, level: f64) -> Result<()> {
    if directions == 0 {
        return unusable("directions", "0".to_owned(), "there is nothing to count", "the default is 1000");
    }
    if !(level > 0.0 && level < 1.0) {
        return unusable("level", level.to_string(), "it is a probability", "give 0.05 or 0.025");
    }
    Ok(())
}

fn check_shuffles(shuffles: usize) -> Result<()> {
    if shuffles < 19 {
        let reason = "the largest of 19 is the first that chance exceeds once in 20 times";
        return unusable("shuffles", shuffles.to_string(), reason, "199 is usual");
    }
    Ok(())
}

/// Ranks from 1, ties having their mean. \[N\]
fn ranks(predictions: &Predictions, rows: usize) -> Result<Tensor> {
    let scores = &predictions.scores;
    if scores.len() != rows {
        return Err(Error::Length { what: "scores", expected: rows, found: scores.len() });
    }
    if let Some(row) = scores.iter().position(|score| score.is_nan()) {
        return Err(Error::NotFinite { what: "the score".to_owned(), row, column: None });
    }
    let mut ranks = vec![0f64; rows];
    let mut below = 0;
    for tied in ascending(scores).chunk_by(|a, b| a.key == b.key) {
        let rank = below as f64 + 0.5 * (tied.len() + 1) as f64;
        for at in tied {
            if let Some(own) = ranks.get_mut(at.row as usize) {
                *own = rank;
            }
        }
        below += tied.len();
    }
    Ok(Tensor::f_from_slice(&ranks)?)
}

/// What a share `level` of all values is above.
fn quantile(values: &Tensor, level: f64) -> Result<f64> {
    let values = values.f_reshape([-1])?;
    let count = values.dims1("values")?;
    let place = ((1.0 - level) * count as f64).ceil().clamp(1.0, count as f64) as i64;
    Ok(values.f_kthvalue(place, 0, false)?.0.f_to_device(Device::Cpu)?.f_double_value(&[])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::random_directions;
    use rand::RngExt;
    use rand_distr::StandardNormal;

    /// `truths` of 40 dimensions carry the label, in noise; five rows a group, of one label each.
    fn pairs(truths: usize, strength: f64, seed: u64) -> Contrast {
        let mut rng = SeedTree::new(seed).child("many directions").rng();
        let (mut plus, mut minus, mut labels, mut groups) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in 0..400 {
            let label = (row / 5) % 2 == 0;
            let sign = if label { strength } else { -strength };
            for axis in 0..40 {
                let truth = if axis < truths { sign } else { 0.0 };
                plus.push(truth + rng.sample::<f64, _>(StandardNormal));
                minus.push(-truth + rng.sample::<f64, _>(StandardNormal));
            }
            labels.push(label);
            groups.push((row / 5).to_string());
        }
        let matrix = |v: &[f64]| Tensor::from_slice(v).reshape([400, 40]);
        Contrast::new(matrix(&plus), matrix(&minus), labels, groups).unwrap()
    }

    fn found(pairs: &Contrast, seed: u64) -> AboveChance {
        let rows: Vec<usize> = (0..400).collect();
        let (train, test) = (pairs.select(&rows[..200]).unwrap(), pairs.select(&rows[200..]).unwrap());
        let seeds = SeedTree::new(seed);
        let band = random_directions(&train, &test, 300, &seeds).unwrap();
        let found = directions_above_chance(&band.predictions, &test, 0.05, SHUFFLES, &seeds).unwrap();
        // The same AUROCs as everywhere else.
        let above = band.test.iter().filter(|q| q.auroc.unwrap() > found.threshold).count();
        assert_eq!(above, found.above);
        found
    }

    #[test]
    fn chance_is_counted_as_chance_and_truth_everywhere_as_nearly_all() {
        let everywhere = found(&pairs(40, 1.0, 0), 0);
        assert!(everywhere.share > 0.8 && everywhere.more_than_chance(), "{everywhere:?}");
        let one = found(&pairs(1, 4.0, 0), 0);
        assert!((0.1..0.95).contains(&one.share) && one.more_than_chance(), "{one:?}");
        // Of 40 sets 2 are expected above, more than 7 are as rare as 1 in 1000.
        let chance: Vec<AboveChance> = (0..40).map(|seed| found(&pairs(0, 0.0, seed), seed)).collect();
        let false_alarms = chance.iter().filter(|c| c.more_than_chance()).count();
        assert!(false_alarms <= 7, "{false_alarms}");
        let mean = chance.iter().map(|c| c.share).sum::<f64>() / 40.0;
        assert!((mean - 0.05).abs() < 0.03, "{mean}");
    }

    #[test]
    fn ties_count_half_as_in_every_auroc() {
        let pairs = pairs(0, 0.0, 1);
        let scores: Vec<f64> = (0..400).map(|row| f64::from(row * 7 % 5)).collect();
        let predictions = Predictions { scores, threshold: 0.0 };
        let want = predictions.against(pairs.labels()).unwrap().auroc().unwrap();
        let of = |level| {
            directions_above_chance(std::slice::from_ref(&predictions), &pairs, level, 19, &SeedTree::new(0))
        };
        let found = of(0.05).unwrap();
        assert_eq!(found.above == 1, want > found.threshold);
        assert!(
            of(0.0).is_err() && directions_above_chance(&[], &pairs, 0.05, 19, &SeedTree::new(0)).is_err()
        );
    }
}

//! K-means with two clusters on differences of normalized states (Lloyd's algorithm from k-means++ starts): the direction is the
//! difference of the two centers, the boundary lies halfway between them.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::centered::Train;
use super::fit::{Fit, Fitted};
use crate::normalize::Normalization;
use crate::probe::Probe;
use crate::{Contrast, Error, Result, SeedTree};

/// K-means and its hyper-parameters; the defaults are scikit-learn's, with its `n_init` of 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KMeans {
    /// Starts; the one with the least inertia is kept.
    #[serde(rename = "restarts")]
    pub n_init: usize,
    /// Steps at most; a start is done when no row changes sides.
    #[serde(rename = "iterations")]
    pub max_iter: usize,
    /// How states are normalized.
    #[serde(skip)]
    pub normalization: Normalization,
}

impl Default for KMeans {
    fn default() -> Self {
        Self { n_init: 10, max_iter: 300, normalization: Normalization::default() }
    }
}

impl Fit for KMeans {
    fn fit_checked(&self, train: &Contrast, seeds: &SeedTree) -> Result<Fitted> {
        let fit = kmeans(train, self, seeds)?;
        let about = json!({
            "inertia": fit.inertia, "sizes": fit.sizes, "options": self, "normalization": self.normalization,
        });
        Ok(Fitted::new(fit.probe, fit.inertia, about))
    }

    fn draws_from_seeds(&self) -> bool {
        true
    }
}

/// Two fitted clusters.
#[derive(Debug)]
#[non_exhaustive]
pub struct KMeansFit {
    /// The probe, with its sign chosen on the training rows.
    pub probe: Probe,
    /// Σ over rows of the squared distance to the nearer center.
    pub inertia: f64,
    /// Rows nearer to each center, the fewer first.
    pub sizes: [usize; 2],
}

/// Fits K-means on training rows. Labels are used for the sign alone.
///
/// ```
/// use ccs::Contrast;
/// use ccs::methods::kmeans::{KMeans, kmeans};
/// use ccs::{SeedTree, normalize::Normalization};
/// use tch::Tensor;
///
/// let plus = Tensor::from_slice(&[2.0, 2.1, -2.0, -2.1]).reshape([4, 1]);
/// let groups = (0..4).map(|i| i.to_string()).collect();
/// let pairs = Contrast::new(plus.copy(), -plus, vec![false, false, true, true], groups)?;
/// let options = KMeans { normalization: Normalization::MeanOnly, ..KMeans::default() };
/// let fit = kmeans(&pairs, &options, &SeedTree::new(0))?;
/// assert_eq!(fit.sizes, [2, 2]);
/// assert!(fit.probe.accuracy(&pairs)? > 0.99);
/// # Ok::<(), ccs::Error>(())
/// ```
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// Training rows of one label, no starts, or differences that are all the same.
pub fn kmeans(train: &Contrast, options: &KMeans, seeds: &SeedTree) -> Result<KMeansFit> {
    if options.n_init == 0 {
        return Err(Error::Setting {
            name: "n_init",
            value: "0".to_owned(),
            reason: "every fit needs a start",
            hint: "the default is 10",
        });
    }
    let data = Train::new(train, options.normalization)?;
    let rows = data.differences()?; // C, [N, D]
    let squares = rows.f_square()?.f_sum_dim_intlist(1, false, Kind::Double)?; // [N]
    let total = squares.f_sum(Kind::Double)?.f_double_value(&[])?;
    if total <= 0.0 {
        return Err(Error::Constant);
    }
    let mut starts = Vec::with_capacity(options.n_init);
    for restart in 0..options.n_init {
        let pair = plus_plus(&rows, &squares, &mut seeds.indexed("restart", restart).rng())?;
        starts.push(Tensor::f_stack(&pair, 0)?);
    }
    let mut centers = Tensor::f_stack(&starts, 0)?; // [R, 2, D]
    let mut sides = nearer(&rows, &centers)?;
    for _ in 0..options.max_iter {
        centers = means(&rows, &sides)?;
        let next = nearer(&rows, &centers)?;
        let moved = next.f_ne_tensor(&sides)?.f_any()?.f_int64_value(&[])? != 0;
        sides = next;
        if !moved {
            break;
        }
    }
    let centers = means(&rows, &sides)?;
    let counts = counts(&sides)?; // [R, 2]
    let within = centers.f_square()?.f_sum_dim_intlist(2, false, Kind::Double)?.f_mul(&counts)?; // n·‖μ‖²
    let inertia = within.f_sum_dim_intlist(1, false, Kind::Double)?.f_neg()?.f_add_scalar(total)?; // [R]
    let best = inertia.f_argmin(0, false)?.f_int64_value(&[])?;
    let (weight, bias) = boundary(&centers.f_select(0, best)?)?;
    let mut sizes = [0, 1].map(|side| counts.f_double_value(&[best, side]));
    sizes.sort_by(|a, b| a.as_ref().unwrap_or(&0.0).total_cmp(b.as_ref().unwrap_or(&0.0)));
    let [few, many] = sizes;
    Ok(KMeansFit {
        probe: data.probe(&weight, bias)?,
        inertia: inertia.f_double_value(&[best])?,
        sizes: [few? as usize, many? as usize],
    })
}

/// Two rows, the second drawn with chances in proportion to its squared distance from the first.
fn plus_plus(rows: &Tensor, squares: &Tensor, rng: &mut ChaCha12Rng) -> Result<[Tensor; 2]> {
    let (count, _) = rows.dims2("rows")?;
    let first = rng.random_range(0..count.max(1));
    let one = rows.f_select(0, first)?;
    let cross = rows.f_mv(&one)?.f_mul_scalar(-2.0)?;
    let far = squares.f_add(&cross)?.f_add_scalar(squares.f_double_value(&[first])?)?.f_clamp_min(0.0)?;
    let far: Vec<f64> = Vec::try_from(far.f_to_device(Device::Cpu)?)?;
    let mut left = rng.random::<f64>() * far.iter().sum::<f64>();
    let mut second = None;
    for (row, &weight) in far.iter().enumerate() {
        if weight > 0.0 && row as i64 != first {
            second = Some(row as i64);
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
    }
    Ok([one, rows.f_select(0, second.ok_or(Error::Constant)?)?])
}

/// w = μ₁ − μ₀ and b of the hyperplane halfway between two centers. `centers`: \[2, D\]
fn boundary(centers: &Tensor) -> Result<(Tensor, f64)> {
    let squares = centers.f_square()?.f_sum_dim_intlist(1, false, Kind::Double)?;
    let weight = centers.f_select(0, 1)?.f_sub(&centers.f_select(0, 0)?)?;
    Ok((weight, 0.5 * (squares.f_double_value(&[0])? - squares.f_double_value(&[1])?)))
}

/// 1 where a row is nearer to the second center. `centers`: \[R, 2, D\]; the result: \[N, R\], f64.
fn nearer(rows: &Tensor, centers: &Tensor) -> Result<Tensor> {
    let squares = centers.f_square()?.f_sum_dim_intlist(2, false, Kind::Double)?; // [R, 2]
    let half = squares.f_select(1, 0)?.f_sub(&squares.f_select(1, 1)?)?.f_mul_scalar(0.5)?; // [R]
    let weights = centers.f_select(1, 1)?.f_sub(&centers.f_select(1, 0)?)?; // [R, D]
    Ok(rows.f_mm(&weights.f_tr()?)?.f_add(&half)?.f_gt(0.0)?.f_to_kind(Kind::Double)?)
}

/// How many rows are on either side. `sides`: \[N, R\]; the result: \[R, 2\].
fn counts(sides: &Tensor) -> Result<Tensor> {
    let total = sides.dims2("sides")?.0 as f64;
    let second = sides.f_sum_dim_intlist(0, false, Kind::Double)?;
    let first = second.f_neg()?.f_add_scalar(total)?;
    Ok(Tensor::f_stack(&[first, second], 1)?)
}

/// The mean row of either side. `sides`: \[N, R\]; the result: \[R, 2, D\].
fn means(rows: &Tensor, sides: &Tensor) -> Result<Tensor> {
    let sum = |sides: &Tensor| sides.f_tr()?.f_mm(rows); // [R, D]
    let sums = Tensor::f_stack(&[sum(&sides.f_neg()?.f_add_scalar(1.0)?)?, sum(sides)?], 1)?;
    Ok(sums.f_div(&counts(sides)?.f_clamp_min(1.0)?.f_unsqueeze(2)?)?)
}

//! Probes that maximize a quadratic form, in closed form: no seed, no restart.
//!
//! With normalized, centered states X⁺, X⁻ \[N, D\], S = (X⁺ᵀX⁺ + X⁻ᵀX⁻)/N and K = (X⁺ᵀX⁻ + X⁻ᵀX⁺)/N. Since
//! S − K is the second moment of differences X⁺ − X⁻ and S + K that of sums X⁺ + X⁻, every form here is a sum of signed
//! squares of rows (differences, sums, deviations from a question's mean), and its top eigenvector lies in
//! their span.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::centered::{Train, canonical};
use super::eigen::{SMALL, SignedRows, Top};
use super::fit::{Fit, Fitted};
use crate::normalize::Normalization;
use crate::probe::Probe;
use crate::{Contrast, Error, Result, SeedTree};

/// What is maximized.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// θᵀ(αS − K)θ over unit vectors.
    Contrast {
        /// α.
        alpha: f64,
    },
    /// −θᵀKθ / θᵀ(S + ρ·I)θ: how opposite the two sides are, whatever the scale (the lowest λ of Kθ = λSθ).
    Relative {
        /// ρ in units of the mean variance tr S / D. With fewer rows than dimensions the ratio reaches its bound along
        /// many directions, and the ridge alone chooses among them.
        ridge: f64,
    },
    /// `θᵀ(a·Σ_inter − (1 − c)·Σ_intra − c·Σ_contrast + s·Σ_sup)θ` over unit vectors. With x̄ the mean over a question's
    /// templates, `Σ_inter = ½(Cov(x̄⁺) + Cov(x̄⁻))`, `Σ_contrast = ½(Cov(x̄⁺, x̄⁻) + Cov(x̄⁻, x̄⁺))`, `Σ_intra` the mean
    /// over questions and sides of the covariance over templates, and `Σ_sup` the covariance of the mean true and
    /// the mean false statement, ¼δδᵀ. All covariances are the population's.
    Vinc {
        /// a.
        variance: f64,
        /// c.
        negation: f64,
        /// s; labels are used only if it is not 0.
        supervision: f64,
        /// Whether `Σ_inter` and `Σ_contrast` are of x̄, one per question; otherwise of all rows.
        centroids: bool,
    },
}

impl Objective {
    /// CRC-TPC (Burns et al. 2022, §2.3): the top principal component of the differences.
    pub const TPC: Self = Self::Contrast { alpha: 1.0 };
    /// The lowest eigenvector of K (arXiv 2511.02089): the direction along which the sides are most opposite.
    pub const DRC: Self = Self::Contrast { alpha: 0.0 };
    /// The generalized problem Kθ = λSθ (arXiv 2511.02089), with a small ridge.
    pub const RRC: Self = Self::Relative { ridge: 1e-3 };
    /// VINC (EIGEN in `elk`) with that program's weights: invariance over templates and negation, half each.
    pub const VINC: Self = Self::Vinc { variance: 0.0, negation: 0.5, supervision: 0.0, centroids: true };
    /// VINC-S: VINC with variance and supervision added, each of weight 1.
    pub const VINC_S: Self = Self::Vinc { variance: 1.0, negation: 0.5, supervision: 1.0, centroids: true };

    /// The midpoint–displacement loss (λ − 1)σ²(displacement) + λσ²(midpoint), which is α = 1 − 2λ.
    pub const fn midpoint_displacement(lambda: f64) -> Self {
        Self::Contrast { alpha: 1.0 - 2.0 * lambda }
    }

    pub(crate) fn check(self) -> Result<()> {
        let (numbers, sizes) = match self {
            Self::Contrast { alpha } => ([alpha, 0.0, 0.0], [0.0; 3]),
            Self::Relative { ridge } => ([ridge, 0.0, 0.0], [ridge, 0.0, 0.0]),
            Self::Vinc { variance, negation, supervision, .. } => {
                ([variance, negation, supervision], [variance, negation.min(1.0 - negation), supervision])
            }
        };
        if numbers.iter().all(|x| x.is_finite()) && sizes.iter().all(|&x| x >= 0.0) {
            return Ok(());
        }
        Err(Error::Setting {
            name: "objective",
            value: format!("{self:?}"),
            reason: "weights and ridge must be finite and not negative, the weight of negation at most 1",
            hint: "VINC's own weights are 0 for variance and 0.5 for negation",
        })
    }
}

/// TPC, DRC, RRC, VINC and VINC-S: the direction that maximizes a quadratic form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quadratic {
    /// The form.
    pub objective: Objective,
    /// How states are normalized.
    pub normalization: Normalization,
}

impl Fit for Quadratic {
    fn fit_checked(&self, train: &Contrast, _seeds: &SeedTree) -> Result<Fitted> {
        let fit = quadratic(train, self.objective, self.normalization)?;
        let about = json!({
            "value": fit.value, "trace": fit.trace, "objective": self.objective, "normalization": self.normalization,
        });
        Ok(Fitted::new(fit.probe, -fit.value, about))
    }
}

/// A fitted direction.
#[derive(Debug)]
#[non_exhaustive]
pub struct QuadraticFit {
    /// The probe; its weight has unit length.
    pub probe: Probe,
    /// The largest value of the form.
    pub value: f64,
    /// The form's trace. For TPC, `value / trace` is the share of variance explained. `None` for a ratio.
    pub trace: Option<f64>,
}

/// Fits a direction on training rows. Labels are used for the sign, and for VINC-S's supervision.
///
/// ```
/// use ccs::Contrast;
/// use ccs::methods::quadratic::{Objective, quadratic};
/// use ccs::normalize::Normalization;
/// use tch::Tensor;
///
/// // The second dimension is the same on both sides, the first has opposite signs.
/// let plus = Tensor::from_slice(&[1.0, 5.0, -1.0, -5.0, 1.0, -5.0, -1.0, 5.0]).reshape([4, 2]);
/// let minus = Tensor::from_slice(&[-1.0, 5.0, 1.0, -5.0, -1.0, -5.0, 1.0, 5.0]).reshape([4, 2]);
/// let groups = (0..4).map(|i| i.to_string()).collect();
/// let pairs = Contrast::new(plus, minus, vec![true, false, true, false], groups)?;
/// let fit = quadratic(&pairs, Objective::DRC, Normalization::MeanOnly)?;
/// assert!((fit.value - 2.0).abs() < 1e-12); // −K along the first axis
/// assert!(fit.probe.accuracy(&pairs)? > 0.99);
/// # Ok::<(), ccs::Error>(())
/// ```
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// Training rows of one label, weights that cannot be used, or states that do not vary.
pub fn quadratic(
    train: &Contrast,
    objective: Objective,
    normalization: Normalization,
) -> Result<QuadraticFit> {
    objective.check()?;
    let data = Train::new(train, normalization)?;
    let (top, trace) = match objective {
        Objective::Contrast { alpha } => {
            let form = contrast(&data, alpha)?;
            (form.top()?, Some(form.trace()?))
        }
        Objective::Relative { ridge } => (relative(&data, train, ridge)?, None),
        Objective::Vinc { .. } => {
            let form = vinc(&data, train, objective)?;
            (form.top()?, Some(form.trace()?))
        }
    };
    let probe = data.probe(&canonical(&top.vector)?, 0.0)?;
    Ok(QuadraticFit { probe, value: top.value, trace })
}

/// A block of rows of one weight; none if the weight is 0, since such rows count for nothing.
fn block(rows: Tensor, weight: f64) -> Result<Option<(Tensor, Tensor)>> {
    if weight == 0.0 {
        return Ok(None);
    }
    let (count, _) = rows.dims2("rows")?;
    let weights = Tensor::f_full([count], weight, (Kind::Double, rows.device()))?;
    Ok(Some((rows, weights)))
}

/// αS − K = ½(1 + α)·DᵀD/N − ½(1 − α)·MᵀM/N with differences D and sums M.
fn contrast(data: &Train, alpha: f64) -> Result<SignedRows> {
    let half = 0.5 / data.plus.dims2("states")?.0 as f64;
    let differences = block(data.differences()?, (1.0 + alpha) * half)?;
    let sums = block(data.plus.f_add(&data.minus)?, (alpha - 1.0) * half)?;
    form(&differences.into_iter().chain(sums).collect::<Vec<_>>())
}

/// Rows to maximize over; weights that are all 0 leave nothing to choose a direction by.
fn form(blocks: &[(Tensor, Tensor)]) -> Result<SignedRows> {
    if blocks.is_empty() {
        return Err(Error::Constant);
    }
    SignedRows::new(blocks)
}

fn relative(data: &Train, train: &Contrast, ridge: f64) -> Result<Top> {
    let opposite = contrast(data, 0.0)?; // −K
    let v = opposite.weights.f_abs()?; // S is the same squares, all counted for
    let form = SignedRows { rows: opposite.rows.f_alias()?, weights: v.f_alias()? };
    let ridge = ridge * form.trace()? / train.dim() as f64;
    if train.rows() < train.dim() && train.rows() as i64 > SMALL && ridge > 0.0 {
        // With d = ‖Dθ‖²/2N and m likewise, (d − m)/(d + m + 2ρ) grows with (d + ρ)/(m + ρ), whose eigenvalues lie apart
        // where those of the former crowd below 1.
        let scale = (0.5 / train.rows() as f64).sqrt();
        let half = opposite.rows.f_mul_scalar(scale)?.f_chunk(2, 0)?;
        if let [above, below] = &half[..]
            && let Some(top) = SignedRows::top_ratio(above, below, ridge / 2.0)?
        {
            return Ok(Top { value: (top.value - 1.0) / (top.value + 1.0), ..top });
        }
    }
    opposite.top_relative_to(&v, ridge)
}

fn vinc(data: &Train, train: &Contrast, objective: Objective) -> Result<SignedRows> {
    let Objective::Vinc { variance, negation, supervision, centroids } = objective else {
        return Err(Error::Constant);
    };
    let questions = train.rows_by_question();
    let mut place = vec![0i64; train.rows()]; // of every row, its question's
    let mut share = vec![0f64; train.rows()]; // 1 / (number of the question's templates)
    for (at, (_, rows)) in questions.iter().enumerate() {
        for &row in rows {
            if let (Some(place), Some(share)) = (place.get_mut(row), share.get_mut(row)) {
                (*place, *share) = (at as i64, 1.0 / rows.len() as f64);
            }
        }
    }
    let device = data.plus.device();
    let place = Tensor::f_from_slice(&place)?.f_to_device(device)?; // [N]
    let share = Tensor::f_from_slice(&share)?.f_to_device(device)?; // [N]
    let count = questions.len();
    let center = |x: &Tensor| -> Result<Tensor> {
        let zeros = Tensor::f_zeros([count as i64, train.dim() as i64], (Kind::Double, device))?;
        Ok(zeros.f_index_add(0, &place, &x.f_mul(&share.f_unsqueeze(1)?)?)?) // [Q, D]
    };
    let (plus, minus) = (center(&data.plus)?, center(&data.minus)?);
    let mut blocks = Vec::new();
    if count < train.rows() && negation < 1.0 {
        let weights = share.f_mul_scalar((negation - 1.0) / (2.0 * count as f64))?;
        for (side, means) in [(&data.plus, &plus), (&data.minus, &minus)] {
            blocks.push((side.f_sub(&means.f_index_select(0, &place)?)?, weights.f_alias()?));
        }
    }
    let recentered = |x: Tensor| -> Result<Tensor> { Ok(x.f_sub(&x.f_mean_dim(0, true, Kind::Double)?)?) };
    let (plus, minus, rows) = if centroids {
        (recentered(plus)?, recentered(minus)?, count)
    } else {
        (data.plus.f_alias()?, data.minus.f_alias()?, train.rows())
    };
    let quarter = 0.25 / rows as f64;
    blocks.extend(block(plus.f_sub(&minus)?, (variance + negation) * quarter)?);
    blocks.extend(block(plus.f_add(&minus)?, (variance - negation) * quarter)?);
    if supervision > 0.0 {
        // Mean true − mean false statement; plus is the true one where the label is 1.
        let signs = data.labels()?.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
        let between = data.differences()?.f_tr()?.f_mv(&signs)?.f_div_scalar(train.rows() as f64)?; // δ
        blocks.extend(block(between.f_unsqueeze(0)?, 0.25 * supervision)?);
    }
    form(&blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// More rows than Lanczos' method leaves to dense solvers, and fewer than dimensions: the ratio is sought through
    /// another one ([`SignedRows::top_ratio`]), beside which the dense problem is put as it stands.
    #[test]
    fn a_ratio_with_fewer_rows_than_dimensions_is_that_of_the_dense_problem() {
        let (rows, dim) = (300, 360);
        assert!(rows > SMALL && rows < dim);
        let noise = (Tensor::arange(2 * rows * dim, (Kind::Double, Device::Cpu)).square() * 0.37).sin();
        let sides = noise.reshape([2, rows, dim]);
        let labels: Vec<bool> = (0..rows).map(|i| i * i % 7 < 3).collect();
        let signs: Vec<f64> = labels.iter().map(|&l| if l { 1.5 } else { -1.5 }).collect();
        let truth = Tensor::from_slice(&signs).unsqueeze(1) * sides.get(0).get(0).unsqueeze(0);
        let groups = (0..rows).map(|i| i.to_string()).collect();
        let train = Contrast::new(sides.get(0) + &truth, sides.get(1) - truth, labels, groups).unwrap();
        for ridge in [1e-3, 0.3] {
            let data = Train::new(&train, Normalization::MeanOnly).unwrap();
            let top = relative(&data, &train, ridge).unwrap();
            let scale = (0.5 / rows as f64).sqrt();
            let half = contrast(&data, 0.0).unwrap().rows * scale;
            let (above, below) = (half.narrow(0, 0, rows), half.narrow(0, rows, rows));
            assert!(
                SignedRows::top_ratio(&above, &below, 0.1).unwrap().is_some(),
                "or it falls back to dense"
            );
            // −Kθ = λ(S + ρI)θ in all dimensions, whitened by Cholesky.
            let n = rows as f64;
            let (p, m) = (&data.plus, &data.minus);
            let s = (p.tr().mm(p) + m.tr().mm(m)) / n;
            let k: Tensor = (p.tr().mm(m) + m.tr().mm(p)) / n;
            let rho = ridge * s.trace().double_value(&[]) / dim as f64;
            let below = s + Tensor::eye(dim, (Kind::Double, Device::Cpu)) * rho;
            let inverse = below.linalg_cholesky(false).inverse();
            let (values, vectors) = (-inverse.mm(&k).mm(&inverse.tr())).linalg_eigh("L");
            let want = inverse.tr().mv(&vectors.select(1, dim - 1));
            assert!((top.value - values.double_value(&[dim - 1])).abs() < 1e-9, "{ridge}: {}", top.value);
            let cosine = (top.vector.dot(&want) / want.norm()).abs().double_value(&[]);
            assert!(
                (cosine - 1.0).abs() < 1e-8
                    && (values.double_value(&[-1]) - values.double_value(&[-2])) > 1e-6
            );
        }
    }
}

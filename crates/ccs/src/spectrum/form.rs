//! An objective as a matrix of which one part changes when partners are shuffled: `A = C − w(UᵀV + VᵀU)`, with rows U of the plus
//! side and V of the minus side.

use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::SpectrumOptions;
use crate::methods::centered::Train;
use crate::methods::quadratic::Objective;
use crate::{Contrast, Error, Result, SeedTree};

/// Centered training states in the leading principal directions.
pub(super) struct Pairs {
    plus: Tensor,  // [N, K]
    minus: Tensor, // [N, K]
    /// Every row's question by its place. \[N\]
    places: Tensor,
    /// One over the number of its question's rows. \[N\]
    share: Tensor,
    count: i64,
    /// tr S / D before anything was left out.
    mean_variance: f64,
}

/// `A = C − w(UᵀV + VᵀU)`.
pub(super) struct Form {
    fixed: Option<Tensor>,         // C, [K, K]
    pub(super) plus: Tensor,       // U, [M, K]
    pub(super) minus: Tensor,      // V, [M, K]
    pub(super) weight: f64,        // w
    pub(super) of_questions: bool, // one row a question, not one a pair
}

impl Pairs {
    pub(super) fn new(train: &Contrast, options: &SpectrumOptions) -> Result<Self> {
        let data = Train::new(train, options.normalization)?;
        let (rows, dim) = data.plus.dims2("states")?;
        let both = Tensor::f_cat(&[&data.plus, &data.minus], 0)?; // [2N, D]
        let squares = both.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        if squares <= 0.0 {
            return Err(Error::Constant);
        }
        let both = match principal(&both, i64::try_from(options.dimensions).unwrap_or(i64::MAX))? {
            Some(basis) => both.f_mm(&basis)?,
            None => both,
        };
        let mut questions = vec![0i64; train.rows()];
        let mut share = vec![0f64; train.rows()];
        let by_question = train.rows_by_question();
        for (at, (_, members)) in by_question.iter().enumerate() {
            for &row in members {
                if let (Some(question), Some(share)) = (questions.get_mut(row), share.get_mut(row)) {
                    (*question, *share) = (at as i64, 1.0 / members.len() as f64);
                }
            }
        }
        let device = both.device();
        Ok(Self {
            plus: both.f_narrow(0, 0, rows)?,
            minus: both.f_narrow(0, rows, rows)?,
            places: Tensor::f_from_slice(&questions)?.f_to_device(device)?,
            share: Tensor::f_from_slice(&share)?.f_to_device(device)?,
            count: by_question.len() as i64,
            mean_variance: squares / (rows * dim) as f64,
        })
    }

    pub(super) fn device(&self) -> Device {
        self.plus.device()
    }

    /// How many questions there are.
    pub(super) fn questions(&self) -> usize {
        self.count as usize
    }

    /// The same in at most so many of the leading principal directions, and at least one.
    pub(super) fn leading(&self, most: usize) -> Result<Self> {
        let (_, size) = self.plus.dims2("states")?;
        let kept = i64::try_from(most).unwrap_or(i64::MAX).clamp(1, size);
        let both = Tensor::f_cat(&[&self.plus, &self.minus], 0)?;
        let both = match principal(&both, kept)? {
            Some(basis) => both.f_mm(&basis)?,
            None => both,
        };
        let rows = self.plus.dims2("states")?.0;
        Ok(Self {
            plus: both.f_narrow(0, 0, rows)?,
            minus: both.f_narrow(0, rows, rows)?,
            places: self.places.f_alias()?,
            share: self.share.f_alias()?,
            ..*self
        })
    }

    fn rows(&self) -> Result<f64> {
        Ok(self.plus.dims2("states")?.0 as f64)
    }

    /// S. \[K, K\]
    fn second_moment(&self) -> Result<Tensor> {
        let gram = |x: &Tensor| x.f_tr()?.f_mm(x);
        Ok(gram(&self.plus)?.f_add(&gram(&self.minus)?)?.f_div_scalar(self.rows()?)?)
    }

    pub(super) fn form(&self, objective: Objective) -> Result<Form> {
        objective.check()?;
        match objective {
            Objective::Contrast { alpha } => {
                let fixed =
                    if alpha == 0.0 { None } else { Some(self.second_moment()?.f_mul_scalar(alpha)?) };
                self.pairwise(fixed, self.plus.f_alias()?, self.minus.f_alias()?)
            }
            Objective::Relative { ridge } => {
                let s = self.second_moment()?;
                let (size, _) = s.dims2("second moment")?;
                let eye = Tensor::f_eye(size, (Kind::Double, s.device()))?;
                let below = s.f_add(&eye.f_mul_scalar(ridge * self.mean_variance)?)?;
                let (factor, info) = below.f_linalg_cholesky_ex(false, false)?; // L
                if info.f_int64_value(&[])? != 0 {
                    return Err(Error::Singular { what: "the second moment of the states".to_owned() });
                }
                // XL⁻ᵀ
                let whiten =
                    |x: &Tensor| Tensor::f_linalg_solve_triangular(&factor.f_tr()?, x, true, false, false);
                self.pairwise(None, whiten(&self.plus)?, whiten(&self.minus)?)
            }
            Objective::Vinc { supervision, .. } if supervision > 0.0 => Err(Error::Setting {
                name: "objective",
                value: format!("{objective:?}"),
                reason: "supervision is not a question of how the sides go together",
                hint: "take VINC without it",
            }),
            Objective::Vinc { variance, negation, centroids, .. } => self.vinc(variance, negation, centroids),
        }
    }

    fn pairwise(&self, fixed: Option<Tensor>, plus: Tensor, minus: Tensor) -> Result<Form> {
        Ok(Form { fixed, plus, minus, weight: self.rows()?.recip(), of_questions: false })
    }

    /// `a·Σ_inter − (1 − c)·Σ_intra` stays, `Σ_contrast` is shuffled.
    fn vinc(&self, variance: f64, negation: f64, centroids: bool) -> Result<Form> {
        let share = self.share.f_unsqueeze(1)?;
        let (_, size) = self.plus.dims2("states")?;
        let means = |x: &Tensor| -> Result<Tensor> {
            let zeros = Tensor::f_zeros([self.count, size], (Kind::Double, x.device()))?;
            Ok(zeros.f_index_add(0, &self.places, &x.f_mul(&share)?)?) // [Q, K]
        };
        let (plus, minus) = (means(&self.plus)?, means(&self.minus)?);
        let mut fixed = Tensor::f_zeros([size, size], (Kind::Double, plus.device()))?;
        for (side, means) in [(&self.plus, &plus), (&self.minus, &minus)] {
            let within = side.f_sub(&means.f_index_select(0, &self.places)?)?;
            let moment = within.f_tr()?.f_mm(&within.f_mul(&share)?)?; // 2Q·Σ_intra of this side
            fixed = fixed.f_add(&moment.f_mul_scalar((negation - 1.0) / (2.0 * self.count as f64))?)?;
        }
        let center = |x: Tensor| -> Result<Tensor> { Ok(x.f_sub(&x.f_mean_dim(0, true, Kind::Double)?)?) };
        let (plus, minus) = if centroids {
            (center(plus)?, center(minus)?)
        } else {
            (self.plus.f_alias()?, self.minus.f_alias()?)
        };
        let half = 0.5 / plus.dims2("rows")?.0 as f64;
        for side in [&plus, &minus] {
            fixed = fixed.f_add(&side.f_tr()?.f_mm(side)?.f_mul_scalar(variance * half)?)?;
        }
        Ok(Form { fixed: Some(fixed), plus, minus, weight: negation * half, of_questions: centroids })
    }
}

impl Form {
    #[cfg(test)]
    pub(super) fn of_sides(plus: Tensor, minus: Tensor, weight: f64) -> Self {
        Self { fixed: None, plus, minus, weight, of_questions: false }
    }

    /// K.
    pub(super) fn size(&self) -> Result<usize> {
        Ok(self.plus.dims2("rows")?.1 as usize)
    }

    /// Eigenvalues, ascending \[K\], and the form in the basis of its eigenvectors.
    pub(super) fn rotated(&self) -> Result<(Tensor, Self)> {
        let (values, vectors) = self.matrix(&self.minus)?.f_linalg_eigh("L")?;
        let fixed = match &self.fixed {
            Some(c) => Some(vectors.f_tr()?.f_mm(c)?.f_mm(&vectors)?),
            None => None,
        };
        let (plus, minus) = (self.plus.f_mm(&vectors)?, self.minus.f_mm(&vectors)?);
        let form = Self { fixed, plus, minus, weight: self.weight, of_questions: self.of_questions };
        Ok((values.f_to_device(Device::Cpu)?, form))
    }

    /// The part in the first `count` coordinates.
    pub(super) fn first(&self, count: i64) -> Result<Self> {
        let columns = |x: &Tensor| x.f_narrow(1, 0, count)?.f_contiguous();
        let fixed = match &self.fixed {
            Some(c) => Some(columns(&c.f_narrow(0, 0, count)?)?),
            None => None,
        };
        let (plus, minus) = (columns(&self.plus)?, columns(&self.minus)?);
        Ok(Self { fixed, plus, minus, weight: self.weight, of_questions: self.of_questions })
    }

    /// A with these rows for V. \[K, K\]
    pub(super) fn matrix(&self, minus: &Tensor) -> Result<Tensor> {
        let k = self.plus.f_tr()?.f_mm(minus)?;
        let moving = k.f_add(&k.f_tr()?)?.f_mul_scalar(-self.weight)?;
        Ok(match &self.fixed {
            Some(c) => moving.f_add(c)?,
            None => moving,
        })
    }

    /// CΘ for columns Θ. \[K, B\]
    pub(super) fn fixed_times(&self, theta: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.fixed.as_ref().map(|c| c.f_mm(theta)).transpose()?)
    }
}

/// More principal directions than this are not found exactly but by subspace iteration.
const EXACT: i64 = 1500;

/// The leading principal directions of rows \[M, D\], \[D, K\]; `None` where that would be all dimensions.
fn principal(rows: &Tensor, most: i64) -> Result<Option<Tensor>> {
    let (count, dim) = rows.dims2("rows")?;
    if dim <= most && dim <= count {
        return Ok(None);
    }
    let kept = most.min(dim).min(count);
    if count.min(dim) > EXACT {
        return subspace(rows, kept).map(Some);
    }
    if dim <= count {
        // In f32, twice as fast: any directions close to the leading ones serve, as long as they are orthonormal.
        let rows = rows.f_to_kind(Kind::Float)?;
        let (_, vectors) = rows.f_tr()?.f_mm(&rows)?.f_linalg_eigh("L")?;
        let leading = vectors.f_narrow(1, dim - kept, kept)?.f_to_kind(Kind::Double)?;
        return Ok(Some(Tensor::f_linalg_qr(&leading, "reduced")?.0));
    }
    let (q, r) = Tensor::f_linalg_qr(&rows.f_tr()?, "reduced")?; // [D, M], [M, M]
    let (_, vectors) = r.f_mm(&r.f_tr()?)?.f_linalg_eigh("L")?;
    Ok(Some(q.f_mm(&vectors.f_narrow(1, count - kept, kept)?)?))
}

/// Rounds of subspace iteration; the directions it ends with hold nearly all variance that the leading ones do.
const ROUNDS: usize = 3;

fn subspace(rows: &Tensor, kept: i64) -> Result<Tensor> {
    let (_, dim) = rows.dims2("rows")?;
    let start = super::null::gaussian(dim, kept, rows, &SeedTree::new(0).child("principal directions"))?;
    let mut basis = start;
    for _ in 0..ROUNDS {
        let image = rows.f_tr()?.f_mm(&rows.f_mm(&basis)?)?; // [D, K]
        basis = Tensor::f_linalg_qr(&image, "reduced")?.0;
    }
    Ok(basis)
}

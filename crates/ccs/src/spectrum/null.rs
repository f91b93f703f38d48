//! The largest eigenvalue of a form under shuffled partners, all shuffles at once.
//!
//! Lanczos' method without reorthogonalization: the largest eigenvalue of its tridiagonal matrix converges to that of the form
//! all the same (Paige 1980), and no more is asked for. Small forms are solved densely.

use rand::RngExt;
use rand_distr::StandardNormal;
use tch::{Device, Kind, Tensor};

use super::form::Form;
use crate::{Result, SeedTree};

/// Forms of at most this many dimensions are solved densely.
const SMALL: usize = 96;
/// Lanczos' steps. What they fall short by is little beside what shuffles differ by.
const STEPS: usize = 48;

/// Partners of the plus side's rows.
pub(super) struct Shuffles {
    /// The minus row that a plus row gets. \[M, B\]
    there: Tensor,
    /// The plus row that a minus row goes to. \[M, B\]
    back: Tensor,
    count: i64,
}

impl Shuffles {
    pub(super) fn new<'a>(partners: impl Iterator<Item = &'a Vec<usize>>, device: Device) -> Result<Self> {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        for partners in partners {
            let mut inverse = vec![0i64; partners.len()];
            for (row, &partner) in partners.iter().enumerate() {
                if let Some(at) = inverse.get_mut(partner) {
                    *at = row as i64;
                }
            }
            let partners: Vec<i64> = partners.iter().map(|&row| row as i64).collect();
            there.push(Tensor::f_from_slice(&partners)?);
            back.push(Tensor::f_from_slice(&inverse)?);
        }
        let columns = |of: &[Tensor]| Tensor::f_stack(of, 1)?.f_to_device(device);
        Ok(Self { there: columns(&there)?, back: columns(&back)?, count: there.len() as i64 })
    }
}

/// Every shuffle's largest eigenvalue.
pub(super) fn largest(form: &Form, shuffles: &Shuffles) -> Result<Vec<f64>> {
    let values = if form.size()? <= SMALL { dense(form, shuffles)? } else { lanczos(form, shuffles)? };
    Ok(Vec::try_from(values.f_select(1, -1)?.f_contiguous()?.f_to_device(Device::Cpu)?)?)
}

/// All eigenvalues of every shuffle. \[B, K\]
fn dense(form: &Form, shuffles: &Shuffles) -> Result<Tensor> {
    let mut all = Vec::new();
    for shuffle in 0..shuffles.count {
        let partners = shuffles.there.f_select(1, shuffle)?;
        all.push(form.matrix(&form.minus.f_index_select(0, &partners)?)?);
    }
    Ok(Tensor::f_stack(&all, 0)?.f_linalg_eigvalsh("L")?)
}

/// Every shuffle's Ritz values, ascending. \[B, 48\]
fn lanczos(form: &Form, shuffles: &Shuffles) -> Result<Tensor> {
    let size = form.size()? as i64;
    let start = gaussian(size, shuffles.count, &form.plus, &SeedTree::new(0).child("shuffled spectra"))?;
    let length = |x: &Tensor| -> Result<Tensor> {
        Ok(x.f_square()?
            .f_sum_dim_intlist(0, true, Kind::Double)?
            .f_sqrt()?
            .f_clamp_min(f64::MIN_POSITIVE)?)
    };
    let (plus, minus) = (&form.plus, &form.minus);
    let (plus_t, minus_t) = (plus.f_tr()?.f_contiguous()?, minus.f_tr()?.f_contiguous()?);
    let mut before: Option<(Tensor, Tensor)> = None; // the vectors before, and how far they reach into these
    let mut now = start.f_div(&length(&start)?)?; // [K, B]
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..STEPS {
        let across = plus_t.f_mm(&minus.f_mm(&now)?.f_gather(0, &shuffles.there, false)?)?;
        let back = minus_t.f_mm(&plus.f_mm(&now)?.f_gather(0, &shuffles.back, false)?)?;
        let mut image = across.f_add(&back)?.f_mul_scalar(-form.weight)?;
        if let Some(fixed) = form.fixed_times(&now)? {
            image = image.f_add(&fixed)?;
        }
        let along = image.f_mul(&now)?.f_sum_dim_intlist(0, true, Kind::Double)?; // [1, B]
        image = image.f_sub(&now.f_mul(&along)?)?;
        if let Some((vectors, reach)) = &before {
            image = image.f_sub(&vectors.f_mul(reach)?)?;
        }
        let rest = length(&image)?;
        let next = image.f_div(&rest)?;
        diagonal.push(along);
        beside.push(rest.f_alias()?);
        before = Some((std::mem::replace(&mut now, next), rest));
    }
    beside.pop();
    let diagonal = Tensor::f_cat(&diagonal, 0)?.f_tr()?; // [B, 48]
    let beside = Tensor::f_cat(&beside, 0)?.f_tr()?;
    let tridiagonal = diagonal.f_diag_embed(0, -2, -1)?.f_add(&beside.f_diag_embed(-1, -2, -1)?)?;
    Ok(tridiagonal.f_linalg_eigvalsh("L")?) // reads the lower half
}

/// Gaussian numbers, the same from the same stream, on the device of `like`. \[rows, columns\], f64
pub(super) fn gaussian(rows: i64, columns: i64, like: &Tensor, stream: &SeedTree) -> Result<Tensor> {
    let mut rng = stream.rng();
    let values: Vec<f64> = (0..rows * columns).map(|_| rng.sample(StandardNormal)).collect();
    Ok(Tensor::f_from_slice(&values)?.f_reshape([rows, columns])?.f_to_device(like.device())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest eigenvalues of 19 shuffles in more dimensions than are solved densely, beside dense solutions. Two eigenvalues at the
    /// edge of a bulk lie about bulk/K^⅔ apart; what is left open is a fraction of that.
    #[test]
    fn many_shuffles_at_once_end_near_dense_solutions() {
        let (rows, dim) = (400, 150);
        let side = |name: &str| {
            let like = Tensor::zeros([1], (Kind::Double, Device::Cpu));
            gaussian(rows, dim, &like, &SeedTree::new(1).child(name)).unwrap()
        };
        let form = Form::of_sides(side("plus"), side("minus"), 1.0 / rows as f64);
        let partners: Vec<Vec<usize>> =
            (1..20).map(|shift| (0..400).map(|row| (row + 17 * shift) % 400).collect()).collect();
        let shuffles = Shuffles::new(partners.iter(), Device::Cpu).unwrap();
        let (fast, exact) = (lanczos(&form, &shuffles).unwrap(), dense(&form, &shuffles).unwrap());
        let off = (fast.select(1, -1) - exact.select(1, -1)).abs().max().double_value(&[]);
        let edge = exact.select(1, -1).abs().max().double_value(&[]);
        assert!(off < 2e-3 * edge, "{off} of {edge}");
    }
}

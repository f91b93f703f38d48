//! Directions compared: by their angle, and by how alike they rank states.
//!
//! The cosine of two directions depends on the axes: scaling a dimension that hardly varies changes it, though no score
//! changes. The Mahalanobis cosine uᵀΣv / √(uᵀΣu · vᵀΣv), Σ being the covariance of states, is the correlation of the scores
//! uᵀx and vᵀx; it is the same in any coordinates, and near ±1 for two probes that judge alike. Compare directions of
//! different fits in the model's own space ([`crate::Probe::affine`]).

use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::{Error, Result};

/// The cosine of every two directions, with its sign.
///
/// # Shapes
/// `directions`: \[R, D\]; the result: R rows of R. A direction of length 0 has cosine 0 with all.
///
/// # Errors
/// Not a matrix.
pub fn cosines(directions: &Tensor) -> Result<Vec<Vec<f64>>> {
    directions.dims2("directions")?;
    of_columns(&directions.f_to_kind(Kind::Double)?.f_tr()?)
}

/// The Mahalanobis cosine of every two directions under the covariance of `states`.
///
/// # Shapes
/// `directions`: \[R, D\]; `states`: \[N, D\], N at least 2; the result: R rows of R. A direction along which states do not vary has
/// cosine 0 with all.
///
/// # Errors
/// Another D, or fewer than two states.
pub fn mahalanobis_cosines(directions: &Tensor, states: &Tensor) -> Result<Vec<Vec<f64>>> {
    let (rows, dim) = states.dims2("states")?;
    let (count, length) = directions.dims2("directions")?;
    if length != dim {
        return Err(Error::Shape {
            what: "the directions".to_owned(),
            expected: format!("[{count}, {dim}], as long as the states"),
            found: directions.size(),
            hint: "compare directions of one model and hook point on its states",
        });
    }
    if rows < 2 {
        let purpose = "a covariance".to_owned();
        return Err(Error::TooFewRows { purpose, needed: 2, found: rows as usize });
    }
    let states = states.f_to_kind(Kind::Double)?;
    let centered = states.f_sub(&states.f_mean_dim(0, true, Kind::Double)?)?;
    of_columns(&centered.f_mm(&directions.f_to_kind(Kind::Double)?.f_to_device(states.device())?.f_tr()?)?)
}

/// Cosines of columns \[M, R\].
fn of_columns(columns: &Tensor) -> Result<Vec<Vec<f64>>> {
    let lengths = columns.f_square()?.f_sum_dim_intlist(0, true, Kind::Double)?.f_sqrt()?; // [1, R]
    let unit = columns.f_div(&lengths.f_clamp_min(f64::MIN_POSITIVE)?)?;
    let cosines = unit.f_tr()?.f_mm(&unit)?.f_clamp(-1.0, 1.0)?;
    Ok(Vec::try_from(cosines.f_to_device(Device::Cpu)?)?)
}

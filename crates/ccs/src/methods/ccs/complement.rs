//! States without their part along directions, in which a fit then takes place.

use tch::{Kind, Tensor};

use super::solve::{States, without};
use crate::Result;

/// `found` with the unit vector of `direction` below it, which leaves the states; `None` if there is no length in it.
pub(crate) fn take_out(states: &mut States, found: &Tensor, direction: &Tensor) -> Result<Option<Tensor>> {
    let length = direction.f_norm()?.f_double_value(&[])?;
    // Twice: rounding in the first subtraction is as large as what is left.
    let rest = without(&without(&direction.f_unsqueeze(0)?, found)?, found)?;
    let rest_length = rest.f_norm()?.f_double_value(&[])?;
    if length.is_nan() || length <= 0.0 || rest_length <= 1e-6 * length {
        return Ok(None);
    }
    let unit = rest.f_div_scalar(rest_length)?; // [1, D]
    let own = unit.f_to_kind(states.plus.kind())?;
    states.plus = without(&states.plus, &own)?;
    states.minus = without(&states.minus, &own)?;
    Ok(Some(Tensor::f_cat(&[found, &unit], 0)?))
}

/// The mean difference of true rows minus that of false rows. \[D\], f64
pub(crate) fn mean_difference(states: &States, labels: &[bool]) -> Result<Tensor> {
    let trues = labels.iter().filter(|&&label| label).count() as f64;
    let falses = labels.len() as f64 - trues;
    let weights: Vec<f64> = labels.iter().map(|&l| if l { 1.0 / trues } else { -1.0 / falses }).collect();
    let differences = states.differences()?.f_to_kind(Kind::Double)?; // [N, D]
    let weights = Tensor::f_from_slice(&weights)?.f_to_device(differences.device())?;
    Ok(differences.f_tr()?.f_mv(&weights)?)
}

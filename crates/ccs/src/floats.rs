//! What every tensor of states is checked for.

use tch::{Kind, Tensor};

use crate::{Error, Result};

/// Whether a kind is a floating-point one that states may have.
pub(crate) fn is_float(kind: Kind) -> bool {
    matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16)
}

/// Names the first row (and column) of `states` \[N, D\] that is not finite.
pub(crate) fn all_finite(what: &str, states: &Tensor) -> Result<()> {
    let finite = states.f_isfinite()?;
    if finite.f_all()?.f_int64_value(&[])? == 1 {
        return Ok(());
    }
    let first_bad = |finite: &Tensor| -> Result<usize> {
        Ok(finite.f_logical_not()?.f_to_kind(Kind::Int)?.f_argmax(0, false)?.f_int64_value(&[])? as usize)
    };
    let row = first_bad(&finite.f_all_dim(1, false)?)?;
    let column = first_bad(&finite.f_select(0, row as i64)?)?;
    Err(Error::NotFinite { what: what.to_owned(), row, column: Some(column) })
}

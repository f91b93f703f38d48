//! Coefficients for NumPy: `score = (w * [plus, minus]).sum() + bias`.

use std::path::Path;

use npyz::WriterBuilder as _;

use super::linear::{Coefficients, File};
use crate::Result;

/// The coefficients \[2, D\], and the bias \[1\] beside them.
pub(super) fn files(of: &Coefficients, out: &Path) -> Result<Vec<File>> {
    let both = [of.plus.as_slice(), of.minus.as_slice()].concat();
    let coefficients = array(&[2, of.plus.len() as u64], &both)?;
    Ok(vec![(out.to_owned(), coefficients), (out.with_extension("bias.npy"), array(&[1], &[of.bias])?)])
}

fn array(shape: &[u64], values: &[f64]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()?;
    Ok(bytes)
}

//! Tensors of safetensors files.

use safetensors::tensor::{Dtype, SafeTensors};
use tch::Tensor;

/// The tensor `name` of the file, finite and of the shape it must have; `None` stands for any length.
pub(crate) fn tensor(file: &SafeTensors, name: &str, shape: &[Option<usize>]) -> Result<Tensor, String> {
    let view = file.tensor(name).map_err(|e| format!("`{name}`: {e}"))?;
    let fits = |(&found, wanted): (&usize, &Option<usize>)| wanted.is_none_or(|n| n == found);
    if view.shape().len() != shape.len() || !view.shape().iter().zip(shape).all(fits) {
        let expected: Vec<String> =
            shape.iter().map(|n| n.map_or("_".to_owned(), |n| n.to_string())).collect();
        return Err(format!("`{name}` has shape {:?}, expected [{}]", view.shape(), expected.join(", ")));
    }
    let (values, finite) = match view.dtype() {
        Dtype::F32 => {
            let values: Vec<f32> = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            (Tensor::f_from_slice(&values), values.iter().all(|v| v.is_finite()))
        }
        Dtype::F64 => {
            let values: Vec<f64> = view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
            (Tensor::f_from_slice(&values), values.iter().all(|v| v.is_finite()))
        }
        other => return Err(format!("`{name}` is {other:?}, expected F32 or F64")),
    };
    if !finite {
        return Err(format!("`{name}` holds a value that is not finite"));
    }
    let size: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
    values.and_then(|v| v.f_reshape(size)).map_err(|e| e.to_string())
}

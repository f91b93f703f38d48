//! Shapes that are checked where they are taken apart.

use tch::Tensor;

use crate::Error;

/// The sizes of a tensor's axes, for code that needs a certain number of axes.
///
/// ```
/// use torch_runtime::{TensorExt, tch::{Device, Kind, Tensor}};
///
/// let states = Tensor::f_zeros([5, 8], (Kind::Float, Device::Cpu))?; // [S, D]
/// let (s, d) = states.dims2("states")?;
/// assert_eq!((s, d), (5, 8));
///
/// let error = states.dims3("states").unwrap_err();
/// assert!(error.to_string().starts_with("`states` has shape [5, 8], and 3 axes are needed"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait TensorExt {
    /// The sizes of all N axes.
    ///
    /// # Errors
    /// [`Error::Axes`] with the name `what` for another number of axes, or for a tensor that is not defined.
    fn dims<const N: usize>(&self, what: &'static str) -> Result<[i64; N], Error>;

    /// The size of the only axis.
    ///
    /// # Errors
    /// As [`TensorExt::dims`].
    fn dims1(&self, what: &'static str) -> Result<i64, Error> {
        self.dims(what).map(|[a]| a)
    }

    /// The sizes of both axes.
    ///
    /// # Errors
    /// As [`TensorExt::dims`].
    fn dims2(&self, what: &'static str) -> Result<(i64, i64), Error> {
        self.dims(what).map(|[a, b]| (a, b))
    }

    /// The sizes of all three axes.
    ///
    /// # Errors
    /// As [`TensorExt::dims`].
    fn dims3(&self, what: &'static str) -> Result<(i64, i64, i64), Error> {
        self.dims(what).map(|[a, b, c]| (a, b, c))
    }

    /// The sizes of all four axes.
    ///
    /// # Errors
    /// As [`TensorExt::dims`].
    fn dims4(&self, what: &'static str) -> Result<(i64, i64, i64, i64), Error> {
        self.dims(what).map(|[a, b, c, d]| (a, b, c, d))
    }
}

impl TensorExt for Tensor {
    fn dims<const N: usize>(&self, what: &'static str) -> Result<[i64; N], Error> {
        // tch panics when it is asked for the size of a tensor that is not defined.
        let found = if self.defined() { self.size() } else { Vec::new() };
        <[i64; N]>::try_from(found.as_slice()).map_err(|_| Error::Axes { what, expected: N, found })
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn the_number_of_axes_is_checked_and_the_error_names_the_tensor() {
        let zeros = |shape: &[i64]| Tensor::f_zeros(shape, (Kind::Float, Device::Cpu)).expect("zeros");
        assert_eq!(zeros(&[7]).dims1("bias").expect("one"), 7);
        assert_eq!(zeros(&[2, 3]).dims2("weight").expect("two"), (2, 3));
        assert_eq!(zeros(&[2, 3, 4]).dims3("x").expect("three"), (2, 3, 4));
        assert_eq!(zeros(&[2, 3, 4, 5]).dims4("q").expect("four"), (2, 3, 4, 5));
        assert_eq!(zeros(&[]).dims::<0>("loss").expect("none"), [0i64; 0]);
        for (tensor, shape) in [(zeros(&[]), vec![]), (zeros(&[0, 3]), vec![0, 3]), (Tensor::new(), vec![])] {
            let error = tensor.dims1("bias").expect_err("another number of axes");
            let Error::Axes { what, expected, found } = error else { panic!("{error}") };
            assert_eq!((what, expected, found), ("bias", 1, shape));
        }
    }
}

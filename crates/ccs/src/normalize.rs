//! Normalisation per side and per dimension, fitted on training rows and applied unchanged to all others.
//!
//! Both sides lose their own mean, so that no linear probe can tell plus from minus by the answer's wording
//! (Burns et al. 2022, §2.2); each dimension is scaled to unit spread. A dimension that does not vary among the
//! training rows has no spread to scale by and is only centred, as in scikit-learn's `StandardScaler`: dividing by
//! a tiny floor would let any drift on other rows drown every other dimension.

use tch::{Kind, Tensor};

use crate::{Contrast, Result};

/// A dimension with a standard deviation below this is constant: it is centred, not scaled.
pub const SMALLEST_STD: f64 = 1e-6;

/// Mean and standard deviation of one side's dimensions.
#[derive(Debug)]
pub struct Moments {
    /// \[D\], f64.
    pub mean: Tensor,
    /// \[D\], f64; the population's (ddof 0), and 1 where that is below [`SMALLEST_STD`].
    pub std: Tensor,
}

impl Moments {
    /// Two passes in f64: the difference of large squares that a single pass takes would cancel.
    fn fit(states: &Tensor) -> Result<Self> {
        let states = states.f_to_kind(Kind::Double)?; // [N, D]
        let mean = states.f_mean_dim(0, false, Kind::Double)?; // [D]
        let variance = states.f_sub(&mean)?.f_square()?.f_mean_dim(0, false, Kind::Double)?; // [D]
        let std = variance.f_sqrt()?;
        let std = std.f_where_self(&std.f_ge(SMALLEST_STD)?, &std.f_ones_like()?)?;
        Ok(Self { mean, std })
    }

    /// (x − mean) / std in f64, then rounded to `kind`.
    fn apply(&self, states: &Tensor, kind: Kind) -> Result<Tensor> {
        let device = states.device();
        let centred = states.f_to_kind(Kind::Double)?.f_sub(&self.mean.f_to_device(device)?)?;
        Ok(centred.f_div(&self.std.f_to_device(device)?)?.f_to_kind(kind)?)
    }
}

/// The normalisation of both sides; part of every probe.
#[derive(Debug)]
pub struct Normalizer {
    /// Of the plus side.
    pub plus: Moments,
    /// Of the minus side.
    pub minus: Moments,
}

impl Normalizer {
    /// Takes the statistics of the training rows.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn fit(train: &Contrast) -> Result<Self> {
        Ok(Self { plus: Moments::fit(train.plus())?, minus: Moments::fit(train.minus())? })
    }

    /// The normalised states of both sides.
    ///
    /// # Shapes
    /// `pairs`: N pairs of length D; the result: two tensors \[N, D\] of `kind`.
    ///
    /// # Errors
    /// A different D than the normaliser was fitted on.
    pub fn apply(&self, pairs: &Contrast, kind: Kind) -> Result<(Tensor, Tensor)> {
        let dim = self.plus.mean.size();
        if dim != [pairs.dim() as i64] {
            return Err(crate::Error::Shape {
                what: "the states".to_owned(),
                expected: format!(
                    "[N, {}], as the probe was fitted on",
                    dim.first().copied().unwrap_or_default()
                ),
                found: pairs.plus().size(),
                hint: "a probe works on states of the model and hook point it was fitted on",
            });
        }
        Ok((self.plus.apply(pairs.plus(), kind)?, self.minus.apply(pairs.minus(), kind)?))
    }

    /// Normalised plus minus normalised minus. \[N, D\]
    ///
    /// # Errors
    /// As [`Normalizer::apply`].
    pub fn differences(&self, pairs: &Contrast, kind: Kind) -> Result<Tensor> {
        let (plus, minus) = self.apply(pairs, Kind::Double)?;
        Ok(plus.f_sub(&minus)?.f_to_kind(kind)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contrast(plus: &[f32], minus: &[f32]) -> Contrast {
        let rows = plus.len() as i64;
        let column = |v: &[f32]| Tensor::from_slice(v).reshape([rows, 1]);
        let labels = (0..rows).map(|i| i % 2 == 0).collect();
        let groups = (0..rows).map(|i| i.to_string()).collect();
        Contrast::new(column(plus), column(minus), labels, groups).unwrap()
    }

    #[test]
    fn population_statistics_per_side() {
        let train = contrast(&[1.0, 3.0], &[5.0, 5.0]);
        let normalizer = Normalizer::fit(&train).unwrap();
        let (plus, minus) = normalizer.apply(&contrast(&[1.0, 4.0], &[5.0, 5.5]), Kind::Double).unwrap();
        assert_eq!(Vec::<f64>::try_from(plus.reshape(-1)).unwrap(), [-1.0, 2.0]); // ddof 0: std is 1, not √2
        assert_eq!(Vec::<f64>::try_from(minus.reshape(-1)).unwrap(), [0.0, 0.5]); // constant: only centred
    }

    #[test]
    fn a_constant_dimension_that_drifts_does_not_drown_the_others() {
        let pair = |values: &[f32]| Tensor::from_slice(values).reshape([2, 2]);
        let make = |values: &[f32]| {
            let groups = vec!["a".to_owned(), "b".to_owned()];
            Contrast::new(pair(values), pair(values), vec![true, false], groups).unwrap()
        };
        let normalizer = Normalizer::fit(&make(&[1.0, 7.0, 3.0, 7.0])).unwrap();
        let (plus, _) = normalizer.apply(&make(&[3.0, 7.25, 1.0, 6.5]), Kind::Double).unwrap();
        assert_eq!(Vec::<f64>::try_from(plus.reshape(-1)).unwrap(), [1.0, 0.25, -1.0, -0.5]);
    }

    #[test]
    fn a_large_offset_does_not_cancel() {
        let train = contrast(&[1e4, 1e4 + 0.01], &[0.0, 1.0]);
        let (plus, _) = Normalizer::fit(&train).unwrap().apply(&train, Kind::Double).unwrap();
        let values = Vec::<f64>::try_from(plus.reshape(-1)).unwrap();
        assert!((values[0] + 1.0).abs() < 1e-9 && (values[1] - 1.0).abs() < 1e-9, "{values:?}");
    }

    #[test]
    fn another_dimension_is_refused() {
        let normalizer = Normalizer::fit(&contrast(&[1.0, 3.0], &[5.0, 5.0])).unwrap();
        let wide = Contrast::new(
            Tensor::zeros([1, 2], (Kind::Float, tch::Device::Cpu)),
            Tensor::zeros([1, 2], (Kind::Float, tch::Device::Cpu)),
            vec![true],
            vec![String::new()],
        )
        .unwrap();
        assert!(matches!(normalizer.apply(&wide, Kind::Float), Err(crate::Error::Shape { .. })));
    }
}

//! Sums, largest values and softmax over the tokens of each prompt.

use tch::{Device, Tensor};

use crate::Result;

/// Which of M tokens are one prompt's: S runs of tokens.
#[derive(Debug)]
pub(crate) struct Segments {
    /// \[S\]
    lengths: Tensor,
    /// Each token's run. \[M\]
    rows: Tensor,
}

impl Segments {
    pub(crate) fn new(lengths: impl Iterator<Item = usize>, device: Device) -> Result<Self> {
        let lengths: Vec<i64> = lengths.map(|length| length as i64).collect();
        let rows = (0i64..).zip(&lengths).flat_map(|(row, &length)| (0..length).map(move |_| row));
        let rows: Vec<i64> = rows.collect();
        Ok(Self {
            lengths: Tensor::f_from_slice(&lengths)?.f_to_device(device)?,
            rows: Tensor::f_from_slice(&rows)?.f_to_device(device)?,
        })
    }

    fn reduce(&self, x: &Tensor, how: &str) -> Result<Tensor> {
        let none = None::<&Tensor>;
        // What a run without tokens would have; there is none.
        let initial = if how == "max" { f64::NEG_INFINITY } else { 0.0 };
        Ok(Tensor::f_segment_reduce(x, how, Some(&self.lengths), none, none, 0, true, initial)?)
    }

    /// Each run's sum. `x`: \[M, C\]; the result: \[S, C\].
    pub(crate) fn sum(&self, x: &Tensor) -> Result<Tensor> {
        self.reduce(&x.f_contiguous()?, "sum")
    }

    /// Each run's largest value. `x`: \[M, C\]; the result: \[S, C\].
    pub(crate) fn max(&self, x: &Tensor) -> Result<Tensor> {
        self.reduce(&x.f_contiguous()?, "max")
    }

    /// Each token's run's row. `x`: \[S, C\]; the result: \[M, C\].
    pub(crate) fn expand(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_index_select(0, &self.rows)?)
    }

    /// exp(x)/Σ exp(x) over each run. `x` and the result: \[M, C\].
    pub(crate) fn shares(&self, x: &Tensor) -> Result<Tensor> {
        let powers = x.f_sub(&self.expand(&self.max(x)?)?)?.f_exp()?;
        let sums = self.sum(&powers)?;
        Ok(powers.f_div(&self.expand(&sums)?)?)
    }

    /// 1 for the token that has its run's largest value, else 0; equal shares where several have it. `x` and the result:
    /// \[M, C\].
    pub(crate) fn hard_max(&self, x: &Tensor) -> Result<Tensor> {
        let largest = x.f_eq_tensor(&self.expand(&self.max(x)?)?)?.f_to_kind(x.kind())?;
        let count = self.sum(&largest)?;
        Ok(largest.f_div(&self.expand(&count)?)?)
    }
}

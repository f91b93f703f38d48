//! Sums, largest values and softmax over the tokens of each prompt.

use tch::{Device, Kind, Tensor};

use crate::Result;

/// Which of M tokens are one prompt's: S runs of tokens.
#[derive(Debug)]
pub(crate) struct Segments {
    /// \[S\]
    lengths: Tensor,
    /// Each token's run. \[M\]
    rows: Tensor,
    /// Each token's own number. \[M\]
    numbers: Tensor,
}

impl Segments {
    pub(crate) fn new(lengths: impl Iterator<Item = usize>, device: Device) -> Result<Self> {
        let lengths: Vec<i64> = lengths.map(|length| length as i64).collect();
        let tokens: i64 = lengths.iter().sum();
        let rows = (0i64..).zip(&lengths).flat_map(|(row, &length)| (0..length).map(move |_| row));
        let rows: Vec<i64> = rows.collect();
        Ok(Self {
            lengths: Tensor::f_from_slice(&lengths)?.f_to_device(device)?,
            rows: Tensor::f_from_slice(&rows)?.f_to_device(device)?,
            numbers: Tensor::f_arange(tokens, (Kind::Int64, device))?,
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
    pub(crate) fn softmax(&self, x: &Tensor) -> Result<Tensor> {
        let powers = x.f_sub(&self.expand(&self.max(x)?)?)?.f_exp()?;
        let sums = self.sum(&powers)?;
        Ok(powers.f_div(&self.expand(&sums)?)?)
    }

    /// 1 for the first token of each run that has the run's largest value, else 0. `x` and the result: \[M, C\].
    pub(crate) fn hard_max(&self, x: &Tensor) -> Result<Tensor> {
        let largest = x.f_eq_tensor(&self.expand(&self.max(x)?)?)?;
        // Of tokens that are equally large the first: minus its number is the largest.
        let numbers = self.numbers.f_neg()?.f_to_kind(Kind::Double)?.f_unsqueeze(1)?; // [M, 1]
        let below = numbers.f_full_like(f64::NEG_INFINITY)?;
        let place = numbers.f_where_self(&largest, &below)?; // [M, C]
        let first = place.f_eq_tensor(&self.expand(&self.max(&place)?)?)?.f_logical_and(&largest)?;
        Ok(first.f_to_kind(x.kind())?)
    }
}

//! The parameters of R probes with H heads each, and what is linear in them: each token's logits and values.

use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::Result;
use crate::methods::lbfgs::{Space, numbers};

/// Vectors \[R, P\]: K·D numbers of K kinds of head and dimension, H of positions where there are some, and last the bias.
/// What is linear in them: \[M·K + 1, R\], K numbers a token, and the bias.
pub(super) struct TokenSpace {
    /// The normalized states of all tokens. \[M, D\]
    x: Tensor,
    /// Each token's place, where heads weigh it: it adds to the first H of a token's K numbers. \[M\]
    places: Option<Tensor>,
    /// K.
    columns: i64,
    /// H.
    heads: i64,
    dim: i64,
    tokens: i64,
    l2: f64,
}

impl TokenSpace {
    /// # Shapes
    /// `x`: \[M, D\]; `places`: \[M\].
    pub(super) fn new(x: Tensor, places: Option<Tensor>, columns: i64, heads: i64, l2: f64) -> Result<Self> {
        let (tokens, dim) = x.dims2("states")?;
        Ok(Self { x, places, columns, heads, dim, tokens, l2 })
    }

    /// Numbers of the K·D weights.
    fn weights(&self) -> i64 {
        self.columns * self.dim
    }

    /// P.
    pub(super) fn length(&self) -> i64 {
        self.weights() + if self.places.is_some() { self.heads } else { 0 } + 1
    }

    fn bias(&self, vector: &Tensor) -> Result<Tensor> {
        Ok(vector.f_narrow(1, self.length() - 1, 1)?)
    }

    /// Weights \[K, D\], positions \[H\] where there are some, and the bias of one vector \[P\].
    pub(super) fn parameters(&self, vector: &Tensor) -> Result<(Tensor, Option<Tensor>, f64)> {
        let weights = vector.f_narrow(0, 0, self.weights())?.f_reshape([self.columns, self.dim])?;
        let places = match self.places {
            Some(_) => Some(vector.f_narrow(0, self.weights(), self.heads)?.f_contiguous()?),
            None => None,
        };
        Ok((weights.f_contiguous()?, places, vector.f_double_value(&[self.length() - 1])?))
    }
}

impl Space for TokenSpace {
    fn logits(&self, vector: &Tensor) -> Result<Tensor> {
        let (probes, _) = vector.dims2("vectors")?;
        let weights = vector.f_narrow(1, 0, self.weights())?.f_reshape([probes, self.columns, self.dim])?;
        let weights = weights.f_transpose(0, 1)?.f_reshape([self.columns * probes, self.dim])?; // [K·R, D]
        let z = self.x.f_mm(&weights.f_tr()?)?; // [M, K·R]
        if let Some(places) = &self.places {
            let slopes = vector.f_narrow(1, self.weights(), self.heads)?.f_tr()?.f_reshape([-1])?; // [H·R]
            let _ = z.f_narrow(1, 0, self.heads * probes)?.f_add_(&places.f_outer(&slopes)?)?;
        }
        let z = z.f_reshape([self.tokens * self.columns, probes])?;
        Ok(Tensor::f_cat(&[z, self.bias(vector)?.f_tr()?], 0)?)
    }

    fn gradient(&self, slope: &Tensor, vector: &Tensor) -> Result<Tensor> {
        let (probes, _) = vector.dims2("vectors")?;
        let own = slope.f_narrow(0, 0, self.tokens * self.columns)?;
        let own = own.f_reshape([self.tokens, self.columns * probes])?; // [M, K·R]
        let weights = own.f_tr()?.f_mm(&self.x)?.f_reshape([self.columns, probes, self.dim])?;
        let mut parts = vec![weights.f_transpose(0, 1)?.f_reshape([probes, self.weights()])?];
        if let Some(places) = &self.places {
            let along = own.f_narrow(1, 0, self.heads * probes)?.f_tr()?.f_mv(places)?; // [H·R]
            parts.push(along.f_reshape([self.heads, probes])?.f_tr()?);
        }
        let bias = slope.f_narrow(0, self.tokens * self.columns, 1)?.f_tr()?; // [R, 1]
        let penalized = vector.f_narrow(1, 0, self.length() - 1)?.f_mul_scalar(self.l2)?;
        Ok(Tensor::f_cat(&[Tensor::f_cat(&parts, 1)?.f_add(&penalized)?, bias], 1)?)
    }

    fn inner(&self, u: &Tensor, v: &Tensor) -> Result<Tensor> {
        Ok(u.f_mul(v)?.f_sum_dim_intlist(1, true, Kind::Double)?.f_to_kind(u.kind())?)
    }

    fn penalty(&self, u: &Tensor, v: &Tensor) -> Result<Vec<f64>> {
        let biases = self.bias(u)?.f_mul(&self.bias(v)?)?;
        numbers(&self.inner(u, v)?.f_sub(&biases)?.f_mul_scalar(self.l2)?)
    }
}

//! The rows of a logistic regression as a linear map: to logits, back from them, and in the basis of their span.

use tch::Tensor;
use torch_runtime::TensorExt as _;

use crate::Result;

/// With fewer rows than dimensions, the rows in an orthonormal basis Q of their span, and Q.
///
/// The penalty is the same in any orthonormal basis and the best w lies in the rows' span, so the smaller problem
/// has the same solution: X = (QR)ᵀ, w = Qu, Xw = Rᵀu.
pub(super) fn span(x: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
    let size = x.size();
    if size.first() >= size.get(1) {
        return Ok((x.f_contiguous()?, None));
    }
    let (q, r) = Tensor::f_linalg_qr(&x.f_tr()?, "reduced")?; // [D, N], [N, N]
    Ok((r.f_tr()?.f_contiguous()?, Some(q)))
}

/// The weights in the original coordinates. `theta`: \[K + 1\], bias last; the result: \[D\].
pub(super) fn to_full(theta: &Tensor, basis: Option<&Tensor>) -> Result<Tensor> {
    let weight = theta.f_narrow(0, 0, theta.dims1("theta")? - 1)?;
    Ok(match basis {
        Some(q) => q.f_mv(&weight)?,
        None => weight,
    })
}

/// Xw + b. `x`: \[N, K\]; `theta`: \[K + 1\].
pub(super) fn logits(x: &Tensor, theta: &Tensor) -> Result<Tensor> {
    let length = theta.dims1("theta")? - 1;
    Ok(x.f_mv(&theta.f_narrow(0, 0, length)?)?.f_add_(&theta.f_narrow(0, length, 1)?)?)
}

/// Xᵀs and Σs. `x`: \[N, K\]; `s`: \[N\]; the result: \[K + 1\].
pub(super) fn back(x: &Tensor, s: &Tensor) -> Result<Tensor> {
    Ok(Tensor::f_cat(&[x.f_tr()?.f_mv(s)?, s.f_sum(s.kind())?.f_unsqueeze(0)?], 0)?)
}

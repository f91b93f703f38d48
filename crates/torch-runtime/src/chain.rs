//! Calculations written one after the other, with one `?` at their end.

use tch::{Device, Kind, Scalar, TchError, Tensor};

/// What an operation gives: a tensor, or why LibTorch refused.
type Computed = Result<Tensor, TchError>;

/// The other side of `+ − · ÷`: a tensor, or a number.
#[derive(Debug)]
pub enum Operand<'t> {
    /// A tensor; LibTorch broadcasts it.
    Tensor(&'t Tensor),
    /// A number, the same for all elements.
    Number(Scalar),
}

impl<'t> From<&'t Tensor> for Operand<'t> {
    fn from(tensor: &'t Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl From<f64> for Operand<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number.into())
    }
}

impl From<i64> for Operand<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

/// Methods that hand their arguments to one of tch's.
macro_rules! passed_on {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $of:ty),*) = $method:ident;)*) => {
        $($(#[$doc])* fn $name(self, $($argument: $of),*) -> Computed {
            self.then(|x| x.$method($($argument),*))
        })*
    };
}

/// LibTorch's operations on the result of one, so that a formula is one expression with one `?`.
///
/// A formula begins with one of tch's fallible methods, whose names begin with `f_`, and goes on with these, which are
/// called what PyTorch calls them. They are defined on `Result<Tensor, TchError>`, so they never hide tch's own methods
/// of the same names, which panic. The first error ends the calculation.
///
/// ```
/// use torch_runtime::{TensorChain, tch::Tensor};
///
/// let x = Tensor::f_from_slice(&[1.0, 2.0, 3.0, 4.0])?.f_view([2, 2])?; // [N, D]
/// let w = Tensor::f_from_slice(&[0.5, -0.25])?; // [D]
/// let p = x.f_mv(&w)?.f_add_scalar(0.1)?.f_sigmoid()?; // without
/// let same = x.f_mv(&w).add(0.1).sigmoid()?; // with
/// assert!(p.f_equal(&same)?);
///
/// // RMSNorm: x / √(mean(x²) + ε)
/// let scale = x.f_square().mean_dim(-1, true).add(1e-6).sqrt()?; // [N, 1]
/// let normalized = x.f_div(&scale)?; // [N, D]
/// assert_eq!(normalized.size(), [2, 2]);
/// # Ok::<(), torch_runtime::tch::TchError>(())
/// ```
pub trait TensorChain: Sized {
    /// What the formula gave so far.
    ///
    /// # Errors
    /// The first operation that LibTorch refused.
    fn computed(self) -> Computed;

    /// Goes on with any operation that has no method here: `x.f_exp().then(|x| x.f_cumsum(0, None))`.
    ///
    /// # Errors
    /// As every method here: LibTorch's.
    fn then(self, operation: impl FnOnce(&Tensor) -> Computed) -> Computed {
        operation(&self.computed()?)
    }

    /// x + other
    fn add<'t>(self, other: impl Into<Operand<'t>>) -> Computed {
        self.then(|x| match other.into() {
            Operand::Tensor(other) => x.f_add(other),
            Operand::Number(other) => x.f_add_scalar(other),
        })
    }

    /// x − other
    fn sub<'t>(self, other: impl Into<Operand<'t>>) -> Computed {
        self.then(|x| match other.into() {
            Operand::Tensor(other) => x.f_sub(other),
            Operand::Number(other) => x.f_sub_scalar(other),
        })
    }

    /// x · other, element by element
    fn mul<'t>(self, other: impl Into<Operand<'t>>) -> Computed {
        self.then(|x| match other.into() {
            Operand::Tensor(other) => x.f_mul(other),
            Operand::Number(other) => x.f_mul_scalar(other),
        })
    }

    /// x / other, element by element
    fn div<'t>(self, other: impl Into<Operand<'t>>) -> Computed {
        self.then(|x| match other.into() {
            Operand::Tensor(other) => x.f_div(other),
            Operand::Number(other) => x.f_div_scalar(other),
        })
    }

    passed_on! {
        /// −x
        neg() = f_neg;
        /// eˣ
        exp() = f_exp;
        /// ln x
        log() = f_log;
        /// ln(1 + x)
        log1p() = f_log1p;
        /// √x
        sqrt() = f_sqrt;
        /// 1 / √x
        rsqrt() = f_rsqrt;
        /// x²
        square() = f_square;
        /// |x|
        abs() = f_abs;
        /// 1 / (1 + e⁻ˣ)
        sigmoid() = f_sigmoid;
        /// ln(1 / (1 + e⁻ˣ))
        log_sigmoid() = f_log_sigmoid;
        /// The hyperbolic tangent.
        tanh() = f_tanh;
        /// x · sigmoid(x)
        silu() = f_silu;
        /// x where it is positive, else 0.
        relu() = f_relu;
        /// The larger one of x and `least`.
        clamp_min(least: f64) = f_clamp_min;
        /// The matrix product of two matrices.
        mm(other: &Tensor) = f_mm;
        /// The product of a matrix and a vector.
        mv(vector: &Tensor) = f_mv;
        /// The product of two vectors.
        dot(other: &Tensor) = f_dot;
        /// The matrix product, over any axes before the last two.
        matmul(other: &Tensor) = f_matmul;
        /// The transpose of a matrix.
        tr() = f_tr;
        /// Two axes exchanged.
        transpose(a: i64, b: i64) = f_transpose;
        /// The axes in another order.
        permute(axes: &[i64]) = f_permute;
        /// The same numbers in another shape, without a copy.
        view(shape: &[i64]) = f_view;
        /// The same numbers in another shape.
        reshape(shape: &[i64]) = f_reshape;
        /// Neighboring axes as one.
        flatten(first: i64, last: i64) = f_flatten;
        /// An axis of size 1 put in.
        unsqueeze(dim: i64) = f_unsqueeze;
        /// An axis of size 1 taken out.
        squeeze_dim(dim: i64) = f_squeeze_dim;
        /// One element of an axis.
        select(dim: i64, index: i64) = f_select;
        /// `length` elements of an axis.
        narrow(dim: i64, start: i64, length: i64) = f_narrow;
        /// The elements of an axis that `index` names.
        index_select(dim: i64, index: &Tensor) = f_index_select;
        /// `value` where the mask is true.
        masked_fill(mask: &Tensor, value: f64) = f_masked_fill;
        /// softmax along one axis, computed in `kind`.
        softmax(dim: i64, kind: Kind) = f_softmax;
        /// ln softmax along one axis, computed in `kind`.
        log_softmax(dim: i64, kind: Kind) = f_log_softmax;
        /// Converted.
        to_kind(kind: Kind) = f_to_kind;
        /// Moved.
        to_device(device: Device) = f_to_device;
        /// Laid out in memory in the order of the axes.
        contiguous() = f_contiguous;
    }

    /// x Wᵀ, the weight as `[out, in]`.
    fn linear(self, weight: &Tensor) -> Computed {
        self.then(|x| x.f_linear(weight, None::<Tensor>))
    }

    /// The sum over one axis.
    fn sum_dim(self, dim: i64, keepdim: bool) -> Computed {
        self.then(|x| x.f_sum_dim_intlist([dim].as_slice(), keepdim, None))
    }

    /// The mean over one axis.
    fn mean_dim(self, dim: i64, keepdim: bool) -> Computed {
        self.then(|x| x.f_mean_dim(Some([dim].as_slice()), keepdim, None))
    }

    /// The largest along one axis.
    fn amax(self, dim: i64, keepdim: bool) -> Computed {
        self.then(|x| x.f_amax([dim].as_slice(), keepdim))
    }

    /// The sum of all elements.
    fn sum(self) -> Computed {
        self.then(|x| x.f_sum(None::<Kind>))
    }

    /// The mean of all elements.
    fn mean(self) -> Computed {
        self.then(|x| x.f_mean(None::<Kind>))
    }

    /// The only element of a tensor that has one.
    ///
    /// # Errors
    /// LibTorch's, also for a tensor of several elements.
    fn item(self) -> Result<f64, TchError> {
        self.computed()?.f_double_value(&[])
    }
}

impl TensorChain for Computed {
    fn computed(self) -> Computed {
        self
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    fn numbers(shape: &[i64]) -> Tensor {
        let count = shape.iter().product::<i64>();
        (Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.7).sin().view(shape)
    }

    #[test]
    fn every_operation_is_the_one_that_tch_has_under_its_name() {
        let (x, y) = (numbers(&[3, 4]), numbers(&[4]) + 2.0);
        let start = || x.f_alias();
        let all = Some([1i64].as_slice());
        for (found, expected) in [
            (start().add(&y).sub(2.0).mul(&y).div(3.0), ((&x + &y) - 2.0) * &y / 3.0),
            (start().sub(&y).add(2).div(&y).mul(0.5), ((&x - &y) + 2.0) / &y * 0.5),
            (start().neg().exp().log1p().log().square().sqrt().rsqrt(), {
                let x = x.neg().exp().log1p().log();
                x.square().sqrt().rsqrt()
            }),
            (start().abs().tanh().sigmoid().silu(), x.abs().tanh().sigmoid().silu()),
            (start().relu().clamp_min(0.25).log_sigmoid(), x.relu().clamp_min(0.25).log_sigmoid()),
            (start().mm(&y.unsqueeze(1)).squeeze_dim(1), x.mv(&y)),
            (start().matmul(&y).unsqueeze(0).tr().flatten(0, 1), x.mv(&y)),
            (start().mv(&y).dot(&numbers(&[3])), x.mv(&y).dot(&numbers(&[3]))),
            (start().linear(&y.unsqueeze(0)), x.mv(&y).unsqueeze(1)),
            (start().transpose(0, 1).contiguous().view(&[2, 6]), x.tr().reshape([2, 6])),
            (start().select(0, 2).narrow(0, 1, 2).reshape(&[2, 1]), x.get(2).narrow(0, 1, 2).view([2, 1])),
            (start().index_select(1, &Tensor::from_slice(&[3i64, 0])).permute(&[1, 0]), {
                x.index_select(1, &Tensor::from_slice(&[3i64, 0])).tr()
            }),
            (start().softmax(1, Kind::Double), x.softmax(1, None)),
            (start().log_softmax(1, Kind::Double).to_device(Device::Cpu), x.log_softmax(1, None)),
            (start().sum_dim(1, true), x.sum_dim_intlist(all, true, None)),
            (start().mean_dim(1, false).sum(), x.mean_dim(all, false, None).sum(None)),
            (start().amax(1, false).mean(), x.amax([1i64].as_slice(), false).mean(None)),
            (start().masked_fill(&x.gt(0.0), -1.0), x.masked_fill(&x.gt(0.0), -1.0)),
            (start().to_kind(Kind::Float), x.to_kind(Kind::Float)),
            (start().then(|x| x.f_cumsum(0, None)), x.cumsum(0, None)),
        ] {
            let found = found.expect("computed");
            assert_eq!((found.size(), found.kind()), (expected.size(), expected.kind()));
            assert!(found.equal(&expected), "{found:?} {expected:?}");
        }
    }

    #[test]
    fn the_first_error_ends_a_calculation() {
        let x = numbers(&[3, 4]);
        let error = x.f_mm(&x).add(1.0).then(|_| panic!("not reached")).item().expect_err("3 × 4 by 3 × 4");
        assert!(error.to_string().contains("shapes cannot be multiplied"), "{error}");
        let sum = x.f_sum(None::<Kind>).add(1.0).item().expect("a number");
        assert!((sum - x.sum(None).double_value(&[]) - 1.0).abs() < 1e-15);
        assert!(x.f_alias().item().is_err(), "twelve numbers are not one");
    }
}

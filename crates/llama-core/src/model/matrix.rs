//! The matrices of a block, each as its kernel reads it.

use tch::Tensor;
use torch_runtime::PackedWeight;

use super::kernels::Products;
use crate::error::{Error, Result};

/// A matrix `[out, in]` that a block multiplies its inputs by.
#[derive(Debug)]
pub(super) enum Matrix {
    /// As it is: every product can be computed with it, and gradients.
    Plain(Tensor),
    /// In oneDNN's layout and nowhere else.
    Packed(PackedWeight),
}

/// Rows that packed matrices are laid out for: a prompt's. More rows are computed in parts of some hundreds anyway, and
/// one number for all makes the layout, and with it the last bits, independent of batches.
const ROWS: i64 = 512;

impl Matrix {
    /// Lays a plain matrix out for these products; the plain one is given up.
    pub(super) fn arranged(plain: Tensor, products: Products) -> Result<Self> {
        Ok(match products {
            Products::Plain => Self::Plain(plain),
            Products::Packed => Self::Packed(PackedWeight::new(&plain, ROWS)?),
        })
    }

    /// `x Wᵀ`. Where gradients are recorded, the product is that of the plain matrix.
    ///
    /// # Shapes
    /// `x` \[…, in\] → \[…, out\]
    pub(super) fn linear(&self, x: &Tensor) -> Result<Tensor> {
        self.affine(x, None)
    }

    /// `x Wᵀ + b`, where there is a bias; packed products add it afterwards.
    ///
    /// # Shapes
    /// `x` \[…, in\], `bias` \[out\] → \[…, out\]
    pub(super) fn affine(&self, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        match self {
            Self::Plain(weight) => Ok(x.f_linear(weight, bias)?),
            Self::Packed(weight) if x.requires_grad() => Ok(x.f_linear(&weight.unpack()?, bias)?),
            Self::Packed(weight) => match bias {
                None => Ok(weight.linear(x)?),
                Some(bias) => Ok(weight.linear(x)?.f_add(bias)?),
            },
        }
    }

    /// The matrix that products are computed with, for gradients to be collected in.
    pub(super) fn trainable(&self) -> Result<&Tensor> {
        match self {
            Self::Plain(weight) => Ok(weight),
            Self::Packed(_) => Err(Error::Packed { what: "its weights cannot be trained" }),
        }
    }

    /// The plain matrix: itself where it is plain, else a copy.
    ///
    /// # Shapes
    /// → \[out, in\]
    pub(super) fn plain(&self) -> Result<Tensor> {
        match self {
            Self::Plain(weight) => Ok(weight.f_alias()?),
            Self::Packed(weight) => Ok(weight.unpack()?),
        }
    }
}

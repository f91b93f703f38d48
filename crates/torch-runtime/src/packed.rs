//! Weights laid out once for oneDNN's products.

use std::ffi::{CStr, c_char};

use tch::{Kind, TchError, Tensor};
use torch_sys::C_tensor;

/// A weight in the layout that oneDNN's kernels read fastest, for products `x Wᵀ` on a CPU.
///
/// LibTorch's own `linear` hands a plain weight to MKL or oneDNN at every call. On CPUs for which MKL has no good kernel
/// (AMD's with AVX-512), f32 products with a packed weight were measured at more than twice its rate.
///
/// ```
/// use torch_runtime::{PackedWeight, tch::{Device, Kind, Tensor}};
///
/// let weight = Tensor::f_rand([6, 4], (Kind::Float, Device::Cpu))?; // [out, in]
/// let x = Tensor::f_rand([2, 3, 4], (Kind::Float, Device::Cpu))?; // […, in]
/// let packed = PackedWeight::new(&weight, 64)?;
/// assert!(packed.linear(&x)?.allclose(&x.f_linear(&weight, None::<Tensor>)?, 1e-5, 1e-6, false));
/// assert!(packed.unpack()?.f_equal(&weight)?);
/// # Ok::<(), torch_runtime::tch::TchError>(())
/// ```
#[derive(Debug)]
pub struct PackedWeight {
    /// Opaque: it has a shape and no strides.
    tensor: Tensor,
}

impl PackedWeight {
    /// Lays out a weight for products with about `rows` rows. It serves any other number of rows as well.
    ///
    /// # Shapes
    /// `weight` \[out, in\], f32 or bf16, on the CPU
    ///
    /// # Errors
    /// LibTorch's: another type or device, a LibTorch without oneDNN.
    pub fn new(weight: &Tensor, rows: i64) -> Result<Self, TchError> {
        let plain = weight.f_contiguous()?;
        let tensor = foreign::tensor(|into| {
            #[allow(unsafe_code)]
            // SAFETY: the tensor outlives the call, and `into` may be written.
            unsafe {
                foreign::torch_runtime_pack(plain.as_ptr(), rows, into)
            }
        })?;
        Ok(Self { tensor })
    }

    /// x Wᵀ, without gradients.
    ///
    /// # Shapes
    /// `x` \[…, in\] → \[…, out\], both of the weight's type
    ///
    /// # Errors
    /// LibTorch's: another width or type.
    pub fn linear(&self, x: &Tensor) -> Result<Tensor, TchError> {
        foreign::tensor(|into| {
            #[allow(unsafe_code)]
            // SAFETY: both tensors outlive the call, and `into` may be written.
            unsafe {
                foreign::torch_runtime_linear(x.as_ptr(), self.tensor.as_ptr(), into)
            }
        })
    }

    /// The plain weight again, bit for bit: a copy.
    ///
    /// # Shapes
    /// → \[out, in\]
    ///
    /// # Errors
    /// What LibTorch refuses (memory).
    pub fn unpack(&self) -> Result<Tensor, TchError> {
        self.tensor.f_to_dense(None::<Kind>, false)
    }
}

/// What packed.cpp does.
mod foreign {
    use super::{C_tensor, CStr, TchError, Tensor, c_char};

    /// Says null or what went wrong.
    type Problem = *const c_char;

    #[cfg(not(feature = "doc-only"))]
    #[allow(unsafe_code)] // declared in packed.cpp as they are here
    unsafe extern "C" {
        pub(super) fn torch_runtime_pack(
            weight: *const C_tensor,
            rows: i64,
            packed: *mut *mut C_tensor,
        ) -> Problem;
        pub(super) fn torch_runtime_linear(
            x: *const C_tensor,
            packed: *const C_tensor,
            product: *mut *mut C_tensor,
        ) -> Problem;
    }

    #[cfg(feature = "doc-only")]
    #[allow(unsafe_code, clippy::missing_safety_doc)]
    pub(super) unsafe fn torch_runtime_pack(_: *const C_tensor, _: i64, _: *mut *mut C_tensor) -> Problem {
        c"built without LibTorch".as_ptr()
    }

    #[cfg(feature = "doc-only")]
    #[allow(unsafe_code, clippy::missing_safety_doc)]
    pub(super) unsafe fn torch_runtime_linear(
        _: *const C_tensor,
        _: *const C_tensor,
        _: *mut *mut C_tensor,
    ) -> Problem {
        c"built without LibTorch".as_ptr()
    }

    /// The tensor that a call makes, or the message it returns.
    pub(super) fn tensor(call: impl FnOnce(*mut *mut C_tensor) -> Problem) -> Result<Tensor, TchError> {
        let mut made = std::ptr::null_mut();
        let problem = call(&raw mut made);
        if problem.is_null() {
            #[allow(unsafe_code)]
            // SAFETY: a new `at::Tensor`, which nobody else owns.
            return Ok(unsafe { Tensor::from_ptr(made) });
        }
        #[allow(unsafe_code)]
        // SAFETY: NUL-terminated, and valid until this thread's next call.
        let message = unsafe { CStr::from_ptr(problem) };
        Err(TchError::Torch(message.to_string_lossy().into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn random(shape: &[i64], kind: Kind) -> Tensor {
        Tensor::f_rand(shape, (Kind::Double, Device::Cpu))
            .expect("numbers")
            .f_sub_scalar(0.5)
            .expect("centered")
            .to_kind(kind)
    }

    /// oneDNN has bf16 products for CPUs with AVX-512 alone.
    fn has_bf16() -> bool {
        let held_below = std::env::var("ONEDNN_MAX_CPU_ISA").is_ok_and(|isa| isa.starts_with("AVX2"));
        #[cfg(target_arch = "x86_64")]
        let wide = std::is_x86_feature_detected!("avx512bw") && std::is_x86_feature_detected!("avx512vl");
        #[cfg(not(target_arch = "x86_64"))]
        let wide = false;
        wide && !held_below
    }

    #[test]
    fn products_are_those_in_f64_up_to_rounding() {
        for (kind, unit) in [(Kind::Float, 2f64.powi(-24)), (Kind::BFloat16, 2f64.powi(-8))] {
            if kind == Kind::BFloat16 && !has_bf16() {
                continue;
            }
            for [rows, out, inputs] in [[1, 1, 1], [3, 6, 4], [70, 33, 65], [129, 96, 200]] {
                let (x, w) = (random(&[2, rows, inputs], kind), random(&[out, inputs], kind));
                let packed = PackedWeight::new(&w, 64).expect("packed");
                assert!(packed.unpack().expect("plain").equal(&w), "{kind:?} {out} {inputs}");
                let found = packed.linear(&x).expect("product");
                assert_eq!((found.size(), found.kind()), (vec![2, rows, out], kind));
                let wide = |t: &Tensor| t.to_kind(Kind::Double);
                let error = (wide(&found) - wide(&x).linear(&wide(&w), None::<Tensor>)).abs();
                // Sums in f32 of `inputs` products, rounded to the type once (Higham 2002, 3.5).
                let size = wide(&x).abs().linear(&wide(&w).abs(), None::<Tensor>);
                let bound = size * (unit + (inputs + 2) as f64 * 2f64.powi(-24));
                assert!(
                    bool::try_from(error.le_tensor(&bound).all()).expect("bool"),
                    "{kind:?} {rows} {out} {inputs}"
                );
            }
        }
    }

    #[test]
    fn views_are_packed_and_multiplied_as_what_they_show() {
        let whole = random(&[40, 24], Kind::Float);
        let packed = PackedWeight::new(&whole.narrow(0, 8, 16), 8).expect("packed"); // rows of a fused weight
        let x = random(&[24, 5], Kind::Float).tr();
        let expected = x.linear(&whole.narrow(0, 8, 16), None::<Tensor>);
        assert!(packed.linear(&x).expect("product").allclose(&expected, 1e-5, 1e-6, false));
    }

    #[test]
    fn what_cannot_be_multiplied_is_an_error() {
        let packed = PackedWeight::new(&random(&[6, 4], Kind::Float), 8).expect("packed");
        for x in
            [random(&[2, 5], Kind::Float), random(&[2, 4], Kind::Double), random(&[2, 4], Kind::BFloat16)]
        {
            let error = packed.linear(&x).expect_err("another width or type").to_string();
            assert!(!error.contains("frame #"), "{error}");
        }
        assert!(PackedWeight::new(&random(&[6, 4], Kind::Int64), 8).is_err());
        assert!(PackedWeight::new(&random(&[6], Kind::Float), 8).is_err());
    }
}

//! LibTorch for the crates that compute: linked, checked against the version it was built for, CUDA opened on demand.
//!
//! ```
//! let device = torch_runtime::open("cpu")?; // refuses a LibTorch other than the one built for
//! let ones = tch::Tensor::f_ones([2, 3], (tch::Kind::Float, device))?;
//! assert_eq!(ones.size(), [2, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A program calls [`open`] (or [`check`]) once, before its first tensor. tch reads calls through
//! C++ headers of one LibTorch release; on another release the same calls can return wrong shapes
//! without any error, so a mismatch is refused.
//!
//! A program that shares its machine with others has [`wait_passively!`] in its main source file.

#[cfg(not(feature = "doc-only"))]
use std::ffi::CStr;
use std::sync::OnceLock;

pub use tch;
use tch::{Cuda, Device};

mod chain;
#[cfg(feature = "distributed")]
pub mod dist;
pub mod machine;
pub mod memory;
mod packed;
#[cfg(feature = "program")]
pub mod program;
mod shape;
pub mod waiting;

pub use chain::{Operand, TensorChain};
pub use packed::PackedWeight;
pub use shape::TensorExt;

/// Why LibTorch cannot be used as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library that was loaded is not the release the program was compiled for.
    #[error("this program was built for LibTorch {built_for} and was started with LibTorch {loaded}")]
    Version {
        /// The release of the headers it was compiled with.
        built_for: String,
        /// The release of the library in memory.
        loaded: String,
    },
    /// A device name that is none of the known forms.
    #[error("unknown device `{name}`")]
    UnknownDevice {
        /// What was asked for.
        name: String,
    },
    /// CUDA was asked for and cannot be had.
    #[error("device `{name}` is not available: {reason}")]
    NoCuda {
        /// What was asked for.
        name: String,
        /// What is missing.
        reason: String,
    },
    /// A tensor that has not as many axes as a computation needs.
    #[error("`{what}` has shape {found:?}, and {expected} axes are needed")]
    Axes {
        /// Which tensor.
        what: &'static str,
        /// The number of axes that are needed.
        expected: usize,
        /// The tensor's shape.
        found: Vec<i64>,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Version { .. } => {
                "unset LD_LIBRARY_PATH, or rebuild with LIBTORCH pointing at the LibTorch you want"
            }
            Self::UnknownDevice { .. } => "write `cpu`, `cuda`, or `cuda:N`, for example `device = cuda:0`",
            Self::NoCuda { .. } => {
                "`cargo xtask libtorch --cuda` gets a LibTorch with CUDA; `device = cpu` always works"
            }
            Self::Axes { .. } => "add or remove an axis, for example with `unsqueeze` or `squeeze`",
        };
        Some(hint.to_owned())
    }
}

/// The LibTorch release this crate was compiled against, for example `2.13.0`.
pub const BUILT_FOR: &str = env!("TORCH_RUNTIME_BUILT_FOR");

/// The release of the LibTorch in memory, for example `2.13.0`; empty if it does not say.
pub fn loaded_version() -> String {
    let version = foreign(Question::Version);
    version.split('+').next().unwrap_or_default().to_owned()
}

/// The instruction set that LibTorch's kernels use on this machine, for example `AVX512`: results differ in their last
/// bits from one to another.
pub fn cpu_capability() -> String {
    foreign(Question::CpuCapability)
}

#[derive(Clone, Copy)]
enum Question {
    Version,
    CpuCapability,
}

#[cfg(feature = "doc-only")]
fn foreign(_: Question) -> String {
    String::new()
}

/// Asks config.cpp.
#[cfg(not(feature = "doc-only"))]
fn foreign(question: Question) -> String {
    #[allow(unsafe_code)] // declared in config.cpp as they are here
    unsafe extern "C" {
        fn torch_runtime_version() -> *const std::ffi::c_char;
        fn torch_runtime_cpu_capability() -> *const std::ffi::c_char;
    }
    #[allow(unsafe_code)]
    // SAFETY: both return a NUL-terminated string that lives as long as the program.
    let text = unsafe {
        CStr::from_ptr(match question {
            Question::Version => torch_runtime_version(),
            Question::CpuCapability => torch_runtime_cpu_capability(),
        })
    };
    text.to_string_lossy().into_owned()
}

/// Refuses a LibTorch that is not the one this program was compiled for. Cheap after the first time.
///
/// # Errors
/// [`Error::Version`] with both versions.
pub fn check() -> Result<(), Error> {
    static LOADED: OnceLock<String> = OnceLock::new();
    let loaded = LOADED.get_or_init(loaded_version).clone();
    if loaded == BUILT_FOR { Ok(()) } else { Err(Error::Version { built_for: BUILT_FOR.to_owned(), loaded }) }
}

/// Checks LibTorch and turns a device name (`cpu`, `cuda`, `cuda:N`) into a device, loading CUDA if it is asked for.
///
/// # Errors
/// A wrong LibTorch, an unknown name, or no such CUDA device.
pub fn open(name: &str) -> Result<Device, Error> {
    let index = match name {
        "cpu" => return check().map(|()| Device::Cpu),
        "cuda" => 0,
        other => other
            .strip_prefix("cuda:")
            .and_then(|n| n.parse::<usize>().ok())
            .ok_or_else(|| Error::UnknownDevice { name: name.to_owned() })?,
    };
    let no_cuda = |reason: String| Error::NoCuda { name: name.to_owned(), reason };
    load_cuda().map_err(no_cuda)?; // before any other call into LibTorch
    check()?;
    let devices = Cuda::device_count();
    if index as i64 >= devices {
        return Err(no_cuda(format!("LibTorch sees {devices} CUDA devices")));
    }
    Ok(Device::Cuda(index))
}

/// Brings `libtorch_cuda.so` into the process. rustc links with `--as-needed`, so no Rust program names it,
/// and the first question about CUDA before this call would settle on "none" for good.
fn load_cuda() -> Result<(), String> {
    #[cfg(all(unix, not(feature = "doc-only")))]
    {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        #[allow(unsafe_code)]
        // SAFETY: LibTorch's own library; its initializers are what every PyTorch program runs.
        let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
        std::mem::forget(library.map_err(|e| format!("libtorch_cuda.so does not load ({e})"))?);
    }
    if Cuda::is_available() { Ok(()) } else { Err("LibTorch finds no CUDA device".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linked_library_is_the_one_built_for() {
        check().expect("LibTorch of .libtorch");
        assert!(!loaded_version().is_empty());
        assert!(!cpu_capability().is_empty());
    }

    #[test]
    fn device_names() {
        assert_eq!(open("cpu").expect("cpu"), Device::Cpu);
        for bad in ["", "gpu", "cuda:", "cuda:x", "CPU", "cuda:-1"] {
            assert!(matches!(open(bad), Err(Error::UnknownDevice { .. })), "{bad}");
        }
    }
}

//! NCCL's C functions, out of the libraries that CUDA brings: LibTorch's headers for it need CUDA's.
//!
//! What is declared here is NCCL's C interface (`nccl.h`, version 2) and three functions of CUDA's runtime.

use std::error::Error as _;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::Error;

/// Bytes of a unique id.
pub(super) const ID: usize = 128;
/// `ncclSuccess` and `cudaSuccess`.
pub(super) const SUCCESS: c_int = 0;
/// `ncclInProgress`: no error.
const IN_PROGRESS: c_int = 7;
/// `RTLD_NOLOAD`: what is in memory already, or nothing.
const NO_LOAD: c_int = 4;

/// `ncclUniqueId`, which is passed by value.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct UniqueId(pub(super) [u8; ID]);

pub(super) type Comm = *mut c_void;
pub(super) type Stream = *mut c_void;

pub(super) type Code = c_int;

/// The functions, as `nccl.h` and `cuda_runtime_api.h` declare them.
pub(super) struct Functions {
    pub(super) version: unsafe extern "C" fn(*mut c_int) -> Code,
    pub(super) unique_id: unsafe extern "C" fn(*mut UniqueId) -> Code,
    pub(super) init: unsafe extern "C" fn(*mut Comm, c_int, UniqueId, c_int) -> Code,
    pub(super) destroy: unsafe extern "C" fn(Comm) -> Code,
    pub(super) abort: unsafe extern "C" fn(Comm) -> Code,
    pub(super) async_error: unsafe extern "C" fn(Comm, *mut Code) -> Code,
    pub(super) error_string: unsafe extern "C" fn(Code) -> *const c_char,
    /// Since 2.13.
    pub(super) last_error: Option<unsafe extern "C" fn(Comm) -> *const c_char>,
    pub(super) all_reduce:
        unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, Comm, Stream) -> Code,
    pub(super) broadcast:
        unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, Comm, Stream) -> Code,
    pub(super) all_gather:
        unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, Comm, Stream) -> Code,
    pub(super) send: unsafe extern "C" fn(*const c_void, usize, c_int, c_int, Comm, Stream) -> Code,
    pub(super) receive: unsafe extern "C" fn(*mut c_void, usize, c_int, c_int, Comm, Stream) -> Code,
    pub(super) group_start: unsafe extern "C" fn() -> Code,
    pub(super) group_end: unsafe extern "C" fn() -> Code,
    pub(super) set_device: unsafe extern "C" fn(c_int) -> Code,
    pub(super) stream_query: unsafe extern "C" fn(Stream) -> Code,
    pub(super) cuda_error: unsafe extern "C" fn(Code) -> *const c_char,
}

/// NCCL and CUDA's runtime, in memory.
pub struct Nccl {
    pub(super) functions: Functions,
    /// Functions are of these.
    _libraries: Vec<Library>,
}

impl Nccl {
    /// The libraries that LibTorch's CUDA brought into memory ([`open`](crate::open) does that), or else NCCL where the system
    /// finds it.
    ///
    /// # Errors
    /// [`Error::NoNccl`] with what is missing.
    pub fn load() -> Result<Arc<Self>, Error> {
        // One CUDA runtime is in the process, which must be the one that LibTorch uses: no other is opened.
        let there = |name| open(Path::new(name), RTLD_NOW | NO_LOAD).ok();
        let runtimes = ["libcudart.so.13", "libcudart.so.12"].into_iter().filter_map(there);
        let mut libraries: Vec<Library> = std::iter::once(Library::this()).chain(runtimes).collect();
        let nccl = open(Path::new("libnccl.so.2"), RTLD_NOW | RTLD_LOCAL);
        let problem = nccl.as_ref().err().cloned();
        libraries.extend(nccl);
        Self::of(libraries).map_err(|missing| match problem {
            Some(problem) => no_nccl(format!("{missing} ({problem})")),
            None => no_nccl(missing),
        })
    }

    /// NCCL and CUDA's runtime out of files.
    ///
    /// # Errors
    /// [`Error::NoNccl`] with what is missing.
    pub fn load_from(files: &[&Path]) -> Result<Arc<Self>, Error> {
        let open = |path: &&Path| open(path, RTLD_NOW | RTLD_LOCAL).map_err(no_nccl);
        Self::of(files.iter().map(open).collect::<Result<_, _>>()?).map_err(no_nccl)
    }

    fn of(libraries: Vec<Library>) -> Result<Arc<Self>, String> {
        let find = Find(&libraries);
        let functions = Functions {
            version: find.function("ncclGetVersion")?,
            unique_id: find.function("ncclGetUniqueId")?,
            init: find.function("ncclCommInitRank")?,
            destroy: find.function("ncclCommDestroy")?,
            abort: find.function("ncclCommAbort")?,
            async_error: find.function("ncclCommGetAsyncError")?,
            error_string: find.function("ncclGetErrorString")?,
            last_error: find.function("ncclGetLastError").ok(),
            all_reduce: find.function("ncclAllReduce")?,
            broadcast: find.function("ncclBroadcast")?,
            all_gather: find.function("ncclAllGather")?,
            send: find.function("ncclSend")?,
            receive: find.function("ncclRecv")?,
            group_start: find.function("ncclGroupStart")?,
            group_end: find.function("ncclGroupEnd")?,
            set_device: find.function("cudaSetDevice")?,
            stream_query: find.function("cudaStreamQuery")?,
            cuda_error: find.function("cudaGetErrorString")?,
        };
        Ok(Arc::new(Self { functions, _libraries: libraries }))
    }

    /// Its version, for example `2.27.5`.
    ///
    /// # Errors
    /// What NCCL says.
    pub fn version(&self) -> Result<String, Error> {
        let mut number = 0;
        #[allow(unsafe_code)]
        // SAFETY: writes one number.
        self.checked("version", 0, None, unsafe { (self.functions.version)(&raw mut number) })?;
        Ok(format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100))
    }

    pub(super) fn unique_id(&self) -> Result<UniqueId, Error> {
        let mut id = UniqueId([0; ID]);
        #[allow(unsafe_code)]
        // SAFETY: writes an id's bytes.
        self.checked("unique id", 0, None, unsafe { (self.functions.unique_id)(&raw mut id) })?;
        Ok(id)
    }

    /// A result as a value; with the text of the error, and of its cause where NCCL knows one.
    pub(super) fn checked(
        &self,
        operation: &'static str,
        rank: usize,
        comm: Option<Comm>,
        code: Code,
    ) -> Result<(), Error> {
        if code == SUCCESS || code == IN_PROGRESS {
            return Ok(());
        }
        #[allow(unsafe_code)]
        // SAFETY: takes any number, and gives a text that lives as long as the library.
        let mut problem = text(unsafe { (self.functions.error_string)(code) });
        if let Some(last) = self.functions.last_error {
            #[allow(unsafe_code)]
            // SAFETY: takes a communicator or none; the text lives until the next error.
            let last = text(unsafe { last(comm.unwrap_or(std::ptr::null_mut())) });
            if !last.trim().is_empty() {
                problem = format!("{problem}: {}", last.trim());
            }
        }
        Err(Error::Exchange { operation, rank, problem: format!("NCCL says: {problem}") })
    }
}

impl fmt::Debug for Nccl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nccl").finish_non_exhaustive()
    }
}

fn open(name: &Path, flags: c_int) -> Result<Library, String> {
    #[allow(unsafe_code)]
    // SAFETY: CUDA's own libraries; their initializers are what every program runs that uses GPUs.
    let opened = unsafe { Library::open(Some(name), flags) };
    // What the system says is its source.
    opened.map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string))
}

fn no_nccl(problem: String) -> Error {
    Error::NoNccl { problem }
}

/// Functions by their names, in the first library that has one.
struct Find<'l>(&'l [Library]);

impl Find<'_> {
    fn function<T: Copy>(&self, name: &str) -> Result<T, String> {
        let found = self.0.iter().find_map(|library| {
            #[allow(unsafe_code)]
            // SAFETY: `Functions` declares each as its header does, and keeps the library.
            unsafe { library.get::<T>(name.as_bytes()) }.ok().map(|symbol| *symbol)
        });
        found.ok_or_else(|| format!("no library in memory has `{name}`"))
    }
}

pub(super) fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    #[allow(unsafe_code)]
    // SAFETY: NUL-terminated, and not changed meanwhile.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

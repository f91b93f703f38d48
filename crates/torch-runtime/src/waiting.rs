//! How LibTorch's threads wait for each other.
//!
//! LibTorch computes with OpenMP, whose threads spin while they wait: a few microseconds are won on a machine that has
//! nothing else to do, and where other programs want the cores, products wait until a thread that only spins has used up its
//! time. With `OMP_WAIT_POLICY=passive` they sleep. libgomp, which comes with LibTorch, reads the variable when it is loaded
//! and has no call to change it later, so it must be in the environment when the program starts: put there by the user, or
//! by [`wait_passively!`](crate::wait_passively) in a program's own source. A library cannot do that for a program that
//! uses it. Results are the same bits either way.

/// Makes a program wait passively: it starts itself once more with `OMP_WAIT_POLICY=passive`, unless the user has set that
/// variable or `GOMP_SPINCOUNT`. Stands once in the program's main source file, outside of functions.
///
/// ```
/// torch_runtime::wait_passively!();
///
/// fn main() {
///     // As ever.
/// }
/// ```
///
/// It happens before LibTorch's constructors run and costs the time of finding libraries (about 30 ms), not of starting
/// LibTorch (200 ms). The process stays the same: its id, arguments, open files, signals and exit code. Where it cannot be
/// started again, it goes on as it is; so it does on other systems than Linux with glibc. Tools that watch one program from
/// its start (valgrind) may lose sight of it: set the variable for them.
#[macro_export]
macro_rules! wait_passively {
    () => {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        const _: () = {
            // The loader calls what stands in this section of a program before the constructors of its libraries.
            #[allow(unsafe_code)]
            #[used]
            #[unsafe(link_section = ".preinit_array")]
            static BEFORE_CONSTRUCTORS: $crate::waiting::Start = $crate::waiting::start_again;
        };
    };
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub use start::{Start, start_again};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod start {
    use std::ffi::{CStr, CString, c_char, c_int, c_ulong};
    use std::fs;
    use std::os::unix::ffi::OsStringExt as _;
    use std::os::unix::fs::MetadataExt as _;

    /// What the loader calls before constructors, with the program's arguments and variables.
    pub type Start = unsafe extern "C" fn(c_int, *const *const c_char, *const *const c_char);

    /// Variables by which a user says how threads wait: OpenMP's own and libgomp's.
    const CHOSEN: [&[u8]; 2] = [b"OMP_WAIT_POLICY=", b"GOMP_SPINCOUNT="];
    const PASSIVE: &CStr = c"OMP_WAIT_POLICY=passive";
    /// Set to the process's id where it was started once more, so that nothing can make it start for ever.
    const AGAIN: &str = "TORCH_RUNTIME_STARTED_AGAIN=";
    /// The program, also where its file was removed or replaced.
    const SELF: &CStr = c"/proc/self/exe";
    /// What the kernel says about a process (`getauxval(3)`): where its interpreter is, which is 0 where the interpreter was
    /// called by hand with the program's name; and whether it has more rights than who started it.
    const AT_BASE: c_ulong = 7;
    const AT_SECURE: c_ulong = 23;

    #[allow(unsafe_code)] // libc's, which every program here links
    unsafe extern "C" {
        fn execve(
            path: *const c_char,
            arguments: *const *const c_char,
            variables: *const *const c_char,
        ) -> c_int;
        fn getauxval(kind: c_ulong) -> c_ulong;
    }

    /// Replaces this process by the same program with [`PASSIVE`] in its environment. Returns where that is not wanted or not
    /// possible. For [`wait_passively!`](crate::wait_passively) alone.
    ///
    /// libc is not set up yet: its `environ` is empty, and so is what the standard library reads from it. Not by
    /// `std::process::Command`: it would unblock the signals that whoever started us has blocked.
    ///
    /// # Safety
    /// The lists are of texts that end in NUL, and end in a null pointer themselves.
    #[doc(hidden)]
    #[allow(unsafe_code)]
    pub unsafe extern "C" fn start_again(
        _: c_int,
        arguments: *const *const c_char,
        variables: *const *const c_char,
    ) {
        // SAFETY: as promised by the caller, the loader.
        let given = unsafe { list(variables) };
        let again = format!("{AGAIN}{}", std::process::id());
        // SAFETY: it reads what the kernel wrote down for this process.
        let (interpreter, secure) = unsafe { (getauxval(AT_BASE), getauxval(AT_SECURE)) };
        let chosen = given.iter().any(|text| CHOSEN.iter().any(|name| text.to_bytes().starts_with(name)));
        let was_again = given.iter().any(|text| text.to_bytes() == again.as_bytes());
        if chosen || was_again || interpreter == 0 || secure != 0 {
            return;
        }
        let Ok(again) = CString::new(again) else { return };
        let kept = given.iter().copied().filter(|text| !text.to_bytes().starts_with(AGAIN.as_bytes()));
        let kept = kept.chain([PASSIVE, &again]).map(CStr::as_ptr);
        let variables: Vec<*const c_char> = kept.chain([std::ptr::null()]).collect();
        let named = named();
        let path = named.as_deref().unwrap_or(SELF);
        // SAFETY: texts and lists as above, which live until the call returns; it does so only where it fails.
        unsafe {
            execve(path.as_ptr(), arguments, variables.as_ptr());
        }
    }

    /// The program by its file's name, so that it keeps it in lists of processes, if that still leads to it.
    fn named() -> Option<CString> {
        let this = SELF.to_str().ok()?;
        let path = fs::read_link(this).ok()?;
        let (named, running) = (fs::metadata(&path).ok()?, fs::metadata(this).ok()?);
        let same = named.dev() == running.dev() && named.ino() == running.ino();
        CString::new(path.into_os_string().into_vec()).ok().filter(|_| same)
    }

    /// # Safety
    /// As [`start_again`].
    #[allow(unsafe_code)]
    unsafe fn list<'a>(mut next: *const *const c_char) -> Vec<&'a CStr> {
        let mut texts = Vec::new();
        // SAFETY: the list ends in a null pointer, before which this stops, and its texts end in NUL.
        unsafe {
            while !next.is_null() && !(*next).is_null() {
                texts.push(CStr::from_ptr(*next));
                next = next.add(1);
            }
        }
        texts
    }
}

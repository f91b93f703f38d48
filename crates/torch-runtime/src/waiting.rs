//! How LibTorch's threads wait for each other.
//!
//! LibTorch computes with OpenMP, whose threads spin while they wait: a few microseconds are won on a machine that has
//! nothing else to do, and where other programs want the cores, every product waits until a thread that only spins has used
//! up its time. `OMP_WAIT_POLICY=passive` makes them sleep. libgomp, which comes with LibTorch, reads the variable when it is
//! loaded, before `main` and before any constructor of a program's own, and has no call to change it later. So a program
//! that wants it starts itself once more with the variable set: [`wait_passively`]. A library cannot do that for its user;
//! set the variable in the environment, or call this at the beginning of `main`.
//!
//! Results are the same bits either way.

/// Variables by which a user says how threads wait: OpenMP's own and libgomp's.
#[cfg(target_os = "linux")]
const CHOSEN: [&str; 2] = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"];

/// Set to the process's id when it was started once more, so that nothing can make it start for ever.
#[cfg(target_os = "linux")]
const AGAIN: &str = "TORCH_RUNTIME_STARTED_AGAIN";

/// Starts this program once more with `OMP_WAIT_POLICY=passive`, unless the user has set that variable or `GOMP_SPINCOUNT`.
///
/// Call it at the beginning of `main`, before threads are started and standard input is read. The process stays the same:
/// its id, arguments, open files, signals and exit code. Where it cannot be started again this returns and changes nothing;
/// so it does where the system is not Linux. Tools that watch one program (valgrind) may lose sight of it: set the variable
/// for them.
pub fn wait_passively() {
    #[cfg(target_os = "linux")]
    {
        let process = std::process::id().to_string();
        let chosen = CHOSEN.iter().any(|name| std::env::var_os(name).is_some());
        let again = std::env::var_os(AGAIN).is_some_and(|value| value == *process);
        if !chosen && !again {
            start::again(&[(CHOSEN[0], "passive"), (AGAIN, &process)]);
        }
    }
}

#[cfg(target_os = "linux")]
mod start {
    use std::ffi::{CString, OsString, c_char, c_int, c_ulong};
    use std::fs;
    use std::os::unix::ffi::OsStringExt as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::PathBuf;

    /// The program, also where its file was removed or replaced.
    const SELF: &str = "/proc/self/exe";
    /// Where the program's interpreter is in memory (`getauxval(3)`): 0 where that was called by hand, with the program's name.
    const AT_BASE: c_ulong = 7;

    #[allow(unsafe_code)] // libc's, which every program here links
    unsafe extern "C" {
        fn execve(
            path: *const c_char,
            arguments: *const *const c_char,
            variables: *const *const c_char,
        ) -> c_int;
        fn getauxval(kind: c_ulong) -> c_ulong;
    }

    /// Replaces this process by the same program with these variables more. Returns where that is not possible.
    ///
    /// Not by `std::process::Command`: it would unblock the signals that whoever started us has blocked.
    pub(super) fn again(more: &[(&str, &str)]) {
        #[allow(unsafe_code)]
        // SAFETY: it reads what the kernel wrote down for this process.
        let interpreter = unsafe { getauxval(AT_BASE) };
        if interpreter == 0 {
            return; // /proc/self/exe is the interpreter
        }
        let variable = |(name, value): (OsString, OsString)| [name, value].join("=".as_ref());
        let without = std::env::vars_os().filter(|(name, _)| !more.iter().any(|(new, _)| name == new));
        let added = more.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let (Some(path), Some(arguments), Some(variables)) = (
            list([path().into_os_string()]),
            list(std::env::args_os()),
            list(without.chain(added).map(variable)),
        ) else {
            return;
        };
        let (arguments, variables) = (pointers(&arguments), pointers(&variables));
        #[allow(unsafe_code)]
        // SAFETY: texts and lists that end in NUL and live until the call returns, which it does only where it fails.
        unsafe {
            execve(path[0].as_ptr(), arguments.as_ptr(), variables.as_ptr());
        }
    }

    /// By its name, so that it keeps it in lists of processes, if that still leads to it.
    fn path() -> PathBuf {
        let same = |path: &PathBuf| {
            let (named, running) = (fs::metadata(path).ok()?, fs::metadata(SELF).ok()?);
            (named.dev() == running.dev() && named.ino() == running.ino()).then_some(())
        };
        fs::read_link(SELF).ok().filter(|path| same(path).is_some()).unwrap_or_else(|| SELF.into())
    }

    fn list(texts: impl IntoIterator<Item = OsString>) -> Option<Vec<CString>> {
        texts.into_iter().map(|text| CString::new(text.into_vec()).ok()).collect()
    }

    fn pointers(texts: &[CString]) -> Vec<*const c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    }
}

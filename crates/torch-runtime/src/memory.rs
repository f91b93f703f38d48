//! What becomes of memory that tensors no longer need.

/// Keeps memory that the main thread's tensors free in the process for the next one, where otherwise it would go back to the system and come again as
/// empty pages. For programs, once at their start; a library does not decide that for the program that uses it.
///
/// A forward pass frees and takes the same few sizes in every block. glibc takes memory of 32 MiB and more from the system
/// each time, and gives back what is free at the end of its heap; the kernel clears every page that it hands out. On 32
/// pairs of `BoolQ` and `SmolLM2` in f32, that was 1,156,000 page faults and 2.7 of 16.1 seconds of computing; with memory kept
/// it is 303,000 and 1.1, where loading the model takes the most. The most memory in use grew from 961 to 1,092 MB
/// (Intel Xeon, family 6 model 207, `avx512_bf16`, no AMX; beside other work).
///
/// What a user has set by glibc's own variables (`mallopt(3)`) holds. Returns whether anything was changed: only on Linux with
/// glibc.
pub fn keep_freed() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let set = |name: &str| std::env::var_os(name).unwrap_or_default();
        let chosen =
            ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"].iter().any(|name| !set(name).is_empty())
                || set("GLIBC_TUNABLES").to_string_lossy().contains("glibc.malloc.");
        !chosen && glibc::keep()
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::c_int;

    /// Of malloc.h: how much may be free at the heap's end, and from which size on memory comes from the system.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_MMAP_THRESHOLD: c_int = -3;

    #[allow(unsafe_code)] // glibc's, which every program here links
    unsafe extern "C" {
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }

    /// 32 MiB is what glibc itself raises the second one to, as such tensors are freed, and the most that its older releases
    /// take. Larger tensors, weights above all, go back to the system as before: what is kept is cut up by alignment, and a
    /// few times its size may lie unused before neighbors are put together.
    pub(super) fn keep() -> bool {
        #[allow(unsafe_code)]
        // SAFETY: it sets two numbers, under the allocator's lock.
        unsafe {
            mallopt(M_MMAP_THRESHOLD, 32 << 20) == 1 && mallopt(M_TRIM_THRESHOLD, c_int::MAX) == 1
        }
    }
}

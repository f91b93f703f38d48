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
    return !is_chosen() && glibc::keep();
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

/// Gives large memory back to the system when it is freed, where otherwise it would stay with the thread that took it. For
/// programs whose threads take and free large tensors of many sizes; once at their start.
///
/// glibc learns from the first large tensor that is freed to keep such memory, up to 32 MiB a piece, and every thread keeps its
/// own, cut up by smaller pieces. A short fit of 100,000 pairs of 64 dimensions took 3.4 GB so, and 0.9 GB where pieces of 4 MiB
/// and more were given back (Intel Xeon, two cores); with the 12 MiB that are set here it was not measured.
///
/// What a user has set holds, and the answer is as of [`keep_freed`].
pub fn give_back_large() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    return !is_chosen() && glibc::give_back();
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    false
}

/// Whether the user has set what becomes of memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn is_chosen() -> bool {
    let set = |name: &str| std::env::var_os(name).unwrap_or_default();
    ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"].iter().any(|name| !set(name).is_empty())
        || set("GLIBC_TUNABLES").to_string_lossy().contains("glibc.malloc.")
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

    /// A size that is set is not learned any more. Below it memory is kept: pages that come anew must be cleared.
    pub(super) fn give_back() -> bool {
        #[allow(unsafe_code)]
        // SAFETY: it sets a number, under the allocator's lock.
        unsafe {
            mallopt(M_MMAP_THRESHOLD, 12 << 20) == 1
        }
    }
}

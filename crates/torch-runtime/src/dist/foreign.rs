//! What c10d/shim.cpp offers, and its messages as values.

use std::ffi::{CStr, c_char, c_int, c_void};

use torch_sys::C_tensor;

/// A `c10::intrusive_ptr<c10d::Store>` on the heap.
pub(super) type StorePtr = *mut c_void;
/// A `c10::intrusive_ptr<c10d::ProcessGroupGloo>` on the heap.
pub(super) type GroupPtr = *mut c_void;
/// Null, or a message from `malloc`.
pub(super) type Problem = *mut c_char;

#[allow(unsafe_code)] // declared in shim.cpp as they are here
unsafe extern "C" {
    pub(super) fn torch_runtime_store_connect(
        host: *const c_char,
        port: c_int,
        serve: bool,
        timeout: i64,
        store: *mut StorePtr,
    ) -> Problem;
    pub(super) fn torch_runtime_store_prefixed(
        store: StorePtr,
        prefix: *const c_char,
        prefixed: *mut StorePtr,
    ) -> Problem;
    pub(super) fn torch_runtime_store_free(store: StorePtr);
    pub(super) fn torch_runtime_store_set(
        store: StorePtr,
        key: *const c_char,
        value: *const u8,
        size: usize,
    ) -> Problem;
    pub(super) fn torch_runtime_store_check(store: StorePtr, key: *const c_char, there: *mut bool)
    -> Problem;
    pub(super) fn torch_runtime_store_get(
        store: StorePtr,
        key: *const c_char,
        value: *mut *mut u8,
        size: *mut usize,
    ) -> Problem;
    pub(super) fn torch_runtime_store_add(
        store: StorePtr,
        key: *const c_char,
        by: i64,
        sum: *mut i64,
    ) -> Problem;
    pub(super) fn torch_runtime_group_new(
        store: StorePtr,
        rank: c_int,
        size: c_int,
        address: *const c_char,
        timeout: i64,
        group: *mut GroupPtr,
    ) -> Problem;
    pub(super) fn torch_runtime_group_free(group: GroupPtr);
    pub(super) fn torch_runtime_group_sum(group: GroupPtr, tensor: *const C_tensor) -> Problem;
    pub(super) fn torch_runtime_group_broadcast(
        group: GroupPtr,
        tensor: *const C_tensor,
        from: c_int,
    ) -> Problem;
    pub(super) fn torch_runtime_group_gather(
        group: GroupPtr,
        tensor: *const C_tensor,
        all: *const C_tensor,
    ) -> Problem;
    pub(super) fn torch_runtime_group_send(
        group: GroupPtr,
        tensor: *const C_tensor,
        to: c_int,
        tag: c_int,
    ) -> Problem;
    pub(super) fn torch_runtime_group_receive(
        group: GroupPtr,
        tensor: *const C_tensor,
        from: c_int,
        tag: c_int,
    ) -> Problem;
    pub(super) fn torch_runtime_group_barrier(group: GroupPtr) -> Problem;
    #[cfg(test)]
    fn torch_runtime_throw(kind: c_int) -> Problem;
    pub(super) fn free(memory: *mut c_void);
}

/// Takes a message over.
pub(super) fn checked(problem: Problem) -> Result<(), String> {
    if problem.is_null() {
        return Ok(());
    }
    #[allow(unsafe_code)]
    // SAFETY: NUL-terminated, from malloc, and nobody else's.
    let text = unsafe {
        let text = CStr::from_ptr(problem).to_string_lossy().into_owned();
        free(problem.cast());
        text
    };
    // c10d adds where in its source it happened.
    let lines = text.lines().filter(|line| !line.starts_with("Exception raised from"));
    Err(lines.collect::<Vec<_>>().join(" ").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_thrown_arrives_as_a_value() {
        for (kind, says) in [(0, "no exception"), (1, "a runtime error"), (2, "a check of LibTorch")] {
            #[allow(unsafe_code)]
            // SAFETY: takes any number.
            let error = checked(unsafe { torch_runtime_throw(kind) }).expect_err("thrown");
            assert!(error.contains(says) && !error.contains("frame #"), "{error}");
        }
    }
}

//! Turns panics of a library into errors. Our programs' panic hook prints nothing for these panics; it reports every
//! other one as a defect.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// The result of `work`, or `None` if it panics on this thread. For decoders that panic on damaged files: their partial
/// results are lost with the panic, so no one sees them.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = EXPECTED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(before);
    done.ok()
}

/// Whether a panic on this thread would be [caught].
#[cfg(feature = "program")]
pub(crate) fn are_expected() -> bool {
    EXPECTED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_nothing_and_later_panics_are_not_expected() {
        assert_eq!(caught(|| 1), Some(1));
        assert_eq!(caught(|| caught(|| Vec::<u8>::new()[0])), Some(None));
        assert_eq!(caught(|| Vec::<u8>::new()[0]), None);
        assert!(!EXPECTED.get());
    }
}

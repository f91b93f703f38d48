//! Who hears of a download.

use std::ops::ControlFlow;

/// Hears how far a download is. `()` hears nothing.
///
/// ```
/// use hub::Observer;
/// use std::ops::ControlFlow;
///
/// struct Percent(u64);
///
/// impl Observer for Percent {
///     fn bytes(&mut self, done: u64, total: u64) -> ControlFlow<()> {
///         self.0 = 100 * done / total.max(1);
///         ControlFlow::Continue(())
///     }
/// }
/// # assert!(Percent(0).bytes(1, 2).is_continue());
/// ```
pub trait Observer {
    /// Bytes that are there, of those that are needed; what an earlier run left counts as done. The total grows when an
    /// index has named further files. [`ControlFlow::Break`] stops the download, and the next one continues it.
    fn bytes(&mut self, done: u64, total: u64) -> ControlFlow<()> {
        let _ = (done, total);
        ControlFlow::Continue(())
    }

    /// Something that a person should know: why it is waited, what is downloaded once more.
    fn notice(&mut self, text: &str) {
        let _ = text;
    }
}

impl Observer for () {}

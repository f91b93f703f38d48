//! Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a command that Ctrl-C stopped.
pub(super) const INTERRUPTED: u8 = 130;

static STOP: AtomicBool = AtomicBool::new(false);

/// A flag that the first Ctrl-C sets; the second ends the program without waiting.
pub(super) fn on_interrupt() -> Result<&'static AtomicBool, ctrlc::Error> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
    })?;
    Ok(&STOP)
}

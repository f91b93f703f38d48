//! A stack that sources and values can nest in. The engine reads, runs and drops a template by recursion: what a source
//! of the longest length, or a rendering's work, can nest is deeper than a thread's usual stack.

use std::cell::Cell;
use std::io;

/// Reserved, not used: a page of it takes memory when it is reached.
const STACK: usize = 1 << 30;

thread_local! {
    static DEEP: Cell<bool> = const { Cell::new(false) };
}

/// Does the work on a thread with a deep stack; on this one, if it has it.
///
/// # Errors
/// A thread that cannot start.
pub fn deeply<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    if DEEP.get() {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let deep = || {
            DEEP.set(true);
            work()
        };
        let thread = std::thread::Builder::new().name("template".to_owned()).stack_size(STACK);
        thread.spawn_scoped(scope, deep)?.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}

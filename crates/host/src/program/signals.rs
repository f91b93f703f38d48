//! Signals: Ctrl-C (SIGINT), SIGTERM of launchers and `kill`, SIGHUP of a terminal that closes.
//!
//! A command ends at once, until it says that it has work to bring to an end: from then on the first signal asks for that,
//! and a second ends it at once. Launchers kill what does not end, so after SIGTERM and SIGHUP the program ends by itself
//! after ten seconds, done or not. The exit code is 128 and the signal's number, as shells give it: 130, 143, 129.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals as Incoming;

use super::output;
use crate::threads;

/// How long work may take to end after SIGTERM; a little less than the ten seconds that are promised.
const DRAIN: Duration = Duration::from_millis(9500);
/// How often a second signal is looked for.
const POLL: Duration = Duration::from_millis(20);

/// What the program knows of signals.
#[derive(Debug, Default)]
pub struct Signals {
    known: Arc<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// There is work to bring to an end.
    drains: AtomicBool,
    /// It was asked for.
    stop: AtomicBool,
    /// The first signal, or 0.
    first: AtomicI32,
}

impl Signals {
    /// Listens, from a thread of its own. A file that grows too large (SIGXFSZ) is an error of the write from here on, and
    /// not the end of the program.
    ///
    /// # Errors
    /// No thread, or no handler, can be had.
    pub fn listen() -> io::Result<Self> {
        let signals = Self::default();
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        let heeded = [SIGINT, SIGTERM].into_iter().chain((!ignored(SIGHUP)).then_some(SIGHUP));
        let incoming = Incoming::new(heeded)?;
        let known = Arc::clone(&signals.known);
        threads::spawn("signals", move || known.heed(incoming))?;
        Ok(signals)
    }

    /// From here on there is work to bring to an end: the flag says when.
    pub fn drains(&self) -> &AtomicBool {
        self.known.drains.store(true, Ordering::SeqCst);
        &self.known.stop
    }

    /// The flag alone, where [`drains`](Self::drains) is called later.
    pub fn stop(&self) -> &AtomicBool {
        &self.known.stop
    }

    /// The exit code of a program that a signal stopped; Ctrl-C's, where there was none.
    pub fn exit_code(&self) -> u8 {
        match self.known.first.load(Ordering::SeqCst) {
            0 => code(SIGINT) as u8,
            signal => code(signal) as u8,
        }
    }
}

impl Known {
    fn heed(&self, mut incoming: Incoming) {
        let Some(first) = incoming.forever().next() else { return };
        if !self.drains.load(Ordering::SeqCst) {
            leave(first);
        }
        self.first.store(first, Ordering::SeqCst);
        self.stop.store(true, Ordering::SeqCst);
        let until = (first != SIGINT).then(|| Instant::now() + DRAIN);
        loop {
            if incoming.pending().next().is_some() {
                leave(first);
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                output::warn("what was under way is given up: ten seconds have passed since the signal");
                leave(first);
            }
            std::thread::sleep(POLL);
        }
    }
}

fn code(signal: i32) -> i32 {
    128 + signal
}

/// Ends the process now: other threads compute, and what runs at a usual exit would pull LibTorch away under them.
fn leave(signal: i32) -> ! {
    signal_hook::low_level::exit(code(signal))
}

/// Whether a signal was ignored when the program was started (`nohup`), which a handler would undo.
fn ignored(signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

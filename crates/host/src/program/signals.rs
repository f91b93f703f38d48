//! Signals: Ctrl-C (SIGINT), SIGTERM of launchers and `kill`, SIGHUP of a terminal that closes.
//!
//! A signal ends a command at once, unless the command has said that it has work to finish. Then the first signal asks
//! it to stop, and a second one ends it at once. Launchers kill programs that do not end, so ten seconds after SIGTERM
//! or SIGHUP the program ends in any case. The exit code is 128 plus the signal's number, as in shells: 130, 143, 129.

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

/// The signals that the program has received.
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
    /// Listens on a thread of its own. From then on, a file that grows too large (SIGXFSZ) is a write error and does
    /// not end the program.
    ///
    /// # Errors
    /// The thread or a handler cannot be installed.
    pub fn listen() -> io::Result<Self> {
        let signals = Self::default();
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        let heeded = [SIGINT, SIGTERM].into_iter().chain((!ignored(SIGHUP)).then_some(SIGHUP));
        let incoming = Incoming::new(heeded)?;
        let known = Arc::clone(&signals.known);
        threads::spawn("signals", move || known.heed(incoming))?;
        Ok(signals)
    }

    /// Says that there is work to finish from now on. The returned flag is set when the work should stop.
    pub fn drains(&self) -> &AtomicBool {
        self.known.drains.store(true, Ordering::SeqCst);
        &self.known.stop
    }

    /// The same flag, without saying that there is work to finish; [`drains`](Self::drains) is called later.
    pub fn stop(&self) -> &AtomicBool {
        &self.known.stop
    }

    /// The exit code after a signal; that of Ctrl-C if there was none.
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

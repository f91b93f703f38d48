//! Who watches an extraction for the person at the terminal.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use host::program::{Bar, Signals};
use llama_ccs::Observer;
use llama_ccs::torch_runtime::program::Processes;

use super::hashing::Hashing;
use super::output;

/// A progress bar that signals stop.
pub(super) struct Watch<'a> {
    /// Of the process that has the store.
    bar: Option<Bar>,
    processes: &'a Processes,
    signals: &'a Signals,
    hashing: Hashing,
    /// Bytes of the store, once they are known.
    bytes: Option<u64>,
}

/// Bytes as people read them.
fn shown(bytes: u64) -> String {
    const UNITS: [(&str, f64); 4] = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let unit = UNITS.into_iter().find(|(_, size)| bytes as f64 >= *size);
    unit.map_or_else(|| format!("{bytes} B"), |(name, size)| format!("{:.1} {name}", bytes as f64 / size))
}

/// Bytes of a store that are worth a line in a log, too.
const MUCH: u64 = 10 << 30;

impl<'a> Watch<'a> {
    pub(super) fn new(bar: Option<Bar>, signals: &'a Signals, processes: &'a Processes) -> Self {
        Self { bar, processes, signals, hashing: Hashing::default(), bytes: None }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.bar.iter().for_each(Bar::clear);
    }

    /// Bytes of the store, once they are known.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    pub(super) fn say(&self, text: &str) {
        self.bar.iter().for_each(|bar| bar.say(text));
    }
}

impl Observer for Watch<'_> {
    fn store(&mut self, bytes: u64) {
        self.bytes = Some(bytes);
        let text = format!("the store takes {} ({bytes} bytes)", shown(bytes));
        // In a pipe only what needs attention is said.
        match &self.bar {
            Some(bar) if bytes >= MUCH => bar.note(&text),
            _ => self.say(&text),
        }
    }

    fn rows(&mut self, done: usize, _total: usize) -> ControlFlow<()> {
        self.bar.iter().for_each(|bar| bar.set(done));
        // Before the first call there is nothing to bring to an end: plans are made and files are hashed.
        if self.signals.drains().load(Ordering::SeqCst) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn notice(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.warn(text),
            None => output::warn(&self.processes.signed(text)),
        }
    }

    fn hashing(&mut self, _done: u64, total: u64) {
        let bar = &self.bar;
        self.hashing.tell(total, |text| bar.iter().for_each(|bar| bar.say(text)));
    }
}

//! A progress bar on a terminal; nothing anywhere else.

use std::io::IsTerminal as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{text, threads};

/// How often the time left is shown anew.
const TICK: Duration = Duration::from_millis(250);

/// A progress bar on standard error, if that is a terminal. Several threads may update it.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    /// Its thread ends with it. indicatif's own panics where no thread can be started.
    _ticker: Option<Sender<()>>,
}

impl Bar {
    /// A bar of `steps` `things` (`12/30 layers`), with a message about what is being done.
    pub fn of(steps: usize, things: &str, message: &str) -> Self {
        let bar = Self::new(
            steps,
            &format!("{{msg:>12}} {{bar:32}} {{pos}}/{{len}} {things}  {{per_sec}}  {{eta}} left"),
        );
        bar.message(message);
        bar
    }

    /// A bar of `steps` steps, with a template of indicatif's.
    pub fn new(steps: usize, style: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden(), _ticker: None };
        }
        let bar = ProgressBar::new(steps as u64);
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let (ticker, ended) = channel::<()>();
        let ticked = bar.clone();
        let tick = move || {
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                ticked.tick();
            }
        };
        // Without it the bar moves with its steps alone.
        let ticker = threads::spawn("bar", tick).is_ok().then_some(ticker);
        Self { bar, _ticker: ticker }
    }

    /// Sets the number of finished steps.
    pub fn set(&self, done: usize) {
        self.bar.set_position(done as u64);
    }

    /// Adds one finished step.
    pub fn step(&self) {
        self.bar.inc(1);
    }

    /// Adds steps that are still to be done.
    pub fn more(&self, steps: usize) {
        self.bar.inc_length(steps as u64);
    }

    /// Sets the message about what is being done.
    pub fn message(&self, text: &str) {
        self.bar.set_message(text::shown(text).into_owned());
    }

    /// Prints a warning above the bar.
    pub fn warn(&self, text: &str) {
        self.bar.suspend(|| super::warn(text));
    }

    /// Prints a line above the bar, also where there is no terminal.
    pub fn note(&self, text: &str) {
        self.bar.suspend(|| super::note(text));
    }

    /// Prints a line above the bar, if there is a terminal.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| super::say(text));
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

//! What the commands say, and where: data on stdout, all talk on stderr.

use tracing_subscriber::filter::LevelFilter;

pub(crate) use host::program::{Bar, data, json, page, say, warn};

/// Shows on stderr what the libraries have to say: warnings, or with `verbose` every step.
pub(crate) fn listen(verbose: bool) {
    let level = if verbose { LevelFilter::DEBUG } else { LevelFilter::WARN };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| host::program::Stderr)
        .with_ansi(false) // what the terminal would obey is taken out, whosever it is
        .without_time()
        .with_target(false)
        .init();
}

/// A progress bar on a terminal, nothing in a pipe.
pub(crate) fn progress(total: usize, what: &str) -> Bar {
    Bar::of(total, "pairs", what)
}

//! For programs: one command by several processes.

#[cfg(not(all(unix, feature = "distributed")))]
#[path = "one.rs"]
mod several;
#[cfg(all(unix, feature = "distributed"))]
mod several;

pub use several::{Processes, RankArgs, exit_code, hint};

/// Whatever a command says.
type AnyError = Box<dyn std::error::Error>;

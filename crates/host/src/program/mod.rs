//! What our programs have in common: the command line, what they say and where, progress, signals.

mod arguments;
mod bar;
mod errors;
#[cfg(unix)]
pub mod launch;
mod output;
mod run;
mod signals;
mod values;

pub use crate::hint::Hinted;
pub use bar::Bar;
pub use errors::Errors;
pub use output::{Stderr, data, json, note, page, say, warn};
pub use run::{Program, fail_now, is_later_rank};
pub use signals::Signals;
pub use values::{at_least_one, time};

//! What a report says in sentences.

mod verdicts;

pub use verdicts::{FEWEST_GROUPS, Finding, Verdict, notes, verdicts};

//! What a report says in sentences: verdicts on the methods, caveats about the run.

mod caveats;
mod directions;
mod numbers;
mod places;
mod polarity;
mod reading;
mod strata;
mod verdicts;
mod within_layer;

pub use caveats::{FEWEST_GROUPS, TestRows, notes};
pub(crate) use directions::standing;
pub use polarity::turns_with_negation;
pub use reading::reading;
pub use verdicts::verdicts;

pub use crate::report::{Finding, Verdict};

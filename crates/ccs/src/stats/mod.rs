//! Statistics: how well scores agree with labels, how sure that is, and how rows are divided before it is asked.

pub mod calibrate;
pub mod clusters;
pub mod differences;
pub mod evaluation;
pub mod intervals;
pub mod metrics;
pub(crate) mod order;
pub mod select;
#[cfg(test)]
mod simulated;
pub mod split;
pub mod strata;
mod tails;

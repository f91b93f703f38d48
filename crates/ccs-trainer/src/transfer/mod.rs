//! A run's probes on data that they were not fitted on.

pub(crate) mod blank;
pub(crate) mod eval;
pub(crate) mod judge;
pub(crate) mod matrix;
pub(crate) mod sweep;

pub use judge::evaluation;

//! A run's probes on data that they were not fitted on.

pub(crate) mod blank;
pub(crate) mod control;
pub(crate) mod control_text;
pub(crate) mod datasets;
pub(crate) mod directions;
pub(crate) mod eligible;
pub(crate) mod eval;
pub(crate) mod evaluate;
pub(crate) mod fitted_run;
pub(crate) mod own_answers;
pub(crate) mod polarity;
pub(crate) mod quirky;
pub(crate) mod report;
pub(crate) mod table;
pub(crate) mod target;

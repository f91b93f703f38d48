//! What is looked at more closely at the layers that were chosen: calibration, templates, seeds, shuffled labels, further
//! directions.

mod controls;
pub(crate) mod look;
pub(crate) mod shuffled;

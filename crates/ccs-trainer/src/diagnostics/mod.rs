//! Diagnostics of every method at its chosen layer: calibration, templates, seeds, shuffled labels, further directions.

pub(crate) mod calibration;
pub(crate) mod directions;
pub(crate) mod found;
pub(crate) mod layer;
pub(crate) mod marks;
pub(crate) mod plane;
pub(crate) mod polarity;
pub(crate) mod projection;
pub(crate) mod recursive;
pub(crate) mod seeds;
pub(crate) mod several_layers;
pub(crate) mod shuffled;
pub(crate) mod strata;
pub(crate) mod templates;
pub(crate) mod token_places;
pub(crate) mod truth_plane;
pub(crate) mod within;

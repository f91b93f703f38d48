//! Probabilities at the chosen layers.

use serde::Serialize;

use super::scores::Parted;
use crate::figures::bars;
use crate::figures::palette::{class, method_ink};
use crate::method::Method;
use crate::numbers::decimal;
use crate::report::{Diagnostics, Report};

/// How calibrated a method's probabilities are.
#[derive(Debug, Serialize)]
pub(super) struct CalibrationView {
    method: String,
    class: &'static str,
    layer: usize,
    histogram: Option<String>,
    reliability: Option<String>,
    /// Before scaling, where there are probabilities before, and after.
    ece: Option<(Option<String>, String)>,
}

pub(super) fn calibrations(report: &Report) -> Parted<CalibrationView> {
    let of = |(&method, found): (&Method, &Diagnostics)| {
        let title = report.title(method);
        let (histogram, calibration) = (found.histogram.as_ref(), found.calibration.as_ref());
        let view = CalibrationView {
            method: title.clone(),
            class: class(method),
            layer: found.layer,
            histogram: histogram
                .map(|h| bars::histogram(h, method_ink(method), &format!("{title}: probabilities by label"))),
            reliability: calibration.map(|c| {
                bars::reliability(&c.reliability, method_ink(method), &format!("{title}: reliability diagram"))
            }),
            ece: calibration.map(|c| (c.ece_before.map(decimal), decimal(c.reliability.ece))),
        };
        (histogram.is_some() || calibration.is_some()).then_some((method, view))
    };
    Parted::new(report.diagnostics.iter().filter_map(of))
}

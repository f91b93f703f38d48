//! The loss of CCS.

use serde::Serialize;

use super::scores::terms;
use crate::method::Method;
use crate::numbers::{decimal, low_median_high};
use crate::report::{LayerReport, LossReport};

/// The loss at one layer.
#[derive(Debug, Serialize)]
pub(super) struct LossView {
    layer: usize,
    /// Consistency, confidence and their sum.
    train: [String; 3],
    test: [String; 3],
    /// Counted from 1.
    kept: usize,
    starts: usize,
    /// Lowest, median and highest final training loss, of the starts that have one.
    spread: Option<[String; 3]>,
}

pub(super) fn loss(layer: &LayerReport) -> Option<LossView> {
    let LossReport { train, test, restart, restarts } = layer.methods.get(&Method::CCS)?.loss.as_ref()?;
    let spread = low_median_high(restarts.iter().copied().flatten());
    Some(LossView {
        layer: layer.layer,
        train: terms(train),
        test: terms(test),
        kept: restart + 1,
        starts: restarts.len(),
        spread: spread.map(|spread| spread.map(decimal)),
    })
}

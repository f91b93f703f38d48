//! Recursive CCS.

use serde::Serialize;

use super::scores::{Scores, terms};
use crate::figures::bars;
use crate::numbers::{decimal, percent, percents};
use crate::report::{Evaluation, Interval, RecursiveIteration, Report};

/// Recursive CCS.
#[derive(Debug, Serialize)]
pub(super) struct RecursiveView {
    layer: usize,
    accuracy: String,
    loss: String,
    rows: Vec<RecursiveRow>,
    /// Iterations above the band of random directions with their whole interval.
    above: Option<usize>,
    band: Option<String>,
    guess: String,
    below_guess: usize,
    stop: String,
    cosine: Option<String>,
    untrained: UntrainedView,
}

/// Random directions without any fitting.
#[derive(Debug, Serialize)]
struct UntrainedView {
    directions: usize,
    /// Mean and two standard deviations of the test loss.
    loss: [String; 2],
    accuracy: [String; 2],
    /// Iterations with a lower test loss than those.
    below: usize,
}

#[derive(Debug, Serialize)]
struct RecursiveRow {
    scores: Scores,
    /// Consistency, confidence and their sum.
    train: [String; 3],
    test: [String; 3],
}

pub(super) fn recursive(report: &Report) -> Option<RecursiveView> {
    let found = report.recursive.as_ref().filter(|r| !r.iterations.is_empty())?;
    let low = |t: &Evaluation| t.accuracy_ci.map_or(t.accuracy, |ci| ci[0]);
    let above = |[_, high]: Interval| found.iterations.iter().filter(|i| low(&i.test) > high).count();
    let loss_below =
        |bound: f64| found.iterations.iter().filter(|i| i.test_loss.total() < bound).count();
    let row = |i: &RecursiveIteration| RecursiveRow {
        scores: Scores::new(&i.test),
        train: terms(&i.train_loss),
        test: terms(&i.test_loss),
    };
    let untrained = &found.untrained;
    let accuracy_label = "Recursive CCS: test accuracy by iteration";
    Some(RecursiveView {
        layer: found.layer,
        accuracy: bars::recursive_accuracy(found, report.majority, accuracy_label),
        loss: bars::recursive_loss(found, "Recursive CCS: loss by iteration"),
        rows: found.iterations.iter().map(row).collect(),
        above: found.random_accuracy.map(above),
        band: found.random_accuracy.map(percents),
        guess: format!("{:.2}", found.constant_guess),
        below_guess: loss_below(found.constant_guess),
        stop: found.stop.trim_end_matches('.').to_owned(),
        cosine: found.seeds_cosine.map(decimal),
        untrained: UntrainedView {
            directions: untrained.directions,
            loss: [untrained.loss.mean, 2.0 * untrained.loss.sd].map(decimal),
            accuracy: [untrained.accuracy.mean, 2.0 * untrained.accuracy.sd].map(percent),
            below: loss_below(untrained.loss.two_sd()[0]),
        },
    })
}

//! Small figures about one fit: how probabilities are distributed, how calibrated they are, the iterations of recursive
//! CCS, the eigenvalues of a spectrum.

use super::axes::{Axis, below, coordinate, grid, percent, share_range, whole};
use super::canvas::{Anchor, At, Canvas, Target};
use super::palette::{CCS, Ink, QUIET, RANDOM, TEXT};
use crate::report::{Histogram, Interval, RecursiveReport, Reliability, SpectrumReport};

/// All of these figures have the same size; the page shows one or two in a row.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 250.0;
const SIZE: i32 = 12;
/// The edges of what is inside the axes.
const LEFT: f64 = 44.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 388.0;
const BOTTOM: f64 = 208.0;

const ACROSS: [f64; 2] = [LEFT, RIGHT];
const UP: [f64; 2] = [BOTTOM, TOP];

fn canvas() -> Canvas {
    Canvas::new(Target::Page, (WIDTH, HEIGHT))
}

fn probability_axis(canvas: &mut Canvas, title: &str) -> Axis {
    let x = Axis::new([0.0, 1.0], ACROSS, 60.0);
    below(canvas, &x, BOTTOM, SIZE, title, |tick| Some(format!("{tick:.1}")));
    x
}

/// Wide enough for two at least.
fn rank_axis(canvas: &mut Canvas, count: usize, title: &str) -> Axis {
    let x = Axis::new([0.4, coordinate(count.max(2)) + 0.6], ACROSS, 30.0);
    below(canvas, &x, BOTTOM, SIZE, title, |tick| whole(tick, 1.0));
    x
}

/// Behind everything from one side to the other.
fn band(canvas: &mut Canvas, y: &Axis, [low, high]: Interval) {
    canvas.rectangle((LEFT, y.at(high)), (RIGHT - LEFT, y.at(low) - y.at(high)), RANDOM, 0.32);
}

fn level(canvas: &mut Canvas, y: &Axis, value: f64) {
    canvas.dashes((LEFT, y.at(value)), (RIGHT, y.at(value)), TEXT);
}

/// Rows labeled true above the line, rows labeled false below it.
pub(crate) fn histogram(found: &Histogram, ink: Ink, label: &str) -> String {
    let mut canvas = canvas();
    let most = found.positives.iter().chain(&found.negatives).copied().fold(1, usize::max);
    let y = Axis::new([-coordinate(most), coordinate(most)], UP, 34.0);
    grid(&mut canvas, &y, ACROSS, SIZE, |tick| whole(tick, f64::NEG_INFINITY));
    let title = if found.calibrated { "p, after Platt scaling" } else { "p, before calibration" };
    let x = probability_axis(&mut canvas, title);
    let zero = y.at(0.0);
    for (counts, sign, opacity) in [(&found.positives, 1.0, 1.0), (&found.negatives, -1.0, 0.45)] {
        let bins = coordinate(counts.len());
        for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (from, to) = (x.at(coordinate(bin) / bins), x.at(coordinate(bin + 1) / bins));
            let end = y.at(sign * coordinate(count));
            let (high, low) = (end.min(zero), end.max(zero));
            canvas.rectangle((from + 0.6, high), (to - from - 1.2, low - high), ink, opacity);
        }
    }
    canvas.line((LEFT, zero), (RIGHT, zero), TEXT, 1.2);
    let middle = x.at(0.5);
    canvas.dashes((middle, TOP), (middle, BOTTOM), TEXT);
    canvas.label((middle + 6.0, TOP + 4.0), SIZE, "labeled true \u{2191}", "");
    canvas.label((middle + 6.0, BOTTOM - 6.0), SIZE, "labeled false \u{2193}", "");
    canvas.finish(label)
}

/// Share of true rows against predicted probability. The fuller a bin, the larger its point.
pub(crate) fn reliability(found: &Reliability, ink: Ink, label: &str) -> String {
    let mut canvas = canvas();
    let y = Axis::new([0.0, 1.0], UP, 36.0);
    grid(&mut canvas, &y, ACROSS, SIZE, |tick| Some(percent(tick)));
    let x = probability_axis(&mut canvas, "p, after Platt scaling");
    canvas.dashes((x.at(0.0), y.at(0.0)), (x.at(1.0), y.at(1.0)), TEXT);
    canvas.text((LEFT + 6.0, y.at(0.9)), SIZE, Anchor::Start, QUIET, "share of true rows");
    let rows: usize = found.bins.iter().map(|b| b.rows).sum();
    let points: Vec<(usize, At)> =
        found.bins.iter().filter_map(|b| Some((b.rows, (x.at(b.probability?), y.at(b.share?))))).collect();
    let line: Vec<At> = points.iter().map(|p| p.1).collect();
    if line.len() > 1 {
        canvas.polyline(&line, ink, 1.6);
    }
    for (count, point) in points {
        let share = coordinate(count) / coordinate(rows.max(1));
        canvas.disc(point, 2.5 + 9.0 * share.sqrt(), ink, 0.85);
    }
    canvas.finish(label)
}

/// Test accuracy of each iteration, with the band of random directions and the majority class.
pub(crate) fn recursive_accuracy(found: &RecursiveReport, majority: f64, label: &str) -> String {
    let mut canvas = canvas();
    let tests = || found.iterations.iter().map(|i| &i.test);
    let values = tests().flat_map(|t| [t.accuracy].into_iter().chain(t.accuracy_ci.into_iter().flatten()));
    let values = values.chain(found.random_accuracy.into_iter().flatten()).chain([majority]);
    let y = Axis::new(share_range(values), UP, 34.0);
    grid(&mut canvas, &y, ACROSS, SIZE, |tick| Some(percent(tick)));
    let x = rank_axis(&mut canvas, found.iterations.len(), "Iteration");
    if let Some(random) = found.random_accuracy {
        band(&mut canvas, &y, random);
    }
    level(&mut canvas, &y, majority);
    let points: Vec<At> =
        tests().enumerate().map(|(k, t)| (x.at(coordinate(k + 1)), y.at(t.accuracy))).collect();
    if points.len() > 1 {
        canvas.polyline(&points, CCS, 1.6);
    }
    for (&(at, value), test) in points.iter().zip(tests()) {
        if let Some([low, high]) = test.accuracy_ci {
            canvas.line((at, y.at(low)), (at, y.at(high)), CCS, 1.2);
        }
        canvas.disc((at, value), 3.8, CCS, 1.0);
    }
    canvas.finish(label)
}

/// The test loss of each iteration, its two terms stacked; its training loss as a ring; the best constant guess; and two
/// standard deviations around the mean of untrained directions.
pub(crate) fn recursive_loss(found: &RecursiveReport, label: &str) -> String {
    let mut canvas = canvas();
    let totals = found.iterations.iter().flat_map(|i| [i.test_loss.total(), i.train_loss.total()]);
    let untrained = found.untrained.loss.two_sd();
    let totals = totals.chain([untrained[1]]);
    let most = totals.chain([found.constant_guess]).filter(|v| v.is_finite()).fold(0.0f64, f64::max);
    let y = Axis::new([0.0, most * 1.08], UP, 34.0);
    grid(&mut canvas, &y, ACROSS, SIZE, |tick| Some(format!("{tick:.2}")));
    let x = rank_axis(&mut canvas, found.iterations.len(), "Iteration");
    band(&mut canvas, &y, [untrained[0].max(0.0), untrained[1]]);
    let half = (0.36 * x.unit()).clamp(1.5, 16.0);
    for (k, iteration) in found.iterations.iter().enumerate() {
        let (middle, test) = (x.at(coordinate(k + 1)), iteration.test_loss);
        let (zero, first, both) = (y.at(0.0), y.at(test.consistency), y.at(test.total()));
        canvas.rectangle((middle - half, first), (2.0 * half, zero - first), CCS, 1.0);
        canvas.rectangle((middle - half, both), (2.0 * half, first - both), CCS, 0.45);
        canvas.hollow_disc((middle, y.at(iteration.train_loss.total())), 3.2, TEXT);
    }
    level(&mut canvas, &y, found.constant_guess);
    canvas.finish(label)
}

/// Eigenvalues from the largest on, those that stand out solid, and the 95% line of shuffled pairs.
pub(crate) fn spectrum(found: &SpectrumReport, label: &str) -> String {
    let mut canvas = canvas();
    let values = found.eigenvalues.iter().chain([&found.null_high]).copied().filter(|v| v.is_finite());
    let (low, high) = values.fold((0.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
    let margin = 0.08 * (high - low).max(f64::MIN_POSITIVE);
    let y = Axis::new([if low < 0.0 { low - margin } else { 0.0 }, high + margin], UP, 34.0);
    // Three digits of the largest.
    let digits = (2.0 - high.max(-low).max(1e-6).log10().floor()).clamp(0.0, 6.0) as usize;
    grid(&mut canvas, &y, ACROSS, SIZE, |tick| Some(format!("{tick:.digits$}").replace('-', "\u{2212}")));
    let x = rank_axis(&mut canvas, found.eigenvalues.len(), "Eigenvalue, from the largest");
    let half = (0.36 * x.unit()).clamp(1.5, 16.0);
    let zero = y.at(0.0);
    for (k, &value) in found.eigenvalues.iter().enumerate() {
        let (middle, end) = (x.at(coordinate(k + 1)), y.at(value));
        let opacity = if k < found.standing_out { 1.0 } else { 0.45 };
        let ink = if k < found.standing_out { CCS } else { RANDOM };
        canvas.rectangle((middle - half, end.min(zero)), (2.0 * half, (end - zero).abs()), ink, opacity);
    }
    canvas.line((LEFT, zero), (RIGHT, zero), TEXT, 1.2);
    level(&mut canvas, &y, found.null_high);
    canvas.finish(label)
}

//! How probabilities lie, how often they are right, and the iterations of recursive CCS.

use super::svg::{Anchor, Axis, CCS, Canvas, LINE, Paint, QUIET, RANDOM, TEXT};
use crate::Reliability;
use crate::{Histogram, RecursiveReport};

/// All of these plots are as wide; the page shows one or two beside each other.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 250.0;
const TEXT_SIZE: i32 = 12;
/// Left, top, right and bottom edge of what is inside the axes.
const INSIDE: [f64; 4] = [44.0, 12.0, 388.0, 208.0];

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Rows labelled true above the line, rows labelled false below it.
pub(super) fn histogram(found: &Histogram, paint: Paint, label: &str) -> String {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let [left, top, right, bottom] = INSIDE;
    let most = found.positives.iter().chain(&found.negatives).copied().max().unwrap_or_default().max(1);
    let x = Axis::new([0.0, 1.0], [left, right], 60.0);
    let y = Axis::new([-number(most), number(most)], [bottom, top], 34.0);
    for tick in y.ticks().into_iter().filter(|t| (t - t.round()).abs() < 1e-6) {
        canvas.line((left, y.at(tick)), (right, y.at(tick)), LINE, 1.0);
        canvas.text(
            (left - 6.0, y.at(tick)),
            TEXT_SIZE - 1,
            Anchor::End,
            QUIET,
            &format!("{:.0}", tick.abs()),
        );
    }
    let which = if found.calibrated { "p, after Platt scaling" } else { "p, before calibration" };
    below(&mut canvas, &x, which);
    let bins = number(found.positives.len().max(1));
    for (counts, up, opacity) in [(&found.positives, true, 1.0), (&found.negatives, false, 0.45)] {
        for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (from, to) = (x.at(number(bin) / bins), x.at(number(bin + 1) / bins));
            let end = y.at(if up { number(count) } else { -number(count) });
            let (high, low) = if up { (end, y.at(0.0)) } else { (y.at(0.0), end) };
            canvas.rectangle((from + 0.6, high), (to - from - 1.2, low - high), paint, opacity);
        }
    }
    canvas.line((left, y.at(0.0)), (right, y.at(0.0)), TEXT, 1.2);
    canvas.dashes((x.at(0.5), top), (x.at(0.5), bottom), TEXT);
    canvas.text((x.at(0.5) + 6.0, top + 4.0), TEXT_SIZE, Anchor::Start, TEXT, "labelled true \u{2191}");
    canvas.text((x.at(0.5) + 6.0, bottom - 6.0), TEXT_SIZE, Anchor::Start, TEXT, "labelled false \u{2193}");
    canvas.finish(label)
}

/// Shares that are true against the probabilities said; points as large as bins are full.
pub(super) fn reliability(found: &Reliability, paint: Paint, label: &str) -> String {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let [left, top, right, bottom] = INSIDE;
    let x = Axis::new([0.0, 1.0], [left, right], 60.0);
    let y = Axis::new([0.0, 1.0], [bottom, top], 36.0);
    shares(&mut canvas, &y);
    below(&mut canvas, &x, "p, after Platt scaling");
    canvas.dashes((x.at(0.0), y.at(0.0)), (x.at(1.0), y.at(1.0)), TEXT);
    canvas.text((left + 6.0, y.at(0.9)), TEXT_SIZE, Anchor::Start, QUIET, "share that is true");
    let rows: usize = found.bins.iter().map(|b| b.rows).sum();
    let at = |(p, share): (f64, f64)| (x.at(p), y.at(share));
    let points: Vec<(usize, (f64, f64))> =
        found.bins.iter().filter_map(|b| Some((b.rows, at((b.probability?, b.share?))))).collect();
    let line: Vec<(f64, f64)> = points.iter().map(|p| p.1).collect();
    if line.len() > 1 {
        canvas.path(&line, paint, 1.6);
    }
    for (count, point) in points {
        canvas.disc(point, 2.5 + 9.0 * (number(count) / number(rows.max(1))).sqrt(), paint, 0.85);
    }
    canvas.finish(label)
}

/// Test accuracy of each iteration, with the band of random directions and the majority's share.
pub(super) fn recursive_accuracy(found: &RecursiveReport, majority: f64, label: &str) -> String {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let [left, top, right, bottom] = INSIDE;
    let tests = || found.iterations.iter().map(|i| &i.test);
    let values = tests().flat_map(|t| [t.accuracy].into_iter().chain(t.accuracy_ci.into_iter().flatten()));
    let values = values.chain(found.random_accuracy.into_iter().flatten()).chain([majority]);
    let (low, high) =
        values.filter(|v| v.is_finite()).fold((1.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
    let y = Axis::new([(low - 0.02).max(0.0), (high + 0.02).min(1.0)], [bottom, top], 34.0);
    let x = iterations(found.iterations.len());
    shares(&mut canvas, &y);
    whole_below(&mut canvas, &x, "Iteration");
    if let Some([low, high]) = found.random_accuracy {
        canvas.rectangle((left, y.at(high)), (right - left, y.at(low) - y.at(high)), RANDOM, 0.32);
    }
    canvas.dashes((left, y.at(majority)), (right, y.at(majority)), TEXT);
    let points: Vec<(f64, f64)> =
        tests().enumerate().map(|(k, t)| (x.at(number(k + 1)), y.at(t.accuracy))).collect();
    if points.len() > 1 {
        canvas.path(&points, CCS, 1.6);
    }
    for (&(at, value), test) in points.iter().zip(tests()) {
        if let Some([low, high]) = test.accuracy_ci {
            canvas.line((at, y.at(low)), (at, y.at(high)), CCS, 1.2);
        }
        canvas.disc((at, value), 3.8, CCS, 1.0);
    }
    canvas.finish(label)
}

/// The two terms of each iteration's test loss on each other, its training loss as a ring, the best constant guess, and
/// two standard deviations about the mean of untrained directions.
pub(super) fn recursive_loss(found: &RecursiveReport, label: &str) -> String {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let [left, top, right, bottom] = INSIDE;
    let totals = found.iterations.iter().flat_map(|i| [i.test_loss.total(), i.train_loss.total()]);
    let untrained = found.untrained.as_ref().map(|u| u.loss.two_sd()).filter(|band| band[1].is_finite());
    let totals = totals.chain(untrained.map(|band| band[1]));
    let most = totals.chain([found.constant_guess]).filter(|v| v.is_finite()).fold(0.0f64, f64::max);
    let y = Axis::new([0.0, most * 1.08], [bottom, top], 34.0);
    let x = iterations(found.iterations.len());
    for tick in y.ticks() {
        canvas.line((left, y.at(tick)), (right, y.at(tick)), LINE, 1.0);
        canvas.text((left - 6.0, y.at(tick)), TEXT_SIZE - 1, Anchor::End, QUIET, &format!("{tick:.2}"));
    }
    whole_below(&mut canvas, &x, "Iteration");
    if let Some([low, high]) = untrained {
        let (low, high) = (y.at(low.max(0.0)), y.at(high));
        canvas.rectangle((left, high), (right - left, low - high), RANDOM, 0.32);
    }
    let half = (0.36 * (x.at(2.0) - x.at(1.0))).clamp(1.5, 16.0);
    for (k, iteration) in found.iterations.iter().enumerate() {
        let (middle, test) = (x.at(number(k + 1)), iteration.test_loss);
        let (zero, first, both) = (y.at(0.0), y.at(test.consistency), y.at(test.total()));
        canvas.rectangle((middle - half, first), (2.0 * half, zero - first), CCS, 1.0);
        canvas.rectangle((middle - half, both), (2.0 * half, first - both), CCS, 0.45);
        canvas.ring((middle, y.at(iteration.train_loss.total())), 3.2, TEXT);
    }
    canvas.dashes((left, y.at(found.constant_guess)), (right, y.at(found.constant_guess)), TEXT);
    canvas.finish(label)
}

/// At least wide enough for two.
fn iterations(count: usize) -> Axis {
    let [left, _, right, _] = INSIDE;
    Axis::new([0.4, number(count.max(2)) + 0.6], [left, right], 30.0)
}

/// Lines and numbers of shares.
fn shares(canvas: &mut Canvas, y: &Axis) {
    let [left, _, right, _] = INSIDE;
    for tick in y.ticks() {
        canvas.line((left, y.at(tick)), (right, y.at(tick)), LINE, 1.0);
        let number = format!("{:.0} %", 100.0 * tick);
        canvas.text((left - 6.0, y.at(tick)), TEXT_SIZE - 1, Anchor::End, QUIET, &number);
    }
}

/// Numbers of probabilities, and what they are.
fn below(canvas: &mut Canvas, x: &Axis, what: &str) {
    named_below(canvas, x, what, |tick| Some(format!("{tick:.1}")));
}

fn whole_below(canvas: &mut Canvas, x: &Axis, what: &str) {
    named_below(canvas, x, what, |tick| {
        ((tick - tick.round()).abs() < 1e-6 && tick > 0.5).then(|| format!("{tick:.0}"))
    });
}

fn named_below(canvas: &mut Canvas, x: &Axis, what: &str, show: impl Fn(f64) -> Option<String>) {
    let [left, _, right, bottom] = INSIDE;
    for tick in x.ticks() {
        if let Some(number) = show(tick) {
            canvas.text((x.at(tick), bottom + 13.0), TEXT_SIZE - 1, Anchor::Middle, QUIET, &number);
        }
    }
    canvas.text((f64::midpoint(left, right), bottom + 32.0), TEXT_SIZE, Anchor::Middle, QUIET, what);
}

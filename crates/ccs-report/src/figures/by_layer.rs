//! Accuracy and AUROC by layer: probes as points with intervals, random directions and zero-shot as steps with bands, the
//! reference that needs no probe as a dashed line.

use super::axes::{Axis, below, grid, whole};
use super::canvas::{Anchor, At, Canvas, Figure, Target};
use super::legend;
use super::palette::{CCS, Ink, LINE, LR, RANDOM, TEXT, ZERO_SHOT};
use super::series::{Point, Quantity, Series};
use crate::report::Report;

/// Sizes in pixels.
#[derive(Debug, Clone, Copy)]
struct Format {
    width: i32,
    height: i32,
    text: i32,
    target: Target,
}

/// For pages as wide as a desk's.
const WIDE: Format = Format { width: 960, height: 430, text: 13, target: Target::Page };
/// For phones.
const NARROW: Format = Format { width: 360, height: 380, text: 12, target: Target::Page };

/// From the figure's edges to what is inside the axes.
const LEFT: f64 = 50.0;
const RIGHT: f64 = 8.0;
const ABOVE: f64 = 14.0;
const BELOW: f64 = 46.0;

/// Intervals are lines at each point where layers are at least so many pixels apart, else ribbons.
const WHISKERS_FROM: f64 = 14.0;

/// A file of its own, with its title: dark on white.
pub(crate) fn file(report: &Report, quantity: Quantity) -> String {
    draw(report, quantity, Format { target: Target::File, ..WIDE })
}

/// For the page, whose heading is the title.
pub(crate) fn figure(report: &Report, quantity: Quantity) -> Figure {
    Figure { wide: draw(report, quantity, WIDE), narrow: draw(report, quantity, NARROW) }
}

fn draw(report: &Report, quantity: Quantity, format: Format) -> String {
    let series = Series::new(report, quantity);
    let (width, height) = (f64::from(format.width), f64::from(format.height));
    let mut canvas = Canvas::new(format.target, (width, height));
    let mut top = 4;
    if format.target == Target::File {
        canvas.text((8.0, 14.0), format.text + 2, Anchor::Start, TEXT, quantity.title());
        top = 30;
    }
    let top = legend::draw(&mut canvas, &series.legend(report), format.width, format.text, top);
    let (top, bottom) = (f64::from(top) + ABOVE, height - BELOW);
    let mut chart = Chart {
        x: Axis::new(series.x, [LEFT, width - RIGHT], 45.0),
        y: Axis::new(series.y, [bottom, top], 34.0),
        canvas,
    };
    chart.axes(quantity, format.text);
    chart.fill(&series);
    chart.canvas.finish(quantity.title())
}

/// A canvas with its axes.
struct Chart {
    canvas: Canvas,
    x: Axis,
    y: Axis,
}

impl Chart {
    fn at(&self, x: f64, y: f64) -> At {
        (self.x.at(x), self.y.at(y))
    }

    fn axes(&mut self, quantity: Quantity, size: i32) {
        let Self { canvas, x, y } = self;
        let ([left, right], [bottom, top]) = (x.ends(), y.ends());
        grid(canvas, y, [left, right], size, |tick| Some(quantity.tick(tick)));
        canvas.line((left, bottom), (right, bottom), LINE, 1.0);
        canvas.line((left, bottom), (left, top), LINE, 1.0);
        below(canvas, x, bottom, size, "Layer (0 is the embedding)", |tick| whole(tick, 0.0));
    }

    fn fill(&mut self, series: &Series) {
        self.band(&series.random, RANDOM, 0.28);
        self.band(&series.zero_shot, ZERO_SHOT, 0.12);
        let ([left, right], reference) = (self.x.ends(), self.y.at(series.reference.0));
        self.canvas.dashes((left, reference), (right, reference), TEXT);
        self.steps(&series.random, RANDOM, 1.2);
        self.steps(&series.zero_shot, ZERO_SHOT, 1.8);

        let spacing = series.step * self.x.unit();
        let (radius, whiskers) = ((0.3 * spacing).clamp(1.4, 4.0), spacing >= WHISKERS_FROM);
        let mark = Mark { radius, whiskers, shift: 0.0 };
        // Two intervals at one layer must not overlap.
        let both = !series.first.is_empty() && !series.lr.is_empty() && mark.whiskers;
        let dodge = if both { (0.14 * spacing).clamp(2.0, 6.0) } else { 0.0 };
        self.probe(&series.lr, LR, &Mark { shift: dodge, ..mark }, Shape::Square);
        self.probe(&series.first, CCS, &Mark { shift: -dodge, ..mark }, Shape::Circle);
    }

    /// The intervals of what is no curve over layers: each as wide as its layer.
    fn band(&mut self, points: &[Point], ink: Ink, opacity: f64) {
        let with: Vec<Option<(&Point, [f64; 2])>> = points.iter().map(|p| Some((p, p.ci?))).collect();
        for run in with.split(Option::is_none).filter(|run| !run.is_empty()) {
            let side =
                |end: usize| run.iter().flatten().flat_map(move |(p, ci)| p.reach.map(|x| (x, ci[end])));
            let outline: Vec<At> = side(1)
                .chain(side(0).collect::<Vec<_>>().into_iter().rev())
                .map(|(x, y)| self.at(x, y))
                .collect();
            self.canvas.polygon(&outline, ink, opacity);
        }
    }

    fn steps(&mut self, points: &[Point], ink: Ink, width: f64) {
        for run in fitted(points) {
            let line: Vec<At> =
                run.iter().flat_map(|p| p.reach.map(|x| (x, p.value))).map(|(x, y)| self.at(x, y)).collect();
            self.canvas.polyline(&line, ink, width);
        }
    }

    /// A probe's line, its intervals, and a mark at each layer: hollow where nothing was fitted, ringed where chosen.
    fn probe(&mut self, points: &[Point], ink: Ink, mark: &Mark, shape: Shape) {
        let place = |chart: &Self, x: f64, y: f64| (chart.x.at(x) + mark.shift, chart.y.at(y));
        for run in fitted(points) {
            if !mark.whiskers && run.len() > 1 {
                let side = |end: usize| run.iter().filter_map(move |p| Some((p.x, p.ci?[end])));
                let outline: Vec<At> = side(1)
                    .chain(side(0).collect::<Vec<_>>().into_iter().rev())
                    .map(|(x, y)| place(self, x, y))
                    .collect();
                self.canvas.polygon(&outline, ink, 0.16);
            }
            let line: Vec<At> = run.iter().map(|p| place(self, p.x, p.value)).collect();
            self.canvas.polyline(&line, ink, 1.6);
        }
        for p in points {
            let at = place(self, p.x, p.value);
            if let (Some([low, high]), true) = (p.ci, mark.whiskers || points.len() == 1) {
                self.canvas.line(place(self, p.x, low), place(self, p.x, high), ink, 1.1);
            }
            shape.draw(&mut self.canvas, at, mark.radius, ink, p.constant);
            if p.chosen {
                self.canvas.ring(at, mark.radius + 5.0, ink);
            }
        }
    }
}

/// Neighboring layers that were fitted.
fn fitted(points: &[Point]) -> impl Iterator<Item = &[Point]> {
    points.split(|p| p.constant).filter(|run| !run.is_empty())
}

/// How a probe's points look. Pixels.
#[derive(Debug, Clone, Copy)]
struct Mark {
    radius: f64,
    /// Intervals as lines at each point; else as one ribbon, where points are dense.
    whiskers: bool,
    /// To the right.
    shift: f64,
}

/// The shape of a probe's points, so that color is not all that distinguishes them.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Circle,
    Square,
}

impl Shape {
    fn draw(self, canvas: &mut Canvas, at: At, radius: f64, ink: Ink, hollow: bool) {
        match (self, hollow) {
            (Self::Circle, false) => canvas.disc(at, radius, ink, 1.0),
            (Self::Circle, true) => canvas.hollow_disc(at, radius, ink),
            (Self::Square, false) => canvas.square(at, radius, ink),
            (Self::Square, true) => canvas.hollow_square(at, radius, ink),
        }
    }
}

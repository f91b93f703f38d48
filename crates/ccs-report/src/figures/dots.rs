//! Rows of points with their intervals: methods against each other, templates, repetitions.

use super::axes::{Axis, coordinate, percent, share_range};
use super::canvas::{Anchor, Canvas, Figure, Target};
use super::palette::{Ink, LINE, QUIET, RANDOM, TEXT};
use super::text::{fitting, text_width};
use crate::report::{Evaluation, Interval};

/// A label and its points.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) label: String,
    /// After the label, quieter; may be empty.
    pub(crate) detail: String,
    /// For each panel.
    pub(crate) cells: Vec<Cell>,
}

impl Row {
    /// Points with intervals, for accuracy and AUROC.
    pub(crate) fn new(label: String, detail: String, ink: Ink, tests: &[(&Evaluation, Shape)]) -> Self {
        let accuracies = tests
            .iter()
            .map(|&(test, shape)| Mark { value: test.accuracy, ci: test.accuracy_ci, shape, ink })
            .collect();
        let aurocs = tests
            .iter()
            .filter_map(|&(test, shape)| Some(Mark { value: test.auroc?, ci: test.auroc_ci, shape, ink }))
            .collect();
        Self { label, detail, cells: [accuracies, aurocs].map(|marks| Cell { band: None, marks }).into() }
    }
}

/// What a row has in one panel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    /// Shaded behind the points.
    pub(crate) band: Option<Interval>,
    pub(crate) marks: Vec<Mark>,
}

/// A point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) value: f64,
    pub(crate) ci: Option<Interval>,
    pub(crate) shape: Shape,
    pub(crate) ink: Ink,
}

/// How a point looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Full,
    Hollow,
    /// One of many that may overlap.
    Faint,
    /// A vertical line.
    Bar,
}

/// A quantity with an axis of its own.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) percent: bool,
    /// A dashed line.
    pub(crate) reference: Option<f64>,
}

impl Panel {
    /// Accuracy with the majority class, and AUROC with chance; AUROC only where there is one.
    pub(crate) fn both(majority: f64, auroc: bool) -> Vec<Self> {
        let accuracy = Self { title: "Accuracy", percent: true, reference: Some(majority) };
        let ranking = Self { title: "AUROC", percent: false, reference: Some(0.5) };
        if auroc { vec![accuracy, ranking] } else { vec![accuracy] }
    }
}

/// Panels side by side on wide pages, one below another on phones.
pub(crate) fn figure(rows: &[Row], panels: &[Panel], label: &str) -> Figure {
    let all: Vec<(usize, &Panel)> = panels.iter().enumerate().collect();
    let narrow = all.chunks(1).map(|one| draw(rows, one, &NARROW, label)).collect();
    Figure { wide: draw(rows, &all, &WIDE, label), narrow }
}

/// Sizes in pixels.
struct Format {
    width: i32,
    /// Between rows.
    row: f64,
    text: i32,
    /// Labels are above their rows, not to the left.
    above: bool,
}

const WIDE: Format = Format { width: 960, row: 25.0, text: 13, above: false };
const NARROW: Format = Format { width: 360, row: 41.0, text: 12, above: true };
const LABELS: i32 = 360; // at most, to the left of their rows
const GAP: f64 = 48.0; // between panels
const EDGE: f64 = 18.0; // half a number at the end of an axis
const HEAD: f64 = 30.0;
const FOOT: f64 = 26.0;

/// Draws panels, each with its index among the cells of a row.
fn draw(rows: &[Row], panels: &[(usize, &Panel)], format: &Format, label: &str) -> String {
    let width = f64::from(format.width);
    let bottom = HEAD + format.row * coordinate(rows.len());
    let mut canvas = Canvas::new(Target::Page, (width, bottom + FOOT));
    let widest = rows.iter().map(|r| label_width(r, format.text)).fold(0, i32::max).min(LABELS);
    let left = if format.above { EDGE } else { f64::from(widest) + 22.0 };
    let count = coordinate(panels.len());
    let room = (width - EDGE - left - GAP * (count - 1.0)) / count;
    for (place, &(index, panel)) in panels.iter().enumerate() {
        let from = left + coordinate(place) * (room + GAP);
        let axis = Axis::new(range(rows, index, panel), [from, from + room], 48.0);
        frame(&mut canvas, panel, &axis, [HEAD, bottom], format.text);
        for (number, row) in rows.iter().enumerate() {
            let middle = HEAD + format.row * (coordinate(number) + if format.above { 0.72 } else { 0.5 });
            if let Some(cell) = row.cells.get(index) {
                points(&mut canvas, cell, &axis, middle, format.row * if format.above { 0.2 } else { 0.3 });
            }
        }
    }
    for (number, row) in rows.iter().enumerate() {
        let top = HEAD + format.row * coordinate(number);
        let (middle, at, most) = if format.above {
            (top + format.row * 0.28, 0.0, format.width)
        } else {
            (top + format.row * 0.5, 0.0, LABELS)
        };
        texts(&mut canvas, row, (at, middle), most, format.text);
    }
    canvas.finish(label)
}

fn label_width(row: &Row, text: i32) -> i32 {
    let detail = if row.detail.is_empty() { 0 } else { 6 + text_width(&row.detail, text - 1) };
    text_width(&row.label, text) + detail
}

fn texts(canvas: &mut Canvas, row: &Row, at: (f64, f64), most: i32, text: i32) {
    let detail = label_width(row, text) - text_width(&row.label, text);
    let label = fitting(&row.label, text, (most - detail).max(60));
    canvas.label(at, text, &label, &row.detail);
}

/// What holds everything in a panel.
fn range(rows: &[Row], panel: usize, about: &Panel) -> Interval {
    let cells = || rows.iter().filter_map(|r| r.cells.get(panel));
    let marks =
        cells().flat_map(|c| &c.marks).flat_map(|m| [m.value].into_iter().chain(m.ci.into_iter().flatten()));
    let bands = cells().filter_map(|c| c.band).flatten();
    share_range(marks.chain(bands).chain(about.reference))
}

fn frame(canvas: &mut Canvas, panel: &Panel, axis: &Axis, [top, bottom]: Interval, text: i32) {
    let [from, to] = axis.ends();
    canvas.text((from, 10.0), text, Anchor::Start, QUIET, panel.title);
    for tick in axis.ticks() {
        let x = axis.at(tick);
        canvas.line((x, top - 4.0), (x, bottom), LINE, 1.0);
        let number = if panel.percent { percent(tick) } else { format!("{tick:.2}") };
        canvas.text((x, bottom + 13.0), text - 1, Anchor::Middle, QUIET, &number);
    }
    canvas.line((from, bottom), (to, bottom), LINE, 1.0);
    if let Some(value) = panel.reference {
        canvas.dashes((axis.at(value), top - 4.0), (axis.at(value), bottom), TEXT);
    }
}

fn points(canvas: &mut Canvas, cell: &Cell, axis: &Axis, y: f64, half: f64) {
    if let Some([low, high]) = cell.band {
        let (from, to) = (axis.at(low), axis.at(high));
        canvas.rectangle((from, y - half), (to - from, 2.0 * half), RANDOM, 0.32);
    }
    let full: Vec<&Mark> = cell.marks.iter().filter(|m| m.ci.is_some()).collect();
    for mark in &cell.marks {
        let x = axis.at(mark.value);
        // Two intervals in one row must not overlap.
        let shift = match full.as_slice() {
            [first, _] if std::ptr::eq(*first, mark) => -0.45 * half,
            [_, second] if std::ptr::eq(*second, mark) => 0.45 * half,
            _ => 0.0,
        };
        if let Some([low, high]) = mark.ci {
            canvas.line((axis.at(low), y + shift), (axis.at(high), y + shift), mark.ink, 1.6);
        }
        match mark.shape {
            Shape::Full => canvas.disc((x, y + shift), 4.4, mark.ink, 1.0),
            Shape::Hollow => canvas.hollow_disc((x, y + shift), 3.8, mark.ink),
            Shape::Faint => canvas.disc((x, y), 4.0, mark.ink, 0.45),
            Shape::Bar => canvas.line((x, y - half * 1.1), (x, y + half * 1.1), mark.ink, 2.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_drawn_once_for_each_width() {
        let mark = |value, shape| Mark { value, ci: Some([value - 0.1, value + 0.1]), shape, ink: TEXT };
        let cell = |value| Cell {
            band: Some([0.4, 0.6]),
            marks: vec![mark(value, Shape::Full), mark(value, Shape::Hollow)],
        };
        let rows: Vec<Row> = [0.5, 0.7, 0.9]
            .map(|v| Row {
                label: format!("row <{v}>"),
                detail: "layer 3".to_owned(),
                cells: vec![cell(v), cell(v)],
            })
            .into();
        let Figure { wide, narrow } = figure(&rows, &Panel::both(0.55, true), "rows");
        for svg in [wide, narrow] {
            assert_eq!(svg.matches("<circle").count(), 12);
            assert_eq!(svg.matches("<rect").count(), 6);
            assert!(svg.contains("row &lt;0.5&gt;") && svg.contains("Accuracy") && svg.contains("AUROC"));
        }
        let empty = range(&[], 0, &Panel { title: "", percent: true, reference: None });
        assert!(empty[0] < 0.01 && empty[1] > 0.99);
    }
}

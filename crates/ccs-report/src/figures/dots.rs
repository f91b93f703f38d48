//! Rows of points with their intervals: methods against each other, templates, repetitions.

use super::legend::text_width;
use super::svg::{Anchor, Axis, Canvas, LINE, Paint, QUIET, RANDOM, TEXT, fitting};
use crate::Interval;

/// A thing and its points.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) label: String,
    /// After the label, quieter; may be empty.
    pub(super) detail: String,
    /// For each panel.
    pub(super) cells: Vec<Cell>,
}

/// What a row has in one panel.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    /// Shaded behind the points.
    pub(super) band: Option<Interval>,
    pub(super) marks: Vec<Mark>,
}

/// A point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) value: f64,
    pub(super) ci: Option<Interval>,
    pub(super) shape: Shape,
    pub(super) paint: Paint,
}

/// How a point looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Full,
    Hollow,
    /// One of many that may lie on each other.
    Faint,
    /// An upright line.
    Bar,
}

/// A quantity with an axis of its own.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) per_cent: bool,
    /// A dashed line.
    pub(super) reference: Option<f64>,
}

impl Panel {
    /// Accuracy with the majority's share, and AUROC with chance; AUROC only where there is one.
    pub(super) fn both(majority: f64, auroc: bool) -> Vec<Self> {
        let accuracy = Self { title: "Accuracy", per_cent: true, reference: Some(majority) };
        let ranking = Self { title: "AUROC", per_cent: false, reference: Some(0.5) };
        if auroc { vec![accuracy, ranking] } else { vec![accuracy] }
    }
}

/// A plot for wide pages and one for phones.
pub(super) fn figure(rows: &[Row], panels: &[Panel], label: &str) -> [String; 2] {
    let all: Vec<usize> = (0..panels.len()).collect();
    let wide = draw(rows, panels, &all, &WIDE, label);
    let narrow = all.iter().map(|&panel| draw(rows, panels, &[panel], &NARROW, label)).collect();
    [wide, narrow]
}

/// Sizes in pixels.
struct Format {
    width: i32,
    /// Between rows.
    row: f64,
    text: i32,
    /// Labels stand over their rows instead of beside them.
    above: bool,
}

const WIDE: Format = Format { width: 960, row: 25.0, text: 13, above: false };
const NARROW: Format = Format { width: 360, row: 41.0, text: 12, above: true };
const LABELS: i32 = 360; // at most, where they stand beside their rows
const GAP: f64 = 48.0; // between panels
const EDGE: f64 = 18.0; // half a number at the end of an axis
const HEAD: f64 = 30.0;
const FOOT: f64 = 26.0;

fn draw(rows: &[Row], panels: &[Panel], shown: &[usize], format: &Format, label: &str) -> String {
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let width = f64::from(format.width);
    let bottom = HEAD + format.row * count(rows.len());
    let mut canvas = Canvas::new(width, bottom + FOOT);
    let widest = rows.iter().map(|r| label_width(r, format.text)).max().unwrap_or_default().min(LABELS);
    let left = if format.above { EDGE } else { f64::from(widest) + 22.0 };
    let room = (width - EDGE - left - GAP * (count(shown.len()) - 1.0)) / count(shown.len().max(1));
    for (place, &index) in shown.iter().enumerate() {
        let Some(panel) = panels.get(index) else { continue };
        let from = left + count(place) * (room + GAP);
        let axis = Axis::new(range(rows, index, panel), [from, from + room], 48.0);
        frame(&mut canvas, panel, &axis, [HEAD, bottom], format.text);
        for (number, row) in rows.iter().enumerate() {
            let middle = HEAD + format.row * (count(number) + if format.above { 0.72 } else { 0.5 });
            if let Some(cell) = row.cells.get(index) {
                points(&mut canvas, cell, &axis, middle, format.row * if format.above { 0.2 } else { 0.3 });
            }
        }
    }
    for (number, row) in rows.iter().enumerate() {
        let top = HEAD + format.row * count(number);
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

/// Steps of 0.05 around everything in a panel, within 0 and 1.
fn range(rows: &[Row], panel: usize, about: &Panel) -> Interval {
    let cells = || rows.iter().filter_map(|r| r.cells.get(panel));
    let marks =
        cells().flat_map(|c| &c.marks).flat_map(|m| [m.value].into_iter().chain(m.ci.into_iter().flatten()));
    let bands = cells().filter_map(|c| c.band).flatten();
    let values = marks.chain(bands).chain(about.reference).filter(|v| v.is_finite());
    let (low, high) = values.fold((1.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return [0.0, 1.0];
    }
    let low = ((low - 0.005) * 20.0).floor() / 20.0;
    let high = ((high + 0.005) * 20.0).ceil() / 20.0;
    let missing = (0.2 - (high - low)).max(0.0) / 2.0;
    [(low - missing).max(0.0), (high + missing).min(1.0)]
}

fn frame(canvas: &mut Canvas, panel: &Panel, axis: &Axis, [top, bottom]: Interval, text: i32) {
    let [from, to] = axis.ends();
    canvas.text((from, 10.0), text, Anchor::Start, QUIET, panel.title);
    for tick in axis.ticks() {
        let x = axis.at(tick);
        canvas.line((x, top - 4.0), (x, bottom), LINE, 1.0);
        let number = if panel.per_cent { format!("{:.0} %", 100.0 * tick) } else { format!("{tick:.2}") };
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
        // Two intervals in one row lie beside each other.
        let place = full.iter().position(|m| std::ptr::eq(*m, mark)).unwrap_or_default();
        let shift = if full.len() == 2 { half * if place == 0 { -0.45 } else { 0.45 } } else { 0.0 };
        if let Some([low, high]) = mark.ci {
            canvas.line((axis.at(low), y + shift), (axis.at(high), y + shift), mark.paint, 1.6);
        }
        match mark.shape {
            Shape::Full => canvas.disc((x, y + shift), 4.4, mark.paint, 1.0),
            Shape::Hollow => canvas.ring((x, y + shift), 3.8, mark.paint),
            Shape::Faint => canvas.disc((x, y), 4.0, mark.paint, 0.45),
            Shape::Bar => canvas.line((x, y - half * 1.1), (x, y + half * 1.1), mark.paint, 2.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_drawn_once_for_each_width() {
        let mark = |value, shape| Mark { value, ci: Some([value - 0.1, value + 0.1]), shape, paint: TEXT };
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
        for svg in figure(&rows, &Panel::both(0.55, true), "rows") {
            assert_eq!(svg.matches("<circle").count(), 12);
            assert_eq!(svg.matches("<rect").count(), 6);
            assert!(svg.contains("row &lt;0.5&gt;") && svg.contains("Accuracy") && svg.contains("AUROC"));
        }
        let empty = range(&[], 0, &Panel { title: "", per_cent: true, reference: None });
        assert!(empty[0] < 0.01 && empty[1] > 0.99);
    }
}

//! Statements on a plane, with the directions of probes in it.

use std::fmt::Write as _;

use super::axes::coordinate;
use super::canvas::{Anchor, At, Canvas, Figure, Target};
use super::legend::{self, Swatch};
use super::marks::Shape;
use super::palette::{FALSE, LINE, QUIET, TEXT, TRUE, method_ink};
use super::text::fitting;
use crate::numbers::percent;
use crate::report::{PointMarks, Projection, Report, RowKind};

/// The widths of a picture on its own, in pixels.
const WIDE: i32 = 620;
const NARROW: i32 = 360;
/// Of the whole strip, and pictures in a row.
const STRIP: (i32, usize) = (960, 4);
const NARROW_STRIP: (i32, usize) = (360, 2);
/// The dashed circle's radius, as a share of the picture's shorter half.
const CIRCLE: f64 = 0.82;

/// What the points of every layer are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Points<'a> {
    /// Whether each one's plus side, or statement, is true.
    pub(crate) labels: &'a [bool],
    /// What their marks tell apart.
    pub(crate) marks: Option<&'a PointMarks>,
}

impl Points<'_> {
    /// The mark of a row.
    fn shape(&self, place: usize) -> Shape {
        let value = self.marks.and_then(|marks| marks.of_row.get(place).copied()).unwrap_or_default();
        Shape::ALL.get(value).copied().unwrap_or(Shape::Disc)
    }
}

/// One layer in full.
pub(crate) fn figure(report: &Report, of: &Projection, points: Points<'_>) -> Figure {
    let draw = |width| single(report, of, points, width);
    Figure { wide: draw(WIDE), narrow: draw(NARROW) }
}

/// Layers one after another, each with its first `rows` rows.
pub(crate) fn strip(report: &Report, layers: &[Projection], points: Points<'_>, rows: usize) -> Figure {
    let draw = |(width, columns)| several(report, layers, points, rows, width, columns);
    Figure { wide: draw(STRIP), narrow: draw(NARROW_STRIP) }
}

fn single(report: &Report, of: &Projection, points: Points<'_>, width: i32) -> String {
    let text = if width < 500 { 12 } else { 13 };
    let height = width * 3 / 4;
    // Drawn once to know how high the legend is.
    let rows = |canvas: &mut Canvas| legend::draw(canvas, &key(report, of, points), width, text, 4);
    let top = rows(&mut Canvas::new(Target::Page, (1.0, 1.0))) + 6;
    let mut canvas = Canvas::new(Target::Page, (f64::from(width), f64::from(top + height + 22)));
    rows(&mut canvas);
    let frame =
        Frame { left: 20.0, top: f64::from(top), width: f64::from(width - 21), height: f64::from(height) };
    frame.fill(&mut canvas, of, points, of.plus_x.len(), 3.2);
    let [first, second] = of.explained.map(percent);
    let below = (frame.left + frame.width / 2.0, frame.top + frame.height + 12.0);
    canvas.text(below, text - 1, Anchor::Middle, QUIET, &format!("first component ({first}) \u{2192}"));
    canvas.upward(
        (9.0, frame.top + frame.height / 2.0),
        text - 1,
        QUIET,
        &format!("second ({second}) \u{2192}"),
    );
    canvas.described(
        &format!("Statements on two principal components at layer {}", of.layer),
        &description(report, of, points.labels),
    )
}

fn key(report: &Report, of: &Projection, points: Points<'_>) -> Vec<(Swatch, String)> {
    let mut items = match report.row_kind {
        RowKind::Pairs => vec![
            (Swatch::Disc(TRUE), "true, affirmed".to_owned()),
            (Swatch::Circle(TRUE), "true, negated".to_owned()),
            (Swatch::Disc(FALSE), "false, affirmed".to_owned()),
            (Swatch::Circle(FALSE), "false, negated".to_owned()),
        ],
        RowKind::Statements => {
            vec![(Swatch::Disc(TRUE), "true".to_owned()), (Swatch::Disc(FALSE), "false".to_owned())]
        }
    };
    if let Some(marks) = points.marks {
        let value = |(value, shape): (&String, Shape)| (Swatch::Mark(shape, QUIET), fitting(value, 12, 160));
        items.extend(marks.values.iter().zip(Shape::ALL).map(value));
    }
    items.extend(of.directions.iter().map(|direction| {
        let title = fitting(&report.title(direction.method), 12, 200);
        (Swatch::Arrow(method_ink(direction.method)), title)
    }));
    items
}

fn several(
    report: &Report,
    layers: &[Projection],
    points: Points<'_>,
    rows: usize,
    width: i32,
    columns: usize,
) -> String {
    let (gap, head) = (12.0, 20.0);
    let columns = columns.min(layers.len()).max(1);
    let side = (f64::from(width) - gap * coordinate(columns - 1)) / coordinate(columns);
    let height = 0.8 * side;
    let count = layers.len().div_ceil(columns);
    let mut canvas = Canvas::new(Target::Page, (f64::from(width), coordinate(count) * (height + head + gap)));
    for (number, layer) in layers.iter().enumerate() {
        let left = coordinate(number % columns) * (side + gap);
        let top = coordinate(number / columns) * (height + head + gap);
        canvas.text((left, top + 9.0), 12, Anchor::Start, TEXT, &format!("Layer {}", layer.layer));
        let frame = Frame { left, top: top + head, width: side - 1.0, height };
        frame.fill(&mut canvas, layer, points, rows, 2.2);
    }
    let description: Vec<String> =
        layers.iter().map(|layer| description(report, layer, points.labels)).collect();
    canvas.described("Statements on two principal components, by layer", &description.join(" "))
}

/// What the picture shows, for readers who cannot see it: where the means lie.
fn description(report: &Report, of: &Projection, labels: &[bool]) -> String {
    let mean = |wanted: bool, xs: [&[f64]; 2]| {
        let [plus, minus] = xs;
        let plus = plus.iter().zip(labels).filter(|(_, label)| **label == wanted);
        let minus = minus.iter().zip(labels).filter(|(_, label)| **label != wanted);
        let values: Vec<f64> = plus.chain(minus).map(|(value, _)| *value).filter(|v| v.is_finite()).collect();
        values.iter().sum::<f64>() / coordinate(values.len().max(1))
    };
    let at = |wanted| {
        let (x, y) = (mean(wanted, [&of.plus_x, &of.minus_x]), mean(wanted, [&of.plus_y, &of.minus_y]));
        format!("{x:.2}, {y:.2}")
    };
    let mut text = format!(
        "Layer {}: true statements lie around {}, false ones around {}.",
        of.layer,
        at(true),
        at(false)
    );
    for direction in &of.directions {
        let _ = write!(
            text,
            " The direction of {} has {} of its length in the plane.",
            report.title(direction.method),
            percent(direction.share())
        );
    }
    text
}

/// Where a picture is, in pixels.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Frame {
    /// Points and arrows. Both axes have the same scale, so that angles are those of the states.
    fn fill(&self, canvas: &mut Canvas, of: &Projection, points: Points<'_>, rows: usize, radius: f64) {
        let Self { left, top, width, height } = *self;
        let center = (left + width / 2.0, top + height / 2.0);
        for (from, to) in [
            ((left, top), (left + width, top)),
            ((left, top + height), (left + width, top + height)),
            ((left, top), (left, top + height)),
            ((left + width, top), (left + width, top + height)),
            ((left, center.1), (left + width, center.1)),
            ((center.0, top), (center.0, top + height)),
        ] {
            canvas.line(from, to, LINE, 1.0);
        }
        let scale = self.scale(of, rows, radius + 2.0);
        let at = |x: f64, y: f64| -> At { (center.0 + scale * x, center.1 - scale * y) };
        let places = points.labels.iter().take(rows).enumerate();
        for (place, &label) in places {
            let point = |xs: &[f64], ys: &[f64]| Some(at(*xs.get(place)?, *ys.get(place)?));
            let ink = |truth: bool| if truth { TRUE } else { FALSE };
            if let Some(at) = point(&of.minus_x, &of.minus_y) {
                points.shape(place).outline(canvas, at, radius - 0.4, ink(!label), 0.75);
            }
            if let Some(at) = point(&of.plus_x, &of.plus_y) {
                points.shape(place).fill(canvas, at, radius, ink(label), 0.7);
            }
        }
        let reach = CIRCLE * width.min(height) / 2.0;
        if !of.directions.is_empty() {
            canvas.dashed_circle(center, reach, QUIET);
        }
        // The shorter ones on top, where they are seen.
        let mut directions = of.directions.clone();
        directions.sort_by(|a, b| b.share().total_cmp(&a.share()));
        for direction in &directions {
            let end = (center.0 + reach * direction.x, center.1 - reach * direction.y);
            canvas.arrow(center, end, method_ink(direction.method), if radius > 3.0 { 2.6 } else { 2.0 });
        }
    }

    /// Pixels of one unit.
    fn scale(&self, of: &Projection, rows: usize, margin: f64) -> f64 {
        let furthest = |values: [&[f64]; 2]| {
            let all = values.into_iter().flat_map(|values| values.iter().take(rows));
            all.filter(|v| v.is_finite()).fold(0.0f64, |most, v| most.max(v.abs()))
        };
        let fits = |pixels: f64, most: f64| {
            if most > 0.0 { (pixels / 2.0 - margin) / most } else { f64::INFINITY }
        };
        let scale = fits(self.width, furthest([&of.plus_x, &of.minus_x]))
            .min(fits(self.height, furthest([&of.plus_y, &of.minus_y])));
        if scale.is_finite() { scale } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::palette::CCS;
    use super::*;
    use crate::method::Method;
    use crate::report::ProjectedDirection;

    const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/report.json");

    fn report() -> Report {
        Report::from_json(FIXTURE).unwrap()
    }

    fn projection() -> Projection {
        Projection {
            layer: 7,
            explained: [0.5, 0.25],
            plus_x: vec![1.0, -2.0, f64::NAN],
            plus_y: vec![0.5, 0.0, 0.0],
            minus_x: vec![-1.0, 2.0, 0.0],
            minus_y: vec![0.0, 0.1, 0.0],
            directions: vec![ProjectedDirection { method: Method::CCS, x: 0.6, y: 0.0 }],
        }
    }

    #[test]
    fn every_statement_is_drawn_once_and_the_arrow_has_its_share() {
        let drawn =
            single(&report(), &projection(), Points { labels: &[true, false, true], marks: None }, 620);
        // Two discs and two circles are the legend's; the statement that is not a number is left out.
        let count = |part: &str| drawn.matches(part).count();
        assert_eq!(count("<circle"), 4 + 5 + 1, "{drawn}");
        assert_eq!(count(" opacity=\"0.7\""), 2);
        assert!(
            drawn.contains("<desc>Layer 7: ")
                && drawn.contains("60.0% of its length")
                && !drawn.contains("NaN")
        );
        // The picture is 599 by 465: the circle's radius is .82 of half its height, and the arrow .6 of that.
        let tip = 20.0 + 599.0 / 2.0 + 0.6 * 0.82 * 465.0 / 2.0;
        assert!(drawn.contains(&format!("<polygon points=\"{tip:.2},")), "{tip}: {drawn}");
        assert!(drawn.contains(&format!("var(--{})", CCS.name)));
    }

    #[test]
    fn marks_tell_values_and_the_legend_names_them() {
        let marks = PointMarks {
            column: "topic".to_owned(),
            values: ["cities", "numbers"].map(str::to_owned).into(),
            of_row: vec![0, 1, 1],
        };
        let points = Points { labels: &[true, false, true], marks: Some(&marks) };
        let drawn = single(&report(), &projection(), points, 620);
        // The first row has two discs, the second two triangles, and the third, whose plus side is not a number, one; the legend
        // has one of either beside its four circles. An arrow has a head, here and in the legend.
        let count = |part: &str| drawn.matches(part).count();
        assert_eq!((count("<circle"), count("<polygon")), (4 + 1 + 2 + 1, 1 + 2 + 1 + 2), "{drawn}");
        assert!(drawn.contains("cities") && drawn.contains("numbers"));
    }

    #[test]
    fn a_strip_has_a_picture_a_layer() {
        let layers = vec![projection(); 5];
        let Figure { wide, narrow } =
            strip(&report(), &layers, Points { labels: &[true, false, true], marks: None }, 2);
        for svg in [wide, narrow] {
            assert_eq!(svg.matches("Layer 7</text>").count(), 5);
            assert_eq!(svg.matches("<circle").count(), 5 * (4 + 1));
        }
    }
}

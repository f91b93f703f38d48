//! Statements along the two directions of TTPD: color says whether they are true, the mark whether they are negated.

use super::canvas::{Anchor, Canvas, Figure, Target};
use super::legend::{self, Swatch};
use super::marks::Shape;
use super::palette::{FALSE, LINE, QUIET, TRUE};
use crate::report::TruthPlane;

/// The widths, in pixels.
const WIDE: i32 = 620;
const NARROW: i32 = 360;

pub(crate) fn figure(of: &TruthPlane) -> Figure {
    Figure { wide: draw(of, WIDE), narrow: draw(of, NARROW) }
}

/// The mark of a statement.
fn shape(affirmative: bool) -> Shape {
    if affirmative { Shape::Disc } else { Shape::Triangle }
}

fn draw(of: &TruthPlane, width: i32) -> String {
    let text = if width < 500 { 12 } else { 13 };
    let key = [(TRUE, true), (TRUE, false), (FALSE, true), (FALSE, false)].map(|(ink, affirmative)| {
        let name = format!(
            "{}, {}",
            if ink == TRUE { "true" } else { "false" },
            if affirmative { "affirmative" } else { "negated" }
        );
        (Swatch::Mark(shape(affirmative), ink), name)
    });
    let height = width * 3 / 4;
    // Drawn once to know how high the legend is.
    let top = legend::draw(&mut Canvas::new(Target::Page, (1.0, 1.0)), &key, width, text, 4) + 6;
    let mut canvas = Canvas::new(Target::Page, (f64::from(width), f64::from(top + height + 22)));
    legend::draw(&mut canvas, &key, width, text, 4);
    let (left, top, wide, high) = (20.0, f64::from(top), f64::from(width - 21), f64::from(height));
    let center = (left + wide / 2.0, top + high / 2.0);
    for (from, to) in [
        ((left, top), (left + wide, top)),
        ((left, top + high), (left + wide, top + high)),
        ((left, top), (left, top + high)),
        ((left + wide, top), (left + wide, top + high)),
        ((left, center.1), (left + wide, center.1)),
        ((center.0, top), (center.0, top + high)),
    ] {
        canvas.line(from, to, LINE, 1.0);
    }
    // The two directions have lengths of their own: each axis has its own scale.
    let [across, up] = [&of.general, &of.sensitive].map(|values| scale(values));
    let points = of.general.iter().zip(&of.sensitive).zip(of.labels.iter().zip(&of.affirmative));
    for ((x, y), (&label, &affirmative)) in points {
        if x.is_finite() && y.is_finite() {
            let at = (center.0 + across * x * (wide / 2.0 - 6.0), center.1 - up * y * (high / 2.0 - 6.0));
            shape(affirmative).fill(&mut canvas, at, 3.2, if label { TRUE } else { FALSE }, 0.7);
        }
    }
    let below = (center.0, top + high + 12.0);
    canvas.text(below, text - 1, Anchor::Middle, QUIET, "general truth, t_G \u{2192}");
    canvas.upward((9.0, center.1), text - 1, QUIET, "polarity-sensitive, t_P \u{2192}");
    canvas.described(&format!("Statements along TTPD's directions at layer {}", of.layer), &description(of))
}

/// One over the furthest.
fn scale(values: &[f64]) -> f64 {
    let most = values.iter().filter(|v| v.is_finite()).fold(0.0f64, |most, v| most.max(v.abs()));
    if most > 0.0 { 1.0 / most } else { 1.0 }
}

/// Where the means lie, for readers who cannot see them.
fn description(of: &TruthPlane) -> String {
    let mean = |values: &[f64], label: bool, affirmative: bool| {
        let of_kind = of.labels.iter().zip(&of.affirmative).map(|(l, a)| (*l, *a) == (label, affirmative));
        let kept: Vec<f64> =
            values.iter().zip(of_kind).filter(|(v, kept)| *kept && v.is_finite()).map(|(v, _)| *v).collect();
        kept.iter().sum::<f64>() / super::axes::coordinate(kept.len().max(1))
    };
    let part = |(name, label, affirmative): (&str, bool, bool)| {
        let (x, y) = (mean(&of.general, label, affirmative), mean(&of.sensitive, label, affirmative));
        format!("{name} around {x:.2}, {y:.2}")
    };
    let parts = [
        ("true affirmative statements", true, true),
        ("true negated ones", true, false),
        ("false affirmative ones", false, true),
        ("false negated ones", false, false),
    ];
    format!("Layer {}: {}.", of.layer, parts.map(part).join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_tell_negated_statements_and_colors_true_ones() {
        let of = TruthPlane {
            layer: 3,
            rows: vec![4, 5, 6],
            labels: vec![true, false, true],
            affirmative: vec![true, false, false],
            general: vec![2.0, -1.0, f64::NAN],
            sensitive: vec![0.5, 0.25, 0.0],
            cosine: 0.1,
        };
        let drawn = draw(&of, WIDE);
        // Two of each are the legend's; the statement that is not a number is left out.
        assert_eq!(
            (drawn.matches("<circle").count(), drawn.matches("<polygon").count()),
            (2 + 1, 2 + 1),
            "{drawn}"
        );
        assert!(
            drawn.contains("true affirmative statements around 2.00, 0.50") && !drawn.contains("NaN"),
            "{drawn}"
        );
    }
}

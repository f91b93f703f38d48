//! What the marks of a figure mean, in rows above it.

use super::canvas::{Anchor, Canvas};
use super::marks::Shape;
use super::palette::{CCS, Ink, LR, RANDOM, TEXT, ZERO_SHOT};
use super::text::text_width;

/// A mark.
#[derive(Debug, Clone, Copy)]
pub(super) enum Swatch {
    Circles,
    Squares,
    ZeroShot,
    Band,
    Dashes,
    Ring,
    Hollow,
    /// A colored disc.
    Disc(Ink),
    /// A colored mark.
    Mark(Shape, Ink),
    /// A colored circle with nothing inside.
    Circle(Ink),
    /// The arrow of a direction.
    Arrow(Ink),
}

const SWATCH: i32 = 26; // pixels, as all that follow
const GAP: i32 = 6;
const BETWEEN: i32 = 16;
const MARGIN: i32 = 8;

/// Draws marks and texts from `top` on, in as many rows as `width` needs, and returns where they end.
pub(super) fn draw(canvas: &mut Canvas, items: &[(Swatch, String)], width: i32, size: i32, top: i32) -> i32 {
    let row = size + 8;
    let (mut x, mut y) = (MARGIN, top + row / 2);
    for (swatch, text) in items {
        let item = SWATCH + GAP + text_width(text, size);
        if x > MARGIN && x + item > width - MARGIN {
            (x, y) = (MARGIN, y + row);
        }
        mark(canvas, *swatch, f64::from(x), f64::from(y));
        let at = (f64::from(x + SWATCH + GAP), f64::from(y));
        canvas.text(at, size, Anchor::Start, TEXT, text);
        x += item + BETWEEN;
    }
    y + row / 2
}

/// A mark from its left end.
fn mark(canvas: &mut Canvas, swatch: Swatch, x: f64, y: f64) {
    let length = f64::from(SWATCH);
    let (from, to, middle) = ((x, y), (x + length, y), (x + length / 2.0, y));
    let band = |canvas: &mut Canvas, ink: Ink, opacity: f64| {
        canvas.rectangle((x, y - 5.0), (length, 10.0), ink, opacity);
    };
    match swatch {
        Swatch::Circles => {
            canvas.line(from, to, CCS, 1.8);
            canvas.disc(middle, 4.0, CCS, 1.0);
        }
        Swatch::Squares => {
            canvas.line(from, to, LR, 1.8);
            canvas.square(middle, 4.0, LR);
        }
        Swatch::ZeroShot => {
            band(canvas, ZERO_SHOT, 0.12);
            canvas.line(from, to, ZERO_SHOT, 1.8);
        }
        Swatch::Band => {
            band(canvas, RANDOM, 0.28);
            canvas.line(from, to, RANDOM, 1.2);
        }
        Swatch::Dashes => canvas.dashes(from, to, TEXT),
        Swatch::Ring => {
            canvas.disc(middle, 2.7, TEXT, 1.0);
            canvas.ring(middle, 7.0, TEXT);
        }
        Swatch::Hollow => canvas.hollow_disc(middle, 4.0, TEXT),
        Swatch::Mark(shape, ink) => shape.fill(canvas, middle, 4.0, ink, 0.8),
        Swatch::Disc(ink) => canvas.disc(middle, 4.0, ink, 0.8),
        Swatch::Circle(ink) => canvas.circle_line(middle, 3.6, ink, 0.9),
        Swatch::Arrow(ink) => canvas.arrow(from, to, ink, 2.2),
    }
}

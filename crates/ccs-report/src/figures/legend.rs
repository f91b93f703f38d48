//! What the marks of a plot mean, in rows above it.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::plot::{
    Area, CCS, Drawn, Failure, Format, Ink, LR, PAPER, RANDOM, SCALE, TEXT, ZERO_SHOT, dashes,
};

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
}

const SWATCH: i32 = 26; // pixels, as all that follow
const GAP: i32 = 6;
const BETWEEN: i32 = 16;
const MARGIN: i32 = 8;

/// Draws marks and texts from `top` on, in as many rows as they need, and returns where they end. Pixels.
pub(super) fn draw(
    root: &Area<'_>,
    items: &[(Swatch, String)],
    format: Format,
    top: i32,
) -> Result<i32, Failure> {
    let row = format.text + 8;
    let (mut x, mut y) = (MARGIN, top + row / 2);
    let style = TEXT.text(format.text, Pos::new(HPos::Left, VPos::Center));
    for (swatch, text) in items {
        let width = SWATCH + GAP + text_width(text, format.text);
        if x > MARGIN && x + width > format.width - MARGIN {
            (x, y) = (MARGIN, y + row);
        }
        mark(root, *swatch, (x * SCALE, y * SCALE))?;
        root.draw(&Text::new(text.as_str(), ((x + SWATCH + GAP) * SCALE, y * SCALE), style.clone()))?;
        x += width + BETWEEN;
    }
    Ok(y + row / 2)
}

/// About how wide a text becomes in a wide one of the common sans-serif fonts: it is set by whoever shows the plot.
pub(super) fn text_width(text: &str, size: i32) -> i32 {
    let hundredths = |c: char| match c {
        'i' | 'j' | 'l' | 'f' | 'r' | 't' | ' ' | ',' | '.' | ':' => 36,
        'm' | 'w' | '%' => 95,
        c if c.is_uppercase() => 70,
        _ => 62,
    };
    (text.chars().map(hundredths).sum::<i32>() * size + 99) / 100
}

/// A mark from its left end, in units.
fn mark(root: &Area<'_>, swatch: Swatch, (x, y): (i32, i32)) -> Drawn {
    let (end, middle) = (x + SWATCH * SCALE, x + SWATCH * SCALE / 2);
    let line = |ink: Ink| PathElement::new(vec![(x, y), (end, y)], ink.stroke(18));
    let band = |half: i32| [(x, y - half * SCALE), (end, y + half * SCALE)];
    let r = 4 * SCALE;
    match swatch {
        Swatch::Circles => {
            root.draw(&line(CCS))?;
            root.draw(&Circle::new((middle, y), r, CCS.fill(1.0)))
        }
        Swatch::Squares => {
            root.draw(&line(LR))?;
            root.draw(&Rectangle::new([(middle - r, y - r), (middle + r, y + r)], LR.fill(1.0)))
        }
        Swatch::ZeroShot => {
            root.draw(&Rectangle::new(band(5), ZERO_SHOT.fill(0.12)))?;
            root.draw(&line(ZERO_SHOT))
        }
        Swatch::Band => {
            root.draw(&Rectangle::new(band(5), RANDOM.fill(0.28)))?;
            root.draw(&PathElement::new(vec![(x, y), (end, y)], RANDOM.stroke(12)))
        }
        Swatch::Dashes => root.draw(&dashes([(x, y), (end, y)], TEXT)),
        Swatch::Ring => {
            root.draw(&Circle::new((middle, y), r * 2 / 3, TEXT.fill(1.0)))?;
            root.draw(&Circle::new((middle, y), r * 7 / 4, TEXT.stroke(15)))
        }
        Swatch::Hollow => {
            root.draw(&Circle::new((middle, y), r, PAPER.fill(1.0)))?;
            root.draw(&Circle::new((middle, y), r, TEXT.stroke(13)))
        }
    }
}

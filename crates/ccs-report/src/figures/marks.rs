//! Marks of different shapes, which tell groups of points where color tells something else.

use super::canvas::{At, Canvas};
use super::palette::Ink;

/// A mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Disc,
    Triangle,
    Square,
    Diamond,
}

impl Shape {
    /// In the order of groups.
    pub(super) const ALL: [Self; 4] = [Self::Disc, Self::Triangle, Self::Square, Self::Diamond];

    /// Filled.
    pub(super) fn fill(self, canvas: &mut Canvas, at: At, radius: f64, ink: Ink, opacity: f64) {
        match self.corners(at, radius) {
            Some(corners) => canvas.polygon(&corners, ink, opacity),
            None => canvas.disc(at, radius, ink, opacity),
        }
    }

    /// Its outline.
    pub(super) fn outline(self, canvas: &mut Canvas, at: At, radius: f64, ink: Ink, opacity: f64) {
        match self.corners(at, radius) {
            Some(corners) => canvas.polygon_line(&corners, ink, opacity),
            None => canvas.circle_line(at, radius, ink, opacity),
        }
    }

    /// About as large as a disc of that radius; none of a disc.
    fn corners(self, (x, y): At, radius: f64) -> Option<Vec<At>> {
        let at = |(dx, dy): (f64, f64)| (x + radius * dx, y + radius * dy);
        Some(match self {
            Self::Disc => return None,
            Self::Triangle => [(0.0, -1.4), (1.25, 0.9), (-1.25, 0.9)].map(at).to_vec(),
            Self::Square => [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)].map(at).to_vec(),
            Self::Diamond => [(0.0, -1.35), (1.35, 0.0), (0.0, 1.35), (-1.35, 0.0)].map(at).to_vec(),
        })
    }
}

//! Methods that find one direction after another.

use serde::Serialize;

use super::scores::Scores;
use crate::figures::palette::class;
use crate::method::Method;
use crate::report::Report;

/// The directions that a method found one after another at its chosen layer.
#[derive(Debug, Serialize)]
pub(super) struct Directions {
    method: String,
    class: &'static str,
    layer: usize,
    rows: Vec<Scores>,
}

pub(super) fn directions(report: &Report) -> Vec<Directions> {
    let of = |&method: &Method| {
        let layer = report.chosen_layer(method)?;
        let found = &report.layer(layer)?.methods.get(&method)?.directions;
        let rows: Vec<Scores> = found.iter().map(Scores::new).collect();
        let view = Directions { method: report.title(method), class: class(method), layer, rows };
        (!view.rows.is_empty()).then_some(view)
    };
    report.chosen.keys().filter_map(of).collect()
}

//! Statements on the plane of their principal components.

use std::fmt::Write as _;

use serde::Serialize;

use crate::figures::Figure;
use crate::figures::plane;
use crate::numbers::percent;
use crate::report::{Projection, Report};

/// Pictures of chosen layers, and of layers one after another.
#[derive(Debug, Serialize)]
pub(super) struct ProjectionsView {
    rows: usize,
    train_rows: usize,
    main: Vec<Picture>,
    strip: Option<Figure>,
    layers: usize,
    strip_rows: usize,
    /// The column that marks tell.
    marks: Option<String>,
}

#[derive(Debug, Serialize)]
struct Picture {
    figure: Figure,
    caption: String,
}

pub(super) fn projections(report: &Report) -> Option<ProjectionsView> {
    let of = report.projections.as_ref()?;
    let points = plane::Points { labels: &of.labels, marks: of.marks.as_ref() };
    let main = of.layers.iter().filter(|layer| of.main.contains(&layer.layer));
    let picture = |layer: &Projection| Picture {
        figure: plane::figure(report, layer, points),
        caption: caption(report, layer),
    };
    let strip = of.layers.len() > 1;
    let fewest = of.layers.iter().map(|layer| layer.plus_x.len()).min().unwrap_or_default();
    Some(ProjectionsView {
        rows: of.rows.len(),
        train_rows: of.train_rows,
        main: main.map(picture).collect(),
        strip: strip.then(|| plane::strip(report, &of.layers, points, fewest)),
        layers: of.layers.len(),
        strip_rows: fewest,
        marks: of.marks.as_ref().map(|marks| marks.column.clone()),
    })
}

fn caption(report: &Report, of: &Projection) -> String {
    let [first, second] = of.explained.map(percent);
    let mut text = format!(
        "Layer {}. The components carry {first} and {second} of the training statements' variance.",
        of.layer
    );
    for direction in &of.directions {
        let _ = write!(
            text,
            " Of the direction of {}, {} of its length lies in the plane.",
            report.title(direction.method),
            percent(direction.share())
        );
    }
    text
}

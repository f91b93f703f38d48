//! Several layers together, beside the one chosen.

use serde::Serialize;

use super::scores::{Metric, Scores, auroc_less};
use crate::figures::palette::class;
use crate::method::Method;
use crate::report::{Report, SeveralLayers, Together};

/// A line of the table: a method's layers, put together in one way.
#[derive(Debug, Serialize)]
pub(super) struct SeveralLayersView {
    method: String,
    class: &'static str,
    layers: String,
    way: &'static str,
    test: Scores,
    beyond: Option<Metric>,
}

pub(super) fn several_layers(report: &Report) -> Vec<SeveralLayersView> {
    let mut lines = Vec::new();
    for (&method, found) in &report.several_layers {
        let ways = [("mean of probabilities", &found.mean), ("states side by side", &found.concatenated)];
        let line = |(way, together): (&'static str, &Option<Together>)| {
            together.as_ref().map(|together| view(report, method, found, way, together))
        };
        lines.extend(ways.into_iter().filter_map(line));
    }
    lines
}

fn view(
    report: &Report,
    method: Method,
    found: &SeveralLayers,
    way: &'static str,
    together: &Together,
) -> SeveralLayersView {
    SeveralLayersView {
        method: report.title(method),
        class: class(method),
        layers: found.layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        way,
        test: Scores::new(&together.test),
        beyond: together.auroc_beyond_chosen.as_ref().map(auroc_less),
    }
}

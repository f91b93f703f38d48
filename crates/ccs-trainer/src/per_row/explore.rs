//! What the page to search rows by is given.

use std::collections::HashMap;

use ccs_report::explore::{Explore, ExploredMethod, ExploredRows, Picture};
use ccs_report::{Projections, Report};
use indexmap::IndexMap;

use crate::per_row::about::RunRows;
use crate::per_row::predictions::MethodPredictions;

/// The most rows of a page, which a browser filters and draws at once.
const MOST: usize = 10_000;

/// The rows of a run and what is predicted for them; of more rows than a page holds, test rows come first.
pub(crate) fn explore(report: &Report, rows: &RunRows, methods: &[MethodPredictions]) -> Explore {
    let shown = shown(rows, MOST);
    let picture = report.projections.iter().flat_map(|of| pictures(of, &shown));
    Explore {
        about: report.about.clone(),
        statements: !report.row_kind.is_pairs(),
        left_out: rows.labels.len() - shown.len(),
        rows: about(rows, &shown),
        columns: columns(rows, &shown),
        methods: methods.iter().map(|of| method(report, of, &shown)).collect(),
        marks: report.projections.as_ref().and_then(|of| Some(of.marks.as_ref()?.column.clone())),
        pictures: picture.collect(),
    }
}

/// At most `most` rows, in their order.
fn shown(rows: &RunRows, most: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..rows.labels.len()).collect();
    let rank = |row: &usize| match rows.train.get(*row).copied().flatten() {
        Some(false) => 0,
        Some(true) => 1,
        None => 2,
    };
    all.sort_by_key(|row| (rank(row), *row));
    all.truncate(most);
    all.sort_unstable();
    all
}

fn about(rows: &RunRows, shown: &[usize]) -> ExploredRows {
    let names = |of: &[String]| shown.iter().map(|row| of.get(*row).cloned().unwrap_or_default()).collect();
    let split = |row: &usize| match rows.train.get(*row).copied().flatten() {
        Some(true) => "train",
        Some(false) => "test",
        None => "",
    };
    let texts: Vec<_> = shown.iter().map(|row| rows.texts.get(*row).cloned().flatten()).collect();
    ExploredRows {
        number: shown.to_vec(),
        id: names(&rows.ids),
        question: names(&rows.questions),
        template: names(&rows.templates),
        split: shown.iter().map(split).collect(),
        label: shown.iter().map(|row| rows.labels.get(*row).copied().unwrap_or_default()).collect(),
        text: texts.iter().map(|text| Some(text.as_ref()?.shared.clone())).collect(),
        plus: texts.iter().map(|text| Some(text.as_ref()?.plus.clone())).collect(),
        minus: texts.iter().map(|text| Some(text.as_ref()?.minus.clone())).collect(),
    }
}

fn columns(rows: &RunRows, shown: &[usize]) -> IndexMap<String, Vec<Option<String>>> {
    let of =
        |values: &[Option<String>]| shown.iter().map(|row| values.get(*row).cloned().flatten()).collect();
    rows.columns.iter().map(|(name, values)| (name.clone(), of(values))).collect()
}

fn method(report: &Report, of: &MethodPredictions, shown: &[usize]) -> ExploredMethod {
    let places: HashMap<usize, usize> = of.rows.iter().copied().zip(0..).collect();
    // Places in the lists of the page, which hold what it shows alone.
    let kept: Vec<usize> = shown.iter().filter_map(|row| places.get(row).copied()).collect();
    let mut next = 0..;
    let place = |row: &usize| if places.contains_key(row) { next.next() } else { None };
    let pick = |values: &Vec<f64>| -> Vec<f64> {
        kept.iter().filter_map(|&at| values.get(at).map(|value| short(*value))).collect()
    };
    ExploredMethod {
        name: of.method,
        title: report.title(of.method),
        layer: of.layer,
        place: shown.iter().map(place).collect(),
        score: pick(&of.scores),
        threshold: of.threshold,
        p: of.p.as_ref().map(pick),
        reads: of.reads.as_ref().map(|reads| {
            let read = |at: &usize| reads.get(*at).map(|read| (read.text.clone(), short(read.share)));
            kept.iter().filter_map(read).collect()
        }),
        prediction: kept.iter().filter_map(|&at| of.predicts_true(at)).collect(),
    }
}

/// Six digits, which is more than a page shows; a page of 10,000 rows and all methods would have ten megabytes more.
fn short(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// The layers that have a picture of their own.
fn pictures(of: &Projections, shown: &[usize]) -> Vec<Picture> {
    let place: HashMap<usize, usize> = of.rows.iter().copied().zip(0..).collect();
    let main = of.layers.iter().filter(|layer| of.main.contains(&layer.layer));
    let lay = |values: &[f64]| -> Vec<Option<f64>> {
        shown.iter().map(|row| values.get(*place.get(row)?).copied()).collect()
    };
    main.map(|layer| Picture { layer: layer.layer, x: lay(&layer.plus_x), y: lay(&layer.plus_y) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_rows_come_first_where_there_are_too_many() {
        let rows = RunRows {
            labels: vec![true; 6],
            train: vec![Some(true), Some(false), None, Some(true), Some(false), Some(true)],
            ..RunRows::default()
        };
        assert_eq!((shown(&rows, 9), shown(&rows, 3)), (vec![0, 1, 2, 3, 4, 5], vec![0, 1, 4]));
    }
}

//! Which test rows a report shows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use ccs_report::{Disagreement, Disagreements, ExampleRow, Judged, Method, MethodExamples, RowExamples};

use crate::per_row::about::RunRows;
use crate::per_row::predictions::MethodPredictions;

/// Rows in a list.
const MOST: usize = 10;

/// A test row under one method.
#[derive(Clone, Copy)]
struct Candidate {
    judged: Judged,
    /// Whether the prediction is the label.
    right: bool,
    /// How far the score lies from the threshold.
    margin: f64,
}

/// The rows to show of every method that ranks rows; none where there is no such method.
pub(crate) fn examples(rows: &RunRows, methods: &[MethodPredictions]) -> Option<RowExamples> {
    let mut found = RowExamples::default();
    for of in methods.iter().filter(|of| of.method != Method::MAJORITY) {
        found.methods.insert(of.method, of_method(rows, of));
    }
    found.disagreements = disagreements(rows, methods);
    let lists = found.methods.values().flat_map(|m| m.wrong.iter().chain(&m.right).chain(&m.unsure));
    let disagreed = found.disagreements.iter().flat_map(|d| &d.rows).map(|d| d.row);
    let named: BTreeSet<usize> = lists.map(|judged| judged.row).chain(disagreed).collect();
    found.rows = named.into_iter().filter_map(|row| about(rows, row)).collect();
    (!found.methods.is_empty()).then_some(found)
}

fn about(rows: &RunRows, row: usize) -> Option<ExampleRow> {
    Some(ExampleRow {
        row,
        id: rows.ids.get(row)?.clone(),
        template: rows.templates.get(row)?.clone(),
        label: *rows.labels.get(row)?,
        text: rows.texts.get(row)?.clone(),
    })
}

fn is_test(rows: &RunRows, row: usize) -> bool {
    rows.train.get(row).copied().flatten() == Some(false)
}

fn of_method(rows: &RunRows, of: &MethodPredictions) -> MethodExamples {
    let candidate = |(place, &row): (usize, &usize)| {
        let (score, label) = (of.scores.get(place)?, rows.labels.get(row)?);
        let prediction = *score > of.threshold;
        let p = of.p.as_ref().and_then(|p| p.get(place).copied());
        let judged = Judged { row, prediction, p };
        Some(Candidate { judged, right: prediction == *label, margin: (score - of.threshold).abs() })
    };
    let tested = of.rows.iter().enumerate().filter(|(_, row)| is_test(rows, **row));
    let mut all: Vec<Candidate> = tested.filter_map(candidate).collect();
    all.sort_by(|a, b| b.margin.total_cmp(&a.margin).then(a.judged.row.cmp(&b.judged.row)));
    let surest = |right| one_a_question(rows, all.iter().filter(|c| c.right == right).map(|c| c.judged));
    let (wrong, right) = (surest(false), surest(true));
    all.sort_by(|a, b| a.margin.total_cmp(&b.margin).then(a.judged.row.cmp(&b.judged.row)));
    let unsure = one_a_question(rows, all.iter().map(|c| c.judged));
    MethodExamples { layer: of.layer, wrong, right, unsure }
}

/// The first of each question: ten templates of one would fill a list.
fn one_a_question(rows: &RunRows, sorted: impl Iterator<Item = Judged>) -> Vec<Judged> {
    let mut seen = HashSet::new();
    sorted.filter(|judged| seen.insert(rows.questions.get(judged.row))).take(MOST).collect()
}

/// CCS (of statements, mass mean) and logistic regression, or else the first two methods that have calibrated probabilities.
fn disagreements(rows: &RunRows, methods: &[MethodPredictions]) -> Option<Disagreements> {
    let calibrated: Vec<&MethodPredictions> = methods.iter().filter(|of| of.p.is_some()).collect();
    let named = |method| calibrated.iter().copied().find(|of| of.method == method);
    let leading = || named(Method::CCS).or_else(|| named(Method::MASS_MEAN)); // no run has both
    let [first, second] = match (leading(), named(Method::LR), calibrated.as_slice()) {
        (Some(leading), Some(lr), _) => [leading, lr],
        (.., [first, second, ..]) => [*first, *second],
        _ => return None,
    };
    let p = |of: &MethodPredictions| -> BTreeMap<usize, f64> {
        let values = of.p.iter().flatten().copied();
        of.rows.iter().copied().zip(values).collect()
    };
    let other = p(second);
    let both = p(first).into_iter().filter_map(|(row, p)| Some((row, [p, *other.get(&row)?])));
    let mut all: Vec<Disagreement> =
        both.filter(|(row, _)| is_test(rows, *row)).map(|(row, p)| Disagreement { row, p }).collect();
    all.sort_by(|a, b| distance(b).total_cmp(&distance(a)).then(a.row.cmp(&b.row)));
    let mut seen = HashSet::new();
    all.retain(|d| {
        distance(d).total_cmp(&0.0) == Ordering::Greater && seen.insert(rows.questions.get(d.row))
    });
    all.truncate(MOST);
    Some(Disagreements { methods: [first.method, second.method], rows: all })
}

fn distance(of: &Disagreement) -> f64 {
    let [a, b] = of.p;
    (a - b).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight rows of four questions; the first two trained.
    fn rows() -> RunRows {
        RunRows {
            ids: (0..8).map(|row| format!("r{row}")).collect(),
            questions: (0..8).map(|row| format!("q{}", row / 2)).collect(),
            templates: (0..8).map(|row| format!("t{}", row % 2)).collect(),
            groups: vec![String::new(); 8],
            labels: vec![true, true, true, true, false, false, true, true],
            train: (0..8).map(|row| Some(row < 2)).collect(),
            texts: vec![None; 8],
            ..RunRows::default()
        }
    }

    fn of(method: Method, p: [f64; 8]) -> MethodPredictions {
        MethodPredictions {
            method,
            layer: Some(3),
            rows: (0..8).collect(),
            scores: p.map(|p| 4.0 * p).into(),
            threshold: 2.0,
            sides: None,
            p: Some(p.into()),
            reads: None,
        }
    }

    #[test]
    fn lists_are_of_test_rows_by_sureness_and_show_a_question_once() {
        let ccs = of(Method::CCS, [0.99, 0.01, 0.9, 0.95, 0.8, 0.6, 0.45, 0.2]);
        let found = examples(&rows(), &[ccs]).unwrap();
        let of = &found.methods[&Method::CCS];
        let numbers = |list: &[Judged]| list.iter().map(|judged| judged.row).collect::<Vec<_>>();
        assert_eq!(
            (of.layer, numbers(&of.right)),
            (Some(3), vec![3]),
            "3 is surer than 2 of the same question"
        );
        // Rows 4 and 7 are as sure, and both wrong: by their numbers.
        assert_eq!((numbers(&of.wrong), numbers(&of.unsure)), (vec![4, 7], vec![6, 5, 2]));
        assert_eq!(found.rows.iter().map(|r| r.row).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
        assert!(found.disagreements.is_none());
    }

    #[test]
    fn methods_disagree_by_their_probabilities() {
        let ccs = of(Method::CCS, [0.0, 0.0, 0.9, 0.5, 0.1, 0.5, 0.5, 0.5]);
        let lr = of(Method::LR, [1.0, 1.0, 0.5, 0.5, 0.9, 0.5, 0.5, 0.7]);
        let tpc = of("tpc".parse().unwrap(), [0.5; 8]);
        let found = examples(&rows(), &[ccs.clone(), tpc.clone(), lr]).unwrap().disagreements.unwrap();
        assert_eq!(found.methods, [Method::CCS, Method::LR]);
        assert_eq!(found.rows.iter().map(|d| d.row).collect::<Vec<_>>(), [4, 2, 7]);
        let found = examples(&rows(), &[ccs, tpc]).unwrap().disagreements.unwrap();
        assert_eq!(found.methods[1].name(), "tpc");
    }
}

//! Pictures of statements: what is in them, and that a seed gives the same.

use std::collections::BTreeSet;

use ccs_report::Method;
use ccs_trainer::{Compute, Run, Settings};

use crate::data::{run, three_layers};

fn fit(threads: usize, seed: u64) -> Run {
    let mut settings =
        Settings { directions: 20, folds: 3, seeds: 0, shuffles: 0, seed, ..Settings::default() };
    settings.methods = Some(vec![Method::CCS, Method::LR, Method::MAJORITY]);
    (settings.ccs.max_iter, settings.ccs.n_init) = (200, 2);
    run(&three_layers(600, 6), &settings, Compute { threads, ..Compute::default() }).unwrap()
}

#[test]
fn the_truth_that_was_planted_is_the_first_component_and_the_probes_direction() {
    let done = fit(1, 0);
    let found = done.report.projections.as_ref().unwrap();
    // The constant layer has no picture.
    assert_eq!(found.layers.iter().map(|l| l.layer).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(found.main, [2]);
    assert_eq!(
        (found.train_rows, found.rows.len(), found.labels.len()),
        (done.split.train.row.len(), 200, 200)
    );
    let tested: BTreeSet<usize> = done.split.test.row.iter().copied().collect();
    assert!(found.rows.iter().all(|row| tested.contains(row)));
    let [noise, truth] = found.layers.as_slice() else { panic!() };
    assert_eq!((noise.plus_x.len(), truth.plus_x.len(), truth.minus_y.len()), (100, 200, 200));
    // A variance of 1 + 9 along the truth, and of 1 along five others.
    assert!(
        (truth.explained[0] - 10.0 / 15.0).abs() < 0.05 && truth.explained[1] < 0.12,
        "{:?}",
        truth.explained
    );
    let right = |xs: &[f64], of: bool| {
        xs.iter().zip(&found.labels).filter(|(x, label)| (**x > 0.0) == (**label == of)).count()
    };
    assert!(right(&truth.plus_x, true) > 190 && right(&truth.minus_x, false) > 190, "three spreads apart");
    for direction in &truth.directions {
        assert!(direction.x > 0.95 && direction.share() <= 1.0 + 1e-12, "{direction:?}");
    }
    assert_eq!(truth.directions.iter().map(|d| d.method).collect::<Vec<_>>(), [Method::CCS, Method::LR]);
}

#[test]
fn a_seed_gives_the_same_picture_on_any_number_of_threads() {
    let (one, three) = (fit(1, 5), fit(3, 5));
    assert_eq!(one.report.projections, three.report.projections);
    assert_ne!(one.report.projections.unwrap().rows, fit(1, 6).report.projections.unwrap().rows);
}

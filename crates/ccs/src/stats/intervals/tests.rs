//! Simulated and exact intervals of accuracies and AUROCs.

use super::*;
use crate::stats::metrics::Scored;
use crate::stats::simulated::{Sample, assert_coverage, normal_quantile, share_that_hold};

/// Samples in a cell; four standard errors of them are 5% at a coverage of 92%.
const TIMES: usize = 400;

/// Rows of their own, and groups of five: unrelated, alike, and nearly the same.
fn samples(rows: &[usize]) -> Vec<Sample> {
    let of = |rows: &usize| {
        let alike = |group, alike| Sample { rows: *rows, group, alike };
        [alike(1, 0.0), alike(5, 0.0), alike(5, 0.3), alike(5, 0.8)]
    };
    rows.iter().flat_map(of).collect()
}

#[test]
fn quantiles_interpolate_as_numpy_does() {
    let values = [0.0, 1.0, 2.0, 3.0];
    assert_eq!(quantile(&values, 0.5), Some(1.5));
    assert!((quantile(&values, 0.025).unwrap() - 0.075).abs() < 1e-12);
    assert_eq!(quantile(&values, 1.0), Some(3.0));
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn intervals_of_accuracies_hold_the_truth_as_often_as_they_say() {
    let mut cells = Vec::new();
    for sample in samples(&[20, 60, 200, 400]) {
        for truth in [0.5, 0.7, 0.9, 0.96, 0.99] {
            let clusters = Clusters::new(&vec![true; sample.rows], &sample.groups()).unwrap();
            let share = share_that_hold(&format!("{sample:?} {truth}"), TIMES, |rng| {
                let correct: Vec<bool> =
                    sample.noise(rng).into_iter().map(|noise| noise < normal_quantile(truth)).collect();
                let [low, high] = clusters.accuracy_interval(&correct, MISS).unwrap();
                (low..=high).contains(&truth)
            });
            cells.push((format!("{sample:?}, accuracy {truth}"), share));
        }
    }
    assert_coverage(&cells, TIMES);
}

#[test]
fn intervals_of_aurocs_hold_the_truth_as_often_as_they_say() {
    let mut cells = Vec::new();
    for sample in samples(&[20, 60, 200]) {
        for truth in [0.5, 0.7, 0.9, 0.99] {
            let distance = normal_quantile(truth) * 2f64.sqrt();
            let share = share_that_hold(&format!("{sample:?} {truth}"), TIMES, |rng| {
                let labels = sample.labels(rng);
                let noise = sample.noise(rng).into_iter();
                let scores: Vec<f64> =
                    noise.zip(&labels).map(|(e, &l)| if l { e + distance } else { e }).collect();
                let clusters = Clusters::new(&labels, &sample.groups()).unwrap();
                let placements = Scored::new(&scores, &labels, 0.0).unwrap().placements().unwrap();
                let [low, high] = clusters.auroc_interval(&placements, MISS).unwrap();
                (low..=high).contains(&truth)
            });
            cells.push((format!("{sample:?}, AUROC {truth}"), share));
        }
    }
    assert_coverage(&cells, TIMES);
}

#[test]
fn an_interval_at_the_ceiling_has_a_width() {
    let groups = |of: usize| (0..40).map(|row| (row / of).to_string()).collect::<Vec<_>>();
    let labels: Vec<bool> = (0..40).map(|row| row % 2 == 0).collect();
    let scores: Vec<f64> = (0..40).map(|row| f64::from(u8::from(row % 2 == 0))).collect();
    let widths = |of: usize| {
        let clusters = Clusters::new(&labels, &groups(of)).unwrap();
        let placements = Scored::new(&scores, &labels, 0.5).unwrap().placements().unwrap();
        let [low, high] = clusters.accuracy_interval(&[true; 40], MISS).unwrap();
        let [auroc, top] = clusters.auroc_interval(&placements, MISS).unwrap();
        assert!(high >= 1.0 && top >= 1.0);
        [1.0 - low, 1.0 - auroc]
    };
    let [single, fives] = [widths(1), widths(5)];
    // The exact one-sided bound of 40 right rows of 40 is 1 − 0.025^(1/40) = 0.088, of mid-P 1 − 0.05^(1/40) = 0.072.
    assert!((single[0] - 0.0722).abs() < 1e-3, "{single:?}");
    assert!(
        single[1] > 0.05 && fives[0] > 3.0 * single[0] && fives[1] > 2.0 * single[1],
        "{single:?} {fives:?}"
    );
}

#[test]
fn a_single_group_has_no_interval_and_a_smaller_miss_a_wider_one() {
    let labels = [true, false, true, false];
    let one =
        Clusters::new(&labels, &["a".to_owned(), "a".to_owned(), "a".to_owned(), "a".to_owned()]).unwrap();
    let placements = Scored::new(&[0.9, 0.4, 0.5, 0.6], &labels, 0.5).unwrap().placements().unwrap();
    assert_eq!((one.accuracy_interval(&labels, MISS), one.auroc_interval(&placements, MISS)), (None, None));
    let four = Clusters::new(&labels, &["a", "b", "c", "d"].map(str::to_owned)).unwrap();
    let width = |miss| {
        let [low, high] = four.auroc_interval(&placements, miss).unwrap();
        let [from, to] = four.accuracy_interval(&labels, miss).unwrap();
        (high - low, to - from)
    };
    assert!(width(0.01).0 > width(0.05).0 && width(0.01).1 > width(0.05).1);
}

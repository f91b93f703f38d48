//! Simulated and exact intervals of differences.

use super::*;
use crate::stats::intervals::MISS;
use crate::stats::metrics::Scored;
use crate::stats::simulated::{Sample, assert_coverage, normal_quantile, share_that_hold};

const TIMES: usize = 300;

/// Scores of two methods whose noise has a share in common, and the true AUROC and accuracy of each.
struct Two {
    sample: Sample,
    aurocs: [f64; 2],
    common: f64,
}

impl Two {
    fn draw(&self, rng: &mut impl rand::Rng) -> (Vec<bool>, [Vec<f64>; 2]) {
        let labels = self.sample.labels(rng);
        let common = self.sample.noise(rng);
        let scores = self.aurocs.map(|auroc| {
            let distance = normal_quantile(auroc) / 2f64.sqrt(); // from the boundary, on either side
            let own = self.sample.noise(rng).into_iter().zip(&common);
            own.zip(&labels)
                .map(|((own, common), &label)| {
                    let noise = self.common.sqrt() * common + (1.0 - self.common).sqrt() * own;
                    if label { noise + distance } else { noise - distance }
                })
                .collect()
        });
        (labels, scores)
    }

    fn accuracies(&self) -> [f64; 2] {
        self.aurocs.map(|auroc| normal_cdf(normal_quantile(auroc) / 2f64.sqrt()))
    }
}

#[test]
fn intervals_of_differences_hold_the_truth_as_often_as_they_say() {
    let (mut of_accuracy, mut of_auroc) = (Vec::new(), Vec::new());
    for (rows, group, alike) in [(40, 1, 0.0), (200, 1, 0.0), (60, 5, 0.5), (200, 5, 0.5)] {
        for aurocs in [[0.5, 0.5], [0.8, 0.7], [0.95, 0.95], [0.99, 0.95]] {
            for common in [0.0, 0.7, 0.99] {
                let two = Two { sample: Sample { rows, group, alike }, aurocs, common };
                let name = format!("{rows} rows in groups of {group}, {aurocs:?}, {common} in common");
                let mut held = 0;
                let share = share_that_hold(&name, TIMES, |rng| {
                    let (labels, [first, second]) = two.draw(rng);
                    let clusters = Clusters::new(&labels, &two.sample.groups()).unwrap();
                    let [a, b] = [&first, &second].map(|scores| Scored::new(scores, &labels, 0.0).unwrap());
                    let interval = clusters.accuracy_difference(&a.correct(), &b.correct(), MISS).unwrap();
                    let [right, other] = two.accuracies();
                    held += usize::from((interval[0]..=interval[1]).contains(&(right - other)));
                    let [p, q] = [a, b].map(|scored| scored.placements().unwrap());
                    let [low, high] = clusters.auroc_difference(&p, &q, MISS).unwrap();
                    (low..=high).contains(&(aurocs[0] - aurocs[1]))
                });
                of_auroc.push((format!("AUROC, {name}"), share));
                of_accuracy.push((format!("accuracy, {name}"), held as f64 / TIMES as f64));
            }
        }
    }
    assert_coverage(&of_accuracy, TIMES);
    assert_coverage(&of_auroc, TIMES);
}

#[test]
fn methods_that_agree_on_every_row_may_still_differ() {
    let labels: Vec<bool> = (0..40).map(|row| row % 2 == 0).collect();
    let groups: Vec<String> = (0..40).map(|row| row.to_string()).collect();
    let clusters = Clusters::new(&labels, &groups).unwrap();
    let [low, high] = clusters.accuracy_difference(&labels, &labels, MISS).unwrap();
    // z²/(N + z²), as Wilson's interval of 0 rows of N.
    let want = 3.841_459 / 43.841_459;
    assert!((high - want).abs() < 1e-6 && (low + want).abs() < 1e-6, "{low} {high}");
    let scores: Vec<f64> = (0..40).map(|row| f64::from(row * 7 % 40)).collect();
    let same = Scored::new(&scores, &labels, 0.0).unwrap().placements().unwrap();
    let [low, high] = clusters.auroc_difference(&same, &same, MISS).unwrap();
    assert!(high > 0.05 && high < 0.1 && (low + high).abs() < 1e-12, "{low} {high}");
}

/// From the equations of Tango (1998) in NumPy, with `scipy.optimize.brentq`.
#[test]
fn score_intervals_of_differences_are_tangos() {
    let cases = [
        ([5.0, 2.0, 30.0], [-0.085_507_756_114, 0.288_025_831_272]),
        ([0.0, 3.0, 50.0], [-0.162_170_916_888, 0.015_628_455_081]),
        ([10.0, 10.0, 100.0], [-0.092_160_266_759, 0.092_160_266_759]),
        ([1.0, 0.0, 20.0], [-0.119_181_415_955, 0.236_131_193_447]),
    ];
    for ([first, second, rows], want) in cases {
        let [low, high] = tango(first, second, rows, normal(MISS));
        assert!(
            (low - want[0]).abs() < 1e-9 && (high - want[1]).abs() < 1e-9,
            "{first} {second} {rows}: {low} {high}"
        );
    }
}

#[test]
fn a_random_direction_is_a_choice_of_its_own() {
    let labels: Vec<bool> = (0..60).map(|row| row % 2 == 0).collect();
    let groups: Vec<String> = (0..60).map(|row| row.to_string()).collect();
    let clusters = Clusters::new(&labels, &groups).unwrap();
    let placements = |step: u64| {
        let scores: Vec<f64> = (0..60u64).map(|row| (row * step % 61) as f64).collect();
        Scored::new(&scores, &labels, 0.0).unwrap().placements().unwrap()
    };
    let found = placements(2);
    // One direction many times is that direction.
    let other = placements(7);
    let same = clusters.auroc_beyond_directions(&found, &vec![other.clone(); 5], &[MISS]).unwrap()[0];
    let paired = clusters.auroc_difference(&found, &other, MISS).unwrap();
    assert!((same[0] - paired[0]).abs() < 1e-9 && (same[1] - paired[1]).abs() < 1e-9, "{same:?} {paired:?}");
    // Different ones widen it, and a smaller miss does.
    let many: Vec<Placements> = (3..40).map(placements).collect();
    let both = clusters.auroc_beyond_directions(&found, &many, &[MISS, 0.01]).unwrap();
    assert!(both[0][1] - both[0][0] > paired[1] - paired[0] && both[1][0] < both[0][0]);
    assert_eq!(clusters.auroc_beyond_directions(&found, &[], &[MISS]), None);
}

//! On data whose truth is known: found where it is, not found where it is not.

use ccs::fit::ccs::{CcsOptions, ccs};
use ccs::fit::logistic::{LrOptions, logistic};
use ccs::metrics::Scored;
use ccs::rng::Stream;
use ccs::split::Split;
use ccs::{Contrast, Probe};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use tch::Kind;

use crate::data::Planted;

fn split(pairs: &Contrast) -> (Contrast, Contrast) {
    let split = Split::grouped(pairs.labels(), pairs.groups(), 0.4, &Stream::new(5)).unwrap();
    (pairs.select(&split.train).unwrap(), pairs.select(&split.test).unwrap())
}

/// |cos| of the probe's direction, in normalised coordinates, with the first axis.
fn cosine(probe: &Probe) -> f64 {
    let weight = probe.weight.to_kind(Kind::Double);
    (weight.double_value(&[0]) / weight.norm().double_value(&[])).abs()
}

#[test]
fn a_planted_direction_is_found_by_both_methods() {
    let pairs = Planted::new(600, 16, 3.0, 0).contrast();
    let (train, test) = split(&pairs);
    let ccs = ccs(&train, &CcsOptions::default(), &Stream::new(0)).unwrap().probe;
    let lr = logistic(&train, &LrOptions::default()).unwrap().probe;
    for probe in [ccs, lr] {
        assert!(cosine(&probe) > 0.95, "{}", cosine(&probe));
        assert!(probe.accuracy(&test).unwrap() > 0.98);
    }
}

#[test]
fn shuffled_labels_give_chance() {
    let mut planted = Planted::new(800, 16, 3.0, 0);
    planted.labels.shuffle(&mut Stream::new(1).rng());
    let (train, test) = split(&planted.contrast());
    let ccs = ccs(&train, &CcsOptions::default(), &Stream::new(0)).unwrap().probe;
    let lr = logistic(&train, &LrOptions::default()).unwrap().probe;
    for probe in [ccs, lr] {
        let scores = probe.scores(&test).unwrap();
        let scored = Scored::new(&scores, test.labels(), probe.readout.threshold()).unwrap();
        assert!((scored.accuracy() - 0.5).abs() < 0.08 && (scored.auroc().unwrap() - 0.5).abs() < 0.1);
    }
}

#[test]
fn a_side_that_always_says_yes_does_not_fool_the_normalisation() {
    // The answer's wording, not truth, is the largest difference between the sides: normalisation removes it.
    let mut planted = Planted::new(600, 16, 3.0, 0);
    planted.plus.iter_mut().for_each(|x| *x += 50.0);
    let (train, test) = split(&planted.contrast());
    let probe = ccs(&train, &CcsOptions::default(), &Stream::new(0)).unwrap().probe;
    assert!(probe.accuracy(&test).unwrap() > 0.98);
}

#[test]
fn more_dimensions_than_rows_reach_zero_loss_without_any_truth() {
    let (train, test) = split(&Planted::new(80, 200, 0.0, 3).contrast());
    let fit = ccs(&train, &CcsOptions::default(), &Stream::new(0)).unwrap();
    assert!(fit.terms.total() < 0.01, "{}", fit.terms.total());
    assert!(fit.probe.loss(&test).unwrap().total() > 10.0 * fit.terms.total());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn test_rows_do_not_reach_the_probe(seed: u64, shift in -100f32..100.0) {
        let planted = Planted::new(60, 4, 1.0, 4);
        let original = planted.contrast();
        let split = Split::grouped(original.labels(), original.groups(), 0.4, &Stream::new(seed)).unwrap();
        let mut changed = Planted::new(60, 4, 1.0, 4);
        for &row in &split.test {
            for at in row * 4..row * 4 + 4 {
                changed.plus[at] += shift;
                changed.minus[at] *= shift;
            }
        }
        let options = CcsOptions { epochs: 20, ..CcsOptions::default() };
        let bytes = |pairs: &Contrast| {
            let train = pairs.select(&split.train).unwrap();
            let ccs = ccs(&train, &options, &Stream::new(seed)).unwrap().probe.to_bytes().unwrap();
            let lr = logistic(&train, &LrOptions::default()).unwrap().probe.to_bytes().unwrap();
            (ccs, lr)
        };
        prop_assert!(bytes(&original) == bytes(&changed.contrast()));
    }
}

#[test]
fn swapping_the_sides_and_the_labels_is_the_same_problem() {
    let planted = Planted::new(200, 8, 2.0, 6);
    let pairs = planted.contrast();
    let swapped = Contrast::new(
        pairs.minus().copy(),
        pairs.plus().copy(),
        planted.labels.iter().map(|l| !l).collect(),
        planted.groups(),
    )
    .unwrap();
    let accuracy = |pairs: &Contrast| {
        let (train, test) = split(pairs);
        ccs(&train, &CcsOptions::default(), &Stream::new(0)).unwrap().probe.accuracy(&test).unwrap()
    };
    assert!((accuracy(&pairs) - accuracy(&swapped)).abs() < 0.02);
}

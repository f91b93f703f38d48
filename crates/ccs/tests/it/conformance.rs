//! What every method of the registry must do. A new method is tested by its line there alone.

use ccs::methods::{Entry, Fitted, REGISTRY};
use ccs::normalize::Normalization;
use ccs::probe::Sign;
use ccs::{Contrast, Error, Probe, Result, SeedTree};
use tch::{Device, Kind, Tensor};

use crate::data::Planted;

const ROWS: usize = 120;
const DIM: usize = 6;

fn fit(entry: &Entry, train: &Contrast, seed: u64) -> Result<Fitted> {
    entry.method(Normalization::default()).fit(train, &SeedTree::new(seed))
}

fn bytes(entry: &Entry, train: &Contrast, seed: u64) -> Vec<u8> {
    fit(entry, train, seed).unwrap().probe.to_bytes().unwrap()
}

/// Rows in which truth is easy to find.
fn planted() -> Contrast {
    Planted::new(ROWS, DIM, 3.0, 1).contrast()
}

fn same_values(a: &Tensor, b: &Tensor) -> bool {
    a.size() == b.size() && a.equal(b)
}

/// A method's every refusal says what is wrong with the rows.
fn is_named(error: &Error) -> bool {
    matches!(
        error,
        Error::Constant
            | Error::Singular { .. }
            | Error::NotConverged { .. }
            | Error::Separable
            | Error::Diverged
            | Error::OneClass { .. }
            | Error::TooFewRows { .. }
            | Error::TooFewGroups { .. }
    )
}

#[test]
fn names_are_unique_and_plain() {
    for (place, entry) in REGISTRY.iter().enumerate() {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(!entry.name.is_empty() && entry.name.chars().all(plain), "{}", entry.name);
        assert!(entry.name.len() <= 30, "a report's names are no longer: {}", entry.name);
        assert!(!entry.title.is_empty());
        let others = &REGISTRY[place + 1..];
        assert!(others.iter().all(|other| other.name != entry.name && other.title != entry.title));
    }
}

#[test]
fn a_probe_has_the_states_length_and_one_finite_score_a_pair() {
    let pairs = planted();
    for entry in &REGISTRY {
        let fitted = fit(entry, &pairs, 0).unwrap();
        assert_eq!(fitted.probe.dim(), DIM, "{}", entry.name);
        let scores = fitted.probe.score_pairs(&pairs).unwrap();
        assert_eq!(scores.len(), ROWS, "{}", entry.name);
        assert!(scores.iter().all(|score| score.is_finite()), "{}", entry.name);
        assert!(fitted.objective.is_finite() && fitted.about.is_object(), "{}", entry.name);
        let other = Planted::new(4, DIM + 1, 3.0, 1).contrast();
        assert!(fitted.probe.score_pairs(&other).is_err(), "{}", entry.name);
        assert!(fitted.further.iter().all(|probe| probe.dim() == DIM), "{}", entry.name);
    }
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let pairs = planted();
    for entry in &REGISTRY {
        let first = bytes(entry, &pairs, 3);
        assert!(first == bytes(entry, &pairs, 3), "{}", entry.name);
        if entry.is_deterministic() {
            assert!(first == bytes(entry, &pairs, 4), "{}", entry.name);
        }
    }
}

#[test]
fn folds_fix_what_cross_validation_chooses() {
    let pairs = planted();
    let folds =
        ccs::stats::split::grouped_folds(pairs.labels(), pairs.groups(), 4, &SeedTree::new(1)).unwrap();
    for entry in &REGISTRY {
        let method = entry.method(Normalization::default());
        let Some(tuned) = method.tuned(&pairs, &folds).unwrap() else { continue };
        assert!(tuned.tuned(&pairs, &folds).unwrap().is_none(), "{}: nothing is open any more", entry.name);
        assert!(method.l2().is_none() && tuned.l2().is_some(), "{}", entry.name);
        assert!(!tuned.draws_from_seeds(), "{}", entry.name);
        assert!(method.tuned(&pairs, &[]).is_err(), "{}", entry.name);
    }
}

#[test]
fn less_work_gives_the_same_probe() {
    let pairs = planted();
    for entry in &REGISTRY {
        let Some(method) = entry.method(Normalization::default()).probe_only() else { continue };
        let fitted = method.fit(&pairs, &SeedTree::new(0)).unwrap();
        assert!(fitted.probe.to_bytes().unwrap() == bytes(entry, &pairs, 0), "{}", entry.name);
    }
}

#[test]
fn at_least_half_of_the_training_rows_are_judged_rightly_whatever_the_labels() {
    let pairs = planted();
    let opposite = pairs.relabeled(pairs.labels().iter().map(|label| !label).collect()).unwrap();
    for entry in &REGISTRY {
        let (one, other) = (fit(entry, &pairs, 0).unwrap().probe, fit(entry, &opposite, 0).unwrap().probe);
        assert!(one.accuracy(&pairs).unwrap() >= 0.5 && other.accuracy(&opposite).unwrap() >= 0.5);
        if !entry.uses_labels {
            // The same direction, judged the other way.
            assert!(same_values(one.weight(), other.weight()), "{}", entry.name);
            assert_ne!(i8::from(one.sign()), i8::from(other.sign()), "{}", entry.name);
        }
        assert!(matches!(one.sign(), Sign::Plus | Sign::Minus));
    }
}

/// Two data sets that share the training rows and nothing else.
#[test]
fn no_test_row_has_a_say() {
    let pairs = planted();
    let train: Vec<usize> = (0..ROWS).filter(|row| row % 3 != 0).collect();
    let is_test: Vec<f32> = (0..ROWS).map(|row| if row % 3 == 0 { 1.0 } else { 0.0 }).collect();
    let moved = Tensor::from_slice(&is_test).unsqueeze(1) * 1000.0;
    let labels = (0..ROWS).map(|row| if row % 3 == 0 { row % 2 == 0 } else { pairs.labels()[row] }).collect();
    let (plus, minus) = (pairs.plus() + &moved, pairs.minus() * (&moved + 1.0));
    let other = Contrast::new(plus, minus, labels, pairs.groups().to_vec()).unwrap();
    let (one, other) = (pairs.select(&train).unwrap(), other.select(&train).unwrap());
    for entry in &REGISTRY {
        assert!(bytes(entry, &one, 0) == bytes(entry, &other, 0), "{}", entry.name);
    }
}

#[test]
fn a_saved_probe_scores_the_same() {
    let pairs = planted();
    for entry in &REGISTRY {
        let probe = fit(entry, &pairs, 0).unwrap().probe;
        let back = Probe::parse(&probe.to_bytes().unwrap()).unwrap();
        assert_eq!(probe.score_pairs(&pairs).unwrap(), back.score_pairs(&pairs).unwrap(), "{}", entry.name);
        let own = |probe: &Probe| {
            probe.score_pairs(&pairs).unwrap().iter().map(|&s| probe.probability(s)).collect::<Vec<_>>()
        };
        assert_eq!(own(&probe), own(&back), "{}", entry.name);
    }
}

#[test]
fn one_class_is_an_error() {
    let pairs = planted();
    for label in [false, true] {
        let one = pairs.relabeled(vec![label; ROWS]).unwrap();
        for entry in &REGISTRY {
            let error = fit(entry, &one, 0).unwrap_err();
            assert!(matches!(error, Error::OneClass { .. }), "{}: {error}", entry.name);
        }
    }
}

#[test]
fn constant_states_are_an_error() {
    let states = || Tensor::ones([20, DIM as i64], (Kind::Float, Device::Cpu)) * 3.0;
    let labels = (0..20).map(|row| row % 2 == 0).collect();
    let groups = (0..20).map(|row| row.to_string()).collect();
    let constant = Contrast::new(states(), -states(), labels, groups).unwrap();
    for entry in &REGISTRY {
        let error = fit(entry, &constant, 0).unwrap_err();
        assert!(matches!(error, Error::Constant), "{}: {error}", entry.name);
    }
}

#[test]
fn fewer_rows_than_dimensions_give_a_probe_or_a_named_error() {
    let few = Planted::new(12, 40, 3.0, 2).contrast();
    for entry in &REGISTRY {
        match fit(entry, &few, 0) {
            Ok(fitted) => {
                assert_eq!(fitted.probe.dim(), 40, "{}", entry.name);
                assert!(
                    fitted.probe.score_pairs(&few).unwrap().iter().all(|score| score.is_finite()),
                    "{}",
                    entry.name
                );
            }
            Err(error) => assert!(is_named(&error), "{}: {error}", entry.name),
        }
    }
}

/// No method gets to see a state that is not a number: pairs cannot be made of it.
#[test]
fn states_that_are_not_finite_are_an_error() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut planted = Planted::new(12, DIM, 3.0, 1);
        planted.minus[3 * DIM + 2] = bad;
        let states = |values: &[f32]| Tensor::from_slice(values).reshape([12, DIM as i64]);
        let made = Contrast::new(
            states(&planted.plus),
            states(&planted.minus),
            planted.labels.clone(),
            planted.groups(),
        );
        let error = made.unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 3, column: Some(2), .. }), "{error}");
    }
}

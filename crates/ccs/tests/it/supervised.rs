//! Logistic regressions, their penalty, Platt scaling and calibrated zero-shot against scikit-learn and scipy
//! (`fixtures/make_probes.py`).

use ccs::SeedTree;
use ccs::baselines::zero_shot_threshold;
use ccs::methods::logistic::{GRID, LrInput, LrOptions, cross_validated, logistic, logistic_on, penalized};
use ccs::stats::calibrate::{Platt, Reliability};
use ccs::stats::split::{Split, grouped_folds};
use ccs::{Error, Probe};
use serde::Deserialize;

use crate::data::Planted;
use crate::fits::{Data, close, fixture};

#[derive(Deserialize)]
struct Fixture {
    logistic: Vec<Logistic>,
    cross_validation: Vec<CrossValidation>,
    platt: Vec<PlattCase>,
    zero_shot: Vec<ZeroShot>,
}

#[derive(Deserialize)]
struct Logistic {
    data: Data,
    c: f64,
    statements: Fitted,
    concatenated: Fitted,
    scores: Scores,
}

#[derive(Deserialize)]
struct Fitted {
    weight: Vec<f64>,
    bias: f64,
}

#[derive(Deserialize)]
struct Scores {
    statements: Vec<f64>,
    concatenated: Vec<f64>,
}

#[derive(Deserialize)]
struct CrossValidation {
    data: Data,
    folds: usize,
    grid: Vec<f64>,
    losses: Vec<f64>,
    best: usize,
    weight: Vec<f64>,
    bias: f64,
}

#[derive(Deserialize)]
struct PlattCase {
    score: Vec<f64>,
    label: Vec<u8>,
    a: f64,
    b: f64,
    p: Vec<f64>,
    ece: f64,
    accuracy: Vec<f64>,
    confidence: Vec<f64>,
}

#[derive(Deserialize)]
struct ZeroShot {
    plus: Vec<f64>,
    minus: Vec<f64>,
    share: f64,
    gamma: f64,
}

fn weights(probe: &Probe) -> Vec<f64> {
    Vec::try_from(probe.weight()).unwrap()
}

#[test]
fn statements_and_concatenated_pairs_are_scikit_learns() {
    for case in fixture::<Fixture>().logistic {
        let train = case.data.contrast();
        let options = LrOptions { c: case.c, ..LrOptions::default() };
        for (input, want, scores) in [
            (LrInput::Statements, &case.statements, &case.scores.statements),
            (LrInput::Concatenated, &case.concatenated, &case.scores.concatenated),
        ] {
            let fit = logistic_on(&train, input, &options).unwrap();
            close(&weights(&fit.probe), &want.weight, 1e-5, "coefficients");
            close(&[fit.probe.bias()], &[want.bias], 1e-5, "intercept");
            assert_eq!(fit.probe.dim(), train.dim());
            // Scikit-learn's scores are of its own solution, which is another within the tolerance.
            close(&fit.probe.score_pairs(&train).unwrap(), scores, 1e-3, "scores");
            // Statement by statement, the two logits make the pair's.
            let (plus, minus) = fit.probe.statement_logits(&train).unwrap();
            let difference: Vec<f64> = plus.iter().zip(&minus).map(|(p, m)| p - m).collect();
            close(&difference, &fit.probe.score_pairs(&train).unwrap(), 1e-12, "statement logits");
        }
        let differences = logistic(&train, &options).unwrap().probe;
        let (plus, minus) = differences.statement_logits(&train).unwrap();
        let difference: Vec<f64> = plus.iter().zip(&minus).map(|(p, m)| p - m).collect();
        close(&difference, &differences.score_pairs(&train).unwrap(), 1e-12, "statement logits");
    }
}

#[test]
fn the_penalty_is_the_one_with_the_lowest_held_out_loss() {
    for case in fixture::<Fixture>().cross_validation {
        let train = case.data.contrast();
        close(&GRID[1..], &case.grid, 1e-9, "grid");
        let folds: Vec<Split> = (0..case.folds)
            .map(|fold| {
                let (test, train) = (0..train.rows()).partition(|row| row % case.folds == fold);
                Split { train, test }
            })
            .collect();
        let options = LrOptions { tolerance: 1e-10, ..LrOptions::default() };
        let choice = cross_validated(&train, LrInput::Differences, &folds, &options).unwrap();
        let losses: Vec<f64> = choice.penalties.iter().map(|p| p.log_loss.unwrap_or(f64::INFINITY)).collect();
        println!("no penalty: {}, with: {:?}", losses[0], &losses[1..]);
        // Scikit-learn has no penalty of 0 in this grid; it overfits, and must be there and worse.
        close(&losses[1..], &case.losses, 1e-4, "held-out losses");
        assert!(losses[0] > case.losses[case.best]);
        assert!((choice.l2 - case.grid[case.best]).abs() <= 1e-9 * choice.l2);
        close(&weights(&choice.fit.probe), &case.weight, 1e-5, "coefficients");
        close(&[choice.fit.probe.bias()], &[case.bias], 1e-5, "intercept");
        assert!(matches!(
            cross_validated(&train, LrInput::Differences, &[], &LrOptions::default()),
            Err(Error::Setting { .. })
        ));
    }
}

#[test]
fn every_input_reads_planted_truth_with_a_chosen_penalty() {
    let (train, test) = (Planted::new(120, 40, 2.0, 1).contrast(), Planted::new(120, 40, 2.0, 2).contrast());
    let folds = grouped_folds(train.labels(), train.groups(), 5, &SeedTree::new(0)).unwrap();
    for input in [LrInput::Differences, LrInput::Statements, LrInput::Concatenated] {
        let choice = cross_validated(&train, input, &folds, &LrOptions::default()).unwrap();
        let accuracy = choice.fit.probe.accuracy(&test).unwrap();
        println!("{input:?}: λ = {}, accuracy {accuracy}", choice.l2);
        assert!(accuracy > 0.95, "{input:?}: {accuracy}");
        let bytes = choice.fit.probe.to_bytes().unwrap();
        let path = tempfile::tempdir().unwrap().keep().join("probe.safetensors");
        std::fs::write(&path, &bytes).unwrap();
        let back = Probe::load(&path).unwrap();
        assert_eq!(back.score_pairs(&test).unwrap(), choice.fit.probe.score_pairs(&test).unwrap());
        assert_eq!((back.to_bytes().unwrap(), back.dim()), (bytes, 40));
    }
}

#[test]
fn platt_scaling_and_ece_are_scipys_and_scikit_learns() {
    for case in fixture::<Fixture>().platt {
        let labels: Vec<bool> = case.label.iter().map(|&l| l == 1).collect();
        let platt = Platt::fit(&case.score, &labels).unwrap();
        close(&[platt.a, platt.b], &[case.a, case.b], 1e-6, "a and b");
        close(&platt.probabilities(&case.score), &case.p, 1e-6, "p");
        let curve = Reliability::of(&case.p, &labels, 10).unwrap();
        close(&[curve.ece], &[case.ece], 1e-12, "ece");
        close(
            &curve.bins.iter().filter_map(|b| b.share).collect::<Vec<_>>(),
            &case.accuracy,
            1e-12,
            "shares",
        );
        let means: Vec<f64> = curve.bins.iter().filter_map(|b| b.probability).collect();
        close(&means, &case.confidence, 1e-12, "mean probabilities");
    }
}

#[test]
fn the_zero_shot_threshold_is_numpys_quantile() {
    for case in fixture::<Fixture>().zero_shot {
        let gamma = zero_shot_threshold(&case.plus, &case.minus, case.share).unwrap();
        close(&[gamma], &[case.gamma], 1e-12, "gamma");
    }
}

/// Rows that one dimension tells apart without error, but for `wrong` of them.
fn separable(wrong: usize) -> ccs::Contrast {
    let mut planted = Planted::new(60, 3, 6.0, 2);
    for row in 0..wrong {
        planted.labels[row] = !planted.labels[row];
    }
    planted.contrast()
}

#[test]
fn without_a_minimum_no_penalty_does_not_win_and_is_an_error_of_its_own() {
    let options = LrOptions::default();
    let (easy, mixed) = (separable(0), separable(6));
    let folds = grouped_folds(easy.labels(), easy.groups(), 5, &SeedTree::new(0)).unwrap();
    for input in [LrInput::Differences, LrInput::Statements, LrInput::Concatenated] {
        // Its held-out loss would be the lowest of all.
        let choice = cross_validated(&easy, input, &folds, &options).unwrap();
        assert_eq!((choice.penalties[0].l2, choice.penalties[0].log_loss), (0.0, None));
        assert!(choice.l2 > 0.0, "{input:?}");
        assert!(matches!(penalized(&easy, input, 0.0, &options), Err(Error::Separable)), "{input:?}");
        assert!(penalized(&easy, input, 1e-4, &options).unwrap().gradient <= options.tolerance);
        // Where labels overlap there is a minimum, and it is found.
        let fit = penalized(&mixed, input, 0.0, &options).unwrap();
        assert!(fit.gradient <= options.tolerance && fit.probe.accuracy(&mixed).unwrap() >= 0.9, "{input:?}");
    }
    // A single row on the boundary leaves no margin, and still no minimum.
    let mut planted = Planted::new(40, 1, 5.0, 2);
    planted.minus.fill(0.0);
    for (x, &label) in planted.plus.iter_mut().zip(&planted.labels) {
        *x = if label { 1.0 } else { 0.0 };
    }
    let first_false = planted.labels.iter().position(|l| !l).unwrap();
    planted.plus[first_false] = 1.0;
    assert!(matches!(
        penalized(&planted.contrast(), LrInput::Differences, 0.0, &options),
        Err(Error::Separable)
    ));
}

#[test]
fn penalties_and_tolerances_that_cannot_be_used_are_refused_by_name() {
    let train = separable(3);
    let folds = grouped_folds(train.labels(), train.groups(), 3, &SeedTree::new(0)).unwrap();
    for l2 in [f64::NAN, f64::INFINITY, -1e-9] {
        let error = penalized(&train, LrInput::Differences, l2, &LrOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Setting { name: "l2", .. }), "{error}");
    }
    for tolerance in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        let options = LrOptions { tolerance, ..LrOptions::default() };
        let errors = [
            logistic(&train, &options).unwrap_err(),
            penalized(&train, LrInput::Statements, 0.1, &options).unwrap_err(),
            cross_validated(&train, LrInput::Statements, &folds, &options).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, Error::Setting { name: "tolerance", .. }), "{error}");
        }
    }
}

#[test]
fn more_rows_than_are_weighed_at_once_give_the_same_minimum() {
    // Each row twice, with half the weight: the objective is the same.
    let (few, many) = (Planted::new(1100, 4, 0.3, 3), Planted::new(1100, 4, 0.3, 3));
    let twice = |v: &[f32]| tch::Tensor::from_slice(&[v, v].concat()).reshape([2200, 4]);
    let labels = [many.labels.as_slice(), many.labels.as_slice()].concat();
    let groups = (0..2200).map(|i| (i % 1100).to_string()).collect();
    let many = ccs::Contrast::new(twice(&many.plus), twice(&many.minus), labels, groups).unwrap();
    let fit = |pairs: &ccs::Contrast, c| {
        logistic(pairs, &LrOptions { c, tolerance: 1e-9, ..LrOptions::default() }).unwrap().probe
    };
    close(&weights(&fit(&few.contrast(), 0.2)), &weights(&fit(&many, 0.1)), 1e-9, "weights");
}

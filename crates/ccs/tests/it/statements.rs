//! Probes on single statements: what every one of them must do, and against NumPy and scikit-learn
//! (`fixtures/statements.py`).

use ccs::baselines::random_directions_as;
use ccs::methods::inlp::inlp;
use ccs::methods::logistic::{LrOptions, logistic};
use ccs::methods::mass_mean::{MassMean, mass_mean};
use ccs::methods::means::{lda, mean_difference};
use ccs::methods::ttpd::{Ttpd, ttpd};
use ccs::methods::{Entry, REGISTRY, STATEMENT_METHODS};
use ccs::{Contrast, Error, Fit, Inlp, Normalization, Probe, ProbeInput, SeedTree, Shrinkage, Statements};
use rand::RngExt;
use rand_distr::StandardNormal;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use crate::closed_forms::{close, near};

#[derive(Deserialize)]
struct Oracle {
    statements: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    statements: Given,
    mass_mean: Vec<f64>,
    covariance: Vec<f64>,
    lda: Linear,
    lr: Linear,
    inlp: Vec<Linear>,
    ttpd: Vec<TtpdCase>,
}

#[derive(Deserialize)]
struct Given {
    rows: i64,
    dim: i64,
    states: Vec<f64>,
    label: Vec<u8>,
    affirmative: Vec<bool>,
    template: Vec<usize>,
}

#[derive(Deserialize)]
struct Linear {
    weight: Vec<f64>,
    bias: f64,
}

#[derive(Deserialize)]
struct TtpdCase {
    t_g: Vec<f64>,
    t_p: Vec<f64>,
    polarity: Vec<f64>,
    alone: Vec<f64>,
    element_wise: bool,
    c: f64,
    scores: Vec<f64>,
    plane: Vec<f64>,
}

impl Given {
    fn unpolarized(&self) -> Statements {
        let states = Tensor::from_slice(&self.states).reshape([self.rows, self.dim]);
        let names = || (0..self.rows).map(|row| row.to_string()).collect::<Vec<_>>();
        let templates = self.template.iter().map(usize::to_string).collect();
        let labels = self.label.iter().map(|&label| label == 1).collect();
        Statements::new(states, labels, names()).unwrap().with_variants(names(), templates).unwrap()
    }

    fn statements(&self) -> Statements {
        self.unpolarized().with_polarity(self.affirmative.clone()).unwrap()
    }
}

fn oracle() -> Vec<Case> {
    serde_json::from_str::<Oracle>(include_str!("../fixtures/statements.json")).unwrap().statements
}

const MEAN_ONLY: Normalization = Normalization::MeanOnly;

fn same(probe: &Probe, want: &Linear, tolerance: f64, what: &str) {
    assert_eq!(probe.input(), ProbeInput::Single, "{what}");
    close(probe.weight(), &want.weight, tolerance, what);
    near(probe.bias(), want.bias, tolerance, what);
}

/// Matrices in f64 with condition numbers below 1e5 leave ten digits; regressions end at gradients below 1e-9 with a curvature
/// of at least 1.
#[test]
fn probes_on_statements_agree_with_numpy_and_scikit_learn() {
    for case in oracle() {
        let given = case.statements.statements();
        let rows = given.as_contrast();
        let plain = |weight: &[f64]| Linear { weight: weight.to_vec(), bias: 0.0 };
        same(&mean_difference(rows, MEAN_ONLY).unwrap(), &plain(&case.mass_mean), 1e-10, "mass mean");
        let options = MassMean { normalization: MEAN_ONLY, ..MassMean::default() };
        same(
            &mass_mean(rows, &options).unwrap(),
            &plain(&case.covariance),
            1e-8,
            "mass mean with covariance",
        );
        let fit = lda(rows, Shrinkage::Fixed(0.3), MEAN_ONLY).unwrap();
        same(&fit.probe, &case.lda, 1e-9, "LDA");
        let options = LrOptions { tolerance: 1e-10, normalization: MEAN_ONLY, ..LrOptions::default() };
        same(&logistic(rows, &options).unwrap().probe, &case.lr, 1e-6, "LR");
        let options = Inlp { epsilon: f64::NEG_INFINITY, max_directions: 3, regression: options };
        for (probe, want) in inlp(rows, &options).unwrap().probes.iter().zip(&case.inlp) {
            same(probe, want, 1e-6, "INLP");
        }
    }
}

/// The same reasons; `t_G` and `t_P` are a linear map of the rows.
#[test]
fn ttpd_agrees_with_its_formulae() {
    for case in oracle() {
        let given = case.statements.statements();
        for want in case.ttpd {
            let normalization = if want.element_wise { Normalization::ElementWise } else { MEAN_ONLY };
            let options = Ttpd { c: want.c, normalization };
            let fit = ttpd(&given, &options).unwrap();
            close(&fit.t_g, &want.t_g, 1e-10, "t_G");
            close(fit.t_p.as_ref().unwrap(), &want.t_p, 1e-10, "t_P");
            close(fit.polarity.as_ref().unwrap(), &want.polarity, 1e-5, "polarity");
            let scores = fit.probe.score_statements(&given).unwrap();
            close(&Tensor::from_slice(&scores), &want.scores, 1e-5, "scores");
            let plane: Vec<f64> = fit.plane(&given).unwrap().into_iter().flatten().collect();
            close(&Tensor::from_slice(&plane), &want.plane, 1e-9, "plane");
            // Cells are the data sets here, each of one polarity: not knowing it leaves them as they are.
            let alone = ttpd(&case.statements.unpolarized(), &options).unwrap();
            close(&alone.t_g, &want.alone, 1e-10, "t_G alone");
            assert!(alone.t_p.is_none() && alone.polarity.is_none());
        }
    }
}

const DIM: usize = 7;

/// Affirmative and negated statements in noise; truth along axis 0, turned round by "not" along axis 1.
fn planted(rows: usize, seed: u64) -> Statements {
    let mut rng = SeedTree::new(seed).child("planted statements").rng();
    let (mut states, mut labels, mut polarity) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let (label, affirmative) = (rng.random_bool(0.5), row % 2 == 0);
        let (truth, sign) = (if label { 2.0 } else { -2.0 }, if affirmative { 1.0 } else { -1.0 });
        for axis in 0..DIM {
            let mean = [truth, truth * sign, 3.0 * sign].get(axis).copied().unwrap_or(1.0);
            states.push((mean + rng.sample::<f64, _>(StandardNormal)) as f32);
        }
        labels.push(label);
        polarity.push(affirmative);
    }
    let groups = (0..rows).map(|row| (row / 2).to_string()).collect();
    let states = Tensor::from_slice(&states).reshape([-1, DIM as i64]);
    Statements::new(states, labels, groups).unwrap().with_polarity(polarity).unwrap()
}

fn fit(entry: &Entry, train: &Statements, seed: u64) -> ccs::Fitted {
    entry.method(Normalization::default()).fit_statements(train, &SeedTree::new(seed)).unwrap()
}

/// As `conformance.rs` asks of methods for pairs.
#[test]
fn every_method_for_statements_keeps_its_promises() {
    let (train, test) = (planted(160, 1), planted(80, 2));
    for entry in &STATEMENT_METHODS {
        let name = entry.name;
        let fitted = fit(entry, &train, 0);
        let probe = &fitted.probe;
        assert_eq!((probe.dim(), probe.input()), (DIM, ProbeInput::Single), "{name}");
        assert!(fitted.objective.is_finite() && fitted.about.is_object(), "{name}");
        let scores = probe.score_statements(&test).unwrap();
        assert!(scores.len() == 80 && scores.iter().all(|score| score.is_finite()), "{name}");
        let accuracy = probe.accuracy(test.as_contrast()).unwrap();
        assert!(accuracy > 0.8, "{name}: {accuracy}");
        assert!(probe.to_bytes().unwrap() == fit(entry, &train, 0).probe.to_bytes().unwrap(), "{name}");
        let back = Probe::parse(&probe.to_bytes().unwrap()).unwrap();
        assert_eq!(back.score_statements(&test).unwrap(), scores, "{name}");
        // Logits of a statement and of its opposite differ by the score; the CCS loss is of pairs.
        let (own, opposite) = probe.statement_logits(test.as_contrast()).unwrap();
        assert!(scores.iter().zip(own.iter().zip(&opposite)).all(|(s, (a, b))| (a - b - s).abs() < 1e-12));
        assert!(probe.loss(test.as_contrast()).is_err(), "{name}");
        // Of a pair it says how much truer the plus side is.
        let (plus, minus) = (test.states(), test.states().flip([0]));
        let turned: Vec<f64> = scores.iter().zip(scores.iter().rev()).map(|(a, b)| a - b).collect();
        close(&Tensor::from_slice(&probe.scores(plus, &minus).unwrap()), &turned, 1e-9, name);
        let one = train.select(&(0..160).filter(|&row| train.labels()[row]).collect::<Vec<_>>()).unwrap();
        let error = entry.method(MEAN_ONLY).fit_statements(&one, &SeedTree::new(0)).unwrap_err();
        assert!(matches!(error, Error::OneClass { .. }), "{name}: {error}");
    }
}

#[test]
fn no_test_row_has_a_say_and_few_rows_are_enough() {
    let all = planted(120, 3);
    let train: Vec<usize> = (0..120).filter(|row| row % 3 != 0).collect();
    let moved = Tensor::arange(120, (Kind::Float, Device::Cpu)).remainder(3.0).eq(0.0).unsqueeze(1) * 1000.0;
    let other = Statements::new(all.states() + moved, all.labels().to_vec(), all.groups().to_vec())
        .unwrap()
        .with_polarity(all.polarity().unwrap().to_vec())
        .unwrap();
    let (one, other) = (all.select(&train).unwrap(), other.select(&train).unwrap());
    let few = all.select(&[0, 1, 2, 3, 4, 5]).unwrap();
    for entry in &STATEMENT_METHODS {
        let bytes = |rows| fit(entry, rows, 0).probe.to_bytes().unwrap();
        assert!(bytes(&one) == bytes(&other), "{}", entry.name);
        if entry.name != "lr" {
            assert_eq!(fit(entry, &few, 0).probe.dim(), DIM, "{}", entry.name);
        }
    }
}

/// "Not" turns round what lies along `t_P` alone, so a probe for affirmative statements fails on negated ones; TTPD does not.
#[test]
fn ttpd_finds_the_direction_that_holds_for_both_polarities() {
    let train = planted(400, 4);
    let fit = ttpd(&train, &Ttpd { normalization: MEAN_ONLY, ..Ttpd::default() }).unwrap();
    for (direction, axis) in [(&fit.t_g, 0), (fit.t_p.as_ref().unwrap(), 1)] {
        assert!((direction.double_value(&[axis]) / direction.norm().double_value(&[])).abs() > 0.95);
    }
}

#[test]
fn random_directions_and_judgments_work_on_statements() {
    let (train, test) = (planted(160, 5), planted(160, 6));
    let band =
        random_directions_as(MEAN_ONLY, train.as_contrast(), test.as_contrast(), 50, &SeedTree::new(0))
            .unwrap();
    let above = band.test.iter().filter(|q| q.auroc.unwrap() > 0.6).count();
    assert!(above > 10, "truth has much of the variance here: {above}");
    let probe = fit(&STATEMENT_METHODS[0], &train, 0).probe;
    let found = probe.evaluate(test.as_contrast()).unwrap();
    assert!(found.accuracy > 0.8 && found.groups == 80);
}

#[test]
fn methods_and_probes_for_pairs_refuse_single_statements() {
    let statements = planted(40, 7);
    let pairs = Contrast::new(
        statements.states().copy(),
        -statements.states(),
        statements.labels().to_vec(),
        statements.groups().to_vec(),
    )
    .unwrap();
    for entry in &REGISTRY {
        let method = entry.method(MEAN_ONLY);
        if !method.fits_statements() {
            let error = method.fit_statements(&statements, &SeedTree::new(0)).unwrap_err().to_string();
            assert!(error.contains("single statements"), "{}: {error}", entry.name);
        }
    }
    let probe = mean_difference(&pairs, MEAN_ONLY).unwrap();
    assert!(probe.score_statements(&statements).unwrap_err().to_string().contains("both sides"));
    assert!(Ttpd::default().fit(&pairs, &SeedTree::new(0)).unwrap_err().to_string().contains("pairs"));
    assert!(Statements::of(pairs).is_err());
    assert!(
        Statements::new(Tensor::zeros([3], (Kind::Float, Device::Cpu)), vec![true; 3], Vec::new()).is_err()
    );
    assert!(planted(4, 0).with_polarity(vec![true]).is_err());
}

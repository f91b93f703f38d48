//! Against concept-erasure, scikit-learn, scipy and PyTorch (`fixtures/closed_forms.py`).

use std::collections::BTreeMap;

use ccs::Contrast;
use ccs::erase::{LeaceOptions, leace, sal};
use ccs::fit::quadratic::{Objective, quadratic};
use ccs::normalize::{Normalization, Normalizer};
use serde::Deserialize;
use tch::{Kind, Tensor};

#[derive(Deserialize)]
struct Oracle {
    quadratic: Vec<Quadratic>,
    normalisation: Vec<Normalised>,
    erasure: Vec<Erasure>,
}

#[derive(Deserialize)]
struct Erasure {
    rows: i64,
    dim: i64,
    classes: i64,
    x: Vec<f64>,
    label: Vec<i64>,
    erased: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Quadratic {
    pairs: Pairs,
    fits: Vec<Form>,
}

#[derive(Deserialize)]
struct Form {
    form: String,
    normalization: Normalization,
    value: f64,
    direction: Vec<f64>,
}

#[derive(Deserialize)]
struct Normalised {
    pairs: Pairs,
    normalised: BTreeMap<String, [Vec<f64>; 2]>,
}

#[derive(Deserialize)]
struct Pairs {
    rows: i64,
    dim: i64,
    plus: Vec<f64>,
    minus: Vec<f64>,
    label: Vec<u8>,
    question: Vec<usize>,
    template: Vec<usize>,
}

impl Pairs {
    fn contrast(&self) -> Contrast {
        let matrix = |v: &[f64]| Tensor::from_slice(v).reshape([self.rows, self.dim]);
        let text = |v: &[usize]| v.iter().map(usize::to_string).collect::<Vec<_>>();
        let labels = self.label.iter().map(|&l| l == 1).collect();
        Contrast::new(matrix(&self.plus), matrix(&self.minus), labels, text(&self.question))
            .unwrap()
            .with_variants(text(&self.question), text(&self.template))
            .unwrap()
    }
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../fixtures/closed_forms.json")).unwrap()
}

fn close(got: &Tensor, want: &[f64], tolerance: f64, what: &str) {
    let got = Vec::<f64>::try_from(got.to_kind(Kind::Double).reshape([-1])).unwrap();
    assert_eq!(got.len(), want.len(), "{what}");
    let off = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off <= tolerance, "{what}: off by {off:.1e}");
}

/// Both sides invert one matrix in f64; condition numbers below 1e5 leave ten digits.
#[test]
fn erasure_agrees_with_concept_erasure() {
    for case in oracle().erasure {
        let x = Tensor::from_slice(&case.x).reshape([case.rows, case.dim]);
        let z = Tensor::from_slice(&case.label).one_hot(case.classes);
        let standard = LeaceOptions::default();
        for (name, eraser) in [
            ("leace", leace(&x, &z.to_kind(Kind::Double), &standard)),
            ("plain", leace(&x, &z.to_kind(Kind::Double), &LeaceOptions { shrinkage: false, ..standard })),
            ("sal", sal(&x, &z.to_kind(Kind::Double), standard.tolerance)),
        ] {
            close(&eraser.unwrap().apply(&x).unwrap(), &case.erased[name], 1e-9, name);
        }
    }
}

#[test]
fn normalisations_per_template_agree_with_numpy() {
    for case in oracle().normalisation {
        let pairs = case.pairs.contrast();
        for kind in Normalization::ALL {
            let normalizer = Normalizer::fit_as(kind, &pairs).unwrap();
            let (plus, minus) = normalizer.apply(&pairs, Kind::Double).unwrap();
            let [want_plus, want_minus] = &case.normalised[kind.name()];
            close(&plus, want_plus, 1e-9, kind.name());
            close(&minus, want_minus, 1e-9, kind.name());
        }
    }
}

/// With more rows than dimensions and with fewer, where the span of the rows is taken. Eigenvectors are good to
/// rounding over the gap between eigenvalues, which leaves at least eight digits here.
#[test]
fn quadratic_forms_agree_with_dense_eigenproblems() {
    let objective = |name: &str| match name {
        "alpha 1" => Objective::TPC,
        "alpha 0" => Objective::DRC,
        "alpha -0.5" => Objective::midpoint_displacement(0.75),
        "relative" => Objective::Relative { ridge: 0.05 },
        "vinc" => Objective::VINC,
        "vinc_s" => Objective::VINC_S,
        "vinc rows" => Objective::Vinc { variance: 0.3, negation: 0.7, supervision: 0.0, centroids: false },
        other => panic!("{other}"),
    };
    for case in oracle().quadratic {
        let pairs = case.pairs.contrast();
        for want in case.fits {
            let what = format!("{} {} {}", want.form, want.normalization, case.pairs.dim);
            let fit = quadratic(&pairs, objective(&want.form), want.normalization).unwrap();
            assert!((fit.value - want.value).abs() < 1e-9, "{what}: {} and {}", fit.value, want.value);
            let sign = fit.probe.weight.double_value(&[0]).signum();
            close(&(&fit.probe.weight * sign), &want.direction, 1e-8, &what);
        }
    }
}

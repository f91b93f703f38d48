//! Against concept-erasure, scikit-learn, scipy and PyTorch (`fixtures/closed_forms.py`).

use std::collections::BTreeMap;

use ccs::erase::{LeaceOptions, leace, sal};
use serde::Deserialize;
use tch::{Kind, Tensor};

#[derive(Deserialize)]
struct Oracle {
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

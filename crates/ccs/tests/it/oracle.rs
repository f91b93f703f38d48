//! Against PyTorch's AdamW and scikit-learn's logistic regression and AUROC (`fixtures/make_fixtures.py`).

use ccs::Contrast;
use ccs::methods::Precision;
use ccs::methods::ccs::{Ccs, Start, ccs_from};
use ccs::methods::logistic::{LrOptions, logistic};
use ccs::stats::metrics::Scored;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

#[derive(Deserialize)]
struct Oracle {
    ccs: Vec<CcsCase>,
    logistic: Vec<Logistic>,
    auroc: Vec<Auroc>,
}

#[derive(Deserialize)]
struct CcsCase {
    rows: i64,
    dim: i64,
    epochs: usize,
    plus: Vec<f64>,
    minus: Vec<f64>,
    label: Vec<u8>,
    start: Vec<f64>,
    theta: Vec<Vec<f64>>,
    bias: Vec<f64>,
    losses: Vec<[f64; 2]>,
    trace_every: usize,
    trace: Vec<Vec<[f64; 2]>>,
}

#[derive(Deserialize)]
struct Logistic {
    rows: i64,
    dim: i64,
    plus: Vec<f64>,
    minus: Vec<f64>,
    label: Vec<u8>,
    weight: Vec<f64>,
    bias: f64,
    accuracy: f64,
    auroc: f64,
}

#[derive(Deserialize)]
struct Auroc {
    label: Vec<u8>,
    score: Vec<f64>,
    #[serde(rename = "auroc")]
    area: f64,
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../fixtures/oracle.json")).unwrap()
}

fn contrast(rows: i64, dim: i64, plus: &[f64], minus: &[f64], label: &[u8]) -> Contrast {
    let matrix = |v: &[f64]| Tensor::from_slice(v).reshape([rows, dim]);
    let groups = (0..rows).map(|i| i.to_string()).collect();
    Contrast::new(matrix(plus), matrix(minus), label.iter().map(|&l| l == 1).collect(), groups).unwrap()
}

fn close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance, "{what}[{i}]: {got} and {want}");
    }
}

#[test]
fn adamw_follows_pytorch_start_by_start_and_together() {
    for case in oracle().ccs {
        let train = contrast(case.rows, case.dim, &case.plus, &case.minus, &case.label);
        let starts = case.theta.len();
        let start = Tensor::from_slice(&case.start).reshape([case.dim, starts as i64]);
        for (precision, tolerance) in [(Precision::F64, 1e-9), (Precision::F32, 1e-4)] {
            let options = Ccs { max_iter: case.epochs, trace: true, precision, ..Ccs::default() };
            let zeros = |n: usize| Tensor::zeros([n as i64], (Kind::Double, Device::Cpu));
            for r in 0..starts {
                let one = Start { weight: start.narrow(1, r as i64, 1), bias: zeros(1) };
                let fit = ccs_from(&train, &one, &options).unwrap();
                let weight = Vec::<f64>::try_from(fit.probe.weight().to_kind(Kind::Double)).unwrap();
                close(&weight, &case.theta[r], tolerance, "theta");
                close(&[fit.probe.bias()], &[case.bias[r]], tolerance, "bias");
                close(
                    &[fit.terms.consistency, fit.terms.confidence],
                    &case.losses[r],
                    tolerance,
                    "final loss",
                );
                assert_eq!(fit.trace.len().div_ceil(case.trace_every), case.trace[r].len());
                for (step, want) in fit.trace.iter().step_by(case.trace_every).zip(&case.trace[r]) {
                    close(&[step.consistency, step.confidence], want, tolerance, "trace");
                }
            }
            // All starts at once end where each ends alone, and the lowest final loss is kept.
            let fit =
                ccs_from(&train, &Start { weight: start.copy(), bias: zeros(starts) }, &options).unwrap();
            let totals: Vec<f64> = case.losses.iter().map(|l| l[0] + l[1]).collect();
            let got: Vec<f64> = fit.restarts.iter().map(ccs::loss::Terms::total).collect();
            close(&got, &totals, tolerance, "losses of all starts");
            let lowest = (0..starts).min_by(|&a, &b| totals[a].total_cmp(&totals[b])).unwrap();
            assert_eq!(fit.restart, lowest);
            let weight = Vec::<f64>::try_from(fit.probe.weight().to_kind(Kind::Double)).unwrap();
            close(&weight, &case.theta[lowest], tolerance, "kept theta");
        }
    }
}

#[test]
fn logistic_regression_agrees_with_scikit_learn_with_more_rows_than_dimensions_and_with_fewer() {
    for case in oracle().logistic {
        let train = contrast(case.rows, case.dim, &case.plus, &case.minus, &case.label);
        let fit = logistic(&train, &LrOptions::default()).unwrap();
        assert!(fit.gradient <= 1e-6, "{}", fit.gradient);
        close(&Vec::<f64>::try_from(fit.probe.weight()).unwrap(), &case.weight, 1e-5, "coefficients");
        close(&[fit.probe.bias()], &[case.bias], 1e-5, "intercept");
        let scores = fit.probe.score_pairs(&train).unwrap();
        let scored = Scored::new(&scores, train.labels(), 0.0).unwrap();
        assert_eq!(scored.accuracy(), case.accuracy);
        close(&[scored.auroc().unwrap()], &[case.auroc], 1e-12, "AUROC");
    }
}

#[test]
fn auroc_agrees_with_scikit_learn_with_ties() {
    for case in oracle().auroc {
        let labels: Vec<bool> = case.label.iter().map(|&l| l == 1).collect();
        let auroc = Scored::new(&case.score, &labels, 0.5).unwrap().auroc().unwrap();
        close(&[auroc], &[case.area], 1e-12, "AUROC");
    }
}

//! Against PyTorch and scikit-learn in float64: 320 drawn pairs (`tests/golden/ccs.py`), and 600 pairs of real hidden states
//! in 576 dimensions where the shared material is.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ccs::Contrast;
use ccs::baselines::majority_share;
use ccs::methods::Precision;
use ccs::methods::ccs::{Ccs, Optimizer, Start, ccs_from};
use ccs::methods::logistic::{LrOptions, logistic};
use ccs::methods::means::mean_difference;
use ccs::methods::quadratic::{Objective, quadratic};
use ccs::normalize::Normalization;
use ccs::probe::Probe;
use ccs::stats::metrics::Scored;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

struct Golden {
    train: Contrast,
    test: Contrast,
    expected: Value,
    theta: Vec<f64>,
    init: Vec<f64>,
    lr: Vec<f64>,
    tpc: Vec<f64>,
}

fn npy<T: npyz::Deserialize>(dir: &Path, name: &str) -> Vec<T> {
    let file = BufReader::new(File::open(dir.join(name)).unwrap());
    npyz::NpyFile::new(file).unwrap().into_vec().unwrap()
}

/// The checkout's own, and the shared ones where they are.
fn all() -> Vec<Golden> {
    let own = test_material::golden("ccs");
    [Some(own), test_material::shared("golden/ccs")].into_iter().flatten().map(|dir| golden(&dir)).collect()
}

fn golden(dir: &Path) -> Golden {
    let expected: Value = serde_json::from_slice(&std::fs::read(dir.join("expected.json")).unwrap()).unwrap();
    let rows = expected["rows"].as_u64().unwrap() as usize;
    let train = expected["train"].as_u64().unwrap() as usize;
    let matrix = |name| Tensor::from_slice(&npy::<f32>(dir, name)).reshape([rows as i64, -1]);
    let labels = npy::<u8>(dir, "label.npy").into_iter().map(|l| l == 1).collect();
    let groups = (0..rows).map(|i| i.to_string()).collect();
    let all = Contrast::new(matrix("plus.npy"), matrix("minus.npy"), labels, groups).unwrap();
    Golden {
        train: all.select(&(0..train).collect::<Vec<_>>()).unwrap(),
        test: all.select(&(train..rows).collect::<Vec<_>>()).unwrap(),
        expected,
        theta: npy(dir, "ccs_adamw_theta.npy"),
        init: npy(dir, "ccs_init.npy"),
        lr: npy(dir, "lr_coef.npy"),
        tpc: npy(dir, "tpc_direction.npy"),
    }
}

fn parameters(probe: &Probe) -> Vec<f64> {
    let mut all = Vec::<f64>::try_from(probe.weight().to_kind(Kind::Double)).unwrap();
    all.push(probe.bias());
    all
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).max_by(f64::total_cmp).unwrap_or_default()
}

fn auroc(probe: &Probe, pairs: &Contrast) -> f64 {
    let scores = probe.score_pairs(pairs).unwrap();
    Scored::new(&scores, pairs.labels(), probe.input().threshold()).unwrap().auroc().unwrap()
}

#[test]
fn ccs_reproduces_the_trace_theta_and_quality() {
    for golden in all() {
        let want = &golden.expected["ccs_adamw"];
        for (precision, tolerance) in [(Precision::F64, 1e-6), (Precision::F32, 1e-4)] {
            let start = Start {
                weight: Tensor::from_slice(&golden.init).unsqueeze(1),
                bias: Tensor::zeros([1], (Kind::Double, Device::Cpu)),
            };
            let options = Ccs { max_iter: 300, trace: true, precision, ..Ccs::default() };
            let fit = ccs_from(&golden.train, &start, &options).unwrap();
            let off = largest_difference(&parameters(&fit.probe), &golden.theta);
            println!("{precision:?}: theta off by {off:.2e}");
            assert!(off <= tolerance, "theta off by {off:.2e} in {precision:?}");
            for entry in want["losses_before_step"].as_array().unwrap() {
                let terms = fit.trace[entry[0].as_u64().unwrap() as usize];
                let wanted = [entry[1].as_f64().unwrap(), entry[2].as_f64().unwrap()];
                assert!(largest_difference(&[terms.consistency, terms.confidence], &wanted) <= tolerance);
            }
            let finals =
                [want["final_consistency"].as_f64().unwrap(), want["final_confidence"].as_f64().unwrap()];
            assert!(largest_difference(&[fit.terms.consistency, fit.terms.confidence], &finals) <= tolerance);
            assert_eq!(i64::from(i8::from(fit.probe.sign())), want["sign_from_train"].as_i64().unwrap());
            assert_eq!(fit.probe.accuracy(&golden.test).unwrap(), want["test_accuracy"].as_f64().unwrap());
            assert!((auroc(&fit.probe, &golden.test) - want["test_auroc"].as_f64().unwrap()).abs() < 1e-3);
            if precision == Precision::F64 {
                assert!(
                    (auroc(&fit.probe, &golden.test) - want["test_auroc"].as_f64().unwrap()).abs() < 1e-12
                );
            }
        }
    }
}

#[test]
fn lbfgs_ends_below_adamw() {
    for golden in all() {
        let start = Start {
            weight: Tensor::from_slice(&golden.init).unsqueeze(1),
            bias: Tensor::zeros([1], (Kind::Double, Device::Cpu)),
        };
        // All rows are more statements than dimensions, the few are fewer: there it works in the span. Both have the same rows
        // and the same start; AdamW decays weights, L-BFGS has no penalty.
        let (whole, few) = (golden.train.rows(), golden.init.len() / 4);
        for (rows, precision) in [(whole, Precision::F64), (whole, Precision::F32), (few, Precision::F32)] {
            let train = golden.train.select(&(0..rows).collect::<Vec<_>>()).unwrap();
            let fit = |options| ccs_from(&train, &start, &options).unwrap().terms.total();
            let adamw = fit(Ccs { max_iter: 300, precision, ..Ccs::default() });
            let lbfgs = fit(Ccs { optimizer: Optimizer::Lbfgs, precision, ..Ccs::default() });
            println!("{rows} rows in {precision:?}: {lbfgs:.3e} and {adamw:.3e}");
            assert!(lbfgs < adamw, "{rows} rows in {precision:?}: {lbfgs} and {adamw}");
            if rows == whole {
                let want = &golden.expected["ccs_adamw"];
                let want =
                    want["final_consistency"].as_f64().unwrap() + want["final_confidence"].as_f64().unwrap();
                assert!((adamw - want).abs() < 1e-4, "the golden fit is this one: {adamw} and {want}");
            }
        }
    }
}

#[test]
fn logistic_regression_reproduces_coefficients_and_quality() {
    for golden in all() {
        let want = &golden.expected["lr_on_differences"];
        let fit = logistic(&golden.train, &LrOptions::default()).unwrap();
        let off = largest_difference(&parameters(&fit.probe), &golden.lr);
        println!(
            "coefficients off by {off:.2e} after {} iterations, gradient {:.1e}",
            fit.iterations, fit.gradient
        );
        assert!(off <= 1e-4 && fit.gradient <= 1e-6);
        assert_eq!(fit.probe.accuracy(&golden.train).unwrap(), want["train_accuracy"].as_f64().unwrap());
        assert_eq!(fit.probe.accuracy(&golden.test).unwrap(), want["test_accuracy"].as_f64().unwrap());
        assert!((auroc(&fit.probe, &golden.test) - want["test_auroc"].as_f64().unwrap()).abs() < 1e-12);
        assert_eq!(majority_share(golden.test.labels()), golden.expected["majority_test"].as_f64().unwrap());
    }
}

#[test]
fn the_top_principal_component_reproduces_direction_and_quality() {
    for golden in all() {
        let want = &golden.expected["crc_tpc"];
        let fit = quadratic(&golden.train, Objective::TPC, Normalization::ElementWise).unwrap();
        let explained = fit.value / fit.trace.unwrap();
        assert!((explained - want["explained_variance_ratio"].as_f64().unwrap()).abs() < 1e-9, "{explained}");
        let off = largest_difference(&Vec::<f64>::try_from(fit.probe.weight()).unwrap(), &golden.tpc);
        assert!(off < 1e-8, "direction off by {off:.2e}");
        assert_eq!(i64::from(i8::from(fit.probe.sign())), want["sign_from_train"].as_i64().unwrap());
        assert_eq!(fit.probe.accuracy(&golden.test).unwrap(), want["test_accuracy"].as_f64().unwrap());
        assert!((auroc(&fit.probe, &golden.test) - want["test_auroc"].as_f64().unwrap()).abs() < 1e-12);
    }
}

#[test]
fn the_mean_difference_reproduces_quality() {
    for golden in all() {
        let want = &golden.expected["mean_difference"];
        let probe = mean_difference(&golden.train, Normalization::ElementWise).unwrap();
        assert_eq!(probe.accuracy(&golden.test).unwrap(), want["test_accuracy"].as_f64().unwrap());
        assert!((auroc(&probe, &golden.test) - want["test_auroc"].as_f64().unwrap()).abs() < 1e-12);
    }
}

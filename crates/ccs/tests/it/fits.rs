//! Against PyTorch's AdamW and L-BFGS, scikit-learn and scipy (`fixtures/make_probes.py`).

use ccs::Contrast;
use ccs::SeedTree;
use ccs::methods::Precision;
use ccs::methods::ccs::{Ccs, Optimizer, Start, ccs_from};
use ccs::normalize::Normalizer;
use serde::Deserialize;
use tch::nn::{self, OptimizerConfig as _};
use tch::{Device, Kind, Tensor};

use crate::data::Planted;

#[derive(Deserialize)]
struct Fixture {
    adamw: Vec<AdamW>,
    lbfgs: Vec<Lbfgs>,
}

#[derive(Deserialize)]
pub(crate) struct Data {
    rows: i64,
    dim: i64,
    plus: Vec<f64>,
    minus: Vec<f64>,
    label: Vec<u8>,
}

#[derive(Deserialize)]
struct AdamW {
    data: Data,
    question: Vec<usize>,
    loss: String,
    use_bias: bool,
    l2: f64,
    epochs: usize,
    start: Vec<f64>,
    theta: Vec<Vec<f64>>,
    bias: Vec<f64>,
    trace: Vec<Vec<[f64; 3]>>,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Lbfgs {
    data: Data,
    loss: String,
    l2: f64,
    start: Vec<f64>,
    theta: Vec<Vec<f64>>,
    values: Vec<f64>,
}

pub(crate) fn fixture<T: for<'a> Deserialize<'a>>() -> T {
    serde_json::from_str(include_str!("../fixtures/probes.json")).unwrap()
}

impl Data {
    pub(crate) fn contrast(&self) -> Contrast {
        self.contrast_in((0..self.rows).map(|i| i.to_string()).collect())
    }

    fn contrast_in(&self, groups: Vec<String>) -> Contrast {
        let matrix = |v: &[f64]| Tensor::from_slice(v).reshape([self.rows, self.dim]);
        let labels = self.label.iter().map(|&l| l == 1).collect();
        Contrast::new(matrix(&self.plus), matrix(&self.minus), labels, groups).unwrap()
    }

    fn start(&self, values: &[f64], count: usize) -> Start {
        let weight = Tensor::from_slice(values).reshape([self.dim, count as i64]);
        Start { weight, bias: Tensor::zeros([count as i64], (Kind::Double, Device::Cpu)) }
    }
}

pub(crate) fn close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance, "{what}[{i}]: {got} and {want}");
    }
}

fn rows(matrix: &Tensor) -> Vec<Vec<f64>> {
    Vec::try_from(matrix).unwrap()
}

#[test]
fn adamw_follows_pytorch_under_every_loss_penalty_and_without_bias() {
    for case in fixture::<Fixture>().adamw {
        let mut train = case.data.contrast();
        if case.loss.contains("prompt_var") {
            let questions = case.question.iter().map(ToString::to_string).collect();
            let templates = (0..train.rows()).map(|i| (i % 3).to_string()).collect();
            // Rows of a question must be of one group.
            train = case.data.contrast_in(case.question.iter().map(ToString::to_string).collect());
            train = train.with_variants(questions, templates).unwrap();
        }
        let count = case.theta.len();
        let start = case.data.start(&case.start, count);
        for (precision, exact) in [(Precision::F64, 1e-9), (Precision::F32, 1e-4)] {
            let options = Ccs {
                max_iter: case.epochs,
                precision,
                loss: case.loss.parse().unwrap(),
                bias: case.use_bias,
                l2: case.l2,
                trace: true,
                ..Ccs::default()
            };
            let fit = ccs_from(&train, &start, &options).unwrap();
            close(&fit.objectives, &case.values, exact, &case.loss);
            for (got, want) in rows(fit.directions.as_ref().unwrap()).iter().zip(&case.theta) {
                close(got, want, exact, &case.loss);
            }
            close(&[fit.probe.bias()], &[case.bias[fit.restart]], exact, "bias");
            assert_eq!(fit.under_determined, case.data.rows < case.data.dim);
            for want in &case.trace[fit.restart] {
                let got = fit.trace[want[0] as usize];
                // Within 1 % even where rounding has had 300 steps to grow.
                for (got, want) in [(got.consistency, want[1]), (got.confidence, want[2])] {
                    assert!((got - want).abs() <= exact.max(0.01 * want), "{}: {got} and {want}", case.loss);
                }
            }
        }
    }
}

#[test]
fn lbfgs_ends_where_pytorchs_does_or_lower() {
    for case in fixture::<Fixture>().lbfgs {
        let train = case.data.contrast();
        let count = case.theta.len();
        let start = case.data.start(&case.start, count);
        // The objective to what its own rounding allows. Losses are below 1, where f32 rounds by up to 6e-8: a row's two
        // logits, their two sigmoids, the two terms, their sum and the penalty are eight roundings, 5e-7. In f64 the search
        // ends by its own tolerance. The penalty λ makes of a difference δ in it
        // one of at most √(2δ/λ) in θ.
        assert!(case.l2 >= 0.01, "without a penalty θ is not determined");
        for (precision, exact) in [(Precision::F64, 1e-8), (Precision::F32, 5e-7)] {
            let theta = (2.0 * exact / case.l2).sqrt();
            let options = Ccs {
                optimizer: Optimizer::Lbfgs,
                loss: case.loss.parse().unwrap(),
                l2: case.l2,
                precision,
                trace: true,
                ..Ccs::default()
            };
            let fit = ccs_from(&train, &start, &options).unwrap();
            println!(
                "{} in {} iterations: {:?} and {:?}",
                case.loss,
                fit.trace.len(),
                fit.objectives,
                case.values
            );
            let directions = rows(fit.directions.as_ref().unwrap());
            for (r, got) in directions.iter().enumerate() {
                let square = |w: &[f64]| w.iter().map(|x| x * x).sum::<f64>();
                let objective = |loss: f64, w: &[f64]| loss + 0.5 * case.l2 * square(w);
                let (ours, theirs) =
                    (objective(fit.objectives[r], got), objective(case.values[r], &case.theta[r]));
                assert!(ours <= theirs + exact, "{}, start {r}: {ours} and {theirs}", case.loss);
                if ours > theirs - exact {
                    close(got, &case.theta[r], theta, "theta");
                }
            }
        }
    }
}

#[test]
fn a_layer_of_llama_7b_follows_libtorchs_own_adamw() {
    // The size of the plain loop that we are measured beside, and its penalty: 1,000 pairs of 4,096, in strips and blocks.
    let planted = Planted::new(1000, 4096, 2.0, 3);
    let train = planted.contrast();
    let options = Ccs { max_iter: 301, trace: true, ..Ccs::default() };
    let start = Start::unit_sphere(4096, 3, &SeedTree::new(1)).unwrap();
    let fit = ccs_from(&train, &start, &options).unwrap();

    let (plus, minus) = Normalizer::fit(&train).unwrap().apply(&train, Kind::Float).unwrap();
    let store = nn::VarStore::new(Device::Cpu);
    let column = |t: &Tensor, dim| t.narrow(dim, fit.restart as i64, 1).to_kind(Kind::Float);
    let w = store.root().var_copy("w", &column(&start.weight, 1));
    let b = store.root().var_copy("b", &column(&start.bias, 0));
    let adamw = nn::AdamW { wd: 1e-2, ..nn::AdamW::default() };
    let mut optimizer = adamw.build(&store, 1e-2).unwrap();
    for epoch in 0..=300 {
        let (p, m) = ((plus.mm(&w) + &b).sigmoid(), (minus.mm(&w) + &b).sigmoid());
        let loss = (&p + &m - 1.0).square().mean(Kind::Float) + p.minimum(&m).square().mean(Kind::Float);
        if [0, 10, 50, 100, 300].contains(&epoch) {
            let (want, got) = (loss.double_value(&[]), fit.trace[epoch].total());
            assert!((got - want).abs() < 0.01 * want, "epoch {epoch}: {got:e} and {want:e}");
        }
        optimizer.backward_step(&loss);
    }
}

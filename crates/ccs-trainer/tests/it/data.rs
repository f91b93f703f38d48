//! Data with a known truth in it.

use ccs::SeedTree;
use ccs_trainer::{Compute, Fit, Memory, Rows, Run, Settings, Source};
use rand::RngExt;
use rand_distr::StandardNormal;
use tch::Tensor;

/// Rows times dimensions of both sides, with their labels.
pub(crate) struct Planted {
    pub(crate) rows: usize,
    pub(crate) dim: usize,
    pub(crate) plus: Vec<f32>,
    pub(crate) minus: Vec<f32>,
    pub(crate) labels: Vec<bool>,
}

impl Planted {
    /// Truth of the given strength along the first axis, with opposite signs on the two sides, in unit noise.
    pub(crate) fn new(rows: usize, dim: usize, strength: f32, seed: u64) -> Self {
        let mut rng = SeedTree::new(seed).child("planted").rng();
        let labels: Vec<bool> = (0..rows).map(|_| rng.random_bool(0.5)).collect();
        let mut side = |sign: f32| -> Vec<f32> {
            let mut states = Vec::with_capacity(rows * dim);
            for &label in &labels {
                for axis in 0..dim {
                    let truth = if label { sign * strength } else { -sign * strength };
                    let noise: f32 = rng.sample(StandardNormal);
                    states.push(noise + if axis == 0 { truth } else { 0.0 });
                }
            }
            states
        };
        let (plus, minus) = (side(1.0), side(-1.0));
        Self { rows, dim, plus, minus, labels }
    }

    /// Two rows per group.
    pub(crate) fn groups(&self) -> Vec<String> {
        (0..self.rows).map(|i| format!("passage {}", i / 2)).collect()
    }

    pub(crate) fn contrast(&self) -> ccs::Contrast {
        let matrix = |v: &[f32]| Tensor::from_slice(v).reshape([self.rows as i64, self.dim as i64]);
        ccs::Contrast::new(matrix(&self.plus), matrix(&self.minus), self.labels.clone(), self.groups())
            .unwrap()
    }

    pub(crate) fn rows(&self) -> Rows {
        Rows {
            ids: (0..self.rows).map(|i| i.to_string()).collect(),
            labels: self.labels.clone(),
            groups: self.groups(),
            answer_logprob: None,
            ..Rows::default()
        }
    }
}

/// Three layers: one and the same state for all rows, noise, truth. With log-probabilities that know the truth.
pub(crate) fn three_layers(rows: usize, dim: usize) -> Memory {
    three_layers_and(rows, dim, 0.0)
}

/// The same with one state of the last layer changed by so much.
pub(crate) fn three_layers_and(rows: usize, dim: usize, change: f32) -> Memory {
    let mut truth = Planted::new(rows, dim, 3.0, 1);
    truth.minus[3] += change;
    let noise = Planted::new(rows, dim, 0.0, 2);
    let constant: Vec<f32> = (0..rows * dim).map(|i| (i % dim) as f32).collect();
    let mut about = truth.rows();
    let logprob = |sign: f64| truth.labels.iter().map(|&l| if l { sign } else { -sign }).collect();
    about.answer_logprob = Some((logprob(1.0), logprob(-1.0)));
    Memory::new(about)
        .with_layer("hook_embed", constant.clone(), constant.iter().map(|x| x + 1.0).collect())
        .with_layer("blocks.0.hook_resid_post", noise.plus, noise.minus)
        .with_layer("blocks.1.hook_resid_post", truth.plus, truth.minus)
}

/// A method by its name.
pub(crate) fn method(name: &str) -> ccs_report::Method {
    name.parse().unwrap()
}

/// A fit in memory.
pub(crate) fn run(source: &dyn Source, settings: &Settings, compute: Compute) -> ccs_trainer::Result<Run> {
    let fit = Fit::new(source).settings(settings.clone()).compute(compute);
    Ok(fit.run()?.finished().unwrap()) // nothing stops it
}

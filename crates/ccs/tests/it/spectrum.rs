//! How many directions stand out, on data that says how many there are.

use std::collections::BTreeMap;

use ccs::methods::quadratic::quadratic;
use ccs::normalize::Normalization;
use ccs::spectrum::{Spectrum, SpectrumOptions, spectra};
use ccs::{Contrast, Objective, SeedTree};
use rand::RngExt;
use rand_distr::StandardNormal;
use serde::Deserialize;
use tch::Tensor;

use crate::closed_forms::close;

/// Questions under templates, in noise of spread 1 along every axis.
#[derive(Clone, Copy)]
struct Planted {
    questions: usize,
    templates: usize,
    dim: usize,
    /// Along so many axes the sides are opposite: by the label, and by chance of each axis' own.
    truths: usize,
    /// Along so many further ones they are equal, with a spread of 5: what the question is about.
    topics: usize,
    seed: u64,
}

impl Planted {
    fn pairs(self) -> Contrast {
        let mut rng = SeedTree::new(self.seed).child("planted spectrum").rng();
        let mut normal = || -> f64 { rng.sample(StandardNormal) };
        let (mut plus, mut minus, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        let (mut questions, mut templates) = (Vec::new(), Vec::new());
        for question in 0..self.questions {
            let label = question % 2 == 0;
            let sign = if label { 1.0 } else { -1.0 };
            let truth: Vec<f64> = (0..self.truths).map(|_| 2.0 * sign + 2.0 * normal()).collect();
            let topic: Vec<f64> = (0..self.topics).map(|_| 5.0 * normal()).collect();
            for template in 0..self.templates {
                for axis in 0..self.dim {
                    let opposite = truth.get(axis).copied().unwrap_or_default();
                    let same = if axis < self.truths {
                        0.0
                    } else {
                        topic.get(axis - self.truths).copied().unwrap_or_default()
                    };
                    plus.push(same + opposite + normal());
                    minus.push(same - opposite + normal());
                }
                labels.push(label);
                questions.push(question.to_string());
                templates.push(template.to_string());
            }
        }
        let matrix = |v: &[f64]| Tensor::from_slice(v).reshape([-1, self.dim as i64]);
        let groups =
            questions.iter().map(|q| format!("passage {}", q.parse::<usize>().unwrap() / 2)).collect();
        Contrast::new(matrix(&plus), matrix(&minus), labels, groups)
            .unwrap()
            .with_variants(questions, templates)
            .unwrap()
    }
}

const OBJECTIVES: [Objective; 3] = [Objective::DRC, Objective::RRC, Objective::VINC];

fn spectra_of(planted: Planted, options: &SpectrumOptions) -> Vec<Spectrum> {
    spectra(&planted.pairs(), &OBJECTIVES, options, &SeedTree::new(planted.seed)).unwrap()
}

fn mean_only() -> SpectrumOptions {
    SpectrumOptions { normalization: Normalization::MeanOnly, ..SpectrumOptions::default() }
}

/// Truth has 9 times the variance of noise; the largest of 40 eigenvalues of noise from 400 pairs is below twice it. What
/// questions are about varies 25 times as much, and can hide directions from all but RRC.
#[test]
fn as_many_directions_stand_out_as_there_are() {
    for truths in [0, 1, 3, 30] {
        for (templates, topics) in [(1, 0), (2, 6)] {
            let planted = Planted { questions: 400, templates, dim: 40, truths, topics, seed: 5 };
            for found in spectra_of(planted, &mean_only()) {
                let what = format!("{truths} truths, {topics} topics: {found:?}");
                if topics == 0 || matches!(found.objective, Objective::Relative { .. }) {
                    assert_eq!(found.standing_out, truths, "{what}");
                } else {
                    assert!(found.standing_out >= truths.min(1) && found.standing_out <= truths, "{what}");
                }
                let above = found.eigenvalues.iter().filter(|&&v| v > found.null.high).count();
                assert_eq!(above, found.standing_out.min(20), "{what}");
                assert!(found.null.median <= found.null.high && found.eigenvalues.len() == 20, "{what}");
            }
        }
    }
}

/// The same where forms are too large for dense solutions, and with fewer rows than dimensions.
#[test]
fn many_dimensions_are_counted_too() {
    for (questions, dim) in [(600, 150), (130, 300)] {
        for truths in [0, 3] {
            let planted = Planted { questions, templates: 1, dim, truths, topics: 0, seed: 2 };
            let options = SpectrumOptions { dimensions: 110, ..mean_only() };
            for found in spectra_of(planted, &options) {
                assert_eq!(found.standing_out, truths, "{questions} {dim}: {found:?}");
            }
        }
    }
}

/// In all dimensions, the largest eigenvalue is what the method's fit maximizes.
#[test]
fn the_first_eigenvalue_is_the_fits_maximum() {
    for (questions, dim) in [(100, 12), (20, 70)] {
        let planted = Planted { questions, templates: 2, dim, truths: 1, topics: 1, seed: 3 };
        let pairs = planted.pairs();
        for normalization in [Normalization::MeanOnly, Normalization::ElementWise] {
            let options = SpectrumOptions { normalization, ..SpectrumOptions::default() };
            let rows = Objective::Vinc { variance: 0.3, negation: 0.7, supervision: 0.0, centroids: false };
            let objectives = [&OBJECTIVES[..], &[Objective::TPC, rows]].concat();
            for found in spectra(&pairs, &objectives, &options, &SeedTree::new(0)).unwrap() {
                if found.dimensions < dim.min(2 * pairs.rows()) {
                    assert!(matches!(found.objective, Objective::Relative { .. }));
                    continue; // fewer questions than it takes
                }
                let want = quadratic(&pairs, found.objective, normalization).unwrap().value;
                let off = (found.eigenvalues[0] - want).abs();
                assert!(off < 1e-8 * want.abs().max(1.0), "{found:?} and {want}");
            }
        }
    }
}

/// Of 60 sets without truth, 3 are expected to have something standing out; more than 9 are as rare as 1 in 1000. Whatever
/// questions are about, and however large it is.
#[test]
fn where_there_is_nothing_little_stands_out() {
    for topics in [0, 6] {
        let mut false_alarms = [0; 3];
        for seed in 0..60 {
            let planted = Planted { questions: 80, templates: 2, dim: 16, truths: 0, topics, seed };
            for (found, alarms) in spectra_of(planted, &mean_only()).iter().zip(&mut false_alarms) {
                *alarms += usize::from(found.standing_out > 0);
            }
        }
        assert!(false_alarms.iter().all(|&alarms| alarms <= 9), "{topics} topics: {false_alarms:?}");
    }
}

#[derive(Deserialize)]
struct Oracle {
    spectrum: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    dim: i64,
    plus: Vec<f64>,
    minus: Vec<f64>,
    label: Vec<u8>,
    question: Vec<usize>,
    template: Vec<usize>,
    eigenvalues: BTreeMap<String, Vec<f64>>,
}

/// Against dense eigenproblems by scipy (`fixtures/statements.py`).
#[test]
fn all_eigenvalues_are_those_of_the_dense_forms() {
    for case in serde_json::from_str::<Oracle>(include_str!("../fixtures/statements.json")).unwrap().spectrum
    {
        let matrix = |v: &[f64]| Tensor::from_slice(v).reshape([-1, case.dim]);
        let text = |v: &[usize]| v.iter().map(usize::to_string).collect::<Vec<_>>();
        let labels = case.label.iter().map(|&label| label == 1).collect();
        let pairs = Contrast::new(matrix(&case.plus), matrix(&case.minus), labels, text(&case.question))
            .unwrap()
            .with_variants(text(&case.question), text(&case.template))
            .unwrap();
        let found = spectra(&pairs, &OBJECTIVES, &mean_only(), &SeedTree::new(0)).unwrap();
        for (found, name) in found.iter().zip(["drc", "rrc", "vinc"]) {
            close(&Tensor::from_slice(&found.eigenvalues), &case.eigenvalues[name], 1e-9, name);
        }
    }
}

#[test]
fn labels_have_no_say_and_the_seed_has() {
    let planted = Planted { questions: 50, templates: 1, dim: 6, truths: 1, topics: 0, seed: 1 };
    let pairs = planted.pairs();
    let of = |pairs: &Contrast, seed| {
        spectra(pairs, &OBJECTIVES, &SpectrumOptions::default(), &SeedTree::new(seed)).unwrap()
    };
    let other = pairs.relabeled(pairs.labels().iter().map(|l| !l).collect()).unwrap();
    assert_eq!(of(&pairs, 0), of(&other, 0));
    let (one, two) = (of(&pairs, 0), of(&pairs, 1));
    assert_eq!(one[0].eigenvalues, two[0].eigenvalues);
    assert_ne!(one[0].null, two[0].null);
}

#[test]
fn settings_that_say_nothing_are_refused() {
    let pairs = Planted { questions: 20, templates: 1, dim: 3, truths: 1, topics: 0, seed: 1 }.pairs();
    let of = |options: SpectrumOptions, objective| {
        spectra(&pairs, &[objective], &options, &SeedTree::new(0)).unwrap_err().to_string()
    };
    let default = SpectrumOptions::default;
    assert!(of(SpectrumOptions { shuffles: 18, ..default() }, Objective::DRC).contains("`shuffles`"));
    assert!(of(SpectrumOptions { dimensions: 0, ..default() }, Objective::DRC).contains("`dimensions`"));
    assert!(of(default(), Objective::VINC_S).contains("supervision"));
}

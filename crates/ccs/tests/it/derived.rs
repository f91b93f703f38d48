//! What is made of pairs and probes: layers side by side, statistics within polarity, probes without their normalization,
//! directions compared, and CCS without the mean difference.

use ccs::directions::{cosines, mahalanobis_cosines};
use ccs::methods::REGISTRY;
use ccs::methods::ccs::{Ccs, ccs};
use ccs::methods::means::mean_difference;
use ccs::methods::recursive::{RecursiveOptions, recursive};
use ccs::{Contrast, Fit, MeanDifference, Normalization, Optimizer, Probe, ProbeInput, SeedTree, Statements};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use crate::closed_forms::close;
use crate::data::Planted;

/// Rows under two templates, with offsets of their own.
fn templated(pairs: &Contrast) -> Contrast {
    let rows = pairs.rows();
    let template = Tensor::arange(rows as i64, (Kind::Float, Device::Cpu)).remainder(2.0).unsqueeze(1);
    let names = |of: &dyn Fn(usize) -> usize| (0..rows).map(|row| of(row).to_string()).collect::<Vec<_>>();
    let (plus, minus) = (pairs.plus() + &template * 4.0, pairs.minus() - template * 2.0);
    Contrast::new(plus, minus, pairs.labels().to_vec(), pairs.groups().to_vec())
        .unwrap()
        .with_variants(names(&|row| row / 2), names(&|row| row % 2))
        .unwrap()
}

/// Of every method under every normalization: a sum of 6 products of numbers up to some tens, in f64.
#[test]
fn every_linear_probe_is_affine_in_the_models_own_states() {
    let pairs = templated(&Planted::new(120, 6, 3.0, 1).contrast());
    for entry in &REGISTRY {
        for normalization in Normalization::ALL {
            let probe = entry.method(normalization).fit(&pairs, &SeedTree::new(0)).unwrap().probe;
            for (number, rows) in pairs.rows_by_template() {
                let part = pairs.select(&rows).unwrap();
                let found = probe.affine(Some(&pairs.template_names()[number])).unwrap().unwrap();
                let double = |states: &Tensor| states.to_kind(Kind::Double);
                let logits =
                    double(part.plus()).mv(&found.plus) + double(part.minus()).mv(&found.minus) + found.bias;
                let what = format!("{} {normalization}", entry.name);
                let scores = probe.score_pairs(&part).unwrap();
                if probe.input() == ProbeInput::Pair {
                    let logits = Vec::<f64>::try_from(logits).unwrap();
                    // Where p̃ is so near ½ that rounding decides, either is right.
                    let agrees = |(z, p): (&f64, &f64)| (*z > 0.0) == (*p > 0.5) || (p - 0.5).abs() < 1e-5;
                    assert!(logits.iter().zip(&scores).all(agrees), "{what}");
                } else {
                    close(&logits, &scores, 1e-4, &what);
                }
            }
        }
    }
}

#[test]
fn a_probe_on_statements_reads_one_side_and_one_with_hidden_layers_has_no_direction() {
    let planted = Planted::new(80, 6, 3.0, 2).contrast();
    let labels = planted.labels().to_vec();
    let statements = Statements::new(planted.plus().copy(), labels, planted.groups().to_vec()).unwrap();
    let probe = MeanDifference::default().fit_statements(&statements, &SeedTree::new(0)).unwrap().probe;
    let found = probe.affine(None).unwrap().unwrap();
    assert_eq!(found.minus.abs().max().double_value(&[]), 0.0);
    let logits = statements.states().to_kind(Kind::Double).mv(&found.plus) + found.bias;
    close(&logits, &probe.score_statements(&statements).unwrap(), 1e-4, "statements");
    let deep = Ccs { hidden: vec![3], max_iter: 2, ..Ccs::default() };
    let probe = deep.fit(&planted, &SeedTree::new(0)).unwrap().probe;
    assert!(probe.affine(None).unwrap().is_none());
}

#[derive(Deserialize)]
struct Oracle {
    directions: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    rows: i64,
    dim: i64,
    count: i64,
    states: Vec<f64>,
    directions: Vec<f64>,
    cosine: Vec<f64>,
    mahalanobis: Vec<f64>,
}

fn flat(rows: &[Vec<f64>]) -> Tensor {
    Tensor::from_slice(&rows.concat())
}

/// Against NumPy (`fixtures/statements.py`).
#[test]
fn cosines_are_numpys_and_mahalanobis_cosines_do_not_depend_on_axes() {
    for case in
        serde_json::from_str::<Oracle>(include_str!("../fixtures/statements.json")).unwrap().directions
    {
        let states = Tensor::from_slice(&case.states).reshape([case.rows, case.dim]);
        let directions = Tensor::from_slice(&case.directions).reshape([case.count, case.dim]);
        close(&flat(&cosines(&directions).unwrap()), &case.cosine, 1e-10, "cosines");
        close(&flat(&mahalanobis_cosines(&directions, &states).unwrap()), &case.mahalanobis, 1e-9, "Σ");
        // Stretched axes: scores, and so their correlations, stay.
        let stretch = Tensor::arange_start(1, case.dim + 1, (Kind::Double, Device::Cpu));
        let other = mahalanobis_cosines(&(&directions / &stretch), &(states * stretch)).unwrap();
        close(&flat(&other), &case.mahalanobis, 1e-9, "stretched");
        assert!(
            mahalanobis_cosines(&directions, &Tensor::zeros([3, 99], (Kind::Double, Device::Cpu))).is_err()
        );
    }
}

#[test]
fn layers_side_by_side_keep_rows_and_are_refused_where_rows_differ() {
    let one = templated(&Planted::new(40, 3, 1.0, 1).contrast());
    let two =
        Contrast::new(one.plus() * 2.0, one.minus() * 3.0, one.labels().to_vec(), one.groups().to_vec())
            .unwrap();
    let both = Contrast::concatenate(&[&one, &two]).unwrap();
    assert_eq!((both.rows(), both.dim()), (40, 6));
    assert_eq!(both.minus().narrow(1, 3, 3), *two.minus());
    assert_eq!((both.questions(), both.template_names()), (one.questions(), one.template_names()));
    let turned = one.relabeled(one.labels().iter().map(|l| !l).collect()).unwrap();
    assert!(Contrast::concatenate(&[&one, &turned]).is_err() && Contrast::concatenate(&[]).is_err());
    assert!(Contrast::concatenate(&[&one, &one.select(&[0, 1]).unwrap()]).is_err());
}

/// Negated rows lie elsewhere on both sides, and far apart: told apart by polarity, nothing of that is left.
#[test]
fn statistics_within_polarity_take_away_what_not_does() {
    let plain = Planted::new(200, 6, 1.5, 3).contrast();
    let affirmative: Vec<bool> = (0..200).map(|row| row % 4 < 2).collect();
    let moved: Vec<f32> = affirmative.iter().map(|&a| if a { 0.0 } else { 20.0 }).collect();
    let moved =
        Tensor::from_slice(&moved).unsqueeze(1) * Tensor::from_slice(&[0f32, 1.0, -1.0, 0.0, 0.0, 0.0]);
    let (plus, minus) = (plain.plus() + &moved, plain.minus() - moved);
    let pairs = Contrast::new(plus, minus, plain.labels().to_vec(), plain.groups().to_vec()).unwrap();
    assert!(pairs.by_polarity().is_err());
    let pairs = pairs.with_polarity(affirmative).unwrap();
    let apart = pairs.by_polarity().unwrap();
    assert_eq!(apart.template_names(), ["affirmative", "negated"]);
    assert_eq!(
        templated(&plain).with_polarity(vec![true; 200]).unwrap().by_polarity().unwrap().template_names(),
        ["0/affirmative", "1/affirmative"]
    );
    let (train, test): (Vec<usize>, Vec<usize>) = (0..200).partition(|row| row % 10 < 6);
    let of = |pairs: &Contrast| {
        let fit = ccs(&pairs.select(&train).unwrap(), &Ccs::default(), &SeedTree::new(0)).unwrap();
        fit.probe.accuracy(&pairs.select(&test).unwrap()).unwrap()
    };
    let (mixed, within) = (of(&pairs), of(&apart));
    assert!(within > 0.95 && mixed < 0.75, "{within} and {mixed}");
    assert_eq!(apart.select(&test).unwrap().polarity().unwrap().len(), test.len());
}

/// The mean difference leaves the states, and weights stay orthogonal to it whichever optimizer moves them.
#[test]
fn ccs_without_the_mean_difference_finds_another_direction() {
    let pairs = Planted::new(160, 8, 3.0, 4).contrast();
    let normalization = Normalization::MeanOnly;
    let direction = mean_difference(&pairs, normalization).unwrap().weight().to_kind(Kind::Double);
    let cosine = |probe: &Probe| {
        let w = probe.weight().to_kind(Kind::Double);
        (w.dot(&direction) / (w.norm() * direction.norm())).double_value(&[]).abs()
    };
    let plain = Ccs { normalization, max_iter: 200, n_init: 3, ..Ccs::default() };
    for optimizer in [Optimizer::AdamW, Optimizer::Lbfgs] {
        for project in [None, Some(4)] {
            let options = Ccs { optimizer, project, ..plain.clone() };
            assert!(cosine(&ccs(&pairs, &options, &SeedTree::new(0)).unwrap().probe) > 0.9);
            let options = Ccs { remove_mean_difference: true, ..options };
            let fit = ccs(&pairs, &options, &SeedTree::new(0)).unwrap();
            // Orthogonal to rounding of f32; in fewer dimensions, to what they hold of the difference.
            assert!(cosine(&fit.probe) < 1e-4, "{optimizer:?} {project:?}: {}", cosine(&fit.probe));
            assert!(fit.probe.accuracy(&pairs).unwrap() < 0.9);
            // Recursive CCS begins with the same fit.
            let recursion = RecursiveOptions { iterations: 2, ..RecursiveOptions::default() };
            let found = recursive(&pairs, &options, &recursion, &SeedTree::new(0), |_, _| true).unwrap();
            assert!(found.fits.iter().all(|fit| cosine(&fit.probe) < 1e-4));
            assert_eq!(found.directions.size()[0], found.fits.len() as i64 + 1);
        }
    }
    let deep = Ccs { hidden: vec![2], remove_mean_difference: true, ..plain };
    assert!(deep.fit(&pairs, &SeedTree::new(0)).unwrap_err().to_string().contains("remove_mean_difference"));
}

//! The methods without an optimizer of their own, on data whose truth is known.

use ccs::SeedTree;
use ccs::baselines::random_directions;
use ccs::methods::bss::{Bss, bss};
use ccs::methods::ccs::{Ccs, Optimizer, ccs};
use ccs::methods::inlp::{Inlp, inlp};
use ccs::methods::kmeans::{KMeans, kmeans};
use ccs::methods::logistic::{LrOptions, logistic};
use ccs::methods::means::{Shrinkage, lda, mean_difference};
use ccs::methods::quadratic::{Objective, quadratic};
use ccs::normalize::Normalization;
use ccs::stats::intervals::quantile;
use ccs::stats::split::Split;
use ccs::{Contrast, Error, Probe, Result};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::StandardNormal;
use tch::{Kind, Tensor};

use crate::data::Planted;
use crate::direction::cosine;

const METHODS: [&str; 9] = ["tpc", "drc", "rrc", "vinc", "vinc_s", "bss", "kmeans", "mean_difference", "lda"];

fn fit(method: &str, train: &Contrast, normalization: Normalization) -> Result<Probe> {
    let stream = SeedTree::new(7).child(method);
    let form = |objective| Ok(quadratic(train, objective, normalization)?.probe);
    match method {
        "tpc" => form(Objective::TPC),
        "drc" => form(Objective::DRC),
        "rrc" => form(Objective::RRC),
        "vinc" => form(Objective::VINC),
        "vinc_s" => form(Objective::VINC_S),
        "bss" => Ok(bss(train, &Bss { normalization, ..Bss::default() }, &stream)?.probe),
        "kmeans" => Ok(kmeans(train, &KMeans { normalization, ..KMeans::default() }, &stream)?.probe),
        "mean_difference" => mean_difference(train, normalization),
        "ccs" => Ok(ccs(train, &Ccs { normalization, ..Ccs::default() }, &stream)?.probe),
        "ccs_lbfgs" => Ok(ccs(train, &lbfgs(normalization), &stream)?.probe),
        "lr" => Ok(logistic(train, &LrOptions { normalization, ..LrOptions::default() })?.probe),
        "lda" => Ok(lda(train, Shrinkage::LedoitWolf, normalization)?.probe),
        other => panic!("{other}"),
    }
}

/// elk's: a penalty chooses where the rows leave a choice.
fn lbfgs(normalization: Normalization) -> Ccs {
    let optimizer = Optimizer::Lbfgs;
    Ccs { optimizer, max_iter: 100, l2: 0.01, normalization, ..Ccs::default() }
}

fn split(pairs: &Contrast) -> (Contrast, Contrast) {
    let split = Split::grouped(pairs.labels(), pairs.groups(), 0.4, &SeedTree::new(5)).unwrap();
    (pairs.select(&split.train).unwrap(), pairs.select(&split.test).unwrap())
}

/// Three templates to a question, each with offsets of its own on either side.
fn templated(pairs: &Contrast) -> Contrast {
    let rows = pairs.rows();
    let template = Tensor::arange(rows as i64, (Kind::Float, tch::Device::Cpu)).remainder(3.0).unsqueeze(1);
    let name = |prefix: &str, of: &dyn Fn(usize) -> usize| -> Vec<String> {
        (0..rows).map(|i| format!("{prefix}{}", of(i))).collect()
    };
    // Rows of one question have one label and one group.
    let labels = (0..rows).map(|i| pairs.labels()[i - i % 3]).collect::<Vec<_>>();
    let turn: Vec<f32> = (0..rows).map(|i| if labels[i] == pairs.labels()[i] { 1.0 } else { -1.0 }).collect();
    let turn = Tensor::from_slice(&turn).unsqueeze(1);
    let (plus, minus) = (pairs.plus() * &turn + &template * 20.0, pairs.minus() * &turn - &template * 10.0);
    Contrast::new(plus, minus, labels, name("g", &|i| i / 3))
        .unwrap()
        .with_variants(name("q", &|i| i / 3), name("t", &|i| i % 3))
        .unwrap()
}

#[test]
fn a_planted_direction_is_found_by_every_method_under_every_normalization() {
    let plain = Planted::new(1200, 16, 3.0, 0).contrast();
    for pairs in [templated(&plain), plain] {
        let (train, test) = split(&pairs);
        for method in METHODS.into_iter().chain(["ccs", "ccs_lbfgs", "lr"]) {
            for normalization in Normalization::ALL {
                let probe = fit(method, &train, normalization).unwrap();
                let (cosine, accuracy) = (cosine(&probe, &train, 0), probe.accuracy(&test).unwrap());
                assert!(cosine > 0.95 && accuracy > 0.98, "{method} {normalization}: {cosine} {accuracy}");
            }
        }
    }
}

/// Differences have a variance of 2 along every axis and ℓ = 2t² times as much more along the truth. With γ = D/N the top
/// principal component has cos² = (1 − γ/ℓ²)/(1 + γ/ℓ) (the spiked covariance model, Paul 2007), and the difference
/// of means, whose noise has 2D/N in all beside (2t)², cos² = 1/(1 + γ/ℓ): 0.986 both here.
#[test]
fn a_planted_direction_is_found_with_fewer_rows_than_dimensions_as_well_as_theory_allows() {
    let (train, test) = split(&Planted::new(400, 500, 6.0, 0).contrast());
    assert!(train.rows() < train.dim());
    let (gamma, spike) = (train.dim() as f64 / train.rows() as f64, 2.0 * 6f64.powi(2));
    let means = (1.0 + gamma / spike).recip().sqrt();
    let component = (1.0 - gamma / spike.powi(2)).sqrt() * means;
    // Scaled axis by axis, the truth of one axis is no longer than the noise of any other, and too few rows tell them
    // apart. BSS and CCS without a penalty find what they look for along almost any direction, and RRC's ratio reaches its
    // bound along many: they are marked (`under_determined`) or documented, and have no direction to find.
    let scaled = |n: &Normalization| *n == Normalization::ElementWise;
    for normalization in Normalization::ALL.into_iter().filter(|n| !scaled(n)) {
        for (method, theory) in [
            ("tpc", component),
            ("drc", component),
            ("vinc", component),
            ("kmeans", means),
            ("mean_difference", means),
            ("lda", means),
        ] {
            let probe = fit(method, &train, normalization).unwrap();
            let cosine = cosine(&probe, &train, 0);
            assert!((cosine - theory).abs() < 0.005, "{method} {normalization}: {cosine} and {theory}");
            assert!(probe.accuracy(&test).unwrap() > 0.99, "{method} {normalization}");
        }
        // What is offered there instead.
        let projected = Ccs { project: Some(5), normalization, ..Ccs::default() };
        for options in [lbfgs(normalization), projected] {
            let fit = ccs(&train, &options, &SeedTree::new(0)).unwrap();
            let cosine = cosine(&fit.probe, &train, 0);
            assert!(cosine > 0.95 && fit.probe.accuracy(&test).unwrap() > 0.99, "{normalization}: {cosine}");
        }
    }
}

/// Each method's accuracy lies between the quantiles of random directions that leave 5 % outside for all together.
#[test]
fn with_shuffled_labels_no_method_leaves_the_random_band() {
    let mut planted = Planted::new(800, 16, 3.0, 0);
    planted.labels.shuffle(&mut SeedTree::new(1).rng());
    let (train, test) = split(&planted.contrast());
    let band = random_directions(&train, &test, 4000, &SeedTree::new(2)).unwrap();
    let mut accuracies: Vec<f64> = band.test.iter().map(|q| q.accuracy).collect();
    accuracies.sort_by(f64::total_cmp);
    let tail = 0.025 / METHODS.len() as f64;
    let (low, high) = (quantile(&accuracies, tail).unwrap(), quantile(&accuracies, 1.0 - tail).unwrap());
    for method in METHODS {
        let accuracy = fit(method, &train, Normalization::ElementWise).unwrap().accuracy(&test).unwrap();
        assert!((low..=high).contains(&accuracy), "{method}: {accuracy} outside {low} to {high}");
    }
}

/// Truth on the first axis; on the second, stronger and as opposite on the two sides, a feature of half of the
/// questions that also sets their midpoints apart.
fn distracted(rows: usize, dim: usize) -> Contrast {
    let planted = Planted::new(rows, dim, 2.0, 8);
    let mut rng = SeedTree::new(9).rng();
    let (mut plus, mut minus) = (planted.plus.clone(), planted.minus.clone());
    for row in 0..rows {
        let feature = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let jitter: f32 = rng.sample(StandardNormal);
        plus[row * dim + 1] += 6.0 * feature + 0.1 * jitter;
        minus[row * dim + 1] -= 6.0 * feature;
        plus[row * dim + 2] += 30.0 * feature;
        minus[row * dim + 2] += 30.0 * feature;
    }
    Planted { plus, minus, ..planted }.contrast()
}

#[test]
fn cluster_normalization_finds_the_truth_behind_a_stronger_distractor() {
    let (train, test) = split(&distracted(800, 8));
    for method in ["ccs", "tpc", "drc", "bss", "kmeans"] {
        // LEACE is not among them: with the sides' sample means it takes the distractor's chance share in them away.
        let others = if method == "ccs" { &Normalization::ALL[..3] } else { &[Normalization::MeanOnly] };
        for &normalization in others {
            let fooled = fit(method, &train, normalization).unwrap();
            let (cosine, accuracy) = (cosine(&fooled, &train, 0), fooled.accuracy(&test).unwrap());
            assert!(cosine < 0.2 && accuracy < 0.65, "{method} {normalization}: {cosine} {accuracy}");
        }
        // The test rows keep what sets clusters apart; the probe does not look at it.
        let probe = fit(method, &train, Normalization::Cluster).unwrap();
        let (cosine, accuracy) = (cosine(&probe, &train, 0), probe.accuracy(&test).unwrap());
        assert!(cosine > 0.95 && accuracy > 0.9, "{method}: {cosine} {accuracy}");
    }
}

/// Two clusters and pairs outside them, whose plus sides lie far to one side.
#[test]
fn under_cluster_normalization_the_boundary_is_where_later_rows_are() {
    let mut planted = Planted::new(72, 3, 2.0, 8);
    for row in 0..72 {
        let middle = match row {
            0..30 => 0.0,
            30..60 => 60.0,
            _ => 300.0 * (row - 58) as f32,
        };
        planted.plus[row * 3 + 1] += middle + if row < 60 { 0.0 } else { 40.0 };
        planted.plus[row * 3] += if row < 60 { 0.0 } else { 25.0 };
        planted.minus[row * 3 + 1] += middle;
    }
    let train = planted.contrast();
    for method in ["tpc", "drc", "bss", "mean_difference"] {
        for normalization in Normalization::ALL {
            let scores = fit(method, &train, normalization).unwrap().score_pairs(&train).unwrap();
            let (mean, size) =
                (scores.iter().sum::<f64>() / 72.0, scores.iter().map(|s| s.abs()).fold(0.0, f64::max));
            assert!(mean.abs() < 1e-9 * size, "{method} {normalization}: {mean} of {size}");
        }
    }
}

/// Rows under three templates each of its own offset; of the rows in `changed` the states, templates and questions are
/// others, and with them the numbers that all rows' templates and questions have.
fn asked(changed: &[usize]) -> Contrast {
    let mut planted = Planted::new(120, 6, 1.0, 4);
    let mut templates: Vec<String> = (0..120).map(|row| format!("t{}", row % 3)).collect();
    let mut questions: Vec<String> = (0..120).map(|row| format!("q{}", row / 2)).collect();
    for (row, states) in planted.plus.chunks_mut(6).enumerate() {
        for x in states {
            *x += 4.0 * (row % 3) as f32;
        }
    }
    for &row in changed {
        planted.plus[row * 6..row * 6 + 6].iter_mut().for_each(|x| *x = 100.0 - *x);
        ["other", "t2", "t1", "t0"][row % 4].clone_into(&mut templates[row]);
        questions[row] = format!("{row}?");
    }
    planted.contrast().with_variants(questions, templates).unwrap()
}

#[test]
fn test_rows_that_change_the_order_of_templates_and_questions_reach_no_probe() {
    let original = asked(&[]);
    let split = Split::grouped(original.labels(), original.groups(), 0.4, &SeedTree::new(0)).unwrap();
    let changed = asked(&split.test);
    let numbers = |pairs: &Contrast| pairs.select(&split.train).unwrap().templates().to_vec();
    assert_ne!(numbers(&original), numbers(&changed), "otherwise nothing is tested");
    for method in METHODS.into_iter().chain(["ccs", "lr"]) {
        for normalization in Normalization::ALL {
            let bytes = |pairs: &Contrast| {
                let train = pairs.select(&split.train).unwrap();
                fit(method, &train, normalization).unwrap().to_bytes().unwrap()
            };
            assert!(bytes(&original) == bytes(&changed), "{method} {normalization}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_bytes() {
    let train = asked(&[]);
    for method in METHODS {
        for normalization in Normalization::ALL {
            let bytes = || fit(method, &train, normalization).unwrap().to_bytes().unwrap();
            assert!(bytes() == bytes(), "{method} {normalization}");
        }
    }
}

#[test]
fn inlp_stops_once_labels_cannot_be_told() {
    let (train, test) = split(&Planted::new(600, 8, 3.0, 0).contrast());
    let fit = inlp(&train, &Inlp::default().normalized(Normalization::ElementWise)).unwrap();
    assert!(fit.exhausted && fit.probes.len() < 8, "{:?}", fit.losses);
    assert!(cosine(&fit.probes[0], &train, 0) > 0.95 && fit.probes[0].accuracy(&test).unwrap() > 0.98);
    assert!(fit.losses[0] < 0.1 && *fit.losses.last().unwrap() >= 0.99 * fit.entropy);
}

#[test]
fn rows_that_cannot_be_fitted_are_errors() {
    let mut planted = Planted::new(40, 4, 1.0, 4);
    planted.labels.fill(true);
    let one_class = planted.contrast();
    planted.labels = (0..40).map(|i| i % 2 == 0).collect();
    planted.plus.fill(3.0);
    planted.minus.fill(1.0);
    let constant = planted.contrast();
    for method in METHODS {
        for normalization in Normalization::ALL {
            let error = fit(method, &one_class, normalization).unwrap_err();
            assert!(matches!(error, Error::OneClass { .. }), "{method}: {error}");
            match fit(method, &constant, normalization) {
                // No difference between the classes is what such rows show.
                Ok(probe) => {
                    assert!(method == "mean_difference" && probe.accuracy(&constant).unwrap() == 0.5);
                }
                Err(error) => {
                    assert!(matches!(error, Error::Constant | Error::Singular { .. }), "{method}: {error}");
                }
            }
        }
    }
    let pairs = Planted::new(40, 4, 1.0, 4).contrast();
    let nothing = Objective::Vinc { variance: f64::NAN, negation: 0.5, supervision: 0.0, centroids: true };
    let refused = quadratic(&pairs, nothing, Normalization::MeanOnly);
    assert!(matches!(refused, Err(Error::Setting { .. })));
    let none = Bss { n_init: 0, ..Bss::default() };
    assert!(bss(&pairs, &none, &SeedTree::new(0)).is_err());
    let none = KMeans { n_init: 0, ..KMeans::default() };
    assert!(kmeans(&pairs, &none, &SeedTree::new(0)).is_err());
    let above = Shrinkage::Fixed(1.5);
    assert!(matches!(lda(&pairs, above, Normalization::MeanOnly), Err(Error::Setting { .. })));
    let probe = fit("tpc", &pairs, Normalization::Leace).unwrap();
    assert!(matches!(probe.score_pairs(&Planted::new(4, 5, 1.0, 4).contrast()), Err(Error::Shape { .. })));
}

#[test]
fn very_few_rows_give_a_probe_or_an_error() {
    let mut fitted = 0;
    for (rows, dim) in [(2, 1), (2, 5), (3, 2), (4, 1)] {
        let mut planted = Planted::new(rows, dim, 1.0, 4);
        planted.labels = (0..rows).map(|i| i % 2 == 0).collect();
        let pairs = planted.contrast();
        for method in METHODS {
            for normalization in Normalization::ALL {
                match fit(method, &pairs, normalization) {
                    Ok(probe) => {
                        assert!(probe.score_pairs(&pairs).unwrap().iter().all(|s| s.is_finite()));
                        fitted += 1;
                    }
                    Err(error) => assert!(
                        matches!(error, Error::Constant | Error::Singular { .. }),
                        "{method} {normalization}: {error}"
                    ),
                }
            }
        }
        let found = inlp(&pairs, &Inlp::default().normalized(Normalization::MeanOnly)).unwrap();
        assert!(found.losses.iter().all(|loss| loss.is_finite()));
    }
    assert!(2 * fitted > 4 * METHODS.len() * Normalization::ALL.len(), "{fitted}");
}

//! The methods without an optimiser of their own, on data whose truth is known.

use ccs::baselines::random_directions;
use ccs::bootstrap::quantile;
use ccs::fit::ccs::{CcsOptions, ccs};
use ccs::fit::inlp::{InlpOptions, inlp};
use ccs::fit::kmeans::{KMeansOptions, kmeans};
use ccs::fit::means::{Shrinkage, lda, mean_difference};
use ccs::fit::quadratic::{Objective, quadratic};
use ccs::fit::salience::{BssOptions, bss};
use ccs::normalize::{Normalization, Normalizer};
use ccs::rng::Stream;
use ccs::split::Split;
use ccs::{Contrast, Error, Probe, Result};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::StandardNormal;
use tch::{Kind, Tensor};

use crate::data::Planted;

const METHODS: [&str; 9] = ["tpc", "drc", "rrc", "vinc", "vinc_s", "bss", "kmeans", "mean_difference", "lda"];

fn fit(method: &str, train: &Contrast, normalization: Normalization) -> Result<Probe> {
    let stream = Stream::new(7).child(method);
    let form = |objective| Ok(quadratic(train, objective, normalization)?.probe);
    match method {
        "tpc" => form(Objective::TPC),
        "drc" => form(Objective::DRC),
        "rrc" => form(Objective::RRC),
        "vinc" => form(Objective::VINC),
        "vinc_s" => form(Objective::VINC_S),
        "bss" => Ok(bss(train, &BssOptions::default(), normalization, &stream)?.probe),
        "kmeans" => Ok(kmeans(train, &KMeansOptions::default(), normalization, &stream)?.probe),
        "mean_difference" => mean_difference(train, normalization),
        "lda" => Ok(lda(train, Shrinkage::LedoitWolf, normalization)?.probe),
        other => panic!("{other}"),
    }
}

fn split(pairs: &Contrast) -> (Contrast, Contrast) {
    let split = Split::grouped(pairs.labels(), pairs.groups(), 0.4, &Stream::new(5)).unwrap();
    (pairs.select(&split.train).unwrap(), pairs.select(&split.test).unwrap())
}

/// |cos| of the probe's direction with an axis.
fn cosine(probe: &Probe, axis: i64) -> f64 {
    let weight = probe.weight.to_kind(Kind::Double);
    (weight.double_value(&[axis]) / weight.norm().double_value(&[])).abs()
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
fn a_planted_direction_is_found_by_every_method_under_every_normalisation() {
    let plain = Planted::new(1200, 16, 3.0, 0).contrast();
    for (pairs, with_templates) in [(templated(&plain), true), (plain, false)] {
        let (train, test) = split(&pairs);
        for method in METHODS {
            for normalization in Normalization::ALL {
                let probe = fit(method, &train, normalization).unwrap();
                let (cosine, accuracy) = (cosine(&probe, 0), probe.accuracy(&test).unwrap());
                // LEACE of three templates and two sides takes five of the 16 dimensions away, truth's share
                // of the noise in their means with it; BSS has 20 steps to make up for it.
                let least = match (normalization, with_templates) {
                    (Normalization::Leace, true) => 0.7,
                    (Normalization::Leace, false) if method == "bss" => 0.9,
                    _ => 0.95,
                };
                assert!(cosine > least && accuracy > 0.98, "{method} {normalization}: {cosine} {accuracy}");
            }
        }
    }
}

#[test]
fn a_planted_direction_is_found_with_fewer_rows_than_dimensions() {
    let (train, test) = split(&Planted::new(400, 500, 6.0, 0).contrast());
    assert!(train.rows() < train.dim());
    // Scaled axis by axis, the truth of one axis is no longer than the noise of any other, and too few rows tell them
    // apart.
    let scaled = |n: &Normalization| *n == Normalization::ElementWise;
    for method in ["tpc", "drc", "vinc", "kmeans", "mean_difference", "lda"] {
        for normalization in Normalization::ALL.into_iter().filter(|n| !scaled(n)) {
            let probe = fit(method, &train, normalization).unwrap();
            assert!(probe.accuracy(&test).unwrap() > 0.95, "{method} {normalization}: {}", cosine(&probe, 0));
        }
    }
}

/// Each method's accuracy lies between the quantiles of random directions that leave 5 % outside for all together.
#[test]
fn with_shuffled_labels_no_method_leaves_the_random_band() {
    let mut planted = Planted::new(800, 16, 3.0, 0);
    planted.labels.shuffle(&mut Stream::new(1).rng());
    let (train, test) = split(&planted.contrast());
    let band = random_directions(&train, &test, 4000, &Stream::new(2)).unwrap();
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
    let mut rng = Stream::new(9).rng();
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
fn cluster_normalisation_finds_the_truth_behind_a_stronger_distractor() {
    let (train, test) = split(&distracted(400, 8));
    for method in ["tpc", "drc", "bss", "kmeans"] {
        let fooled = fit(method, &train, Normalization::MeanOnly).unwrap();
        assert!(cosine(&fooled, 1) > 0.95 && cosine(&fooled, 0) < 0.2, "{method}");
        let probe = fit(method, &train, Normalization::Cluster).unwrap();
        assert!(cosine(&probe, 0) > 0.95, "{method}: {}", cosine(&probe, 0));
        assert!(probe.accuracy(&test).unwrap() > 0.9, "{method}: {}", probe.accuracy(&test).unwrap());
    }
    let options = CcsOptions { epochs: 500, ..CcsOptions::default() };
    let fooled = ccs(&train, &options, &Stream::new(0)).unwrap().probe;
    assert!(cosine(&fooled, 0) < 0.5, "{}", cosine(&fooled, 0));
    let (_, plus, minus) = Normalizer::fit_transform(Normalization::Cluster, &train, Kind::Double).unwrap();
    let cleaned = Contrast::new(plus, minus, train.labels().to_vec(), train.groups().to_vec()).unwrap();
    let probe = ccs(&cleaned, &options, &Stream::new(0)).unwrap().probe;
    assert!(cosine(&probe, 0) > 0.95, "{}", cosine(&probe, 0));
}

#[test]
fn a_seed_gives_the_same_bytes_and_test_rows_do_not_reach_them() {
    let planted = Planted::new(80, 6, 1.0, 4);
    let original = planted.contrast();
    let split = Split::grouped(original.labels(), original.groups(), 0.4, &Stream::new(0)).unwrap();
    let mut changed = Planted::new(80, 6, 1.0, 4);
    for &row in &split.test {
        changed.plus[row * 6..row * 6 + 6].iter_mut().for_each(|x| *x += 100.0);
    }
    let changed = changed.contrast();
    for method in METHODS {
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
fn inlp_stops_once_labels_cannot_be_told() {
    let (train, test) = split(&Planted::new(600, 8, 3.0, 0).contrast());
    let fit = inlp(&train, &InlpOptions::default(), Normalization::ElementWise).unwrap();
    assert!(fit.exhausted && fit.probes.len() < 8, "{:?}", fit.losses);
    assert!(cosine(&fit.probes[0], 0) > 0.95 && fit.probes[0].accuracy(&test).unwrap() > 0.98);
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
    let none = BssOptions { restarts: 0, ..BssOptions::default() };
    assert!(bss(&pairs, &none, Normalization::MeanOnly, &Stream::new(0)).is_err());
    let none = KMeansOptions { restarts: 0, ..KMeansOptions::default() };
    assert!(kmeans(&pairs, &none, Normalization::MeanOnly, &Stream::new(0)).is_err());
    let above = Shrinkage::Fixed(1.5);
    assert!(matches!(lda(&pairs, above, Normalization::MeanOnly), Err(Error::Setting { .. })));
    let probe = fit("tpc", &pairs, Normalization::Leace).unwrap();
    assert!(matches!(probe.scores(&Planted::new(4, 5, 1.0, 4).contrast()), Err(Error::Shape { .. })));
}

#[test]
fn very_few_rows_give_a_probe_or_an_error() {
    for (rows, dim) in [(2, 1), (2, 5), (3, 2), (4, 1)] {
        let mut planted = Planted::new(rows, dim, 1.0, 4);
        planted.labels = (0..rows).map(|i| i % 2 == 0).collect();
        let pairs = planted.contrast();
        for method in METHODS {
            for normalization in Normalization::ALL {
                match fit(method, &pairs, normalization) {
                    Ok(probe) => assert!(probe.scores(&pairs).unwrap().iter().all(|s| s.is_finite())),
                    Err(error) => assert!(
                        matches!(error, Error::Constant | Error::Singular { .. }),
                        "{method} {normalization}: {error}"
                    ),
                }
            }
        }
        let found = inlp(&pairs, &InlpOptions::default(), Normalization::MeanOnly).unwrap();
        assert!(found.losses.iter().all(|loss| loss.is_finite()));
    }
}

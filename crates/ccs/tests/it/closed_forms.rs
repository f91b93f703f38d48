//! Against concept-erasure, scikit-learn, scipy and PyTorch (`fixtures/closed_forms.py`).

use std::collections::BTreeMap;

use ccs::Contrast;
use ccs::Probe;
use ccs::SeedTree;
use ccs::methods::bss::{Bss, bss_from};
use ccs::methods::inlp::{Inlp, inlp};
use ccs::methods::kmeans::{KMeans, kmeans};
use ccs::methods::logistic::LrOptions;
use ccs::methods::means::{Shrinkage, lda, mean_difference};
use ccs::methods::quadratic::{Objective, quadratic};
use ccs::normalize::erase::{LeaceOptions, leace, sal};
use ccs::normalize::{MIN_CLUSTER_SIZE, Normalization, Normalizer, clusters};
use serde::Deserialize;
use tch::{Kind, Tensor};

#[derive(Deserialize)]
struct Oracle {
    cluster: Vec<Clustered>,
    means: Vec<Means>,
    kmeans: Vec<TwoMeans>,
    bss: Vec<BssCase>,
    inlp: Vec<InlpCase>,
    quadratic: Vec<Quadratic>,
    normalization: Vec<Normalized>,
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
    #[serde(rename = "form")]
    name: String,
    normalization: Normalization,
    value: f64,
    direction: Vec<f64>,
}

#[derive(Deserialize)]
struct Clustered {
    rows: i64,
    dim: i64,
    plus: Vec<f64>,
    minus: Vec<f64>,
    clusters: Vec<i64>,
    normalized: [Vec<f64>; 2],
}

#[derive(Deserialize)]
struct Means {
    pairs: Pairs,
    difference: Vec<f64>,
    ledoit_wolf: f64,
    lda: Vec<Lda>,
}

#[derive(Deserialize)]
struct Lda {
    shrinkage: f64,
    weight: Vec<f64>,
    bias: f64,
}

#[derive(Deserialize)]
struct TwoMeans {
    pairs: Pairs,
    inertia: f64,
    sizes: [usize; 2],
    between: Vec<f64>,
    bias: f64,
}

#[derive(Deserialize)]
struct BssCase {
    pairs: Pairs,
    start: Vec<f64>,
    starts: usize,
    epochs: usize,
    theta: Vec<Vec<f64>>,
    losses: Vec<f64>,
}

#[derive(Deserialize)]
struct InlpCase {
    pairs: Pairs,
    weights: Vec<Vec<f64>>,
    biases: Vec<f64>,
    losses: Vec<f64>,
}

#[derive(Deserialize)]
struct Normalized {
    pairs: Pairs,
    normalized: BTreeMap<String, [Vec<f64>; 2]>,
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

pub(crate) fn close(got: &Tensor, want: &[f64], tolerance: f64, what: &str) {
    let got = Vec::<f64>::try_from(got.to_kind(Kind::Double).reshape([-1])).unwrap();
    assert_eq!(got.len(), want.len(), "{what}");
    let off = got.iter().zip(want).map(|(a, b)| (a - b).abs()).max_by(f64::total_cmp).unwrap_or_default();
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
fn normalizations_per_template_agree_with_numpy() {
    for case in oracle().normalization {
        let pairs = case.pairs.contrast();
        for kind in Normalization::ALL.into_iter().filter(|&k| k != Normalization::Cluster) {
            let normalizer = Normalizer::fit_as(kind, &pairs).unwrap();
            let (plus, minus) = normalizer.apply(&pairs, Kind::Double).unwrap();
            let [want_plus, want_minus] = &case.normalized[kind.name()];
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
            let what = format!("{} {} {}", want.name, want.normalization, case.pairs.dim);
            let fit = quadratic(&pairs, objective(&want.name), want.normalization).unwrap();
            assert!((fit.value - want.value).abs() < 1e-9, "{what}: {} and {}", fit.value, want.value);
            let sign = fit.probe.weight().double_value(&[0]).signum();
            close(&(fit.probe.weight() * sign), &want.direction, 1e-8, &what);
        }
    }
}

const ELEMENT_WISE: Normalization = Normalization::ElementWise;

pub(crate) fn near(got: f64, want: f64, tolerance: f64, what: &str) {
    assert!((got - want).abs() <= tolerance, "{what}: {got} and {want}");
}

#[test]
fn mean_difference_and_lda_agree_with_scikit_learn() {
    for case in oracle().means {
        let pairs = case.pairs.contrast();
        close(mean_difference(&pairs, ELEMENT_WISE).unwrap().weight(), &case.difference, 1e-10, "difference");
        let fit = lda(&pairs, Shrinkage::LedoitWolf, ELEMENT_WISE).unwrap();
        near(fit.shrinkage, case.ledoit_wolf, 1e-10, "Ledoit and Wolf's shrinkage");
        for want in case.lda {
            let probe = lda(&pairs, Shrinkage::Fixed(want.shrinkage), ELEMENT_WISE).unwrap().probe;
            close(probe.weight(), &want.weight, 1e-9, "LDA");
            near(probe.bias(), want.bias, 1e-9, "LDA's bias");
        }
    }
}

/// Both find the least inertia of these few rows; the centers are then means of the same rows.
#[test]
fn two_means_agree_with_scikit_learn() {
    for case in oracle().kmeans {
        let options = KMeans { n_init: 50, normalization: Normalization::MeanOnly, ..KMeans::default() };
        let pairs = case.pairs.contrast();
        let fit = kmeans(&pairs, &options, &SeedTree::new(0)).unwrap();
        near(fit.inertia, case.inertia, 1e-9, "inertia");
        assert_eq!(fit.sizes, case.sizes);
        let sign = fit.probe.weight().double_value(&[0]).signum() * case.between[0].signum();
        close(&(fit.probe.weight() * sign), &case.between, 1e-9, "centers");
        near(fit.probe.bias() * sign, case.bias, 1e-9, "boundary");
    }
}

/// Twenty steps of the same f64 arithmetic in another order.
#[test]
fn salience_search_follows_pytorch() {
    for case in oracle().bss {
        let pairs = case.pairs.contrast();
        let start = Tensor::from_slice(&case.start).reshape([case.pairs.dim, case.starts as i64]);
        let options = Bss { max_iter: case.epochs, normalization: ELEMENT_WISE, ..Bss::default() };
        let all = bss_from(&pairs, &start, &options).unwrap();
        close(&Tensor::from_slice(&all.losses), &case.losses, 1e-9, "losses of all starts");
        for (r, want) in case.theta.iter().enumerate() {
            let fit = bss_from(&pairs, &start.narrow(1, r as i64, 1), &options).unwrap();
            let sign = fit.probe.weight().double_value(&[0]).signum() * want[0].signum();
            close(&(fit.probe.weight() * sign), want, 1e-9, "theta");
            if r == all.restart {
                assert_eq!(all.loss, all.losses[r]);
                close(all.probe.weight(), &direction(&fit.probe), 1e-9, "one start or all");
            }
        }
    }
}

fn direction(probe: &Probe) -> Vec<f64> {
    Vec::try_from(probe.weight()).unwrap()
}

/// Both regressions end at gradients below 1e-8, and curvature is at least the penalty's 1.
#[test]
fn null_space_projection_agrees_with_scikit_learn() {
    for case in oracle().inlp {
        let options = Inlp {
            epsilon: f64::NEG_INFINITY, // (1 − ε)·H is out of reach: go on
            max_directions: case.weights.len(),
            regression: LrOptions { tolerance: 1e-9, normalization: ELEMENT_WISE, ..LrOptions::default() },
        };
        let fit = inlp(&case.pairs.contrast(), &options).unwrap();
        assert_eq!(fit.probes.len(), case.weights.len());
        for (k, probe) in fit.probes.iter().enumerate() {
            close(probe.weight(), &case.weights[k], 1e-6, "weight");
            near(probe.bias(), case.biases[k], 1e-6, "bias");
            near(fit.losses[k], case.losses[k], 1e-7, "loss");
        }
        let gram = fit.directions.mm(&fit.directions.tr());
        let eye = Tensor::eye(fit.probes.len() as i64, (Kind::Double, tch::Device::Cpu));
        assert!((gram - eye).abs().max().double_value(&[]) < 1e-10);
    }
}

/// Clusters by scikit-learn's HDBSCAN, whatever their numbers, and what is left of the states in them.
#[test]
fn cluster_normalization_agrees_with_scikit_learn() {
    assert!(oracle().cluster.iter().any(|case| case.clusters.contains(&-1)), "no outliers to test");
    for case in oracle().cluster {
        let matrix = |v: &[f64]| Tensor::from_slice(v).reshape([case.rows, case.dim]);
        let groups = (0..case.rows).map(|i| i.to_string()).collect();
        let labels = (0..case.rows).map(|i| i % 2 == 0).collect();
        let pairs = Contrast::new(matrix(&case.plus), matrix(&case.minus), labels, groups).unwrap();
        let found = clusters(&pairs, MIN_CLUSTER_SIZE).unwrap();
        let mut names: BTreeMap<i64, usize> = BTreeMap::new();
        for (got, want) in found.iter().zip(&case.clusters) {
            assert_eq!(got.is_none(), *want < 0, "{found:?}");
            if let Some(got) = got {
                assert_eq!(names.entry(*want).or_insert(*got), got, "{found:?}");
            }
        }
        let (_, plus, minus) =
            Normalizer::fit_transform(Normalization::Cluster, &pairs, Kind::Double).unwrap();
        close(&plus, &case.normalized[0], 1e-9, "plus");
        close(&minus, &case.normalized[1], 1e-9, "minus");
    }
}

//! A report with everything in it, made up from a run's, and that run's.

use ccs_report::{
    Against, Bin, Blank, Calibration, Chosen, ColumnReport, Diagnostics, Difference, DirectionCosines,
    DirectionsReport, EnsembleReport, Ensembling, Estimate, Evaluation, Histogram, LeftOut, Method,
    MethodInfo, MethodPolarity, NegationConsistency, OnPolarity, Platt, PolarityReport, RecursiveIteration,
    RecursiveReport, Reliability, Repetitions, Report, SeedCosines, ShuffledBand, SpectrumReport, Spread,
    Stratum, TemplateReport, Terms, Transfer, TruthPlane, Untrained, WithinPolarity,
};
use indexmap::IndexMap;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

fn rng(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

/// Ten bins.
fn reliability(probabilities: &[f64], labels: &[bool]) -> Reliability {
    let bin = |at: u32| {
        let (low, high) = (f64::from(at) / 10.0, f64::from(at + 1) / 10.0);
        let inside = || probabilities.iter().zip(labels).filter(move |(p, _)| (low..high).contains(*p));
        let rows = inside().count();
        let mean = |sum: f64| (rows > 0).then(|| sum / rows as f64);
        let probability = mean(inside().map(|(p, _)| p).sum());
        let share = mean(inside().filter(|(_, l)| **l).count() as f64);
        Bin { low, high, rows, probability, share }
    };
    Reliability { bins: (0..10).map(bin).collect(), ece: 0.0567 }
}

/// Near this accuracy.
fn about(accuracy: f64) -> Evaluation {
    let auroc = (accuracy + 0.04).min(1.0);
    Evaluation {
        accuracy,
        accuracy_ci: Some([accuracy - 0.05, (accuracy + 0.05).min(1.0)]),
        auroc: Some(auroc),
        auroc_ci: Some([auroc - 0.06, (auroc + 0.06).min(1.0)]),
        confusion: None,
    }
}

fn diagnostics(layer: usize, accuracy: f64, templates: &[String]) -> Diagnostics {
    let mut rng = rng(7);
    let rows = 240;
    let labels: Vec<bool> = (0..rows).map(|row| row % 5 < 3).collect();
    let probabilities: Vec<f64> = labels
        .iter()
        .map(|&label| {
            let right = rng.random_range(0.0..1.0) < accuracy;
            let sure: f64 = rng.random_range(0.0f64..1.0).sqrt() / 2.0;
            if label == right { 0.5 + sure } else { 0.5 - sure }
        })
        .collect();
    let bins = 20;
    let count = |label: bool| -> Vec<usize> {
        let mut counts = vec![0; bins];
        for (p, _) in probabilities.iter().zip(&labels).filter(|(_, l)| **l == label) {
            counts[((p * bins as f64) as usize).min(bins - 1)] += 1;
        }
        counts
    };
    let template = |(place, name): (usize, &String)| {
        let shift = 0.04 * (place as f64).sin();
        TemplateReport {
            template: name.clone(),
            rows: rows / templates.len(),
            pooled: about(accuracy + shift),
            own: (place != 1).then(|| about(accuracy + 2.0 * shift - 0.02)),
        }
    };
    let ensemble = |(ensembling, shift)| EnsembleReport { ensembling, test: about(accuracy + shift) };
    let modes = [(Ensembling::None, -0.05), (Ensembling::Partial, 0.0), (Ensembling::Full, 0.03)];
    Diagnostics {
        layer,
        calibration: Some(Calibration {
            platt: Platt { a: 2.0, b: 0.1 },
            reliability: reliability(&probabilities, &labels),
            fitted_on: "held-out scores".to_owned(),
            ece_before: Some(0.1234),
        }),
        histogram: Some(Histogram { calibrated: false, positives: count(true), negatives: count(false) }),
        templates: templates.iter().enumerate().map(template).collect(),
        ensembles: modes.into_iter().map(ensemble).collect(),
        columns: vec![column("relation", accuracy, 0.912), column("year of founding", accuracy, 0.531)],
    }
}

/// A column that a rule gives this share of decisions from; followed where that is more than the labels give.
fn column(name: &str, accuracy: f64, agreement: f64) -> ColumnReport {
    let near = |value: f64| Estimate { value, ci: Some([value - 0.052, (value + 0.047).min(1.0)]) };
    let (beyond, within) = (agreement - 0.02, if agreement > accuracy { 0.503 } else { accuracy + 0.02 });
    let stratum = |(at, value): (usize, &str)| Stratum {
        value: value.to_owned(),
        rows: 60 + at,
        positives: 31 - at,
        predicted: 55 - 20 * at,
        auroc: (at != 2).then(|| near(within)),
    };
    ColumnReport {
        column: name.to_owned(),
        agreement: near(agreement),
        constant: 0.52,
        accuracy,
        truth_over_column: near(accuracy - agreement),
        label_accuracy: 0.587,
        within: Some(near(within)),
        beyond_labels: Some(near(beyond)),
        within_over_beyond: Some(near(within - beyond)),
        results: 28,
        strata: ["headquarters", "industry", "a value of several words that goes on"]
            .into_iter()
            .enumerate()
            .map(stratum)
            .collect(),
        explains: agreement > accuracy,
    }
}

fn repetitions(layer: usize, accuracy: f64, spread: f64, seed: u64) -> Repetitions {
    let mut rng = rng(seed);
    let accuracies: Vec<f64> = (0..10).map(|_| accuracy + rng.random_range(-spread..spread)).collect();
    let aurocs = accuracies.iter().map(|a| Some(a + 0.02)).collect();
    Repetitions { layer, asked: accuracies.len(), aurocs, accuracies, ..Repetitions::default() }
}

/// Of eleven seeds, the first the run's own.
fn cosines() -> SeedCosines {
    let cosine = |i: usize, j: usize| if i == j { 1.0 } else { 0.9 - 0.03 * (i + j) as f64 };
    let matrix = (0..11).map(|i| (0..11).map(|j| cosine(i, j)).collect()).collect();
    SeedCosines { min: 0.321, median: 0.543, mean: 0.555, max: 0.876, matrix }
}

fn shuffled(layer: usize, results: usize) -> Repetitions {
    let (accuracy, auroc) = ([0.401, 0.599], Some([0.387, 0.612]));
    let band = ShuffledBand { results, draws: 5600, accuracy, auroc, outside: 1 };
    Repetitions { band: Some(band), ..repetitions(layer, 0.5, 0.1, 2) }
}

fn recursive(layer: usize, iterations: usize) -> RecursiveReport {
    let iteration = |k: usize| {
        let fade = 1.0 / (1.0 + 0.3 * k as f64);
        let terms = |scale: f64| Terms {
            consistency: scale * (0.09 - 0.07 * fade),
            confidence: scale * (0.13 - 0.08 * fade),
        };
        RecursiveIteration { test: about(0.52 + 0.3 * fade), train_loss: terms(0.8), test_loss: terms(1.02) }
    };
    RecursiveReport {
        layer,
        iterations: (0..iterations).map(iteration).collect(),
        random_accuracy: Some([0.44, 0.66]),
        constant_guess: 0.2,
        stop: "as many iterations as asked for".to_owned(),
        seeds_cosine: Some(0.873),
        untrained: Untrained {
            directions: 50,
            accuracy: Spread { mean: 0.541, sd: 0.0255 },
            consistency: Spread { mean: 0.12, sd: 0.01 },
            confidence: Spread { mean: 0.14, sd: 0.01 },
            loss: Spread { mean: 0.2612, sd: 0.0105 },
        },
    }
}

/// Most of 1000 random directions, and so many that stand out of 64.
fn directions(layer: usize) -> DirectionsReport {
    let spectrum = |(name, scale, standing_out): (&str, f64, usize)| SpectrumReport {
        method: name.parse().unwrap(),
        title: name.to_uppercase(),
        dimensions: 64,
        eigenvalues: (0..20).map(|k| scale * (1.0 - 0.07 * f64::from(k))).collect(),
        null_median: 0.7 * scale,
        null_high: scale * (1.035 - 0.07 * standing_out as f64),
        standing_out,
    };
    DirectionsReport {
        layer,
        directions: 1000,
        above: 831,
        share: 0.831,
        threshold: 0.567,
        expected: 0.025,
        chance_high: 0.104,
        more_than_chance: true,
        spectra: [("drc", 35.0, 0), ("rrc", 0.9, 1), ("vinc", 3.0, 3)].map(spectrum).into(),
    }
}

/// A paired difference at one layer.
fn less(first: Method, second: Method, layer: usize, value: f64) -> Difference {
    let estimate = Estimate { value, ci: Some([value - 0.031, value + 0.027]) };
    Difference {
        first,
        first_layer: layer,
        second,
        second_layer: layer,
        accuracy: Some(estimate),
        auroc: Some(estimate),
    }
}

fn transfer(datasets: &[String], layer: usize, accuracy: f64) -> Transfer {
    let cell = |from: usize, to: usize| {
        let away = (from as f64 - to as f64).abs() / datasets.len() as f64;
        about((accuracy - 0.75 * away).max(0.12))
    };
    let against = |from: usize, to: usize| {
        let over = |second: Method| less(Method::CCS, second, layer, -0.05);
        Some(Against {
            random: Some(about(0.5)),
            over_random: Some(over(Method::RANDOM)),
            over_own: (from != to).then(|| over(Method::CCS)),
            over_zero_shot: Some(over(Method::ZERO_SHOT)),
        })
    };
    let all = 0..datasets.len();
    let others = |to: usize| {
        let against = against(0, 1).unwrap();
        Some(LeftOut { layer, test: about((accuracy - 0.1 * to as f64).max(0.12)), against })
    };
    let cosines = |fade: f64| -> Vec<Vec<f64>> {
        let cosine = |a: usize, b: usize| 1.0 - fade * (a as f64 - b as f64).abs();
        all.clone().map(|a| all.clone().map(|b| cosine(a, b)).collect()).collect()
    };
    let (cosine, mahalanobis) = (cosines(0.3), cosines(0.1));
    Transfer {
        datasets: datasets.to_vec(),
        layers: vec![Some(layer); datasets.len()],
        cells: all.clone().map(|from| all.clone().map(|to| Some(cell(from, to))).collect()).collect(),
        against: all.clone().map(|from| all.clone().map(|to| against(from, to)).collect()).collect(),
        left_out: (1..datasets.len()).map(|to| others(to - 1)).collect(),
        directions: Some(DirectionCosines { layer, datasets: datasets.to_vec(), cosine, mahalanobis }),
    }
}

/// What a method of a report is.
enum Kind {
    Unsupervised,
    Supervised,
    Control,
}

const METHODS: [(&str, &str, Kind); 18] = [
    ("ccs", "CCS", Kind::Unsupervised),
    ("tpc", "TPC", Kind::Unsupervised),
    ("bss", "BSS", Kind::Unsupervised),
    ("kmeans", "K-means", Kind::Unsupervised),
    ("drc", "DRC", Kind::Unsupervised),
    ("rrc", "RRC", Kind::Unsupervised),
    ("vinc", "VINC", Kind::Unsupervised),
    ("vinc_s", "VINC-S", Kind::Supervised),
    ("lr", "Logistic regression", Kind::Supervised),
    ("lr_statements", "Logistic regression on statements", Kind::Supervised),
    ("lr_pairs", "Logistic regression on concatenated pairs", Kind::Supervised),
    ("mean_difference", "Mean difference", Kind::Supervised),
    ("lda", "LDA", Kind::Supervised),
    ("inlp", "INLP", Kind::Supervised),
    ("random", "Random directions", Kind::Control),
    ("zero_shot", "Zero-shot", Kind::Control),
    ("calibrated_zero_shot", "Calibrated zero-shot", Kind::Control),
    ("majority", "Majority class", Kind::Control),
];

fn info(name: &str, title: &str, kind: &Kind) -> (Method, MethodInfo) {
    let info = MethodInfo {
        title: title.to_owned(),
        fits_probes: !matches!(kind, Kind::Control),
        uses_labels: matches!(kind, Kind::Supervised),
        needs_answers: name.ends_with("zero_shot"),
    };
    (name.parse().unwrap(), info)
}

fn polarity(layer: usize, probes: &[Method]) -> PolarityReport {
    let on = |accuracy: f64| OnPolarity {
        test: about(accuracy),
        auroc_joint: Some([accuracy - 0.1, accuracy + 0.1]),
    };
    let share = |value: f64| Estimate { value, ci: Some([value - 0.05, value + 0.05]) };
    let of = |method: &Method| MethodPolarity {
        layer,
        affirmative: on(0.85),
        negated: on(0.3),
        of_affirmative: Some([on(0.9), on(0.2)]),
        of_negated: Some([on(0.25), on(0.88)]),
        consistency: Some(NegationConsistency { pairs: 60, turned: share(0.7), right: share(0.6) }),
        within_polarity: (*method == Method::CCS).then(|| WithinPolarity {
            test: about(0.8),
            affirmative: about(0.82),
            negated: about(0.78),
            change: Some(share(0.1)),
        }),
    };
    PolarityReport {
        column: "dataset".to_owned(),
        values: vec!["neg_cities".to_owned()],
        by_name: false,
        train: [60, 60],
        test: [40, 40],
        groups_of_rarer_label: [20, 20],
        matched_by: ["city", "country"].map(str::to_owned).into(),
        results: 2 * probes.len(),
        methods: probes.iter().map(|method| (*method, of(method))).collect(),
        plane: Some(TruthPlane {
            layer,
            rows: vec![0, 1, 2, 3],
            labels: vec![true, false, true, false],
            affirmative: vec![true, true, false, false],
            general: vec![1.0, -1.0, 0.8, -0.9],
            sensitive: vec![0.5, -0.5, -0.6, 0.4],
            cosine: 0.12,
        }),
    }
}

/// The report with every method there is, diagnostics of all of them, and every control.
pub(crate) fn full(mut report: Report, templates: &[String], datasets: &[String]) -> Report {
    let best = report.chosen.get(&Method::CCS).and_then(|c| c.layer).unwrap();
    report.methods = METHODS.iter().map(|(name, title, kind)| info(name, title, kind)).collect();
    for (place, method) in (0u32..).zip(report.methods.keys().copied().collect::<Vec<_>>()) {
        for layer in &mut report.layers {
            let Some(mut like) = layer.methods.get(&Method::CCS).cloned() else { continue };
            like.test.accuracy = (like.test.accuracy - 0.01 * f64::from(place % 7)).max(0.3);
            layer.methods.entry(method).or_insert(like);
        }
        let like: Chosen = report.chosen[&Method::CCS].clone();
        if report.fits_probes(method) {
            report.chosen.entry(method).or_insert(like);
        }
    }
    let probes: Vec<Method> = report.methods.keys().copied().filter(|m| report.fits_probes(*m)).collect();
    let accuracy = |method: &Method| if *method == Method::CCS { 0.81 } else { 0.87 };
    let of_probes = |of: &dyn Fn(&Method) -> Repetitions| -> IndexMap<Method, Repetitions> {
        probes.iter().map(|m| (*m, of(m))).collect()
    };
    report.diagnostics = probes.iter().map(|m| (*m, diagnostics(best, accuracy(m), templates))).collect();
    report.seeds = of_probes(&|m| repetitions(best, accuracy(m), 0.06, 1));
    report.seeds.entry(Method::CCS).and_modify(|found| found.cosines = Some(cosines()));
    report.shuffled = of_probes(&|_| shuffled(best, 10 * probes.len()));
    report.directions = Some(directions(best));
    report.recursive = Some(recursive(best, 20));
    report.polarity = Some(polarity(best, &probes));
    let blank = |m: &Method| Blank {
        without: about(accuracy(m) - 0.2),
        with: about(accuracy(m)),
        change: less(*m, *m, best, -0.2),
    };
    report.blank = Some(probes.iter().map(|m| (*m, blank(m))).collect());
    let answers = datasets.iter().map(|_| Some(about(0.6))).collect();
    report.transfer_answers = IndexMap::from([(Method::ZERO_SHOT, answers)]);
    report.transfer = probes.iter().map(|m| (*m, transfer(datasets, best, accuracy(m)))).collect();
    report
}

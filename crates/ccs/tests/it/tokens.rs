//! Probes that read all tokens: against their formulas in `NumPy` and `SciPy` (`fixtures/tokens.py`), and on planted truth.

use ccs::methods::tokens::attention::{Attention, attention, attention_from};
use ccs::methods::tokens::multi_max::{multi_max, multi_max_from};
use ccs::methods::tokens::{TokenFit, TokenOptions};
use ccs::methods::{Entry, Fitted, Precision, TOKEN_METHODS};
use ccs::stats::split::Split;
use ccs::{Contrast, Error, Fit as _, Normalization, Probe, Result, SeedTree, Statements, TokenStates};
use rand::RngExt;
use rand_distr::StandardNormal;
use serde::Deserialize;
use tch::{Kind, Tensor};

#[derive(Deserialize)]
struct Oracle {
    forward: Vec<Case>,
    optima: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    kind: String,
    dim: i64,
    heads: usize,
    c: f64,
    label: Vec<bool>,
    lengths: Vec<Vec<usize>>,
    states: Vec<Vec<f64>>,
    #[serde(default)]
    theta: Vec<f64>,
    #[serde(default)]
    scores: Vec<f64>,
    #[serde(default)]
    objective: f64,
    #[serde(default)]
    gradient: Vec<f64>,
    #[serde(default)]
    optimum: f64,
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("../fixtures/tokens.json")).unwrap()
}

fn offsets(lengths: &[usize]) -> Vec<usize> {
    let ends = lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

fn names(rows: usize) -> Vec<String> {
    (0..rows).map(|row| row.to_string()).collect()
}

/// Statements as what methods take.
fn as_rows(statements: Statements) -> Contrast {
    statements.into_contrast()
}

impl Case {
    fn rows(&self) -> Contrast {
        let side = |at: usize| {
            let states = Tensor::from_slice(&self.states[at]).reshape([-1, self.dim]);
            TokenStates::new(states, offsets(&self.lengths[at])).unwrap()
        };
        let groups = names(self.label.len());
        if self.states.len() == 2 {
            return Contrast::of_tokens(side(0), side(1), self.label.clone(), groups).unwrap();
        }
        as_rows(Statements::of_tokens(side(0), self.label.clone(), groups).unwrap())
    }

    fn options(&self, max_iter: usize, n_init: usize) -> TokenOptions {
        let TokenOptions { normalization, .. } = TokenOptions::default();
        TokenOptions {
            heads: self.heads,
            n_init,
            max_iter,
            c: self.c,
            precision: Precision::F64,
            normalization,
        }
    }

    fn from(&self, start: &Tensor) -> TokenFit {
        let (rows, options) = (self.rows(), self.options(0, 1));
        match self.kind.as_str() {
            "attention" => attention_from(&rows, &options, start).unwrap(),
            _ => multi_max_from(&rows, &options, start).unwrap(),
        }
    }
}

/// Sums of at most 12 tokens, 4 dimensions and 3 heads of numbers up to about 10, in f64: 1e-13 of the result, and a few
/// such steps.
#[test]
fn scores_objective_and_gradient_are_those_of_the_formulas() {
    for case in oracle().forward {
        let start = Tensor::from_slice(&case.theta).unsqueeze(0);
        let found = case.from(&start);
        let near =
            |a: f64, b: f64, what: &str| assert!((a - b).abs() < 1e-12, "{} {what}: {a} {b}", case.kind);
        near(found.objective, case.objective, "objective");
        let scores = found.probe.score_pairs(&case.rows()).unwrap();
        assert_eq!(scores.len(), case.scores.len());
        scores.iter().zip(&case.scores).for_each(|(a, b)| near(*a, *b, "score"));
        let gradient: Vec<f64> = Vec::try_from(&found.gradient).unwrap();
        assert_eq!(gradient.len(), case.gradient.len());
        gradient.iter().zip(&case.gradient).for_each(|(a, b)| near(*a, *b, "gradient"));
        // All starts at once are each as if it were alone.
        let both = case.from(&Tensor::cat(&[&start * 0.5, start.copy()], 0));
        near(both.objectives[1], case.objective, "objective beside another start");
        near(both.objectives[0], case.from(&(start * 0.5)).objective, "the other start's objective");
    }
}

/// The objective has several minima, so the lowest of several starts is compared; near a minimum it is flat, and a gradient
/// below 1e-5 leaves it within 1e-8. A maximum's kinks stop either program a little above.
#[test]
fn fits_end_where_scipys_do() {
    for case in oracle().optima {
        let (rows, options, seeds) = (case.rows(), case.options(1000, 12), SeedTree::new(0));
        let (fit, tolerance) = match case.kind.as_str() {
            "attention" => (attention(&rows, &options, &seeds).unwrap(), 1e-6),
            _ => (multi_max(&rows, &options, &seeds).unwrap(), 2e-3),
        };
        let excess = fit.objective - case.optimum;
        assert!(excess.abs() < tolerance, "{}: {} {}", case.kind, fit.objective, case.optimum);
    }
}

const DIM: usize = 6;

/// Prompts of 1 to `longest` tokens of noise, which is threefold along the first axis. One token, wherever it is, is marked along
/// the second axis, and has truth along the first.
struct Planted {
    rows: usize,
    longest: usize,
    truth: f32,
    seed: u64,
}

impl Planted {
    fn side(&self, labels: &[bool], sign: f32, name: &str) -> TokenStates {
        let mut rng = SeedTree::new(self.seed).child(name).rng();
        let (mut states, mut lengths) = (Vec::new(), Vec::new());
        for &label in labels {
            let length = rng.random_range(1..=self.longest);
            let marked = rng.random_range(0..length);
            for token in 0..length {
                for axis in 0..DIM {
                    let noise: f32 = rng.sample(StandardNormal);
                    let sign = if label { sign } else { -sign };
                    let here = match (token == marked, axis) {
                        (true, 0) => noise + self.truth * sign,
                        (true, 1) => noise + 6.0,
                        (false, 0) => 3.0 * noise,
                        _ => noise,
                    };
                    states.push(here);
                }
            }
            lengths.push(length);
        }
        TokenStates::new(Tensor::from_slice(&states).reshape([-1, DIM as i64]), offsets(&lengths)).unwrap()
    }

    fn labels(&self) -> Vec<bool> {
        let mut rng = SeedTree::new(self.seed).child("labels").rng();
        (0..self.rows).map(|_| rng.random_bool(0.5)).collect()
    }

    fn pairs(&self) -> Contrast {
        let labels = self.labels();
        let (plus, minus) = (self.side(&labels, 1.0, "plus"), self.side(&labels, -1.0, "minus"));
        Contrast::of_tokens(plus, minus, labels, names(self.rows)).unwrap()
    }

    fn statements(&self) -> Statements {
        let labels = self.labels();
        Statements::of_tokens(self.side(&labels, 1.0, "plus"), labels, names(self.rows)).unwrap()
    }
}

fn planted() -> Contrast {
    Planted { rows: 120, longest: 12, truth: 3.0, seed: 1 }.pairs()
}

fn fit(entry: &Entry, train: &Contrast, seed: u64) -> Result<Fitted> {
    entry.method(Normalization::default()).fit(train, &SeedTree::new(seed))
}

fn bytes(entry: &Entry, train: &Contrast, seed: u64) -> Vec<u8> {
    fit(entry, train, seed).unwrap().probe.to_bytes().unwrap()
}

fn learns(entry: &Entry) -> bool {
    matches!(entry.name, "attention" | "multi_max")
}

/// Truth is in one token of many: in few last tokens, and in a tenth of a mean.
#[test]
fn learned_places_find_what_last_and_mean_do_not() {
    let of = |seed, rows| Planted { rows, longest: 40, truth: 3.0, seed };
    let tasks = [
        (of(1, 240).pairs(), of(2, 300).pairs()),
        (as_rows(of(3, 240).statements()), as_rows(of(4, 300).statements())),
    ];
    for (train, test) in &tasks {
        for entry in &TOKEN_METHODS {
            let probe = fit(entry, train, 0).unwrap().probe;
            let found = probe.evaluate(test).unwrap();
            let auroc = found.auroc.unwrap();
            if learns(entry) {
                assert!(auroc > 0.95, "{}: {auroc}", entry.name);
            } else {
                assert!(auroc < 0.85, "{}: {auroc}", entry.name);
            }
        }
    }
}

#[test]
fn a_fit_that_was_ended_says_so() {
    let train = planted();
    let note = |max_iter| {
        let options = TokenOptions { max_iter, n_init: 1, heads: 1, ..TokenOptions::default() };
        Attention { options }.fit(&train, &SeedTree::new(0)).unwrap().note
    };
    let said = note(3).unwrap();
    assert!(said.starts_with("its fit was ended after 3 iterations, before it came to rest"), "{said}");
    assert_eq!(note(5000), None);
}

#[test]
fn nobody_finds_what_is_not_there() {
    let of = |seed| Planted { rows: 200, longest: 10, truth: 0.0, seed }.pairs();
    let (train, test) = (of(5), of(6));
    for entry in &TOKEN_METHODS {
        let found = fit(entry, &train, 0).unwrap().probe.evaluate(&test).unwrap();
        let [low, high] = found.auroc_interval.unwrap();
        assert!(low < 0.5 && high > 0.5, "{}: {low} to {high}", entry.name);
    }
}

#[test]
fn attention_looks_at_the_marked_token() {
    let train = Planted { rows: 300, longest: 12, truth: 3.0, seed: 7 }.statements();
    let train = train.as_contrast();
    let options = TokenOptions { heads: 2, c: 1.0, ..TokenOptions::default() };
    let probe = attention(train, &options, &SeedTree::new(0)).unwrap().probe;
    let shares = probe.token_shares(train).unwrap().unwrap().plus; // [M, H]
    let (tokens, _) = train.tokens().unwrap();
    let marked = tokens.states().select(1, 1).gt(4.0).to_kind(Kind::Double);
    let heads = shares.size()[1];
    let on_marked = marked.unsqueeze(1) * &shares;
    let total = on_marked.sum(Kind::Double).double_value(&[]) / (heads as f64 * 300.0);
    // Equal shares would give it less than a third.
    assert!(total > 0.7, "{total}");
    let sums = shares.sum(Kind::Double).double_value(&[]);
    assert!((sums - 300.0 * heads as f64).abs() < 1e-9, "a prompt's shares are 1 together");
}

/// As `conformance.rs` asks of methods that read one state.
#[test]
fn every_method_for_tokens_keeps_its_promises() {
    let pairs = planted();
    let train: Vec<usize> = (0..120).filter(|row| row % 3 != 0).collect();
    let opposite = pairs.relabeled(pairs.labels().iter().map(|label| !label).collect()).unwrap();
    for entry in &TOKEN_METHODS {
        let name = entry.name;
        let fitted = fit(entry, &pairs, 3).unwrap();
        let probe = &fitted.probe;
        assert_eq!(probe.dim(), DIM, "{name}");
        assert!(fitted.objective.is_finite() && fitted.about.is_object(), "{name}");
        let scores = probe.score_pairs(&pairs).unwrap();
        assert!(scores.len() == 120 && scores.iter().all(|score| score.is_finite()), "{name}");
        let first = probe.to_bytes().unwrap();
        assert!(first == bytes(entry, &pairs, 3), "{name}");
        if entry.is_deterministic() {
            assert!(first == bytes(entry, &pairs, 4), "{name}");
        }
        let back = Probe::parse(&first).unwrap();
        assert_eq!(back.score_pairs(&pairs).unwrap(), scores, "{name}");
        assert!(back.to_bytes().unwrap() == first, "{name}");
        assert!(probe.accuracy(&pairs).unwrap() >= 0.5, "{name}");
        assert!(fit(entry, &opposite, 0).unwrap().probe.accuracy(&opposite).unwrap() >= 0.5, "{name}");
        for label in [false, true] {
            let error = fit(entry, &pairs.relabeled(vec![label; 120]).unwrap(), 0).unwrap_err();
            assert!(matches!(error, Error::OneClass { .. }), "{name}: {error}");
        }
        // Swapped sides have the opposite score, but for the bias and each side's own statistics.
        assert!(probe.affine(None).unwrap().is_none() == (name != "last"), "{name}");
        let one = pairs.of_last_tokens().unwrap();
        assert!(fit(entry, &one, 0).unwrap_err().to_string().contains("all tokens"), "{name}");
        assert_eq!(probe.score_pairs(&one).is_err(), name != "last", "{name}");
        let part = pairs.select(&train).unwrap();
        assert_eq!(part.tokens().unwrap().0.rows(), train.len());
    }
}

/// Two data sets that share the training rows and nothing else.
#[test]
fn no_test_row_has_a_say() {
    let pairs = planted();
    let other = Planted { rows: 120, longest: 12, truth: 3.0, seed: 1 };
    let labels = other.labels();
    let moved = |side: &TokenStates| {
        let far: Vec<f32> = side
            .lengths()
            .enumerate()
            .flat_map(|(row, length)| vec![if row % 3 == 0 { 1000.0 } else { 0.0 }; length])
            .collect();
        let states = side.states() + Tensor::from_slice(&far).unsqueeze(1);
        TokenStates::new(states, side.offsets().to_vec()).unwrap()
    };
    let (plus, minus) = pairs.tokens().unwrap();
    let other = Contrast::of_tokens(moved(plus), moved(minus), labels, names(120)).unwrap();
    let train: Vec<usize> = (0..120).filter(|row| row % 3 != 0).collect();
    let (one, other) = (pairs.select(&train).unwrap(), other.select(&train).unwrap());
    for entry in &TOKEN_METHODS {
        assert!(bytes(entry, &one, 0) == bytes(entry, &other, 0), "{}", entry.name);
    }
}

#[test]
fn prompts_of_one_token_and_of_very_many_fewer_rows_than_dimensions_and_constant_states() {
    let one = Planted { rows: 40, longest: 1, truth: 3.0, seed: 1 }.pairs();
    let few = planted().select(&(0..DIM - 1).collect::<Vec<_>>()).unwrap();
    let long = {
        let mut rng = SeedTree::new(3).rng();
        let lengths = [1, 2000, 3, 1, 500, 2];
        let tokens: usize = lengths.iter().sum();
        let states: Vec<f32> = (0..tokens * DIM).map(|_| rng.sample(StandardNormal)).collect();
        let states = Tensor::from_slice(&states).reshape([-1, DIM as i64]);
        let labels = vec![true, false, true, false, true, false];
        let prompts = TokenStates::new(states, offsets(&lengths)).unwrap();
        as_rows(Statements::of_tokens(prompts, labels, names(6)).unwrap())
    };
    for (rows, what) in [(&one, "one token"), (&few, "few rows"), (&long, "long prompts")] {
        for entry in &TOKEN_METHODS {
            let probe = fit(entry, rows, 0).unwrap().probe;
            let scores = probe.score_pairs(rows).unwrap();
            assert!(scores.iter().all(|score| score.is_finite()), "{what}: {}", entry.name);
        }
    }
    // With one token a prompt, all of them read the same state.
    let truth = |entry: &Entry| fit(entry, &one, 0).unwrap().probe.accuracy(&one).unwrap();
    assert!(TOKEN_METHODS.iter().all(|entry| truth(entry) > 0.95));
    let same = Tensor::ones([30, 3], (Kind::Float, tch::Device::Cpu));
    let side = || TokenStates::new(same.copy(), offsets(&[3; 10])).unwrap();
    let labels = (0..10).map(|row| row % 2 == 0).collect();
    let constant = Contrast::of_tokens(side(), side(), labels, names(10)).unwrap();
    for entry in &TOKEN_METHODS {
        assert!(matches!(fit(entry, &constant, 0).unwrap_err(), Error::Constant), "{}", entry.name);
    }
}

/// Statistics are of each side's, and each template's, tokens.
#[test]
fn what_shifts_all_tokens_of_a_side_or_of_a_template_changes_nothing() {
    let pairs = planted();
    let (plus, minus) = pairs.tokens().unwrap();
    let templates: Vec<String> =
        (0..120).map(|row| if row % 2 == 0 { "a" } else { "b" }.to_owned()).collect();
    let shifted = |side: &TokenStates, by: f64, odd: f64| {
        let far: Vec<f64> = side
            .lengths()
            .enumerate()
            .flat_map(|(row, length)| vec![by + if row % 2 == 1 { odd } else { 0.0 }; length])
            .collect();
        let states = side.states().to_kind(Kind::Double) + Tensor::from_slice(&far).unsqueeze(1);
        TokenStates::new(states, side.offsets().to_vec()).unwrap()
    };
    let of = |by: [f64; 4]| {
        let (plus, minus) = (shifted(plus, by[0], by[1]), shifted(minus, by[2], by[3]));
        Contrast::of_tokens(plus, minus, pairs.labels().to_vec(), names(120))
            .and_then(|pairs| pairs.with_variants(names(120), templates.clone()))
            .unwrap()
    };
    let (one, other) = (of([0.0; 4]), of([3.0, 5.0, -2.0, 11.0]));
    for name in ["attention", "multi_max"] {
        let options = TokenOptions { precision: Precision::F64, max_iter: 20, ..TokenOptions::default() };
        let scores = |rows: &Contrast| {
            let fit = match name {
                "attention" => attention(rows, &options, &SeedTree::new(0)),
                _ => multi_max(rows, &options, &SeedTree::new(0)),
            };
            fit.unwrap().probe.score_pairs(rows).unwrap()
        };
        let worst = scores(&one).iter().zip(scores(&other)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-6, "{name}: {worst}");
    }
}

#[test]
fn settings_that_cannot_be_used_and_normalizations_of_whole_rows_are_refused() {
    let pairs = planted();
    let seeds = SeedTree::new(0);
    let refused = |options: TokenOptions| attention(&pairs, &options, &seeds).unwrap_err().to_string();
    let plain = TokenOptions::default();
    assert!(refused(TokenOptions { heads: 0, ..plain }).contains("`heads`"));
    assert!(refused(TokenOptions { n_init: 0, ..plain }).contains("`n_init`"));
    assert!(refused(TokenOptions { c: 0.0, ..plain }).contains("`c`"));
    for normalization in [Normalization::Leace, Normalization::Cluster] {
        assert!(refused(TokenOptions { normalization, ..plain }).contains("`normalization`"));
    }
    let start = Tensor::zeros([1, 5], (Kind::Double, tch::Device::Cpu));
    assert!(matches!(attention_from(&pairs, &plain, &start), Err(Error::Shape { .. })));
    let split = Split::grouped(pairs.labels(), pairs.groups(), 0.4, &seeds).unwrap();
    assert!(split.train.len() + split.test.len() == 120);
}

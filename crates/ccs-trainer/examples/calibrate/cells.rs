//! The kinds of sets.

use ccs_report::Method;
use ccs_trainer::Settings;

/// What the rows of a set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Contrast pairs.
    Pairs,
    /// Single statements, some of them negated.
    Statements,
    /// Single statements with the states of all their tokens.
    Tokens,
    /// Contrast pairs, and a probe on others beside control text.
    Control,
    /// Contrast pairs, and a model that answers one of two speakers worse.
    Quirky,
}

/// Sets of one kind.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    /// Whether the states carry the truth.
    pub(crate) planted: bool,
    /// The share of rows labeled true.
    pub(crate) true_share: f64,
    /// Rows of a set; four in ten test.
    pub(crate) rows: usize,
}

const fn cell(kind: Kind, planted: bool, true_share: f64, rows: usize) -> Cell {
    Cell { kind, planted, true_share, rows }
}

/// With and without truth, from balanced labels to very rare ones; as many rows as leave some ten groups of the rarer label
/// to test on.
pub(crate) static CELLS: [Cell; 16] = [
    cell(Kind::Pairs, false, 0.5, 160),
    cell(Kind::Pairs, false, 0.8, 240),
    cell(Kind::Pairs, false, 0.9, 400),
    cell(Kind::Pairs, false, 0.97, 1200),
    cell(Kind::Pairs, true, 0.5, 160),
    cell(Kind::Pairs, true, 0.8, 240),
    cell(Kind::Pairs, true, 0.9, 400),
    cell(Kind::Pairs, true, 0.97, 1200),
    cell(Kind::Statements, false, 0.5, 240),
    cell(Kind::Statements, true, 0.5, 240),
    cell(Kind::Tokens, false, 0.5, 120),
    cell(Kind::Tokens, true, 0.5, 120),
    cell(Kind::Control, false, 0.5, 160),
    cell(Kind::Control, true, 0.5, 160),
    cell(Kind::Quirky, false, 0.5, 160),
    cell(Kind::Quirky, true, 0.5, 160),
];

impl Cell {
    /// Its name in the table.
    pub(crate) fn name(&self) -> String {
        let share = (self.true_share * 100.0).round();
        let truth = if self.planted { "truth" } else { "no truth" };
        match self.kind {
            Kind::Pairs => format!("{truth}, {share}/{}", 100.0 - share),
            Kind::Statements => format!("statements, {truth}"),
            Kind::Tokens => format!("tokens, {truth}"),
            Kind::Control => format!("control text, {truth}"),
            Kind::Quirky => format!("two speakers, {}", if self.planted { "a gap" } else { "no gap" }),
        }
    }
}

/// A fit that asks for everything that sentences are made of, with few repetitions.
pub(crate) fn settings(kind: Kind, seed: u64) -> Settings {
    let methods: &[&str] = match kind {
        Kind::Pairs => &[
            "ccs",
            "tpc",
            "lr",
            "mean_difference",
            "random",
            "zero_shot",
            "calibrated_zero_shot",
            "majority",
        ],
        Kind::Statements => &["mass_mean", "lr", "ttpd", "random", "majority"],
        Kind::Control | Kind::Quirky => &["lr", "random", "majority"],
        Kind::Tokens => &["last", "mean", "attention", "multi_max", "random", "majority"],
    };
    let methods: Vec<Method> = methods.iter().filter_map(|name| name.parse().ok()).collect();
    let mut settings = Settings {
        methods: Some(methods),
        seed,
        folds: 3,
        directions: 100,
        seeds: 0,
        shuffles: if matches!(kind, Kind::Pairs | Kind::Statements) { 2 } else { 0 },
        recursive: 0,
        ensemble_layers: 0,
        ..Settings::default()
    };
    settings.ccs.n_init = 2;
    settings.ccs.max_iter = 100;
    settings
}

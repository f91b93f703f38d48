//! The kinds of sets.

use ccs_report::Method;
use ccs_trainer::Settings;

/// Sets of one kind.
#[derive(Debug)]
pub(crate) struct Cell {
    /// Whether the states carry the truth.
    pub(crate) planted: bool,
    /// The share of rows labeled true.
    pub(crate) true_share: f64,
    /// Rows of a set; four in ten test.
    pub(crate) rows: usize,
}

const fn cell(planted: bool, true_share: f64, rows: usize) -> Cell {
    Cell { planted, true_share, rows }
}

/// With and without truth, from balanced labels to very rare ones; as many rows as leave some ten groups of the rarer label
/// to test on.
pub(crate) static CELLS: [Cell; 8] = [
    cell(false, 0.5, 160),
    cell(false, 0.8, 240),
    cell(false, 0.9, 400),
    cell(false, 0.97, 1200),
    cell(true, 0.5, 160),
    cell(true, 0.8, 240),
    cell(true, 0.9, 400),
    cell(true, 0.97, 1200),
];

impl Cell {
    /// Its name in the table.
    pub(crate) fn name(&self) -> String {
        let share = (self.true_share * 100.0).round();
        format!("{}, {share}/{}", if self.planted { "truth" } else { "no truth" }, 100.0 - share)
    }
}

/// A fit that asks for everything that sentences are made of, with few repetitions.
pub(crate) fn settings(seed: u64) -> Settings {
    let methods =
        ["ccs", "tpc", "lr", "mean_difference", "random", "zero_shot", "calibrated_zero_shot", "majority"];
    let methods: Vec<Method> = methods.iter().filter_map(|name| name.parse().ok()).collect();
    let mut settings = Settings {
        methods: Some(methods),
        seed,
        folds: 3,
        directions: 100,
        seeds: 0,
        shuffles: 2,
        recursive: 0,
        ensemble_layers: 0,
        ..Settings::default()
    };
    settings.ccs.n_init = 2;
    settings.ccs.max_iter = 100;
    settings
}

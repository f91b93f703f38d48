//! The table of error rates.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use statrs::function::beta::inv_beta_reg;

use crate::cells::CELLS;
use crate::claims::{Claims, LEVELS};

/// The table, and how many of its sentences are wrong too often: where the lower end of a one-sided 99% interval (Clopper &
/// Pearson), corrected for the number of sentences and cells, is above the level.
pub(crate) fn of(done: &BTreeMap<(usize, usize), Claims>, sets: usize) -> (String, usize) {
    let mut text = String::from("| sentence | level |");
    for cell in &CELLS {
        let _ = write!(text, " {} |", cell.name());
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|".repeat(CELLS.len()));
    text.push('\n');
    let mut failed = 0;
    for (sentence, level) in LEVELS {
        let _ = write!(text, "| {sentence} | {:.1}% |", 100.0 * level);
        for cell in 0..CELLS.len() {
            let claims = (0..sets).filter_map(|set| done.get(&(cell, set))?.get(sentence));
            let (mut wrong, mut all) = (0usize, 0usize);
            for &was_wrong in claims {
                all += 1;
                wrong += usize::from(was_wrong);
            }
            if all == 0 {
                text.push_str(" – |");
                continue;
            }
            let fails = lower(wrong, all) > level;
            failed += usize::from(fails);
            let rate = 100.0 * wrong as f64 / all.max(1) as f64;
            let _ = write!(text, " {rate:.1}%{} |", if fails { " **too often**" } else { "" });
        }
        text.push('\n');
    }
    (text, failed)
}

/// The lower end of the interval of a share.
fn lower(wrong: usize, all: usize) -> f64 {
    if wrong == 0 {
        return 0.0;
    }
    let miss = 0.01 / (LEVELS.len() * CELLS.len()) as f64;
    inv_beta_reg(wrong as f64, (all - wrong) as f64 + 1.0, miss)
}

/// The document around the table.
pub(crate) fn document(table: &str, sets: usize) -> String {
    format!(
        "# How often a report is wrong\n\n\
         Made by `cargo xtask calibrate`: {sets} sets for each column, each with a population of its own, through a whole \
         fit. A cell is the share of reports in which a sentence of that kind was wrong, beside what the same probes do on \
         some thousand further rows of the population; for intervals, the share that missed; a dash where a report makes no \
         such claim, or none that could be wrong. A sentence fails where the lower end of a one-sided 99% interval of its \
         share, corrected for all cells of the table, is above its level.\n\n\
         Columns: whether the states carry truth, and the shares of true and false rows; contrast pairs, then single \
         statements, then statements with the states of all their tokens. In half of the sets of pairs a column of the data \
         (`relation`) is in the states as a distractor; naming it is no error. In half of the statements with truth, what \
         the states show turns round with a negation. In half of the sets of tokens with truth it is in the last token \
         alone, where learning a place gains nothing. Last, logistic regression on pairs of other passages: beside control \
         text without truth, which lies elsewhere, and as the probe of a model that answers one of two speakers worse, or as well \
         (no gap); the share of a gap is counted where the report has one.\n\n{table}"
    )
}

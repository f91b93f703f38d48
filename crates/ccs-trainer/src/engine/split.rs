//! What a report says of a split.

use std::collections::BTreeSet;

use ccs::pick;
use ccs::split::Split;
use ccs_report::{Side, SplitReport, SplitRows};
use serde::Serialize;

use crate::engine::evaluate::write_error;
use crate::settings::Settings;
use crate::source::Rows;
use crate::{Error, Result};

/// Sizes of a split.
pub(crate) struct Counts {
    /// Rows.
    pub(crate) rows: Side<usize>,
    /// Groups.
    pub(crate) groups: Side<usize>,
    /// Rows labelled true.
    pub(crate) positives: Side<usize>,
}

impl Counts {
    pub(crate) fn new(labels: &[bool], groups: &[String], split: &Split) -> Result<Self> {
        let positives = |rows: &[usize]| Ok::<_, Error>(pick(labels, rows)?.iter().filter(|&&l| l).count());
        let distinct = |rows: &[usize]| Ok::<_, Error>(BTreeSet::from_iter(pick(groups, rows)?).len());
        Ok(Self {
            rows: Side { train: split.train.len(), test: split.test.len() },
            groups: Side { train: distinct(&split.train)?, test: distinct(&split.test)? },
            positives: Side { train: positives(&split.train)?, test: positives(&split.test)? },
        })
    }
}

/// `split.json`: which rows trained and which tested.
pub(crate) fn report(rows: &Rows, split: &Split, settings: &Settings) -> Result<SplitReport> {
    let side = |at: &[usize]| {
        let (id, group) = (pick(&rows.ids, at)?, pick(&rows.groups, at)?);
        Ok::<_, Error>(SplitRows { row: at.to_vec(), id, group })
    };
    let (train, test) = (side(&split.train)?, side(&split.test)?);
    let id = hash(&(&train, &test))?;
    Ok(SplitReport { id, seed: settings.seed, test_fraction: settings.test_fraction, train, test })
}

/// A hash of rows of a split.
pub(crate) fn hash(rows: &impl Serialize) -> Result<String> {
    let text = serde_json::to_vec(rows).map_err(|e| write_error("split.json", &e))?;
    Ok(blake3::hash(&text).to_hex().as_str().to_owned())
}

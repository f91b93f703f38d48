//! Which rows train and which test, and what follows from that: folds, groups of the test rows, what a report says of it.

use std::collections::BTreeSet;

use ccs::SeedTree;
use ccs::pick;
use ccs::stats::clusters::Clusters;
use ccs::stats::split::{Split, grouped_folds};
use ccs_report::{Side, SplitReport, SplitRows};
use serde::Serialize;

use crate::error::write_error;
use crate::settings::Settings;
use crate::source::Rows;
use crate::{Error, Result};

/// A run's split of the rows, the same at every layer.
pub(crate) struct DataSplit {
    /// The rows of each side.
    pub(crate) rows: Split,
    /// Folds of the training rows, numbered within them.
    pub(crate) folds: Vec<Split>,
    /// The test rows' groups.
    pub(crate) clusters: Clusters,
    /// The labels of the test rows.
    pub(crate) test_labels: Vec<bool>,
    /// `split.json`.
    pub(crate) report: SplitReport,
    /// A hash of the training rows' side of `split.json`.
    pub(crate) train_id: String,
}

impl DataSplit {
    /// Splits the rows by groups; `tested` are the groups that test, where another than this run decides it.
    pub(crate) fn new(
        rows: &Rows,
        settings: &Settings,
        tested: Option<&BTreeSet<String>>,
        stream: &SeedTree,
    ) -> Result<Self> {
        let Rows { labels, groups, .. } = rows;
        let split = match tested {
            Some(tested) => Split::of_groups(labels, groups, tested)?,
            None => Split::grouped(labels, groups, settings.test_fraction, &stream.child("split"))?,
        };
        let (train_labels, train_groups) = (pick(labels, &split.train)?, pick(groups, &split.train)?);
        let (test_labels, test_groups) = (pick(labels, &split.test)?, pick(groups, &split.test)?);
        let folds = grouped_folds(&train_labels, &train_groups, settings.folds, &stream.child("folds"))?;
        let clusters = Clusters::new(&test_labels, &test_groups)?;
        let report = report(rows, &split, settings)?;
        let train_id = hash(&report.train)?;
        Ok(Self { rows: split, folds, clusters, test_labels, report, train_id })
    }

    /// The labels of the training rows.
    pub(crate) fn train_labels(&self, rows: &Rows) -> Result<Vec<bool>> {
        Ok(pick(&rows.labels, &self.rows.train)?)
    }

    /// The sizes of both sides.
    pub(crate) fn counts(&self, Rows { labels, groups, .. }: &Rows) -> Result<Counts> {
        let positives = |rows: &[usize]| Ok::<_, Error>(pick(labels, rows)?.iter().filter(|&&l| l).count());
        let distinct = |rows: &[usize]| Ok::<_, Error>(BTreeSet::from_iter(pick(groups, rows)?).len());
        let Split { train, test } = &self.rows;
        Ok(Counts {
            rows: Side { train: train.len(), test: test.len() },
            groups: Side { train: distinct(train)?, test: distinct(test)? },
            positives: Side { train: positives(train)?, test: positives(test)? },
        })
    }
}

/// Sizes of a split.
pub(crate) struct Counts {
    /// Rows.
    pub(crate) rows: Side<usize>,
    /// Groups.
    pub(crate) groups: Side<usize>,
    /// Rows labeled true.
    pub(crate) positives: Side<usize>,
}

fn report(rows: &Rows, split: &Split, settings: &Settings) -> Result<SplitReport> {
    let side = |at: &[usize]| {
        let (id, group) = (pick(&rows.ids, at)?, pick(&rows.groups, at)?);
        Ok::<_, Error>(SplitRows { row: at.to_vec(), id, group })
    };
    let (train, test) = (side(&split.train)?, side(&split.test)?);
    let id = hash(&(&train, &test))?;
    Ok(SplitReport { id, seed: settings.seed, test_fraction: settings.test_fraction, train, test })
}

/// A hash of rows of a split.
fn hash(rows: &impl Serialize) -> Result<String> {
    let text = serde_json::to_vec(rows).map_err(|e| write_error("split.json", &e))?;
    Ok(blake3::hash(&text).to_hex().as_str().to_owned())
}

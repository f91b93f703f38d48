//! Which data a run's probes can be evaluated on, and which of its rows.

use std::collections::BTreeSet;

use crate::run_dir::fitted::Fitted;
use crate::source::origin::same_model;
use crate::source::{Rows, Source};
use crate::{Error, Result};

/// Every row is of a group that the probes were trained on.
pub(crate) fn all_trained(name: &str, rows: usize) -> Error {
    let why = format!("all {rows} rows are of groups (passages) that the probes were trained on");
    let hint = "`keep_trained` evaluates on them all the same, which says little";
    Error::NoRows { data: name.to_owned(), why, hint }
}

/// Refuses states of another model than the probes', and says what could not be compared.
pub(crate) fn made_alike(source: &dyn Source, name: &str, fitted: &[Fitted]) -> Result<Vec<String>> {
    let made_by = source.made_by();
    let mut notes = Vec::new();
    for probe in fitted {
        notes.extend(same_model((name, made_by.as_ref()), ("the probe", Some(&probe.made_by())))?);
    }
    Ok(notes)
}

/// The rows to evaluate, and how many rows are of groups that the probes were trained on.
pub(crate) fn untrained(
    rows: &Rows,
    trained: Option<&BTreeSet<String>>,
    keep_trained: bool,
) -> (Vec<usize>, usize) {
    let is_trained = |row: &usize| {
        let group = rows.groups.get(*row);
        trained.zip(group).is_some_and(|(groups, group)| groups.contains(group))
    };
    let all = 0..rows.labels.len();
    let trained_rows = all.clone().filter(is_trained).count();
    (all.filter(|row| keep_trained || !is_trained(row)).collect(), trained_rows)
}

//! Unrelated text as a data source: which of its rows set thresholds.

use std::collections::BTreeSet;

use tch::Device;

use crate::run_dir::fitted::Fitted;
use crate::source::origin::layer_of;
use crate::source::{Layer, Source};
use crate::transfer::control_text::{NAME, fewest_groups};
use crate::transfer::eligible::{all_trained, made_alike, untrained};
use crate::transfer::report::ControlText;
use crate::transfer::target::Target;
use crate::{Error, Result};

/// Unrelated text that thresholds are set by.
pub(crate) struct Control<'a> {
    pub(crate) target: Target<'a>,
    pub(crate) about: ControlText,
    pub(crate) notes: Vec<String>,
}

impl<'a> Control<'a> {
    pub(crate) fn new(source: &'a dyn Source, fitted: &[Fitted], device: Device) -> Result<Self> {
        let rows = source.rows();
        rows.check()?;
        let mut notes = made_alike(source, NAME, fitted)?;
        let (chosen, trained_rows) = untrained(rows, fitted.first().map(|f| &f.train_groups), false);
        if chosen.is_empty() {
            return Err(all_trained(NAME, trained_rows));
        }
        let target = Target::new(source, NAME, chosen, device)?;
        let groups = BTreeSet::from_iter(&target.groups).len();
        if groups < fewest_groups() {
            notes.push(format!(
                "the control rows are of {groups} groups: below {} it cannot be said how high the threshold may have to be, and recall has no lower limit",
                fewest_groups()
            ));
        }
        let data = serde_json::Value::Object(source.identity().into());
        let about = ControlText { data, rows: target.labels.len(), groups, trained_rows };
        Ok(Self { target, about, notes })
    }

    /// The layer that a probe reads.
    pub(crate) fn layer_of(&self, one: &Fitted) -> Result<Layer> {
        let read = (one.layer, one.hook.as_str(), one.tokens.as_str());
        layer_of(self.target.source, read, one.probe.dim()).map_err(|error| match error {
            Error::OtherStates { what, found, other, .. } => {
                Error::OtherStates { data: NAME.to_owned(), what, found, other }
            }
            other => other,
        })
    }
}

//! Rows of a source that probes are evaluated on.

use ccs::Contrast;
use ccs::baselines::{Predictions, zero_shot};
use ccs::pick;
use ccs::probe::Probe;
use ccs_report::AnswerScore;
use tch::Device;

use crate::Result;
use crate::engine::answers::Thresholds;
use crate::source::{Layer, Source};

/// Rows of a source that probes are evaluated on.
pub(crate) struct Target<'a> {
    pub(crate) source: &'a dyn Source,
    /// What to call the source.
    name: &'a str,
    rows: Vec<usize>,
    pub(crate) labels: Vec<bool>,
    pub(crate) groups: Vec<String>,
    device: Device,
}

impl<'a> Target<'a> {
    pub(crate) fn new(
        source: &'a dyn Source,
        name: &'a str,
        rows: Vec<usize>,
        device: Device,
    ) -> Result<Self> {
        let (labels, groups) = (pick(&source.rows().labels, &rows)?, pick(&source.rows().groups, &rows)?);
        Ok(Self { source, name, rows, labels, groups, device })
    }

    /// Their numbers in the source.
    pub(crate) fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// The rows' pairs at one layer.
    pub(crate) fn load(&self, layer: &Layer) -> Result<Contrast> {
        let states = self.source.load(layer)?.select(&self.rows)?.moved_to(self.device)?;
        let pairs =
            states.labeled(self.labels.clone(), self.groups.clone()).map_err(|error| self.named(error))?;
        match self.source.rows().variants() {
            Some((questions, templates)) => {
                Ok(pairs.with_variants(pick(&questions, &self.rows)?, pick(&templates, &self.rows)?)?)
            }
            None => Ok(pairs),
        }
    }

    /// An error of one of these rows, with the row's number in the source.
    fn named(&self, error: ccs::Error) -> ccs::Error {
        match error {
            ccs::Error::NotFinite { what, row, column } => {
                let row = self.rows.get(row).copied().unwrap_or(row);
                ccs::Error::NotFinite { what: format!("{}: {what}", self.name), row, column }
            }
            other => other,
        }
    }

    /// The model's own answers, where the source has them.
    pub(crate) fn zero_shot(&self, score: AnswerScore) -> Result<Option<Predictions>> {
        let rows = self.source.rows();
        let Some((plus, minus)) = rows.answers(score)? else { return Ok(None) };
        rows.check_answers(score)?;
        Ok(Some(zero_shot(&pick(plus, &self.rows)?, &pick(minus, &self.rows)?)?))
    }

    /// Those answers, against a threshold for each template at which a share of them is true.
    pub(crate) fn calibrated(&self, answers: &Predictions, true_share: f64) -> Result<Predictions> {
        let templates = match self.source.rows().variants() {
            Some((_, templates)) => pick(&templates, &self.rows)?,
            None => vec![String::new(); self.rows.len()],
        };
        let mut answers = answers.clone();
        Thresholds::of(&answers, &templates, true_share)?.subtract_from(&mut answers, &templates);
        Ok(answers)
    }
}

/// How many rows are of templates that a probe was not fitted on, and what it makes of them, where it knows its own.
pub(crate) fn unknown_templates(probe: &Probe, pairs: &Contrast) -> Option<(usize, String)> {
    let (known, names, numbers) = (probe.normalizer().templates(), pairs.template_names(), pairs.templates());
    let is_known =
        |number: &&usize| names.get(**number).is_none_or(|name| probe.normalizer().template(name).is_some());
    let unknown = numbers.len() - numbers.iter().filter(is_known).count();
    let like = if known.len() > 1 { "all templates together are" } else { "that one is" };
    (!known.is_empty() && unknown > 0).then(|| {
        let known = known.join(", ");
        (unknown, format!("rows are of templates that the probes were not fitted on ({known}): they are normalized as {like}"))
    })
}

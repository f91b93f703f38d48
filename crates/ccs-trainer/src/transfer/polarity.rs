//! Affirmative and negated rows of evaluated data.

use ccs::baselines::Predictions;
use ccs::pick;
use ccs_report::sentences::turns_with_negation;

use crate::Result;
use crate::engine::negations::Negations;
use crate::engine::on_polarity::LabeledRows;
use crate::engine::polarity::{Negated, Polarity};
use crate::settings::Settings;
use crate::source::Rows;
use crate::transfer::report::{EvaluatedPolarity, ProbePolarity};
use crate::transfer::target::Target;

/// The evaluated rows of either polarity.
pub(crate) struct Polarities {
    pub(crate) about: EvaluatedPolarity,
    /// Whether each evaluated row is affirmative. N
    affirmative: Vec<bool>,
    /// Affirmative, negated: their places among the evaluated rows.
    rows: [Vec<usize>; 2],
    /// Rows and their negations have the same. N
    keys: Option<Vec<usize>>,
}

impl Polarities {
    /// As asked for, or else as the run was asked for or by a column's name, where the data have what that takes; none where
    /// the evaluated rows, which have these numbers among `rows`, are of one polarity. `probes` is how many there are, whose
    /// joint intervals hold at once.
    ///
    /// # Errors
    /// What is asked for and the data do not have.
    pub(crate) fn of(
        rows: &Rows,
        target: &Target<'_>,
        (negated, negated_by): (Option<&Negated>, &[String]),
        run: &Settings,
        probes: usize,
    ) -> Result<Option<Self>> {
        let found = match negated {
            Some(asked) => Polarity::of(rows, Some(asked), false)?,
            None => match Polarity::of(rows, run.negated.as_ref(), true)? {
                Some(of_run) => Some(of_run),
                None => Polarity::of(rows, None, true)?,
            },
        };
        let Some(polarity) = found else { return Ok(None) };
        let by = if negated_by.is_empty() {
            Negations::of(rows, &polarity, &run.negated_by, true)?
        } else {
            Negations::of(rows, &polarity, negated_by, false)?
        };
        let affirmative = pick(&polarity.affirmative, target.rows())?;
        let keys = by.as_ref().map(|by| pick(&by.keys, target.rows())).transpose()?;
        let of = |wanted| (0..affirmative.len()).filter(|&row| affirmative[row] == wanted).collect();
        let places: [Vec<usize>; 2] = [true, false].map(of);
        if places.iter().any(Vec::is_empty) {
            return Ok(None);
        }
        let labeled = LabeledRows { labels: &target.labels, groups: &target.groups };
        let [first, second] = &places;
        let about = EvaluatedPolarity {
            column: polarity.column,
            values: polarity.negated,
            by_name: polarity.by_name,
            rows: [first.len(), second.len()],
            groups_of_rarer_label: [
                labeled.groups_of_rarer_label(first)?,
                labeled.groups_of_rarer_label(second)?,
            ],
            matched_by: by.map(|by| by.by).unwrap_or_default(),
            results: 2 * probes.max(1),
        };
        Ok(Some(Self { about, affirmative, rows: places, keys }))
    }

    /// What a probe makes of either, with a warning where its ranking turns round; `name` is what to call it there.
    pub(crate) fn evaluate(
        &self,
        predictions: &Predictions,
        target: &Target<'_>,
        name: &str,
    ) -> Result<(ProbePolarity, Option<String>)> {
        let labeled = LabeledRows { labels: &target.labels, groups: &target.groups };
        let [affirmative, negated] = &self.rows;
        let [affirmative, negated] = [
            labeled.on(predictions, affirmative, self.about.results)?,
            labeled.on(predictions, negated, self.about.results)?,
        ];
        let beside = |keys: &Vec<usize>| labeled.beside_negations(predictions, &self.affirmative, keys);
        let consistency = self.keys.as_ref().map(beside).transpose()?.flatten();
        let warning = turns_with_negation(name, [&affirmative, &negated], self.about.groups_of_rarer_label);
        Ok((ProbePolarity { affirmative, negated, consistency }, warning))
    }
}

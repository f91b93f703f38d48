//! The model's own answers as predictions: zero-shot, as they are and calibrated.

use ccs_report::AnswerScore;
use std::collections::BTreeMap;

use crate::engine::context::Data;
use crate::source::Rows;
use crate::{Error, Result};
use ccs::baselines::{Predictions, zero_shot, zero_shot_threshold};
use ccs::pick;
use ccs::split::Split;
use ccs_report::Method;

/// Predictions on training rows and on test rows, and how to read them. Calibration takes `true_share` of the rows to be
/// true; labels are not asked.
pub(crate) fn judge(
    method: Method,
    rows: &Rows,
    score: AnswerScore,
    split: &Split,
    data: &Data<'_>,
    true_share: f64,
) -> Result<(Predictions, Predictions, String)> {
    let (plus, minus) = rows.answers(score)?.ok_or(Error::NoAnswerLogprob)?;
    let answers = |rows: &[usize]| zero_shot(&pick(plus, rows)?, &pick(minus, rows)?);
    let (mut train, mut test) = (answers(&split.train)?, answers(&split.test)?);
    let by = score.describe();
    if method != Method::CALIBRATED_ZERO_SHOT {
        return Ok((train, test, format!("the model's own answer, by {by}; the same at every layer")));
    }
    let thresholds = Thresholds::of(&train, &data.train.templates(), true_share)?;
    thresholds.take_from(&mut train, &data.train.templates());
    thresholds.take_from(&mut test, &data.test.templates());
    let share = if (true_share - 0.5).abs() < f64::EPSILON {
        "half of".to_owned()
    } else {
        format!("{} % of", (true_share * 1e6).round() / 1e4)
    };
    let note = format!(
        "the model's own answer, by {by}, against a threshold at which {share} the training rows of each template are \
         true; the same at every layer"
    );
    Ok((train, test, note))
}

/// What each template's answers are held against: each has a liking of its own for one answer.
pub(crate) struct Thresholds<K> {
    own: BTreeMap<K, f64>,
    /// For templates that had no rows.
    all: f64,
}

impl<K: Ord + Clone> Thresholds<K> {
    /// Where `true_share` of each template's `answers` lie above.
    pub(crate) fn of(answers: &Predictions, templates: &[K], true_share: f64) -> Result<Self> {
        let mut scores: BTreeMap<K, Vec<f64>> = BTreeMap::new();
        for (template, score) in templates.iter().zip(&answers.scores) {
            scores.entry(template.clone()).or_default().push(*score);
        }
        let threshold = |scores: &[f64]| zero_shot_threshold(scores, &vec![0.0; scores.len()], true_share);
        let own = scores.into_iter().map(|(template, scores)| Ok((template, threshold(&scores)?)));
        Ok(Self { own: own.collect::<Result<_>>()?, all: threshold(&answers.scores)? })
    }

    /// Moves the boundary of each row's template to 0.
    pub(crate) fn take_from(&self, answers: &mut Predictions, templates: &[K]) {
        for (score, template) in answers.scores.iter_mut().zip(templates) {
            *score -= self.own.get(template).copied().unwrap_or(self.all);
        }
    }
}

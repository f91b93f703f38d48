//! The model's own answers as predictions: zero-shot, as they are and calibrated.

use std::collections::BTreeMap;

use super::Rows;
use super::context::Data;
use crate::baselines::{Predictions, zero_shot, zero_shot_threshold};
use crate::contrast::pick;
use crate::split::Split;
use crate::{Error, Method, Result};

/// Predictions on training rows and on test rows, and how to read them. Calibration takes `true_share` of the rows to be
/// true; labels are not asked.
pub(super) fn judge(
    method: Method,
    rows: &Rows,
    split: &Split,
    data: &Data<'_>,
    true_share: f64,
) -> Result<(Predictions, Predictions, String)> {
    let (plus, minus) = rows.answer_logprob.as_ref().ok_or(Error::NoAnswerLogprob)?;
    let answers = |rows: &[usize]| zero_shot(&pick(plus, rows)?, &pick(minus, rows)?);
    let (mut train, mut test) = (answers(&split.train)?, answers(&split.test)?);
    if method != Method::CalibratedZeroShot {
        return Ok((train, test, "the model's own answer; the same at every layer".to_owned()));
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
        "the model's own answer against a threshold at which {share} the training rows of each template are true; the \
         same at every layer"
    );
    Ok((train, test, note))
}

/// What each template's answers are held against: each has a liking of its own for one answer.
pub(super) struct Thresholds<K> {
    own: BTreeMap<K, f64>,
    /// For templates that had no rows.
    all: f64,
}

impl<K: Ord + Clone> Thresholds<K> {
    /// Where `true_share` of each template's `answers` lie above.
    pub(super) fn of(answers: &Predictions, templates: &[K], true_share: f64) -> Result<Self> {
        let mut scores: BTreeMap<K, Vec<f64>> = BTreeMap::new();
        for (template, score) in templates.iter().zip(&answers.scores) {
            scores.entry(template.clone()).or_default().push(*score);
        }
        let threshold = |scores: &[f64]| zero_shot_threshold(scores, &vec![0.0; scores.len()], true_share);
        let own = scores.into_iter().map(|(template, scores)| Ok((template, threshold(&scores)?)));
        Ok(Self { own: own.collect::<Result<_>>()?, all: threshold(&answers.scores)? })
    }

    /// Moves the boundary of each row's template to 0.
    pub(super) fn take_from(&self, answers: &mut Predictions, templates: &[K]) {
        for (score, template) in answers.scores.iter_mut().zip(templates) {
            *score -= self.own.get(template).copied().unwrap_or(self.all);
        }
    }
}

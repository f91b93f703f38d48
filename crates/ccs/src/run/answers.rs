//! The model's own answers as predictions: zero-shot, as they are and calibrated.

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
    // Each template has a liking of its own for one answer; templates without training rows get that of all.
    let threshold = |rows: &[usize]| -> Result<f64> {
        zero_shot_threshold(&pick(plus, rows)?, &pick(minus, rows)?, true_share)
    };
    let all = threshold(&split.train)?;
    let mut thresholds = vec![all; data.train.template_names().len().max(1)];
    for (template, places) in data.train.rows_by_template() {
        if let Some(own) = thresholds.get_mut(template) {
            *own = threshold(&pick(&split.train, &places)?)?;
        }
    }
    for (predictions, templates) in [(&mut train, data.train.templates()), (&mut test, data.test.templates())]
    {
        for (score, template) in predictions.scores.iter_mut().zip(templates.iter()) {
            *score -= thresholds.get(*template).copied().unwrap_or(all);
        }
    }
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

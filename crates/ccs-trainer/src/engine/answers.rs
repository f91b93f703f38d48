//! The model's own answers as predictions: zero-shot, as they are and calibrated.

use std::collections::BTreeMap;

use ccs::baselines::{Predictions, zero_shot, zero_shot_threshold};
use ccs::pick;
use ccs::stats::split::Split;
use ccs_report::Method;

use crate::engine::data::LayerData;
use crate::settings::Settings;
use crate::source::Rows;
use crate::{Error, Result};

/// Predictions on training rows and on test rows. Calibration takes [`Settings::true_share`] of the rows to be true; it
/// sees no labels.
pub(crate) fn predictions(
    method: Method,
    rows: &Rows,
    settings: &Settings,
    split: &Split,
    data: &LayerData<'_>,
) -> Result<[Predictions; 2]> {
    let (plus, minus) = rows.answers(settings.zero_shot)?.ok_or(Error::NoAnswerLogprob)?;
    let answers = |rows: &[usize]| zero_shot(&pick(plus, rows)?, &pick(minus, rows)?);
    let (mut train, mut test) = (answers(&split.train)?, answers(&split.test)?);
    if method == Method::CALIBRATED_ZERO_SHOT {
        let thresholds = Thresholds::of(&train, &data.train.templates(), settings.true_share)?;
        thresholds.subtract_from(&mut train, &data.train.templates());
        thresholds.subtract_from(&mut test, &data.test.templates());
    }
    Ok([train, test])
}

/// How the predictions are to be read.
pub(crate) fn note(method: Method, settings: &Settings) -> String {
    let (by, share) = (settings.zero_shot.describe(), settings.true_share);
    if method != Method::CALIBRATED_ZERO_SHOT {
        return format!("the model's own answer, by {by}; the same at every layer");
    }
    let share = if (share - 0.5).abs() < f64::EPSILON {
        "half of".to_owned()
    } else {
        format!("{} % of", (share * 1e6).round() / 1e4)
    };
    format!(
        "the model's own answer, by {by}, against a threshold at which {share} the training rows of each template are \
         true; the same at every layer"
    )
}

/// Each template's threshold: a template's wording favors one of the answers.
pub(crate) struct Thresholds<K> {
    by_template: BTreeMap<K, f64>,
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
        let by_template = scores.into_iter().map(|(template, scores)| Ok((template, threshold(&scores)?)));
        Ok(Self { by_template: by_template.collect::<Result<_>>()?, all: threshold(&answers.scores)? })
    }

    /// Moves the boundary of each row's template to 0.
    pub(crate) fn subtract_from(&self, answers: &mut Predictions, templates: &[K]) {
        for (score, template) in answers.scores.iter_mut().zip(templates) {
            *score -= self.by_template.get(template).copied().unwrap_or(self.all);
        }
    }
}

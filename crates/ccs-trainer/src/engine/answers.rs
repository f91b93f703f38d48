//! The model's own answers as predictions: by the sum or the mean of log-probabilities, as they are or calibrated.

use std::collections::BTreeMap;

use ccs::baselines::{Predictions, zero_shot, zero_shot_threshold};
use ccs::pick;
use ccs::stats::split::Split;
use ccs_report::{AnswerScore, Method, ZeroShot};

use crate::settings::Settings;
use crate::source::Rows;
use crate::{Error, Result};

/// A way to read the model's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) score: AnswerScore,
    /// Against a threshold for each template, at which [`Settings::true_share`] of the training rows is true; labels are
    /// not asked.
    pub(crate) calibrated: bool,
}

impl Reading {
    /// All readings, the plainest first.
    pub(crate) const ALL: [Self; 4] = [
        Self { score: AnswerScore::Sum, calibrated: false },
        Self { score: AnswerScore::Sum, calibrated: true },
        Self { score: AnswerScore::Mean, calibrated: false },
        Self { score: AnswerScore::Mean, calibrated: true },
    ];

    /// That of a method, by the score that the settings ask for.
    pub(crate) fn of(method: Method, settings: &Settings) -> Self {
        Self { score: settings.zero_shot, calibrated: method == Method::CALIBRATED_ZERO_SHOT }
    }

    /// The reading that a run's probes were measured by.
    pub(crate) fn bar_of(zero_shot: Option<&ZeroShot>) -> Option<Self> {
        let reading = zero_shot?.bar_reading()?;
        Some(Self { score: reading.score, calibrated: reading.calibrated })
    }

    /// `the mean log-probability of the whole answer's tokens, calibrated`.
    pub(crate) fn describe(self) -> String {
        format!("{}{}", self.score.describe(), if self.calibrated { ", calibrated" } else { "" })
    }

    /// The method that reads answers so.
    pub(crate) fn method(self) -> Method {
        if self.calibrated { Method::CALIBRATED_ZERO_SHOT } else { Method::ZERO_SHOT }
    }

    /// Predictions on training rows and on test rows.
    pub(crate) fn predictions(self, rows: &Rows, true_share: f64, split: &Split) -> Result<[Predictions; 2]> {
        let (plus, minus) = rows.answers(self.score)?.ok_or(Error::NoAnswerLogprob)?;
        let answers = |rows: &[usize]| zero_shot(&pick(plus, rows)?, &pick(minus, rows)?);
        let (mut train, mut test) = (answers(&split.train)?, answers(&split.test)?);
        if self.calibrated {
            let templates = match rows.variants() {
                Some((_, templates)) => templates,
                None => vec![String::new(); rows.labels.len()],
            };
            let [of_train, of_test] = [pick(&templates, &split.train)?, pick(&templates, &split.test)?];
            let thresholds = Thresholds::of(&train, &of_train, true_share)?;
            thresholds.subtract_from(&mut train, &of_train);
            thresholds.subtract_from(&mut test, &of_test);
        }
        Ok([train, test])
    }
}

/// How the predictions of a method are to be read.
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

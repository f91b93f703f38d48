//! The model's own answers as predictions: zero-shot, as they are and calibrated.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Rows;
use super::context::Data;
use crate::baselines::{Predictions, zero_shot, zero_shot_threshold};
use crate::contrast::pick;
use crate::split::Split;
use crate::{Error, Method, Result};

/// What of an answer's log-probability decides which of the two answers the model prefers.
///
/// The sum is what a model says: which of the two texts is the likelier one to follow. The longer of two answers is the less
/// likely one by that, so evaluation harnesses offer the mean too (accuracy normalised by length).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerScore {
    /// The log-probability of the whole answer: the sum over its tokens.
    #[default]
    Sum,
    /// Its mean over the answer's tokens.
    Mean,
}

impl AnswerScore {
    /// The name in reports and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
        }
    }

    /// What it is of an answer, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Sum => "the log-probability of the whole answer (the sum over its tokens)",
            Self::Mean => "the mean log-probability of the whole answer's tokens",
        }
    }

    /// That of a settings file from before there was a choice.
    pub(super) fn of_older_versions() -> Self {
        Self::Mean
    }
}

impl fmt::Display for AnswerScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AnswerScore {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Sum, Self::Mean]
            .into_iter()
            .find(|score| score.name() == name)
            .ok_or_else(|| format!("`{name}` is neither sum nor mean"))
    }
}

/// How the model's own answers were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZeroShot {
    /// What decided.
    pub score: AnswerScore,
}

/// What a reader should know of log-probabilities that an older version left.
pub(super) const DIFFERING_WORDS: &str = "the store is of an older version: zero-shot goes by the words in which the two prompts differ, which of answers that \
     share words is a part; extract it again for whole answers";

/// Predictions on training rows and on test rows, and how to read them. Calibration takes `true_share` of the rows to be
/// true; labels are not asked.
pub(super) fn judge(
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
    if method != Method::CalibratedZeroShot {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for score in [AnswerScore::Sum, AnswerScore::Mean] {
            assert_eq!(score.name().parse(), Ok(score));
            assert_eq!(serde_json::to_value(score).unwrap(), score.name());
        }
        assert_eq!("Sum".parse::<AnswerScore>(), Err("`Sum` is neither sum nor mean".to_owned()));
    }
}

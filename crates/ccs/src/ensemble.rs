//! One answer from several templates: how the scores of a question's rows are brought together.
//!
//! A row has the scores s⁺ and s⁻ of its two statements, logits ([`crate::Probe::statement_logits`]); a question has as many rows
//! as templates. In every mode, intervals take questions for independent: rows of one question are one observation.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::baselines::Predictions;
use crate::{Error, Result};

/// What is scored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ensembling {
    /// Each statement by itself, s⁺ and s⁻, against whether that statement is true: 2 a row.
    None,
    /// Each row by s⁺ − s⁻, against its label: 1 a row.
    #[default]
    Partial,
    /// Each question by the mean of s⁺ − s⁻ over its rows, against their label: 1 a question.
    Full,
}

/// Scores with their labels, and their questions, which intervals take for independent.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensembled {
    /// Logits: above 0 predicts true.
    pub predictions: Predictions,
    /// One for each score.
    pub labels: Vec<bool>,
    /// The question of each score.
    pub questions: Vec<usize>,
}

impl Ensembled {
    /// The questions as names, for [`crate::stats::clusters::Clusters::new`].
    pub fn clusters(&self) -> Vec<String> {
        self.questions.iter().map(ToString::to_string).collect()
    }
}

/// Brings the scores of rows together. With [`Ensembling::Full`], questions are in order of first appearance.
///
/// ```
/// use ccs::ensemble::{Ensembling, ensemble};
///
/// // Question 7 under two templates, question 3 under one.
/// let (plus, minus) = ([2.0, -1.0, 0.5], [-1.0, 0.5, 1.0]);
/// let full = ensemble(Ensembling::Full, &plus, &minus, &[true, true, false], &[7, 7, 3])?;
/// assert_eq!(full.predictions.scores, [0.75, -0.5]);
/// assert_eq!(full.labels, [true, false]);
/// # Ok::<(), ccs::Error>(())
/// ```
///
/// # Shapes
/// `plus`, `minus`, `labels`, `questions`: N.
///
/// # Errors
/// Different lengths, or with [`Ensembling::Full`] a question whose rows have different labels.
pub fn ensemble(
    mode: Ensembling,
    plus: &[f64],
    minus: &[f64],
    labels: &[bool],
    questions: &[usize],
) -> Result<Ensembled> {
    for (what, found) in
        [("plus scores", plus.len()), ("minus scores", minus.len()), ("questions", questions.len())]
    {
        if found != labels.len() {
            return Err(Error::Length { what, expected: labels.len(), found });
        }
    }
    let differences = || plus.iter().zip(minus).map(|(p, m)| p - m);
    let (scores, labels, questions) = match mode {
        Ensembling::None => {
            let opposite = labels.iter().map(|l| !l);
            ([plus, minus].concat(), labels.iter().copied().chain(opposite).collect(), questions.repeat(2))
        }
        Ensembling::Partial => (differences().collect(), labels.to_vec(), questions.to_vec()),
        Ensembling::Full => means(differences(), labels, questions)?,
    };
    Ok(Ensembled { predictions: Predictions { scores, threshold: 0.0 }, labels, questions })
}

/// One answer from several layers: the mean of what their probes say. Give probabilities that agree with how often each
/// layer's probe is right ([`crate::Probe::pair_probabilities`] with a Platt scaling), so that a layer that knows little has
/// little say; above ½ predicts true.
///
/// ```
/// use ccs::ensemble::mean_over_layers;
///
/// let mean = mean_over_layers(&[&[0.75, 0.25], &[0.5, 0.5]])?;
/// assert_eq!((mean.scores, mean.threshold), (vec![0.625, 0.375], 0.5));
/// # Ok::<(), ccs::Error>(())
/// ```
///
/// # Shapes
/// `layers`: N probabilities each; the result: N.
///
/// # Errors
/// No layers, different lengths, or a number outside \[0, 1\].
pub fn mean_over_layers(layers: &[&[f64]]) -> Result<Predictions> {
    let Some(first) = layers.first() else {
        return Err(Error::Setting {
            name: "layers",
            value: "none".to_owned(),
            reason: "there must be one",
            hint: "choose layers on training rows",
        });
    };
    let mut scores = vec![0.0; first.len()];
    for layer in layers {
        if layer.len() != first.len() {
            return Err(Error::Length { what: "probabilities", expected: first.len(), found: layer.len() });
        }
        for (score, &p) in scores.iter_mut().zip(*layer) {
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::Setting {
                    name: "probability",
                    value: p.to_string(),
                    reason: "it is to lie between 0 and 1",
                    hint: "give calibrated probabilities, not scores",
                });
            }
            *score += p / layers.len() as f64;
        }
    }
    Ok(Predictions { scores, threshold: 0.5 })
}

/// The mean, the label and the number of each question.
fn means(
    scores: impl Iterator<Item = f64>,
    labels: &[bool],
    questions: &[usize],
) -> Result<(Vec<f64>, Vec<bool>, Vec<usize>)> {
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut all: Vec<(f64, f64, bool, usize)> = Vec::new(); // sum, rows, label, question
    for (row, ((score, &label), &question)) in scores.zip(labels).zip(questions).enumerate() {
        let place = *places.entry(question).or_insert(all.len());
        match all.get_mut(place) {
            Some(entry) if entry.2 != label => {
                let problem =
                    format!("its label is {label}, another row of question {question} has {}", !label);
                return Err(Error::Variant { row, problem });
            }
            Some(entry) => (entry.0, entry.1) = (entry.0 + score, entry.1 + 1.0),
            None => all.push((score, 1.0, label, question)),
        }
    }
    Ok((
        all.iter().map(|e| e.0 / e.1).collect(),
        all.iter().map(|e| e.2).collect(),
        all.iter().map(|e| e.3).collect(),
    ))
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;
    use crate::stats::clusters::Clusters;

    const PLUS: [f64; 4] = [1.0, -0.5, 0.25, 2.0];
    const MINUS: [f64; 4] = [-1.0, 0.5, 0.75, 1.0];
    const LABELS: [bool; 4] = [true, true, false, false];
    const QUESTIONS: [usize; 4] = [5, 5, 2, 2];

    fn of(mode: Ensembling) -> Ensembled {
        ensemble(mode, &PLUS, &MINUS, &LABELS, &QUESTIONS).unwrap()
    }

    #[test]
    fn the_three_modes_count_and_judge_what_they_say() {
        let none = of(Ensembling::None);
        assert_eq!(none.labels, [true, true, false, false, false, false, true, true]);
        // s⁺ of rows 0, 2, 3: right, wrong, wrong; row 1 wrong; s⁻: right, wrong, right, right.
        assert_eq!(none.predictions.against(&none.labels).unwrap().accuracy(), 0.5);
        let partial = of(Ensembling::Partial);
        assert_eq!(partial.predictions.scores, [2.0, -1.0, -0.5, 1.0]);
        assert_eq!(partial.predictions.against(&partial.labels).unwrap().accuracy(), 0.5);
        let full = of(Ensembling::Full);
        assert_eq!((full.predictions.scores.clone(), full.questions.clone()), (vec![0.5, 0.25], vec![5, 2]));
        assert_eq!(full.predictions.against(&full.labels).unwrap().accuracy(), 0.5);
    }

    #[test]
    fn layers_are_averaged_row_by_row_or_refused() {
        assert_eq!(mean_over_layers(&[&[1.0, 0.0, 0.25]]).unwrap().scores, [1.0, 0.0, 0.25]);
        assert_eq!(mean_over_layers(&[&[1.0], &[0.5], &[0.5], &[0.0]]).unwrap().scores, [0.5]);
        for wrong in [&[][..], &[&[0.5, 0.5][..], &[0.5][..]], &[&[1.5][..]], &[&[f64::NAN][..]]] {
            assert!(mean_over_layers(wrong).is_err());
        }
    }

    #[test]
    fn with_one_template_full_is_partial() {
        let modes = [Ensembling::Partial, Ensembling::Full];
        let [partial, full] =
            modes.map(|mode| ensemble(mode, &PLUS, &MINUS, &LABELS, &[0, 1, 2, 3]).unwrap());
        assert_eq!(partial, full);
    }

    #[test]
    fn intervals_count_questions_not_rows() {
        for mode in [Ensembling::None, Ensembling::Partial, Ensembling::Full] {
            let all = of(mode);
            let clusters = Clusters::new(&all.labels, &all.clusters()).unwrap();
            assert_eq!(clusters.groups(), 2, "{mode:?}");
        }
    }

    #[test]
    fn rows_that_disagree_about_a_question_are_named() {
        let error =
            ensemble(Ensembling::Full, &PLUS, &MINUS, &[true, false, false, false], &QUESTIONS).unwrap_err();
        assert!(matches!(error, Error::Variant { row: 1, .. }), "{error}");
        assert!(ensemble(Ensembling::Full, &PLUS, &MINUS[..3], &LABELS, &QUESTIONS).is_err());
    }
}

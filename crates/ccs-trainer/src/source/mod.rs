//! Where a run's data comes from: anything that knows its rows and loads one layer at a time.

pub(crate) mod memory;
pub(crate) mod memory_tokens;
pub(crate) mod notes;
pub(crate) mod origin;
pub(crate) mod pooled;
pub(crate) mod states;
pub(crate) mod store;
pub(crate) mod subset;

use crate::source::states::States;
use crate::{Error, Result};
use activations::provenance::{DataRecord, Provenance};
use ccs_report::{AnswerScore, RowKind, RowText};
use indexmap::IndexMap;

/// The rows of a data source.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Names of the rows, for the saved split. N
    pub ids: Vec<String>,
    /// Whether the plus side is the true one; of a statement, whether it is true. N
    pub labels: Vec<bool>,
    /// What must stay together in splits, and counts as one in intervals. N
    pub groups: Vec<String>,
    /// Which question each row is of; rows of one question differ in their template. N, or none where each row is a
    /// question of its own.
    pub questions: Vec<String>,
    /// The template each row was written with. N, or none where there is one.
    pub templates: Vec<String>,
    /// The model's log-probability of the whole answer (the sum over its tokens) on the plus and on the minus side, N
    /// each.
    pub answer_logprob: Option<(Vec<f64>, Vec<f64>)>,
    /// Its mean over the answer's tokens, likewise.
    pub answer_logprob_mean: Option<(Vec<f64>, Vec<f64>)>,
    /// How long a row's two prompts are together, in bytes: what tells a passage from a blank one. N, or none where it
    /// is not known.
    pub prompt_lengths: Vec<usize>,
    /// A sentence for the report on prompts that have both labels.
    pub both_labels: Option<String>,
    /// Further columns of the data, by their names in the data file (without the `data.` of prompts and stores), in the
    /// order of the file; `None` where a row has no value. Nothing is fitted on them. N each
    pub columns: IndexMap<String, Vec<Option<String>>>,
}

impl Rows {
    /// Checks lengths.
    ///
    /// # Errors
    /// Lists of different lengths.
    pub fn check(&self) -> Result<()> {
        let expected = self.labels.len();
        let logprob =
            self.answer_logprob.iter().chain(&self.answer_logprob_mean).flat_map(|(plus, minus)| {
                [("plus log-probabilities", plus.len()), ("minus log-probabilities", minus.len())]
            });
        let variants = [("questions", self.questions.len()), ("templates", self.templates.len())];
        let variants = variants.into_iter().filter(|(_, found)| *found > 0);
        for (what, found) in [("ids", self.ids.len()), ("groups", self.groups.len())]
            .into_iter()
            .chain(logprob)
            .chain(variants)
        {
            if found != expected {
                return Err(ccs::Error::Length { what, expected, found }.into());
            }
        }
        match self.columns.iter().find(|(_, values)| values.len() != expected) {
            Some((column, values)) => {
                Err(Error::ColumnLength { column: column.clone(), expected, found: values.len() })
            }
            None => Ok(()),
        }
    }

    /// What the model's own answers are read from, on the plus and on the minus side; `None` where the rows have no
    /// log-probabilities at all.
    ///
    /// # Errors
    /// [`Error::NoAnswerMean`] where they have the sum and not the mean.
    pub fn answers(&self, score: AnswerScore) -> Result<Option<&(Vec<f64>, Vec<f64>)>> {
        match score {
            AnswerScore::Sum => Ok(self.answer_logprob.as_ref()),
            AnswerScore::Mean if self.answer_logprob.is_some() && self.answer_logprob_mean.is_none() => {
                Err(Error::NoAnswerMean)
            }
            AnswerScore::Mean => Ok(self.answer_logprob_mean.as_ref()),
        }
    }

    /// Checks that log-probabilities are numbers; what reads no answers needs none.
    ///
    /// # Errors
    /// A log-probability that is NaN or infinite, with its row; as [`Rows::answers`].
    pub fn check_answers(&self, score: AnswerScore) -> Result<()> {
        for (side, values) in self.answers(score)?.iter().flat_map(|(p, m)| [("plus", p), ("minus", m)]) {
            if let Some(row) = values.iter().position(|v| !v.is_finite()) {
                let what = format!("the answer's log-probability on the {side} side");
                return Err(ccs::Error::NotFinite { what, row, column: None }.into());
            }
        }
        Ok(())
    }

    /// Every row's question and template, if either is known.
    pub(crate) fn variants(&self) -> Option<(Vec<String>, Vec<String>)> {
        if self.questions.is_empty() && self.templates.is_empty() {
            return None;
        }
        let rows = self.labels.len();
        let own = || (0..rows).map(|row| row.to_string()).collect();
        let questions = if self.questions.is_empty() { own() } else { self.questions.clone() };
        let templates =
            if self.templates.is_empty() { vec![String::new(); rows] } else { self.templates.clone() };
        Some((questions, templates))
    }
}

/// A layer of a data source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// 0 is the embedding, l ≥ 1 the residual stream after block l − 1.
    pub layer: usize,
    /// The hook point's name.
    pub hook: String,
}

/// Data to fit on. Only [`Source::load`] brings states into memory, one layer a call.
pub trait Source: Sync {
    /// The rows, the same for every layer.
    fn rows(&self) -> &Rows;

    /// The layers there are, ascending.
    fn layers(&self) -> &[Layer];

    /// Whether its rows are contrast pairs or single statements, known without loading a layer.
    fn kind(&self) -> RowKind;

    /// How many tokens the prompts of a side have together, where [`Source::load`] gives the states of all of them; none
    /// where it gives one state a prompt.
    fn all_tokens(&self) -> Option<usize> {
        None
    }

    /// The states of one layer: those of both sides of pairs, or of statements, as [`Source::kind`] says; of all tokens where
    /// [`Source::all_tokens`] says so.
    ///
    /// # Shapes
    /// \[N, D\] on the CPU, of a floating-point kind; of all tokens, \[M, D\].
    ///
    /// # Errors
    /// Whatever keeps the layer from being read.
    fn load(&self, layer: &Layer) -> Result<States>;

    /// D of a layer where it is known without loading it; what memory is planned by.
    fn dim(&self, _layer: &Layer) -> Option<usize> {
        None
    }

    /// What the data is, for the report: what made it, hashes; no absolute path and no clock time. It must differ where
    /// the states differ: a run that is continued goes by it ([`Fit::run_in`](crate::Fit::run_in)).
    fn identity(&self) -> DataRecord;

    /// Which states they are, in words: `at the last token, computed in bf16 and kept in f32`.
    fn states(&self) -> Option<String> {
        self.identity().states()
    }

    /// What the data is, in a few words each.
    fn about(&self) -> Vec<String> {
        self.identity().description()
    }

    /// What those who made the data want its readers to know.
    fn notes(&self) -> Vec<String> {
        notes::of(&self.identity())
    }

    /// What made the states, for the probes; unlike [`Source::identity`] nothing that changes with test rows. None where
    /// nothing is recorded.
    fn made_by(&self) -> Option<Provenance>;

    /// The token rule that the states are of, where the source knows it: `last`, `mean`, …
    fn tokens(&self) -> Option<&str> {
        None
    }

    /// Of a source that is made of others: what to call the one that a row is of, and the row's number in it.
    fn locate(&self, _row: usize) -> Option<(String, usize)> {
        None
    }

    /// The end of every row's text, where the source has texts; else as many times none.
    ///
    /// # Errors
    /// Whatever keeps the texts from being read.
    fn texts(&self) -> Result<Vec<Option<RowText>>> {
        Ok(vec![None; self.rows().labels.len()])
    }

    /// The text of every token of the plus and of the minus side (of statements, of the plus side alone), row after row, where
    /// [`Source::load`] gives the states of all tokens and their texts are known.
    ///
    /// # Errors
    /// Whatever keeps the texts from being read.
    fn token_texts(&self) -> Result<Option<[Vec<String>; 2]>> {
        Ok(None)
    }

    /// What to call the source in errors.
    fn describe(&self) -> String {
        "the data".to_owned()
    }
}

//! The model's own answers to the rows that probes are evaluated on.

use ccs::baselines::Predictions;
use ccs_report::{AnswerScore, Method, Report};

use crate::engine::answers::Reading;
use crate::engine::evaluate::Predicted;
use crate::settings::Settings;
use crate::source::Rows;
use crate::transfer::evaluate::Evaluator;
use crate::transfer::target::Target;
use crate::{Error, Result};

/// What zero-shot goes by: what is asked for, else what the run went by, else what the data has, with a note.
fn score(rows: &Rows, run: AnswerScore, asked: Option<AnswerScore>) -> Result<(AnswerScore, Option<String>)> {
    match (asked, rows.answers(run)) {
        (Some(asked), _) => Ok((asked, None)),
        (None, Ok(_)) => Ok((run, None)),
        (None, Err(Error::NoAnswerMean)) => {
            let note = "the run's zero-shot goes by the mean over the answer's tokens, which these data lack: here it \
                        goes by their sum";
            Ok((AnswerScore::Sum, Some(note.to_owned())))
        }
        (None, Err(other)) => Err(other),
    }
}

/// The model's own answers to the rows that probes are evaluated on.
pub(crate) struct OwnAnswers {
    pub(crate) score: AnswerScore,
    /// Why another score than the run's.
    lacking: Option<String>,
    pub(crate) plain: Option<Predictions>,
    pub(crate) calibrated: Option<Predictions>,
    /// The reading that probes are measured by: the run's, unless a score is asked for or these data lack the run's.
    bar: Reading,
    by_bar: Option<Predictions>,
}

impl OwnAnswers {
    pub(crate) fn new(
        target: &Target<'_>,
        report: &Report,
        settings: &Settings,
        asked: Option<AnswerScore>,
    ) -> Result<Self> {
        let rows = target.source.rows();
        let (score, lacking) = score(rows, settings.zero_shot, asked)?;
        let read = |reading: Reading| -> Result<Option<Predictions>> {
            let Some(answers) = target.zero_shot(reading.score)? else { return Ok(None) };
            if !reading.calibrated {
                return Ok(Some(answers));
            }
            target.calibrated(&answers, settings.true_share).map(Some)
        };
        let of_run = Reading::bar_of(report.zero_shot.as_ref()).filter(|_| asked.is_none());
        let of_run = of_run.filter(|bar| matches!(rows.answers(bar.score), Ok(Some(_))));
        let bar = of_run.unwrap_or(Reading { score, calibrated: false });
        let [plain, calibrated] = [false, true].map(|calibrated| read(Reading { score, calibrated }));
        Ok(Self { score, lacking, plain: plain?, calibrated: calibrated?, bar, by_bar: read(bar)? })
    }

    /// The reading that probes are measured by, on the evaluated rows.
    pub(crate) fn measured(&self, evaluator: &Evaluator) -> Result<Option<(Method, Predicted)>> {
        let measured = |bar: &Predictions| Ok((self.bar.method(), evaluator.predicted(bar)?));
        self.by_bar.as_ref().map(measured).transpose()
    }

    /// What a reader should know.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        let bar = || format!("over_zero_shot: minus the model's own answers by {}", self.bar.describe());
        self.lacking.clone().into_iter().chain(self.by_bar.as_ref().map(|_| bar()))
    }
}

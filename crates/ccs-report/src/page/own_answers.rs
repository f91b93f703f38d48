//! The model's own answers by every reading, and the bar among them.

use serde::Serialize;

use super::scores::{Metric, Scores, auroc_less};
use crate::figures::palette::class;
use crate::report::{AnswerReading, Comparison, Report};

/// A table of readings, and every probe minus the bar.
#[derive(Debug, Serialize)]
pub(super) struct OwnAnswersView {
    readings: Vec<ReadingView>,
    beyond: Vec<BeyondView>,
}

#[derive(Debug, Serialize)]
struct ReadingView {
    name: String,
    train: Scores,
    test: Scores,
    is_bar: bool,
    is_oracle: bool,
}

#[derive(Debug, Serialize)]
struct BeyondView {
    method: String,
    class: &'static str,
    layer: usize,
    auroc: Option<Metric>,
}

pub(super) fn own_answers(report: &Report) -> Option<OwnAnswersView> {
    let own = report.zero_shot.as_ref().filter(|own| !own.readings.is_empty())?;
    let reading = |(place, reading): (usize, &AnswerReading)| ReadingView {
        name: reading.describe(),
        train: Scores::new(&reading.train),
        test: Scores::new(&reading.test),
        is_bar: own.bar == Some(place),
        is_oracle: own.oracle == Some(place),
    };
    let beyond = |compared: &Comparison| BeyondView {
        method: report.title(compared.difference.first),
        class: class(compared.difference.first),
        layer: compared.difference.first_layer,
        auroc: compared.difference.auroc.as_ref().map(auroc_less),
    };
    Some(OwnAnswersView {
        readings: own.readings.iter().enumerate().map(reading).collect(),
        beyond: own.beyond.iter().map(beyond).collect(),
    })
}

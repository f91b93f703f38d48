//! The bar that probes are to pass: of all readings of the model's own answers, the one that ranks the training rows best.

use ccs_report::{AnswerReading, Evaluation, ZeroShot};

use crate::Result;
use crate::engine::answers::Reading;
use crate::engine::evaluate::{At, Predicted, compare, evaluate};
use crate::engine::plan::Plan;
use crate::method::Ask;

/// The model's own answers by every reading, one of which is the bar.
pub(crate) struct Bar {
    pub(crate) report: ZeroShot,
    /// The bar on the test rows.
    predicted: Option<Predicted>,
}

impl Bar {
    /// Reads the answers in all ways that the data allow; none where no method of the run reads them.
    pub(crate) fn new(plan: &Plan<'_>) -> Result<Option<Self>> {
        if !plan.methods.iter().any(Ask::needs_answers) {
            return Ok(None);
        }
        let rows = plan.source.rows();
        let (mut readings, mut predictions) = (Vec::new(), Vec::new());
        for reading in Reading::ALL {
            let Ok(Some(_)) = rows.answers(reading.score) else { continue };
            rows.check_answers(reading.score)?;
            let [train, test] = reading.predictions(rows, plan.settings.true_share, &plan.split.rows)?;
            readings.push(AnswerReading {
                score: reading.score,
                calibrated: reading.calibrated,
                train: evaluate(&train, &plan.split.train_labels(rows)?, None)?,
                test: evaluate(&test, &plan.split.test_labels, Some(&plan.split.clusters))?,
            });
            predictions.push(test);
        }
        let bar = best(readings.iter().map(|reading| &reading.train));
        let of_bar = bar.and_then(|bar| predictions.get(bar));
        let predicted = of_bar.map(|test| Predicted::of(test, &plan.split.test_labels)).transpose()?;
        let oracle = best(readings.iter().map(|reading| &reading.test));
        let score = plan.settings.zero_shot;
        let report = ZeroShot { score, readings, bar, oracle, beyond: Vec::new() };
        Ok(Some(Self { report, predicted }))
    }

    /// Compares a probe with the bar.
    pub(crate) fn measure(&mut self, plan: &Plan<'_>, (method, layer, probe): At<'_>) {
        let own = self.report.bar_reading().map(AnswerReading::method).zip(self.predicted.as_ref());
        let Some((own, bar)) = own else { return };
        let (first, second) = ((method, layer, probe), (own, layer, bar));
        self.report.beyond.push(compare(first, second, plan.multiplicity(), &plan.split.clusters));
    }
}

/// The place of the highest AUROC, then of the highest accuracy; the first of equals.
fn best<'a>(evaluations: impl Iterator<Item = &'a Evaluation>) -> Option<usize> {
    let key = |found: &Evaluation| (found.auroc.unwrap_or(0.0), found.accuracy);
    let higher = |a: &Evaluation, b: &Evaluation| {
        let ((a, b), (c, d)) = (key(a), key(b));
        a.total_cmp(&c).then(b.total_cmp(&d))
    };
    // `max_by` takes the last of equals.
    let numbered = evaluations.enumerate().collect::<Vec<_>>().into_iter().rev();
    numbered.max_by(|(_, a), (_, b)| higher(a, b)).map(|(place, _)| place)
}

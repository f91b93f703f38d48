//! Recursive CCS: directions orthogonal to those found before.

use ccs::loss::CONSTANT_GUESS;
use ccs::methods::ccs::CcsFit;
use ccs::methods::recursive::{RecursiveOptions, Stop, recursive, untrained};
use ccs::stats::intervals::Interval;
use ccs_report::{Method, RecursiveIteration, RecursiveReport, Spread, Untrained};

use crate::control::{RunControl, Work};
use crate::engine::data::LayerData;
use crate::engine::evaluate::{evaluate, predict};
use crate::engine::plan::Plan;
use crate::engine::recipe::possible;
use crate::{Result, convert};

/// Directions that nothing is fitted to, beside recursive CCS.
const UNTRAINED: usize = 50;

/// Recursive CCS, and its first iteration, which is the run's own fit with every start. What other seeds find is not in the
/// report yet.
pub(crate) fn recursive_ccs(
    plan: &Plan<'_>,
    data: &LayerData<'_>,
    random_accuracy: Option<Interval>,
    control: RunControl<'_>,
) -> Work<Option<(RecursiveReport, CcsFit)>> {
    let wanted = plan.settings.recursive;
    if wanted == 0 {
        return Ok(None);
    }
    let what = |iteration: usize| format!("recursive CCS, direction {iteration} of {wanted}");
    control.begin(Method::CCS, data.layer.layer, &what(1))?;
    let options = RecursiveOptions { iterations: wanted, ..RecursiveOptions::default() };
    let stream = plan.stream_of(Method::CCS, data.layer);
    let mut asked = Ok(());
    let found = recursive(&data.train, &plan.settings.ccs, &options, &stream, |done, _| {
        if done < wanted {
            asked = control.begin(Method::CCS, data.layer.layer, &what(done + 1));
        }
        asked.is_ok()
    });
    asked?;
    let Ok(found) = possible(found)? else { return Ok(None) };
    let iterations = found.fits.iter().map(|fit| iteration(plan, data, fit)).collect::<Result<_>>()?;
    let stop = match found.stop {
        Stop::Iterations => format!("as many as asked for, {wanted}"),
        Stop::Loss => format!("the training loss reached {CONSTANT_GUESS}, that of a constant guess"),
        Stop::Asked => "it was stopped".to_owned(),
        Stop::Dimensions => "no dimension is left".to_owned(),
    };
    let report = RecursiveReport {
        layer: data.layer.layer,
        iterations,
        random_accuracy,
        constant_guess: CONSTANT_GUESS,
        stop,
        seeds_cosine: None,
        untrained: untrained_directions(plan, data)?,
    };
    Ok(found.fits.into_iter().next().map(|first| (report, first)))
}

fn iteration(plan: &Plan<'_>, data: &LayerData<'_>, fit: &CcsFit) -> Result<RecursiveIteration> {
    let predictions = predict(&fit.probe, &data.test)?;
    Ok(RecursiveIteration {
        test: evaluate(&predictions, data.test.labels(), Some(&plan.split.clusters))?,
        train_loss: convert::terms(fit.terms),
        test_loss: convert::terms(fit.probe.loss(&data.test)?),
    })
}

/// Directions that nothing was fitted to, in CCS's own coordinates.
fn untrained_directions(plan: &Plan<'_>, data: &LayerData<'_>) -> Result<Untrained> {
    let stream = plan.stream_of(Method::CCS, data.layer).child("untrained");
    let normalization = plan.settings.ccs.normalization;
    let [mut accuracy, mut consistency, mut confidence, mut loss] = [const { Vec::new() }; 4];
    for probe in untrained(&data.train, UNTRAINED, normalization, &stream)? {
        let terms = probe.loss(&data.test)?;
        accuracy.push(probe.accuracy(&data.test)?);
        consistency.push(terms.consistency);
        confidence.push(terms.confidence);
        loss.push(terms.total());
    }
    Ok(Untrained {
        directions: UNTRAINED,
        accuracy: spread(&accuracy),
        consistency: spread(&consistency),
        confidence: spread(&confidence),
        loss: spread(&loss),
    })
}

/// Mean and standard deviation of a sample.
fn spread(values: &[f64]) -> Spread {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Spread { mean, sd: (squares / (count - 1.0).max(1.0)).sqrt() }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_those_of_a_sample() {
        let found = spread(&[1.0, 3.0]);
        assert_eq!((found.mean, found.sd), (2.0, 2f64.sqrt()));
    }
}

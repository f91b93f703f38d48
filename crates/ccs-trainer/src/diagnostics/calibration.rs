//! How well a probe's probabilities match the share of true rows.

use ccs::probe::Probe;
use ccs::stats::calibrate::Reliability;
use ccs_report::{Calibration, Histogram};

use crate::engine::probe::scaling_rule;
use crate::{Result, convert};

/// Intervals of a reliability curve.
const RELIABILITY_BINS: usize = 10;
/// Bins of a histogram.
const HISTOGRAM_BINS: usize = 20;

/// Calibration and a histogram of a probe's probabilities on test rows, before and after the Platt scaling that is saved
/// with it.
pub(crate) fn calibration(
    probe: &Probe,
    scores: &[f64],
    labels: &[bool],
    folds: usize,
) -> Result<(Option<Calibration>, Option<Histogram>)> {
    let own: Option<Vec<f64>> = scores.iter().map(|&score| probe.own_probability(score)).collect();
    let ece = |p: &[f64]| Reliability::of(p, labels, RELIABILITY_BINS);
    let calibration = match probe.calibration().platt {
        Some(platt) => Some(Calibration {
            platt: convert::platt(platt),
            fitted_on: scaling_rule(folds),
            reliability: convert::reliability(&ece(&platt.probabilities(scores))?),
            ece_before: own.as_deref().map(ece).transpose()?.map(|before| before.ece),
        }),
        None => None,
    };
    let scaled =
        || probe.calibration().platt.map(|platt| histogram(&platt.probabilities(scores), labels, true));
    let histogram = own.as_deref().map(|p| histogram(p, labels, false)).or_else(scaled);
    Ok((calibration, histogram))
}

fn histogram(probabilities: &[f64], labels: &[bool], calibrated: bool) -> Histogram {
    let mut bins = [vec![0; HISTOGRAM_BINS], vec![0; HISTOGRAM_BINS]];
    for (&p, &label) in probabilities.iter().zip(labels) {
        let at = ((p * HISTOGRAM_BINS as f64) as usize).min(HISTOGRAM_BINS - 1);
        if let Some(rows) = bins.get_mut(usize::from(label)).and_then(|counts| counts.get_mut(at)) {
            *rows += 1;
        }
    }
    let [negatives, positives] = bins;
    Histogram { calibrated, positives, negatives }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_bin_of_its_label() {
        let found = histogram(&[0.0, 0.049, 0.05, 1.0, 0.999], &[true, false, true, true, false], false);
        assert_eq!((found.positives[0], found.positives[1], found.positives[19]), (1, 1, 1));
        assert_eq!((found.negatives[0], found.negatives[19]), (1, 1));
        assert_eq!(found.positives.iter().chain(&found.negatives).sum::<usize>(), 5);
    }
}

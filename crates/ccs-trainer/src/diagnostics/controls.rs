//! Controls at the chosen layers: other seeds, recursive CCS, and what the test rows would have chosen.

use tch::{Device, Kind, Tensor};

use crate::engine::context::{Context, Data};
use crate::engine::evaluate::{evaluate, predict};
use crate::engine::recipe::{Recipe, possible};
use crate::{Result, convert};
use ccs::baselines::Predictions;
use ccs::bootstrap::{Interval, quantile};
use ccs::fit::ccs::{CcsFit, Init, ccs};
use ccs::fit::recursive::{RecursiveOptions, Stop, cosines, recursive, untrained};
use ccs::head::Head;
use ccs::loss::CONSTANT_GUESS;
use ccs::probe::{Certainty, Probe, Readout, Sign};
use ccs_report::Method;
use ccs_report::{OracleRestart, OracleSign, Repetitions, SeedCosines, Spread, Untrained, WithinLayer};
use ccs_report::{RecursiveIteration, RecursiveReport};

/// Directions that nothing is fitted to, beside recursive CCS.
const UNTRAINED: usize = 50;

/// Adds how well one repetition's predictions agree with labels.
pub(crate) fn add(repeated: &mut Repetitions, predictions: &Predictions, labels: &[bool]) -> Result<()> {
    let scored = predictions.against(labels)?;
    repeated.accuracies.push(scored.accuracy());
    repeated.aurocs.push(scored.auroc());
    Ok(())
}

impl Context<'_> {
    /// The fit under other seeds on the same split; none for methods that draw nothing.
    pub(crate) fn seeds(
        &self,
        recipe: Recipe<'_>,
        data: &Data<'_>,
        probe: &Probe,
    ) -> Result<Option<Repetitions>> {
        let (method, ccs, seeds) = (recipe.method, &self.settings.ccs, self.settings.seeds);
        let draws = match method.name() {
            "ccs" => !ccs.hidden.is_empty() || matches!(ccs.init, Init::UnitSphere | Init::Uniform),
            "bss" | "kmeans" => true,
            _ => false,
        };
        if !draws || seeds == 0 {
            return Ok(None);
        }
        let stream = self.stream(method, data.layer);
        let mut repeated = Repetitions { layer: data.layer.layer, asked: seeds, ..Repetitions::default() };
        // On one device, wherever a probe was fitted or read from.
        let weight = |probe: &Probe| -> Result<Tensor> {
            Ok(probe.weight.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?)
        };
        let mut directions = vec![weight(probe)?];
        for seed in 1..=seeds {
            self.kept.next(method, data.layer, &format!("seed {seed} of {seeds}"))?;
            let Ok(fit) = possible(recipe.fit(&data.train, &stream.indexed("seed", seed)))? else { continue };
            add(&mut repeated, &predict(&fit.probe, &data.test)?, data.test.labels())?;
            directions.push(weight(&fit.probe)?);
        }
        if method == Method::CCS && matches!(probe.head, Head::Linear) {
            repeated.cosines = seed_cosines(cosines(&Tensor::f_stack(&directions, 0)?)?);
        }
        Ok(Some(repeated))
    }

    /// Recursive CCS, and its first iteration, which is the run's own fit with every start.
    pub(crate) fn recursive(
        &self,
        data: &Data<'_>,
        random_accuracy: Option<Interval>,
        seeds_cosine: Option<f64>,
    ) -> Result<Option<(RecursiveReport, CcsFit)>> {
        let wanted = self.settings.recursive;
        if wanted == 0 {
            return Ok(None);
        }
        let what = |iteration: usize| format!("recursive CCS, direction {iteration} of {wanted}");
        self.kept.next(Method::CCS, data.layer, &what(1))?;
        let options = RecursiveOptions { iterations: wanted, ..RecursiveOptions::default() };
        let stream = self.stream(Method::CCS, data.layer);
        let mut asked = Ok(());
        let found = recursive(&data.train, &self.settings.ccs, &options, &stream, |done, _| {
            if done < wanted {
                asked = self.kept.next(Method::CCS, data.layer, &what(done + 1));
            }
            asked.is_ok()
        });
        asked?;
        let Ok(found) = possible(found)? else { return Ok(None) };
        let mut iterations = Vec::with_capacity(found.fits.len());
        for fit in &found.fits {
            let predictions = predict(&fit.probe, &data.test)?;
            iterations.push(RecursiveIteration {
                test: evaluate(&predictions, data.test.labels(), Some(self.resamples))?,
                train_loss: convert::terms(fit.terms),
                test_loss: convert::terms(fit.probe.loss(&data.test)?),
            });
        }
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
            seeds_cosine,
            untrained: self.untrained(data)?,
        };
        Ok(found.fits.into_iter().next().map(|first| (report, first)))
    }

    /// Directions that nothing was fitted to, in CCS's own coordinates.
    fn untrained(&self, data: &Data<'_>) -> Result<Untrained> {
        let stream = self.stream(Method::CCS, data.layer).child("untrained");
        let normalization = self.settings.ccs.normalization;
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

    /// What choosing CCS's sign and start by the test rows would have given at this layer. `fit` is the run's own with
    /// every start, of which a layer keeps the best; it is made again where it is not at hand.
    pub(crate) fn within(&self, data: &Data<'_>, probe: &Probe, fit: Option<CcsFit>) -> Result<WithinLayer> {
        let (predictions, labels) = (predict(probe, &data.test)?, data.test.labels());
        let accuracy = predictions.against(labels)?.accuracy();
        let other = predictions.turned().against(labels)?.accuracy();
        let best = accuracy.max(other);
        let sign = match probe.sign {
            kept if other <= accuracy => kept,
            Sign::Plus => Sign::Minus,
            Sign::Minus => Sign::Plus,
        };
        let oracle_restart = if matches!(probe.head, Head::Linear) && self.settings.ccs.restarts > 1 {
            let again = || {
                self.kept.next(Method::CCS, data.layer, "every start")?;
                possible(ccs(&data.train, &self.settings.ccs, &self.stream(Method::CCS, data.layer)))
            };
            let fit = if fit.is_some() { fit } else { again()?.ok() };
            fit.map(|fit| best_restart(&fit, data, accuracy)).transpose()?.flatten()
        } else {
            None
        };
        Ok(WithinLayer {
            layer: data.layer.layer,
            accuracy,
            sign_rule: "at least half of the training rows are judged rightly".to_owned(),
            sign: convert::sign(probe.sign),
            oracle_sign: OracleSign { sign: convert::sign(sign), accuracy: best, gap: best - accuracy },
            restart_rule: "lowest final training loss".to_owned(),
            oracle_restart,
        })
    }
}

/// The start with the best test accuracy, each with its sign from the training rows; `kept` is that of the start kept.
fn best_restart(fit: &CcsFit, data: &Data<'_>, kept: f64) -> Result<Option<OracleRestart>> {
    let Some(directions) = &fit.directions else { return Ok(None) };
    let mut best = OracleRestart { kept: fit.restart, restart: fit.restart, accuracy: kept, gap: 0.0 };
    for (restart, &bias) in fit.biases.iter().enumerate() {
        let finite = fit.objectives.get(restart).is_some_and(|value| value.is_finite());
        if restart == fit.restart || !finite {
            continue;
        }
        let mut probe = Probe {
            weight: directions.f_select(0, restart as i64)?.f_contiguous()?,
            bias,
            head: Head::Linear,
            sign: Sign::Plus,
            readout: Readout::Pair,
            certainty: Certainty::OWN,
            normalizer: fit.probe.normalizer.duplicate()?,
            meta: std::collections::BTreeMap::new(),
        };
        probe.orient(&data.train)?;
        let accuracy = probe.accuracy(&data.test)?;
        if accuracy > best.accuracy {
            best = OracleRestart { restart, accuracy, gap: accuracy - kept, ..best };
        }
    }
    Ok(Some(best))
}

/// Of a matrix of |cos|; none of fewer than two directions.
fn seed_cosines(matrix: Vec<Vec<f64>>) -> Option<SeedCosines> {
    let rows = matrix.iter().enumerate();
    let mut above: Vec<f64> = rows.flat_map(|(i, row)| row.iter().skip(i + 1).copied()).collect();
    above.sort_unstable_by(f64::total_cmp);
    let (min, max) = (*above.first()?, *above.last()?);
    let mean = above.iter().sum::<f64>() / above.len() as f64;
    let median = quantile(&above, 0.5)?;
    Some(SeedCosines { min, median, mean, max, matrix })
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
    fn cosines_are_of_every_two_and_spreads_of_a_sample() {
        let row = |a, b, c| vec![a, b, c];
        let found =
            seed_cosines(vec![row(1.0, 0.5, 0.25), row(0.5, 1.0, 0.75), row(0.25, 0.75, 1.0)]).unwrap();
        assert_eq!((found.min, found.median, found.mean, found.max), (0.25, 0.5, 0.5, 0.75));
        assert_eq!(seed_cosines(vec![vec![1.0]]), None);
        let found = spread(&[1.0, 3.0]);
        assert_eq!((found.mean, found.sd), (2.0, 2f64.sqrt()));
    }
}

//! Controls at the chosen layers: other seeds, shuffled labels, recursive CCS.

use rand::seq::SliceRandom;
use tch::{Device, Kind, Tensor};

use super::closeup::{RecursiveIteration, RecursiveReport, Repeated};
use super::context::{Context, Data};
use super::evaluate::{evaluate, predict};
use super::recipe::{Recipe, possible};
use crate::baselines::Predictions;
use crate::bootstrap::Interval;
use crate::fit::ccs::Init;
use crate::fit::recursive::{RecursiveOptions, Stop, cosines, recursive};
use crate::head::Head;
use crate::loss::CONSTANT_GUESS;
use crate::probe::Probe;
use crate::rng::Stream;
use crate::{Contrast, Method, Result};

/// Fits under other seeds.
pub(super) struct Seeds {
    pub(super) repeated: Repeated,
    /// The mean |cosine| between every two directions, the run's own included.
    pub(super) cosine: Option<f64>,
}

impl Repeated {
    fn at(layer: usize) -> Self {
        Self { layer, accuracies: Vec::new(), aurocs: Vec::new() }
    }

    fn add(&mut self, predictions: &Predictions, labels: &[bool]) -> Result<()> {
        let scored = predictions.against(labels)?;
        self.accuracies.push(scored.accuracy());
        self.aurocs.push(scored.auroc());
        Ok(())
    }
}

impl Context<'_> {
    /// The fit under other seeds on the same split; none for methods that draw nothing.
    pub(super) fn seeds(&self, recipe: Recipe<'_>, data: &Data<'_>, probe: &Probe) -> Result<Option<Seeds>> {
        let ccs = &self.settings.ccs;
        let draws = match recipe.method {
            Method::Ccs => !ccs.hidden.is_empty() || matches!(ccs.init, Init::UnitSphere | Init::Uniform),
            Method::Bss | Method::Kmeans => true,
            _ => false,
        };
        if !draws || self.settings.seeds == 0 {
            return Ok(None);
        }
        let stream = self.stream(recipe.method, data.layer);
        let mut repeated = Repeated::at(data.layer.layer);
        let mut directions = vec![probe.weight.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?];
        for seed in 1..=self.settings.seeds {
            let Ok(fit) = possible(recipe.fit(&data.train, &stream.indexed("seed", seed)))? else { continue };
            repeated.add(&predict(&fit.probe, &data.test)?, data.test.labels())?;
            // On one device, wherever a probe was fitted or read from.
            directions.push(fit.probe.weight.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?);
        }
        let cosine = match probe.head {
            Head::Linear => mean_cosine(&directions)?,
            Head::Mlp(_) => None,
        };
        Ok(Some(Seeds { repeated, cosine }))
    }

    /// The fit with the training rows' labels shuffled, judged by the test rows' own labels.
    pub(super) fn shuffled(
        &self,
        recipe: Recipe<'_>,
        data: &Data<'_>,
        probe: &Probe,
    ) -> Result<Option<Repeated>> {
        let shuffles = self.settings.shuffles;
        let wanted = [Method::Ccs, Method::Lr, Method::MeanDifference, Method::Lda].contains(&recipe.method);
        if !wanted || shuffles == 0 {
            return Ok(None);
        }
        let mut repeated = Repeated::at(data.layer.layer);
        let (on_train, on_test) = (predict(probe, &data.train)?, predict(probe, &data.test)?);
        for shuffle in 0..shuffles {
            // The same for every method and layer.
            let stream = self.stream.child("shuffled labels").indexed("shuffle", shuffle);
            let labels = shuffle_labels(&data.train, &stream)?;
            if recipe.method.is_supervised() {
                let train = data.train.relabelled(labels)?;
                let stream = self.stream(recipe.method, data.layer).indexed("shuffle", shuffle);
                if let Ok(fit) = possible(recipe.fit(&train, &stream))? {
                    repeated.add(&predict(&fit.probe, &data.test)?, data.test.labels())?;
                }
            } else if on_train.against(&labels)?.accuracy() < 0.5 {
                // Without labels the direction is the one it was; they turn it round.
                repeated.add(&turned(&on_test), data.test.labels())?;
            } else {
                repeated.add(&on_test, data.test.labels())?;
            }
        }
        Ok(Some(repeated))
    }

    /// Recursive CCS, whose first iteration is the run's own fit.
    pub(super) fn recursive(
        &self,
        data: &Data<'_>,
        random_accuracy: Option<Interval>,
        seeds_cosine: Option<f64>,
    ) -> Result<Option<RecursiveReport>> {
        if self.settings.recursive == 0 {
            return Ok(None);
        }
        let options = RecursiveOptions { iterations: self.settings.recursive, ..RecursiveOptions::default() };
        let stream = self.stream(Method::Ccs, data.layer);
        let found = recursive(&data.train, &self.settings.ccs, &options, &stream, |_, _| true);
        let Ok(found) = possible(found)? else { return Ok(None) };
        let mut iterations = Vec::with_capacity(found.fits.len());
        for fit in &found.fits {
            let predictions = predict(&fit.probe, &data.test)?;
            iterations.push(RecursiveIteration {
                test: evaluate(&predictions, data.test.labels(), Some(self.resamples))?,
                train_loss: fit.terms,
                test_loss: fit.probe.loss(&data.test)?,
            });
        }
        let stop = match found.stop {
            Stop::Iterations => format!("as many as asked for, {}", self.settings.recursive),
            Stop::Loss => format!("the training loss reached {CONSTANT_GUESS}, that of a constant guess"),
            Stop::Asked => "it was stopped".to_owned(),
            Stop::Dimensions => "no dimension is left".to_owned(),
        };
        Ok(Some(RecursiveReport {
            layer: data.layer.layer,
            iterations,
            random_accuracy,
            constant_guess: CONSTANT_GUESS,
            stop,
            seeds_cosine,
        }))
    }
}

/// The opposite answers.
fn turned(predictions: &Predictions) -> Predictions {
    let threshold = predictions.threshold;
    let scores = predictions.scores.iter().map(|score| 2.0 * threshold - score).collect();
    Predictions { scores, threshold }
}

/// The rows' labels in another order: question by question where all rows of each question have one label, so that
/// these still agree.
fn shuffle_labels(train: &Contrast, stream: &Stream) -> Result<Vec<bool>> {
    let questions = train.rows_by_question();
    let of = |rows: &[usize]| crate::contrast::pick(train.labels(), rows);
    let mut units: Vec<(Vec<usize>, bool)> = Vec::new();
    let mut agree = true;
    for (_, rows) in questions {
        let labels = of(&rows)?;
        let first = labels.first().copied().unwrap_or_default();
        agree &= labels.iter().all(|&label| label == first);
        units.push((rows, first));
    }
    if !agree {
        units = train.labels().iter().enumerate().map(|(row, &label)| (vec![row], label)).collect();
    }
    let mut labels: Vec<bool> = units.iter().map(|unit| unit.1).collect();
    labels.shuffle(&mut stream.rng());
    let mut shuffled = train.labels().to_vec();
    for ((rows, _), label) in units.into_iter().zip(labels) {
        for row in rows {
            if let Some(place) = shuffled.get_mut(row) {
                *place = label;
            }
        }
    }
    Ok(shuffled)
}

/// The mean of |cos| over every two of the directions; `None` for fewer than two.
fn mean_cosine(directions: &[Tensor]) -> Result<Option<f64>> {
    let table = cosines(&Tensor::f_stack(directions, 0)?)?;
    let above: Vec<f64> =
        table.iter().enumerate().flat_map(|(i, row)| row.iter().skip(i + 1).copied()).collect();
    Ok((!above.is_empty()).then(|| above.iter().sum::<f64>() / above.len() as f64))
}

//! The same fit under other seeds.

use ccs::Contrast;
use ccs::baselines::Predictions;
use ccs::methods::Fitted;
use ccs::methods::recursive::cosines;
use ccs::probe::HiddenLayers;
use ccs::probe::Probe;
use ccs::stats::intervals::quantile;
use ccs_report::{Method, Repetitions, SeedCosines};
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::Result;
use crate::control::{RunControl, Work};
use crate::engine::data::LayerData;
use crate::engine::evaluate::predict;
use crate::engine::plan::Plan;
use crate::engine::recipe::{Recipe, possible};

/// Adds how well one repetition's predictions agree with labels.
pub(crate) fn add(repeated: &mut Repetitions, predictions: &Predictions, labels: &[bool]) -> Result<()> {
    let scored = predictions.against(labels)?;
    repeated.accuracies.push(scored.accuracy());
    repeated.aurocs.push(scored.auroc());
    Ok(())
}

/// The fit under other seeds on the same split; none for methods that draw nothing.
pub(crate) fn other_seeds(
    plan: &Plan<'_>,
    recipe: Recipe<'_>,
    data: &LayerData<'_>,
    probe: &Probe,
    control: RunControl<'_>,
) -> Work<Option<Repetitions>> {
    let (method, seeds) = (recipe.method, plan.settings.seeds);
    if seeds == 0 || !recipe.draws_from_seeds()? {
        return Ok(None);
    }
    let stream = plan.stream_of(method, data.layer);
    let mut repeated = Repetitions { layer: data.layer.layer, asked: seeds, ..Repetitions::default() };
    // On one device, wherever a probe was fitted or read from.
    let weight = |probe: &Probe| -> Result<Tensor> {
        Ok(probe.weight().f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?)
    };
    let mut directions = vec![weight(probe)?];
    let tasks = (1..=seeds).map(|seed| Ok((seed, data.train.alias()?))).collect::<Result<Vec<_>>>()?;
    let layer = data.layer.layer;
    let fit = |(seed, train): (usize, Contrast)| -> Work<Option<Fitted>> {
        control.begin(method, layer, &format!("seed {seed} of {seeds}"))?;
        Ok(possible(recipe.fit(&train, &stream.indexed("seed", seed)))?.ok())
    };
    let fits: Vec<Work<Option<Fitted>>> = tasks.into_par_iter().map(fit).collect();
    for fit in fits {
        let Some(fit) = fit? else { continue };
        add(&mut repeated, &predict(&fit.probe, &data.test)?, data.test.labels())?;
        directions.push(weight(&fit.probe)?);
    }
    if method == Method::CCS && matches!(probe.hidden_layers(), HiddenLayers::Linear) {
        repeated.cosines = seed_cosines(cosines(&Tensor::f_stack(&directions, 0)?)?);
    }
    Ok(Some(repeated))
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

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_of_every_two() {
        let row = |a, b, c| vec![a, b, c];
        let found =
            seed_cosines(vec![row(1.0, 0.5, 0.25), row(0.5, 1.0, 0.75), row(0.25, 0.75, 1.0)]).unwrap();
        assert_eq!((found.min, found.median, found.mean, found.max), (0.25, 0.5, 0.5, 0.75));
        assert_eq!(seed_cosines(vec![vec![1.0]]), None);
    }
}

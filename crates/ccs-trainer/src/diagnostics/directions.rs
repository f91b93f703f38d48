//! What finding a direction says at a layer: the share of random directions that rank test rows better than chance, and
//! the spectra of training pairs.

use ccs::Objective;
use ccs::baselines::each_random_direction;
use ccs::chance::{AboveChance, ByChance, SHUFFLES};
use ccs::spectrum::{Spectrum, SpectrumOptions, spectra};
use ccs_report::{Chosen, DirectionsReport, Method, SpectrumReport};
use indexmap::IndexMap;

use crate::Result;
use crate::engine::data::LayerData;
use crate::engine::plan::Plan;
use crate::method::Ask as _;

/// The probability that a direction is counted by chance, that of one end of a 95% interval.
const LEVEL: f64 = 0.025;

/// Methods without labels, each with what it maximizes.
const OBJECTIVES: [(&str, Objective); 3] =
    [("drc", Objective::DRC), ("rrc", Objective::RRC), ("vinc", Objective::VINC)];

/// The method at whose layer directions are looked at: CCS, or else the first that chose a layer.
pub(crate) fn method_of_layer(chosen: &IndexMap<Method, Chosen>) -> Option<Method> {
    let has_layer = |method: &Method| chosen.get(method).is_some_and(|choice| choice.layer.is_some());
    Some(Method::CCS).filter(has_layer).or_else(|| chosen.keys().copied().find(has_layer))
}

/// The layer's random directions, the same as in its table, and its spectra.
pub(crate) fn directions(plan: &Plan<'_>, data: &LayerData<'_>) -> Result<DirectionsReport> {
    let (normalization, count) = (plan.settings.normalization, plan.settings.directions);
    let stream = plan.stream_of(Method::RANDOM, data.layer);
    let shared = plan.stream.child("directions").indexed("layer", data.layer.layer);
    let mut by_chance = ByChance::new(&data.test, SHUFFLES, &shared)?;
    each_random_direction(normalization, &data.train, &data.test, count, &stream, |direction| {
        by_chance.take(&direction.predictions)
    })?;
    let found = by_chance.above(LEVEL)?;
    let options = SpectrumOptions { normalization, ..SpectrumOptions::default() };
    // What these maximize is of the two sides of pairs.
    let spectra = if data.train.is_single() {
        Vec::new()
    } else {
        spectra(&data.train, &OBJECTIVES.map(|(_, objective)| objective), &options, &shared)?
    };
    let spectra = OBJECTIVES.iter().zip(spectra).filter_map(|(&(name, _), of)| spectrum(name, of)).collect();
    let more_than_chance = found.more_than_chance();
    let AboveChance { directions, above, share, threshold, level: expected, high: chance_high } = found;
    let layer = data.layer.layer;
    Ok(DirectionsReport {
        layer,
        directions,
        above,
        share,
        threshold,
        expected,
        chance_high,
        more_than_chance,
        spectra,
    })
}

fn spectrum(name: &str, found: Spectrum) -> Option<SpectrumReport> {
    let method: Method = name.parse().ok()?;
    let Spectrum { eigenvalues, null, standing_out, dimensions, .. } = found;
    Some(SpectrumReport {
        method,
        title: method.title().to_owned(),
        dimensions,
        eigenvalues,
        null_median: null.median,
        null_high: null.high,
        standing_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ccs_decides_the_layer_where_it_has_one() {
        let choice = |layer| Chosen {
            layer,
            rule: String::new(),
            uses_labels: true,
            test: None,
            of_methods: None,
            oracle: None,
        };
        let of = |layers: [(Method, Option<usize>); 2]| {
            method_of_layer(&layers.into_iter().map(|(method, layer)| (method, choice(layer))).collect())
        };
        assert_eq!(of([(Method::LR, Some(1)), (Method::CCS, Some(2))]), Some(Method::CCS));
        assert_eq!(of([(Method::CCS, None), (Method::LR, Some(1))]), Some(Method::LR));
        assert_eq!(of([(Method::CCS, None), (Method::LR, None)]), None);
    }
}

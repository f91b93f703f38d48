//! Random directions above chance, and the spectra of what methods without labels maximize.

use serde::Serialize;

use crate::figures::bars;
use crate::numbers::{decimal, percent, signed_decimal};
use crate::report::{DirectionsReport, Report, SpectrumReport};
use crate::sentences::standing;

/// The section.
#[derive(Debug, Serialize)]
pub(super) struct RandomDirectionsView {
    layer: usize,
    directions: usize,
    above: usize,
    share: String,
    threshold: String,
    expected: String,
    chance_high: String,
    more_than_chance: bool,
    spectra: Vec<SpectrumView>,
    /// Ranks from 1, each with its eigenvalues.
    ranks: Vec<Vec<Option<String>>>,
}

#[derive(Debug, Serialize)]
struct SpectrumView {
    title: String,
    figure: String,
    standing: String,
    dimensions: usize,
    /// Of eigenvalues.
    count: usize,
    null_median: String,
    null_high: String,
}

pub(super) fn random_directions(report: &Report) -> Option<RandomDirectionsView> {
    let found = report.directions.as_ref()?;
    let DirectionsReport { layer, directions, above, more_than_chance, spectra, .. } = found;
    let view = |of: &SpectrumReport| {
        let label = format!("Eigenvalues of {}, and the largest of shuffled pairs", of.title);
        SpectrumView {
            title: of.title.clone(),
            figure: bars::spectrum(of, &label),
            standing: standing(of),
            dimensions: of.dimensions,
            count: of.eigenvalues.len(),
            null_median: signed_decimal(of.null_median),
            null_high: signed_decimal(of.null_high),
        }
    };
    let longest = spectra.iter().map(|of| of.eigenvalues.len()).max().unwrap_or_default();
    let rank =
        |at: usize| spectra.iter().map(|of| of.eigenvalues.get(at).map(|&v| signed_decimal(v))).collect();
    Some(RandomDirectionsView {
        layer: *layer,
        directions: *directions,
        above: *above,
        share: percent(found.share),
        threshold: decimal(found.threshold),
        expected: percent(found.expected),
        chance_high: percent(found.chance_high),
        more_than_chance: *more_than_chance,
        spectra: spectra.iter().map(view).collect(),
        ranks: (0..longest).map(rank).collect(),
    })
}

//! Statements on the plane of their first two principal components, the field's first look at states (Marks and Tegmark 2023),
//! with the directions of probes in it.
//!
//! Statements are both sides of test rows. They are centered a side and template, by means of training rows, as a probe
//! sees them, but not scaled: what fills the picture is what fills the states. The components are those of training
//! statements; labels only turn the axes.

use std::collections::BTreeMap;

use ccs::normalize::{Normalization, Normalizer};
use ccs::probe::Probe;
use ccs::{Contrast, SeedTree, pick};
use ccs_report::{Chosen, Diagnostics, Method, ProjectedDirection, Projection, Projections};
use indexmap::IndexMap;
use rand::seq::SliceRandom as _;
use tch::{Device, Kind, Tensor};

use crate::Result;
use crate::diagnostics::marks::marks;
use crate::diagnostics::plane::Plane;
use crate::engine::data::load;
use crate::engine::outcome::LayerOutcome;
use crate::engine::plan::Plan;
use crate::source::Layer;

/// Training rows that components are taken from, at most: more would not move a picture.
const TRAIN_ROWS: usize = 2000;
/// Test rows of a picture, two points each.
const ROWS: usize = 200;
/// Test rows of a picture in the strip.
const STRIP_ROWS: usize = 100;
/// Layers in the strip, those with a picture of their own included.
const STRIP: usize = 8;

/// What is pictured, and how.
pub(crate) struct Pictures {
    /// The layers, each with its number of test rows.
    pub(crate) layers: BTreeMap<usize, usize>,
    /// Those with a picture of their own.
    main: Vec<usize>,
    /// Methods whose directions are drawn.
    methods: Vec<Method>,
    /// Places among the training rows.
    train: Vec<usize>,
    /// Places among the test rows.
    test: Vec<usize>,
}

impl Pictures {
    /// The chosen layers of CCS and logistic regression, or else of the first two methods that have one, and up to eight
    /// layers from the first to the last.
    pub(crate) fn of(plan: &Plan<'_>, chosen: &IndexMap<Method, Chosen>) -> Self {
        let with_layer: Vec<Method> =
            chosen.iter().filter(|(_, c)| c.layer.is_some()).map(|c| *c.0).collect();
        let first = [plan.source.kind().leading(), Method::LR];
        let known = first.into_iter().filter(|m| with_layer.contains(m));
        let others = with_layer.iter().copied().filter(|m| !first.contains(m));
        let methods: Vec<Method> = known.chain(others).take(2).collect();
        let mut main: Vec<usize> =
            methods.iter().filter_map(|m| chosen.get(m).and_then(|c| c.layer)).collect();
        main.sort_unstable();
        main.dedup();
        let numbers: Vec<usize> = plan.layers.iter().map(|l| l.layer).collect();
        // The strip shows the chosen layers too.
        let strip =
            evenly(numbers.len(), STRIP - main.len()).into_iter().filter_map(|at| numbers.get(at).copied());
        let mut layers: BTreeMap<usize, usize> = strip.map(|layer| (layer, STRIP_ROWS)).collect();
        layers.extend(main.iter().map(|layer| (*layer, ROWS)));
        let stream = plan.stream.child("projection");
        let train = some(plan.split.rows.train.len(), TRAIN_ROWS, &stream.child("train"));
        let test = some(plan.split.rows.test.len(), ROWS, &stream.child("test"));
        // Without a chosen layer there is nothing to look at, and of all tokens no one state to picture.
        let none = main.is_empty() || plan.source.all_tokens().is_some();
        let layers = if none { BTreeMap::new() } else { layers };
        Self { layers, main, methods, train, test }
    }

    /// One layer; none where its states do not vary in two directions.
    pub(crate) fn project(
        &self,
        plan: &Plan<'_>,
        layer: &Layer,
        outcome: &LayerOutcome,
    ) -> Result<Option<Projection>> {
        let data = load(plan, layer)?;
        if data.degenerate {
            return Ok(None);
        }
        let train = data.train.select(&self.train)?;
        let most = self.layers.get(&layer.layer).copied().unwrap_or(STRIP_ROWS);
        let test: Vec<usize> = self.test.iter().copied().take(most).collect();
        let test = data.test.select(&test)?;
        drop(data);
        let stream = plan.stream.child("projection").indexed("layer", layer.layer);
        let Some((plane, normalizer)) = plane(&train, &stream)? else { return Ok(None) };
        let (plus, minus) = normalizer.apply(&test, Kind::Double)?;
        let [plus_x, plus_y] = coordinates(&plus.f_mm(&plane.basis)?)?; // of [N, 2]
        let [minus_x, minus_y] = if test.is_single() {
            [Vec::new(), Vec::new()]
        } else {
            coordinates(&minus.f_mm(&plane.basis)?)?
        };
        let mut directions = Vec::new();
        for method in &self.methods {
            if let Some((_, probe)) = outcome.probes.iter().find(|(m, _)| m == method) {
                directions.extend(direction(*method, probe, &plane)?);
            }
        }
        let explained = plane.explained;
        Ok(Some(Projection { layer: layer.layer, explained, plus_x, plus_y, minus_x, minus_y, directions }))
    }

    /// The pictures of a run; none where no layer could be pictured.
    pub(crate) fn with(
        self,
        plan: &Plan<'_>,
        layers: Vec<Projection>,
        diagnostics: &IndexMap<Method, Diagnostics>,
    ) -> Result<Option<Projections>> {
        let rows = pick(&plan.split.rows.test, &self.test)?;
        let labels = pick(&plan.source.rows().labels, &rows)?;
        let marks = marks(plan, &self.methods, diagnostics, &rows);
        let main = self.main.into_iter().filter(|m| layers.iter().any(|l| l.layer == *m)).collect();
        let train_rows = self.train.len();
        Ok((!layers.is_empty()).then_some(Projections { train_rows, rows, labels, marks, main, layers }))
    }
}

/// Places of at most `most` of `count` items from the first to the last.
fn evenly(count: usize, most: usize) -> Vec<usize> {
    let shown = count.min(most);
    let gaps = shown.saturating_sub(1).max(1);
    (0..shown).map(|place| (2 * place * count.saturating_sub(1) + gaps) / (2 * gaps)).collect()
}

/// At most `most` of so many places, in an order of chance.
pub(crate) fn some(count: usize, most: usize, stream: &SeedTree) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.shuffle(&mut stream.rng());
    places.truncate(most);
    places
}

/// The plane of training statements, and what centers statements.
fn plane(train: &Contrast, stream: &SeedTree) -> Result<Option<(Plane, Normalizer)>> {
    let normalizer = Normalizer::fit_as(Normalization::MeanOnly, train)?;
    let (plus, minus) = normalizer.apply(train, Kind::Double)?;
    let mut truths = train.labels().to_vec();
    let statements = if train.is_single() {
        plus // [N, D]
    } else {
        truths.extend(train.labels().iter().map(|label| !label));
        Tensor::f_cat(&[plus, minus], 0)? // [2N, D]
    };
    match Plane::of(&statements, stream)? {
        Some(plane) => Ok(Some((plane.toward(&statements, &truths)?, normalizer))),
        None => Ok(None),
    }
}

/// The two columns of points \[N, 2\], rounded to a thousandth of the furthest.
fn coordinates(points: &Tensor) -> Result<[Vec<f64>; 2]> {
    let column = |at: i64| -> Result<Vec<f64>> {
        Ok(Vec::try_from(points.f_select(1, at)?.f_to_device(Device::Cpu)?.f_contiguous()?)?)
    };
    Ok(rounded([column(0)?, column(1)?]))
}

/// Coordinates rounded to a thousandth of the furthest.
pub(crate) fn rounded(columns: [Vec<f64>; 2]) -> [Vec<f64>; 2] {
    let most = columns.iter().flatten().fold(0.0f64, |most, v| most.max(v.abs()));
    if most == 0.0 {
        return columns;
    }
    let scale = 10f64.powi(3 - most.log10().floor() as i32);
    columns.map(|values| values.into_iter().map(|v| (v * scale).round() / scale + 0.0).collect())
}

/// The direction along which a linear probe takes statements to become true, on the plane.
fn direction(method: Method, probe: &Probe, plane: &Plane) -> Result<Option<ProjectedDirection>> {
    let Some(found) = probe.affine(None)? else { return Ok(None) };
    // The minus side is read with the opposite sign.
    let both = found.plus.f_sub(&found.minus)?.f_to_device(plane.basis.device())?; // [D]
    let length = both.f_norm()?.f_double_value(&[])?;
    if length == 0.0 || !length.is_finite() {
        return Ok(None);
    }
    let shadow = plane.basis.f_tr()?.f_mv(&both)?.f_div_scalar(length)?; // [2]
    let along = |axis: i64| -> Result<f64> { Ok(shadow.f_double_value(&[axis])?) };
    Ok(Some(ProjectedDirection { method, x: along(0)?, y: along(1)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_goes_from_the_first_layer_to_the_last() {
        assert_eq!(evenly(33, 8), [0, 5, 9, 14, 18, 23, 27, 32]);
        assert_eq!((evenly(3, 8), evenly(1, 8), evenly(0, 8)), (vec![0, 1, 2], vec![0], vec![]));
    }
}

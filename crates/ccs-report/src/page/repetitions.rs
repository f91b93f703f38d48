//! The controls: other seeds, shuffled labels, blank passages, and recursive CCS.

use indexmap::IndexMap;

use serde::Serialize;

use super::bars;
use super::compare::{any_auroc, cells};
use super::dots::{self, Cell, Mark, Panel, Row, Shape};
use super::heat::share_style;
use super::number::{decimal, decimals, percent, percents};
use super::scores::{Figure, Metric, Scores, difference_in_points, difference_of_aurocs};
use super::svg::{TEXT, class, paint};
use crate::Interval;
use crate::Method;
use crate::{Evaluation, RecursiveReport, Repeated, Report};

/// A control that repeats fits.
#[derive(Debug, Serialize)]
pub(super) struct Repetitions {
    rows: Vec<RepeatedRow>,
    figure: Figure,
    /// How many results the bands are to hold at once, where that is taken into account.
    joint: Option<usize>,
    cosines: Vec<CosineView>,
}

/// How alike the directions of different seeds are.
#[derive(Debug, Serialize)]
struct CosineView {
    method: String,
    /// Lowest, median and highest.
    numbers: [String; 3],
    /// Text and style.
    rows: Vec<Vec<(String, String)>>,
}

impl CosineView {
    fn of(report: &Report, method: Method, found: &Repeated) -> Option<Self> {
        let found = found.cosines.as_ref()?;
        let cell = |&v: &f64| (format!("{v:.2}"), share_style(v));
        Some(Self {
            method: report.title(method),
            numbers: [found.min, found.median, found.max].map(decimal),
            rows: found.matrix.iter().map(|row| row.iter().map(cell).collect()).collect(),
        })
    }
}

#[derive(Debug, Serialize)]
struct RepeatedRow {
    method: String,
    class: &'static str,
    layer: usize,
    count: usize,
    /// Lowest, median and highest.
    accuracy: [String; 3],
    auroc: Option<[String; 3]>,
    /// Of random directions at the layer: the central 95 % of accuracy, or what is to hold for all results at once.
    band: Option<String>,
    outside: Option<usize>,
}

/// The lowest, the median and the highest.
fn spread(values: impl Iterator<Item = f64>) -> Option<[f64; 3]> {
    let mut sorted: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.first()?, sorted.last()?);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some([*low, f64::midpoint(*lower, *upper), *high])
}

/// Which random directions fits are held against.
#[derive(Debug, Clone, Copy)]
pub(super) enum Band {
    /// With the sign that the training rows' labels give them.
    Signed,
    /// With either sign, where labels say nothing.
    EitherSign,
}

impl Band {
    fn of(self, [low, high]: Interval) -> Interval {
        match self {
            Self::Signed => [low, high],
            Self::EitherSign => [low.min(1.0 - high), high.max(1.0 - low)],
        }
    }
}

pub(super) fn repetitions(
    report: &Report,
    of: &IndexMap<Method, Repeated>,
    band: Band,
    label: &str,
) -> Option<Repetitions> {
    let rows: Vec<RepeatedRow> = of.iter().filter_map(|(&m, r)| repeated_row(report, m, r, band)).collect();
    let points: Vec<Row> = of
        .iter()
        .filter(|(_, r)| spread(r.accuracies.iter().copied()).is_some())
        .map(|(&m, r)| strip(report, m, r, band))
        .collect();
    let auroc = of.values().any(|r| r.aurocs.iter().any(Option::is_some));
    let figure = dots::figure(&points, &Panel::both(report.majority, auroc), label).into();
    let joint = of.values().find_map(|r| Some(r.band.as_ref()?.results));
    let cosines = of.iter().filter_map(|(&m, r)| CosineView::of(report, m, r)).collect();
    (!rows.is_empty()).then_some(Repetitions { rows, figure, joint, cosines })
}

fn repeated_row(report: &Report, method: Method, found: &Repeated, band: Band) -> Option<RepeatedRow> {
    let (band, outside) = if let Some(own) = &found.band {
        (Some(own.auroc.map_or_else(|| percents(own.accuracy), decimals)), Some(own.outside))
    } else {
        let band = random(report, found.layer).and_then(|r| r.accuracy_ci).map(|ci| band.of(ci));
        let is_outside =
            |[low, high]: Interval| found.accuracies.iter().filter(|a| **a < low || **a > high).count();
        (band.map(percents), band.map(is_outside))
    };
    Some(RepeatedRow {
        method: report.title(method),
        class: class(method),
        layer: found.layer,
        count: found.accuracies.len(),
        accuracy: spread(found.accuracies.iter().copied())?.map(percent),
        auroc: spread(found.aurocs.iter().copied().flatten()).map(|s| s.map(decimal)),
        band,
        outside,
    })
}

fn random(report: &Report, layer: usize) -> Option<&Evaluation> {
    report.layer(layer)?.methods.get(&Method::RANDOM).map(|found| &found.test)
}

/// A point for each repetition and a line for their median, before the band of random directions.
fn strip(report: &Report, method: Method, found: &Repeated, of: Band) -> Row {
    let bands = match (&found.band, random(report, found.layer)) {
        (Some(own), _) => [Some(own.accuracy), own.auroc],
        (None, Some(all)) => [all.accuracy_ci, all.auroc_ci].map(|ci| ci.map(|ci| of.of(ci))),
        (None, None) => [None, None],
    };
    let cell = |values: Vec<f64>, band: Option<Interval>| {
        let mark = |value, shape, paint| Mark { value, ci: None, shape, paint };
        let median = spread(values.iter().copied()).map(|[_, median, _]| mark(median, Shape::Bar, TEXT));
        let each = values.into_iter().map(|v| mark(v, Shape::Faint, paint(method)));
        Cell { band, marks: each.chain(median).collect() }
    };
    let aurocs = found.aurocs.iter().copied().flatten().collect();
    Row {
        label: report.title(method),
        detail: format!("layer {}", found.layer),
        cells: vec![cell(found.accuracies.clone(), bands[0]), cell(aurocs, bands[1])],
    }
}

/// With the passage and without.
#[derive(Debug, Serialize)]
pub(super) struct Blank {
    rows: Vec<BlankRow>,
    figure: Figure,
}

#[derive(Debug, Serialize)]
struct BlankRow {
    method: String,
    class: &'static str,
    with: Option<Scores>,
    without: Scores,
    change: Option<Change>,
}

/// Paired, on the rows of both.
#[derive(Debug, Serialize)]
struct Change {
    /// In points.
    accuracy: Metric,
    auroc: Option<Metric>,
}

pub(super) fn blank(report: &Report) -> Option<Blank> {
    let of = report.blank.as_ref().filter(|b| !b.is_empty())?;
    let row = |(&method, found): (&Method, &crate::Blank)| BlankRow {
        method: report.title(method),
        class: class(method),
        with: found.with.as_ref().map(Scores::new),
        without: Scores::new(&found.without),
        change: found
            .change
            .as_ref()
            .map(|d| Change { accuracy: difference_in_points(d), auroc: difference_of_aurocs(d) }),
    };
    let figure_row = |(&method, found): (&Method, &crate::Blank)| {
        let with = found.with.as_ref().map(|with| (with, Shape::Full));
        let tests: Vec<_> = with.into_iter().chain([(&found.without, Shape::Hollow)]).collect();
        Row { label: report.title(method), detail: String::new(), cells: cells(method, &tests) }
    };
    let rows: Vec<Row> = of.iter().map(figure_row).collect();
    let panels = Panel::both(report.majority, any_auroc(of.values().map(|found| &found.without)));
    let figure = dots::figure(&rows, &panels, "With the passage and with a blank one").into();
    Some(Blank { rows: of.iter().map(row).collect(), figure })
}

/// Recursive CCS.
#[derive(Debug, Serialize)]
pub(super) struct Recursive {
    layer: usize,
    accuracy: String,
    loss: String,
    rows: Vec<RecursiveRow>,
    /// Iterations whose interval, or else whose accuracy, lies above the band of random directions.
    above: Option<usize>,
    band: Option<String>,
    guess: String,
    below_guess: usize,
    stop: String,
    cosine: Option<String>,
    untrained: Option<UntrainedView>,
}

/// Directions that nothing was fitted to.
#[derive(Debug, Serialize)]
struct UntrainedView {
    directions: usize,
    /// Mean and two standard deviations of the test loss.
    loss: [String; 2],
    accuracy: [String; 2],
    /// Iterations whose test loss lies below.
    below: usize,
}

#[derive(Debug, Serialize)]
struct RecursiveRow {
    scores: Scores,
    /// Consistency, confidence and their sum.
    train: [String; 3],
    test: [String; 3],
}

pub(super) fn terms(terms: &crate::Terms) -> [String; 3] {
    [terms.consistency, terms.confidence, terms.total()].map(decimal)
}

pub(super) fn recursive(report: &Report) -> Option<Recursive> {
    let found: &RecursiveReport = report.recursive.as_ref().filter(|r| !r.iterations.is_empty())?;
    let above = |[_, high]: Interval| {
        let low = |t: &Evaluation| t.accuracy_ci.map_or(t.accuracy, |ci| ci[0]);
        found.iterations.iter().filter(|i| low(&i.test) > high).count()
    };
    Some(Recursive {
        layer: found.layer,
        accuracy: bars::recursive_accuracy(
            found,
            report.majority,
            "Recursive CCS: test accuracy by iteration",
        ),
        loss: bars::recursive_loss(found, "Recursive CCS: loss by iteration"),
        rows: found
            .iterations
            .iter()
            .map(|i| RecursiveRow {
                scores: Scores::new(&i.test),
                train: terms(&i.train_loss),
                test: terms(&i.test_loss),
            })
            .collect(),
        above: found.random_accuracy.map(above),
        band: found.random_accuracy.map(percents),
        guess: format!("{:.2}", found.constant_guess),
        below_guess: found.iterations.iter().filter(|i| i.test_loss.total() < found.constant_guess).count(),
        stop: found.stop.trim_end_matches('.').to_owned(),
        cosine: found.seeds_cosine.map(decimal),
        untrained: found.untrained.as_ref().map(|untrained| UntrainedView {
            directions: untrained.directions,
            loss: [untrained.loss.mean, 2.0 * untrained.loss.sd].map(decimal),
            accuracy: [untrained.accuracy.mean, 2.0 * untrained.accuracy.sd].map(percent),
            below: found
                .iterations
                .iter()
                .filter(|i| i.test_loss.total() < untrained.loss.two_sd()[0])
                .count(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp, reason = "these values are exact")]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(spread([4.0, 1.0, 2.0, 8.0].into_iter()), Some([1.0, 3.0, 8.0]));
        assert_eq!(spread([4.0, f64::NAN, 1.0, 2.0].into_iter()), Some([1.0, 2.0, 4.0]));
        assert_eq!(spread([].into_iter()), None);
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "these values are exact")]
    fn a_band_of_either_sign_is_its_own_mirror_image() {
        assert_eq!(Band::EitherSign.of([0.5, 0.75]), [0.25, 0.75]);
        assert_eq!(Band::EitherSign.of([0.125, 0.75]), [0.125, 0.875]);
        assert_eq!(Band::Signed.of([0.5, 0.75]), [0.5, 0.75]);
    }
}

//! What the template is given: the report's numbers, as text and in the page's order.

use serde::Serialize;
use serde_json::Value;

use super::closer::{self, Sureness, Templates};
use super::compare::{self, Choices, ConfusionView, Directions, KeyNumber};
use super::controls::{self, Band, Blank, Recursive, Repetitions};
use super::heat::{self, LayerHeat, TransferView};
use super::layers::{self, Column, LayerView, LossView, Marks};
use super::number::percent;
use super::plot::{self, Quantity};
use super::scores::{self, ComparisonView, Figure, Parted};
use crate::Report;
use crate::sentences::{Finding, Verdict};
use crate::{Method, Result};

/// The page.
#[derive(Debug, Serialize)]
pub(super) struct View {
    program: String,
    identity: Vec<String>,
    notes: Vec<String>,
    /// What the run itself says of its data, such as too few test groups.
    run_notes: Vec<String>,
    verdicts: Parted<VerdictView>,
    key_numbers: Vec<KeyNumber>,
    forest: Option<Figure>,
    plots: [(&'static str, Figure); 2],
    confusions: Parted<ConfusionView>,
    sureness: Parted<Sureness>,
    templates: Parted<Templates>,
    seeds: Option<Repetitions>,
    shuffled: Option<Repetitions>,
    blank: Option<Blank>,
    recursive: Option<Recursive>,
    transfers: Parted<TransferView>,
    /// Methods with a column pair each in the table of layers.
    columns: Vec<Column>,
    layers: Vec<LayerView>,
    heats: Vec<LayerHeat>,
    /// D, where it is the same for every layer.
    dim: Option<usize>,
    marks: Marks,
    /// Of CCS at its chosen layer.
    loss: Option<LossView>,
    losses: Vec<LossView>,
    comparisons: Parted<ComparisonView>,
    directions_found: Vec<Directions>,
    all_differences: Vec<ComparisonView>,
    choices: Choices,
    /// The sign and the start of CCS beside the oracle's.
    within: Option<String>,
    /// What Platt scaling was fitted on.
    calibrated: Option<String>,
    sides: Sides,
    majority: String,
    redrawn: usize,
    resamples: usize,
    directions: usize,
    folds: usize,
    split: String,
    settings: Vec<(String, String)>,
    data: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
struct VerdictView {
    text: String,
    /// `good`, `plain` or `caution`.
    tone: &'static str,
}

/// Rows, groups and rows labelled true: training, test.
#[derive(Debug, Serialize)]
struct Sides {
    rows: [usize; 2],
    groups: [usize; 2],
    positives: [usize; 2],
}

impl View {
    pub(super) fn new(report: &Report) -> Result<Self> {
        let settings =
            serde_json::to_value(&report.settings).map_err(|e| super::failed("report.html", &e))?;
        let ccs_layer = report.chosen_layer(Method::CCS);
        let columns = layers::columns(report);
        let verdict = |v: &Verdict| VerdictView { text: unbroken(&v.text), tone: tone(v.finding) };
        Ok(Self {
            program: report.program.clone(),
            identity: report.about.clone(),
            notes: report.data_notes.clone(),
            run_notes: report.notes.clone(),
            verdicts: Parted::new(report.verdicts.iter().map(|v| (v.method, verdict(v)))),
            key_numbers: compare::key_numbers(report),
            forest: compare::forest(report),
            plots: [by_layer(report, Quantity::Accuracy)?, by_layer(report, Quantity::Auroc)?],
            confusions: compare::confusions(report),
            sureness: closer::sureness(report),
            templates: closer::templates(report),
            seeds: controls::repetitions(
                report,
                &report.seeds,
                Band::Signed,
                "Accuracy and AUROC under other seeds",
            ),
            shuffled: controls::repetitions(
                report,
                &report.shuffled,
                Band::EitherSign,
                "Accuracy and AUROC with shuffled labels",
            ),
            blank: controls::blank(report),
            recursive: controls::recursive(report),
            within: report.within_layer.as_ref().map(crate::WithinLayer::sentence),
            transfers: heat::transfers(report),
            layers: report.layers.iter().map(|l| layers::layer_view(report, l, &columns)).collect(),
            heats: heat::layers(report, &columns),
            columns: columns.into_iter().map(|m| Column::new(report, m)).collect(),
            dim: report
                .layers
                .first()
                .map(|l| l.dim)
                .filter(|dim| report.layers.iter().all(|l| l.dim == *dim)),
            marks: Marks::new(report),
            loss: ccs_layer.and_then(|layer| layers::loss(report.layer(layer)?)),
            losses: report.layers.iter().filter_map(layers::loss).collect(),
            comparisons: scores::comparisons(report),
            directions_found: compare::directions(report),
            all_differences: scores::at_every_layer(report),
            choices: Choices::new(report),
            calibrated: scores::calibrated(report),
            sides: Sides {
                rows: [report.rows.train, report.rows.test],
                groups: [report.groups.train, report.groups.test],
                positives: [report.positives.train, report.positives.test],
            },
            majority: percent(report.majority),
            redrawn: report.redrawn_resamples,
            resamples: report.settings.resamples,
            directions: report.settings.directions,
            folds: report.settings.folds,
            split: report.split.clone(),
            settings: flat(&settings),
            data: flat(&report.data),
        })
    }
}

fn by_layer(report: &Report, quantity: Quantity) -> Result<(&'static str, Figure)> {
    let wide = plot::inline(report, quantity, plot::WIDE)?;
    let narrow = plot::inline(report, quantity, plot::NARROW)?;
    Ok((quantity.title(), Figure { wide, narrow }))
}

/// With no line break between a number and its sign of per cent.
fn unbroken(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

fn tone(finding: Finding) -> &'static str {
    match finding {
        Finding::AboveChance | Finding::BetterThanRandom | Finding::BetterThanZeroShot => "good",
        // Two probes at chance are not told apart either.
        Finding::RanksOnly | Finding::BelowSupervised | Finding::ReachesSupervised => "plain",
        _ => "caution",
    }
}

/// The leaves of a JSON document with their paths; lists of plain values on one line.
fn flat(value: &Value) -> Vec<(String, String)> {
    fn walk(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| walk(&below(name), value, found)),
            Value::Array(items) if items.is_empty() => found.push((path.to_owned(), "none".to_owned())),
            Value::Array(items) if items.iter().any(|v| v.is_object() || v.is_array()) => {
                items.iter().enumerate().for_each(|(i, value)| walk(&below(&i.to_string()), value, found));
            }
            Value::Array(items) => {
                found.push((path.to_owned(), items.iter().map(plain).collect::<Vec<_>>().join(", ")));
            }
            value => found.push((path.to_owned(), plain(value))),
        }
    }
    let mut found = Vec::new();
    walk("", value, &mut found);
    found
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "not set".to_owned(),
        value => value.to_string(),
    }
}

//! What the template is given: the report's numbers as text, in the page's order.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use super::blank::{self, BlankView};
use super::calibration::{self, CalibrationView};
use super::choices::Choices;
use super::differences::{self, ComparisonView};
use super::directions::{self, Directions};
use super::examples::{self, ExamplesView};
use super::layers::{self, Column, LayerHeat, LayerView, Marks};
use super::loss::{self, LossView};
use super::methods::{self, ConfusionView, KeyNumber};
use super::own_answers::{self, OwnAnswersView};
use super::polarity::{self, PolarityView};
use super::projections::{self, ProjectionsView};
use super::random_directions::{self, RandomDirectionsView};
use super::recursive::{self, RecursiveView};
use super::repetitions::{self, RepetitionsView};
use super::scores::Parted;
use super::several_layers::{self, SeveralLayersView};
use super::strata::{self, ColumnsView};
use super::templates::{self, Templates};
use super::token_places::{self, TokenPlacesView};
use super::transfer::{self, TransferView};
use crate::error::{Error, Result};
use crate::figures::palette::{Theme, declarations};
use crate::figures::{Figure, Quantity, by_layer};
use crate::method::Method;
use crate::numbers::percent;
use crate::report::{Finding, RecordedSettings, Repetitions, Report, Side, Verdict};
use crate::sentences::reading;

/// The page.
#[derive(Debug, Serialize)]
pub(super) struct View {
    script: &'static str,
    /// Whether rows are single statements.
    statements: bool,
    program: String,
    colors: Colors,
    about: Vec<String>,
    /// From the makers of the data.
    data_notes: Vec<String>,
    /// Caveats about the run.
    notes: Vec<String>,
    reading: Vec<String>,
    verdicts: Parted<VerdictView>,
    key_numbers: Vec<KeyNumber>,
    /// What the last column of these is compared with.
    second: String,
    forest: Option<Figure>,
    /// With their titles.
    by_layer: [(&'static str, Figure); 2],
    confusions: Parted<ConfusionView>,
    calibrations: Parted<CalibrationView>,
    templates: Parted<Templates>,
    strata: Parted<ColumnsView>,
    token_places: Vec<TokenPlacesView>,
    /// Whether probes read all tokens.
    of_tokens: bool,
    polarity: Option<PolarityView>,
    seeds: Option<RepetitionsView>,
    shuffled: Option<RepetitionsView>,
    random_directions: Option<RandomDirectionsView>,
    several_layers: Vec<SeveralLayersView>,
    own_answers: Option<OwnAnswersView>,
    blank: Option<BlankView>,
    recursive: Option<RecursiveView>,
    transfers: Parted<TransferView>,
    examples: Option<ExamplesView>,
    projections: Option<ProjectionsView>,
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
    directions: Vec<Directions>,
    all_differences: Vec<ComparisonView>,
    choices: Choices,
    sides: Sides,
    majority: String,
    groups_of_rarer_label: usize,
    run: RecordedSettings,
    split: String,
    /// Every setting by its path.
    settings: Vec<(String, String)>,
    data: Vec<(String, String)>,
}

/// Declarations of the palette's CSS variables.
#[derive(Debug, Serialize)]
struct Colors {
    light: String,
    dark: String,
}

/// A verdict and its color.
#[derive(Debug, Serialize)]
struct VerdictView {
    text: String,
    /// `good`, `plain` or `caution`.
    tone: &'static str,
}

/// Rows, groups and rows labeled true: training, test.
#[derive(Debug, Serialize)]
struct Sides {
    rows: [usize; 2],
    groups: [usize; 2],
    positives: [usize; 2],
}

impl Sides {
    fn new(report: &Report) -> Self {
        let pair = |side: &Side<usize>| [side.train, side.test];
        Self { rows: pair(&report.rows), groups: pair(&report.groups), positives: pair(&report.positives) }
    }
}

impl View {
    pub(super) fn new(report: &Report) -> Result<Self> {
        let settings = serde_json::to_value(&report.settings)
            .map_err(|e| Error::Write { what: "report.html", reason: e.to_string() })?;
        let columns = layers::columns(report);
        let of_chosen = report.chosen_layer(Method::CCS).and_then(|layer| report.layer(layer));
        Ok(Self {
            script: include_str!("page.js"),
            statements: !report.row_kind.is_pairs(),
            program: report.program.clone(),
            colors: Colors { light: declarations(Theme::Light), dark: declarations(Theme::Dark) },
            about: report.about.clone(),
            data_notes: report.data_notes.clone(),
            notes: report.notes.clone(),
            reading: reading(report),
            verdicts: verdicts(report),
            key_numbers: methods::key_numbers(report),
            second: second(report),
            forest: methods::forest(report),
            by_layer: [Quantity::Accuracy, Quantity::Auroc]
                .map(|quantity| (quantity.title(), by_layer::figure(report, quantity))),
            confusions: methods::confusions(report),
            calibrations: calibration::calibrations(report),
            templates: templates::templates(report),
            strata: strata::columns(report),
            token_places: token_places::token_places(report),
            of_tokens: report.reads_all_tokens(),
            polarity: polarity::polarity(report),
            seeds: repeated(report, &report.seeds, "with other seeds"),
            shuffled: repeated(report, &report.shuffled, "with shuffled labels"),
            random_directions: random_directions::random_directions(report),
            several_layers: several_layers::several_layers(report),
            own_answers: own_answers::own_answers(report),
            blank: blank::blank(report),
            recursive: recursive::recursive(report),
            transfers: transfer::transfers(report),
            examples: examples::examples(report),
            projections: projections::projections(report),
            layers: report.layers.iter().map(|l| layers::layer_view(report, l, &columns)).collect(),
            heats: layers::heats(report, &columns),
            columns: columns.into_iter().map(|m| Column::new(report, m)).collect(),
            dim: dim(report),
            marks: Marks::new(report),
            loss: of_chosen.and_then(loss::loss),
            losses: report.layers.iter().filter_map(loss::loss).collect(),
            comparisons: differences::comparisons(report),
            directions: directions::directions(report),
            all_differences: differences::at_every_layer(report),
            choices: Choices::new(report),
            sides: Sides::new(report),
            majority: percent(report.majority),
            groups_of_rarer_label: report.groups_of_rarer_label,
            run: report.settings.clone(),
            split: report.split.clone(),
            settings: flat(&settings),
            data: flat(&report.data),
        })
    }
}

fn repeated(
    report: &Report,
    found: &IndexMap<Method, Repetitions>,
    how: &'static str,
) -> Option<RepetitionsView> {
    repetitions::repetitions(report, found, &format!("Accuracy and AUROC {how}"))
}

/// Those about methods in two parts; what is about the layer ends the first.
fn verdicts(report: &Report) -> Parted<VerdictView> {
    let view = |v: &Verdict| VerdictView { text: v.text.clone(), tone: tone(v.finding) };
    let about_directions = |v: &&Verdict| v.finding.is_about_directions();
    let of_methods = report.verdicts.iter().filter(|v| !about_directions(v));
    let mut parted = Parted::new(of_methods.map(|v| (v.method, view(v))));
    parted.first.extend(report.verdicts.iter().filter(about_directions).map(view));
    parted
}

/// What methods are compared with, in the table of key numbers.
fn second(report: &Report) -> String {
    if report.reads_all_tokens() { "the mean token" } else { "logistic regression" }.to_owned()
}

/// The dimension of the states, where all layers have the same.
fn dim(report: &Report) -> Option<usize> {
    let first = report.layers.first()?.dim;
    report.layers.iter().all(|l| l.dim == first).then_some(first)
}

fn tone(finding: Finding) -> &'static str {
    match finding {
        Finding::AboveChance
        | Finding::BetterThanRandom
        | Finding::BetterThanZeroShot
        | Finding::PlaceLearned => "good",
        Finding::BelowSupervised
        | Finding::NearSupervised
        | Finding::AboveSupervised
        | Finding::ReadsPassages
        | Finding::PassagesNotShown
        | Finding::FewDirections
        | Finding::NoDirectionsShown => "plain",
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

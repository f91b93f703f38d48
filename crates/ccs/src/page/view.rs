//! What the template is given: the report's numbers, as text and in the page's order.

use serde::Serialize;
use serde_json::Value;

use super::number::{decimal, decimals, difference, interval, percent, percents, points};
use super::plot::{self, Quantity};
use crate::metrics::Confusion;
use crate::probe::Sign;
use crate::run::{Chosen, Difference, Evaluation, Finding, LayerReport, LossReport, Report};
use crate::{Method, Result};

/// The page.
#[derive(Debug, Serialize)]
pub(super) struct View {
    program: String,
    identity: Vec<String>,
    notes: Vec<String>,
    /// What the run itself says of its data, such as too few test groups.
    run_notes: Vec<String>,
    verdicts: Vec<VerdictView>,
    key_numbers: Vec<KeyNumber>,
    plots: [Figure; 2],
    confusions: Vec<ConfusionView>,
    /// Methods with a column pair each in the table of layers.
    columns: Vec<Column>,
    layers: Vec<LayerView>,
    /// D, where it is the same for every layer.
    dim: Option<usize>,
    marks: Marks,
    /// Of CCS at its chosen layer.
    loss: Option<LossView>,
    losses: Vec<LossView>,
    restarts: usize,
    differences: Vec<DifferenceView>,
    all_differences: Vec<DifferenceView>,
    choices: Vec<Choice>,
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

/// A metric with its interval.
#[derive(Debug, Serialize)]
struct Metric {
    value: String,
    ci: Option<String>,
}

#[derive(Debug, Serialize)]
struct Scores {
    accuracy: Metric,
    auroc: Option<Metric>,
}

#[derive(Debug, Serialize)]
struct KeyNumber {
    method: &'static str,
    class: &'static str,
    layer: Option<usize>,
    scores: Scores,
    note: Option<String>,
}

/// A plot, once for each width of page.
#[derive(Debug, Serialize)]
struct Figure {
    title: &'static str,
    wide: String,
    narrow: String,
}

impl Figure {
    fn new(report: &Report, quantity: Quantity) -> Result<Self> {
        Ok(Self {
            title: quantity.title(),
            wide: plot::inline(report, quantity, plot::WIDE)?,
            narrow: plot::inline(report, quantity, plot::NARROW)?,
        })
    }
}

#[derive(Debug, Serialize)]
struct ConfusionView {
    method: &'static str,
    layer: usize,
    counts: Confusion,
    /// Rows labelled true, labelled false, judged true, judged false.
    sums: [usize; 4],
    inverted: bool,
}

#[derive(Debug, Serialize)]
struct Column {
    title: &'static str,
    class: &'static str,
}

#[derive(Debug, Serialize)]
struct LayerView {
    layer: usize,
    hook: String,
    dim: usize,
    degenerate: bool,
    underdetermined: bool,
    cells: Vec<Option<Cell>>,
}

#[derive(Debug, Serialize)]
struct Cell {
    scores: Scores,
    chosen: bool,
}

/// Whether any layer carries a mark, and what was said of the first that does.
#[derive(Debug, Default, Serialize)]
struct Marks {
    degenerate: Option<String>,
    underdetermined: Option<String>,
}

#[derive(Debug, Serialize)]
struct LossView {
    layer: usize,
    /// Consistency, confidence and their sum.
    train: [String; 3],
    test: [String; 3],
    /// Counted from 1.
    kept: usize,
    starts: usize,
    /// Lowest, median and highest final training loss.
    spread: [String; 3],
}

#[derive(Debug, Serialize)]
struct DifferenceView {
    text: String,
    layer: usize,
    accuracy: Metric,
    auroc: Option<Metric>,
}

#[derive(Debug, Serialize)]
struct Choice {
    method: &'static str,
    layer: Option<usize>,
    rule: String,
    uses_labels: bool,
    cross_validation: Option<String>,
    oracle: Option<OracleView>,
}

#[derive(Debug, Serialize)]
struct OracleView {
    layer: usize,
    accuracy: String,
    gap: String,
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
        let marked = |marked: fn(&LayerReport) -> bool| {
            report
                .layers
                .iter()
                .find(|l| marked(l))
                .map(|l| format!("layer {}: {}", l.layer, l.notes.join("; ")))
        };
        let ccs_layer = report.chosen.get(&Method::Ccs).and_then(|c| c.layer);
        let columns: Vec<Method> = Method::ALL
            .into_iter()
            .filter(|m| has_layers(*m) && report.layers.iter().any(|l| l.methods.contains_key(m)))
            .collect();
        Ok(Self {
            program: report.program.clone(),
            identity: identity(report),
            notes: notes(&report.data),
            run_notes: report.notes.clone(),
            verdicts: report
                .verdicts
                .iter()
                .map(|v| VerdictView { text: unbroken(&v.text), tone: tone(v.finding) })
                .collect(),
            key_numbers: key_numbers(report),
            plots: [Figure::new(report, Quantity::Accuracy)?, Figure::new(report, Quantity::Auroc)?],
            confusions: report.chosen.keys().filter_map(|&m| confusion(report, m)).collect(),
            columns: columns.iter().map(|&m| Column { title: m.title(), class: class(m) }).collect(),
            layers: report.layers.iter().map(|l| layer_view(report, l, &columns)).collect(),
            dim: report
                .layers
                .first()
                .map(|l| l.dim)
                .filter(|dim| report.layers.iter().all(|l| l.dim == *dim)),
            marks: Marks {
                degenerate: marked(|l| l.degenerate),
                underdetermined: marked(|l| l.underdetermined && !l.degenerate),
            },
            loss: ccs_layer.and_then(|layer| loss(find(report, layer)?)),
            losses: report.layers.iter().filter_map(loss).collect(),
            restarts: report.settings.ccs.restarts,
            differences: differences(report),
            all_differences: report.layers.iter().flat_map(|l| &l.differences).map(difference_view).collect(),
            choices: report.chosen.iter().map(|(&m, c)| choice(report, m, c)).collect(),
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

/// Whether there is a number for each layer; the others are among the key numbers.
fn has_layers(method: Method) -> bool {
    method.is_probe() || method == Method::Random
}

fn find(report: &Report, layer: usize) -> Option<&LayerReport> {
    report.layers.iter().find(|l| l.layer == layer)
}

/// The style class of a method's colour.
fn class(method: Method) -> &'static str {
    match method {
        Method::Ccs => "ccs",
        Method::Lr => "lr",
        Method::Random => "random",
        Method::ZeroShot => "zero-shot",
        Method::Majority => "majority",
        _ => "other",
    }
}

/// With no line break between a number and its sign of per cent.
fn unbroken(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

fn tone(finding: Finding) -> &'static str {
    match finding {
        Finding::AboveChance | Finding::BetterThanRandom => "good",
        // Two probes at chance are not told apart either.
        Finding::RanksOnly | Finding::BelowSupervised | Finding::ReachesSupervised => "plain",
        Finding::AtChance
        | Finding::BelowChance
        | Finding::TooFewGroups
        | Finding::NeitherFinds
        | Finding::NothingToFit
        | Finding::NoBetterThanRandom
        | Finding::Underdetermined => "caution",
    }
}

fn scores(test: &Evaluation) -> Scores {
    Scores {
        accuracy: Metric { value: percent(test.accuracy), ci: test.accuracy_ci.map(percents) },
        auroc: test.auroc.map(|v| Metric { value: decimal(v), ci: test.auroc_ci.map(decimals) }),
    }
}

/// Probes at their chosen layers, random directions at CCS's, and what is the same everywhere.
fn key_numbers(report: &Report) -> Vec<KeyNumber> {
    let chosen = |method: Method| report.chosen.get(&method).and_then(|c| c.layer);
    let first = || report.layers.first().map(|l| l.layer);
    let number = |method: Method| {
        let (at, shown) = match method {
            _ if method.is_probe() => (chosen(method)?, true),
            Method::Random => (chosen(Method::Ccs).or_else(|| chosen(Method::Lr)).or_else(first)?, true),
            _ => (first()?, false),
        };
        let found = find(report, at)?.methods.get(&method)?;
        Some(KeyNumber {
            method: method.title(),
            class: class(method),
            layer: shown.then_some(at),
            scores: scores(&found.test),
            note: found.note.clone(),
        })
    };
    Method::ALL.into_iter().filter_map(number).collect()
}

fn confusion(report: &Report, method: Method) -> Option<ConfusionView> {
    let layer = report.chosen.get(&method)?.layer?;
    let found = find(report, layer)?.methods.get(&method)?;
    let counts = found.test.confusion?;
    let Confusion { true_positive: tp, false_positive: fp, true_negative: tn, false_negative: false_n } =
        counts;
    Some(ConfusionView {
        method: method.title(),
        layer,
        counts,
        sums: [tp + false_n, fp + tn, tp + fp, false_n + tn],
        inverted: found.sign == Some(Sign::Minus),
    })
}

fn layer_view(report: &Report, layer: &LayerReport, columns: &[Method]) -> LayerView {
    let cell = |method: &Method| {
        let found = layer.methods.get(method)?;
        let chosen = report.chosen.get(method).is_some_and(|c| c.layer == Some(layer.layer));
        Some(Cell { scores: scores(&found.test), chosen })
    };
    LayerView {
        layer: layer.layer,
        hook: layer.hook.clone(),
        dim: layer.dim,
        degenerate: layer.degenerate,
        underdetermined: layer.underdetermined && !layer.degenerate,
        cells: columns.iter().map(cell).collect(),
    }
}

fn loss(layer: &LayerReport) -> Option<LossView> {
    let LossReport { train, test, restart, restarts } = layer.methods.get(&Method::Ccs)?.loss.as_ref()?;
    let three =
        |terms: &crate::loss::Terms| [terms.consistency, terms.confidence, terms.total()].map(decimal);
    let mut sorted: Vec<f64> = restarts.iter().copied().flatten().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().map_or_else(String::new, decimal);
    Some(LossView {
        layer: layer.layer,
        train: three(train),
        test: three(test),
        kept: restart + 1,
        starts: restarts.len(),
        spread: [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))],
    })
}

/// The choices against each other, then each against what else there is at its layer.
fn differences(report: &Report) -> Vec<DifferenceView> {
    let at_choice = |method: &Method| {
        let layer = report.chosen.get(method).and_then(|c| c.layer);
        let there = layer.and_then(|l| find(report, l)).map(|l| l.differences.as_slice()).unwrap_or_default();
        there.iter().filter(|d| d.first == *method && Some(*d) != report.chosen_difference.as_ref()).collect()
    };
    let others = [Method::Ccs, Method::Lr].iter().flat_map(|m| -> Vec<&Difference> { at_choice(m) });
    report.chosen_difference.iter().chain(others).map(difference_view).collect()
}

fn difference_view(d: &Difference) -> DifferenceView {
    let side = |method: Method, layer: usize| match method {
        Method::Random => "random directions".to_owned(),
        Method::Lr => format!("LR (layer {layer})"),
        Method::Ccs => format!("CCS (layer {layer})"),
        _ => method.title().to_lowercase(),
    };
    DifferenceView {
        text: format!("{} \u{2212} {}", side(d.first, d.first_layer), side(d.second, d.second_layer)),
        layer: d.first_layer,
        accuracy: Metric {
            value: points(d.accuracy.value),
            ci: d.accuracy.ci.map(|ci| interval(ci, points)),
        },
        auroc: d
            .auroc
            .map(|e| Metric { value: difference(e.value), ci: e.ci.map(|ci| interval(ci, difference)) }),
    }
}

fn choice(report: &Report, method: Method, chosen: &Chosen) -> Choice {
    let cross_validation = chosen
        .layer
        .and_then(|l| find(report, l)?.methods.get(&method)?.cross_validation)
        .map(|cv| percent(cv.accuracy));
    Choice {
        method: method.title(),
        layer: chosen.layer,
        rule: chosen.rule.clone(),
        uses_labels: chosen.uses_labels,
        cross_validation,
        oracle: chosen.oracle.map(|o| OracleView {
            layer: o.layer,
            accuracy: percent(o.accuracy),
            gap: format!("{:.1}", 100.0 * o.gap),
        }),
    }
}

/// What the data is, in a few words; sources say it in their own way, so all of it is optional.
fn identity(report: &Report) -> Vec<String> {
    let data = &report.data;
    let text = |pointer: &str| data.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let number = |pointer: &str| data.pointer(pointer).and_then(Value::as_u64);
    let either = |pointers: [&str; 2]| pointers.into_iter().find_map(text);
    let short = |hash: String| hash.chars().take(12).collect::<String>();
    let size = number("/made_by/model/config/n_layers")
        .zip(number("/made_by/model/config/dim"))
        .map(|(layers, dim)| format!("{layers} blocks of width {dim}"));
    let model = either(["/made_by/model/name", "/model"])
        .map(|name| format!("model {name}"))
        .or_else(|| text("/made_by/model/layout").map(|layout| format!("checkpoint {layout}")));
    [
        either(["/dataset", "/made_by/dataset"]).map(|name| format!("dataset {name}")),
        model,
        size,
        report.states().map(|states| format!("states {states}")),
        text("/made_by/model/identity").map(|hash| format!("model hash {}", short(hash))),
        text("/fingerprint").map(|hash| format!("store {}", short(hash))),
        number("/rows").map(|rows| format!("{rows} pairs")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every text called `note` in the data's identity.
fn notes(data: &Value) -> Vec<String> {
    flat(data)
        .into_iter()
        .filter(|(name, _)| name.rsplit('.').next().is_some_and(|last| last == "note" || last == "notes"))
        .map(|(_, text)| text)
        .collect()
}

/// The leaves of a JSON document with their paths; lists of plain values on one line.
fn flat(value: &Value) -> Vec<(String, String)> {
    fn walk(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| walk(&below(name), value, found)),
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

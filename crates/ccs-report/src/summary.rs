//! A report as text: the layer table and the verdicts, for terminals.

use indexmap::IndexMap;

use crate::method::Method;
use crate::numbers::low_median_high;
use crate::report::{Chosen, Evaluation, LayerReport, Repetitions, Report, WithinLayer, ZeroShot};

impl Report {
    /// One line per layer, with the chosen layers marked; one line per method; and the verdicts.
    pub fn summary(&self) -> String {
        let mut lines = by_layer(self);
        lines.extend(failures(self));
        lines.push(String::new());
        lines.extend(by_method(self));
        lines.push(String::new());
        lines.extend(about_the_run(self));
        lines.push(String::new());
        lines.extend(self.verdicts.iter().map(|v| v.text.clone()));
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        lines.join("\n") + "\n"
    }
}

/// Methods in the table of layers, which has room for no more.
const COLUMNS: usize = 3;

fn by_layer(report: &Report) -> Vec<String> {
    // The leading method, logistic regression and random directions where the run has them; else other methods take their place.
    let there = |m: &Method| report.layers.iter().any(|l| l.methods.contains_key(m));
    let [leading, second] = report.main();
    let main = [leading, second, Method::RANDOM];
    let all = || report.methods.keys().copied();
    let others = all().filter(|m| !main.contains(m) && report.fits_probes(*m));
    let shown: Vec<Method> = main.into_iter().chain(others).filter(there).take(COLUMNS).collect();
    let methods: Vec<Method> = all().filter(|m| shown.contains(m)).collect();
    let hooks = report.layers.iter().map(|l| l.hook.len());
    let widest = hooks.chain(["hook".len()]).fold(0, usize::max);
    let heads: String = methods.iter().map(|m| column(&format!("{m}: accuracy, AUROC"))).collect();
    let mut lines = vec![format!("layer  {:<widest$}{heads}", "hook")];
    for layer in &report.layers {
        let cells: String = methods.iter().map(|m| column(&cell(report, layer, *m))).collect();
        let note = if layer.degenerate { "  identical states in all training rows" } else { "" };
        lines.push(format!("{:>5}  {:<widest$}{cells}{note}", layer.layer, layer.hook));
    }
    lines
}

/// Rows, rules and caveats.
fn about_the_run(report: &Report) -> Vec<String> {
    let (rows, groups) = (report.rows, report.groups);
    let mut lines = vec![
        format!(
            "{} training rows in {} groups, {} test rows in {} groups",
            rows.train, groups.train, rows.test, groups.test
        ),
        format!(
            "* chosen on the training rows; the majority class of the test rows has accuracy {:.3} (the method \
             `majority` predicts that of the training rows)",
            report.majority
        ),
    ];
    if let Some(choice) = report.chosen_without_labels.get(&Method::CCS) {
        lines.extend(without_labels(choice));
    }
    lines.extend(report.zero_shot.as_ref().map(own_answers));
    lines.extend(report.within_layer.as_ref().map(WithinLayer::sentence));
    lines.extend(report.states.as_ref().map(|states| format!("hidden states: {states}")));
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// How the model's own answers were scored, and which reading of them is the bar.
fn own_answers(own: &ZeroShot) -> String {
    let bar = own.bar_reading().map(|bar| {
        let auroc = bar.test.auroc.map(|auroc| format!(" (AUROC {auroc:.3})")).unwrap_or_default();
        format!(
            "; probes are measured by the reading that ranks the training rows best: {}{auroc}",
            bar.describe()
        )
    });
    format!("zero-shot scores answers by {}{}", own.score.describe(), bar.unwrap_or_default())
}

/// The columns of the table of methods.
const FIELDS: [&str; 8] = ["method", "layer", "accuracy", "AUROC", "ECE", "random", "seeds", "shuffled"];

/// Every method at its chosen layer, with its controls; methods without a layer of their own at the first that has them.
/// Empty columns are left out. All columns together take 100 characters.
fn by_method(report: &Report) -> Vec<String> {
    let mut rows = vec![FIELDS.map(str::to_owned)];
    for &method in report.methods.keys() {
        let chosen = report.chosen.get(&method).map(|c| c.layer);
        let at = |l: &&LayerReport| match (method, chosen) {
            (Method::RANDOM, _) => false, // another at every layer
            (_, Some(layer)) => layer == Some(l.layer),
            (_, None) => l.methods.contains_key(&method),
        };
        let layer = report.layers.iter().find(at);
        rows.extend(layer.and_then(|layer| fields(report, layer, method)));
    }
    let mut lines = vec![String::new(); rows.len()];
    let mut legend = Vec::new();
    for (column, title) in FIELDS.into_iter().enumerate() {
        let cells: Vec<&str> = rows.iter().filter_map(|row| Some(row.get(column)?.as_str())).collect();
        if cells.iter().skip(1).all(|cell| cell.is_empty()) {
            continue;
        }
        legend.extend(LEGEND.into_iter().filter(|(of, _)| *of == title).map(|(_, text)| text));
        let widest = cells.iter().map(|cell| cell.chars().count()).fold(0, usize::max);
        for (line, cell) in lines.iter_mut().zip(cells) {
            let gap = if column == 0 { "" } else { "  " };
            *line = format!("{line}{gap}{cell:<widest$}");
        }
    }
    lines.extend((!legend.is_empty()).then(|| format!("({})", legend.join("; "))));
    lines
}

/// A method's row: [`FIELDS`], empty where the run has no such number.
fn fields(report: &Report, layer: &LayerReport, method: Method) -> Option<[String; FIELDS.len()]> {
    let found = layer.methods.get(&method)?;
    let chosen = report.chosen_layer(method);
    let random =
        layer.methods.get(&Method::RANDOM).and_then(|r| r.test.accuracy_ci).filter(|_| chosen.is_some());
    let calibration = report.diagnostics.get(&method).and_then(|c| c.calibration.as_ref());
    let spread = |repeated: &IndexMap<Method, Repetitions>| {
        low_median_high(repeated.get(&method)?.accuracies.iter().copied())
    };
    let (seeds, shuffled) = (spread(&report.seeds), spread(&report.shuffled));
    let cells = [
        Some(method.name().to_owned()),
        chosen.map(|layer| format!("{layer:>5}")),
        Some(accuracy(&found.test)),
        found.test.auroc.map(|auroc| format!("{auroc:.3}")),
        calibration.map(|c| format!("{:.2}", c.reliability.ece)),
        random.map(|[low, high]| format!("{low:.2}-{high:.2}")),
        seeds.map(|[low, median, high]| format!("{low:.2}/{median:.2}/{high:.2}")),
        shuffled.map(|[low, _, high]| format!("{low:.2}-{high:.2}")),
    ];
    Some(cells.map(Option::unwrap_or_default))
}

/// What a column's title does not say.
const LEGEND: [(&str, &str); 4] = [
    ("ECE", "ECE: after Platt scaling"),
    ("random", "random: central 95%"),
    ("seeds", "seeds: low/median/high"),
    ("shuffled", "shuffled: low-high"),
];

fn without_labels(choice: &Chosen) -> Option<String> {
    let (layer, test) = (choice.layer?, choice.test.as_ref()?);
    let gap = choice.oracle.map(|o| format!(", {:.3} below the oracle layer {}", o.gap, o.layer));
    Some(format!(
        "CCS's layer chosen without labels is {layer}: accuracy {:.3}{} ({})",
        test.accuracy,
        gap.unwrap_or_default(),
        choice.rule
    ))
}

fn column(text: &str) -> String {
    format!("  {text:<30}")
}

/// `0.812 [0.770, 0.851]`
fn accuracy(Evaluation { accuracy, accuracy_ci, .. }: &Evaluation) -> String {
    let interval = accuracy_ci.map(|[low, high]| format!(" [{low:.3}, {high:.3}]")).unwrap_or_default();
    format!("{accuracy:.3}{interval}")
}

/// `0.812 [0.770, 0.851]  0.880 *`
fn cell(report: &Report, layer: &LayerReport, method: Method) -> String {
    let Some(found) = layer.methods.get(&method) else { return String::new() };
    let auroc = found.test.auroc.map(|a| format!("  {a:.3}")).unwrap_or_default();
    let chosen = report.chosen_layer(method) == Some(layer.layer);
    let mark = if report.failed(layer, method) { " †" } else { "" };
    format!("{}{auroc}{}{mark}", accuracy(&found.test), if chosen { " *" } else { "" })
}

/// Which methods could not be fitted at which layers, and why the first could not.
fn failures(report: &Report) -> Option<String> {
    let mut all = Vec::new();
    let mut why = None;
    for &method in report.methods.keys() {
        let layers: Vec<&LayerReport> = report.layers.iter().filter(|l| report.failed(l, method)).collect();
        let note = layers.first().and_then(|l| l.methods.get(&method)?.note.as_deref());
        why = why.or(note);
        let numbers: Vec<String> = layers.iter().map(|l| l.layer.to_string()).collect();
        all.extend((!numbers.is_empty()).then(|| format!("{method} at {}", numbers.join(", "))));
    }
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    (!all.is_empty()).then(|| format!("† not fitted, the majority class instead: {}{why}", all.join("; ")))
}

//! A report as text: the layer table and the verdicts, for terminals.

use crate::{Chosen, Evaluation, LayerReport, Method, Report};

impl Report {
    /// One line per layer, the chosen ones marked; one per method; and the verdicts below.
    pub fn summary(&self) -> String {
        let report = self;
        // What fits beside each other: CCS, logistic regression and random directions, or what there is instead.
        let there = |m: &Method| report.layers.iter().any(|l| l.methods.contains_key(m));
        let main = [Method::CCS, Method::LR, Method::RANDOM];
        let all = || report.methods.keys().copied();
        let others = all().filter(|m| !main.contains(m) && report.fits_probes(*m));
        let shown: Vec<Method> = main.into_iter().chain(others).filter(there).take(COLUMNS).collect();
        let methods: Vec<Method> = all().filter(|m| shown.contains(m)).collect();
        let widest = report.layers.iter().map(|l| l.hook.len()).max().unwrap_or_default();
        let heads: String = methods.iter().map(|m| column(&format!("{m}: accuracy, AUROC"))).collect();
        let mut lines = vec![format!("layer  {:<widest$}{heads}", "hook")];
        for layer in &report.layers {
            let cells: String = methods.iter().map(|m| column(&cell(report, layer, *m))).collect();
            let note = if layer.degenerate { "  the states are the same for every training row" } else { "" };
            lines.push(format!("{:>5}  {:<widest$}{cells}{note}", layer.layer, layer.hook));
        }
        lines.extend(failures(report));
        lines.push(String::new());
        lines.extend(by_method(report));
        let (rows, groups) = (report.rows, report.groups);
        lines.push(String::new());
        lines.push(format!(
            "{} training rows in {} groups, {} test rows in {} groups",
            rows.train, groups.train, rows.test, groups.test
        ));
        lines.push(format!(
            "the test rows' own majority is {:.3} (the row `majority` goes by the training rows'); * chosen inside the training rows",
            report.majority
        ));
        if let Some(choice) = report.chosen_without_labels.get(&Method::CCS) {
            lines.extend(without_labels(choice));
        }
        lines.extend(report.zero_shot.map(|own| format!("zero-shot goes by {}", own.score.describe())));
        let within = report.within_layer.as_ref();
        lines.extend(within.map(crate::WithinLayer::sentence));
        lines.extend(report.states.as_ref().map(|states| format!("the states: {states}")));
        lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
        lines.push(String::new());
        lines.extend(report.verdicts.iter().map(|v| v.text.clone()));
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        lines.join("\n") + "\n"
    }
}

/// Methods beside each other in the table of layers.
const COLUMNS: usize = 3;

/// The columns of the table of methods.
const FIELDS: [&str; 8] = ["method", "layer", "accuracy", "AUROC", "ECE", "random", "seeds", "shuffled"];

/// Every method at its chosen layer, with what the run's controls say of it; those without a layer of their own at the
/// first that has them. Columns that are empty are left out; all of them together are 100 characters wide.
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
        let widest = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or_default();
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
    let chosen = report.chosen.get(&method).and_then(|c| c.layer);
    let random =
        layer.methods.get(&Method::RANDOM).and_then(|r| r.test.accuracy_ci).filter(|_| chosen.is_some());
    let calibration = report.close_ups.get(&method).and_then(|c| c.calibration.as_ref());
    let seeds = report.seeds.get(&method).and_then(|found| spread(&found.accuracies));
    let shuffled = report.shuffled.get(&method).and_then(|found| spread(&found.accuracies));
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

/// What is not plain from a column's title.
const LEGEND: [(&str, &str); 4] = [
    ("ECE", "ECE: after Platt scaling"),
    ("random", "random: 95 % of directions"),
    ("seeds", "seeds: low/median/high"),
    ("shuffled", "shuffled: low-high"),
];

/// Lowest, median and highest.
fn spread(values: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied();
    let middle = f64::midpoint(at(sorted.len().checked_sub(1)? / 2)?, at(sorted.len() / 2)?);
    Some([at(0)?, middle, at(sorted.len() - 1)?])
}

fn without_labels(choice: &Chosen) -> Option<String> {
    let (layer, test) = (choice.layer?, choice.test.as_ref()?);
    let gap = choice.oracle.map(|o| format!(", {:.3} below the oracle's layer {}", o.gap, o.layer));
    Some(format!(
        "CCS's layer without labels is {layer}, accuracy {:.3}{} ({})",
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
    let chosen = report.chosen.get(&method).is_some_and(|c| c.layer == Some(layer.layer));
    let mark = if failed(report, layer, method) { " †" } else { "" };
    format!("{}{auroc}{}{mark}", accuracy(&found.test), if chosen { " *" } else { "" })
}

/// Whether a constant guess stands in at a layer whose states differ from row to row.
fn failed(report: &Report, layer: &LayerReport, method: Method) -> bool {
    !layer.degenerate && report.lacks_fit(layer, method)
}

/// Which methods have no fit at which layers, and why the first has none.
fn failures(report: &Report) -> Option<String> {
    let mut all = Vec::new();
    let mut why = None;
    for &method in report.methods.keys() {
        let layers: Vec<&LayerReport> = report.layers.iter().filter(|l| failed(report, l, method)).collect();
        let note = layers.first().and_then(|l| l.methods.get(&method)?.note.as_deref());
        why = why.or(note);
        let numbers: Vec<String> = layers.iter().map(|l| l.layer.to_string()).collect();
        all.extend((!numbers.is_empty()).then(|| format!("{method} at {}", numbers.join(", "))));
    }
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    (!all.is_empty()).then(|| format!("† the majority's guess, not a fit: {}{why}", all.join("; ")))
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(spread(&[0.75, 0.25, 0.5, 1.0]), Some([0.25, 0.625, 1.0]));
        assert_eq!(spread(&[0.5]), Some([0.5; 3]));
        assert_eq!(spread(&[]), None);
    }
}

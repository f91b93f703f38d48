//! A report as text: the layer table and the verdicts, for terminals.

use super::{Chosen, Evaluation, LayerReport, Report};
use crate::Method;

impl Report {
    /// Which states were read, where the source says it: `at the last token, computed in bf16 and kept in f32`.
    pub fn states(&self) -> Option<String> {
        let text = |pointer: &str| self.data.pointer(pointer).and_then(serde_json::Value::as_str);
        let tokens = text("/tokens").map(|rule| match rule {
            "last" => "at the last token".to_owned(),
            "first" => "at the first token".to_owned(),
            "mean" => "at the mean of all tokens".to_owned(),
            "answer_mean" => "at the mean of the answer's tokens".to_owned(),
            other => format!("at the tokens `{other}`"),
        });
        let computed =
            text("/made_by/extraction/precision").map(|precision| format!("computed in {precision}"));
        let kept = text("/dtype").map(|dtype| format!("kept in {dtype}"));
        let types: Vec<String> = [computed, kept].into_iter().flatten().collect();
        let types = Some(types.join(" and ")).filter(|text| !text.is_empty());
        let edited = self.data.pointer("/made_by/edits").is_some_and(|edits| !edits.is_null());
        let edited = edited.then(|| "of a model that was edited on the way".to_owned());
        let parts: Vec<String> = [tokens, types, edited].into_iter().flatten().collect();
        Some(parts.join(", ")).filter(|text| !text.is_empty())
    }

    /// One line per layer, the chosen ones marked; one per method; and the verdicts below.
    pub fn summary(&self) -> String {
        let report = self;
        // What fits beside each other: CCS, logistic regression and random directions, or what there is instead.
        let there = |m: &Method| report.layers.iter().any(|l| l.methods.contains_key(m));
        let main = [Method::Ccs, Method::Lr, Method::Random];
        let others = Method::ALL.into_iter().filter(|m| !main.contains(m) && m.is_probe());
        let mut methods: Vec<Method> = main.into_iter().chain(others).filter(there).take(COLUMNS).collect();
        methods.sort_unstable();
        let widest = report.layers.iter().map(|l| l.hook.len()).max().unwrap_or_default();
        let heads: String = methods.iter().map(|m| column(&format!("{m}: accuracy, AUROC"))).collect();
        let mut lines = vec![format!("layer  {:<widest$}{heads}", "hook")];
        for layer in &report.layers {
            let cells: String = methods.iter().map(|m| column(&cell(report, layer, *m))).collect();
            let note = if layer.degenerate { "  the states are the same for every training row" } else { "" };
            lines.push(format!("{:>5}  {:<widest$}{cells}{note}", layer.layer, layer.hook));
        }
        lines.push(String::new());
        lines.extend(by_method(report));
        let (rows, groups) = (report.rows, report.groups);
        lines.push(String::new());
        lines.push(format!(
            "{} training rows in {} groups, {} test rows in {} groups",
            rows.train, groups.train, rows.test, groups.test
        ));
        lines.push(format!(
            "the majority's accuracy is {:.3}; * chosen inside the training rows",
            report.majority
        ));
        if let Some(choice) = report.chosen_without_labels.get(&Method::Ccs) {
            lines.extend(without_labels(choice));
        }
        let within = report.within_layer.as_ref();
        lines.extend(within.map(super::repeats::WithinLayer::sentence));
        lines.extend(report.states().map(|states| format!("the states: {states}")));
        lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
        lines.push(String::new());
        lines.extend(report.verdicts.iter().map(|v| v.text.clone()));
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        lines.join("\n") + "\n"
    }
}

/// Methods beside each other in the table of layers.
const COLUMNS: usize = 3;

/// Every method at its chosen layer; those without a layer of their own at the first that has them.
fn by_method(report: &Report) -> Vec<String> {
    let widest = Method::ALL.into_iter().map(|m| m.name().len()).max().unwrap_or_default();
    let mut lines = vec![format!("{:<widest$}  layer  {}", "method", "accuracy, AUROC")];
    for method in Method::ALL {
        let chosen = report.chosen.get(&method).map(|c| c.layer);
        let at = |l: &&LayerReport| match (method, chosen) {
            (Method::Random, _) => false, // another at every layer
            (_, Some(layer)) => layer == Some(l.layer),
            (_, None) => l.methods.contains_key(&method),
        };
        let Some(layer) = report.layers.iter().find(at) else { continue };
        let number = chosen.flatten().map_or_else(String::new, |layer| layer.to_string());
        let cell = cell(report, layer, method);
        lines.push(format!("{:<widest$}  {number:>5}  {}", method.name(), cell.trim_end_matches(" *")));
    }
    lines
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

/// `0.812 [0.770, 0.851]  0.88 *`
fn cell(report: &Report, layer: &LayerReport, method: Method) -> String {
    let Some(found) = layer.methods.get(&method) else { return String::new() };
    let Evaluation { accuracy, accuracy_ci, auroc, .. } = &found.test;
    let interval = accuracy_ci.map(|[low, high]| format!(" [{low:.3}, {high:.3}]")).unwrap_or_default();
    let auroc = auroc.map(|a| format!("  {a:.3}")).unwrap_or_default();
    let chosen = report.chosen.get(&method).is_some_and(|c| c.layer == Some(layer.layer));
    format!("{accuracy:.3}{interval}{auroc}{}", if chosen { " *" } else { "" })
}

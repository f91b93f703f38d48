//! The layer table for people.

use ccs::Method;
use ccs::run::{Evaluation, Report};

/// One line per layer, the chosen ones marked, and the verdicts below.
pub(super) fn table(report: &Report) -> String {
    let methods: Vec<Method> = Method::ALL
        .into_iter()
        .filter(|m| *m != Method::Majority && report.layers.iter().any(|l| l.methods.contains_key(m)))
        .collect();
    let mut text = format!("{:>5}  {:<28}", "layer", "hook");
    for method in &methods {
        text += &format!("  {:<28}", format!("{method}: accuracy, AUROC"));
    }
    text = format!("{}\n", text.trim_end());
    for layer in &report.layers {
        let mut line = format!("{:>5}  {:<28}", layer.layer, layer.hook);
        for method in &methods {
            let cell = layer.methods.get(method).map(|m| cell(&m.test)).unwrap_or_default();
            let chosen = report.chosen.get(method).is_some_and(|c| c.layer == Some(layer.layer));
            line += &format!("  {:<28}", format!("{cell}{}", if chosen { " *" } else { "" }));
        }
        if layer.degenerate {
            line += "  the states are the same for every row";
        }
        text += line.trim_end();
        text.push('\n');
    }
    let (rows, groups) = (report.rows, report.groups);
    text += &format!(
        "\n{} training rows ({} groups), {} test rows ({} groups); majority {:.3}; * chosen inside the training rows\n",
        rows.train, groups.train, rows.test, groups.test, report.majority
    );
    for verdict in &report.verdicts {
        text += &verdict.text;
        text.push('\n');
    }
    text
}

/// `0.812 [0.770, 0.851]  0.88`
fn cell(test: &Evaluation) -> String {
    let interval = test.accuracy_ci.map(|[low, high]| format!(" [{low:.3}, {high:.3}]")).unwrap_or_default();
    let auroc = test.auroc.map(|a| format!("  {a:.2}")).unwrap_or_default();
    format!("{:.3}{interval}{auroc}", test.accuracy)
}

//! `ccs inspect`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use activations::provenance::{DataRecord, NamedData, Provenance};
use ccs::Probe;
use ccs_trainer::{Cosines, ProbeCard, RunCard};
use clap::Args;
use serde_json::Value;

use super::output::{cells, print, print_json};

const EXAMPLES: &str = "\
Examples:
  ccs inspect run
  ccs inspect run --json | jq .cosines
  ccs inspect run/probes/ccs/layer_12.safetensors";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// A run's folder, or a probe's file.
    path: PathBuf,
    /// Print JSON, with everything that is known, instead of text.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        if self.path.is_dir() {
            let card = RunCard::open(&self.path)?;
            if self.json { print_json(&card) } else { print(&of_run(&card)) }
        } else {
            let card = ProbeCard::of(&Probe::load(&self.path)?)?;
            if self.json { print_json(&card) } else { print(&of_probe(&card)) }
        }
    }
}

/// `name       value` lines; nothing for what is not known.
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name:<14} {value}");
    }

    fn maybe(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// The model and what else made the states.
    fn made_by(&mut self, made_by: &Provenance) {
        let model = match (made_by.model_name(), made_by.model_identity()) {
            (Some(name), Some(identity)) => Some(format!("{name}, {identity}")),
            (name, identity) => name.or(identity).map(str::to_owned),
        };
        self.maybe("model", model);
        self.maybe("tokenizer", made_by.tokenizer_identity());
        self.maybe("data set", made_by.dataset.as_ref());
        self.maybe("template", made_by.template.as_ref());
        self.maybe("precision", made_by.precision());
        self.maybe("edits", made_by.edits.as_ref());
    }
}

fn of_probe(card: &ProbeCard) -> String {
    let mut lines = Lines(String::new());
    lines.maybe("method", card.method.as_ref());
    lines.maybe("layer", card.layer);
    lines.maybe("hook point", card.hook.as_ref());
    lines.maybe("tokens", card.tokens.as_ref());
    let hidden: Vec<String> = card.hidden.iter().map(ToString::to_string).collect();
    let head = if hidden.is_empty() { "linear".to_owned() } else { format!("hidden {}", hidden.join(", ")) };
    lines.add("dimensions", format!("{} ({head})", card.dim));
    lines.add("read-out", name(&card.readout));
    lines.add("norm of w", format!("{:.4}", card.norm));
    lines.add("bias", format!("{:.4}", card.bias));
    lines.add("sign", if i8::from(card.sign) > 0 { "+1: high means true" } else { "-1: high means false" });
    let p_true = match (card.platt, card.own_probabilities) {
        (Some(platt), _) => format!("σ({:.4}·score + {:.4})", platt.a, platt.b),
        (None, true) => "the score's own, not calibrated".to_owned(),
        (None, false) => "none: the score is of no fixed scale, and not calibrated".to_owned(),
    };
    lines.add("p(true)", p_true);
    let anew = if card.reestimated { ", taken anew from the rows it was applied to" } else { "" };
    lines.add("normalization", format!("{}{anew}", card.normalization));
    lines.maybe("  of templates", Some(card.templates.join(", ")).filter(|names| !names.is_empty()));
    lines.made_by(&card.meta.get("states").map(Provenance::from_json).unwrap_or_default());
    for key in ["program", "seed", "train_rows", "train_split", "fit"] {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        lines.maybe(&key.replace('_', " "), card.meta.get(key).map(text));
    }
    lines.0
}

/// A name as JSON has it.
fn name(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn of_run(card: &RunCard) -> String {
    let mut lines = Lines(String::new());
    lines.add("program", &card.program);
    let data = DataRecord::from_json(&card.data);
    lines.made_by(&data.made_by.unwrap_or_default());
    lines.maybe("tokens", data.tokens);
    lines.maybe("fingerprint", data.fingerprint);
    for NamedData { name, data } in data.datasets.unwrap_or_default() {
        let rows = data.rows.map(|rows| rows.to_string()).unwrap_or_default();
        lines.add("data set", format!("{name}, {rows} rows"));
    }
    lines.add("seed", card.settings.seed);
    let layers: Vec<String> = card.layers.iter().map(ToString::to_string).collect();
    lines.add("layers", layers.join(", "));
    let mut text = lines.0;
    let _ = writeln!(text, "\nchosen            layer  accuracy  AUROC  sign    norm  normalization  hook");
    for (method, chosen) in &card.chosen {
        let Some((layer, probe)) = chosen.layer.zip(chosen.probe.as_ref()) else {
            let _ = writeln!(text, "{:<16}  {}", method.name(), chosen.rule);
            continue;
        };
        let _ = writeln!(
            text,
            "{:<16}  {layer:>5}  {:>8}  {:>5}  {:>+4}  {:>6.2}  {:<13}  {}",
            method.name(),
            number(chosen.accuracy),
            number(chosen.auroc),
            i8::from(probe.sign),
            probe.norm,
            probe.normalization.name(),
            probe.hook.as_deref().unwrap_or_default(),
        );
    }
    for cosines in &card.cosines {
        text.push_str(&matrix(cosines));
    }
    text
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

fn matrix(cosines: &Cosines) -> String {
    let widest = cosines.methods.iter().map(|m| m.name().len()).max().unwrap_or_default().max(6);
    let heads = cells(widest, cosines.methods.iter().map(|m| m.name().to_owned()));
    let mut text = format!(
        "\ncosines between directions at layer {}, on states normalized {}\n{:widest$}{heads}\n",
        cosines.layer, cosines.normalization, ""
    );
    for (method, row) in cosines.methods.iter().zip(&cosines.matrix) {
        let cells = cells(widest, row.iter().map(|cosine| format!("{cosine:+.3}")));
        let _ = writeln!(text, "{:<widest$}{cells}", method.name());
    }
    text
}

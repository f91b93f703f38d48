//! `llama-ccs hooks`: the points of a model, their shapes, and what other libraries call them.

use std::path::PathBuf;
use std::process::ExitCode;

use llama_ccs::llama_core::names::{self, Name, Names, Relation};
use llama_ccs::llama_core::{Checkpoint, Config, HookPoint, HookSet};
use serde_json::json;

use super::values::AnyError;
use super::{named, output};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs hooks llama-7b
  llama-ccs hooks llama-7b 'blocks.{0,31}.attn.*'
  llama-ccs hooks llama-7b --names 'blocks.31.*' 'ln_final.*'

In the columns of --names, ~ marks the same numbers in another shape or order, and ! marks different numbers (the \
nearest there is); --json says in words how they differ. hidden_states is Hugging Face's list, whose last entry is \
taken after the final norm.")]
pub(crate) struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub,
    /// ORG/NAME[@REVISION][:FILE].
    model: PathBuf,
    /// Names or globs of hook points.
    #[arg(default_value = "*")]
    patterns: Vec<String>,
    /// Show what TransformerLens, Hugging Face, llama.cpp, and llama-ccs call each point, instead of shapes.
    #[arg(long)]
    names: bool,
}

impl Args {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, AnyError> {
        let checkpoint = Checkpoint::open(named::model(&self.model)?)?;
        let config = checkpoint.config();
        let set = HookSet::parse(&self.patterns, config.n_layers)?;
        let names = |point| names::of(point, config.n_layers);
        if json {
            let row = |point: HookPoint| {
                let (name, axes) = (point.to_string(), shape(point, config));
                json!({ "name": name, "layer": point.layer(), "axes": axes, "names": names(point) })
            };
            output::json(&set.iter().map(row).collect::<Vec<_>>())?;
        } else if self.names {
            table(&set.iter().map(names).collect::<Vec<_>>())?;
        } else {
            for point in set.iter() {
                output::page(&format!("{:40} [{}]", point.to_string(), shape(point, config).join(", ")))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The axes with their sizes; those that depend on the batch are shown by name.
fn shape(point: HookPoint, config: &Config) -> Vec<String> {
    let sizes = point.shape(config, 1, 1);
    let counted = |name: &str| ["batch", "token", "key", "selected"].contains(&name);
    let axes = point.axes().iter().map(|axis| axis.name()).zip(sizes);
    axes.map(|(name, n)| if counted(name) { name.to_owned() } else { format!("{name} {n}") }).collect()
}

/// A column for each library, as wide as its longest name. Our names are TransformerLens'.
fn table(points: &[Names]) -> Result<(), AnyError> {
    let head = ["hook point (TransformerLens)", "Hugging Face", "hidden_states", "llama.cpp", "llama-ccs"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(points.iter().map(|names| {
        let index = |i: Option<usize>| i.map_or(String::new(), |i| format!("[{i}]"));
        [
            names.transformer_lens.name.clone(),
            cell(names.hugging_face.as_ref()),
            index(names.hidden_state),
            cell(names.llama_cpp.as_ref()),
            index(names.llama_ccs),
        ]
    }));
    let widths = [0, 1, 2, 3].map(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    for row in rows {
        let cells = row.iter().zip(widths.into_iter().chain([0]));
        let line: Vec<_> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
        output::page(line.join("  ").trim_end())?;
    }
    Ok(())
}

fn cell(name: Option<&Name>) -> String {
    let Some(name) = name else { return String::new() };
    let mark = match name.relation {
        Relation::Same => "",
        Relation::Reshaped => " ~",
        _ => " !",
    };
    format!("{}{mark}", name.name)
}

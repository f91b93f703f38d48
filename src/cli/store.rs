//! `llama-ccs store info | verify | export | merge`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use host::files::in_json;
use llama_ccs::activations::provenance::short;
use llama_ccs::activations::{self, Manifest, Status, Store};
use serde_json::json;

use super::output;
use super::values::AnyError;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs store info store
  llama-ccs store verify store
  llama-ccs store export store --out activations    # plus/{idx}.npy and minus/{idx}.npy
  llama-ccs store export store --tokens mean --out activations-mean
  llama-ccs store merge part1 part2 part3 part4 --out store")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show what a store holds, what made it, and how many rows are done.
    Info {
        /// The store's folder.
        store: PathBuf,
    },
    /// Read everything again and compare it with the journal's checksums. The exit code is 1 if anything differs.
    Verify {
        /// The store's folder.
        store: PathBuf,
    },
    /// Write llama-ccs' layout: one file per prompt, [layers + 1, dim].
    Export {
        /// The store's folder.
        store: PathBuf,
        /// The folder to write.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The token rule whose states are written: one of those that the store was extracted with.
        #[arg(long, value_name = "RULE", default_value = "last")]
        tokens: String,
    },
    /// Make the stores of all parts (`llama-ccs extract --part 1/4` and so on) the store of one run: the same bytes.
    Merge {
        /// The folders of the parts' stores, in any order.
        #[arg(required = true, value_name = "STORE")]
        parts: Vec<PathBuf>,
        /// The store's folder: new, or one that this command began.
        #[arg(long, value_name = "STORE")]
        out: PathBuf,
    },
}

impl Args {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, AnyError> {
        match &self.command {
            Command::Info { store } => info(store, json),
            Command::Verify { store } => verify(store, json),
            Command::Export { store, out, tokens } => export(store, tokens, out, json),
            Command::Merge { parts, out } => merge(parts, out, json),
        }
    }
}

fn merge(parts: &[PathBuf], out: &Path, json: bool) -> Result<ExitCode, AnyError> {
    let mut bar = None;
    let merged = activations::merge(parts, out, &mut |done, total| {
        bar.get_or_insert_with(|| output::progress(total, "merging")).set(done);
    });
    bar.iter().for_each(output::Bar::clear);
    let rows = merged?.manifest().rows;
    if json {
        output::json(&json!({ "out": in_json(out), "rows": rows, "parts": parts.len() }))?;
    } else {
        output::say(&format!("{rows} rows of {} parts in {}", parts.len(), out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn info(path: &Path, json: bool) -> Result<ExitCode, AnyError> {
    let status = Status::of(path)?;
    let manifest = Manifest::read(path)?;
    if json {
        let columns: Vec<_> = manifest
            .columns
            .iter()
            .map(|c| json!({ "name": c.name(), "hook": c.hook, "tokens": c.tokens, "layer": c.layer, "shape": c.shape }))
            .collect();
        output::json(&json!({
            "rows": status.rows, "kind": manifest.kind.name(), "done": status.rows_done, "dtype": manifest.dtype, "bytes": manifest.bytes(),
            "columns": columns, "tokens": manifest.token_rules(), "token_counts": manifest.tokens.iter().flatten()
                .map(|of| (of.side.name().to_owned(), of.count.into())).collect::<serde_json::Map<_, _>>(), "settings": manifest.provenance(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::page(&format!(
        "{} of {} rows ({}), kept in {}, {:.1} MB",
        status.rows_done,
        status.rows,
        manifest.kind,
        format!("{:?}", manifest.dtype).to_lowercase(),
        manifest.bytes() as f64 / 1e6
    ))?;
    for (what, text) in described(&manifest) {
        output::page(&format!("{what:<10}  {text}"))?;
    }
    output::page("columns")?;
    for column in &manifest.columns {
        output::page(&format!("  {:40} {:?}", column.name(), column.shape))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What made the store, as people ask for it. The manifest has the rest.
fn described(manifest: &Manifest) -> Vec<(&'static str, String)> {
    let made_by = manifest.provenance();
    let model = made_by.model.clone().unwrap_or_default();
    let extraction = made_by.extraction.clone().unwrap_or_default();
    let hash = |hash: Option<&str>| hash.map(|hash| format!("identity {}…", short(hash)));
    let list = |parts: Vec<Option<String>>| {
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    };
    let computed = list(vec![
        extraction.precision.map(|precision| format!("in {precision}")),
        extraction.device.map(|device| format!("on {device}")),
        extraction.threads.map(|threads| format!("threads {threads}")),
        extraction.batch_tokens.map(|tokens| format!("at most {tokens} tokens a batch")),
    ]);
    let rules = Some(manifest.token_rules().join(", ")).filter(|rules| !rules.is_empty());
    let counts = manifest.tokens.iter().flatten().map(|of| format!("{} {}", of.count, of.side));
    let counts = Some(counts.collect::<Vec<_>>().join(", ")).filter(|counts| !counts.is_empty());
    let versions = made_by.versions.as_ref().map(|versions| {
        versions.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
    });
    let identity = hash(made_by.model_identity());
    let weights = model.weights.map(|weights| format!("weights in {weights}"));
    let lines = [
        ("model", list(vec![model.name, model.layout, weights, identity])),
        ("note", model.note),
        ("edits", made_by.edits.as_ref().map(ToString::to_string)),
        ("computed", computed),
        ("tokens", rules),
        ("all tokens", counts),
        ("dataset", made_by.dataset.clone()),
        ("template", made_by.template.clone()),
        ("tokenizer", hash(made_by.tokenizer_identity())),
        ("made by", versions),
    ];
    lines.into_iter().filter_map(|(what, text)| Some((what, text?))).collect()
}

fn verify(path: &Path, json: bool) -> Result<ExitCode, AnyError> {
    let found = activations::verify(path)?;
    let problems: Vec<String> =
        found.problems.iter().map(|problem| format!("{problem}\nhint: {}", problem.hint)).collect();
    let (done, rows) = found.status.as_ref().map_or((0, 0), |s| (s.rows_done, s.rows));
    if json {
        let sound = found.is_sound();
        output::json(
            &json!({ "sound": sound, "rows_done": done, "rows": rows, "bytes": found.bytes, "problems": problems }),
        )?;
    } else {
        for problem in &problems {
            output::page(problem)?;
        }
        output::page(&format!(
            "{done} of {rows} rows, {:.1} MB checked, {} problems",
            found.bytes as f64 / 1e6,
            problems.len()
        ))?;
    }
    Ok(if found.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn export(path: &Path, tokens: &str, out: &Path, json: bool) -> Result<ExitCode, AnyError> {
    let rows = activations::export_llama_ccs(&Store::open(path)?, tokens, out)?;
    if json {
        output::json(&json!({ "out": in_json(out), "rows": rows, "tokens": tokens }))?;
    } else {
        output::say(&format!("{rows} rows in {}", out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

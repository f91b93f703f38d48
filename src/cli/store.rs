//! `llama-ccs store info | verify | export`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use llama_ccs::activations::{self, Manifest, Status, Store};
use serde_json::json;

use super::{AnyError, output};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs store info store
  llama-ccs store verify store
  llama-ccs store export store --out activations    # plus/{idx}.npy, minus/{idx}.npy of [layers + 1, dim]")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// What a store holds and how far it is.
    Info {
        /// The store's folder.
        store: PathBuf,
    },
    /// Reads everything again and compares it with the journal's checksums; exit code 1 if anything is wrong.
    Verify {
        /// The store's folder.
        store: PathBuf,
    },
    /// Writes llama-ccs' layout: one file a prompt, [layers + 1, dim].
    Export {
        /// The store's folder.
        store: PathBuf,
        /// The folder to write.
        #[arg(long)]
        out: PathBuf,
    },
}

impl Args {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, AnyError> {
        match &self.command {
            Command::Info { store } => info(store, json),
            Command::Verify { store } => verify(store, json),
            Command::Export { store, out } => export(store, out, json),
        }
    }
}

fn info(path: &Path, json: bool) -> Result<ExitCode, AnyError> {
    let status = Status::of(path)?;
    let manifest = Manifest::read(path)?;
    if json {
        let columns: Vec<_> = manifest
            .columns
            .iter()
            .map(|c| json!({ "name": c.name(), "layer": c.layer, "shape": c.shape }))
            .collect();
        output::json(&json!({
            "rows": status.rows, "done": status.rows_done, "dtype": manifest.dtype, "bytes": manifest.bytes(),
            "columns": columns, "settings": manifest.settings,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    output::data(&format!(
        "{} of {} rows, {:?}, {:.1} MB",
        status.rows_done,
        status.rows,
        manifest.dtype,
        manifest.bytes() as f64 / 1e6
    ));
    for column in &manifest.columns {
        output::data(&format!("  {:40} {:?}", column.name(), column.shape));
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(path: &Path, json: bool) -> Result<ExitCode, AnyError> {
    let found = activations::verify(path)?;
    let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    let (done, rows) = found.status.as_ref().map_or((0, 0), |s| (s.rows_done, s.rows));
    if json {
        let sound = found.is_sound();
        output::json(
            &json!({ "sound": sound, "rows_done": done, "rows": rows, "bytes": found.bytes, "problems": problems }),
        );
    } else {
        for problem in &problems {
            output::data(problem);
        }
        output::data(&format!(
            "{done} of {rows} rows, {:.1} MB checked, {} problems",
            found.bytes as f64 / 1e6,
            problems.len()
        ));
    }
    Ok(if found.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn export(path: &Path, out: &Path, json: bool) -> Result<ExitCode, AnyError> {
    let rows = activations::export_llama_ccs(&Store::open(path)?, out)?;
    if json {
        output::json(&json!({ "out": out, "rows": rows }));
    } else {
        output::say(&format!("{rows} rows in {}", out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

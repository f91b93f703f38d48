//! How often a report says what is not so.
//!
//! Sets of contrast pairs and of statements with a known truth, or with none, go through a whole fit; every claim of the report is compared with
//! what the probes do on a large sample of the same population. A claim is made at a stated level: in at most so many
//! reports may one be wrong. `cargo xtask calibrate` runs it.

mod cells;
mod claims;
mod pairs;
mod statements;
mod table;
mod tokens;
mod transfer;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use ccs::SeedTree;
use ccs_trainer::{Compute, Fit, Run, Settings, Source};
use clap::Parser;
use rayon::prelude::*;

use cells::{CELLS, Cell, Kind};
use claims::Claims;

/// Counts how often each sentence of a report is wrong, on sets of pairs with a known truth.
#[derive(Parser)]
struct Args {
    /// Sets in each cell.
    #[arg(long, default_value_t = 400)]
    sets: usize,
    /// Only these columns of the table, by number from 0, separated by commas.
    #[arg(long, value_delimiter = ',')]
    cells: Option<Vec<usize>>,
    /// Results so far, one line for each set; a run that was stopped goes on from there.
    #[arg(long, default_value = "target/calibrate.jsonl")]
    results: PathBuf,
    /// Write the table, as Markdown, to this file.
    #[arg(long)]
    table: Option<PathBuf>,
}

/// The cell's number, the set's, and what its report claimed.
type Line = (usize, usize, Claims);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let mut done: BTreeMap<(usize, usize), Claims> = read(&args.results)?;
    done.retain(|(cell, set), _| *cell < CELLS.len() && *set < args.sets);
    let missing: Vec<(usize, usize)> = (0..args.sets)
        .flat_map(|set| (0..CELLS.len()).map(move |cell| (cell, set)))
        .filter(|(cell, _)| args.cells.as_ref().is_none_or(|cells| cells.contains(cell)))
        .filter(|at| !done.contains_key(at))
        .collect();
    if let Some(folder) = args.results.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&args.results)?;
    let bar = host::program::Bar::of(args.sets * CELLS.len(), "sets", "calibrating");
    for part in missing.chunks(BETWEEN_LINES) {
        bar.set(done.len());
        let found: Vec<Line> =
            part.par_iter().map(|&(cell, set)| claims_of(cell, set)).collect::<Result<_, String>>()?;
        for line in &found {
            writeln!(file, "{}", serde_json::to_string(line)?)?;
        }
        done.extend(found.into_iter().map(|(cell, set, claims)| ((cell, set), claims)));
    }
    let (text, failed) = table::of(&done, args.sets);
    host::program::page(&text)?;
    if let Some(path) = &args.table {
        host::files::replace(path, table::document(&text, args.sets).as_bytes())?;
    }
    if failed > 0 {
        return Err(format!("{failed} sentences are wrong more often than their level allows").into());
    }
    Ok(())
}

/// Sets whose results are written together.
const BETWEEN_LINES: usize = 16;

fn claims_of(number: usize, set: usize) -> Result<Line, String> {
    let cell: &Cell = CELLS.get(number).ok_or("no such cell")?;
    let seeds = SeedTree::new(0).child("calibrate").indexed("cell", number).indexed("set", set);
    let settings = cells::settings(cell.kind, set as u64);
    let claims = match cell.kind {
        Kind::Control | Kind::Quirky => {
            let population = pairs::Population::draw(cell, &seeds);
            let run = fit(&population.sample(&seeds), settings)?;
            let found = if cell.kind == Kind::Control {
                transfer::control(&run, &population, &seeds)
            } else {
                transfer::gap(&run, &population, cell, &seeds)
            };
            return Ok((number, set, found.map_err(|error| error.to_string())?));
        }
        Kind::Pairs => {
            let population = pairs::Population::draw(cell, &seeds);
            pairs::judge(&fit(&population.sample(&seeds), settings)?, &population)
        }
        Kind::Statements => {
            let population = statements::Population::draw(cell, &seeds);
            statements::judge(&fit(&population.sample(cell.rows)?, settings)?, &population)
        }
        Kind::Tokens => {
            let population = tokens::Population::draw(cell, &seeds);
            tokens::judge(&fit(&population.sample(cell.rows), settings)?, &population)
        }
    };
    Ok((number, set, claims.map_err(|error| error.to_string())?))
}

fn fit(source: &dyn Source, settings: Settings) -> Result<Run, String> {
    let compute = Compute { threads: 1, ..Compute::default() };
    let run = Fit::new(source).settings(settings).compute(compute).run();
    run.map_err(|error| error.to_string())?.finished().ok_or_else(|| "stopped".to_owned())
}

/// What was done before. A line that was cut off is done again.
fn read(path: &PathBuf) -> std::io::Result<BTreeMap<(usize, usize), Claims>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    Ok(lines.map(|(cell, set, claims)| ((cell, set), claims)).collect())
}

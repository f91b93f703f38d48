//! `ccs report`.

use std::error::Error;
use std::path::PathBuf;

use ccs_trainer::RunDir;
use clap::Args;

const EXAMPLES: &str = "\
Everything on the page comes from report.json: the same report gives the same page, even without the store.

Examples:
  ccs report run
  ccs report run --out public/boolq";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Report {
    /// The run, from `ccs fit` or `ccs sweep`.
    run: PathBuf,
    /// The folder to write report.html and plots/ to [default: the run's own].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the report as JSON and write nothing.
    #[arg(long, conflicts_with = "out")]
    json: bool,
}

impl Report {
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        let run = RunDir::open(&self.run)?;
        if self.json {
            return super::output::print_json(&run.report()?);
        }
        let out = self.out.as_ref().unwrap_or(&self.run);
        run.draw(out)?;
        super::output::print(&out.join("report.html").display().to_string())
    }
}

//! `ccs explore`.

use std::error::Error;
use std::path::PathBuf;

use ccs_trainer::{EXPLORE, RunDir};
use clap::Args;

const EXAMPLES: &str = "\
The page is one file, which loads nothing and works from a disk. It lists rows with what each method at its chosen layer \
predicts for them, to filter, sort, and search, and has a scatter plot whose points are rows. It contains the ends of the \
prompts. If there are more than 10,000 rows, it has test rows first.

Examples:
  ccs explore run
  ccs explore run --out rows.html";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Explore {
    /// The run, from `ccs fit` or `ccs sweep`.
    run: PathBuf,
    /// The file to write [default: explore.html in the run's folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Explore {
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        let out = self.out.unwrap_or_else(|| self.run.join(EXPLORE));
        RunDir::open(&self.run)?.explore(&out)?;
        super::output::print(&out.display().to_string())
    }
}

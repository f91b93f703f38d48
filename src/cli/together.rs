//! `--tp`: one model held by several processes, for commands that otherwise run in one.

use std::process::ExitCode;

use host::program::{Hinted, Signals};

use super::extract::set_threads;
use super::ranks::{Processes, RankArgs};
use super::values::{AnyError, at_least_one};

#[derive(clap::Args, Debug)]
pub(crate) struct TogetherArgs {
    /// How many processes hold the model together, each some heads and columns of every block (tensor parallel): all that
    /// were started, by a launcher or by --ranks. Without it one process runs the command.
    #[cfg_attr(not(feature = "distributed"), arg(skip))]
    #[cfg_attr(feature = "distributed", arg(long, value_name = "N", value_parser = at_least_one, help_heading = "Several processes"))]
    tp: Option<usize>,
    #[command(flatten)]
    ranks: RankArgs,
}

impl TogetherArgs {
    /// Whether several processes are to hold the model.
    pub(crate) fn is_asked(&self) -> bool {
        self.tp.is_some_and(|tp| tp > 1)
    }

    /// Runs a command in this process, alone or as one of several, or starts the processes that do.
    pub(crate) fn run(
        &self,
        signals: &Signals,
        work: impl FnOnce(&Processes) -> Result<ExitCode, AnyError>,
    ) -> Result<ExitCode, AnyError> {
        if self.is_asked() {
            return self.ranks.run(signals, |processes| {
                processes.check_together(self.tp.unwrap_or(1))?;
                set_threads(processes.threads());
                work(processes)
            });
        }
        if self.ranks.starts_several() {
            let problem = "`--ranks` starts several processes, and this command runs in one";
            let hint =
                "with `--tp` of the same number they hold the model together; without `--ranks` one runs it";
            return Err(Hinted::new(problem, hint).into());
        }
        work(&Processes::one())
    }
}

//! `--tp`: one model held by several processes, for commands that otherwise run in one.

use std::process::ExitCode;

use host::program::{Hinted, Signals};
#[cfg(feature = "distributed")]
use llama_ccs::Error;
use llama_ccs::boolq::TokenizedPair;
use llama_ccs::ccs_trainer::Fitted;
use llama_ccs::llama_core::{self, Checkpoint, Kernels, Llama, Precision, Tokenizer};
use llama_ccs::tch::Device;
use llama_ccs::torch_runtime::program::{Processes, RankArgs};
use llama_ccs::{PredictOptions, Predicted, predict};

use super::extract::set_threads;
use super::values::AnyError;
#[cfg(feature = "distributed")]
use super::values::at_least_one;

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
                check(processes, self.tp.unwrap_or(1))?;
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
        work(&Processes::alone())
    }
}

/// Whether so many processes are to hold a model together, and as many are there.
#[cfg(feature = "distributed")]
fn check(processes: &Processes, wanted: usize) -> Result<(), AnyError> {
    let there = processes.ranks().map_or(1, llama_ccs::Ranks::size);
    if there == wanted {
        return Ok(());
    }
    let reason = if there == 1 { "there is one".to_owned() } else { format!("there are {there}") };
    Err(Error::TensorParallel { wanted, reason }.into())
}

#[cfg(not(feature = "distributed"))]
#[allow(clippy::unnecessary_wraps)]
fn check(_: &Processes, _: usize) -> Result<(), AnyError> {
    Ok(())
}

/// A model, or this process's part of it.
pub(super) fn load(
    processes: &Processes,
    checkpoint: &Checkpoint,
    (precision, kernels): (Precision, Kernels),
    device: Device,
) -> Result<Llama, AnyError> {
    #[cfg(feature = "distributed")]
    if let Some(ranks) = processes.ranks() {
        return Ok(llama_ccs::sharded(ranks, checkpoint, (precision, kernels), device)?);
    }
    let _ = processes;
    Ok(Llama::load(checkpoint, precision, device)?.with_kernels(kernels)?)
}

/// What a model gave, or why it did not: a rank that was lost, where one was.
pub(super) fn explained<T>(processes: &Processes, done: Result<T, llama_core::Error>) -> Result<T, AnyError> {
    #[cfg(feature = "distributed")]
    if let Some(ranks) = processes.ranks() {
        return Ok(done.map_err(|error| ranks.explained(Error::from(error)))?);
    }
    let _ = processes;
    Ok(done?)
}

/// Predictions by a model, or by all processes that hold it together.
pub(super) fn predicted(
    processes: &Processes,
    (fitted, checkpoint, tokenizer): (&Fitted, &Checkpoint, &Tokenizer),
    pairs: &[TokenizedPair],
    options: &PredictOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Predicted, AnyError> {
    #[cfg(feature = "distributed")]
    if let Some(ranks) = processes.ranks() {
        return Ok(llama_ccs::predict_together(
            ranks, fitted, checkpoint, tokenizer, pairs, options, progress,
        )?);
    }
    let _ = processes;
    Ok(predict(fitted, checkpoint, tokenizer, pairs, options, progress)?)
}

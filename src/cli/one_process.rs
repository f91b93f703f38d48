//! Where this program was built without several processes: the one there is.

use std::process::ExitCode;

use host::program::Signals;
use llama_ccs::boolq::TokenizedPair;
use llama_ccs::ccs_trainer::Fitted;
use llama_ccs::llama_core::{self, Checkpoint, Kernels, Llama, Precision, Tokenizer};
use llama_ccs::tch::Device;
use llama_ccs::{Extraction, PredictOptions, Predicted, predict};

use super::values::AnyError;

#[derive(clap::Args, Debug)]
pub(crate) struct RankArgs {}

/// The process of this command.
#[derive(Debug)]
pub(crate) struct Processes;

impl RankArgs {
    #[allow(clippy::unused_self)]
    pub(crate) fn run(
        &self,
        _signals: &Signals,
        work: impl FnOnce(&Processes) -> Result<ExitCode, AnyError>,
    ) -> Result<ExitCode, AnyError> {
        work(&Processes)
    }

    #[allow(clippy::unused_self)]
    pub(crate) fn starts_several(&self) -> bool {
        false
    }
}

#[allow(clippy::unused_self)]
impl Processes {
    pub(crate) fn one() -> Self {
        Self
    }

    pub(crate) fn check_together(&self, _wanted: usize) -> Result<(), AnyError> {
        Ok(())
    }

    pub(crate) fn load(
        &self,
        checkpoint: &Checkpoint,
        computing: (Precision, Kernels),
        device: Device,
    ) -> Result<Llama, AnyError> {
        Ok(Llama::load(checkpoint, computing.0, device)?.with_kernels(computing.1)?)
    }

    pub(crate) fn predict(
        &self,
        (fitted, checkpoint, tokenizer): (&Fitted, &Checkpoint, &Tokenizer),
        pairs: &[TokenizedPair],
        options: &PredictOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Predicted, AnyError> {
        Ok(predict(fitted, checkpoint, tokenizer, pairs, options, progress)?)
    }

    pub(crate) fn explained<T>(&self, done: Result<T, llama_core::Error>) -> Result<T, AnyError> {
        Ok(done?)
    }

    pub(crate) fn is_first(&self) -> bool {
        true
    }

    pub(crate) fn decided<T>(
        &self,
        _name: &str,
        decide: impl FnOnce() -> Result<T, AnyError>,
    ) -> Result<T, AnyError> {
        decide()
    }

    pub(crate) fn device(&self, name: &str) -> String {
        name.to_owned()
    }

    pub(crate) fn threads(&self) -> Option<usize> {
        None
    }

    pub(crate) fn divide<'a>(&'a self, extraction: Extraction<'a>) -> Extraction<'a> {
        extraction
    }

    pub(crate) fn signed(&self, text: &str) -> String {
        text.to_owned()
    }
}

pub(crate) fn hint(_error: &(dyn std::error::Error + 'static)) -> Option<String> {
    None
}

pub(crate) fn exit_code(_error: &(dyn std::error::Error + 'static)) -> Option<u8> {
    None
}

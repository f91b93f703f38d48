//! Where this program was built without several processes: the one there is.

use std::process::ExitCode;

use host::program::Signals;
use llama_ccs::Extraction;

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
}

#[allow(clippy::unused_self)]
impl Processes {
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

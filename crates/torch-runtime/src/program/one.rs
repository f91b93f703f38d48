//! Where this program was built without several processes: the one there is.

use std::process::ExitCode;

use host::program::Signals;

use super::AnyError;

#[allow(missing_docs)] // it would be the help of the command that has them
#[derive(clap::Args, Debug)]
pub struct RankArgs {}

/// The process of this command.
#[derive(Debug)]
pub struct Processes;

impl RankArgs {
    /// Runs a command in this process.
    ///
    /// # Errors
    /// Those of `work`.
    #[allow(clippy::unused_self)]
    pub fn run(
        &self,
        _signals: &Signals,
        work: impl FnOnce(&Processes) -> Result<ExitCode, AnyError>,
    ) -> Result<ExitCode, AnyError> {
        work(&Processes)
    }

    /// Whether it starts several processes.
    #[allow(clippy::unused_self)]
    pub fn starts_several(&self) -> bool {
        false
    }
}

#[allow(clippy::unused_self)]
impl Processes {
    /// One process, whoever started it.
    pub fn alone() -> Self {
        Self
    }

    /// Whether this is the process that speaks and writes.
    pub fn is_first(&self) -> bool {
        true
    }

    /// What the first process decides, for all.
    ///
    /// # Errors
    /// Those of `decide`.
    pub fn decided<T>(
        &self,
        _name: &str,
        decide: impl FnOnce() -> Result<T, AnyError>,
    ) -> Result<T, AnyError> {
        decide()
    }

    /// The device of this process.
    pub fn device(&self, name: &str) -> String {
        name.to_owned()
    }

    /// How many threads each computes with, where nothing else is said.
    pub fn threads(&self) -> Option<usize> {
        None
    }

    /// What a process other than the first says of itself.
    pub fn signed(&self, text: &str) -> String {
        text.to_owned()
    }
}

/// What to do about an error of ranks.
pub fn hint(_error: &(dyn std::error::Error + 'static)) -> Option<String> {
    None
}

/// The exit code of an error that another process or the network is to blame for.
pub fn exit_code(_error: &(dyn std::error::Error + 'static)) -> Option<u8> {
    None
}

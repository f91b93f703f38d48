//! One command by several processes: how they come about, and what each of them does differently.

#![allow(clippy::doc_markdown)] // doc comments of flags are help texts, read on a terminal

use std::process::ExitCode;
use std::time::Duration;

use host::program::{Hinted, Signals, at_least_one, launch, time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::AnyError;
use crate::dist::{Cause, Error, Launcher, Lost, Patience, Ranks, World};

/// A rank was lost: what ended the command is elsewhere, and it can be repeated (EX_TEMPFAIL).
const TEMPORARY: u8 = 75;
/// How long a command may take to end by itself after a rank was lost.
const GRACE: Duration = Duration::from_secs(3);

// No doc comment: it would be the help of the command that has them.
#[allow(missing_docs)]
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Several processes")]
pub struct RankArgs {
    /// Start N processes on this host and divide the work among them. Under torchrun, or with RANK, WORLD_SIZE,
    /// MASTER_ADDR and MASTER_PORT set, the processes that were started divide it.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    ranks: Option<usize>,
    /// Who started the processes, if neither torchrun nor the variables above: slurm (srun), or mpi (Open MPI, MPICH).
    #[arg(long, value_name = "LAUNCHER", value_enum, default_value = "env")]
    launcher: LauncherArg,
    /// How long another process may be silent before it is given up. For all to come, twenty times as long is waited.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    peer_timeout: Duration,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LauncherArg {
    Env,
    Slurm,
    Mpi,
}

/// The processes of this command, as this one sees them.
#[derive(Debug)]
pub struct Processes(Option<Ranks>);

impl RankArgs {
    /// Runs a command in this process, alone or as one of several, or starts the processes that do.
    ///
    /// # Errors
    /// Those of `work`; what a launcher's variables lack; ranks that do not come or are lost.
    pub fn run(
        &self,
        signals: &Signals,
        work: impl FnOnce(&Processes) -> Result<ExitCode, AnyError>,
    ) -> Result<ExitCode, AnyError> {
        let world = self.world()?;
        match (world, self.ranks.filter(|ranks| *ranks > 1)) {
            (Some(world), Some(_)) if !launch::is_started() => {
                let (rank, size) = (world.rank, world.size);
                let problem =
                    format!("`ranks` starts processes, and this one already is rank {rank} of {size}");
                Err(Hinted::new(problem, "leave `ranks` out: whoever started this process says how many")
                    .into())
            }
            (Some(world), _) => self.as_rank(&world, work),
            (None, Some(ranks)) => launch::together(ranks, signals),
            (None, None) => work(&Processes(None)),
        }
    }

    /// Whether it starts several processes.
    pub fn starts_several(&self) -> bool {
        self.ranks.is_some_and(|ranks| ranks > 1) && !launch::is_started()
    }

    fn world(&self) -> Result<Option<World>, AnyError> {
        Ok(World::from_env(match self.launcher {
            LauncherArg::Env => Launcher::Environment,
            LauncherArg::Slurm => Launcher::Slurm,
            LauncherArg::Mpi => Launcher::Mpi,
        })?)
    }

    fn as_rank(
        &self,
        world: &World,
        work: impl FnOnce(&Processes) -> Result<ExitCode, AnyError>,
    ) -> Result<ExitCode, AnyError> {
        launch::end_with_parent();
        let patience = Patience { join: 20 * self.peer_timeout, peer: self.peer_timeout };
        let waiting = |missing: &[usize]| {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            host::program::say(&format!("waiting for ranks {} of {}", missing.join(", "), world.size));
        };
        let ranks =
            Ranks::join(world, patience, waiting, give_up).inspect_err(|error| for_torchrun(error))?;
        let processes = Processes(Some(ranks));
        let done = work(&processes);
        let Some(ranks) = processes.0 else { return done };
        match done {
            Ok(code) => ranks.leave().map(|()| code).map_err(Into::into),
            Err(error) => {
                for_torchrun(error.as_ref());
                ranks.fail(error.as_ref());
                Err(error)
            }
        }
    }
}

/// After a rank was lost, ends a process that does not end by itself.
fn give_up(lost: &Lost) {
    let (code, hint) = match lost.cause {
        Cause::Failed(_) => (1, "that rank's own message says more"),
        _ => (TEMPORARY, "the same command continues"),
    };
    let error = Hinted::new(lost.to_string(), hint);
    let end = move || {
        std::thread::sleep(GRACE);
        host::program::fail_now(&error, code)
    };
    // Without it, what the command waits for ends it.
    let _ = host::threads::spawn::<(), _>("grace", end);
}

/// What to do about an error of ranks.
pub fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if error.is::<launch::Killed>() {
        return Some("the same command continues".to_owned());
    }
    error.downcast_ref::<Error>()?.hint()
}

/// The exit code of an error that another process or the network is to blame for.
pub fn exit_code(error: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if error.is::<launch::Killed>() {
        return Some(TEMPORARY);
    }
    match Error::of(error)? {
        Error::Lost(lost) if matches!(lost.cause, Cause::Failed(_)) => None,
        Error::Lost(_) | Error::Missing { .. } | Error::Store { .. } | Error::Exchange { .. } => {
            Some(TEMPORARY)
        }
        _ => None,
    }
}

/// Leaves an error where torchrun's summary of all processes finds it.
fn for_torchrun(error: &(dyn std::error::Error + 'static)) {
    let Some(file) = std::env::var_os("TORCHELASTIC_ERROR_FILE") else { return };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let timestamp = now.map_or(0, |time| time.as_secs());
    let message =
        json!({ "message": { "message": error.to_string(), "extraInfo": { "timestamp": timestamp } } });
    // The error itself is on stderr, too.
    let _ = host::files::replace(file, message.to_string().as_bytes());
}

impl Processes {
    /// One process, whoever started it.
    pub fn alone() -> Self {
        Self(None)
    }

    /// Whether this is the process that speaks and writes.
    pub fn is_first(&self) -> bool {
        self.0.as_ref().is_none_or(Ranks::is_first)
    }

    /// What the first process decides, for all.
    ///
    /// # Errors
    /// Those of `decide`; a rank that is lost.
    pub fn decided<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        decide: impl FnOnce() -> Result<T, AnyError>,
    ) -> Result<T, AnyError> {
        match &self.0 {
            Some(ranks) => ranks.decided(name, decide),
            None => decide(),
        }
    }

    /// The device of this process: of several GPUs of a host, one for each.
    pub fn device(&self, name: &str) -> String {
        match &self.0 {
            Some(ranks) if name == "cuda" => format!("cuda:{}", ranks.on_host().0),
            _ => name.to_owned(),
        }
    }

    /// How many threads each computes with, where nothing else is said: the host's cores are for all of its processes.
    pub fn threads(&self) -> Option<usize> {
        let (_, here) = self.0.as_ref()?.on_host();
        // torchrun sets the variable to 1 where nobody has; whoever else sets it means it.
        let meant = std::env::var_os("OMP_NUM_THREADS").is_some()
            && std::env::var_os("TORCHELASTIC_RUN_ID").is_none();
        (!meant).then(|| (host::threads::cores() / here).max(1))
    }

    /// The ranks among which the work is divided, where there are several.
    pub fn ranks(&self) -> Option<&Ranks> {
        self.0.as_ref()
    }

    /// What a process other than the first says of itself.
    pub fn signed(&self, text: &str) -> String {
        match &self.0 {
            Some(ranks) if !ranks.is_first() => format!("rank {}: {text}", ranks.rank()),
            _ => text.to_owned(),
        }
    }
}

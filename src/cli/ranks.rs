//! One command by several processes: how they come about, and what each of them does differently.

use std::process::ExitCode;
use std::time::Duration;

use host::program::{Hinted, Signals};
use llama_ccs::boolq::TokenizedPair;
use llama_ccs::ccs_trainer::Fitted;
use llama_ccs::llama_core::{self, Checkpoint, Kernels, Llama, Precision, Tokenizer};
use llama_ccs::tch::Device;
use llama_ccs::torch_runtime::dist::{Cause, Launcher, Lost, World};
use llama_ccs::{
    Error, Extraction, Patience, PredictOptions, Predicted, Ranks, lost_or, predict, predict_together,
    sharded,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::values::{AnyError, at_least_one};
use super::{launch, output};

/// A rank was lost: what ended the command is elsewhere, and it can be repeated (EX_TEMPFAIL).
const TEMPORARY: u8 = 75;
/// How long a command may take to end by itself after a rank was lost.
const GRACE: Duration = Duration::from_secs(3);

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Several processes")]
pub(crate) struct RankArgs {
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

/// `30s`, `500ms`, `2min`
fn time(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 3] = [("ms", 1e-3), ("min", 60.0), ("s", 1.0)];
    let found = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)));
    let (number, unit) = found.unwrap_or((text, 1.0));
    let seconds = number.trim().parse::<f64>().ok().map(|number| number * unit);
    let fitting = seconds.filter(|seconds| (0.2..=86_400.0).contains(seconds));
    fitting
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("`{text}` is no time from 200ms to a day, such as 30s"))
}

/// The processes of this command, as this one sees them.
#[derive(Debug)]
pub(crate) struct Processes(Option<Ranks>);

impl RankArgs {
    /// Runs a command in this process, alone or as one of several, or starts the processes that do.
    pub(crate) fn run(
        &self,
        signals: &Signals,
        work: impl FnOnce(&Processes) -> Result<ExitCode, AnyError>,
    ) -> Result<ExitCode, AnyError> {
        let world = self.world()?;
        match (world, self.ranks.filter(|ranks| *ranks > 1)) {
            (Some(world), Some(_)) if !launch::is_started() => {
                let (rank, size) = (world.rank, world.size);
                let problem =
                    format!("`--ranks` starts processes, and this one already is rank {rank} of {size}");
                Err(Hinted::new(problem, "leave `--ranks` out: whoever started this process says how many")
                    .into())
            }
            (Some(world), _) => self.as_rank(&world, work),
            (None, Some(ranks)) => launch::together(ranks, signals),
            (None, None) => work(&Processes(None)),
        }
    }

    /// Whether it starts several processes.
    pub(crate) fn starts_several(&self) -> bool {
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
            output::say(&format!("waiting for ranks {} of {}", missing.join(", "), world.size));
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
                match error.downcast_ref::<Error>() {
                    Some(own) => ranks.fail(own),
                    None => ranks.fail_with(&error.to_string()),
                }
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

/// What to do about a rank that was killed.
pub(crate) fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    error.is::<launch::Killed>().then(|| "the same command continues".to_owned())
}

/// The exit code of an error that another process or the network is to blame for.
pub(crate) fn exit_code(error: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if error.is::<launch::Killed>() {
        return Some(TEMPORARY);
    }
    match error.downcast_ref::<Error>()? {
        Error::Lost(lost) if matches!(lost.cause, Cause::Failed(_)) => None,
        Error::Lost(_) | Error::Ranks(_) => Some(TEMPORARY),
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
    pub(crate) fn one() -> Self {
        Self(None)
    }

    /// Whether so many processes are to hold a model together, and as many are there.
    pub(crate) fn check_together(&self, wanted: usize) -> Result<(), AnyError> {
        let there = self.0.as_ref().map_or(1, Ranks::size);
        if there == wanted {
            return Ok(());
        }
        let reason = if there == 1 { "there is one".to_owned() } else { format!("there are {there}") };
        Err(Error::TensorParallel { wanted, reason }.into())
    }

    /// A model, or this process's part of it.
    pub(crate) fn load(
        &self,
        checkpoint: &Checkpoint,
        computing: (Precision, Kernels),
        device: Device,
    ) -> Result<Llama, AnyError> {
        match &self.0 {
            Some(ranks) => Ok(sharded(ranks, checkpoint, computing, device)?),
            None => Ok(Llama::load(checkpoint, computing.0, device)?.with_kernels(computing.1)?),
        }
    }

    /// What a model gave, or why it did not: a rank that was lost, where one was.
    pub(crate) fn explained<T>(&self, done: Result<T, llama_core::Error>) -> Result<T, AnyError> {
        done.map_err(|error| match &self.0 {
            Some(ranks) => lost_or(ranks, error.into()).into(),
            None => error.into(),
        })
    }

    /// Predictions by a model, or by all processes that hold it together.
    pub(crate) fn predict(
        &self,
        (fitted, checkpoint, tokenizer): (&Fitted, &Checkpoint, &Tokenizer),
        pairs: &[TokenizedPair],
        options: &PredictOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Predicted, AnyError> {
        Ok(match &self.0 {
            Some(ranks) => predict_together(ranks, fitted, checkpoint, tokenizer, pairs, options, progress)?,
            None => predict(fitted, checkpoint, tokenizer, pairs, options, progress)?,
        })
    }

    /// Whether this is the process that speaks and writes.
    pub(crate) fn is_first(&self) -> bool {
        self.0.as_ref().is_none_or(Ranks::is_first)
    }

    /// What the first process decides, for all.
    pub(crate) fn decided<T: Serialize + DeserializeOwned>(
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
    pub(crate) fn device(&self, name: &str) -> String {
        match &self.0 {
            Some(ranks) if name == "cuda" => format!("cuda:{}", ranks.on_host().0),
            _ => name.to_owned(),
        }
    }

    /// How many threads each computes with, where nothing else is said: the host's cores are for all of its processes.
    pub(crate) fn threads(&self) -> Option<usize> {
        let (_, here) = self.0.as_ref()?.on_host();
        // torchrun sets the variable to 1 where nobody has; whoever else sets it means it.
        let meant = std::env::var_os("OMP_NUM_THREADS").is_some()
            && std::env::var_os("TORCHELASTIC_RUN_ID").is_none();
        (!meant).then(|| (host::threads::cores() / here).max(1))
    }

    /// The same extraction, divided among the processes.
    pub(crate) fn divide<'a>(&'a self, extraction: Extraction<'a>) -> Extraction<'a> {
        match &self.0 {
            Some(ranks) => extraction.among(ranks),
            None => extraction,
        }
    }

    /// What a process other than the first says of itself.
    pub(crate) fn signed(&self, text: &str) -> String {
        match &self.0 {
            Some(ranks) if !ranks.is_first() => format!("rank {}: {text}", ranks.rank()),
            _ => text.to_owned(),
        }
    }
}

//! `--ranks N`: this program again, as the ranks of this host.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::ops::Range;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Signals, Stderr};
use crate::threads;

/// Whatever a rank's command or the system says.
type AnyError = Box<dyn std::error::Error>;

/// Set in the processes that are started here, to the number of the one that did.
const PARENT: &str = "LLAMA_CCS_PARENT";
/// Below those of connections (32,768 and up, `ip_local_port_range`).
const PORTS: Range<u16> = 15_000..32_000;
/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long the others may take to end by themselves after one has failed.
const GRACE: Duration = Duration::from_secs(5);

/// Whether this process was started as a rank by [`together`].
pub fn is_started() -> bool {
    std::env::var_os(PARENT).is_some()
}

/// Ends this process, as SIGTERM does, with the one that started it.
pub fn end_with_parent() {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|parent| parent.parse::<u32>().ok()) else {
        return;
    };
    // A system that refuses leaves a process that ends by itself, its peers being lost.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    if std::os::unix::process::parent_id() != parent {
        let _ = kill_process(rustix::process::getpid(), Signal::TERM);
    }
}

/// A port of this host that nobody has: of those that the system does not give to connections, which could take it before
/// rank 0 does. Jobs that start at the same time begin to look at different ones.
fn free_port() -> std::io::Result<u16> {
    let own = PORTS.start + (std::process::id() % (PORTS.len() as u32)) as u16;
    let free = |port: &u16| TcpListener::bind(("0.0.0.0", *port)).is_ok();
    let found = (own..PORTS.end).chain(PORTS.start..own).find(free);
    found.ok_or_else(|| std::io::Error::other("no port from 15,000 to 32,000 is free"))
}

/// This program as `size` ranks, each made by `command`.
///
/// # Errors
/// What the system refuses.
pub fn spawn(size: usize, command: impl Fn(usize, &mut Command)) -> Result<Vec<Child>, AnyError> {
    let (program, port) = (std::env::current_exe()?, free_port()?);
    let rank = |rank: usize| {
        let mut rank_command = Command::new(&program);
        for (name, value) in
            [("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", size), ("LOCAL_WORLD_SIZE", size)]
        {
            rank_command.env(name, value.to_string());
        }
        rank_command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
        rank_command.env(PARENT, std::process::id().to_string());
        rank_command.env_remove("TORCHELASTIC_USE_AGENT_STORE");
        // A group of its own: what the terminal sends reaches this process, which passes it on once.
        std::os::unix::process::CommandExt::process_group(&mut rank_command, 0);
        command(rank, &mut rank_command);
        rank_command.spawn()
    };
    let mut started = Vec::new();
    for number in 0..size {
        match rank(number) {
            Ok(child) => started.push(child),
            Err(error) => {
                for mut child in started {
                    let _ = child.kill();
                }
                return Err(error.into());
            }
        }
    }
    Ok(started)
}

/// Runs this command line as ranks of this host to their end; the exit code is theirs.
///
/// # Errors
/// What the system refuses; a rank that a signal killed.
pub fn together(size: usize, signals: &Signals) -> Result<ExitCode, AnyError> {
    let stop = signals.drains();
    let mut ranks = spawn(size, |rank, command| {
        command.args(std::env::args_os().skip(1));
        if rank > 0 {
            command.stdout(Stdio::null()).stderr(Stdio::piped());
        }
    })?;
    let said: Vec<_> = ranks.iter_mut().map(pass_on).collect();
    let mut ended: Vec<Option<ExitStatus>> = vec![None; size];
    let (mut told, mut first_end) = (false, None);
    while ended.iter().any(Option::is_none) {
        for (child, ended) in ranks.iter_mut().zip(&mut ended).filter(|(_, ended)| ended.is_none()) {
            *ended = child.try_wait()?;
        }
        if !told && stop.load(Ordering::SeqCst) {
            told = true;
            tell(&ranks, &ended, if signals.exit_code() == 143 { Signal::TERM } else { Signal::INT })?;
        }
        // Whoever waits for a rank that has ended would find out by its silence only.
        let failed = ended.iter().flatten().any(|status| !status.success());
        let patience = if told { GRACE / 5 } else { GRACE };
        if failed && *first_end.get_or_insert_with(Instant::now) + patience < Instant::now() {
            first_end = Some(Instant::now());
            tell(&ranks, &ended, Signal::TERM)?;
        }
        std::thread::sleep(LOOK);
    }
    let last_words = said.into_iter().map(|thread| thread.and_then(|thread| thread.join().ok()));
    let last_words: Vec<String> = last_words.map(Option::unwrap_or_default).collect();
    let code = told.then(|| signals.exit_code());
    conclude(&ended.into_iter().flatten().collect::<Vec<_>>(), code, &last_words)
}

/// Sends a signal to the ranks that have not ended.
fn tell(ranks: &[Child], ended: &[Option<ExitStatus>], signal: Signal) -> std::io::Result<()> {
    for (child, _) in ranks.iter().zip(ended).filter(|(_, ended)| ended.is_none()) {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        pid.map(|pid| kill_process(pid, signal)).transpose()?;
    }
    Ok(())
}

/// How all have ended, perhaps after a signal with that exit code: rank 0 speaks for them, unless one has been killed.
fn conclude(ended: &[ExitStatus], told: Option<u8>, last_words: &[String]) -> Result<ExitCode, AnyError> {
    let killed = ended
        .iter()
        .enumerate()
        .find_map(|(rank, status)| Some((rank, std::os::unix::process::ExitStatusExt::signal(status)?)));
    if let Some((rank, signal)) = killed {
        // Of our own signal a rank may have died before it listened.
        return match told {
            Some(code) => Ok(ExitCode::from(code)),
            None => Err(Killed { rank, size: ended.len(), signal }.into()),
        };
    }
    let codes: Vec<u8> = ended
        .iter()
        .map(|status| status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
        .collect();
    match codes.as_slice() {
        [0, others @ ..] => match others.iter().position(|code| *code != 0) {
            Some(other) => {
                let _ = Stderr.write_all(last_words[other + 1].as_bytes());
                Ok(ExitCode::from(others[other]))
            }
            None => Ok(ExitCode::SUCCESS),
        },
        [first, ..] => Ok(ExitCode::from(*first)),
        [] => Ok(ExitCode::SUCCESS),
    }
}

/// Passes on what a rank says while it works. What it says of its end is given back: all ranks say the same then, and once
/// is enough.
fn pass_on(child: &mut Child) -> Option<JoinHandle<String>> {
    let lines = BufReader::new(child.stderr.take()?).lines();
    let listen = move || {
        let mut last_words = String::new();
        for line in lines.map_while(Result::ok) {
            if last_words.is_empty() && !line.starts_with("error: ") {
                let _ = Stderr.write_all(format!("{line}\n").as_bytes());
            } else {
                last_words.push_str(&line);
                last_words.push('\n');
            }
        }
        last_words
    };
    // Without it, what the rank says is lost, and the rank goes on.
    threads::spawn("rank", listen).ok()
}

/// A rank that a signal ended.
#[derive(Debug, thiserror::Error)]
#[error("rank {rank} of {size} was killed by signal {signal}")]
pub struct Killed {
    rank: usize,
    size: usize,
    signal: i32,
}

//! Whether processes can talk to each other: `doctor --ranks N`, or `doctor` under a launcher.

use std::error::Error;
use std::process::Stdio;
use std::time::{Duration, Instant};

use host::program::{Hinted, launch};
use llama_ccs::tch::{Device, Kind, Tensor};
use llama_ccs::torch_runtime::dist::{Group, Heartbeat, Lost, Store, World};
use llama_ccs::torch_runtime::{self, machine};
use serde::{Deserialize, Serialize};

/// How long ranks are waited for, and how long one may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// Numbers of the message whose travel is timed: 16 MiB.
const MESSAGE: i64 = 4 << 20;

/// What ranks that met found out.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Talk {
    /// How many there are.
    pub(super) ranks: usize,
    /// The hosts they are on, each once.
    pub(super) hosts: Vec<String>,
    /// Seconds until all had met.
    pub(super) met_in: f64,
    /// Bytes a second from a rank to the next.
    pub(super) bytes_per_second: f64,
}

/// This process's part, as a rank of a world. All ranks find out the same; rank 0 leaves last, since it may serve the store.
///
/// # Errors
/// Ranks that do not come or are lost, a sum that is wrong, what the network refuses.
pub(super) fn talk(world: &World) -> Result<Talk, Box<dyn Error>> {
    torch_runtime::check()?;
    let started = Instant::now();
    let store = Store::join(world, PATIENCE)?;
    let own = machine::host_name();
    let beat = Heartbeat::start(&store, &own, PATIENCE, |lost| leave(&lost))?;
    let group = Group::new(&store, world, "doctor", PATIENCE)?;
    let met_in = started.elapsed().as_secs_f64();

    let sum = Tensor::f_full([3], world.rank as f64 + 1.0, (Kind::Float, Device::Cpu))?;
    group.sum(&sum)?;
    let expected = (world.size * (world.size + 1) / 2) as f64;
    let found = sum.f_double_value(&[2])?;
    if (found - expected).abs() > 0.0 {
        return Err(format!("the ranks add up 1 to {} to {found}", world.size).into());
    }
    let bytes_per_second = pass_on(&group)?;
    store.set(&format!("host/{}", world.rank), own.as_bytes())?;
    group.barrier()?;
    let mut hosts = Vec::new();
    for rank in 0..world.size {
        let host = store.get(&format!("host/{rank}"))?.unwrap_or_default();
        let host = String::from_utf8_lossy(&host).into_owned();
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    beat.leave();
    store.add("left", 1)?;
    while world.rank == 0 && store.add("left", 0)? < world.size as i64 {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(Talk { ranks: world.size, hosts, met_in, bytes_per_second })
}

/// A lost rank ends this one: what it waits for will not come.
fn leave(lost: &Lost) {
    host::program::warn(lost);
    std::process::exit(75);
}

/// A message once round the ring, each rank passing on what it received; bytes a second of one step.
fn pass_on(group: &Group) -> Result<f64, Box<dyn Error>> {
    let (rank, size) = (group.rank(), group.size());
    let (next, before) = ((rank + 1) % size, (rank + size - 1) % size);
    let message = Tensor::f_ones([MESSAGE], (Kind::Float, Device::Cpu))?;
    group.barrier()?;
    let started = Instant::now();
    if rank == 0 {
        group.send(&message, next, 1)?;
        let _ = group.receive(before, 1)?;
    } else {
        let message = group.receive(before, 1)?;
        group.send(&message, next, 1)?;
    }
    group.barrier()?;
    Ok((4 * MESSAGE) as f64 * size as f64 / started.elapsed().as_secs_f64())
}

/// Starts this program as N ranks of this host.
///
/// # Errors
/// What a rank says that failed.
pub(super) fn start(ranks: usize) -> Result<Talk, Box<dyn Error>> {
    let started = launch::spawn(ranks, |_, command| {
        command.args(["doctor", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    })?;
    let mut talk = None;
    for (rank, child) in started.into_iter().enumerate() {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let problem =
                format!("rank {rank} of {ranks} failed: {}", said.trim().trim_start_matches("error: "));
            return Err(Hinted::new(problem, "processes of one host talk over its loopback address").into());
        }
        if rank == 0 {
            talk = Some(serde_json::from_slice(&output.stdout)?);
        }
    }
    talk.ok_or_else(|| "no rank was started".into())
}

impl Talk {
    /// For people.
    pub(super) fn line(&self) -> String {
        let Self { ranks, hosts, met_in, bytes_per_second } = self;
        format!(
            "{ranks} on {} met in {met_in:.2} s and add up right; {:.1} GB/s from one to the next",
            hosts.join(", "),
            bytes_per_second / 1e9
        )
    }
}

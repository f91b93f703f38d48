//! Two GPUs that exchange tensors by NCCL: this program twice, a GPU each.

use std::process::Stdio;
use std::time::{Duration, Instant};

use host::program::launch;
use llama_ccs::llama_core::tch::{Cuda, Device, Kind, Tensor};
use llama_ccs::torch_runtime;
use llama_ccs::torch_runtime::dist::{Group, Launcher, Nccl, Store, World};
use serde_json::{Value, json};

use crate::{AnyError, Bench, round};

const PATIENCE: Duration = Duration::from_mins(1);
/// Numbers of the message whose travel is timed: 256 MiB.
const MESSAGE: i64 = 64 << 20;
const TIMES: u32 = 10;

/// Starts the two.
pub(crate) fn check(bench: &Bench) -> Result<Value, AnyError> {
    let gpus = if bench.device == Device::Cpu { 0 } else { Cuda::device_count() };
    if gpus < 2 {
        return Ok(json!({ "left_out": format!("NCCL connects GPUs, and there are {gpus}") }));
    }
    let ranks = launch::spawn(2, |_, command| {
        command.arg("--as-rank").stdout(Stdio::piped()).stderr(Stdio::piped());
    })?;
    let mut found = Value::Null;
    for (rank, child) in ranks.into_iter().enumerate() {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("rank {rank}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
        }
        if rank == 0 {
            found = serde_json::from_slice(&output.stdout)?;
        }
    }
    Ok(found)
}

/// One of the two: what they exchange must be what they had.
pub(crate) fn as_rank() -> Result<Value, AnyError> {
    let world = World::from_env(Launcher::Environment)?.ok_or("this is no rank")?;
    let (rank, other) = (world.rank, 1 - world.rank);
    let device = torch_runtime::open(&format!("cuda:{rank}"))?;
    let nccl = Nccl::load()?;
    let store = Store::join(&world, PATIENCE)?;
    let group =
        Group::new(&store, &world, "gpus", PATIENCE)?.with_nccl(&nccl, &store, "gpus", rank, PATIENCE)?;
    let mut wrong = Vec::new();
    for kind in [Kind::Float, Kind::BFloat16, Kind::Half, Kind::Double, Kind::Int64] {
        let of = |rank: usize| {
            Tensor::f_arange(6, (Kind::Double, device))
                .and_then(|numbers| numbers.f_add_scalar(10.0 * rank as f64))
                .and_then(|numbers| numbers.f_to_kind(kind))
        };
        let (own, theirs) = (of(rank)?, of(other)?);
        let sum = of(rank)?;
        group.sum(&sum)?;
        let from_first = of(rank)?;
        group.broadcast(&from_first, 0)?;
        let all = group.gather(&own)?;
        let received = if rank == 0 {
            group.send(&own, other, 1)?;
            group.receive(other, 1)?
        } else {
            let received = group.receive(other, 1)?;
            group.send(&own, other, 1)?;
            received
        };
        let expected = [
            ("sum", sum, own.f_add(&theirs)?),
            ("broadcast", from_first, of(0)?),
            ("gather", all, Tensor::f_stack(&[of(0)?, of(1)?], 0)?),
            ("send", received, theirs),
        ];
        let differ = expected.into_iter().filter(|(_, found, expected)| found != expected);
        wrong.extend(differ.map(|(what, ..)| format!("{what} of {kind:?}")));
    }
    let message = Tensor::f_ones([MESSAGE], (Kind::Float, device))?;
    group.sum(&message)?;
    let started = Instant::now();
    for _ in 0..TIMES {
        group.sum(&message)?;
    }
    // Each of two ranks sends as many bytes as the tensor has.
    let rate = f64::from(TIMES) * 4.0 * MESSAGE as f64 / started.elapsed().as_secs_f64();
    group.barrier()?;
    Ok(
        json!({ "passed": wrong.is_empty(), "wrong": wrong, "nccl": nccl.version()?, "sum_bytes_per_second": round(rate) }),
    )
}

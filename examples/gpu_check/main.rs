//! What a machine shows in a few minutes, without network and without cargo: right numbers on its device in every
//! precision, two GPUs that exchange tensors, how fast a 7B model is beside the device's own rate of matrix products, what happens where memory runs out,
//! and the trainer beside the CPU's. Every number goes into one JSON file, after each part.
//!
//! `cargo xtask gpu-check` packs it with what it needs. Here, small: `cargo run --example gpu_check -- --device cpu --small`

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use host::program::{self, Errors, Program};
use llama_ccs::llama_core::tch::Device;
use llama_ccs::torch_runtime;
use serde_json::{Map, Value, json};

mod golden;
mod memory;
mod nccl;
mod rates;
mod shape;
mod trainer;

type AnyError = Box<dyn std::error::Error>;

/// Checks and measures a device. The exit code is 1 if a number is wrong.
#[derive(Parser)]
struct Args {
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cuda")]
    device: String,
    /// The folder with `golden` and `quiz`.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/gpu-check/cases"))]
    cases: PathBuf,
    /// The JSON file with every number.
    #[arg(long, value_name = "FILE", default_value = "gpu-check.json")]
    out: PathBuf,
    /// Seconds for everything: parts that would take longer are left out, and named.
    #[arg(long, default_value_t = 500)]
    seconds: u64,
    /// Small shapes, to try the program itself on a CPU.
    #[arg(long)]
    small: bool,
    /// One of two processes that this program starts.
    #[arg(long, hide = true)]
    as_rank: bool,
}

/// What every part works with.
struct Bench {
    device: Device,
    cases: PathBuf,
    small: bool,
    /// For what is written on the way.
    scratch: PathBuf,
}

fn main() -> ExitCode {
    let errors = Errors::new().hints_of_any(llama_ccs::hint).flags::<Args>();
    Program::new(errors).run(|args: Args, _| {
        if args.as_rank {
            program::json(&nccl::as_rank()?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let passed = job(&args)?;
        Ok::<_, AnyError>(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

fn job(args: &Args) -> Result<bool, AnyError> {
    let mut findings = Findings::new(args);
    let device = torch_runtime::open(&args.device)?;
    let scratch = std::env::temp_dir().join(format!("gpu-check-{}", std::process::id()));
    fs_err::create_dir_all(&scratch)?;
    let bench = Bench { device, cases: args.cases.clone(), small: args.small, scratch };
    findings.part("machine", 0, || Ok(machine(device)))?;
    findings.part("rates", 10, || rates::measure(&bench))?;
    findings.part("golden", 30, || golden::check(&bench))?;
    findings.part("nccl", 30, || nccl::check(&bench))?;
    findings.part("trainer", 60, || trainer::check(&bench))?;
    findings.part("seven_b", 60, || Ok(shape::measure(&bench)))?;
    findings.part("out_of_memory", 30, || memory::check(&bench))?;
    fs_err::remove_dir_all(&bench.scratch)?;
    program::note(&format!("every number is in {}", args.out.display()));
    Ok(findings.passed)
}

/// What is known so far, on disk after each part.
struct Findings {
    out: PathBuf,
    started: Instant,
    limit: Duration,
    parts: Map<String, Value>,
    passed: bool,
}

impl Findings {
    fn new(args: &Args) -> Self {
        let limit = Duration::from_secs(args.seconds);
        Self { out: args.out.clone(), started: Instant::now(), limit, parts: Map::new(), passed: true }
    }

    /// Runs a part if it is likely to end in time. What goes wrong in it is a finding, and the next part follows.
    fn part(
        &mut self,
        name: &str,
        seconds: u64,
        run: impl FnOnce() -> Result<Value, AnyError>,
    ) -> Result<(), AnyError> {
        let started = Instant::now();
        let mut found = if self.started.elapsed() + Duration::from_secs(seconds) > self.limit {
            json!({ "left_out": "there was no time" })
        } else {
            run().unwrap_or_else(|error| json!({ "passed": false, "error": error.to_string() }))
        };
        let passed = found.get("passed").and_then(Value::as_bool);
        self.passed &= passed != Some(false);
        if let Value::Object(members) = &mut found {
            members.insert("seconds".to_owned(), json!(round(started.elapsed().as_secs_f64())));
            members.insert("memory_after".to_owned(), memory_in_use());
        }
        program::note(&format!("{name}: {found}"));
        self.parts.insert(name.to_owned(), found);
        let all = json!({ "passed": self.passed, "parts": self.parts });
        Ok(host::files::replace(&self.out, serde_json::to_string_pretty(&all)?.as_bytes())?)
    }
}

fn machine(device: Device) -> Value {
    let gpu = asked("nvidia-smi", &["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]);
    json!({
        "device": format!("{device:?}"), "gpu": gpu,
        "libtorch": torch_runtime::loaded_version(), "kernels": torch_runtime::cpu_capability(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
    })
}

/// The GPU's memory in use, which LibTorch does not give back, so that it is the most that was used; and this process's
/// own most.
fn memory_in_use() -> Value {
    let gpu = asked("nvidia-smi", &["--query-gpu=memory.used", "--format=csv,noheader"]);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(str::trim);
    json!({ "gpu": gpu, "process_peak": peak })
}

fn asked(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Four digits are enough for a measurement.
fn round(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

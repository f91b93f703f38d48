//! `cargo xtask kernels`: the numeric tests once more, computed as other CPUs would compute.
//!
//! LibTorch takes its kernels by what the CPU can do, in three places: loops of its own (ATen), products of f32 and f64
//! (MKL), products of bf16 (oneDNN, or MKL where oneDNN has none for the CPU). Variables make each of them compute as an
//! older CPU does. A test that holds with one machine's kernels alone fails here, and not on another's machine.

use std::process::Command;
use std::time::Instant;

use crate::libtorch;
use crate::shell::{self, Result};

/// A part of LibTorch that takes its kernels by the CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Aten,
    Mkl,
    OneDnn,
}

/// A variable that makes a part compute otherwise than this CPU would have it.
struct Variable {
    name: &'static str,
    value: &'static str,
    part: Part,
    /// What the part says of itself then, on any CPU.
    says: &'static str,
    /// MKL heeds it on Intel's CPUs alone.
    intel_only: bool,
}

impl Variable {
    const fn new(name: &'static str, value: &'static str, part: Part, says: &'static str) -> Self {
        Self { name, value, part, says, intel_only: false }
    }

    /// What came of setting it, from what the part says of itself without and with it.
    fn effect(&self, own: &str, found: &str, intel: bool) -> Effect {
        if found == own && own.contains(self.says) {
            return Effect::Skipped("this CPU's own kernels are those");
        }
        if found == own && self.intel_only && !intel {
            return Effect::Skipped("MKL heeds it on Intel's CPUs alone");
        }
        if found != own && found.contains(self.says) { Effect::Changed } else { Effect::Ignored }
    }
}

/// What came of setting a variable.
#[derive(PartialEq, Eq, Debug)]
enum Effect {
    /// Other kernels compute.
    Changed,
    /// There is nothing to be seen on this CPU, and why.
    Skipped(&'static str),
    /// There should be.
    Ignored,
}

/// Each is set once, with two threads and one in turn. (MKL's kernels for all CPUs share out even the smallest product, which
/// takes ten times as long; they are run with one.)
const VARIABLES: [Variable; 5] = [
    Variable::new("ATEN_CPU_CAPABILITY", "avx2", Part::Aten, "AVX2"),
    Variable::new("ATEN_CPU_CAPABILITY", "default", Part::Aten, "DEFAULT"),
    Variable::new("ONEDNN_MAX_CPU_ISA", "AVX2", Part::OneDnn, NOT_CALLED),
    Variable::new("MKL_CBWR", "COMPATIBLE", Part::Mkl, "CNR:COMPATIBLE"),
    Variable {
        intel_only: true,
        ..Variable::new("MKL_ENABLE_INSTRUCTIONS", "AVX2", Part::Mkl, "Advanced Vector Extensions 2 ")
    },
];

/// Of a part that computed nothing: LibTorch gives products of bf16 to oneDNN only where it has AVX-512 for them.
const NOT_CALLED: &str = "not called";

/// Where tests compare numbers: parts of their names.
const TESTS: [&str; 31] = [
    // Unit tests of `ccs`.
    "calibrate::",
    "erase::",
    "loss::",
    "methods::bss::",
    "methods::ccs::",
    "methods::eigen::",
    "methods::quadratic::",
    "normalize::",
    "probe::",
    // `ccs` against oracles and planted truth, and where runs promise equal bytes.
    "closed_forms::",
    "few_rows::",
    "fits::adamw",
    "fits::lbfgs",
    "methods::a_seed",
    "methods::test_rows",
    "oracle::",
    "planted::",
    "recursive::every_start",
    "recursive::from_zero",
    "runs::threads",
    "supervised::",
    // `llama-core`, golden states, and the crates together.
    "edits::",
    "golden::",
    "hooks::",
    "layouts::meta",
    "lean::",
    "memory::a_deterministic",
    "predict::a_pool",
    "predict::in_the_stores",
    "sharing::",
    "tokens::",
];

pub fn run(args: &[String]) -> Result {
    shell::none("kernels", args)?;
    libtorch::ready()?;
    check()
}

/// The check itself, with LibTorch in place.
pub fn check() -> Result {
    // The tests' build has the program in it; `cargo build` would have other features of the dependencies.
    shell::run_command(tests().arg("--no-run"))?;
    let own = [Part::Aten, Part::Mkl, Part::OneDnn].map(|part| (part, says(part, None)));
    let mut computed = Vec::new();
    for (number, variable) in VARIABLES.iter().enumerate() {
        let Variable { name, value, part, .. } = *variable;
        let own = own.iter().find(|(of, _)| *of == part).map(|(_, text)| text.clone()).transpose()?;
        let (own, found) = (own.unwrap_or_default(), says(part, Some(variable))?);
        match variable.effect(&own, &found, is_intel()) {
            Effect::Changed => {}
            Effect::Skipped(why) => {
                eprintln!("{name}={value}: skipped, {why} ({own})");
                continue;
            }
            Effect::Ignored => {
                return Err(format!(
                    "{name}={value} did not change what {part:?} computes with: it says `{found}`, and `{own}` without it"
                ));
            }
        }
        let threads = 2 - number % 2;
        eprintln!("{name}={value}, threads {threads}: {found}");
        let started = Instant::now();
        let mut command = tests();
        command.arg("--").args(TESTS).env(name, value).env("OMP_NUM_THREADS", threads.to_string());
        // Threads that wait for one another give their cores away: tests run side by side.
        shell::run_command(command.env("OMP_WAIT_POLICY", "PASSIVE"))?;
        computed.push(format!("{name}={value} ({} s)", started.elapsed().as_secs()));
    }
    eprintln!("numeric tests passed as computed with {}", computed.join(", "));
    Ok(())
}

/// Whether the CPU is Intel's, as Linux has it.
fn is_intel() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|about| about.contains("GenuineIntel"))
}

/// `cargo test` as the whole suite is built, so that nothing is compiled again.
fn tests() -> Command {
    let mut command = shell::cargo_command();
    command.args(["test", "--workspace", "--quiet", "--lib", "--test", "it"]);
    command
}

/// What a part says of its kernels, with a variable set or as it is here.
fn says(part: Part, variable: Option<&Variable>) -> Result<String> {
    let mut command = Command::new(shell::target().join("debug/llama-ccs"));
    command.current_dir(shell::root()).env("NO_COLOR", "1");
    for Variable { name, .. } in &VARIABLES {
        command.env_remove(name);
    }
    if let Some(variable) = variable {
        command.env(variable.name, variable.value);
    }
    let generate =
        ["generate", "--model", "examples/quiz/model", "--temperature", "0", "--max-new-tokens", "1"];
    let printed = match part {
        Part::Aten => command.args(["doctor", "--json"]),
        Part::Mkl => {
            command.args(generate).args(["--dtype", "f32", "The cup is red."]).env("MKL_VERBOSE", "1")
        }
        Part::OneDnn => {
            command.args(generate).args(["--dtype", "bf16", "The cup is red."]).env("ONEDNN_VERBOSE", "1")
        }
    };
    let printed = shell::output_of(printed)?;
    let between = |start: &str, end: &str| -> Option<String> {
        let (_, rest) = printed.split_once(start)?;
        Some(rest.split(end).next().unwrap_or_default().to_owned())
    };
    let found = match part {
        Part::Aten => between("\"kernels\":\"", "\"").or_else(|| between("\"kernels\": \"", "\"")),
        // `… for Intel(R) 64 architecture ISA, Lnx 2.30GHz lp64 gnu_thread`, then a line a call that ends in `CNR:OFF …`.
        Part::Mkl => between("64 architecture ", ", Lnx")
            .zip(between(" CNR:", " "))
            .map(|(isa, cnr)| format!("{isa} CNR:{cnr}")),
        Part::OneDnn => Some(between("info,cpu,isa:", "\n").unwrap_or_else(|| NOT_CALLED.to_owned())),
    };
    found.ok_or_else(|| format!("{part:?} does not say what it computes with:\n{printed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_changes_nothing_is_a_failure_unless_the_cpu_explains_it() {
        let [avx2, _, onednn, compatible, intel] = &VARIABLES;
        assert_eq!(avx2.effect("AVX512", "AVX2", true), Effect::Changed);
        assert_eq!(avx2.effect("AVX512", "AVX512", true), Effect::Ignored);
        assert!(matches!(avx2.effect("AVX2", "AVX2", false), Effect::Skipped(_)));
        assert_eq!(onednn.effect("Intel AVX-512 with Intel DL Boost", NOT_CALLED, true), Effect::Changed);
        assert!(matches!(onednn.effect(NOT_CALLED, NOT_CALLED, false), Effect::Skipped(_)));
        let own = "Intel(R) Advanced Vector Extensions 512 (Intel(R) AVX-512) CNR:OFF";
        assert_eq!(
            compatible.effect(own, "Intel(R) Architecture processors CNR:COMPATIBLE", true),
            Effect::Changed
        );
        assert_eq!(compatible.effect(own, own, false), Effect::Ignored);
        let narrower = "Intel(R) Advanced Vector Extensions 2 (Intel(R) AVX2) enabled processors CNR:OFF";
        assert_eq!(intel.effect(own, narrower, true), Effect::Changed);
        assert_eq!(intel.effect(own, own, true), Effect::Ignored);
        assert!(matches!(intel.effect(own, own, false), Effect::Skipped(_)));
    }
}

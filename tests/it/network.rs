//! Processes on two hosts: network namespaces of this machine with a link of 1 Gb/s between them, where those may be made.

#![cfg(feature = "distributed")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{contents, extract, prompts, quiz};

/// Two namespaces and the link between them; gone with this value.
struct TwoHosts {
    names: [String; 2],
}

/// Runs `ip` or `tc`; whether it succeeded.
fn run(command: &str) -> bool {
    let mut words = command.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// For who reads the test's output.
#[allow(clippy::print_stdout)]
fn said(text: &str) {
    println!("{text}");
}

impl TwoHosts {
    /// None where namespaces may not be made.
    fn new() -> Option<Self> {
        let id = std::process::id();
        let hosts = Self { names: [format!("ccs-{id}-a"), format!("ccs-{id}-b")] };
        let [a, b] = &hosts.names;
        let made = run(&format!("ip netns add {a}"))
            && run(&format!("ip netns add {b}"))
            && run(&format!("ip -n {a} link add v0 type veth peer name v0 netns {b}"));
        let up = made
            && [(a, 1), (b, 2)].into_iter().all(|(name, number)| {
                run(&format!("ip -n {name} addr add 10.231.7.{number}/24 dev v0"))
                    && run(&format!("ip -n {name} link set lo up"))
                    && run(&format!("ip -n {name} link set v0 up"))
            });
        // Without the token bucket the link is faster: nothing else changes.
        let slow = |name: &str| {
            run(&format!(
                "ip netns exec {name} tc qdisc add dev v0 root tbf rate 1gbit burst 256kb latency 50ms"
            ))
        };
        let slow = up && hosts.names.iter().all(|name| slow(name));
        said(&format!("1 Gb/s: {slow}"));
        up.then_some(hosts)
    }

    /// A rank of two on its host.
    fn start(&self, rank: usize, prompts: &Path, store: &Path, arguments: &[&str]) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[rank]]).arg(assert_cmd::cargo::cargo_bin!("llama-ccs"));
        command.arg("extract").arg("--model").arg(quiz().join("model"));
        command.arg("--prompts").arg(prompts).arg("--out").arg(store).args(arguments);
        command.args(["--peer-timeout", "2s"]).env("OMP_NUM_THREADS", "1").env("LLAMA_CCS_CACHE", "");
        command.env("MASTER_ADDR", "10.231.7.1").env("MASTER_PORT", "29500");
        command.env("RANK", rank.to_string()).env("WORLD_SIZE", "2");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started")
    }
}

impl Drop for TwoHosts {
    fn drop(&mut self) {
        for name in &self.names {
            run(&format!("ip netns del {name}"));
        }
    }
}

#[test]
fn two_hosts_give_the_bytes_of_one_and_both_end_when_the_link_is_cut() {
    let Some(hosts) = TwoHosts::new() else {
        return said("SKIPPED: network namespaces may not be made here");
    };
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 200);
    let whole = folder.path().join("whole");
    let small = ["--batch-tokens", "100", "--deterministic"];
    extract(&prompts, &whole).args(small).assert().success();
    for stages in ["1", "2"] {
        let store = folder.path().join(stages);
        let arguments = [&small[..], &["--pp", stages]].concat();
        let ranks = [0, 1].map(|rank| hosts.start(rank, &prompts, &store, &arguments));
        for rank in ranks {
            let output = rank.wait_with_output().expect("ended");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert!(contents(&whole) == contents(&store), "{stages} stages");
    }
    // Cut while both are at work.
    let store = folder.path().join("cut");
    let ranks = [0, 1].map(|rank| hosts.start(rank, &prompts, &store, &small));
    while !store.join("log.jsonl").exists() {
        sleep(Duration::from_millis(1));
    }
    assert!(run(&format!("ip -n {} link set v0 down", hosts.names[0])));
    let cut = Instant::now();
    for (rank, child) in ranks.into_iter().enumerate() {
        let output = child.wait_with_output().expect("ended");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(75), "rank {rank}: {said}");
        assert!(
            said.contains(&format!("rank {} on", 1 - rank)) && said.contains("is gone"),
            "{rank}: {said}"
        );
        // Two seconds of silence, five to end; the machine may be busy.
        assert!(cut.elapsed() < Duration::from_mins(1), "rank {rank}: {said}");
    }
    said(&format!("ended after {:.1} s", cut.elapsed().as_secs_f64()));
    extract(&prompts, &store).args(small).assert().success();
    assert!(contents(&whole) == contents(&store), "continued alone");
}

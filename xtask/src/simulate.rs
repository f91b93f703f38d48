//! `cargo xtask simulate`: how fast several processes extract, on machines that were not there to measure.
//!
//! Batches, stages, links and the writer are simulated one event after the other, as `src/extract/among` runs them. What a
//! claim, a transfer and a write cost was measured; how fast a device computes is stated, not measured.

#![allow(clippy::cast_precision_loss)] // counts of blocks and batches

use std::collections::VecDeque;
use std::fmt::Write as _;

use crate::shell::Result;

/// Tokens of a pair of BoolQ's prompts, what they share computed once.
const TOKENS_OF_PAIR: f64 = 172.0;
/// Pairs of a batch.
const PAIRS: f64 = 24.0;
/// Batches of a run.
const BATCHES: usize = 400;
/// Seconds of a claim from the store's counter (measured on a loopback; a network adds its latency).
const CLAIM: f64 = 36e-6;
/// Bytes a second that rank 0 hashes and writes (measured by `cargo bench --bench store`, AMD EPYC, Zen 5).
const WRITER: f64 = 1.25e9;
/// Bytes a second between two processes of one host, over Gloo (measured).
const LOOPBACK: f64 = 2.5e9;
/// How many batches a stage may be ahead of those whose states rank 0 has.
const AHEAD: usize = 2;

/// A model's numbers.
struct Model {
    name: &'static str,
    blocks: usize,
    dim: f64,
    /// Operations of a token in all blocks.
    operations: f64,
}

const SEVEN: Model = Model { name: "7B", blocks: 32, dim: 4096.0, operations: 13.0e9 };
const SIXTY_FIVE: Model = Model { name: "65B", blocks: 80, dim: 8192.0, operations: 130e9 };

/// Processes, each with a device of its own.
struct Machines {
    name: &'static str,
    replicas: usize,
    stages: usize,
    /// Operations a second of a device.
    rate: f64,
    /// Between two hosts; everything crosses it if each process has a host of its own.
    link: Link,
}

#[derive(Clone, Copy)]
struct Link {
    /// Bytes a second.
    rate: f64,
    /// Seconds.
    latency: f64,
}

/// The share of a link's nominal rate that arrives.
const ARRIVES: f64 = 0.88;
const HOST: Link = Link { rate: LOOPBACK, latency: 50e-6 };
const GIGABIT: Link = Link { rate: ARRIVES * 0.125e9, latency: 200e-6 };
const TEN_GIGABIT: Link = Link { rate: ARRIVES * 1.25e9, latency: 100e-6 };
/// A GPU at 55 % of its 989 TFLOP/s in bf16.
const GPU: f64 = 0.55 * 989e12;
/// A CPU host.
const CPU: f64 = 4e12;

/// What a run took.
#[derive(Debug, Clone, Copy)]
struct Took {
    seconds: f64,
    /// Of all processes' time, the share in which they computed.
    busy: f64,
}

pub fn run(args: &[String]) -> Result {
    if !args.is_empty() {
        return Err("`simulate` takes no arguments".into());
    }
    print!("{}", table());
    Ok(())
}

fn table() -> String {
    let mut text =
        "| model | processes | pairs/s | of their devices' sum | rank 0 takes |\n|---|---|---|---|---|\n"
            .to_owned();
    let gpus = |name, replicas, stages| Machines { name, replicas, stages, rate: GPU, link: HOST };
    let hosts = |name, replicas, stages, link| Machines { name, replicas, stages, rate: CPU, link };
    let jobs = [
        (&SEVEN, gpus("8 GPUs of a host, 8 replicas", 8, 1)),
        (&SIXTY_FIVE, gpus("8 GPUs of a host, 4 replicas of 2 stages", 4, 2)),
        (&SIXTY_FIVE, gpus("8 GPUs of a host, 8 stages", 1, 8)),
        (&SEVEN, hosts("4 CPU hosts, 10 Gb/s, 4 replicas", 4, 1, TEN_GIGABIT)),
        (&SEVEN, hosts("4 CPU hosts, 1 Gb/s, 4 replicas", 4, 1, GIGABIT)),
        (&SIXTY_FIVE, hosts("4 CPU hosts, 10 Gb/s, 4 stages", 1, 4, TEN_GIGABIT)),
        (&SIXTY_FIVE, hosts("4 CPU hosts, 1 Gb/s, 4 stages", 1, 4, GIGABIT)),
    ];
    for (model, machines) in &jobs {
        let took = simulate(model, machines, BATCHES, WRITER);
        let rate = BATCHES as f64 * PAIRS / took.seconds;
        let bytes = rate * states(model, model.blocks) / PAIRS / 1e9;
        let (model, name, busy) = (model.name, machines.name, took.busy * 100.0);
        let _ = writeln!(text, "| {model} | {name} | {rate:.3} | {busy:.0} % | {bytes:.2} GB/s |");
    }
    text
}

/// Bytes of a batch's states of some blocks: the last token's residual stream of both sides, in f32.
fn states(model: &Model, blocks: usize) -> f64 {
    PAIRS * 2.0 * blocks as f64 * model.dim * 4.0
}

/// One process of a replica.
#[derive(Clone, Default)]
struct Stage {
    /// When it has computed what it began.
    free: f64,
    /// When what it sends has left.
    sent: f64,
    /// When batches came from the stage before, that it has yet to begin.
    came: VecDeque<f64>,
    /// When rank 0 had the states of each batch.
    taken: Vec<f64>,
}

impl Stage {
    /// When it would begin a batch that is there at that time.
    fn begins(&self, there: f64) -> f64 {
        let ahead = self.taken.len().checked_sub(AHEAD).map_or(0.0, |before| self.taken[before]);
        there.max(self.free).max(ahead)
    }
}

/// The batch that is computed first is next, until none is left.
fn simulate(model: &Model, machines: &Machines, batches: usize, writer: f64) -> Took {
    let Machines { replicas, stages, rate, link, .. } = *machines;
    // As even as it goes, the first ones larger.
    let blocks = |stage: usize| model.blocks / stages + usize::from(stage < model.blocks % stages);
    let operations = model.operations * TOKENS_OF_PAIR * PAIRS;
    let compute = |stage: usize| operations * blocks(stage) as f64 / model.blocks as f64 / rate;
    let stream = PAIRS * TOKENS_OF_PAIR * model.dim * 4.0 / link.rate;
    let mut all = vec![Stage::default(); replicas * stages];
    let (mut claimed, mut rank_0, mut computed) = (0, 0.0_f64, 0.0);
    loop {
        let next = (0..all.len()).filter_map(|process| {
            let (own, stage) = (&all[process], process % stages);
            let there = match stage {
                0 => (claimed < batches).then_some(own.free + CLAIM + link.latency),
                _ => own.came.front().copied(),
            };
            Some((own.begins(there?) + compute(stage), process))
        });
        let Some((ends, process)) = next.min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        let stage = process % stages;
        match stage {
            0 => claimed += 1,
            _ => drop(all[process].came.pop_front()),
        }
        computed += compute(stage);
        all[process].free = ends;
        all[process].sent = all[process].sent.max(ends) + stream;
        if stage + 1 < stages {
            let comes = all[process].sent + link.latency;
            all[process + 1].came.push_back(comes);
        }
        // One thread of rank 0 receives, and then writes; its own states do not travel.
        let bytes = states(model, blocks(stage));
        let travels = if process == 0 { 0.0 } else { bytes / link.rate };
        rank_0 = rank_0.max(ends) + travels + bytes / writer;
        all[process].taken.push(rank_0);
    }
    Took { seconds: rank_0, busy: computed / rank_0 / all.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Link = Link { rate: f64::INFINITY, latency: 0.0 };

    fn machines(replicas: usize, stages: usize, link: Link) -> Machines {
        Machines { name: "", replicas, stages, rate: CPU, link }
    }

    #[test]
    fn stages_wait_for_the_first_and_the_last_batch_only() {
        // The bubble of a pipeline: N - 1 of M + N - 1 steps.
        for (stages, batches) in [(2, 10), (4, 34), (8, 200)] {
            let took = simulate(&SEVEN, &machines(1, stages, NOTHING), batches, f64::INFINITY);
            let expected = batches as f64 / (batches + stages - 1) as f64;
            assert!((took.busy - expected).abs() < 1e-3, "{stages}: {} {expected}", took.busy);
        }
    }

    #[test]
    fn replicas_share_what_there_is() {
        let one = simulate(&SEVEN, &machines(1, 1, NOTHING), 40, f64::INFINITY);
        let four = simulate(&SEVEN, &machines(4, 1, NOTHING), 40, f64::INFINITY);
        assert!((one.seconds / four.seconds - 4.0).abs() < 1e-2, "{one:?} {four:?}");
        // 41 batches on four: one of them computes eleven.
        let uneven = simulate(&SEVEN, &machines(4, 1, NOTHING), 41, f64::INFINITY);
        assert!((uneven.seconds / four.seconds - 1.1).abs() < 1e-2, "{uneven:?}");
    }

    #[test]
    fn nothing_is_faster_than_what_rank_0_takes() {
        let slow = 1e6;
        let took = simulate(&SEVEN, &machines(8, 1, NOTHING), 100, slow);
        let least = 100.0 * states(&SEVEN, SEVEN.blocks) / slow;
        assert!(took.seconds >= least && took.seconds < 1.05 * least, "{took:?} {least}");
    }
}

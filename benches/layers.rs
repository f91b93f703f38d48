//! All layers of LLaMA 7B's size as a run fits them: 33 layers of 1,000 pairs × 4,096, 10 starts, a layer on each core,
//! LibTorch at one thread. Beside the plain loop over layers and restarts, if a script for it is given:
//!
//! `cargo bench --bench layers -- [--layers 33] [--pairs 1000] [--dim 4096] [--peer python3 ccs_torch.py]`
//!
//! The script fits one layer from one start with 1,000 steps of AdamW and prints one JSON object with `seconds` and `loss`
//! in its last line; the loop is layers × 10 of it. It runs before and after ours.

#![allow(clippy::expect_used, clippy::print_stdout, missing_docs)] // what cannot be set up stops, and prints are the result

use std::process::Command;
use std::thread;
use std::time::Instant;

use llama_ccs::ccs::Contrast;
use llama_ccs::ccs::SeedTree;
use llama_ccs::ccs::methods::ccs::{Ccs, Optimizer, ccs};
use llama_ccs::ccs::methods::quadratic::{Objective, quadratic};
use llama_ccs::ccs::normalize::Normalization;
use llama_ccs::llama_core::tch::{self, Device, Kind, Tensor};

const RESTARTS: usize = 10;

/// Standard normal states, and along one direction a truth of ±4 that both sides carry with opposite signs.
fn planted(pairs: usize, dim: usize) -> Contrast {
    let (rows, options) = (pairs as i64, (Kind::Float, Device::Cpu));
    let direction = Tensor::f_randn([dim as i64], options).expect("direction");
    let direction = &direction / direction.norm();
    let truth = Tensor::f_randint(2, [rows, 1], options).expect("labels") * 2.0 - 1.0;
    let shift = truth.matmul(&direction.unsqueeze(0)) * 4.0; // [N, D]
    let side = |sign: f64| Tensor::f_randn([rows, dim as i64], options).expect("states") + &shift * sign;
    let (plus, minus) = (side(1.0), side(-1.0));
    let labels = (0..rows).map(|i| truth.double_value(&[i, 0]) > 0.0).collect();
    Contrast::new(plus, minus, labels, (0..pairs).map(|i| i.to_string()).collect()).expect("planted data")
}

/// Seconds for all layers, a layer a core, without the time that making the data takes; and the losses.
fn all_layers(size: &Size, fit: impl Fn(&Contrast, usize) -> Option<f64> + Sync) -> (f64, Vec<f64>) {
    let (mut seconds, mut losses) = (0.0, Vec::new());
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let layers: Vec<usize> = (0..size.layers).collect();
    for group in layers.chunks(cores) {
        let data: Vec<Contrast> = group.iter().map(|_| planted(size.pairs, size.dim)).collect();
        let start = Instant::now();
        thread::scope(|scope| {
            let fit = &fit;
            let started: Vec<_> = group
                .iter()
                .zip(data)
                .map(|(&layer, data)| {
                    scope.spawn(move || {
                        tch::set_num_threads(1);
                        fit(&data, layer)
                    })
                })
                .collect();
            losses.extend(started.into_iter().filter_map(|thread| thread.join().expect("a fit")));
        });
        seconds += start.elapsed().as_secs_f64();
    }
    (seconds, losses)
}

struct Size {
    layers: usize,
    pairs: usize,
    dim: usize,
}

/// The peer's seconds for one layer and start, and its loss.
fn peer(command: &[String], size: &Size) -> Option<(f64, f64)> {
    let (program, arguments) = command.split_first()?;
    let sizes = ["--pairs".to_owned(), size.pairs.to_string(), "--dim".to_owned(), size.dim.to_string()];
    let output = Command::new(program).args(arguments).args(sizes).output().expect("the peer");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().expect("the peer's result");
    let found: serde_json::Value = serde_json::from_str(line).expect("the peer's result");
    Some((found["seconds"].as_f64()?, found["loss"].as_f64()?))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |flag: &str, otherwise: usize| {
        let at = arguments.iter().position(|a| a == flag);
        at.map_or(otherwise, |at| arguments[at + 1].parse().expect("a number"))
    };
    let size =
        Size { layers: number("--layers", 33), pairs: number("--pairs", 1000), dim: number("--dim", 4096) };
    let command: &[String] = match arguments.iter().position(|a| a == "--peer") {
        Some(at) => &arguments[at + 1..],
        None => &[],
    };
    tch::manual_seed(0);
    let loops = (size.layers * RESTARTS) as f64;
    let first = peer(command, &size);
    let mut results = Vec::new();
    for (name, optimizer) in
        [("CCS, AdamW, 1,000 epochs", Optimizer::AdamW), ("CCS, L-BFGS", Optimizer::Lbfgs)]
    {
        let options = Ccs { optimizer, n_init: RESTARTS, ..Ccs::default() };
        let fit = |data: &Contrast, layer| {
            let fit = ccs(data, &options, &SeedTree::new(0).indexed("layer", layer)).expect("ccs");
            fit.objectives.into_iter().reduce(f64::max) // of the worst start
        };
        results.push((name, all_layers(&size, fit)));
    }
    for (name, objective) in
        [("TPC", Objective::TPC), ("DRC", Objective::DRC), ("VINC", Objective::VINC), ("RRC", Objective::RRC)]
    {
        let fit = |data: &Contrast, _| {
            quadratic(data, objective, Normalization::ElementWise).expect(name);
            None
        };
        results.push((name, all_layers(&size, fit)));
    }
    let last = peer(command, &size);
    let base = first.zip(last).map(|(a, b)| f64::midpoint(a.0, b.0) * loops);
    println!("{} layers of {} pairs × {}, {RESTARTS} starts", size.layers, size.pairs, size.dim);
    if let (Some(a), Some(b), Some(base)) = (first, last, base) {
        println!(
            "plain loop: {:.2} s and {:.2} s a layer and start, {base:.0} s in all; loss {:.1e}",
            a.0, b.0, a.1
        );
    }
    for (name, (seconds, losses)) in results {
        let times = base.map(|base| format!(", {:.1} times faster", base / seconds)).unwrap_or_default();
        let loss = losses.into_iter().reduce(f64::max);
        let loss = loss.map(|loss| format!(", loss at most {loss:.1e}")).unwrap_or_default();
        println!("{name}: {seconds:.2} s{times}{loss}");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM")) {
        println!("peak memory of this process, data included: {}", peak.trim_start_matches("VmHWM:").trim());
    }
}

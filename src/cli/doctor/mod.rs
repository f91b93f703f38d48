//! `llama-ccs doctor`

use std::process::ExitCode;

use llama_ccs::llama_core::{Config, IdentityCache, KernelRates, Precision, Rates, tch};
#[cfg(feature = "distributed")]
use llama_ccs::torch_runtime::dist;
use llama_ccs::torch_runtime::{self, machine};
use serde_json::json;

use super::output;
use super::values::AnyError;

#[cfg(feature = "distributed")]
mod ranks;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs doctor
  llama-ccs doctor --ranks 2
  torchrun --no-python --nproc_per_node 2 llama-ccs doctor")]
pub(crate) struct Args {
    /// Start N processes on this host, and see whether they can talk to each other. Under torchrun, or with RANK,
    /// WORLD_SIZE, MASTER_ADDR and MASTER_PORT set, the processes that were started do so.
    #[cfg(feature = "distributed")]
    #[arg(long, value_name = "N", value_parser = super::values::at_least_one)]
    ranks: Option<usize>,
}

impl Args {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, AnyError> {
        #[cfg(feature = "distributed")]
        if let Some(world) = dist::World::from_env(dist::Launcher::Environment)? {
            let talk = ranks::talk(&world)?;
            if world.rank == 0 {
                if json {
                    output::json(&talk)?;
                } else {
                    output::page(&format!("ranks      {}", talk.line()))?;
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        report(json, self.talk()?)
    }

    /// What ranks found out, if there are to be some.
    #[cfg(feature = "distributed")]
    fn talk(&self) -> Result<Talk, AnyError> {
        let found = self.ranks.map(ranks::start).transpose()?;
        let line = found.as_ref().map(ranks::Talk::line);
        // A network address of documentation (RFC 5737): nothing is sent, the way there is all that is asked for.
        let address = dist::own_address("192.0.2.1", 9).unwrap_or_else(|| "127.0.0.1".to_owned());
        Ok(Talk {
            json: json!({ "engine": "gloo", "address": address, "talked": found }),
            address: Some(address),
            line,
        })
    }

    #[cfg(not(feature = "distributed"))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    fn talk(&self) -> Result<Talk, AnyError> {
        Ok(Talk { json: serde_json::Value::Null, address: None, line: None })
    }
}

/// What there is to say of several processes.
struct Talk {
    json: serde_json::Value,
    /// The address that ranks on other hosts would use.
    address: Option<String>,
    line: Option<String>,
}

fn report(json: bool, talk: Talk) -> Result<ExitCode, AnyError> {
    let (built_for, loaded) = (torch_runtime::BUILT_FOR, torch_runtime::loaded_version());
    let cuda = torch_runtime::open("cuda").err().map(|e| e.to_string());
    let cpu = torch_runtime::check().err().map(|e| e.to_string());
    let threads = tch::get_num_threads();
    let memory = machine::total_memory().zip(machine::available_memory());
    let rates = match &cpu {
        None => Rates::of(&Config::default(), &IdentityCache::of_user())?,
        Some(_) => None,
    };
    if json {
        output::json(&json!({
            "llama-ccs": env!("CARGO_PKG_VERSION"), "libtorch": { "built_for": built_for, "loaded": loaded },
            "memory": memory.map(|(total, available)| json!({ "total": total, "available": available })),
            "kernels": torch_runtime::cpu_capability(), "rates": rates, "threads": threads, "cpu": cpu.as_deref().unwrap_or("ready"), "cuda": cuda.as_deref().unwrap_or("ready"), "ranks": talk.json,
        }))?;
    } else {
        output::page(&format!("llama-ccs  {}", env!("CARGO_PKG_VERSION")))?;
        output::page(&format!("LibTorch   {loaded} (built for {built_for})"))?;
        output::page(&format!("threads    {threads}"))?;
        output::page(&format!("kernels    {}", torch_runtime::cpu_capability()))?;
        if let Some((total, available)) = memory {
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            output::page(&format!("memory     {:.1} GiB, {:.1} GiB of it free", gib(total), gib(available)))?;
        }
        if let Some(rates) = rates {
            page_of(&rates)?;
        }
        output::page(&format!("cpu        {}", cpu.as_deref().unwrap_or("ready")))?;
        output::page(&format!("cuda       {}", cuda.as_deref().unwrap_or("ready")))?;
        if let Some(address) = talk.address {
            output::page(&format!("address    {address}, for ranks on other hosts (Gloo)"))?;
        }
        if let Some(line) = talk.line {
            output::page(&format!("ranks      {line}"))?;
        }
    }
    Ok(if cpu.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How fast a block of LLaMA-7B is computed, and by which kernels.
fn page_of(rates: &Rates) -> std::io::Result<()> {
    let giga = |rate: f64| format!("{:.0}", rate / 1e9);
    for (name, precision, KernelRates { plain, packed, fused, products, .. }) in
        [("f32 ", Precision::F32, &rates.f32), ("bf16", Precision::Bf16, &rates.bf16)]
    {
        let of = [plain, packed, fused, products].map(|rate| giga(*rate));
        let [plain, packed, fused, products] = of;
        output::page(&format!(
            "{name}       GFLOP/s of a 7B block: products {plain} plain, {packed} packed; attention {fused} fused, {products} by products"
        ))?;
        output::page(&format!("           fastest: {}", rates.kernels(precision)))?;
    }
    output::page(&format!("           bf16 is {:.1} times as fast as f32", rates.bf16_over_f32()))
}

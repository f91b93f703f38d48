//! `llama-ccs doctor`

use std::process::ExitCode;

use llama_ccs::llama_core::{Config, IdentityCache, KernelRates, Precision, Rates, tch};
use llama_ccs::torch_runtime::{self, machine};
use serde_json::json;

use super::{AnyError, output};

pub(crate) fn run(json: bool) -> Result<ExitCode, AnyError> {
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
            "kernels": torch_runtime::cpu_capability(), "rates": rates, "threads": threads, "cpu": cpu.as_deref().unwrap_or("ready"), "cuda": cuda.as_deref().unwrap_or("ready"),
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

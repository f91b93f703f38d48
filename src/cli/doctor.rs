//! `llama-ccs doctor`

use std::process::ExitCode;

use llama_ccs::llama_core::tch;
use llama_ccs::torch_runtime::{self, machine};
use serde_json::json;

use super::{AnyError, output};

pub(crate) fn run(json: bool) -> Result<ExitCode, AnyError> {
    let (built_for, loaded) = (torch_runtime::BUILT_FOR, torch_runtime::loaded_version());
    let cuda = torch_runtime::open("cuda").err().map(|e| e.to_string());
    let cpu = torch_runtime::check().err().map(|e| e.to_string());
    let threads = tch::get_num_threads();
    let memory = machine::total_memory().zip(machine::available_memory());
    let fast = machine::bf16_is_fast();
    if json {
        output::json(&json!({
            "llama-ccs": env!("CARGO_PKG_VERSION"), "libtorch": { "built_for": built_for, "loaded": loaded },
            "memory": memory.map(|(total, available)| json!({ "total": total, "available": available })),
            "kernels": torch_runtime::cpu_capability(), "bf16_is_fast": fast, "threads": threads, "cpu": cpu.as_deref().unwrap_or("ready"), "cuda": cuda.as_deref().unwrap_or("ready"),
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
        let bf16 = if fast { "faster than f32 (AMX)" } else { "no faster than f32 on this CPU" };
        output::page(&format!("bf16       {bf16}"))?;
        output::page(&format!("cpu        {}", cpu.as_deref().unwrap_or("ready")))?;
        output::page(&format!("cuda       {}", cuda.as_deref().unwrap_or("ready")))?;
    }
    Ok(if cpu.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! Prompts through candle-mi, one a forward, the residual stream captured at every layer; one line of JSON.
//!
//! `candle-mi-peer MODEL_FOLDER PROMPTS.json [f32|bf16]`; the prompts are a JSON list of texts.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_mi::config::TransformerConfig;
use candle_mi::transformer::GenericTransformer;
use candle_mi::{HookPoint, HookSpec, MIBackend};
use candle_nn::VarBuilder;
use tokenizers::Tokenizer;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (folder, prompts) = (Path::new(&args[0]), &args[1]);
    let dtype = if args.get(2).is_some_and(|d| d == "bf16") { DType::BF16 } else { DType::F32 };
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("config.json"))?)?;
    let config = TransformerConfig::from_hf_config(&config)?;
    let tokenizer = Tokenizer::from_file(folder.join("tokenizer.json")).map_err(|e| e.to_string())?;
    let prompts: Vec<String> = serde_json::from_slice(&std::fs::read(prompts)?)?;
    // SAFETY: the file is not changed while it is mapped.
    let weights = unsafe {
        VarBuilder::from_mmaped_safetensors(&[folder.join("model.safetensors")], dtype, &Device::Cpu)?
    };
    let layers = config.num_layers;
    let model = GenericTransformer::load(config, &Device::Cpu, dtype, weights)?;
    let mut hooks = HookSpec::new();
    hooks.capture(HookPoint::Embed);
    for layer in 0..layers {
        hooks.capture(HookPoint::ResidPost(layer));
    }
    let mut last_states = |text: &str| -> Result<Vec<Tensor>, Box<dyn Error>> {
        let ids = tokenizer.encode(text, false).map_err(|e| e.to_string())?.get_ids().to_vec();
        let input = Tensor::new(&ids[..], &Device::Cpu)?.unsqueeze(0)?;
        let cache = model.forward(&input, &hooks)?;
        let points = (0..layers).map(HookPoint::ResidPost).chain([HookPoint::Embed]);
        let last = |point| -> Result<Tensor, Box<dyn Error>> { Ok(cache.require(&point)?.i((0, ids.len() - 1))?.copy()?) };
        points.map(last).collect()
    };
    last_states(&prompts[0])?;
    let started = Instant::now();
    for prompt in &prompts {
        last_states(prompt)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let pairs = prompts.len() / 2;
    println!(
        "{{\"peer\": \"candle-mi\", \"dtype\": \"{dtype:?}\", \"pairs\": {pairs}, \"pairs_per_second\": {:.3}}}",
        pairs as f64 / seconds
    );
    Ok(())
}

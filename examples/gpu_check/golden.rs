//! Small models against states that NumPy and transformers computed in float64.

use std::collections::HashMap;
use std::path::Path;

use llama_ccs::llama_core::tch::{Device, Kind, Tensor};
use llama_ccs::llama_core::{
    Batch, Capture, Checkpoint, Forward, HookPoint, HookSet, Llama, Precision, Tokens,
};
use serde_json::{Map, Value, json};

use crate::{AnyError, Bench, round};

/// A model, and the folder of its reference.
const MODELS: [(&str, &str); 3] =
    [("llama/meta-1", "llama"), ("llama3", "llama3"), ("quantized/quantized.gguf", "quantized")];

/// The largest relative error of a layer's state that each precision may show. In f32 sums of hundreds of terms, in
/// whatever order a device adds them; in bf16 a rounding of 2⁻⁹ in each of about ten steps a block, over up to five blocks.
const ALLOWED: [(Precision, f64); 3] =
    [(Precision::F32, 1e-4), (Precision::Mixed, 0.1), (Precision::Bf16, 0.1)];
/// Nor may it be more than so many times the CPU's error in that precision: the same roundings, in another order.
const TIMES_THE_CPUS: f64 = 2.0;

pub(crate) fn check(bench: &Bench) -> Result<Value, AnyError> {
    let mut found = Map::new();
    let mut passed = true;
    for (model, folder) in MODELS {
        let golden = bench.cases.join("golden");
        let checkpoint = Checkpoint::open(golden.join(model))?;
        for (precision, allowed) in ALLOWED {
            let error_on = |device| -> Result<f64, AnyError> {
                error(&Llama::load(&checkpoint, precision, device)?, &golden.join(folder))
            };
            let (here, cpu) = (error_on(bench.device)?, error_on(Device::Cpu)?);
            // In f32 the CPU may be exact by luck; the bound says enough.
            passed &= here <= allowed && (precision == Precision::F32 || here <= TIMES_THE_CPUS * cpu);
            found.insert(
                format!("{folder} {precision}"),
                json!({ "largest_relative_error": round(here), "the_cpus": round(cpu), "allowed": allowed }),
            );
        }
    }
    Ok(json!({ "passed": passed, "models": found }))
}

/// The largest error of any prompt's state at any layer, relative to the state's length: pairs whose beginnings are
/// shared, and prompts alone.
fn error(llama: &Llama, folder: &Path) -> Result<f64, AnyError> {
    let rows: Vec<Value> = serde_json::from_slice(&fs_err::read(folder.join("prompts.json"))?)?;
    let expected: HashMap<String, Tensor> =
        Tensor::read_safetensors(folder.join("expected.safetensors"))?.into_iter().collect();
    let ids = |row: &Value, side: &str| -> Result<Vec<u32>, AnyError> {
        Ok(serde_json::from_value(row[format!("{side}_tokens")].clone())?)
    };
    let pairs = rows.iter().map(|row| Ok([ids(row, "plus")?, ids(row, "minus")?]));
    let pairs: Vec<[Vec<u32>; 2]> = pairs.collect::<Result<_, AnyError>>()?;
    let mut largest = 0.0f64;
    for batch in [Batch::shared(&pairs)?, Batch::new(&pairs.concat())?] {
        let states = states(llama, &batch)?; // [2N, L + 1, D]
        for row in 0..pairs.len() {
            for (place, side) in ["plus", "minus"].into_iter().enumerate() {
                let name = format!("{side}.states.{row}");
                let expected = expected.get(&name).ok_or_else(|| format!("the reference lacks {name}"))?;
                let found = states.f_select(0, (2 * row + place) as i64)?.f_to_kind(Kind::Double)?;
                let difference = length(&(found - expected))? / length(expected)?;
                largest = largest.max(difference.f_max()?.f_double_value(&[])?);
            }
        }
    }
    Ok(largest)
}

fn length(states: &Tensor) -> Result<Tensor, AnyError> {
    Ok(states.f_square()?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?.f_sqrt()?)
}

fn states(llama: &Llama, batch: &Batch) -> Result<Tensor, AnyError> {
    let n_layers = llama.config().n_layers;
    let mut capture = Capture::new(HookSet::residual_stream(n_layers), Tokens::Last);
    llama.forward(batch, Forward::new().hook(&mut capture))?;
    let captured = capture.finish();
    let layers: Option<Vec<&Tensor>> =
        (0..=n_layers).map(|layer| captured.get(HookPoint::of_layer(layer))).collect();
    let layers = layers.ok_or("a layer was not captured")?;
    Ok(Tensor::f_stack(&layers, 1)?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?)
}

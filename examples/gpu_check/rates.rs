//! Matrix products of a 7B block's shapes, in f32 and bf16.

use std::time::{Duration, Instant};

use llama_ccs::llama_core::Config;
use llama_ccs::llama_core::tch::{self, Device, Kind, Tensor};
use serde_json::{Value, json};

use crate::{AnyError, Bench, round, shape};

/// Each product is repeated for so long.
const REPEATED: Duration = Duration::from_millis(500);

pub(crate) fn measure(bench: &Bench) -> Result<Value, AnyError> {
    let config = shape::config(bench.small);
    let rows = if bench.small { 256 } else { 8192 };
    let of = |kind| rate(&config, rows, kind, bench.device).map(|rate| round(rate / 1e9));
    Ok(json!({ "rows": rows, "unit": "GFLOP/s", "f32": of(Kind::Float)?, "bf16": of(Kind::BFloat16)? }))
}

/// Operations a second of one block's four products, with so many rows.
pub(crate) fn rate(config: &Config, rows: i64, kind: Kind, device: Device) -> Result<f64, AnyError> {
    let _no_gradients = tch::no_grad_guard();
    let mut seconds = 0.0;
    for [out, inputs] in shape::matrices(config) {
        let random = |shape: [i64; 2]| Tensor::f_randn(shape, (Kind::Float, device))?.f_to_kind(kind);
        let (x, weight) = (random([rows, inputs])?, random([out, inputs])?);
        let run = || x.f_linear(&weight, None::<Tensor>);
        finish(&run()?)?;
        let (started, mut times) = (Instant::now(), 0);
        let mut last = run()?;
        while started.elapsed() < REPEATED {
            // Several at once: on a GPU a call returns before its product is there.
            for _ in 0..8 {
                last = run()?;
                times += 1;
            }
            finish(&last)?;
        }
        finish(&last)?;
        seconds += started.elapsed().as_secs_f64() / f64::from(times + 1);
    }
    Ok(2.0 * (rows * shape::weights(config)) as f64 / seconds)
}

/// Waits until a tensor is computed.
pub(crate) fn finish(tensor: &Tensor) -> Result<(), AnyError> {
    drop(tensor.f_flatten(0, -1)?.f_narrow(0, 0, 1)?.f_to_device(Device::Cpu)?);
    Ok(())
}

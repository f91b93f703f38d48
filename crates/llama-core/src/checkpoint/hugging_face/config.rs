//! `config.json`: what transformers' LLaMA and Mistral read of it, with the same defaults; what they would compute and
//! this crate does not is refused by its name.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{Config, RopeScaling};
use crate::error::{Error, Result};

/// The keys that decide what is computed. Others (dropout, initialisation, versions, …) do not: transformers reads no
/// more of a LLaMA's configuration than this.
#[derive(Debug, Deserialize)]
struct Keys {
    model_type: String,
    hidden_size: i64,
    intermediate_size: i64,
    num_hidden_layers: usize,
    num_attention_heads: i64,
    num_key_value_heads: Option<i64>,
    head_dim: Option<i64>,
    vocab_size: i64,
    rms_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default)]
    tie_word_embeddings: bool,
    partial_rotary_factor: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Map<String, Value>>,
    rope_parameters: Option<Map<String, Value>>,
    sliding_window: Option<i64>,
    quantization_config: Option<Value>,
}

const PLAIN: &str =
    "LLaMA and models that differ from it only in configuration can be read (model_type llama, mistral)";

/// Reads `config.json`.
pub(super) fn read(path: &Path, text: &str) -> Result<Config> {
    let refuse = |reason: String, hint: &str| Error::ModelConfig {
        path: path.to_owned(),
        reason,
        hint: hint.to_owned(),
    };
    // The model's kind first: another kind's missing keys would say nothing.
    let mut kind: Value = serde_json::from_str(text).map_err(|e| refuse(e.to_string(), "it must be JSON"))?;
    let model_type = kind.get("model_type").and_then(Value::as_str).unwrap_or_default();
    if !["llama", "mistral"].contains(&model_type) {
        return Err(refuse(format!("`model_type` is `{model_type}`"), PLAIN));
    }
    if model_type == "mistral" && kind.get("sliding_window").is_none() {
        kind["sliding_window"] = 4096.into(); // transformers' default; no window is `null`
    }
    let keys: Keys = serde_json::from_value(kind)
        .map_err(|e| refuse(e.to_string(), "use the config.json that came with the weights"))?;
    if let Some(reason) = keys.uncomputed() {
        return Err(refuse(reason, PLAIN));
    }
    let (rope_theta, rope_scaling) = keys
        .rope()
        .map_err(|reason| refuse(reason, "rope scaling can be `default`, `linear` or `llama3`"))?;
    let mistral = keys.model_type == "mistral";
    if keys.num_attention_heads < 1 || keys.sliding_window.is_some_and(|w| w < 1) {
        let reason = format!(
            "`num_attention_heads` is {}, `sliding_window` {:?}",
            keys.num_attention_heads, keys.sliding_window
        );
        return Err(refuse(reason, "use the config.json that came with the weights"));
    }
    let config = Config {
        dim: keys.hidden_size,
        n_layers: keys.num_hidden_layers,
        n_heads: keys.num_attention_heads,
        n_kv_heads: keys.num_key_value_heads.unwrap_or(if mistral { 8 } else { keys.num_attention_heads }),
        head_dim: keys.head_dim.unwrap_or(keys.hidden_size / keys.num_attention_heads),
        hidden_dim: keys.intermediate_size,
        vocab_size: keys.vocab_size,
        norm_eps: keys.rms_norm_eps.unwrap_or(1e-6),
        rope_theta,
        rope_scaling,
        tied_embeddings: keys.tie_word_embeddings,
        // transformers' LLaMA has no window, whatever the file says.
        sliding_window: keys.sliding_window.filter(|_| mistral).map(|w| w as usize),
    };
    match config.problem() {
        None => Ok(config),
        Some(problem) => Err(refuse(problem, "use the config.json that came with the weights")),
    }
}

impl Keys {
    /// The first thing asked for that is not computed here.
    fn uncomputed(&self) -> Option<String> {
        if self.attention_bias {
            return Some("`attention_bias` is true, and attention is computed without biases".to_owned());
        }
        if self.mlp_bias {
            return Some("`mlp_bias` is true, and the MLP is computed without biases".to_owned());
        }
        if let Some(other) = self.hidden_act.as_deref().filter(|act| !["silu", "swish"].contains(act)) {
            return Some(format!("`hidden_act` is `{other}`, and the MLP is computed with silu"));
        }
        if self.partial_rotary_factor.is_some_and(|f| f.to_bits() != 1f64.to_bits()) {
            return Some("`partial_rotary_factor` is not 1, and all of a head is rotated".to_owned());
        }
        if self.quantization_config.as_ref().is_some_and(|q| !q.is_null()) {
            return Some(
                "`quantization_config` is there: quantised safetensors are not read (GGUF is)".to_owned(),
            );
        }
        None
    }

    /// Base and scaling of the rotary embedding, from the older `rope_theta` and `rope_scaling` or the newer
    /// `rope_parameters`; with both, transformers takes the older, and so they have to agree.
    fn rope(&self) -> Result<(f64, RopeScaling), String> {
        let given = |map: &Option<Map<String, Value>>| map.clone().filter(|map| !map.is_empty());
        let (older, newer) = (given(&self.rope_scaling), given(&self.rope_parameters));
        let theta = |map: &Option<Map<String, Value>>| {
            let value = map.as_ref().and_then(|map| map.get("rope_theta"));
            value.map(|value| number("rope_theta", value)).transpose()
        };
        let mut bases = [self.rope_theta, theta(&older)?, theta(&newer)?].into_iter().flatten();
        let base = bases.next().unwrap_or(10_000.0);
        if let Some(other) = bases.find(|other| other.to_bits() != base.to_bits()) {
            return Err(format!("`rope_theta` is {base} in one place and {other} in another"));
        }
        let scaling = |map: &Option<Map<String, Value>>| map.as_ref().map(rope_scaling).transpose();
        let (older, newer) = (scaling(&older)?, scaling(&newer)?);
        if let (Some(older), Some(newer)) = (&older, &newer)
            && older != newer
        {
            return Err(format!("`rope_scaling` means {older:?} and `rope_parameters` {newer:?}"));
        }
        Ok((base, older.or(newer).unwrap_or_default()))
    }
}

/// What `rope_scaling` or `rope_parameters` says.
fn rope_scaling(parameters: &Map<String, Value>) -> Result<RopeScaling, String> {
    if let Some((layers, _)) = parameters.iter().find(|(_, v)| v.is_object()) {
        return Err(format!("the rotary embedding differs by layer (`{layers}`)"));
    }
    let of = |key: &str| parameters.get(key).ok_or_else(|| format!("rope scaling has no `{key}`"));
    let of = |key: &str| of(key).and_then(|value| number(key, value));
    let partial = parameters.get("partial_rotary_factor").map(|v| number("partial_rotary_factor", v));
    if partial.transpose()?.is_some_and(|f| f.to_bits() != 1f64.to_bits()) {
        return Err("`partial_rotary_factor` is not 1, and all of a head is rotated".to_owned());
    }
    let kind = match ["rope_type", "type"].into_iter().find_map(|key| parameters.get(key)) {
        None => "default",
        Some(kind) => kind.as_str().ok_or_else(|| format!("rope scaling is of type {kind}"))?,
    };
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: of("factor")? }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: of("factor")?,
            low_freq_factor: of("low_freq_factor")?,
            high_freq_factor: of("high_freq_factor")?,
            original_context: of("original_max_position_embeddings")?,
        }),
        other => Err(format!("rope scaling is of type `{other}`")),
    }
}

fn number(key: &str, value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("`{key}` is {value}, and a number is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SmolLM2-135M's keys, and those given.
    fn with(change: &Value) -> Result<Config> {
        let mut config = serde_json::json!({
            "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
            "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, "hidden_act": "silu",
            "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "pretraining_tp": 1,
        });
        for (key, value) in change.as_object().expect("an object") {
            config[key] = value.clone();
        }
        read(Path::new("config.json"), &config.to_string())
    }

    fn llama3_of(factor: f64) -> Value {
        serde_json::json!({ "rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192 })
    }

    #[test]
    fn older_and_newer_rope_keys_mean_the_same() {
        let llama3 = llama3_of(32.0);
        let old = with(&serde_json::json!({ "rope_theta": 500_000.0, "rope_scaling": llama3 })).expect("old");
        let mut parameters = llama3;
        parameters["rope_theta"] = 500_000.0.into();
        let new = with(&serde_json::json!({ "rope_parameters": parameters })).expect("new");
        assert_eq!(old, new);
        assert!(
            matches!(old.rope_scaling, RopeScaling::Llama3 { factor, .. } if (factor - 32.0).abs() < 1e-12)
        );
        let linear =
            with(&serde_json::json!({ "rope_scaling": { "type": "linear", "factor": 4 } })).expect("linear");
        assert_eq!(linear.rope_scaling, RopeScaling::Linear { factor: 4.0 });
        assert_eq!(
            with(&serde_json::json!({ "rope_scaling": null })).expect("null").rope_scaling,
            RopeScaling::None
        );
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        for (change, name) in [
            (serde_json::json!({ "model_type": "qwen2" }), "qwen2"),
            (serde_json::json!({ "attention_bias": true }), "attention_bias"),
            (serde_json::json!({ "mlp_bias": true }), "mlp_bias"),
            (serde_json::json!({ "hidden_act": "gelu" }), "gelu"),
            (serde_json::json!({ "partial_rotary_factor": 0.5 }), "partial_rotary_factor"),
            (serde_json::json!({ "quantization_config": { "bits": 4 } }), "quantization_config"),
            (serde_json::json!({ "rope_scaling": { "type": "dynamic", "factor": 2.0 } }), "dynamic"),
            (serde_json::json!({ "rope_parameters": { "rope_type": "yarn", "factor": 2.0 } }), "yarn"),
            (serde_json::json!({ "rope_scaling": { "type": "linear" } }), "factor"),
            (
                serde_json::json!({ "rope_theta": 1e4, "rope_parameters": { "rope_theta": 5e5 } }),
                "rope_theta",
            ),
            (serde_json::json!({ "rope_scaling": { "rope_type": 5 } }), "type 5"),
            (
                serde_json::json!({ "rope_scaling": { "type": "linear", "factor": 2.0 },
                    "rope_parameters": { "rope_type": "default" } }),
                "rope_parameters",
            ),
            (serde_json::json!({ "num_attention_heads": 0 }), "num_attention_heads"),
            (serde_json::json!({ "num_key_value_heads": 4 }), "n_kv_heads"),
            (serde_json::json!({ "hidden_size": "576" }), "576"),
        ] {
            let error = with(&change).expect_err(name).to_string();
            assert!(error.contains(name) && error.contains("hint:"), "{name}: {error}");
        }
    }

    #[test]
    fn mistral_has_a_window_and_llama_none() {
        let window = serde_json::json!({ "model_type": "mistral", "sliding_window": 4096 });
        assert_eq!(with(&window).expect("mistral").sliding_window, Some(4096));
        let none = serde_json::json!({ "model_type": "mistral", "sliding_window": null });
        assert_eq!(with(&none).expect("mistral").sliding_window, None);
        let unsaid = serde_json::json!({ "model_type": "mistral" });
        assert_eq!(with(&unsaid).expect("mistral").sliding_window, Some(4096));
        assert_eq!(with(&serde_json::json!({ "sliding_window": 4096 })).expect("llama").sliding_window, None);
        assert_eq!(with(&serde_json::json!({ "head_dim": 80 })).expect("head_dim").head_dim, 80);
    }
}

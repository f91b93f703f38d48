//! `config.json`: what transformers' LLaMA and its relatives read of it, with the same defaults; what they would compute and
//! this crate does not is refused by its name.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys;
use crate::checkpoint::json;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::family::{Family, Stated, model_types};

mod options;
mod rope;

use rope::Rope;

/// The keys that decide what is computed. What is not there has the family's default ([`crate::family::Defaults`]).
#[derive(Debug, Deserialize)]
#[allow(clippy::option_option)] // absent and null mean different things
struct Keys {
    #[serde(skip, default = "Family::llama")]
    family: &'static Family,
    hidden_size: Option<i64>,
    intermediate_size: Option<i64>,
    num_hidden_layers: Option<i64>,
    num_attention_heads: Option<i64>,
    /// Mistral's default is not null's meaning.
    #[serde(default, deserialize_with = "stated")]
    num_key_value_heads: Option<Option<i64>>,
    head_dim: Option<i64>,
    vocab_size: Option<i64>,
    max_position_embeddings: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    rms_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    hidden_activation: Option<String>,
    #[serde(default)]
    attention_bias: Option<bool>,
    #[serde(default)]
    mlp_bias: Option<bool>,
    #[serde(default)]
    tie_word_embeddings: Option<bool>,
    partial_rotary_factor: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Map<String, Value>>,
    rope_parameters: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "stated")]
    sliding_window: Option<Option<i64>>,
    use_sliding_window: Option<bool>,
    max_window_layers: Option<usize>,
    sliding_window_pattern: Option<usize>,
    layer_types: Option<Vec<String>>,
    no_rope_layers: Option<Vec<i64>>,
    no_rope_layer_interval: Option<usize>,
    rope_local_base_freq: Option<f64>,
    #[serde(default, deserialize_with = "stated")]
    attn_logit_softcapping: Option<Option<f64>>,
    #[serde(default, deserialize_with = "stated")]
    final_logit_softcapping: Option<Option<f64>>,
    query_pre_attn_scalar: Option<f64>,
    attention_multiplier: Option<f64>,
    embedding_multiplier: Option<f64>,
    residual_multiplier: Option<f64>,
    logits_scaling: Option<f64>,
    quantization_config: Option<Value>,
}

const PLAIN: &str = "the guide (Models) lists the families of models that can be read, and what each does";
const OWN: &str = "use the config.json that came with the weights";

/// A configuration, and what a person should know of how it was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) config: Config,
    pub(super) family: &'static Family,
    pub(super) warnings: Vec<String>,
}

/// Reads `config.json`.
pub(super) fn read(path: &Path, text: &str) -> Result<Read> {
    let refuse = |reason: String, hint: &str| Error::ModelConfig {
        path: path.to_owned(),
        reason,
        hint: hint.to_owned(),
    };
    let json =
        json::parse(text).map_err(|e| refuse(e, "it must be JSON in which every name is there once"))?;
    let Value::Object(map) = json else { return Err(refuse("it holds no object".to_owned(), OWN)) };
    // The model's kind first: another kind's missing keys would say nothing.
    let kind = map.get("model_type").and_then(Value::as_str).unwrap_or_default();
    let Some(family) = Family::of_model_type(kind) else {
        let inside =
            |inner: &Value| inner.get("model_type").and_then(Value::as_str).and_then(Family::of_model_type);
        let hint = if map.values().any(|inner| inside(inner).is_some()) {
            "the language model inside of a larger model is read where it was saved by itself".to_owned()
        } else {
            format!("models of these can be read: {}", model_types())
        };
        return Err(refuse(format!("`model_type` is `{kind}`"), &hint));
    };
    let mut warnings = Vec::new();
    note(&map, family, &mut warnings);
    // Only `true` leaves attention causal: transformers takes null for a no.
    if let Some(other) = map.get("is_causal").filter(|value| **value != Value::Bool(true)) {
        return Err(refuse(format!("`is_causal` is {other}, and attention is computed causally"), PLAIN));
    }
    if let Some(reason) = keys::otherwise(&map, family) {
        return Err(refuse(reason, PLAIN));
    }
    let keys: Keys = serde_json::from_value(Value::Object(map)).map_err(|e| refuse(e.to_string(), OWN))?;
    let keys = Keys { family, ..keys };
    if let Some((reason, hint)) = keys.uncomputed() {
        return Err(refuse(reason, hint));
    }
    let rope = keys.rope(&mut warnings).map_err(|reason| {
        refuse(
            reason,
            "rope scaling can be `default`, `linear`, `llama3`, `yarn` or `dynamic`, and Phi-3's `longrope`",
        )
    })?;
    let config = keys.config(rope).map_err(|reason| refuse(reason, OWN))?;
    match config.problem() {
        None => Ok(Read { config, family, warnings }),
        Some(problem) => Err(refuse(problem, OWN)),
    }
}

/// Warns of keys that are in no list and of an architecture that has another name.
fn note(map: &Map<String, Value>, family: &Family, warnings: &mut Vec<String>) {
    let unknown = keys::unknown(map, family);
    if !unknown.is_empty() {
        let shown: Vec<String> = unknown.iter().take(20).map(|key| format!("`{key}`")).collect();
        let more = if unknown.len() > 20 { ", …" } else { "" };
        warnings.push(format!(
            "config.json has keys that are not known here and were not read (nor are they by transformers' LLaMA): {}{more}",
            shown.join(", ")
        ));
    }
    let named = map.get("architectures").and_then(Value::as_array).into_iter().flatten();
    let known = |name: &str| {
        let name = name.to_lowercase();
        let own = family.model_type.trim_end_matches("_text");
        // What is LLaMA or Mistral may be called either.
        let either = ["llama", "mistral"];
        name.starts_with(own) || either.contains(&own) && either.iter().any(|own| name.starts_with(own))
    };
    if let Some(other) = named.filter_map(Value::as_str).find(|name| !known(name)) {
        let kind = map.get("model_type").and_then(Value::as_str).unwrap_or_default();
        warnings.push(format!(
            "config.json says `architectures: {other}` and `model_type: {kind}`; as in transformers, the latter decides"
        ));
    }
}

impl Keys {
    /// The first thing asked for that is not computed here, and what to do about it.
    fn uncomputed(&self) -> Option<(String, &'static str)> {
        if let Some(quantized) = self.quantization_config.as_ref().filter(|q| !q.is_null()) {
            let method = ["quant_method", "quant_type", "quantize"]
                .into_iter()
                .find_map(|key| quantized.get(key).and_then(Value::as_str))
                .or(quantized.get("load_in_4bit").or(quantized.get("load_in_8bit")).map(|_| "bitsandbytes"));
            let method = method.map_or("of an unnamed method".to_owned(), |name| format!("by `{name}`"));
            let reason = format!("`quantization_config`: the weights are quantized {method}");
            let hint =
                "quantized safetensors are not read; take the model's own bf16 or f16 files, or a GGUF file";
            return Some((reason, hint));
        }
        if self.attention_bias == Some(true) && self.family.ways.biases != Stated::ByKey {
            let reason = "`attention_bias` is true, and transformers computes no such biases for this model"
                .to_owned();
            return Some((reason, PLAIN));
        }
        if self.mlp_bias == Some(true) {
            return Some(("`mlp_bias` is true, and the MLP is computed without biases".to_owned(), PLAIN));
        }
        if let Some(reason) = self.other_gate().or_else(|| self.other_layers()) {
            return Some((reason, PLAIN));
        }
        let partial = self.partial_rotary_factor.is_some_and(|f| f.to_bits() != 1f64.to_bits());
        if partial && !self.family.ways.partial_rotation {
            let reason = "`partial_rotary_factor` is not 1, and all of a head is rotated".to_owned();
            return Some((reason, PLAIN));
        }
        None
    }

    fn layers(&self) -> i64 {
        self.num_hidden_layers.unwrap_or(self.family.defaults.sizes.layers)
    }

    fn config(&self, rope: Rope) -> Result<Config, String> {
        let defaults = &self.family.defaults;
        let sizes = &defaults.sizes;
        let heads = self.num_attention_heads.unwrap_or(sizes.heads);
        if heads < 1 {
            return Err(format!("`num_attention_heads` is {heads}"));
        }
        let n_layers = usize::try_from(self.layers())
            .map_err(|_| format!("`num_hidden_layers` is {}", self.layers()))?;
        if let Some(other) = self.layer_types.as_ref().map(Vec::len).filter(|&layers| layers != n_layers) {
            return Err(format!("`layer_types` has {other} entries, `num_hidden_layers` is {n_layers}"));
        }
        let dim = self.hidden_size.unwrap_or(sizes.hidden);
        let unsaid = Some(sizes.kv_heads.unwrap_or(heads));
        let head_dim = self.head_dim.or(sizes.head_dim).unwrap_or(dim / heads);
        let numbers = Config {
            dim,
            n_layers,
            n_heads: heads,
            n_kv_heads: self.num_key_value_heads.unwrap_or(unsaid).unwrap_or(heads),
            head_dim,
            hidden_dim: self.intermediate_size.unwrap_or(sizes.intermediate),
            vocab_size: self.vocab_size.unwrap_or(sizes.vocab),
            norm_eps: self.rms_norm_eps.unwrap_or(defaults.norm_eps),
            rope_theta: rope.theta,
            rope_scaling: rope.scaling,
            local_rope_theta: rope.local_theta,
            tied_embeddings: self.tie_word_embeddings.unwrap_or(defaults.tied),
            headless: false, // the weights will tell
            ..Config::default()
        };
        let partial = rope.partial.filter(|part| part.to_bits() != 1f64.to_bits());
        let rotary_dim = partial.map(|part| (head_dim as f64 * part) as i64);
        self.options(self.family.always(Config { rotary_dim, ..numbers }))
    }
}

/// `Some(None)` for a null that is there.
#[allow(clippy::option_option)] // absent and null mean different things
fn stated<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    reader: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

#[cfg(test)]
mod published;
#[cfg(test)]
mod tests;

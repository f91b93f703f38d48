//! `config.json`: what transformers' LLaMA and Mistral read of it, with the same defaults; what they would compute and
//! this crate does not is refused by its name.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys;
use crate::checkpoint::json;
use crate::config::{Config, RopeScaling};
use crate::error::{Error, Result};

/// The keys that decide what is computed, with `LlamaConfig`'s defaults where Mistral's are the same.
#[derive(Debug, Deserialize)]
#[allow(clippy::option_option)] // absent and null mean different things
struct Keys {
    model_type: String,
    #[serde(default = "hidden_size")]
    hidden_size: i64,
    intermediate_size: Option<i64>,
    #[serde(default = "thirty_two")]
    num_hidden_layers: i64,
    #[serde(default = "thirty_two")]
    num_attention_heads: i64,
    /// Mistral's default is not null's meaning.
    #[serde(default, deserialize_with = "stated")]
    num_key_value_heads: Option<Option<i64>>,
    head_dim: Option<i64>,
    #[serde(default = "vocab_size")]
    vocab_size: i64,
    max_position_embeddings: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    rms_norm_eps: Option<f64>,
    hidden_act: Option<String>,
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
    layer_types: Option<Vec<String>>,
    quantization_config: Option<Value>,
}

const PLAIN: &str =
    "LLaMA and models that differ from it only in configuration can be read (model_type llama, mistral)";
const OWN: &str = "use the config.json that came with the weights";

/// A configuration, and what a person should know of how it was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) config: Config,
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
    if !["llama", "mistral"].contains(&kind) {
        let hint = match map.values().find(|inner| inner.get("model_type") == Some(&"llama".into())) {
            Some(_) => "the LLaMA inside of a larger model is read where it was saved by itself",
            None => PLAIN,
        };
        return Err(refuse(format!("`model_type` is `{kind}`"), hint));
    }
    let mut warnings = Vec::new();
    note(&map, &mut warnings);
    // Only `true` leaves attention causal: transformers takes null for a no.
    if let Some(other) = map.get("is_causal").filter(|value| **value != Value::Bool(true)) {
        return Err(refuse(format!("`is_causal` is {other}, and attention is computed causally"), PLAIN));
    }
    if let Some(reason) = keys::otherwise(&map) {
        return Err(refuse(reason, PLAIN));
    }
    let keys: Keys = serde_json::from_value(Value::Object(map)).map_err(|e| refuse(e.to_string(), OWN))?;
    if let Some((reason, hint)) = keys.uncomputed() {
        return Err(refuse(reason, hint));
    }
    let (rope_theta, rope_scaling) = keys
        .rope(&mut warnings)
        .map_err(|reason| refuse(reason, "rope scaling can be `default`, `linear` or `llama3`"))?;
    let config = keys.config(rope_theta, rope_scaling).map_err(|reason| refuse(reason, OWN))?;
    match config.problem() {
        None => Ok(Read { config, warnings }),
        Some(problem) => Err(refuse(problem, OWN)),
    }
}

/// Warns of keys that are in no list and of an architecture that has another name.
fn note(map: &Map<String, Value>, warnings: &mut Vec<String>) {
    let unknown = keys::unknown(map);
    if !unknown.is_empty() {
        let shown: Vec<String> = unknown.iter().take(20).map(|key| format!("`{key}`")).collect();
        let more = if unknown.len() > 20 { ", …" } else { "" };
        warnings.push(format!(
            "config.json has keys that are not known here and were not read (nor are they by transformers' LLaMA): {}{more}",
            shown.join(", ")
        ));
    }
    let named = map.get("architectures").and_then(Value::as_array).into_iter().flatten();
    let known = |name: &str| ["Llama", "LLaMA", "LLama", "Mistral"].iter().any(|own| name.starts_with(own));
    if let Some(other) = named.filter_map(Value::as_str).find(|name| !known(name)) {
        let kind = map.get("model_type").and_then(Value::as_str).unwrap_or_default();
        warnings.push(format!(
            "config.json says `architectures: {other}` and `model_type: {kind}`; as in transformers, the latter decides"
        ));
    }
}

impl Keys {
    fn is_mistral(&self) -> bool {
        self.model_type == "mistral"
    }

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
        if self.attention_bias == Some(true) {
            return Some((
                "`attention_bias` is true, and attention is computed without biases".to_owned(),
                PLAIN,
            ));
        }
        if self.mlp_bias == Some(true) {
            return Some(("`mlp_bias` is true, and the MLP is computed without biases".to_owned(), PLAIN));
        }
        if let Some(other) = self.hidden_act.as_deref().filter(|act| !["silu", "swish"].contains(act)) {
            return Some((format!("`hidden_act` is `{other}`, and the MLP is computed with silu"), PLAIN));
        }
        if self.partial_rotary_factor.is_some_and(|f| f.to_bits() != 1f64.to_bits()) {
            let reason = "`partial_rotary_factor` is not 1, and all of a head is rotated".to_owned();
            return Some((reason, PLAIN));
        }
        let full = |kind: &String| ["full_attention", "attention"].contains(&kind.as_str());
        let windowed = |kind: &String| full(kind) || (self.is_mistral() && kind == "sliding_attention");
        if let Some(other) = self.layer_types.iter().flatten().find(|kind| !windowed(kind)) {
            return Some((format!("`layer_types` names `{other}`, which is not computed"), PLAIN));
        }
        None
    }

    /// The window: Mistral's, by default 4096; in a file that says so layer by layer (transformers' Ministral), if any has
    /// one. transformers' LLaMA has none, whatever the file says.
    fn window(&self) -> Result<Option<usize>, String> {
        let stated = self.sliding_window.unwrap_or(if self.is_mistral() { Some(4096) } else { None });
        let Some(window) = stated else { return Ok(None) };
        let windowed =
            self.layer_types.as_ref().is_none_or(|kinds| kinds.iter().any(|k| k == "sliding_attention"));
        match usize::try_from(window) {
            Ok(tokens) if tokens > 0 => Ok(Some(tokens).filter(|_| self.is_mistral() && windowed)),
            _ => Err(format!("`sliding_window` is {window}")),
        }
    }

    fn config(&self, rope_theta: f64, rope_scaling: RopeScaling) -> Result<Config, String> {
        if self.num_attention_heads < 1 {
            return Err(format!("`num_attention_heads` is {}", self.num_attention_heads));
        }
        let layers = self.layer_types.as_ref().map(|kinds| kinds.len() as i64);
        if let Some(other) = layers.filter(|&layers| layers != self.num_hidden_layers) {
            return Err(format!(
                "`layer_types` has {other} entries, `num_hidden_layers` is {}",
                self.num_hidden_layers
            ));
        }
        let mistral = self.is_mistral();
        let unsaid = Some(if mistral { 8 } else { self.num_attention_heads });
        Ok(Config {
            dim: self.hidden_size,
            n_layers: usize::try_from(self.num_hidden_layers)
                .map_err(|_| format!("`num_hidden_layers` is {}", self.num_hidden_layers))?,
            n_heads: self.num_attention_heads,
            n_kv_heads: self.num_key_value_heads.unwrap_or(unsaid).unwrap_or(self.num_attention_heads),
            head_dim: self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads),
            hidden_dim: self.intermediate_size.unwrap_or(if mistral { 14336 } else { 11008 }),
            vocab_size: self.vocab_size,
            norm_eps: self.rms_norm_eps.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            tied_embeddings: self.tie_word_embeddings.unwrap_or(false),
            headless: false, // the weights will tell
            sliding_window: self.window()?,
        })
    }

    /// Base and scaling of the rotary embedding, from the older `rope_theta` and `rope_scaling` or the newer
    /// `rope_parameters`. Where both are there they have to agree: transformers' versions take now this one, now that.
    fn rope(&self, warnings: &mut Vec<String>) -> Result<(f64, RopeScaling), String> {
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
        let mut scaling = |map: &Option<Map<String, Value>>| {
            map.as_ref().map(|map| self.rope_scaling(map, warnings)).transpose()
        };
        let (older, newer) = (scaling(&older)?, scaling(&newer)?);
        if let (Some(older), Some(newer)) = (&older, &newer)
            && older != newer
        {
            return Err(format!("`rope_scaling` means {older:?} and `rope_parameters` {newer:?}"));
        }
        Ok((base, older.or(newer).unwrap_or_default()))
    }

    /// What `rope_scaling` or `rope_parameters` says.
    fn rope_scaling(
        &self,
        parameters: &Map<String, Value>,
        warnings: &mut Vec<String>,
    ) -> Result<RopeScaling, String> {
        if let Some((layers, _)) = parameters.iter().find(|(_, v)| v.is_object()) {
            return Err(format!("the rotary embedding differs by layer (`{layers}`)"));
        }
        let of = |key: &str| parameters.get(key).ok_or_else(|| format!("rope scaling has no `{key}`"));
        let of = |key: &str| of(key).and_then(|value| number(key, value));
        let partial = parameters.get("partial_rotary_factor").filter(|v| !v.is_null());
        let partial = partial.map(|v| number("partial_rotary_factor", v));
        if partial.transpose()?.is_some_and(|f| f.to_bits() != 1f64.to_bits()) {
            return Err("`partial_rotary_factor` is not 1, and all of a head is rotated".to_owned());
        }
        let kind = match kinds(parameters)?.as_slice() {
            [] => "default",
            // 4.57 takes `type`, 5.24 `rope_type`.
            [one, other, ..] if one != other => {
                return Err(format!("rope scaling is of `rope_type` `{one}` and of `type` `{other}`"));
            }
            [kind, ..] => *kind,
        };
        let read: &[&str] = match kind {
            "default" => &[],
            "linear" => &["factor"],
            "llama3" => {
                &["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]
            }
            other => return Err(format!("rope scaling is of type `{other}`")),
        };
        let always = ["rope_type", "type", "rope_theta", "partial_rotary_factor"];
        let unread = |key: &&String| !always.contains(&key.as_str()) && !read.contains(&key.as_str());
        let unread: Vec<String> = parameters.keys().filter(unread).map(|key| format!("`{key}`")).collect();
        if !unread.is_empty() {
            warnings.push(format!("rope scaling of type `{kind}` does not read {}", unread.join(", ")));
        }
        match kind {
            "linear" => Ok(RopeScaling::Linear { factor: of("factor")? }),
            "llama3" => Ok(RopeScaling::Llama3 {
                factor: of("factor")?,
                low_freq_factor: of("low_freq_factor")?,
                high_freq_factor: of("high_freq_factor")?,
                original_context: self.original_context(parameters, warnings)?,
            }),
            _ => Ok(RopeScaling::None),
        }
    }

    /// Tokens of a text before stretching, as transformers 5.24's `standardize_rope_params` finds them: the configuration's
    /// own key before that of `rope_parameters`, and the longest text where there is neither.
    fn original_context(
        &self,
        parameters: &Map<String, Value>,
        warnings: &mut Vec<String>,
    ) -> Result<f64, String> {
        const KEY: &str = "original_max_position_embeddings";
        let inner = parameters.get(KEY).filter(|value| !value.is_null());
        let inner = inner.map(|value| number(KEY, value)).transpose()?;
        match (self.original_max_position_embeddings, inner) {
            (Some(outer), Some(inner)) if outer.to_bits() != inner.to_bits() => {
                warnings.push(format!(
                    "`{KEY}` is {outer} in config.json and {inner} in its rope scaling: {outer} counts, as in \
                     transformers 5 (4 took the other one)"
                ));
                Ok(outer)
            }
            (Some(stated), _) | (None, Some(stated)) => Ok(stated),
            (None, None) => {
                let longest = self.max_position_embeddings.unwrap_or(if self.is_mistral() {
                    131_072.0
                } else {
                    2048.0
                });
                warnings.push(format!(
                    "rope scaling has no `{KEY}`: `max_position_embeddings` is taken for it, {longest}, as in transformers 5"
                ));
                Ok(longest)
            }
        }
    }
}

/// What `rope_type` and `type` say, as far as they are there.
fn kinds(parameters: &Map<String, Value>) -> Result<Vec<&str>, String> {
    let stated = ["rope_type", "type"].into_iter().filter_map(|key| parameters.get(key));
    let word = |kind: &'_ Value| format!("rope scaling is of type {kind}");
    stated.filter(|kind| !kind.is_null()).map(|kind| kind.as_str().ok_or_else(|| word(kind))).collect()
}

fn number(key: &str, value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("`{key}` is {value}, and a number is needed"))
}

/// `Some(None)` for a null that is there.
#[allow(clippy::option_option)] // absent and null mean different things
fn stated<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

const fn hidden_size() -> i64 {
    4096
}

const fn thirty_two() -> i64 {
    32
}

const fn vocab_size() -> i64 {
    32_000
}

#[cfg(test)]
mod tests;

//! The keys of a model's metadata, after its architecture's name: those that are read, those that change nothing, those that ask for something else.
//!
//! The lists are of gguf-py's `constants.Keys` and of what llama.cpp reads for `llama` and the architectures that grew out
//! of it. (`general.…` describes the file, `tokenizer.…` is the vocabulary's.)

use super::config::Metadata;
use super::file::Value;
use crate::family::Family;

/// Read and obeyed (`super::config`), or of no effect on what a prompt's tokens give.
const KNOWN: [&str; 28] = [
    "attention.causal",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "expert_used_count",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_log_multiplier",
    "tensor_data_layout",
    "vocab_size",
    "decoder_start_token_id",
    "pooling_type",
];

/// Keys of models that are computed in another way, each with the values that change nothing.
const OTHERWISE: [(&str, &[f64]); 31] = [
    ("activation_sparsity_scale", &[0.0]),
    ("attention.clamp_kqv", &[0.0]),
    ("attention.group_norm_groups", &[0.0]),
    ("attention.kv_lora_rank", &[0.0]),
    ("attention.max_alibi_bias", &[0.0]),
    ("attention.output_scale", &[0.0, 1.0]),
    ("attention.q_lora_rank", &[0.0]),
    ("attention.relative_buckets_count", &[0.0]),
    ("attention.scale", &[0.0]),
    ("attention.shared_kv_layers", &[0.0]),
    ("attention.temperature_length", &[0.0]),
    ("attention.temperature_scale", &[0.0]),
    ("attn_logit_softcapping", &[0.0]),
    ("embedding_scale", &[0.0, 1.0]),
    ("expert_count", &[0.0]),
    ("expert_shared_count", &[0.0]),
    ("final_logit_softcapping", &[0.0]),
    ("full_attention_interval", &[0.0]),
    ("interleave_moe_layer_step", &[0.0]),
    ("leading_dense_block_count", &[0.0]),
    ("logit_scale", &[0.0, 1.0]),
    ("moe_every_n_layers", &[0.0]),
    ("nextn_predict_layers", &[0.0]),
    ("residual_scale", &[0.0, 1.0]),
    ("rope.scaling.alpha", &[0.0, 1.0]),
    ("rope.scaling.attn_factor", &[0.0, 1.0]),
    ("rope.scaling.yarn_attn_factor", &[0.0, 1.0]),
    ("swin_norm", &[0.0]),
    ("use_parallel_residual", &[0.0]),
    ("attention.sliding_window_pattern", &[0.0, 1.0]),
    ("rope.freq_base_swa", &[0.0]),
];

/// The first key that asks for something that is not computed here, in words.
pub(super) fn otherwise(meta: &Metadata<'_>, family: &Family) -> Option<String> {
    OTHERWISE.iter().filter(|(key, _)| !family.metadata.contains(key)).find_map(|(key, neutral)| {
        let key = format!("{}.{key}", family.architecture);
        let value = meta.get(&key)?;
        #[allow(clippy::float_cmp)] // exactly a neutral value, and NaN is none
        let same = number(value).is_some_and(|number| neutral.contains(&number));
        (!same).then(|| format!("`{key}` is {value}, and such models are not computed"))
    })
}

/// Keys in no list, sorted.
pub(super) fn unknown<'a>(meta: &Metadata<'a>, family: &Family) -> Vec<&'a str> {
    let unknown = |key: &str| {
        let own = key.strip_prefix(family.architecture)?.strip_prefix('.')?;
        let known = KNOWN.contains(&own) || OTHERWISE.iter().any(|(other, _)| *other == own);
        Some(()).filter(|()| !known)
    };
    let mut keys: Vec<&str> = meta.keys().filter(|key| unknown(key).is_some()).collect();
    keys.sort_unstable();
    keys
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Unsigned(n) => Some(*n as f64),
        Value::Signed(n) => Some(*n as f64),
        Value::F32(n) => Some(f64::from(*n)),
        Value::F64(n) => Some(*n),
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::Text(_) | Value::Array(_) => None,
    }
}

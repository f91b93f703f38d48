//! Every key of a `config.json`: those that are read, those that change nothing, those that ask for something that is not
//! computed here. What is in no list is unknown, and named in a warning.
//!
//! The lists are of transformers 4.57 and 5.24: `LlamaConfig`, `MistralConfig`, `PreTrainedConfig`, what `modeling_llama`,
//! `modeling_mistral`, `modeling_rope_utils`, `masking_utils`, `cache_utils` and `from_pretrained` ask a configuration for,
//! and the keys by which the families that grew out of LLaMA (Granite, Gemma, Cohere, LLaMA 4, …)
//! say what they do otherwise. transformers' LLaMA leaves the latter unread; a file that sets one asks for another model.
//! Each family reads some of them ([`Family::keys`]).

use serde_json::{Map, Value};

use crate::family::Family;

/// Read and obeyed (`super::config`).
const READ: [&str; 26] = [
    "architectures",
    "attention_bias",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "is_causal",
    "layer_types",
    "max_position_embeddings",
    "max_window_layers",
    "mlp_bias",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "quantization_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "tie_word_embeddings",
    "use_sliding_window",
    "vocab_size",
];

/// What a value must be to ask for nothing.
#[derive(Clone, Copy)]
enum Neutral {
    /// Null, false, zero, or empty.
    Nothing,
    /// A factor: null or one.
    One,
    /// Null, or one of these words.
    Words(&'static [&'static str]),
}

use Neutral::{Nothing, One, Words};

/// Keys that ask for mathematics, weights or a configuration that are not read here, unless they are neutral.
const OTHERWISE: [(&str, Neutral); 64] = [
    // transformers' own, for every model.
    ("add_cross_attention", Nothing),
    ("configuration_files", Nothing),
    ("default_rope_type", Words(&["default"])),
    ("is_encoder_decoder", Nothing),
    ("kv_sharing_modes", Nothing),
    ("per_layer_config", Nothing),
    ("position_embedding_type", Words(&["rope", "rotary", "absolute"])),
    ("pruned_heads", Nothing),
    ("transformers_weights", Nothing),
    ("use_bidirectional_attention", Nothing),
    // Attention.
    ("alibi", Nothing),
    ("attention_chunk_size", Nothing),
    ("attention_multiplier", Nothing),
    ("attention_out_bias", Nothing),
    ("attention_sinks", Nothing),
    ("attn_logit_softcapping", Nothing),
    ("attn_temperature_tuning", Nothing),
    ("clip_qkv", Nothing),
    ("cross_attention_layers", Nothing),
    ("kv_lora_rank", Nothing),
    ("q_lora_rank", Nothing),
    ("qk_layernorm", Nothing),
    ("qk_norm", Nothing),
    ("qkv_bias", Nothing),
    ("query_pre_attn_scalar", Nothing),
    ("sliding_window_pattern", Nothing),
    ("_sliding_window_pattern", Nothing),
    ("use_mrope", Nothing),
    ("use_qk_norm", Nothing),
    // Rotary embedding.
    ("llama_4_scaling", Nothing),
    ("no_rope_layer_interval", Nothing),
    ("no_rope_layers", Nothing),
    ("nope_layer_interval", Nothing),
    ("rope_local_base_freq", Nothing),
    ("rope_ratio", One),
    ("rope_scaling_factor", One),
    ("rotary_dim", Nothing),
    ("rotary_pct", One),
    ("use_alibi", Nothing),
    // MLP and norms.
    ("activation_function", Words(&["silu", "swish"])),
    ("hidden_activation", Words(&["silu", "swish"])),
    ("use_bias", Nothing),
    ("parallel_attn", Nothing),
    ("parallel_residual", Nothing),
    ("use_parallel_residual", Nothing),
    // Experts.
    ("moe", Nothing),
    ("moe_args", Nothing),
    ("n_routed_experts", Nothing),
    ("num_experts", Nothing),
    ("num_experts_per_tok", Nothing),
    ("num_local_experts", Nothing),
    // Factors on the stream and the logits.
    ("dim_model_base", Nothing),
    ("embedding_multiplier", One),
    ("final_logit_softcapping", Nothing),
    ("logit_scale", One),
    ("logits_scaling", One),
    ("residual_multiplier", One),
    ("scale_depth", Nothing),
    ("scale_emb", One),
    // Other parts.
    ("audio_config", Nothing),
    ("num_nextn_predict_layers", Nothing),
    ("text_config", Nothing),
    ("vision_config", Nothing),
    ("skip_layers", Nothing),
];

/// Keys that change nothing of what a prompt's tokens give: training, generation, task heads, bookkeeping, and how
/// (not what) transformers computes.
const SAME: [&str; 100] = [
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_attn_implementation_internal",
    "_commit_hash",
    "_experts_implementation_internal",
    "_flash_attn_2_enabled",
    "_from_model_config",
    "_name_or_path",
    "_output_attentions",
    "assistant_confidence_threshold",
    "assistant_lookbehind",
    "attention_dropout",
    "attn_implementation",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "eos_token_id",
    "epsilon_cutoff",
    "eta_cutoff",
    "experts_implementation",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "is_decoder",
    "label2id",
    "length_penalty",
    "max_length",
    "max_sequence_length",
    "min_length",
    "model_max_length",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "output_scores",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_pdrop",
    "residual_dropout",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "sep_token_id",
    "suppress_tokens",
    "target_lookbehind",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_last_hidden_states",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_cache_quantization",
    "use_flash_attention",
    "use_flash_attn",
    "use_return_dict",
    "use_rslora",
    "tensor_parallel",
    "mask_token_id",
    "cls_token_id",
];

/// The first key that asks for something that is not computed here, in words.
pub(super) fn otherwise(keys: &Map<String, Value>, family: &Family) -> Option<String> {
    let asked = |(key, neutral): &(&str, Neutral)| {
        let value = keys.get(*key).filter(|value| !neutral.is(value) && !family.keys.contains(key))?;
        let shown: String = value.to_string().chars().take(60).collect();
        Some(format!("`{key}` is {shown}, which asks for something that is not computed for such a model"))
    };
    OTHERWISE.iter().find_map(asked)
}

/// Keys in no list, sorted.
pub(super) fn unknown<'k>(keys: &'k Map<String, Value>, family: &Family) -> Vec<&'k str> {
    let known = |key: &str| {
        family.keys.contains(&key)
            || READ.contains(&key)
            || SAME.contains(&key)
            || OTHERWISE.iter().any(|(other, _)| *other == key)
    };
    let mut unknown: Vec<&str> = keys.keys().map(String::as_str).filter(|key| !known(key)).collect();
    unknown.sort_unstable();
    unknown
}

impl Neutral {
    fn is(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null) => true,
            (Nothing, Value::Bool(value)) => !value,
            (Nothing, Value::Number(value)) => value.as_f64() == Some(0.0),
            (Nothing, Value::String(value)) => value.is_empty(),
            (Nothing, Value::Array(values)) => values.is_empty(),
            (Nothing, Value::Object(values)) => values.is_empty(),
            (One, Value::Number(value)) => value.as_f64() == Some(1.0),
            (Words(words), Value::String(value)) => words.contains(&value.as_str()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_in_one_list() {
        let mut all: Vec<&str> = READ.into_iter().chain(SAME).chain(OTHERWISE.map(|(key, _)| key)).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    /// What `LlamaConfig().to_dict()` and `_get_default_generation_params()` of transformers 5.24 hold, and 4.57's.
    #[test]
    fn what_transformers_writes_by_itself_is_known() {
        let written = "_name_or_path architectures attention_bias attention_dropout bos_token_id chunk_size_feed_forward \
            dtype eos_token_id head_dim hidden_act hidden_size id2label initializer_range intermediate_size \
            is_encoder_decoder label2id max_position_embeddings mlp_bias model_type num_attention_heads \
            num_hidden_layers num_key_value_heads output_attentions output_hidden_states pad_token_id pretraining_tp \
            problem_type return_dict rms_norm_eps rope_parameters tie_word_embeddings transformers_version use_cache \
            vocab_size sliding_window torch_dtype rope_theta rope_scaling assistant_confidence_threshold \
            assistant_lookbehind bad_words_ids begin_suppress_tokens diversity_penalty do_sample early_stopping \
            encoder_no_repeat_ngram_size encoder_repetition_penalty epsilon_cutoff eta_cutoff \
            exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id length_penalty max_length \
            min_length no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule num_beam_groups \
            num_beams num_return_sequences output_scores remove_invalid_values repetition_penalty \
            return_dict_in_generate suppress_tokens target_lookbehind temperature top_k top_p typical_p \
            cross_attention_hidden_size finetuning_task is_decoder add_cross_attention pruned_heads prefix \
            tokenizer_class task_specific_params tie_encoder_decoder torchscript tf_legacy_loss use_bfloat16 \
            sep_token_id decoder_start_token_id";
        let keys: Map<String, Value> =
            written.split_whitespace().map(|key| (key.to_owned(), Value::Null)).collect();
        assert_eq!(unknown(&keys, Family::llama()), Vec::<&str>::new());
        assert_eq!(otherwise(&keys, Family::llama()), None);
    }
}

//! Configurations that are read, and what they ask for that is refused.

use super::*;
use crate::config::RopeScaling;

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
    read(Path::new("config.json"), &config.to_string()).map(|read| read.config)
}

fn warned(change: &Value) -> String {
    let mut config = serde_json::json!({ "model_type": "llama" });
    for (key, value) in change.as_object().expect("an object") {
        config[key] = value.clone();
    }
    read(Path::new("config.json"), &config.to_string()).expect("sound").warnings.join("; ")
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
    assert!(matches!(old.rope_scaling, RopeScaling::Llama3 { factor, .. } if (factor - 32.0).abs() < 1e-12));
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
        (serde_json::json!({ "model_type": "qwen2_moe" }), "qwen2_moe"),
        (serde_json::json!({ "model_type": "mistral", "attention_bias": true }), "attention_bias"),
        (serde_json::json!({ "model_type": "phi3", "rope_scaling": { "type": "yarn" } }), "yarn"),
        (serde_json::json!({ "model_type": "gemma2", "hidden_activation": "gelu" }), "gelu"),
        (serde_json::json!({ "mlp_bias": true }), "mlp_bias"),
        (serde_json::json!({ "hidden_act": "gelu" }), "gelu"),
        (serde_json::json!({ "partial_rotary_factor": 0.5 }), "partial_rotary_factor"),
        (serde_json::json!({ "quantization_config": { "bits": 4, "quant_method": "gptq" } }), "gptq"),
        (serde_json::json!({ "quantization_config": { "load_in_4bit": true } }), "bitsandbytes"),
        (serde_json::json!({ "quantization_config": {} }), "quantization_config"),
        (serde_json::json!({ "is_causal": false }), "is_causal"),
        (serde_json::json!({ "is_causal": null }), "is_causal"),
        (serde_json::json!({ "use_bidirectional_attention": true }), "use_bidirectional_attention"),
        (serde_json::json!({ "attn_logit_softcapping": 50.0 }), "attn_logit_softcapping"),
        (serde_json::json!({ "residual_multiplier": 0.22 }), "residual_multiplier"),
        (serde_json::json!({ "per_layer_config": { "1": { "rms_norm_eps": 1.0 } } }), "per_layer_config"),
        (serde_json::json!({ "layer_types": ["sliding_attention"] }), "layer_types"),
        (serde_json::json!({ "layer_types": ["full_attention"] }), "layer_types"),
        (serde_json::json!({ "configuration_files": ["config.4.0.0.json"] }), "configuration_files"),
        (serde_json::json!({ "rope_scaling": { "type": "linear", "rope_type": "default" } }), "rope_type"),
        (serde_json::json!({ "rope_scaling": { "type": "longrope", "factor": 2.0 } }), "longrope"),
        (serde_json::json!({ "rope_parameters": { "rope_type": "yarn", "factor": -2.0 } }), "Yarn"),
        (serde_json::json!({ "rope_scaling": { "type": "linear" } }), "factor"),
        (serde_json::json!({ "rope_theta": 1e4, "rope_parameters": { "rope_theta": 5e5 } }), "rope_theta"),
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
        let error = with(&change).expect_err(name);
        assert!(error.to_string().contains(name) && error.hint().is_some(), "{name}: {error}");
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

/// transformers 5.24 in float64 (`tests/fixtures/config_keys.py`): the outer key before the inner one, the longest text
/// where there is neither.
#[test]
fn the_original_context_is_found_where_transformers_finds_it() {
    let context = |outer: Value, inner: Value| {
        let mut scaling = llama3_of(8.0);
        scaling["original_max_position_embeddings"] = inner;
        let change = serde_json::json!({ "original_max_position_embeddings": outer, "rope_scaling": scaling,
            "max_position_embeddings": 64 });
        match with(&change).expect("sound").rope_scaling {
            RopeScaling::Llama3 { original_context, .. } => original_context as i64,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(context(4.into(), 16.into()), 4);
    assert_eq!(context(Value::Null, 16.into()), 16);
    assert_eq!(context(4.into(), Value::Null), 4);
    assert_eq!(context(Value::Null, Value::Null), 64);
}

#[test]
fn unknown_keys_are_named_and_known_ones_are_not() {
    let change = serde_json::json!({ "brand_new_norm": true, "auto_map": {}, "attention_dropout": 0.1,
        "logits_scaling": 1.0, "is_causal": true, "architectures": ["Qwen2ForCausalLM"] });
    let warned = warned(&change);
    assert!(
        warned.contains("`auto_map`, `brand_new_norm`") && warned.contains("Qwen2ForCausalLM"),
        "{warned}"
    );
    assert!(!warned.contains("attention_dropout") && !warned.contains("is_causal"), "{warned}");
    let scaling = serde_json::json!({ "rope_type": "linear", "factor": 2.0, "beta_fast": 32 });
    assert!(self::warned(&serde_json::json!({ "rope_scaling": scaling })).contains("`beta_fast`"));
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let text = r#"{"model_type":"llama","rms_norm_eps":1e-5,"rope_theta":1e4,"rms_norm_eps":1e-6}"#;
    let error = read(Path::new("config.json"), text).expect_err("twice").to_string();
    assert!(error.contains("`rms_norm_eps` is there twice"), "{error}");
}

#[test]
fn what_is_left_out_has_transformers_defaults() {
    let read = |text: &str| read(Path::new("config.json"), text).expect(text).config;
    let llama = read(r#"{"model_type":"llama"}"#);
    assert_eq!(llama, Config::default()); // LLaMA 7B
    let mistral = read(r#"{"model_type":"mistral","max_position_embeddings":32768}"#);
    assert_eq!((mistral.n_kv_heads, mistral.hidden_dim), (8, 14336));
    assert_eq!(read(r#"{"model_type":"mistral","num_key_value_heads":null}"#).n_kv_heads, 32);
}

#[test]
fn a_mistral_whose_layers_are_all_full_has_no_window() {
    let window = |kinds: [&str; 30]| {
        let change =
            serde_json::json!({ "model_type": "mistral", "sliding_window": 9, "layer_types": kinds });
        with(&change).expect("sound").sliding_window
    };
    assert_eq!(window(["full_attention"; 30]), None);
    let mut mixed = ["full_attention"; 30];
    mixed[3] = "sliding_attention";
    assert_eq!(window(mixed), Some(9));
}

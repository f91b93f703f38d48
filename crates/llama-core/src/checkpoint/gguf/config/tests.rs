//! Metadata that is read, and what it asks for that is refused.

use std::collections::HashMap;

use candle_core::quantized::GgmlDType;

use super::super::file::TensorEntry;
use super::*;

/// A small model's metadata, and what is given.
fn with(change: &[(&str, Value)], factors: Option<Vec<f32>>) -> Result<Config, String> {
    let int = Value::Unsigned;
    let own = [
        ("general.architecture", Value::Text("llama".to_owned())),
        ("llama.block_count", int(2)),
        ("llama.embedding_length", int(64)),
        ("llama.feed_forward_length", int(96)),
        ("llama.attention.head_count", int(4)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
    ];
    let mut metadata: HashMap<String, Value> = own.map(|(key, value)| (key.to_owned(), value)).into();
    metadata.extend(change.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let embed = TensorEntry { dtype: GgmlDType::F32, shape: vec![50, 64], bytes: 0..0 };
    let tensors = [("token_embd.weight".to_owned(), embed)].into();
    let header = Header { version: 3, metadata, tensors };
    read(&header, family(&Metadata(&header))?, factors, true)
}

fn one(key: &str, value: Value) -> Result<Config, String> {
    with(&[(key, value)], None)
}

#[test]
fn numbers_kept_in_f32_are_the_decimals_they_were() {
    let config = one("llama.rope.freq_base", Value::F32(500_000.0)).expect("sound");
    assert_eq!((config.norm_eps, config.rope_theta), (1e-5, 5e5));
    assert_eq!((config.head_dim, config.n_kv_heads, config.vocab_size), (16, 4, 50));
    let array = Value::Array(vec![Value::Unsigned(2); 2]);
    assert_eq!(one("llama.attention.head_count_kv", array).expect("the same for all").n_kv_heads, 2);
    assert_eq!(one("llama.attention.sliding_window", Value::Unsigned(0)).expect("none").sliding_window, None);
    assert_eq!(
        one("llama.attention.sliding_window", Value::Unsigned(9)).expect("nine").sliding_window,
        Some(9)
    );
}

#[test]
fn rope_scaling_is_read_in_its_three_ways() {
    let linear = |key| one(key, Value::F32(4.0)).expect("linear").rope_scaling;
    assert_eq!(linear("llama.rope.scale_linear"), RopeScaling::Linear { factor: 4.0 });
    assert_eq!(linear("llama.rope.scaling.factor"), RopeScaling::Linear { factor: 4.0 });
    assert_eq!(
        one("llama.rope.scale_linear", Value::F32(1.0)).expect("none").rope_scaling,
        RopeScaling::None
    );
    let factors = vec![1.0, 1.0, 1.0, 2.0, 3.0, 8.0, 8.0, 8.0];
    let table = with(&[], Some(factors.clone())).expect("a table");
    assert_eq!(table.rope_scaling, RopeScaling::Factors(factors.clone()));
    let both = with(&[("llama.rope.scaling.factor", Value::F32(2.0))], Some(factors)).expect_err("both");
    assert!(both.contains("rope_freqs.weight"), "{both}");
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    for (key, value) in [
        ("general.architecture", Value::Text("qwen2moe".to_owned())),
        ("llama.expert_count", Value::Unsigned(8)),
        ("llama.attention.scale", Value::F32(0.1)),
        ("llama.logit_scale", Value::F32(f32::NAN)),
        ("llama.attn_logit_softcapping", Value::F32(50.0)),
        ("llama.attention.clamp_kqv", Value::F32(8.0)),
        ("llama.attention.sliding_window_pattern", Value::Array(vec![Value::Bool(true)])),
        ("llama.rope.scaling.attn_factor", Value::F32(1.2)),
        ("llama.attention.causal", Value::Bool(false)),
        ("llama.attention.head_count", Value::Unsigned(0)),
        ("llama.attention.head_count", Value::Array(vec![Value::Unsigned(4), Value::Unsigned(2)])),
        ("llama.attention.value_length", Value::Unsigned(8)),
        ("llama.rope.dimension_count", Value::Unsigned(8)),
        ("llama.vocab_size", Value::Unsigned(51)),
        ("llama.attention.sliding_window", Value::Signed(-1)),
        ("llama.embedding_length", Value::Text("64".to_owned())),
    ] {
        let error = one(key, value).expect_err(key);
        assert!(error.contains(key), "{key}: {error}");
    }
    for (key, value, says) in [
        ("llama.rope.scaling.type", Value::Text("longrope".to_owned()), "longrope"),
        ("general.type", Value::Text("adapter".to_owned()), "adapter"),
        ("llama.rope.scaling.factor", Value::F32(-2.0), "Linear"),
    ] {
        let error = one(key, value).expect_err(key);
        assert!(error.contains(says), "{key}: {error}");
    }
}

#[test]
fn unknown_keys_are_found() {
    let metadata = ["llama.block_count", "llama.brand_new", "general.name", "llama.logit_scale"];
    let metadata = metadata.map(|key| (key.to_owned(), Value::Unsigned(1))).into();
    let header = Header { version: 3, metadata, tensors: HashMap::new() };
    assert_eq!(keys::unknown(&Metadata(&header), Family::llama()), ["llama.brand_new"]);
}

/// Gemma 3 files, older ones without the keys of layers with a window, and newer ones.
#[test]
fn windowed_layers_and_their_base_are_read_or_llama_cpps() {
    let int = Value::Unsigned;
    let gemma = |change: &[(&str, Value)]| {
        let own = [
            ("general.architecture", Value::Text("gemma3".to_owned())),
            ("gemma3.block_count", int(7)),
            ("gemma3.embedding_length", int(64)),
            ("gemma3.feed_forward_length", int(96)),
            ("gemma3.attention.head_count", int(4)),
            ("gemma3.attention.sliding_window", int(9)),
            ("gemma3.attention.layer_norm_rms_epsilon", Value::F32(1e-6)),
            ("gemma3.rope.freq_base", Value::F32(1e6)),
        ];
        let mut metadata: HashMap<String, Value> = own.map(|(key, value)| (key.to_owned(), value)).into();
        metadata.extend(change.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let embed = TensorEntry { dtype: GgmlDType::F32, shape: vec![50, 64], bytes: 0..0 };
        let header =
            Header { version: 3, metadata, tensors: [("token_embd.weight".to_owned(), embed)].into() };
        read(&header, family(&Metadata(&header))?, None, true)
    };
    let old = gemma(&[]).expect("older");
    assert_eq!((old.window_layers, old.local_rope_theta), (Layers::Only(vec![0, 1, 2, 3, 4, 6]), Some(1e4)));
    let pattern = Value::Array((0..7).map(|layer| Value::Bool(layer == 2)).collect());
    let key = "gemma3.attention.sliding_window_pattern";
    let new = gemma(&[(key, pattern), ("gemma3.rope.freq_base_swa", Value::F32(30.0))]).expect("newer");
    assert_eq!((new.window_layers, new.local_rope_theta), (Layers::Only(vec![2]), Some(30.0)));
    let every = gemma(&[(key, int(3))]).expect("all but each third").window_layers;
    assert_eq!(every, Layers::Only(vec![0, 1, 3, 4, 6]));
    for bad in [int(0), Value::Array(vec![Value::Bool(true)]), Value::Text("x".to_owned())] {
        assert!(gemma(&[(key, bad)]).expect_err("no pattern").contains(key));
    }
}

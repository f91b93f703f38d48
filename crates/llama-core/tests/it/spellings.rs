//! One small model as transformers, `torch.save` and Mistral's programs write it, and as people's folders hold it:
//! `fixtures/spellings/make.py` made the files, and computed with transformers in float64 what each configuration means.

use crate::with_hint;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{Batch, Capture, Checkpoint, Error, Forward, HookPoint, HookSet, Llama, Precision, Tokens};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use crate::support::relative;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spellings")
}

fn expected() -> Value {
    serde_json::from_str(&fs::read_to_string(fixtures().join("expected.json")).expect("expected"))
        .expect("json")
}

fn config(change: &Value) -> String {
    let text = fs::read_to_string(fixtures().join("config.json")).expect("config");
    let mut config: Value = serde_json::from_str(&text).expect("json");
    let keys = config.as_object_mut().expect("an object");
    for (key, value) in change.as_object().expect("an object") {
        if value.is_null() {
            keys.remove(key)
        } else {
            keys.insert(key.clone(), value.clone())
        };
    }
    config.to_string()
}

/// A folder with `config.json` changed and these files, each of its name here and of the fixture.
fn folder(change: &Value, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("config.json"), config(change)).expect("config");
    for (name, fixture) in files {
        fs::copy(fixtures().join(fixture), folder.path().join(name)).expect("copy");
    }
    folder
}

const WEIGHTS: (&str, &str) = ("model.safetensors", "model.safetensors");

/// The fixture's tensors under other names; `None` leaves one out.
fn renamed(path: &Path, rename: impl Fn(&str) -> Option<String>) {
    let bytes = fs::read(fixtures().join("model.safetensors")).expect("read");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let all: BTreeMap<String, TensorView<'_>> =
        file.iter().filter_map(|(name, view)| Some((rename(name)?, view))).collect();
    safetensors::serialize_to_file(all, None, path).expect("write");
}

fn load(folder: &Path) -> Result<Llama, Error> {
    Llama::load(&Checkpoint::open(folder)?, Precision::F64, Device::Cpu)
}

/// The residual stream at the last token, before and between the blocks, and the logits there.
fn run(llama: &Llama) -> (Vec<Tensor>, Option<Tensor>) {
    let ids: Vec<u32> = serde_json::from_value(expected()["ids"].clone()).expect("ids");
    let mut states = Capture::new(HookSet::residual_stream(llama.config().n_layers), Tokens::Last);
    let run = Forward::new().hook(&mut states);
    let run = if llama.config().headless { run } else { run.logits(Tokens::Last) };
    let logits = llama.forward(&Batch::new(&[ids]).expect("batch"), run).expect("run").logits;
    let states = states.finish();
    let at = |layer| states.get(HookPoint::of_layer(layer)).expect("layer").shallow_clone();
    ((0..llama.config().n_layers).map(at).collect(), logits)
}

/// transformers makes rotary frequencies and norms in float32, whatever the model is in.
const TOLERANCE: f64 = 3e-6;

fn assert_is(what: &str, found: &(Vec<Tensor>, Option<Tensor>), expected: &Value) {
    let tensor = |value: &Value| {
        let numbers: Vec<f64> = serde_json::from_value(value.clone()).expect("numbers");
        Tensor::from_slice(&numbers).unsqueeze(0)
    };
    for (layer, state) in found.0.iter().enumerate() {
        let error = relative(&state.to_kind(Kind::Double), &tensor(&expected["states"][layer]));
        assert!(error < TOLERANCE, "{what}, layer {layer}: {error}");
    }
    if let Some(logits) = &found.1 {
        let error = relative(logits, &tensor(&expected["logits"]));
        assert!(error < TOLERANCE, "{what}, logits: {error}");
    }
}

#[test]
fn every_key_is_obeyed_as_transformers_obeys_it_or_refused() {
    for (name, case) in expected()["cases"].as_object().expect("cases") {
        match (name.as_str(), load(folder(&case["change"], &[WEIGHTS]).path())) {
            ("is_causal", Ok(_)) => panic!("computed causally, and the configuration says otherwise"),
            ("is_causal", Err(error)) => {
                assert!(error.to_string().contains("`is_causal` is false"), "{error}");
            }
            // With its own unembedding; the tied model has a file of its own.
            ("tied", refused) => {
                assert!(refused.expect_err("untied weights").to_string().contains("tie_word"));
            }
            (_, llama) => assert_is(name, &run(&llama.expect(name)), case),
        }
    }
}

#[test]
fn names_are_seen_through_their_wrappers() {
    let plain = &expected()["cases"]["plain"];
    let inside = |prefix: &'static str| move |name: &str| Some(name.replacen("model.", prefix, 1));
    for prefix in ["", "language_model.", "language_model.model.", "model.language_model.", "module.model."] {
        let folder = folder(&json!({}), &[]);
        renamed(&folder.path().join("model.safetensors"), inside(prefix));
        assert_is(prefix, &run(&load(folder.path()).expect(prefix)), plain);
        // The whole model inside of another.
        renamed(&folder.path().join("model.safetensors"), |name| Some(format!("language_model.{name}")));
        assert_is("inside", &run(&load(folder.path()).expect("inside")), plain);
    }
    // A tensor that no wrapper explains is refused as before.
    let folder = folder(&json!({}), &[]);
    renamed(&folder.path().join("model.safetensors"), |name| {
        Some(name.replace("layers.1.mlp", "layers.1.moe"))
    });
    let error = with_hint(&load(folder.path()).expect_err("another model"));
    assert!(error.contains("layers.1."), "{error}");
}

#[test]
fn a_model_without_an_unembedding_has_states_and_no_logits() {
    let folder = folder(&json!({ "architectures": ["LlamaModel"] }), &[]);
    renamed(&folder.path().join("model.safetensors"), |name| Some(name.strip_prefix("model.")?.to_owned()));
    let checkpoint = Checkpoint::open(folder.path()).expect("open");
    assert!(checkpoint.config().headless);
    assert!(checkpoint.warnings()[0].contains("lm_head"), "{:?}", checkpoint.warnings());
    assert!(checkpoint.stored_as().is_ok() && checkpoint.stored_bytes().is_ok());
    let llama = load(folder.path()).expect("load");
    assert_is("headless", &run(&llama), &expected()["cases"]["plain"]);
    let logits = llama.forward(&Batch::new(&[[1]]).expect("batch"), Forward::new().logits(Tokens::Last));
    assert!(matches!(logits, Err(Error::Headless)));
    assert!(llama_core::save_meta(&llama, folder.path().join("meta"), Kind::Float, 1).is_err());
}

#[test]
fn tied_models_are_read_from_whichever_of_the_two_is_there() {
    let tied = json!({ "tie_word_embeddings": true });
    let (head, embed) = (folder(&tied, &[]), folder(&tied, &[]));
    renamed(&head.path().join("model.safetensors"), |name| {
        (!name.contains("embed")).then(|| name.to_owned())
    });
    renamed(&embed.path().join("model.safetensors"), |name| match name {
        "lm_head.weight" => Some("model.embed_tokens.weight".to_owned()),
        "model.embed_tokens.weight" => None,
        other => Some(other.to_owned()),
    });
    let [head, embed] =
        [head, embed].map(|folder| run(&load(folder.path()).expect("tied")).1.expect("logits"));
    assert!(head.equal(&embed));
    // Not tied, the embedding is missing.
    let folder = folder(&json!({}), &[]);
    renamed(&folder.path().join("model.safetensors"), |name| {
        (!name.contains("embed")).then(|| name.to_owned())
    });
    assert!(
        matches!(load(folder.path()), Err(Error::MissingTensor { name, .. }) if name.contains("embed_tokens"))
    );
}

#[test]
fn pytorch_bin_files_are_read() {
    let cases = &expected()["cases"];
    let tied = folder(&json!({ "tie_word_embeddings": true }), &[("pytorch_model.bin", "tied.bin")]);
    assert_is("one storage for both", &run(&load(tied.path()).expect("tied")), &cases["tied"]);
    let views = folder(&json!({}), &[("pytorch_model.bin", "views.bin")]);
    let checkpoint = Checkpoint::open(views.path()).expect("views");
    assert_eq!(checkpoint.stored_as().expect("types"), ["bf16"]);
    assert_is(
        "transposed, and views of one storage",
        &run(&load(views.path()).expect("views")),
        &cases["plain"],
    );

    let part = "pytorch_model-00001-of-00001.bin";
    let parts = folder(&json!({}), &[(part, "views.bin")]);
    index(parts.path(), "pytorch_model.bin.index.json", &names(), |_| part.to_owned());
    assert_is("parts", &run(&load(parts.path()).expect("parts")), &cases["plain"]);
    // The same tensors in a second part.
    fs::copy(fixtures().join("views.bin"), parts.path().join("second.bin")).expect("copy");
    index(parts.path(), "pytorch_model.bin.index.json", &names(), |name| {
        if name == "lm_head.weight" { "second.bin".to_owned() } else { part.to_owned() }
    });
    let error = with_hint(&load(parts.path()).expect_err("twice"));
    assert!(error.contains("and so does") && error.contains("second.bin"), "{error}");

    let legacy = folder(&json!({}), &[("pytorch_model.bin", "legacy.bin")]);
    let error = with_hint(&load(legacy.path()).expect_err("legacy"));
    assert!(error.contains("before PyTorch 1.6") && error.contains("torch.save"), "{error}");
}

fn names() -> Vec<String> {
    let bytes = fs::read(fixtures().join("model.safetensors")).expect("read");
    SafeTensors::deserialize(&bytes).expect("safetensors").names().into_iter().map(str::to_owned).collect()
}

fn index(folder: &Path, file: &str, names: &[String], place: impl Fn(&str) -> String) {
    let map: BTreeMap<&String, String> = names.iter().map(|name| (name, place(name))).collect();
    fs::write(folder.join(file), json!({ "metadata": {}, "weight_map": map }).to_string()).expect("index");
}

#[test]
fn an_index_may_list_what_is_computed_and_leave_out_what_is_there() {
    let part = "model-00001-of-00001.safetensors";
    let file = "model.safetensors.index.json";
    let of = |change: &Value, names: &[String]| {
        let folder = folder(change, &[(part, "model.safetensors")]);
        index(folder.path(), file, names, |_| part.to_owned());
        load(folder.path())
    };
    let plain = &expected()["cases"]["plain"];
    let listed = |more: &str| [names(), vec![more.to_owned()]].concat();
    let computed = of(&json!({}), &listed("model.layers.0.self_attn.rotary_emb.inv_freq"));
    assert_is("a table", &run(&computed.expect("a table")), plain);
    let fewer: Vec<String> = names().into_iter().filter(|name| !name.contains("layers.1.mlp")).collect();
    assert_is("left out", &run(&of(&json!({}), &fewer).expect("left out")), plain);
    let error =
        with_hint(&of(&json!({}), &listed("model.layers.2.mlp.up_proj.weight")).expect_err("not there"));
    assert!(error.contains("layers.2.mlp.up_proj"), "{error}");

    // A tied unembedding that no file holds; untied, it is missed.
    for (tied, fits) in [(true, true), (false, false)] {
        let folder = folder(&json!({ "tie_word_embeddings": tied }), &[]);
        renamed(&folder.path().join(part), |name| (name != "lm_head.weight").then(|| name.to_owned()));
        index(folder.path(), file, &names(), |_| part.to_owned());
        assert_eq!(load(folder.path()).is_ok(), fits, "tied: {tied}");
    }
    // A name twice in the index.
    let folder = folder(&json!({}), &[(part, "model.safetensors")]);
    let twice = format!(r#"{{"weight_map":{{"lm_head.weight":"{part}","lm_head.weight":"{part}"}}}}"#);
    fs::write(folder.path().join(file), twice).expect("index");
    let error = with_hint(&load(folder.path()).expect_err("twice"));
    assert!(error.contains("`lm_head.weight` is there twice"), "{error}");
}

#[test]
fn a_name_twice_in_a_safetensors_header_is_refused() {
    let folder = folder(&json!({}), &[]);
    let bytes = fs::read(fixtures().join("model.safetensors")).expect("read");
    let (from, to) = (b"\"model.layers.0.mlp.up_proj.weight\"", b"\"model.layers.1.mlp.up_proj.weight\"");
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the name");
    let mut twice = bytes;
    twice[at..at + to.len()].copy_from_slice(to);
    fs::write(folder.path().join("model.safetensors"), twice).expect("write");
    let error = with_hint(&load(folder.path()).expect_err("twice"));
    assert!(error.contains("`model.layers.1.mlp.up_proj.weight` is there twice"), "{error}");
}

#[test]
fn mistrals_own_files_are_read() {
    let folder = tempfile::tempdir().expect("folder");
    fs::copy(fixtures().join("consolidated.safetensors"), folder.path().join("consolidated.safetensors"))
        .expect("copy");
    let with = |change: &Value| {
        let mut params = json!({ "dim": 16, "n_layers": 2, "head_dim": 8, "hidden_dim": 24, "n_heads": 2,
            "n_kv_heads": 1, "norm_eps": 1e-5, "vocab_size": 40, "rope_theta": 10000.0 });
        for (key, value) in change.as_object().expect("an object") {
            params[key] = value.clone();
        }
        fs::write(folder.path().join("params.json"), params.to_string()).expect("params");
        Checkpoint::open(folder.path())
    };
    let checkpoint =
        with(&json!({ "sliding_window": 4096, "max_position_embeddings": 32768 })).expect("mistral");
    assert_eq!(
        (checkpoint.config().sliding_window, checkpoint.layout()),
        (Some(4096), "Meta, 1 part".to_owned())
    );
    let llama = Llama::load(&checkpoint, Precision::F64, Device::Cpu).expect("load");
    assert_is("mistral", &run(&llama), &expected()["cases"]["plain"]);
    assert_eq!(
        with(&json!({ "sliding_window": [null, 9] })).expect("each").config().window_layers,
        llama_core::Layers::Only(vec![1])
    );
    // LLaMA 3's scaling in Hugging Face's words.
    let scaling = json!({ "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16 });
    let scaled = with(&json!({ "rope_scaling": scaling })).expect("scaled");
    let llama = Llama::load(&scaled, Precision::F64, Device::Cpu).expect("load");
    assert_is("scaled", &run(&llama), &expected()["cases"]["inner_alone"]);
    for (change, says) in [
        (json!({ "moe": { "num_experts": 8 } }), "moe"),
        (json!({ "quantization": { "qformat_weight": "fp8_e4m3" } }), "quantization"),
        (json!({ "causal": false }), "causal"),
        (json!({ "model_type": "mamba" }), "model_type"),
        (json!({ "yarn": {} }), "yarn"),
        (json!({ "sliding_window": [8, 9] }), "several widths"),
        (json!({ "new_key": 1 }), "new_key"),
        (json!({ "rope_theta": null }), "rope_theta"),
        (json!({ "hidden_dim": 32 }), "feed_forward.w1"),
        (json!({ "use_scaled_rope": true, "rope_scaling": { "rope_type": "default" } }), "use_scaled_rope"),
    ] {
        let error = with_hint(&with(&change).expect_err(says));
        assert!(error.contains(says), "{says}: {error}");
    }
}

#[test]
fn weights_that_were_quantized_or_adapted_are_refused_by_what_was_done() {
    for (name, says) in [
        ("model.layers.0.mlp.up_proj.qweight", "GPTQ or AWQ"),
        ("model.layers.0.mlp.up_proj.weight.absmax", "bitsandbytes"),
        ("model.layers.0.mlp.up_proj.weight_scale", "FP8"),
        ("model.layers.0.mlp.up_proj.weight_packed", "compressed-tensors"),
        ("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", "LoRA"),
    ] {
        let folder = folder(&json!({}), &[]);
        renamed(&folder.path().join("model.safetensors"), |own| {
            Some(if own == "model.layers.0.mlp.up_proj.weight" { name } else { own }.to_owned())
        });
        let error = with_hint(&load(folder.path()).expect_err(says));
        assert!(error.contains(says), "{says}: {error}");
    }
}

#[test]
fn what_stands_in_a_files_place_is_named() {
    let missing = folder(&json!({}), &[]);
    let cache = missing.path().join(".cache/huggingface/download");
    fs::create_dir_all(&cache).expect("folder");
    fs::write(cache.join("model.safetensors.1f.incomplete"), "").expect("write");
    let error = with_hint(&load(missing.path()).expect_err("interrupted"));
    assert!(error.contains("model.safetensors.1f.incomplete"), "{error}");

    let pointer = folder(&json!({}), &[]);
    let text = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n";
    fs::write(pointer.path().join("model.safetensors"), text).expect("write");
    let error = with_hint(&load(pointer.path()).expect_err("a pointer"));
    assert!(error.contains("git lfs pull"), "{error}");

    let parts = folder(&json!({}), &[("model-00001-of-00002.safetensors", "model.safetensors")]);
    let error = with_hint(&load(parts.path()).expect_err("no index"));
    assert!(error.contains("index"), "{error}");
    let adapter = tempfile::tempdir().expect("folder");
    fs::write(adapter.path().join("adapter_config.json"), "{}").expect("write");
    assert!(load(adapter.path()).expect_err("an adapter").to_string().contains("adapter"));

    // A header that is said to be larger than any, and one that is.
    let large = folder(&json!({}), &[]);
    let path = large.path().join("model.safetensors");
    fs::write(&path, [&(100u64 << 20).to_le_bytes()[..], b"{}"].concat()).expect("write");
    assert!(load(large.path()).expect_err("large").to_string().contains("up to 16 MiB"));
    let deep = [b"{\"a\":".repeat(100_000), b"1".to_vec(), b"}".repeat(100_000)].concat();
    fs::write(&path, [&(deep.len() as u64).to_le_bytes()[..], &deep].concat()).expect("write");
    assert!(load(large.path()).is_err());
    fs::write(large.path().join("config.json"), vec![b' '; (4 << 20) + 1]).expect("write");
    assert!(load(large.path()).expect_err("long").to_string().contains("4 MiB"));
}

//! The same weights written as Meta, Hugging Face and GGUF files, by writers that are not this crate's, are one model.

use crate::with_hint;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Batch, Capture, Checkpoint, Config, Forward, HookPoint, HookSet, Llama, Precision, RopeScaling, Site,
    Tokens, save_meta,
};
use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::rounding::{ROUNDINGS, Rounding};
use crate::support::{prompts, relative};

/// Everything a LLaMA 3.1 has: grouped queries, its rope scaling with a wavelength between stretched and not.
pub(crate) fn config() -> Config {
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context: 8192.0,
    };
    Config {
        dim: 64,
        n_layers: 2,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 16,
        hidden_dim: 96,
        vocab_size: 50,
        norm_eps: 1e-5,
        rope_theta: 500_000.0,
        rope_scaling: scaling,
        ..Config::default()
    }
}

/// Weights under Hugging Face's names, in its order of rotary pairs.
pub(crate) type Weights = Vec<(String, Vec<usize>, Vec<f32>)>;

pub(crate) fn weights(c: &Config, seed: u64) -> Weights {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (d, f, v) = (c.dim as usize, c.hidden_dim as usize, c.vocab_size as usize);
    let (q, kv) = ((c.n_heads * c.head_dim) as usize, (c.n_kv_heads * c.head_dim) as usize);
    let mut shapes = vec![("model.embed_tokens".to_owned(), vec![v, d])];
    for i in 0..c.n_layers {
        let parts = [
            ("input_layernorm", vec![d]),
            ("self_attn.q_proj", vec![q, d]),
            ("self_attn.k_proj", vec![kv, d]),
            ("self_attn.v_proj", vec![kv, d]),
            ("self_attn.o_proj", vec![d, q]),
            ("post_attention_layernorm", vec![d]),
            ("mlp.gate_proj", vec![f, d]),
            ("mlp.up_proj", vec![f, d]),
            ("mlp.down_proj", vec![d, f]),
        ];
        shapes.extend(parts.map(|(name, shape)| (format!("model.layers.{i}.{name}"), shape)));
    }
    shapes.push(("model.norm".to_owned(), vec![d]));
    if !c.tied_embeddings {
        shapes.push(("lm_head".to_owned(), vec![v, d]));
    }
    let mut draw = |shape: &[usize]| {
        let center = if shape.len() == 1 { 1.0 } else { 0.0 };
        (0..shape.iter().product()).map(|_| center + rng.random_range(-0.3f32..0.3)).collect::<Vec<f32>>()
    };
    shapes.into_iter().map(|(name, shape)| (format!("{name}.weight"), shape.clone(), draw(&shape))).collect()
}

pub(crate) fn config_json(c: &Config) -> serde_json::Value {
    let mut json = serde_json::json!({
        "model_type": "llama", "hidden_size": c.dim, "intermediate_size": c.hidden_dim,
        "num_hidden_layers": c.n_layers, "num_attention_heads": c.n_heads, "num_key_value_heads": c.n_kv_heads,
        "head_dim": c.head_dim, "vocab_size": c.vocab_size, "rms_norm_eps": c.norm_eps,
        "tie_word_embeddings": c.tied_embeddings, "rope_theta": c.rope_theta,
    });
    if let RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } =
        c.rope_scaling
    {
        json["rope_scaling"] = serde_json::json!({ "rope_type": "llama3", "factor": factor,
            "low_freq_factor": low_freq_factor, "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original_context });
    }
    json
}

/// A folder in Hugging Face's layout, in one file or two with an index, written by the safetensors crate.
pub(crate) fn write_hugging_face(folder: &Path, config: &Config, weights: &Weights, files: usize) {
    fs::write(folder.join("config.json"), config_json(config).to_string()).expect("config.json");
    let mut index = HashMap::new();
    for file in 0..files {
        let name = match files {
            1 => "model.safetensors".to_owned(),
            _ => format!("model-{:05}-of-{files:05}.safetensors", file + 1),
        };
        let own = weights.iter().skip(file).step_by(files);
        let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = own
            .map(|(tensor, shape, values)| {
                index.insert(tensor.clone(), name.clone());
                (tensor.clone(), shape.clone(), values.iter().flat_map(|v| v.to_le_bytes()).collect())
            })
            .collect();
        let views = bytes.iter().map(|(tensor, shape, bytes)| {
            (tensor, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a view"))
        });
        safetensors::serialize_to_file(views, None, &folder.join(name)).expect("safetensors");
    }
    if files > 1 {
        let index = serde_json::json!({ "metadata": {}, "weight_map": index });
        fs::write(folder.join("model.safetensors.index.json"), index.to_string()).expect("index");
    }
}

/// A GGUF file with f32 weights, written by candle-core; queries and keys in llama.cpp's order of rotary pairs.
#[cfg(feature = "gguf")]
pub(crate) fn write_gguf(path: &Path, config: &Config, weights: &Weights) {
    write_gguf_as(path, config, weights, candle_core::quantized::GgmlDType::F32);
}

/// The same with matrices in another type.
#[cfg(feature = "gguf")]
fn write_gguf_as(path: &Path, config: &Config, weights: &Weights, dtype: candle_core::quantized::GgmlDType) {
    use candle_core::quantized::{GgmlDType, QTensor, gguf_file, gguf_file::Value};
    let number = |n: i64| Value::U32(n as u32);
    let metadata = [
        ("general.architecture", Value::String("llama".to_owned())),
        ("llama.block_count", number(config.n_layers as i64)),
        ("llama.embedding_length", number(config.dim)),
        ("llama.feed_forward_length", number(config.hidden_dim)),
        ("llama.attention.head_count", number(config.n_heads)),
        ("llama.attention.head_count_kv", number(config.n_kv_heads)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(config.norm_eps as f32)),
        ("llama.rope.freq_base", Value::F32(config.rope_theta as f32)),
        ("llama.rope.dimension_count", number(config.head_dim)),
        ("llama.attention.key_length", number(config.head_dim)),
        ("llama.attention.value_length", number(config.head_dim)),
        ("llama.vocab_size", number(config.vocab_size)),
    ];
    let quantized = |shape: &[usize], values: &[f32]| {
        let tensor =
            candle_core::Tensor::from_slice(values, shape, &candle_core::Device::Cpu).expect("a tensor");
        let dtype = if shape.len() == 1 { GgmlDType::F32 } else { dtype };
        QTensor::quantize(&tensor, dtype).expect("quantized")
    };
    let mut tensors: Vec<(String, QTensor)> = weights
        .iter()
        .map(|(name, shape, values)| {
            let heads = name.contains("q_proj").then_some(config.n_heads);
            let heads = heads.or_else(|| name.contains("k_proj").then_some(config.n_kv_heads));
            let values = heads.map_or(values.clone(), |h| neighbors(values, h as usize, shape));
            (gguf_name(name), quantized(shape, &values))
        })
        .collect();
    if config.rope_scaling != RopeScaling::None {
        let plain = Config { rope_scaling: RopeScaling::None, ..config.clone() };
        let pairs = plain.rope_frequencies().into_iter().zip(config.rope_frequencies());
        let factors: Vec<f32> = pairs.map(|(plain, scaled)| (plain / scaled) as f32).collect();
        tensors.push(("rope_freqs.weight".to_owned(), quantized(&[factors.len()], &factors)));
    }
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut fs::File::create(path).expect("file"), &metadata, &tensors).expect("gguf");
}

/// Rows (i, i + K/2) of each head brought to (2i, 2i + 1).
#[cfg(feature = "gguf")]
fn neighbors(values: &[f32], heads: usize, shape: &[usize]) -> Vec<f32> {
    let (rows, columns) = (shape[0], shape[1]);
    let head = rows / heads;
    let source = |row: usize| {
        let (h, r) = (row / head, row % head);
        h * head + r / 2 + (r % 2) * head / 2
    };
    (0..rows).flat_map(|row| values[source(row) * columns..][..columns].to_vec()).collect()
}

#[cfg(feature = "gguf")]
fn gguf_name(name: &str) -> String {
    let pairs = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers", "blk"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.", "attn_"),
        ("mlp.", "ffn_"),
        ("_proj", ""),
    ];
    pairs.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

fn load(path: &Path) -> Llama {
    Llama::load(&Checkpoint::open(path).expect("open"), Precision::F32, Device::Cpu).expect("load")
}

/// Every activation of the model over a few prompts, in execution order.
fn everything(llama: &Llama) -> Vec<(HookPoint, Tensor)> {
    let points = HookSet::parse(["*"], llama.config().n_layers).expect("all");
    let mut capture = Capture::new(points, Tokens::All);
    let batch = Batch::new(&prompts()).expect("batch");
    llama.forward(&batch, Forward::new().hook(&mut capture).logits(Tokens::All)).expect("run");
    capture.finish().into_iter().collect()
}

fn assert_same(one: &Llama, other: &Llama) {
    let (one, other) = (everything(one), everything(other));
    assert_eq!(one.len(), other.len());
    for ((point, a), (other_point, b)) in one.iter().zip(&other) {
        assert_eq!(point, other_point);
        assert!(a.equal(b), "{point}");
    }
}

#[test]
fn meta_hugging_face_and_gguf_give_the_same_bits_at_every_point() {
    for tied in [false, true] {
        let config = Config { tied_embeddings: tied, ..config() };
        let weights = weights(&config, 3);
        let folder = tempfile::tempdir().expect("folder");
        let place = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("folder");
            path
        };
        let (single, sharded, meta) = (place("single"), place("sharded"), place("meta"));
        write_hugging_face(&single, &config, &weights, 1);
        write_hugging_face(&sharded, &config, &weights, 3);
        let llama = load(&single);
        assert_eq!(llama.config(), &config);
        assert_same(&llama, &load(&sharded));
        save_meta(&llama, &meta, Kind::Float, 2).expect("save");
        assert_same(&llama, &load(&meta));
        #[cfg(feature = "gguf")]
        {
            let path = folder.path().join("model.gguf");
            write_gguf(&path, &config, &weights);
            let gguf = load(&path);
            assert_eq!(gguf.config().tied_embeddings, tied);
            assert_same(&llama, &gguf);
        }
    }
}

/// Heads wider than the stream's share, which Meta's layout has no words for.
#[cfg(feature = "gguf")]
#[test]
fn a_head_dim_of_its_own_is_read_from_both() {
    let config = Config { head_dim: 24, ..config() };
    let folder = tempfile::tempdir().expect("folder");
    let weights = weights(&config, 6);
    write_hugging_face(folder.path(), &config, &weights, 1);
    let path = folder.path().join("model.gguf");
    write_gguf(&path, &config, &weights);
    let llama = load(folder.path());
    assert_eq!(llama.config(), &config);
    assert_same(&llama, &load(&path));
    let meta = folder.path().join("meta");
    let error = with_hint(&save_meta(&llama, &meta, Kind::Float, 1).expect_err("4 heads of 24 in 64"));
    assert!(error.contains("head_dim"), "{error}");
}

/// Every quantization that is read, written by candle-core, is the numbers it was made from, as far as it keeps them.
#[cfg(feature = "gguf")]
#[test]
fn quantized_weights_are_the_numbers_they_were_made_from() {
    use candle_core::quantized::GgmlDType as Type;
    let config =
        Config { dim: 256, hidden_dim: 256, n_layers: 1, rope_scaling: RopeScaling::None, ..config() };
    let config = Config { n_heads: 16, n_kv_heads: 16, ..config };
    let weights = weights(&config, 9);
    let folder = tempfile::tempdir().expect("folder");
    write_hugging_face(folder.path(), &config, &weights, 1);
    let reference = everything(&load(folder.path()));
    let path = folder.path().join("model.gguf");
    // The embedding is a quantized matrix's rows as they are; bounds are a type's step over the numbers' spread.
    for (dtype, name, least, most) in [
        (Type::F16, "f16", 1e-6, 2e-3),
        (Type::BF16, "bf16", 1e-4, 2e-2),
        (Type::Q8_0, "Q8_0", 1e-4, 3e-2),
        (Type::Q6K, "Q6_K", 1e-3, 0.1),
        (Type::Q5K, "Q5_K", 1e-3, 0.2),
        (Type::Q5_1, "Q5_1", 1e-3, 0.2),
        (Type::Q5_0, "Q5_0", 1e-3, 0.2),
        (Type::Q4K, "Q4_K", 1e-2, 0.4),
        (Type::Q4_1, "Q4_1", 1e-2, 0.4),
        (Type::Q4_0, "Q4_0", 1e-2, 0.4),
        (Type::Q3K, "Q3_K", 1e-2, 0.7),
        (Type::Q2K, "Q2_K", 1e-2, 1.5),
    ] {
        write_gguf_as(&path, &config, &weights, dtype);
        let checkpoint = Checkpoint::open(&path).expect(name);
        assert_eq!(checkpoint.stored_as().expect("types"), [name, "f32"]);
        let found = everything(&Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect(name));
        let at = |all: &[(HookPoint, Tensor)]| {
            all.iter()
                .find(|(point, _)| *point == HookPoint::Embed)
                .map(|(_, t)| t.shallow_clone())
                .expect("layer")
        };
        let error = crate::support::relative_l2(&at(&found), &at(&reference));
        assert!((least..most).contains(&error), "{name}: {error}");
    }
}

/// TransformerLens' rotary order: dimension i turns with i + K/2, by position · frequency i.
#[test]
fn queries_and_keys_are_in_transformer_lens_order() {
    let config = config();
    let folder = tempfile::tempdir().expect("folder");
    write_hugging_face(folder.path(), &config, &weights(&config, 5), 1);
    let activations: HashMap<HookPoint, Tensor> = everything(&load(folder.path())).into_iter().collect();
    let prompts = prompts();
    let frequencies = config.rope_frequencies();
    for (plain, rotated) in [(Site::Q, Site::RotQ), (Site::K, Site::RotK)] {
        let at = |site| &activations[&HookPoint::Block(1, site)];
        let (plain, rotated) = (at(plain), at(rotated)); // [S, heads, K]
        let mut row = 0;
        for prompt in &prompts {
            for position in 0..prompt.len() {
                let read =
                    |tensor: &Tensor| Vec::<f64>::try_from(tensor.get(row).get(1).to_kind(Kind::Double));
                let (x, found) = (read(plain).expect("x"), read(rotated).expect("rotated"));
                for (i, frequency) in frequencies.iter().enumerate() {
                    let (sin, cos) = (position as f64 * frequency).sin_cos();
                    let (a, b) = (x[i], x[i + 8]);
                    assert!((found[i] - (a * cos - b * sin)).abs() < 1e-5);
                    assert!((found[i + 8] - (b * cos + a * sin)).abs() < 1e-5);
                }
                row += 1;
            }
        }
    }
}

/// The unembedding of a tied model is the embedding, in every precision and through a backward pass.
#[test]
fn tied_embeddings_are_one_tensor() {
    let config = Config { tied_embeddings: true, ..config() };
    let folder = tempfile::tempdir().expect("folder");
    let mut weights = weights(&config, 8);
    write_hugging_face(folder.path(), &config, &weights, 1);
    let batch = Batch::new(&prompts()).expect("batch");
    let run = |llama: &Llama, forward: Forward<'_>| {
        llama.forward(&batch, forward.logits(Tokens::All)).expect("run").logits.expect("logits")
    };
    let logits = |llama: &Llama| run(llama, Forward::new());
    let exact = load(folder.path());
    let reference = logits(&exact);
    let checkpoint = Checkpoint::open(folder.path()).expect("open");
    for precision in [Precision::Bf16, Precision::Mixed] {
        let found = logits(&Llama::load(&checkpoint, precision, Device::Cpu).expect("load"));
        let mut rounding = Rounding::new(precision, config.n_layers, 0);
        let moved = relative(&run(&exact, Forward::new().hook(&mut rounding)), &reference);
        let error = relative(&found, &reference);
        assert!(error > 1e-5 && error < ROUNDINGS * moved, "{precision}: {error}, by rounding {moved}");
    }
    // An unembedding that is there all the same must be the embedding.
    let (_, shape, values) = weights[0].clone();
    weights.push(("lm_head.weight".to_owned(), shape, values));
    write_hugging_face(folder.path(), &config, &weights, 1);
    assert!(logits(&load(folder.path())).equal(&reference));
    weights.last_mut().expect("lm_head").2[7] += 1.0;
    write_hugging_face(folder.path(), &config, &weights, 1);
    let error = with_hint(&Checkpoint::open(folder.path()).expect_err("contradiction"));
    assert!(error.contains("tie_word_embeddings"), "{error}");
}

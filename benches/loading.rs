//! Loading in bytes of weight files per second: the hash of a model's identity, the weights into memory in bf16 and f32, and
//! once through a streamed model's blocks, for each layout that weights come in.
//!
//! `cargo bench --bench loading -- [--layers 2] [PATH…]`
//!
//! Without paths, models of LLaMA 7B's width and so many blocks are written to `target/tmp` and removed afterwards (1.5 GB
//! with two). Each is read twice, and the second time counts: files are in the page cache if memory is large enough.

#![allow(clippy::expect_used, clippy::print_stdout, missing_docs)] // what cannot be set up stops, and prints are the result

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use llama_ccs::llama_core::tch::{Device, Kind};
use llama_ccs::llama_core::{Batch, Checkpoint, Config, Forward, Llama, Precision, Tokens, save_random_meta};

fn shape(n_layers: usize) -> Config {
    Config {
        dim: 4096,
        n_layers,
        n_heads: 32,
        n_kv_heads: 32,
        head_dim: 128,
        hidden_dim: 11_008,
        vocab_size: 32_000,
        norm_eps: 1e-6,
        ..Config::default()
    }
}

/// A weight's names in Hugging Face's and in GGUF files, and its shape.
type Named = (String, String, Vec<i64>);

fn weights(c: &Config) -> Vec<Named> {
    let (d, f) = (c.dim, c.hidden_dim);
    let parts = [
        ("input_layernorm", "attn_norm", vec![d]),
        ("self_attn.q_proj", "attn_q", vec![d, d]),
        ("self_attn.k_proj", "attn_k", vec![d, d]),
        ("self_attn.v_proj", "attn_v", vec![d, d]),
        ("self_attn.o_proj", "attn_output", vec![d, d]),
        ("post_attention_layernorm", "ffn_norm", vec![d]),
        ("mlp.gate_proj", "ffn_gate", vec![f, d]),
        ("mlp.up_proj", "ffn_up", vec![f, d]),
        ("mlp.down_proj", "ffn_down", vec![d, f]),
    ];
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), "token_embd.weight".to_owned(), vec![c.vocab_size, d]),
        ("model.norm.weight".to_owned(), "output_norm.weight".to_owned(), vec![d]),
        ("lm_head.weight".to_owned(), "output.weight".to_owned(), vec![c.vocab_size, d]),
    ];
    for i in 0..c.n_layers {
        all.extend(parts.clone().map(|(face, gguf, shape)| {
            (format!("model.layers.{i}.{face}.weight"), format!("blk.{i}.{gguf}.weight"), shape)
        }));
    }
    all
}

/// Bytes any two of which are a finite bf16 or f16.
fn fill(file: &mut impl Write, mut bytes: usize) {
    let stretch: Vec<u8> = (0..1 << 20).map(|i| 0x11 + (i % 7) as u8).collect();
    while bytes > 0 {
        let now = bytes.min(stretch.len());
        file.write_all(&stretch[..now]).expect("written");
        bytes -= now;
    }
}

fn write_hugging_face(folder: &Path, c: &Config) {
    std::fs::create_dir_all(folder).expect("a folder");
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": c.dim, "intermediate_size": c.hidden_dim,
        "num_hidden_layers": c.n_layers, "num_attention_heads": c.n_heads, "num_key_value_heads": c.n_kv_heads,
        "vocab_size": c.vocab_size, "rms_norm_eps": c.norm_eps, "tie_word_embeddings": false,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).expect("config.json");
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, _, shape) in weights(c) {
        let start = end;
        end += 2 * shape.iter().product::<i64>();
        let entry = serde_json::json!({ "dtype": "BF16", "shape": shape, "data_offsets": [start, end] });
        header.insert(name, entry);
    }
    let mut header = serde_json::Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let mut file = BufWriter::new(File::create(folder.join("model.safetensors")).expect("a file"));
    file.write_all(&(header.len() as u64).to_le_bytes()).expect("written");
    file.write_all(header.as_bytes()).expect("written");
    fill(&mut file, end as usize);
}

/// Matrices in a quantization: ggml's number of it, and its blocks' numbers and bytes.
fn write_gguf(path: &Path, c: &Config, (code, numbers, bytes): (u32, i64, i64)) {
    let mut header = b"GGUF\x03\0\0\0".to_vec();
    let text = |header: &mut Vec<u8>, text: &str| {
        header.extend((text.len() as u64).to_le_bytes());
        header.extend(text.as_bytes());
    };
    let counts = [
        ("llama.block_count", c.n_layers as u32),
        ("llama.embedding_length", c.dim as u32),
        ("llama.feed_forward_length", c.hidden_dim as u32),
        ("llama.attention.head_count", c.n_heads as u32),
        ("llama.attention.head_count_kv", c.n_kv_heads as u32),
    ];
    let weights = weights(c);
    header.extend((weights.len() as u64).to_le_bytes());
    header.extend((counts.len() as u64 + 2).to_le_bytes());
    text(&mut header, "general.architecture");
    header.extend(8u32.to_le_bytes());
    text(&mut header, "llama");
    text(&mut header, "llama.attention.layer_norm_rms_epsilon");
    header.extend(6u32.to_le_bytes());
    header.extend((c.norm_eps as f32).to_le_bytes());
    for (key, count) in counts {
        text(&mut header, key);
        header.extend(4u32.to_le_bytes());
        header.extend(count.to_le_bytes());
    }
    let mut end = 0;
    for (_, name, shape) in &weights {
        text(&mut header, name);
        header.extend((shape.len() as u32).to_le_bytes());
        header.extend(shape.iter().rev().flat_map(|n| n.to_le_bytes()));
        let (code, numbers, bytes) = if shape.len() == 1 { (0, 1, 4) } else { (code, numbers, bytes) };
        header.extend(code.to_le_bytes());
        header.extend((end as u64).to_le_bytes());
        end += ((shape.iter().product::<i64>() / numbers * bytes) as u64).next_multiple_of(32) as i64;
    }
    header.resize(header.len().next_multiple_of(32), 0);
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    file.write_all(&header).expect("written");
    fill(&mut file, end as usize);
}

/// Writes a model into a folder or file.
type Writer<'w> = &'w dyn Fn(&Path);

/// The second of two runs, in GB of stored weights a second.
fn rate(bytes: u64, mut work: impl FnMut()) -> String {
    work();
    let started = Instant::now();
    work();
    let seconds = started.elapsed().as_secs_f64();
    format!("{:6.2} GB/s ({seconds:.2} s)", bytes as f64 / 1e9 / seconds)
}

fn measure(path: &Path) {
    let checkpoint = Checkpoint::open(path).expect("a model");
    let bytes = checkpoint.stored_bytes().expect("bytes");
    let stored = checkpoint.stored_as().expect("types").join(", ");
    println!("{}, {stored}, {:.2} GB", checkpoint.layout(), bytes as f64 / 1e9);
    let hash = || drop(checkpoint.tensor_hashes(&|_| true, &mut |_, _| ()).expect("hashes"));
    println!("  hash      {}", rate(bytes, hash));
    for precision in [Precision::Bf16, Precision::F32] {
        let load = || drop(Llama::load(&checkpoint, precision, Device::Cpu).expect("loaded"));
        println!("  {:<9} {}", precision.to_string(), rate(bytes, load));
    }
    let streamed = Llama::streamed(&checkpoint, Precision::Bf16, Device::Cpu).expect("opened");
    let batch = Batch::new(&[[1u32]]).expect("a batch");
    let pass = || drop(streamed.forward(&batch, Forward::new().logits(Tokens::Last)).expect("a pass"));
    println!("  streamed  {} (embedding and unembedding are counted, and not read)", rate(bytes, pass));
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut layers, mut paths) = (2, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--layers" => {
                layers = arguments.next().and_then(|n| n.parse().ok()).expect("--layers takes a number");
            }
            _ => paths.push(PathBuf::from(argument)),
        }
    }
    if !paths.is_empty() {
        for path in &paths {
            measure(path);
        }
        return;
    }
    let config = shape(layers);
    let models: [(&str, Writer<'_>); 6] = [
        ("meta", &|at| save_random_meta(&config, 0, at, Kind::Half, 1).expect("saved")),
        ("meta-2", &|at| save_random_meta(&config, 0, at, Kind::Half, 2).expect("saved")),
        ("hugging-face", &|at| write_hugging_face(at, &config)),
        ("q4_1.gguf", &|at| write_gguf(at, &config, (3, 32, 20))),
        ("q8_0.gguf", &|at| write_gguf(at, &config, (8, 32, 34))),
        ("q4_k.gguf", &|at| write_gguf(at, &config, (12, 256, 144))),
    ];
    for (name, write) in models {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let path = folder.path().join(name);
        write(&path);
        measure(&path);
    }
}

//! Checkpoints of every layout, damaged at random: an error or a model, never a panic; and where a checksum, a shape or a
//! place in the file can tell, never a model with other numbers.

use crate::with_hint;
use std::fs;
use std::path::{Path, PathBuf};

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{Batch, Checkpoint, Error, Forward, Llama, Precision, Tokens, save_meta};
use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::layouts::{config, config_json, weights, write_hugging_face};
use crate::support::prompts;

/// Mutations of each kind of file; thirty times as many with `LLAMA_CCS_LONG=1`.
fn cases() -> usize {
    if std::env::var_os("LLAMA_CCS_LONG").is_some_and(|long| long == "1") { 9600 } else { 320 }
}

fn logits(path: &Path) -> Result<Tensor, Error> {
    let llama = Llama::load(&Checkpoint::open(path)?, Precision::F32, Device::Cpu)?;
    let batch = Batch::new(&prompts())?;
    Ok(llama.forward(&batch, Forward::new().logits(Tokens::Last))?.logits.expect("logits"))
}

/// A file cut short, with bits flipped, or with bytes overwritten, within its first `within` bytes.
fn damaged(whole: &[u8], within: usize, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let at = rng.random_range(0..within);
    match rng.random_range(0..4) {
        0 => bytes.truncate(at),
        1 => bytes[at] = rng.random(),
        2 => {
            let end = (at + rng.random_range(1..16)).min(bytes.len());
            bytes[at..end].fill([0, 0xff, b'9', b'"'][rng.random_range(0..4)]);
        }
        _ => bytes[at] ^= 1 << rng.random_range(0..8),
    }
    bytes
}

/// Damages `file` of the model at `path` again and again; a model that still opens gives the same logits.
fn never_silently_another(path: &Path, file: &Path, within: usize, seed: u64) -> usize {
    let whole = fs::read(file).expect("read");
    let reference = logits(path).expect("undamaged");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut refused = 0;
    for case in 0..cases() {
        let bytes = damaged(&whole, within.min(whole.len()), &mut rng);
        fs::write(file, &bytes).expect("write");
        match logits(path) {
            Ok(found) => assert!(found.equal(&reference), "case {case}: another model in silence"),
            Err(error) => {
                assert!(error.hint().is_some(), "case {case}: {error}");
                refused += 1;
            }
        }
    }
    fs::write(file, whole).expect("restore");
    refused
}

fn hugging_face(files: usize) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    write_hugging_face(folder.path(), &config(), &weights(&config(), 4), files);
    let path = folder.path().to_owned();
    (folder, path)
}

#[test]
fn meta_files_are_checked_to_the_last_byte() {
    let (_source, path) = hugging_face(1);
    let llama =
        Llama::load(&Checkpoint::open(path).expect("open"), Precision::F32, Device::Cpu).expect("load");
    let folder = tempfile::tempdir().expect("folder");
    save_meta(&llama, folder.path(), Kind::Float, 1).expect("save");
    // The archive has checksums: no flipped bit of a weight goes through.
    let refused =
        never_silently_another(folder.path(), &folder.path().join("consolidated.00.pth"), usize::MAX, 1);
    assert!(refused > cases() * 9 / 10, "{refused}");
}

#[test]
fn safetensors_headers_and_indices_never_mislead() {
    let (_folder, path) = hugging_face(1);
    let file = path.join("model.safetensors");
    let header = u64::from_le_bytes(fs::read(&file).expect("read")[..8].try_into().expect("8")) as usize;
    assert!(never_silently_another(&path, &file, 8 + header, 2) > cases() / 2);
    let (_folder, path) = hugging_face(3);
    never_silently_another(&path, &path.join("model.safetensors.index.json"), usize::MAX, 3);
}

#[test]
fn configurations_never_panic() {
    let (_folder, path) = hugging_face(1);
    let file = path.join("config.json");
    let whole = fs::read(&file).expect("read");
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for _ in 0..cases() {
        fs::write(&file, damaged(&whole, whole.len(), &mut rng)).expect("write");
        // Another number may be another sound model: rope_theta, eps.
        let _ = logits(&path);
    }
}

#[cfg(feature = "gguf")]
#[test]
fn gguf_headers_never_panic_and_never_move_a_tensor() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("model.gguf");
    let config = config();
    crate::layouts::write_gguf(&path, &config, &weights(&config, 4));
    let whole = fs::read(&path).expect("read");
    let header = whole.windows(18).rposition(|w| w == b"rope_freqs.weight\x01").expect("the last tensor");
    let header = header + 17 + 4 + 8 + 4 + 8; // its name, axes, length, type and place
    let reference = logits(&path).expect("undamaged");
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut refused = 0;
    for case in 0..2 * cases() {
        fs::write(&path, damaged(&whole, header, &mut rng)).expect("write");
        let Ok(checkpoint) = Checkpoint::open(&path) else {
            refused += 1;
            continue;
        };
        // The file has no checksum: another eps or base is another sound model, and its configuration says so.
        let same = *checkpoint.config() == config_from(&whole, &folder);
        let found = logits(&path);
        if let (true, Ok(found)) = (same, found) {
            assert!(found.equal(&reference), "case {case}: tensors moved in silence");
        }
    }
    assert!(refused > cases(), "{refused}");
}

#[cfg(feature = "gguf")]
fn config_from(whole: &[u8], folder: &tempfile::TempDir) -> llama_core::Config {
    let path = folder.path().join("whole.gguf");
    fs::write(&path, whole).expect("write");
    Checkpoint::open(&path).expect("whole").config().clone()
}

#[cfg(feature = "gguf")]
#[test]
fn gguf_contradictions_are_named() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("model.gguf");
    let config = config();
    crate::layouts::write_gguf(&path, &config, &weights(&config, 4));
    let whole = fs::read(&path).expect("read");
    let patched = |from: &[u8], to: &[u8]| {
        let at = whole.windows(from.len()).position(|w| w == from).expect("found");
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        fs::write(&path, bytes).expect("write");
        with_hint(&Checkpoint::open(&path).expect_err("a contradiction"))
    };
    let number = |key: &str, value: u32| {
        let mut patch = key.as_bytes().to_vec();
        patch.extend(4u32.to_le_bytes());
        patch.extend(value.to_le_bytes());
        patch
    };
    let split =
        [b"general.architecture".as_slice(), &8u32.to_le_bytes(), &5u64.to_le_bytes(), b"llama"].concat();
    let other = [&split[..split.len() - 5], b"qwen2".as_slice()].concat();
    let error = patched(&split, &other);
    assert!(error.contains("qwen2"), "{error}");
    let error = patched(b"GGUF\x02", b"GGUF\x07");
    assert!(error.contains("version is 7"), "{error}");
    let error = patched(b"GGUF\x02\0\0\0", b"GGUF\0\0\0\x03");
    assert!(error.contains("big-endian"), "{error}");
    let error = patched(b"llama.vocab_size", &number("llama.vocab_size", 51));
    assert!(error.contains("llama.vocab_size"), "{error}");
    let error = patched(b"llama.block_count", &number("llama.block_count", 1));
    assert!(error.contains("blk.1."), "{error}");
    let error = patched(b"llama.rope.dimension_count", &number("llama.rope.dimension_count", 8));
    assert!(error.contains("rope.dimension_count"), "{error}");
    // blk.1.ffn_down.weight: [64, 96], of a type that nobody has.
    let mut tensor = b"blk.1.ffn_down.weight".to_vec();
    tensor.extend(2u32.to_le_bytes());
    tensor.extend(96u64.to_le_bytes());
    tensor.extend(64u64.to_le_bytes());
    let with = |code: u32| [tensor.clone(), code.to_le_bytes().to_vec()].concat();
    let error = patched(&with(0), &with(99));
    assert!(error.contains("blk.1.ffn_down.weight") && error.contains("type 99"), "{error}");
    // As f16 it would end in the middle: the tensor behind it is not where it should be.
    let error = patched(&with(0), &with(1));
    assert!(error.contains("gap"), "{error}");
}

/// What a type that is not read is called, and what a count that lies is held against.
#[cfg(feature = "gguf")]
#[test]
fn gguf_types_are_named_and_counts_are_bounded() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("model.gguf");
    let config = config();
    crate::layouts::write_gguf(&path, &config, &weights(&config, 4));
    let whole = fs::read(&path).expect("read");
    let refused = |at: usize, patch: &[u8], says: &str| {
        let mut bytes = whole.clone();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        fs::write(&path, bytes).expect("write");
        let error = with_hint(&Checkpoint::open(&path).expect_err(says));
        assert!(error.contains(says), "{says}: {error}");
    };
    let name = b"blk.1.ffn_down.weight";
    let kind = whole.windows(name.len()).position(|w| w == name).expect("the tensor") + name.len() + 4 + 16;
    for (code, says) in
        [(16u32, "IQ2_XXS"), (20, "IQ4_NL"), (34, "TQ1_0"), (39, "MXFP4"), (40, "NVFP4"), (31, "Q4_0_4_4")]
    {
        refused(kind, &code.to_le_bytes(), says);
    }
    // Tensors and metadata, behind the magic and the version.
    for at in [8, 16] {
        refused(at, &u64::MAX.to_le_bytes(), "up to 1048576 are read");
        refused(at, &(1u64 << 20).to_le_bytes(), "hint:");
    }
    // The length of the first key, and of the first text.
    refused(24, &u64::MAX.to_le_bytes(), "up to 16 MiB are read");
    // Two tensors of one name.
    let other = whole.windows(name.len()).position(|w| w == b"blk.0.ffn_down.weight").expect("another");
    refused(other, name, "blk.1.ffn_down.weight` is there twice");
}

/// Every small file of a model: what is no file, no JSON, twice there or too large, is an error that says so.
#[test]
fn every_file_of_a_folder_may_be_something_else() {
    let (_folder, path) = hugging_face(3);
    let (_source, single) = hugging_face(1);
    let meta = tempfile::tempdir().expect("folder");
    let llama =
        Llama::load(&Checkpoint::open(single).expect("open"), Precision::F32, Device::Cpu).expect("load");
    save_meta(&llama, meta.path(), Kind::Float, 1).expect("save");
    let weights =
        [(path.as_path(), "model-00002-of-00003.safetensors"), (meta.path(), "consolidated.00.pth")];
    let texts = [
        (path.as_path(), "config.json"),
        (path.as_path(), "model.safetensors.index.json"),
        (meta.path(), "params.json"),
    ];
    for (folder, name) in weights.into_iter().chain(texts) {
        let file = folder.join(name);
        let whole = fs::read(&file).expect("read");
        let refused = |what: &str| {
            let error = with_hint(&Checkpoint::open(folder).expect_err(what));
            assert!(error.contains(name), "{name}, {what}: {error}");
        };
        fs::remove_file(&file).expect("remove");
        fs::create_dir(&file).expect("folder");
        refused("a folder");
        fs::remove_dir(&file).expect("remove");
        #[cfg(unix)]
        for device in ["/dev/zero", "/dev/null"] {
            std::os::unix::fs::symlink(device, &file).expect("link");
            refused(device);
            fs::remove_file(&file).expect("remove");
        }
        for content in
            [&b""[..], b"[]", b"null", b"{\"a\":1,\"a\":2}", b"<!DOCTYPE html>", &b"[".repeat(1 << 20)]
        {
            fs::write(&file, content).expect("write");
            refused(&String::from_utf8_lossy(&content[..content.len().min(20)]));
        }
        fs::write(&file, whole).expect("restore");
        Checkpoint::open(folder).expect("whole again");
    }
}

/// An archive that says of two entries that they are the same bytes, or that names one twice.
#[test]
fn archives_whose_entries_are_not_apart_are_refused() {
    let (_source, path) = hugging_face(1);
    let llama =
        Llama::load(&Checkpoint::open(path).expect("open"), Precision::F32, Device::Cpu).expect("load");
    let folder = tempfile::tempdir().expect("folder");
    save_meta(&llama, folder.path(), Kind::Float, 1).expect("save");
    let file = folder.path().join("consolidated.00.pth");
    let whole = fs::read(&file).expect("read");
    // Names of entries 4 and 5 (both matrices of one shape) stand in their own headers and in the list.
    let places = |name: &[u8]| -> Vec<usize> {
        (0..whole.len() - name.len()).filter(|&at| whole[at..].starts_with(name)).collect()
    };
    let (four, five) = (places(b"consolidated.00/data/4"), places(b"consolidated.00/data/5"));
    let mut twice = whole.clone();
    for at in five {
        twice[at + 21] = b'4';
    }
    fs::write(&file, twice).expect("write");
    let error = with_hint(&Checkpoint::open(folder.path()).expect_err("twice"));
    assert!(error.contains("`consolidated.00/data/4` twice"), "{error}");

    // Where entry 5 begins is said at the end of its record in the list, 4 bytes before its name; or behind it, in 64 bits.
    let (listed, other) = (*four.last().expect("listed"), places(b"consolidated.00/data/5"));
    let listed_five = *other.last().expect("listed");
    let mut shared = whole.clone();
    shared.copy_within(listed - 4..listed, listed_five - 4);
    fs::write(&file, shared).expect("write");
    assert!(Checkpoint::open(folder.path()).is_err(), "two entries of the same bytes");
}

#[test]
fn hugging_face_contradictions_are_named() {
    let (_folder, path) = hugging_face(3);
    let config = config();
    let refused = |what: &str| {
        let error = with_hint(&Checkpoint::open(&path).expect_err(what));
        assert!(error.contains(what), "{what}: {error}");
    };
    let index = path.join("model.safetensors.index.json");
    let text = fs::read_to_string(&index).expect("index");
    let rewrite = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        fs::write(&index, text.replace(from, to)).expect("index");
    };
    rewrite("model-00002-of-00003", "model-00009-of-00003");
    refused("model-00009-of-00003.safetensors");
    rewrite("model-00002-of-00003", "../model-00002-of-00003");
    refused("beside the index");
    rewrite("\"lm_head.weight\"", "\"lm_foot.weight\"");
    refused("lm_");
    fs::write(&index, &text).expect("index");
    let part = path.join("model-00002-of-00003.safetensors");
    let moved = path.join("elsewhere");
    fs::rename(&part, &moved).expect("move");
    refused("model-00002-of-00003.safetensors");
    fs::rename(&moved, &part).expect("back");
    for (key, value, says) in [
        ("vocab_size", 51, "model.embed_tokens.weight"),
        ("num_hidden_layers", 1, "model.layers.1."),
        ("num_hidden_layers", 3, "model.layers.2."),
        ("num_key_value_heads", 4, "k_proj"),
        ("head_dim", 8, "q_proj"),
        ("intermediate_size", 97, "mlp."),
    ] {
        let mut json = config_json(&config);
        json[key] = value.into();
        fs::write(path.join("config.json"), json.to_string()).expect("config.json");
        refused(says);
    }
    // A bias, which a configuration may forget to mention.
    let mut with_bias = weights(&config, 4);
    with_bias.push(("model.layers.0.self_attn.q_proj.bias".to_owned(), vec![64], vec![0.5; 64]));
    write_hugging_face(&path, &config, &with_bias, 3);
    refused("model.layers.0.self_attn.q_proj.bias");
}

//! Meta's layout written and read back, in one part and several, whole, damaged and hostile.

use crate::with_hint;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use llama_core::tch::{Device, Kind};
use llama_core::{
    Batch, Checkpoint, Config, Error, Forward, Llama, Precision, Tokenizer, Tokens, save_meta, word_model,
};
use proptest::prelude::*;

use crate::support::{prompts, random};

/// A model whose sizes are Meta's: `head_dim · n_heads = dim`.
fn meta_config() -> Config {
    Config { dim: 24, n_heads: 4, n_kv_heads: 2, head_dim: 6, ..crate::support::config() }
}

fn saved() -> (tempfile::TempDir, Llama) {
    let folder = tempfile::tempdir().expect("folder");
    let llama = Llama::random(&meta_config(), 11, Precision::F32, Device::Cpu).expect("model");
    save_meta(&llama, folder.path(), Kind::Float, 1).expect("save");
    (folder, llama)
}

fn logits(llama: &Llama) -> llama_core::tch::Tensor {
    let batch = Batch::new(&prompts()).expect("batch");
    llama.forward(&batch, Forward::new().logits(Tokens::All)).expect("run").logits.expect("logits")
}

fn identity_of(folder: &Path) -> String {
    let checkpoint = Checkpoint::open(folder).expect("open");
    checkpoint.identity(&llama_core::IdentityCache::none(), &mut |_, _| {}).expect("identity")
}

#[test]
fn what_is_saved_is_read_back_bit_for_bit() {
    let (folder, llama) = saved();
    let checkpoint = Checkpoint::open(folder.path()).expect("open");
    assert_eq!(checkpoint.config(), llama.config());
    assert_eq!(checkpoint.layout(), "Meta, 1 part");
    let back = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect("load");
    assert!(logits(&back).equal(&logits(&llama)));
    // The same weights, saved again: the same bytes, the same identity.
    let again = tempfile::tempdir().expect("folder");
    save_meta(&back, again.path(), Kind::Float, 1).expect("save");
    let read = |p: &Path| fs::read(p.join("consolidated.00.pth")).expect("read");
    assert!(read(folder.path()) == read(again.path()));
    assert_eq!(identity_of(again.path()), identity_of(folder.path()));
}

#[test]
fn model_parallel_parts_are_merged_along_metas_axes() {
    let config = Config { vocab_size: 48, n_kv_heads: 4, ..meta_config() };
    let llama = Llama::random(&config, 5, Precision::F32, Device::Cpu).expect("model");
    let whole = tempfile::tempdir().expect("folder");
    save_meta(&llama, whole.path(), Kind::Float, 1).expect("save");
    for parts in [2, 4] {
        let folder = tempfile::tempdir().expect("folder");
        save_meta(&llama, folder.path(), Kind::Float, parts).expect("save");
        let checkpoint = Checkpoint::open(folder.path()).expect("open");
        assert_eq!(checkpoint.layout(), format!("Meta, {parts} parts"));
        let back = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect("load");
        let resaved = tempfile::tempdir().expect("folder");
        save_meta(&back, resaved.path(), Kind::Float, 1).expect("save");
        let bytes = |folder: &Path| fs::read(folder.join("consolidated.00.pth")).expect("read");
        assert!(bytes(whole.path()) == bytes(resaved.path()), "{parts} parts");
        // The last part is missing, and its neighbors know.
        fs::remove_file(folder.path().join(format!("consolidated.{:02}.pth", parts - 1))).expect("remove");
        let (expected, found) = (parts as i64, parts as i64 - 1);
        assert!(
            matches!(refused(folder.path()), Error::Shards { expected: e, found: f, .. } if (e, f) == (expected, found))
        );
    }
    assert!(save_meta(&llama, whole.path(), Kind::Float, 3).is_err(), "3 parts do not divide 4 heads");
}

#[test]
fn other_weights_are_another_model() {
    let identity = |seed| {
        let folder = tempfile::tempdir().expect("folder");
        let llama = Llama::random(&meta_config(), seed, Precision::F32, Device::Cpu).expect("model");
        save_meta(&llama, folder.path(), Kind::Float, 1).expect("save");
        identity_of(folder.path())
    };
    assert_eq!(identity(1), identity(1));
    assert_ne!(identity(1), identity(2), "one shape, other weights");
}

#[test]
fn sizes_that_ask_for_more_than_the_file_holds_are_refused() {
    // A stride of 0 would make any shape of a few bytes: `K\x18 K\x01` style sizes are LONG1 in our files.
    let (folder, _) = saved();
    rewrite(folder.path(), |name, content| {
        let long = |n: i64| [&[0x8a, 8][..], &n.to_le_bytes()].concat();
        let tuple = |a: i64, b: i64| [&b"("[..], &long(a), &long(b), b"t"].concat();
        Some(if name.ends_with("data.pkl") {
            let bigger = replaced(&content, &tuple(50, 24), &tuple(1 << 40, 24));
            replaced(&bigger, &tuple(24, 1), &tuple(0, 0))
        } else {
            content
        })
    });
    assert!(refused(folder.path()).to_string().contains("more than its storage holds"));
}

#[test]
fn half_precision_files_are_computed_in_f32() {
    let folder = tempfile::tempdir().expect("folder");
    let llama = Llama::random(&meta_config(), 11, Precision::F32, Device::Cpu).expect("model");
    for kind in [Kind::Half, Kind::BFloat16] {
        save_meta(&llama, folder.path(), kind, 1).expect("save");
        let checkpoint = Checkpoint::open(folder.path()).expect("open");
        assert_eq!(checkpoint.stored_as().expect("types"), [if kind == Kind::Half { "f16" } else { "bf16" }]);
        let back = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect("load");
        let error = crate::support::relative(&logits(&back), &logits(&llama));
        assert!(error > 0.0 && error < 0.05, "{error}");
    }
}

fn refused(folder: &Path) -> Error {
    match Checkpoint::open(folder) {
        Ok(checkpoint) => Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect_err("must be refused"),
        Err(error) => error,
    }
}

#[test]
fn foreign_folders_are_refused_by_what_is_missing() {
    let folder = tempfile::tempdir().expect("folder");
    assert!(matches!(refused(&folder.path().join("nowhere")), Error::NotAModel { .. }));
    assert!(refused(folder.path()).to_string().contains("neither params.json nor config.json"));
    fs::write(folder.path().join("params.json"), "{}").expect("write");
    assert!(refused(folder.path()).to_string().contains("params.json"));
    let (whole, _) = saved();
    fs::remove_file(whole.path().join("consolidated.00.pth")).expect("remove");
    assert!(refused(whole.path()).to_string().contains("consolidated.00.pth"));
}

#[test]
fn a_configuration_of_another_model_is_refused() {
    let (folder, _) = saved();
    let path = folder.path().join("params.json");
    let text = fs::read_to_string(&path).expect("read");
    for (from, to, says) in [
        ("\"n_layers\": 3", "\"n_layers\": 4", "layers.3.attention_norm.weight"),
        ("\"n_layers\": 3", "\"n_layers\": 2", "no tensor `layers.2."),
        ("\"n_heads\": 4", "\"n_heads\": 5", "multiple"),
        ("\"n_kv_heads\": 2", "\"n_kv_heads\": 3", "multiple"),
        ("\"vocab_size\": 50", "\"vocab_size\": 60", "tok_embeddings.weight"),
        ("\"norm_eps\": 0.00001", "\"norm_eps\": -1", "norm_eps"),
        ("\"n_layers\": 3", "\"n_layers\": 3, \"moe_args\": {}", "moe_args"),
        (
            "\"n_layers\": 3",
            "\"n_layers\": 3, \"use_scaled_rope\": true, \"rope_scaling_factor\": 0",
            "factor",
        ),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        fs::write(&path, text.replace(from, to)).expect("write");
        let error = refused(folder.path()).to_string();
        assert!(error.contains(says), "{to}: {error}");
    }
}

/// The archive's entries, one of them rewritten.
pub(crate) fn rewrite(folder: &Path, change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) {
    let path = folder.join("consolidated.00.pth");
    let bytes = fs::read(&path).expect("read");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("zip");
    let mut out = zip::ZipWriter::new(fs::File::create(&path).expect("create"));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).expect("entry");
        let name = entry.name().expect("name").into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        if let Some(content) = change(&name, content) {
            out.start_file(name, stored).expect("start");
            out.write_all(&content).expect("write");
        }
    }
    out.finish().expect("finish");
}

fn replaced(content: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = content.windows(from.len()).position(|w| w == from).expect("found");
    [&content[..at], to, &content[at + from.len()..]].concat()
}

#[test]
fn a_pickle_that_calls_something_is_refused_and_calls_nothing() {
    let (folder, _) = saved();
    rewrite(folder.path(), |name, content| {
        Some(if name.ends_with("data.pkl") {
            replaced(&content, b"ctorch._utils\n_rebuild_tensor_v2\n", b"cos\nsystem\n")
        } else {
            content
        })
    });
    let error = refused(folder.path());
    assert!(matches!(error, Error::Pickle { .. }) && error.to_string().contains("os.system"), "{error}");
}

#[test]
fn a_missing_tensor_and_a_missing_storage_are_named() {
    let (folder, _) = saved();
    rewrite(folder.path(), |name, content| {
        Some(if name.ends_with("data.pkl") {
            replaced(&content, b"layers.1.feed_forward.w2.weight", b"layers.1.feed_forward.w9.weight")
        } else {
            content
        })
    });
    assert!(matches!(refused(folder.path()), Error::MissingTensor { name, .. } if name.contains("w2")));
    let (folder, _) = saved();
    rewrite(folder.path(), |name, content| (!name.ends_with("data/4")).then_some(content));
    assert!(refused(folder.path()).to_string().contains("data/4"));
    let (folder, _) = saved();
    rewrite(folder.path(), |name, content| {
        Some(if name.ends_with("data/4") { content[..content.len() - 4].to_vec() } else { content })
    });
    assert!(refused(folder.path()).to_string().contains("more than its storage holds"));
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let (folder, _) = saved();
    rewrite(folder.path(), |name, mut content| {
        if name.ends_with("data/2") {
            content[40..44].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        Some(content)
    });
    assert!(matches!(refused(folder.path()), Error::NonFiniteWeight { name, .. } if name.contains("wq")));
}

#[test]
fn truncation_anywhere_is_refused() {
    let (folder, _) = saved();
    let path = folder.path().join("consolidated.00.pth");
    let whole = fs::read(&path).expect("read");
    for part in [0, 1, 100, whole.len() / 2, whole.len() - 100, whole.len() - 1] {
        fs::write(&path, &whole[..part]).expect("write");
        assert!(
            matches!(refused(folder.path()), Error::WeightFile { .. }),
            "{part} of {} bytes",
            whole.len()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_damaged_file_is_an_error_or_a_model_never_a_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), near_end in any::<bool>()) {
        let (folder, _) = saved();
        let path = folder.path().join("consolidated.00.pth");
        let mut bytes = fs::read(&path).expect("read");
        for (index, byte) in damage {
            // Half of the cases hit the archive's directory and the pickle instead of weights.
            let at = if near_end { bytes.len() - 1 - index.index(2_000) } else { index.index(6_000) };
            bytes[at] = byte;
        }
        fs::write(&path, bytes).expect("write");
        if let Ok(checkpoint) = Checkpoint::open(folder.path()) {
            let _ = Llama::load(&checkpoint, Precision::F32, Device::Cpu);
        }
    }
}

#[test]
fn a_shard_too_few_is_counted() {
    let folder = tempfile::tempdir().expect("folder");
    for file in ["params.json", "consolidated.00.pth"] {
        fs::copy(test_material::golden("llama/meta-2").join(file), folder.path().join(file)).expect("copy");
    }
    assert!(matches!(refused(folder.path()), Error::Shards { expected: 2, found: 1, .. }));
    fs::rename(folder.path().join("consolidated.00.pth"), folder.path().join("consolidated.01.pth"))
        .expect("rename");
    assert!(refused(folder.path()).to_string().contains("consolidated.00.pth"));
}

#[test]
fn tokenizers_that_do_not_fit_are_refused() {
    let words: Vec<String> = ["▁the", "▁cat", "▁sat", ".", "?", "▁True", "▁False"].map(String::from).into();
    let tokenizer = Tokenizer::from_bytes(&word_model(&words), "words").expect("own model");
    assert_eq!(tokenizer.vocab_size(), 10);
    let tokens = tokenizer.encode("the cat sat. True").expect("encode");
    let pieces: Vec<_> = tokens.iter().map(|t| tokenizer.piece(t.id)).collect();
    assert_eq!(pieces, ["<s>", "▁the", "▁cat", "▁sat", ".", "▁True"]);
    assert_eq!(tokens.last().expect("tokens").span, 12..17);
    assert_eq!(
        tokenizer.decode(&tokenizer.ids("the cat sat.").expect("ids")).expect("decode"),
        "the cat sat."
    );
    tokenizer.check_fits(random(Precision::F32).config()).expect("50 embeddings for 10 tokens");
    let few = Config { vocab_size: 9, ..Config::default() };
    let error = with_hint(&tokenizer.check_fits(&few).expect_err("9 embeddings"));
    assert!(error.contains("up to id 9") && error.contains("has 9 embeddings"), "{error}");
    for bad in [b"".as_slice(), b"hello", b"\x0a\xff\xff\xff\xff\x0f", &[0u8; 64]] {
        assert!(matches!(Tokenizer::from_bytes(bad, "bad"), Err(Error::Tokenizer { .. })));
    }
}

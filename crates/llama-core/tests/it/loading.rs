//! Weights that several threads bring in, each a stretch of rows: the numbers of the files, and errors from wherever a
//! stretch ends.

use std::fs;
use std::path::Path;

use llama_core::tch::{Device, Kind};
use llama_core::{
    Batch, BlockWeight, Checkpoint, Config, Error, Forward, Llama, Precision, Tokens, Weight,
    save_random_meta,
};

use crate::checkpoint::rewrite;
use crate::weights::every_weight;

/// Matrices of up to 4 MB in f32: several stretches, and one that is not full.
fn config() -> Config {
    Config {
        dim: 512,
        n_layers: 1,
        n_heads: 8,
        n_kv_heads: 4,
        head_dim: 64,
        hidden_dim: 2000,
        vocab_size: 600,
        norm_eps: 1e-5,
        ..Config::default()
    }
}

fn saved(kind: Kind, parts: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    save_random_meta(&config(), 3, folder.path(), kind, parts).expect("saved");
    folder
}

#[test]
fn stretches_make_the_weights_that_were_stored() {
    // Drawn, not read; and rounded by LibTorch.
    let drawn = Llama::random(&config(), 3, Precision::F32, Device::Cpu).expect("model");
    for (kind, parts) in [(Kind::Half, 2), (Kind::Float, 1), (Kind::BFloat16, 4)] {
        let folder = saved(kind, parts);
        let checkpoint = Checkpoint::open(folder.path()).expect("open");
        for precision in [Precision::F32, Precision::Mixed, Precision::Bf16, Precision::F64] {
            let read = Llama::load(&checkpoint, precision, Device::Cpu).expect("load");
            for weight in every_weight(1) {
                let found = read.weight(weight).expect("a weight");
                let stored = drawn.weight(weight).expect("a weight").to_kind(kind);
                assert!(found.equal(&stored.to_kind(found.kind())), "{weight:?}: {kind:?} as {precision}");
            }
        }
    }
}

/// What loading says, which a model that is read block by block says too.
fn refused(folder: &Path) -> Error {
    let checkpoint = Checkpoint::open(folder).expect("the headers are whole");
    let error = Llama::load(&checkpoint, Precision::Bf16, Device::Cpu).expect_err("a damaged weight");
    let streamed =
        Llama::streamed(&checkpoint, Precision::Bf16, Device::Cpu).expect("what is outside blocks");
    let batch = Batch::new(&[[1u32, 2]]).expect("batch");
    let same = streamed.forward(&batch, Forward::new().logits(Tokens::Last)).expect_err("a damaged block");
    assert_eq!(error.to_string(), same.to_string());
    error
}

/// The storage of block 0's gate: weights are numbered in the order of the forward pass.
const GATE: &str = "data/7";

#[test]
fn damage_behind_the_first_stretch_is_found() {
    let gate = Weight::Block(0, BlockWeight::Gate).shape(&config());
    let bytes = 2 * gate.iter().product::<i64>() as usize;
    for at in [0, bytes / 2 + 1, bytes - 1] {
        let folder = saved(Kind::Half, 1);
        // The archive as it was, and one number in it another, which its checksum tells.
        let path = folder.path().join("consolidated.00.pth");
        let mut file = fs::read(&path).expect("read");
        let start = {
            let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&file)).expect("zip");
            let name = format!("consolidated.00/{GATE}");
            archive.by_name(&name).expect("entry").data_start().expect("its place") as usize
        };
        file[start + at] ^= 1;
        fs::write(&path, &file).expect("write");
        let error = refused(folder.path());
        let said = error.to_string();
        assert!(said.contains("feed_forward.w1") && said.contains("checksum"), "{at}: {said}");

        // One number not finite, in an archive whose checksums hold.
        let folder = saved(Kind::Half, 1);
        rewrite(folder.path(), |name, mut content| {
            if name.ends_with(GATE) {
                content[at / 2 * 2..][..2].copy_from_slice(&0xfc00u16.to_le_bytes());
            }
            Some(content)
        });
        let error = refused(folder.path());
        assert!(
            matches!(&error, Error::NonFiniteWeight { name, .. } if name.contains("w1")),
            "{at}: {error}"
        );
    }
}

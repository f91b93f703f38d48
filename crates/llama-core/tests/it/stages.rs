//! A model in stages computes what it computes in one piece, bit for bit.

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Batch, Capture, Captured, Checkpoint, Error, Forward, HookPoint, HookSet, Llama, Precision, Tokens,
    Weight, save_random_meta,
};

use crate::layouts::config;
use crate::support::prompts;

/// What a run shows: its logits and captures of two kinds.
struct Shown {
    logits: Option<Tensor>,
    captured: Vec<(HookPoint, Tensor)>,
}

fn captures(tokens: &Tokens, layers: usize) -> [Capture; 2] {
    let points = HookSet::parse(["blocks.*.attn.hook_z", "blocks.*.hook_resid_post", "hook_embed"], layers);
    let last = HookSet::from(vec![HookPoint::FinalOut]);
    [Capture::new(points.expect("points"), tokens.clone()), Capture::new(last, Tokens::Last)]
}

fn kept(captures: [Capture; 2]) -> Vec<(HookPoint, Tensor)> {
    captures.into_iter().map(Capture::finish).flat_map(Captured::into_iter).collect()
}

/// A model of four blocks, in two files.
fn four_blocks() -> (tempfile::TempDir, Checkpoint) {
    let folder = tempfile::tempdir().expect("folder");
    let config = llama_core::Config { n_layers: 4, rope_scaling: llama_core::RopeScaling::None, ..config() };
    save_random_meta(&config, 5, folder.path(), Kind::Float, 2).expect("saved");
    let checkpoint = Checkpoint::open(folder.path()).expect("checkpoint");
    (folder, checkpoint)
}

/// Through some stages, each from what the one before it left.
fn through(stages: &[Llama], batch: &Batch, tokens: &Tokens) -> Shown {
    let (mut stream, mut captured, mut logits) = (None, Vec::new(), None);
    for stage in stages {
        let [mut states, mut last] = captures(tokens, 4);
        let mut run = Forward::new().hook(&mut states).hook(&mut last).logits(Tokens::Last);
        run = run.reads(tokens.clone());
        if let Some(stream) = stream.take() {
            run = run.entering(stream);
        }
        let output = stage.forward(batch, run).expect("a stage");
        captured.extend(kept([states, last]));
        (stream, logits) = (output.leaving, output.logits);
    }
    assert!(stream.is_none(), "nothing leaves the last one");
    captured.sort_by_key(|(point, _)| *point);
    Shown { logits, captured }
}

#[test]
fn stages_give_the_bits_of_the_whole_model() {
    let (_folder, checkpoint) = four_blocks();
    let shared: Vec<Vec<Vec<u32>>> =
        vec![vec![vec![1, 5, 9, 13], vec![1, 5, 9, 14, 2]], vec![vec![1, 7, 8], vec![1, 7, 9]]];
    let tree: Vec<Vec<&[u32]>> =
        shared.iter().map(|group| group.iter().map(Vec::as_slice).collect()).collect();
    let batches = [Batch::new(&prompts()).expect("batch"), Batch::shared(&tree).expect("tree")];
    for precision in [Precision::F32, Precision::Bf16, Precision::Mixed] {
        let whole = Llama::load(&checkpoint, precision, Device::Cpu).expect("whole");
        for cuts in [vec![0, 1, 4], vec![0, 2, 3, 4], vec![0, 1, 2, 3, 4]] {
            let stage = |cut: &[usize], streamed: bool| {
                let make = if streamed { Llama::streamed_stage } else { Llama::stage };
                make(&checkpoint, precision, Device::Cpu, cut[0]..cut[1]).expect("a stage")
            };
            let stages: Vec<Llama> =
                cuts.windows(2).enumerate().map(|(number, cut)| stage(cut, number % 2 == 1)).collect();
            for (batch, tokens) in batches.iter().flat_map(|b| [(b, Tokens::Last), (b, Tokens::All)]) {
                let [mut states, mut last] = captures(&tokens, 4);
                let run = Forward::new().hook(&mut states).hook(&mut last).logits(Tokens::Last);
                let expected = whole.forward(batch, run.reads(tokens.clone())).expect("whole");
                let found = through(&stages, batch, &tokens);
                assert!(found.logits.expect("logits").equal(&expected.logits.expect("logits")));
                let expected = kept([states, last]);
                assert_eq!(expected.len(), found.captured.len());
                for ((point, expected), (same, found)) in expected.iter().zip(&found.captured) {
                    assert!(point == same && found.equal(expected), "{precision} {cuts:?} {point}");
                }
            }
        }
    }
}

#[test]
fn a_pass_ends_in_the_stage_with_the_last_point_that_is_wanted() {
    let (_folder, checkpoint) = four_blocks();
    let stage = |blocks| Llama::stage(&checkpoint, Precision::F32, Device::Cpu, blocks).expect("a stage");
    let batch = Batch::new(&[[1, 2, 3]]).expect("batch");
    let mut capture = Capture::new(HookPoint::of_layer(1), Tokens::Last);
    let output = stage(0..2).forward(&batch, Forward::new().hook(&mut capture)).expect("first");
    assert!(output.leaving.is_none() && capture.finish().len() == 1);
}

#[test]
fn what_a_stage_cannot_do_is_an_error() {
    let (_folder, checkpoint) = four_blocks();
    let stage = |blocks| Llama::stage(&checkpoint, Precision::F32, Device::Cpu, blocks);
    for blocks in [0..5, 2..2, 4..4] {
        assert!(matches!(stage(blocks), Err(Error::Stage { .. })));
    }
    let (first, second) = (stage(0..2).expect("first"), stage(2..4).expect("second"));
    let batch = Batch::new(&[[1, 2, 3]]).expect("batch");
    let refused = |llama: &Llama, run: Forward<'_>| {
        let error = llama.forward(&batch, run.logits(Tokens::Last)).expect_err("refused");
        assert!(matches!(error, Error::Stage { .. }) && error.hint().is_some(), "{error}");
    };
    let dim = checkpoint.config().dim;
    let zeros = |rows| Tensor::zeros([1, rows, dim], (Kind::Float, Device::Cpu));
    refused(&second, Forward::new());
    refused(&second, Forward::new().entering(zeros(4)));
    refused(&second, Forward::new().entering(zeros(3).to_kind(Kind::Double)));
    refused(&first, Forward::new().entering(zeros(3)));
    refused(&first, Forward::new().gradients());
    assert!(matches!(first.weight(Weight::Unembed), Err(Error::Stage { .. })));
    assert!(matches!(second.weight(Weight::Embed), Err(Error::Stage { .. })));
    assert!(matches!(first.trainable(), Err(Error::Stage { .. })));
    assert_eq!((first.blocks(), second.blocks()), (0..2, 2..4));
    // Together they take what the whole model does, but for an embedding that is tied.
    let config = checkpoint.config();
    let own = |blocks| Llama::stage_bytes(config, Precision::F32, &blocks, false);
    let whole = Llama::resident_bytes(config, Precision::F32);
    let twice = if config.tied_embeddings { 4 * (config.vocab_size * dim) as u64 } else { 0 };
    assert_eq!(own(0..1) + own(1..4), whole + twice);
}

//! Runs that compute less: of the last block only the tokens that are read; blocks brought in from disk one by one.

use crate::with_hint;
use llama_core::tch::{Device, Kind};
use llama_core::{
    Action, Activation, Batch, Capture, Checkpoint, Error, FnHook, Forward, HookPoint, HookSet, Llama,
    Precision, Site, Tokens, save_meta, save_random_meta,
};
use proptest::prelude::*;

use crate::layouts::config;
use crate::support::prompts;

/// Every point of a model, and a run's captures there of some tokens.
fn everything(n_layers: usize) -> HookSet {
    HookSet::parse(["*"], n_layers).expect("all points")
}

/// The largest difference between two runs over a batch, at every point that has tokens and in the logits.
fn difference(llama: &Llama, batch: &Batch, read: &Tokens, logits: &Tokens) -> f64 {
    let points: HookSet = everything(llama.config().n_layers)
        .iter()
        .filter(|point| *point != HookPoint::Logits)
        .fold(HookSet::new(), |set, point| set | point.into());
    let run = |lean: bool| {
        let mut capture = Capture::new(points.clone(), read.clone());
        let run = Forward::new().hook(&mut capture).logits(logits.clone());
        let run = if lean { run.reads(read.clone()) } else { run };
        let output = llama.forward(batch, run).expect("forward").logits.expect("logits");
        (capture.finish(), output)
    };
    let ((lean, lean_logits), (whole, whole_logits)) = (run(true), run(false));
    assert_eq!(lean.len(), whole.len());
    let apart = |a: &llama_core::tch::Tensor, b: &llama_core::tch::Tensor| {
        assert_eq!(a.size(), b.size());
        if a.numel() == 0 {
            return 0.0; // nothing was asked for
        }
        // Scores of what is not seen are −∞ in both.
        let (a, b) = (a.nan_to_num(0.0, 0.0, 0.0), b.nan_to_num(0.0, 0.0, 0.0));
        (a - b).abs().max().double_value(&[])
    };
    let states = lean.iter().zip(whole.iter()).map(|((_, a), (_, b))| apart(a, b));
    states.chain([apart(&lean_logits, &whole_logits)]).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn leaving_out_what_nobody_reads_changes_nothing_else(
        groups in prop::collection::vec(prop::collection::vec(prop::collection::vec(0u32..4, 1..10), 1..5), 1..4),
        chosen in prop::collection::vec(prop::collection::vec(0usize..10, 0..3), 20),
    ) {
        let llama = Llama::random(&config(), 1, Precision::F64, Device::Cpu).expect("model");
        let batch = Batch::shared(&groups).expect("batch");
        let positions = batch.lengths().iter().zip(&chosen)
            .map(|(length, chosen)| chosen.iter().map(|at| at % length).collect()).collect();
        // Each of these leaves other tokens out; the first reads a token twice where a prompt has one.
        for (read, logits) in [
            (Tokens::Last, Tokens::First), (Tokens::At(positions), Tokens::Last), (Tokens::First, Tokens::All),
        ] {
            let apart = difference(&llama, &batch, &read, &logits);
            prop_assert!(apart < 1e-12, "{read} and logits of {logits}: {apart:e}");
        }
    }
}

#[test]
fn padding_on_the_left_and_a_last_block_in_the_middle() {
    let llama = Llama::random(&config(), 2, Precision::F64, Device::Cpu).expect("model");
    for padding in [llama_core::Padding::Left, llama_core::Padding::Right] {
        let batch = Batch::padded(&prompts(), padding).expect("batch");
        assert!(difference(&llama, &batch, &Tokens::Last, &Tokens::Last) < 1e-12);
        // A run that ends after block 0, without logits.
        let point = HookPoint::of_layer(1);
        let mut widths = Vec::new();
        let mut look = FnHook::new(point, |activation: &Activation<'_>| {
            widths.push(activation.tensor.size()[1]);
            Ok(Action::Keep)
        });
        llama.forward(&batch, Forward::new().hook(&mut look).reads(Tokens::Last)).expect("forward");
        assert_eq!(widths, [1]); // one token of each row went through the MLP
    }
}

#[test]
fn a_token_that_was_left_out_is_an_error_that_names_the_point() {
    let llama = Llama::random(&config(), 2, Precision::F32, Device::Cpu).expect("model");
    let batch = Batch::new(&prompts()).expect("batch");
    let mut capture = Capture::new(everything(2), Tokens::First);
    let error =
        llama.forward(&batch, Forward::new().hook(&mut capture).reads(Tokens::Last)).expect_err("left out");
    // Queries, keys and values of the last block are there for every token.
    assert!(matches!(error, Error::NotComputed { point: HookPoint::Block(1, Site::AttnScores) }), "{error}");
    with_hint(&error);
}

#[test]
fn a_streamed_model_takes_many_batches_through_each_block_and_gives_the_same_bits() {
    let folder = tempfile::tempdir().expect("folder");
    let config = llama_core::Config { n_layers: 5, rope_scaling: llama_core::RopeScaling::None, ..config() };
    let made = Llama::random(&config, 3, Precision::F32, Device::Cpu).expect("model");
    save_meta(&made, folder.path(), Kind::Half, 2).expect("saved");
    let checkpoint = Checkpoint::open(folder.path()).expect("checkpoint");
    for precision in [Precision::F32, Precision::Mixed, Precision::Bf16] {
        let resident = Llama::load(&checkpoint, precision, Device::Cpu).expect("model");
        let streamed = Llama::streamed(&checkpoint, precision, Device::Cpu).expect("model");
        assert!(streamed.is_streamed() && !resident.is_streamed());
        // Batches that want different things: all layers and logits, a layer in the middle, nothing.
        let batches =
            [&prompts()[..1], &prompts()[..], &prompts()[1..]].map(|p| Batch::new(p).expect("batch"));
        let run = |llama: &Llama| {
            let mut captures = [
                Capture::new(everything(5), Tokens::Last),
                Capture::new(HookPoint::of_layer(2), Tokens::All),
                Capture::new(HookSet::new(), Tokens::Last),
            ];
            let runs = captures.iter_mut().enumerate().map(|(i, capture)| {
                let run = Forward::new().hook(capture);
                (&batches[i], if i == 0 { run.logits(Tokens::Last) } else { run })
            });
            let outputs = llama.forward_all(runs).expect("forward");
            let logits: Vec<_> = outputs.into_iter().map(|output| output.logits).collect();
            (captures.map(Capture::finish), logits)
        };
        let ((expected, logits), (found, found_logits)) = (run(&resident), run(&streamed));
        assert_eq!(
            found.each_ref().map(llama_core::Captured::len),
            expected.each_ref().map(llama_core::Captured::len)
        );
        for (expected, found) in expected.iter().zip(&found) {
            for ((point, expected), (_, found)) in expected.iter().zip(found.iter()) {
                assert!(expected.equal(found), "{precision}: {point}");
            }
        }
        assert!(logits[0].as_ref().unwrap().equal(found_logits[0].as_ref().unwrap()));
        assert!(found_logits[1].is_none() && found_logits[2].is_none());
        // One batch at a time is the same, and generation goes through it as well.
        let alone = |llama: &Llama| {
            llama.forward(&batches[1], Forward::new().logits(Tokens::Last)).unwrap().logits.unwrap()
        };
        assert!(alone(&resident).equal(&alone(&streamed)));
        assert!(Llama::streamed_bytes(&config, precision) < Llama::resident_bytes(&config, precision));
    }
    let streamed = Llama::streamed(&checkpoint, Precision::F32, Device::Cpu).expect("model");
    for error in [
        streamed.trainable().expect_err("on disk"),
        save_meta(&streamed, folder.path(), Kind::Half, 1).expect_err("on disk"),
    ] {
        assert!(matches!(error, Error::Streamed { .. }), "{error}");
    }
}

#[test]
fn a_block_that_is_damaged_ends_the_pass_with_its_name() {
    let folder = tempfile::tempdir().expect("folder");
    let config = llama_core::Config { n_layers: 4, rope_scaling: llama_core::RopeScaling::None, ..config() };
    save_random_meta(&config, 3, folder.path(), Kind::Float, 1).expect("saved");
    let path = folder.path().join("consolidated.00.pth");
    let mut bytes = std::fs::read(&path).expect("file");
    // Near the end are the final norm and the unembedding (50 × 64 floats), before them block 3's MLP.
    let at = bytes.len() - 20_000 - 4 * 64 * 50;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let checkpoint = Checkpoint::open(folder.path()).expect("only headers are read");
    let streamed =
        Llama::streamed(&checkpoint, Precision::F32, Device::Cpu).expect("nothing of block 3 is read");
    let batch = Batch::new(&prompts()).expect("batch");
    let to_layer = |layer| {
        let mut capture = Capture::new(HookPoint::of_layer(layer), Tokens::Last);
        streamed.forward(&batch, Forward::new().hook(&mut capture)).map(|_| ())
    };
    to_layer(3).expect("block 3 is not needed");
    let error = with_hint(&to_layer(4).expect_err("a wrong checksum"));
    assert!(error.contains("layers.3.feed_forward") && error.contains("checksum"), "{error}");
}

#[test]
fn random_models_are_written_without_being_in_memory() {
    let config = llama_core::Config { rope_scaling: llama_core::RopeScaling::None, ..config() };
    let random = Llama::random(&config, 9, Precision::F32, Device::Cpu).expect("model");
    for (parts, kind) in [(1, Kind::Float), (2, Kind::Float), (2, Kind::Half)] {
        let (a, b) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        save_random_meta(&config, 9, a.path(), kind, parts).expect("saved");
        save_meta(&random, b.path(), kind, parts).expect("saved");
        for name in ["params.json", "consolidated.00.pth"] {
            assert_eq!(
                std::fs::read(a.path().join(name)).unwrap(),
                std::fs::read(b.path().join(name)).unwrap(),
                "{name}"
            );
        }
    }
}

#[test]
fn a_run_that_ends_with_the_final_norm_reads_no_other_token() {
    let llama = Llama::random(&config(), 4, Precision::F64, Device::Cpu).expect("model");
    let batch = Batch::shared(&[vec![vec![1, 2, 3, 4], vec![1, 2, 5]], vec![vec![3, 1]]]).expect("batch");
    let read = Tokens::At(vec![vec![1, 2], vec![1], vec![0]]);
    let finals = |lean: bool| {
        let mut capture = Capture::new(HookPoint::FinalOut, read.clone());
        let run = Forward::new().hook(&mut capture);
        let run = if lean { run.reads(read.clone()) } else { run };
        assert!(llama.forward(&batch, run).expect("forward").logits.is_none());
        capture.finish().take(HookPoint::FinalOut).expect("captured")
    };
    let (lean, whole) = (finals(true), finals(false));
    assert_eq!(lean.size(), [4, config().dim]);
    assert!(lean.allclose(&whole, 1e-12, 1e-12, false));
}

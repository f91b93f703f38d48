//! Ranks that hold a model together compute what one process computes, up to rounding, at every hook point.

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Batch, BlockWeight, Capture, Change, Checkpoint, Config, Edit, Edits, Error, Forward, HookPoint, HookSet,
    Llama, Padding, Precision, RopeScaling, Sampling, Tokens, Weight, save_random_meta,
};

use crate::layouts::{weights, write_hugging_face};
use crate::support::{prompts, relative};

pub(crate) mod threads;

use threads::on_ranks;

/// A run's captures and logits.
type Shown = Vec<(String, Tensor)>;

/// Everything a run shows: all points, and the logits of all tokens.
fn everything(llama: &Llama, batch: &Batch, edits: &Edits, points: HookSet) -> Shown {
    let mut hook = edits.hook(llama.config(), llama.device()).expect("edits");
    let mut capture = Capture::new(points, Tokens::All);
    let run = Forward::new().hook(&mut hook).hook(&mut capture).logits(Tokens::All);
    let logits = llama.forward(batch, run).expect("a run").logits.expect("logits");
    let kept = capture.finish().into_iter().map(|(point, tensor)| (point.to_string(), tensor));
    kept.chain([("logits".to_owned(), logits)]).collect()
}

/// Masked scores are −∞ in both.
fn close(what: &str, found: &Shown, expected: &Shown, tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for ((point, found), (same, expected)) in found.iter().zip(expected) {
        assert_eq!((point, found.size()), (same, expected.size()), "{what}");
        let masked = expected.isneginf();
        assert!(found.isneginf().equal(&masked), "{what}, {point}");
        let seen = |x: &Tensor| x.masked_fill(&masked, 0.0);
        let error = relative(&seen(found), &seen(expected));
        assert!(error < tolerance, "{what}, {point}: {error:e}");
    }
}

/// Heads, groups, MLP columns and vocabulary that are not chosen for convenience.
fn shape(heads: i64, groups: i64, hidden: i64, vocab: i64) -> Config {
    Config {
        dim: 24,
        n_layers: 2,
        n_heads: heads,
        n_kv_heads: groups,
        head_dim: 6,
        hidden_dim: hidden,
        vocab_size: vocab,
        norm_eps: 1e-5,
        ..Config::default()
    }
}

/// A model in Hugging Face's layout with random weights.
fn model(config: &Config) -> (tempfile::TempDir, Checkpoint) {
    let folder = tempfile::tempdir().expect("folder");
    write_hugging_face(folder.path(), config, &weights(config, 3), 1);
    let checkpoint = Checkpoint::open(folder.path()).expect("checkpoint");
    (folder, checkpoint)
}

fn whole(checkpoint: &Checkpoint, precision: Precision) -> Llama {
    Llama::load(checkpoint, precision, Device::Cpu).expect("whole")
}

/// What every rank of so many finds.
fn sharded<T: Send>(
    checkpoint: &Checkpoint,
    precision: Precision,
    size: usize,
    work: impl Fn(&Llama) -> T + Sync,
) -> Vec<T> {
    on_ranks(size, |ranks| {
        let llama = Llama::sharded(checkpoint, precision, Device::Cpu, ranks).expect("a share");
        assert_eq!(llama.rank().1, size);
        work(&llama)
    })
}

fn batches() -> Vec<(&'static str, Batch)> {
    let shared = [vec![vec![1, 5, 9, 13], vec![1, 5, 9, 14, 2]], vec![vec![1, 7, 8], vec![1, 7, 9]]];
    let tree: Vec<Vec<&[u32]>> =
        shared.iter().map(|group: &Vec<Vec<u32>>| group.iter().map(Vec::as_slice).collect()).collect();
    vec![
        ("right", Batch::padded(&prompts(), Padding::Right).expect("batch")),
        ("left", Batch::padded(&prompts(), Padding::Left).expect("batch")),
        ("shared", Batch::shared(&tree).expect("batch")),
    ]
}

fn batch() -> Batch {
    Batch::new(&prompts()).expect("batch")
}

/// In f64 the difference is rounding: of sums whose terms are added in another order.
const F64: f64 = 1e-12;

#[test]
fn every_point_of_every_division_is_that_of_one_process() {
    let shapes = [
        (shape(4, 2, 41, 50), vec![2, 3, 4]),
        (shape(9, 3, 250, 53), vec![2, 3, 4]), // 6 + 3 heads; 4 ranks cut groups
        (shape(8, 2, 40, 50), vec![2, 3, 4]),
        (shape(4, 1, 40, 50), vec![2, 3, 4]),
        (shape(6, 3, 7, 50), vec![2, 4]),
        (Config { tied_embeddings: true, ..shape(4, 4, 40, 51) }, vec![2, 4]),
    ];
    let none = Edits::default();
    for (config, sizes) in shapes {
        let (_folder, checkpoint) = model(&config);
        let llama = whole(&checkpoint, Precision::F64);
        let all: HookSet = HookPoint::all(2).collect();
        for (number, (layout, batch)) in batches().into_iter().enumerate() {
            let expected = everything(&llama, &batch, &none, all.clone());
            let lean = everything(&llama, &batch, &none, HookSet::residual_stream(2));
            for &size in &sizes {
                let what =
                    format!("{} heads, {} groups, {size} ranks, {layout}", config.n_heads, config.n_kv_heads);
                for found in sharded(&checkpoint, Precision::F64, size, |llama| {
                    let batch = batches().swap_remove(number).1;
                    (
                        everything(llama, &batch, &none, all.clone()),
                        everything(llama, &batch, &none, HookSet::residual_stream(2)),
                    )
                }) {
                    close(&what, &found.0, &expected, F64);
                    close(&format!("{what}, only the stream"), &found.1, &lean, F64);
                }
            }
        }
    }
}

#[test]
fn narrower_types_are_as_exact_as_one_process() {
    let (_folder, checkpoint) = model(&shape(9, 3, 250, 53));
    let exact = whole(&checkpoint, Precision::F64);
    let points: HookSet = HookSet::residual_stream(2);
    let reference = everything(&exact, &batch(), &Edits::default(), points.clone());
    let error = |shown: &Shown| {
        let errors = shown.iter().zip(&reference).map(|((_, found), (_, exact))| relative(found, exact));
        errors.fold(0.0, f64::max)
    };
    for precision in [Precision::F32, Precision::Mixed, Precision::Bf16] {
        let alone = everything(&whole(&checkpoint, precision), &batch(), &Edits::default(), points.clone());
        for size in [2, 3] {
            let found = sharded(&checkpoint, precision, size, |llama| {
                everything(llama, &batch(), &Edits::default(), points.clone())
            });
            for shown in &found {
                assert!(
                    shown.iter().zip(&found[0]).all(|(a, b)| a.1.equal(&b.1)),
                    "the same bits on all ranks"
                );
                if precision == Precision::F32 {
                    close("f32", shown, &alone, 1e-5);
                } else {
                    // The largest error of some hundred numbers, a few roundings each: not far from that of one process.
                    assert!(
                        error(shown) < 2.0 * error(&alone),
                        "{precision}: {} {}",
                        error(shown),
                        error(&alone)
                    );
                }
            }
        }
    }
}

fn edit(point: &str, tokens: Tokens, change: Change) -> Edit {
    Edit { points: vec![point.to_owned()], tokens, rows: None, strengths: None, change }
}

#[test]
fn edits_reach_every_ranks_part() {
    let numbers = |shape: &[i64]| {
        let count: i64 = shape.iter().product();
        (Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.7).sin().view(shape)
    };
    let config = shape(6, 3, 41, 50);
    let (_folder, checkpoint) = model(&config);
    let llama = whole(&checkpoint, Precision::F64);
    let tokens: i64 = prompts().iter().map(|prompt| prompt.len() as i64).sum();
    let heads = |heads: &[usize]| Change::KnockOut { heads: heads.to_vec() };
    let edits = [
        vec![edit("blocks.0.attn.hook_z", Tokens::All, heads(&[0, 5]))],
        vec![edit("blocks.*.attn.hook_pattern", Tokens::All, heads(&[2, 3]))],
        vec![edit("blocks.0.attn.hook_attn_scores", Tokens::All, Change::Scale(0.5))],
        vec![edit("blocks.1.attn.hook_k", Tokens::All, heads(&[1]))],
        vec![edit(
            "blocks.0.attn.hook_v",
            Tokens::All,
            Change::patch(&numbers(&[tokens, 3, 6])).expect("patch"),
        )],
        vec![edit("blocks.0.attn.hook_result", Tokens::Last, Change::Scale(-2.0))],
        vec![edit("blocks.0.mlp.hook_post", Tokens::Last, Change::add(&numbers(&[41]), 3.0).expect("add"))],
        vec![
            edit("blocks.0.mlp.hook_pre", Tokens::First, Change::Zero),
            edit("blocks.1.hook_resid_mid", Tokens::All, Change::add(&numbers(&[24]), -1.0).expect("add")),
        ],
    ];
    let points: HookSet = HookPoint::all(2).collect();
    let plain = everything(&llama, &batch(), &Edits::default(), points.clone());
    for own in edits {
        let what = format!("{:?}", own[0].points);
        let edits: Edits = own.into_iter().collect();
        for points in [points.clone(), HookSet::residual_stream(2)] {
            let expected = everything(&llama, &batch(), &edits, points.clone());
            let logits = |shown: &Shown| shown.last().expect("logits").1.copy();
            assert!(relative(&logits(&expected), &logits(&plain)) > 1e-6, "{what} does something");
            for size in [2, 4] {
                let run = |llama: &Llama| everything(llama, &batch(), &edits, points.clone());
                for found in sharded(&checkpoint, Precision::F64, size, run) {
                    close(&format!("{what}, {size} ranks"), &found, &expected, F64);
                }
            }
        }
    }
}

#[test]
fn what_nobody_reads_is_left_out_on_every_rank() {
    let (_folder, checkpoint) = model(&shape(9, 3, 40, 50));
    let point = HookPoint::of_layer(2);
    let run = |llama: &Llama, batch: &Batch| {
        let mut capture = Capture::new(point, Tokens::Last);
        let run = Forward::new().hook(&mut capture).reads(Tokens::Last).logits(Tokens::Last);
        let logits = llama.forward(batch, run).expect("run").logits.expect("logits");
        vec![
            ("state".to_owned(), capture.finish().take(point).expect("captured")),
            ("logits".to_owned(), logits),
        ]
    };
    let llama = whole(&checkpoint, Precision::F64);
    for (number, (layout, batch)) in batches().into_iter().enumerate() {
        let expected = run(&llama, &batch);
        let of_rank = |llama: &Llama| run(llama, &batches()[number].1);
        for found in sharded(&checkpoint, Precision::F64, 4, of_rank) {
            close(layout, &found, &expected, F64);
        }
    }
}

#[test]
fn generation_takes_the_same_tokens() {
    for config in [shape(9, 3, 40, 50), shape(4, 1, 40, 50)] {
        let (_folder, checkpoint) = model(&config);
        let llama = whole(&checkpoint, Precision::F64);
        for temperature in [0.0, 0.8] {
            let sampling = Sampling { temperature, max_new_tokens: 10, seed: 5, ..Sampling::default() };
            let expected = llama.generate(&prompts(), &sampling).expect("one process");
            for size in [2, 4] {
                let generate = |llama: &Llama| llama.generate(&prompts(), &sampling).expect("ranks");
                for found in sharded(&checkpoint, Precision::F64, size, generate) {
                    assert_eq!(found, expected);
                }
            }
        }
    }
}

/// A model in Meta's files, the embedding in columns as LLaMA 1 and 2 have it.
fn meta(parts: usize) -> (tempfile::TempDir, Checkpoint) {
    let folder = tempfile::tempdir().expect("folder");
    let config = Config { n_layers: 2, rope_scaling: RopeScaling::None, ..crate::layouts::config() };
    save_random_meta(&config, 5, folder.path(), Kind::Float, parts).expect("saved");
    let checkpoint = Checkpoint::open(folder.path()).expect("checkpoint");
    (folder, checkpoint)
}

#[test]
fn metas_files_are_divided_whatever_their_number_is() {
    let points: HookSet = HookPoint::all(2).collect();
    for parts in [1, 2] {
        let (_folder, checkpoint) = meta(parts);
        let run = |llama: &Llama| everything(llama, &batch(), &Edits::default(), points.clone());
        let expected = run(&whole(&checkpoint, Precision::F64));
        for size in [2, 3, 4] {
            for found in sharded(&checkpoint, Precision::F64, size, run) {
                close(&format!("{parts} files, {size} ranks"), &found, &expected, F64);
            }
        }
    }
}

#[test]
fn of_as_many_files_as_ranks_each_reads_its_own() {
    let (folder, checkpoint) = meta(2);
    let points = HookSet::residual_stream(2);
    let expected =
        everything(&whole(&checkpoint, Precision::F64), &batch(), &Edits::default(), points.clone());
    // Each rank's checkpoint has the other file's numbers damaged: one that is read does not keep its checksum.
    let copies: Vec<_> = [1, 0]
        .map(|other| {
            let copy = tempfile::tempdir().expect("folder");
            for name in ["params.json", "consolidated.00.pth", "consolidated.01.pth"] {
                std::fs::copy(folder.path().join(name), copy.path().join(name)).expect("copied");
            }
            let path = copy.path().join(format!("consolidated.0{other}.pth"));
            let mut bytes = std::fs::read(&path).expect("read");
            let names = bytes.len() / 3..bytes.len() * 2 / 3;
            let mut damaged = 0;
            for number in bytes[names].as_chunks_mut::<64>().0 {
                // Numbers only: the archive's own words, between two entries, stay as they are.
                if !number.windows(2).any(|two| two == b"PK") {
                    number[7] ^= 1;
                    damaged += 1;
                }
            }
            assert!(damaged > 100);
            std::fs::write(&path, bytes).expect("damaged");
            copy
        })
        .into();
    assert!(
        Llama::load(&Checkpoint::open(copies[0].path()).expect("headers"), Precision::F64, Device::Cpu)
            .is_err()
    );
    let found = on_ranks(2, |ranks| {
        let checkpoint = Checkpoint::open(copies[ranks.rank()].path()).expect("headers are whole");
        let llama = Llama::sharded(&checkpoint, Precision::F64, Device::Cpu, ranks).expect("its own file");
        everything(&llama, &batch(), &Edits::default(), points.clone())
    });
    for found in found {
        close("a file a rank", &found, &expected, F64);
    }
}

#[test]
fn shares_on_disk_give_the_bits_of_those_in_memory() {
    let (_folder, checkpoint) = model(&shape(9, 3, 41, 50));
    let points: HookSet = HookPoint::all(2).collect();
    let in_memory = sharded(&checkpoint, Precision::F32, 2, |llama| {
        everything(llama, &batch(), &Edits::default(), points.clone())
    });
    let on_disk = on_ranks(2, |ranks| {
        let llama = Llama::streamed_shard(&checkpoint, Precision::F32, Device::Cpu, ranks).expect("a share");
        everything(&llama, &batch(), &Edits::default(), points.clone())
    });
    for (memory, disk) in in_memory.iter().zip(&on_disk) {
        assert!(memory.iter().zip(disk).all(|(a, b)| a.1.equal(&b.1)));
    }
}

/// Quantized rows are cut inside their blocks.
#[cfg(feature = "gguf")]
#[test]
fn quantized_weights_are_divided_inside_their_blocks() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/quantized/quantized.gguf");
    let checkpoint = Checkpoint::open(path).expect("checkpoint");
    let layers = checkpoint.config().n_layers;
    let points: HookSet = HookPoint::all(layers).collect();
    let run = |llama: &Llama| everything(llama, &batch(), &Edits::default(), points.clone());
    let expected = run(&whole(&checkpoint, Precision::F64));
    for size in [2, 3] {
        for found in sharded(&checkpoint, Precision::F64, size, run) {
            close(&format!("{size} ranks"), &found, &expected, F64);
        }
    }
}

#[test]
fn what_a_rank_cannot_do_is_an_error_on_all_of_them() {
    let (_folder, checkpoint) = model(&shape(4, 2, 41, 50));
    let refused = |error: Error| {
        assert!(matches!(error, Error::Shard { .. }) && error.hint().is_some(), "{error}");
        error.to_string()
    };
    for found in on_ranks(5, |ranks| {
        refused(Llama::sharded(&checkpoint, Precision::F64, Device::Cpu, ranks).expect_err("4 heads"))
    }) {
        assert!(found.contains("4 heads cannot be divided among 5 ranks"), "{found}");
    }
    assert!(Llama::check_ranks(checkpoint.config(), 4).is_ok());
    refused(Llama::check_ranks(checkpoint.config(), 5).expect_err("4 heads"));
    sharded(&checkpoint, Precision::F64, 2, |llama| {
        refused(
            llama.forward(&batch(), Forward::new().logits(Tokens::Last).gradients()).expect_err("gradients"),
        );
        refused(llama.trainable().expect_err("training"));
        refused(llama.weight(Weight::Block(0, BlockWeight::O)).expect_err("a part"));
        refused(llama.weight(Weight::Embed).expect_err("a part"));
        assert_eq!(llama.weight(Weight::FinalNorm).expect("a norm").size(), [24]);
    });
    // Other prompts, points, or logits on a rank: an error on both, instead of wrong numbers.
    for (prompt, point, tokens) in [
        ([1, 2, 4], HookPoint::Embed, Tokens::Last),
        ([1, 2, 3], HookPoint::FinalOut, Tokens::Last),
        ([1, 2, 3], HookPoint::Embed, Tokens::All),
    ] {
        for found in sharded(&checkpoint, Precision::F64, 2, |llama| {
            let first = llama.rank().0 == 0;
            let mut capture = Capture::new(if first { HookPoint::Embed } else { point }, Tokens::Last);
            let run = Forward::new().hook(&mut capture);
            let tokens = if first { Tokens::Last } else { tokens.clone() };
            let batch = Batch::new(&[if first { [1, 2, 3] } else { prompt }]).expect("batch");
            llama.forward(&batch, run.logits(tokens)).expect_err("another run")
        }) {
            assert!(refused(found).contains("rank 1 was given other"));
        }
    }
}

#[test]
fn a_rank_that_ends_is_an_error_of_the_others() {
    let (_folder, checkpoint) = model(&shape(4, 2, 41, 50));
    let found = sharded(&checkpoint, Precision::F64, 2, |llama| {
        let run = || llama.forward(&batch(), Forward::new().logits(Tokens::Last));
        if llama.rank().0 == 1 { None } else { run().err() }
    });
    let error = found.into_iter().next().flatten().expect("rank 0's error");
    assert!(matches!(error, Error::Together { rank: 0, .. }) && error.hint().is_some(), "{error}");
}

/// LLaMA 7B, and `SmolLM2` with its large tied embedding: a rank of two takes under 0.6 of either.
#[test]
fn a_rank_takes_its_share_of_the_memory() {
    let smollm2 = Config {
        dim: 576,
        n_layers: 30,
        n_heads: 9,
        n_kv_heads: 3,
        head_dim: 64,
        hidden_dim: 1536,
        vocab_size: 49152,
        tied_embeddings: true,
        ..Config::default()
    };
    for config in [Config::default(), smollm2] {
        for precision in [Precision::F32, Precision::Mixed, Precision::Bf16] {
            let whole = Llama::resident_bytes(&config, precision) as f64;
            let bytes = |ranks| Llama::shard_bytes(&config, precision, ranks).expect("bytes") as f64;
            // Gains of norms are in the stream's type.
            assert!((bytes(1) / whole - 1.0).abs() < 1e-3);
            assert!((0.5..0.6).contains(&(bytes(2) / whole)), "{precision}: {}", bytes(2) / whole);
        }
    }
}

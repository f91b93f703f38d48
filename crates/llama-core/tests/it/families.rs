//! Every family against transformers in float64 (`fixtures/families/make.py`): small random models whose prompts are longer than
//! their windows, alone and in every way in which prompts are run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Action, Activation, Axis, Batch, Capture, Checkpoint, Config, Error, FnHook, Forward, HookPoint, HookSet,
    Kernels, Layers, Llama, Padding, Precision, Sampling, Site, Tokens, families,
};

use crate::support::relative;
use crate::with_hint;

/// Folders with a `config.json`, and the model's family.
const FOLDERS: [(&str, &str); 14] = [
    ("llama_bias", "llama"),
    ("llama_yarn", "llama"),
    ("llama_dynamic", "llama"),
    ("mistral", "mistral"),
    ("qwen2", "qwen2"),
    ("qwen2_window", "qwen2"),
    ("qwen3", "qwen3"),
    ("gemma2", "gemma2"),
    ("gemma3", "gemma3_text"),
    ("olmo2", "olmo2"),
    ("phi3", "phi3"),
    ("phi3_long", "phi3"),
    ("smollm3", "smollm3"),
    ("granite", "granite"),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families")
}

fn prompts() -> Vec<Vec<u32>> {
    let text = std::fs::read_to_string(fixtures().join("prompts.json")).expect("prompts");
    serde_json::from_str(&text).expect("ids")
}

fn expected(case: &str) -> HashMap<String, Tensor> {
    let path = fixtures().join(case).join("expected.safetensors");
    Tensor::read_safetensors(path).expect("expected").into_iter().collect()
}

fn checkpoint(case: &str) -> Checkpoint {
    Checkpoint::open(fixtures().join(case)).expect(case)
}

fn load(checkpoint: &Checkpoint, precision: Precision) -> Llama {
    Llama::load(checkpoint, precision, Device::Cpu).expect("loaded")
}

/// States of all layers \[S, L + 1, D\] and logits \[S, V\], of some tokens.
fn run(llama: &Llama, batch: &Batch, tokens: &Tokens) -> [Tensor; 2] {
    let layers = llama.config().n_layers;
    let mut capture = Capture::new(HookSet::residual_stream(layers), tokens.clone());
    let forward = Forward::new().hook(&mut capture).logits(tokens.clone());
    let logits = llama.forward(batch, forward).expect("run").logits.expect("logits");
    let states: Vec<_> = capture.finish().into_iter().map(|(_, states)| states).collect();
    [Tensor::stack(&states, 1), logits]
}

/// Against transformers, each prompt alone.
fn is_transformers(what: &str, case: &str, llama: &Llama, tolerance: f64) {
    let expected = expected(case);
    for (row, prompt) in prompts().iter().enumerate() {
        let [states, logits] = run(llama, &Batch::new(&[prompt]).expect("batch"), &Tokens::Last);
        for layer in 0..=llama.config().n_layers as i64 {
            let reference = expected[&format!("states.{row}")].get(layer);
            let error = relative(&states.get(0).get(layer), &reference);
            assert!(error < tolerance, "{what}, prompt {row}, layer {layer}: {error:e}");
        }
        let error = relative(&logits.get(0), &expected[&format!("logits.{row}")]);
        assert!(error < tolerance, "{what}, prompt {row}, logits: {error:e}");
    }
}

/// Weights are bf16 in both, and all else is float64: what is left is the order of sums.
const F64: f64 = 1e-10;

#[test]
fn every_family_is_what_transformers_computes() {
    for (case, family) in FOLDERS {
        let checkpoint = checkpoint(case);
        assert_eq!(checkpoint.family().model_type, family);
        is_transformers(case, case, &load(&checkpoint, Precision::F64), F64);
        is_transformers(&format!("{case} in f32"), case, &load(&checkpoint, Precision::F32), 5e-5);
    }
    let tested: Vec<&str> = FOLDERS.iter().map(|(_, family)| *family).collect();
    assert!(families().iter().all(|family| tested.contains(&family.model_type)), "every family has a folder");
}

/// llama.cpp's files: numbers of their metadata are kept in f32.
#[cfg(feature = "gguf")]
#[test]
fn gguf_files_of_every_family_are_the_same_models() {
    let cases =
        FOLDERS.map(|(case, _)| case).into_iter().chain(["gemma2_gguf", "gemma3_gguf", "smollm3_gguf"]);
    let mut tested = Vec::new();
    for case in cases {
        let path = fixtures().join(case).join("model.gguf");
        if !path.exists() {
            continue;
        }
        let checkpoint = Checkpoint::open(path).expect(case);
        is_transformers(&format!("{case}'s GGUF"), case, &load(&checkpoint, Precision::F64), 1e-6);
        tested.push(checkpoint.family().architecture);
    }
    let missing = families().iter().find(|family| !tested.contains(&family.architecture));
    assert!(missing.is_none(), "{missing:?}");
}

/// What TransformerLens calls `hook_attn_out` and `hook_mlp_out` is what is added to the residual stream, and `hook_pattern` is
/// transformers' attentions.
#[test]
fn what_sub_layers_write_is_what_transformers_adds() {
    let points = ["blocks.1.hook_attn_out", "blocks.1.hook_mlp_out", "blocks.1.attn.hook_pattern"];
    for (case, _) in FOLDERS {
        let (llama, expected) = (load(&checkpoint(case), Precision::F64), expected(case));
        let mut capture = Capture::new(HookSet::parse(points, 3).expect("points"), Tokens::All);
        let batch = Batch::new(&prompts()[..1]).expect("batch");
        llama.forward(&batch, Forward::new().hook(&mut capture)).expect("run");
        let captured = capture.finish();
        for (name, kept) in points.into_iter().zip(["attn_out", "mlp_out", "pattern"]) {
            let found = captured.get(name.parse().expect("a point")).expect("captured"); // [T, …]
            let found = found.narrow(0, found.size()[0] - 2, 2);
            let found = if kept == "pattern" { found.transpose(0, 1) } else { found };
            let error = relative(&found, &expected[&format!("sub.{kept}")]);
            assert!(error < F64, "{case}, {name}: {error:e}");
        }
    }
}

/// Every activation whose shape does not depend on the batch's width, and the logits, of all tokens.
fn everything(llama: &Llama, batch: &Batch) -> Vec<(String, Tensor)> {
    let after_only = llama.config().norms == llama_core::BlockNorms::After;
    let in_a_norm =
        |point: &HookPoint| point.to_string().contains(".ln1.") || point.to_string().contains(".ln2.");
    let wanted = |point: &HookPoint| !(point.axes().contains(&Axis::Key) || after_only && in_a_norm(point));
    let points: HookSet = HookPoint::all(llama.config().n_layers).filter(wanted).collect();
    let mut capture = Capture::new(points, Tokens::All);
    llama.forward(batch, Forward::new().hook(&mut capture).logits(Tokens::All)).expect("run");
    capture.finish().into_iter().map(|(point, tensor)| (point.to_string(), tensor)).collect()
}

fn assert_close(what: &str, found: &[(String, Tensor)], reference: &[(String, Tensor)], tolerance: f64) {
    assert_eq!(found.len(), reference.len());
    for ((point, found), (_, reference)) in found.iter().zip(reference) {
        let error = relative(found, reference);
        assert!(error < tolerance, "{what}, {point}: {error:e}");
    }
}

/// Prompts alone, one after the other.
fn alone(llama: &Llama, prompts: &[Vec<u32>]) -> Vec<(String, Tensor)> {
    let each: Vec<_> = prompts.iter().map(|p| everything(llama, &Batch::new(&[p]).expect("batch"))).collect();
    (0..each[0].len())
        .map(|at| {
            let rows: Vec<_> = each.iter().map(|own| &own[at].1).collect();
            (each[0][at].0.clone(), Tensor::cat(&rows, 0))
        })
        .collect()
}

#[test]
fn prompts_in_company_are_what_they_are_alone() {
    for (case, _) in FOLDERS {
        let llama = load(&checkpoint(case), Precision::F64);
        let prompts = prompts();
        let reference = alone(&llama, &prompts);
        for padding in [Padding::Left, Padding::Right] {
            let batch = Batch::padded(&prompts, padding).expect("batch");
            assert_close(&format!("{case}, {padding:?}"), &everything(&llama, &batch), &reference, 1e-12);
        }
        // Two that share their first four tokens, and a third that leaves them later than the window is wide.
        let mut third = prompts[0].clone();
        third.truncate(14);
        third.extend([5, 6, 7]);
        let group = [prompts[0].clone(), prompts[2].clone(), third];
        let batch = Batch::shared(&[&group[..], &prompts[1..2]]).expect("batch");
        assert!(batch.shares());
        let lines = [&group[..], &prompts[1..2]].concat();
        assert_close(&format!("{case}, shared"), &everything(&llama, &batch), &alone(&llama, &lines), 1e-12);
        // Of the last block only what is read.
        let whole = run(&llama, &batch, &Tokens::Last);
        let mut capture = Capture::new(HookPoint::of_layer(llama.config().n_layers), Tokens::Last);
        let lean = Forward::new().hook(&mut capture).reads(Tokens::Last).logits(Tokens::Last);
        let logits = llama.forward(&batch, lean).expect("run").logits.expect("logits");
        assert!(relative(&logits, &whole[1]) < 1e-12, "{case}, lean");
    }
}

#[test]
fn generation_over_the_cache_takes_transformers_tokens() {
    for (case, _) in FOLDERS {
        let llama = load(&checkpoint(case), Precision::F64);
        let sampling = Sampling { temperature: 0.0, max_new_tokens: 8, ..Sampling::default() };
        if case == "phi3_long" {
            // Seventeen tokens and eight more are beyond its original context.
            let error = with_hint(&llama.generate(&prompts(), &sampling).expect_err("too long"));
            assert!(error.contains("prompt 0 has 21 tokens"), "{error}");
            continue;
        }
        let found = llama.generate(&prompts(), &sampling).expect("generated");
        let greedy: Vec<i64> = Vec::try_from(&expected(case)["greedy"]).expect("ids");
        assert_eq!(found[0].iter().map(|&id| i64::from(id)).collect::<Vec<_>>(), greedy, "{case}");
        for (prompt, own) in prompts().iter().zip(&found) {
            let text = [prompt.clone(), own.clone()].concat();
            let [_, logits] = run(&llama, &Batch::new(&[&text]).expect("batch"), &Tokens::All);
            let likeliest: Vec<i64> = Vec::try_from(&logits.argmax(-1, false)).expect("ids");
            let steps = &likeliest[prompt.len() - 1..text.len() - 1];
            assert_eq!(steps, own.iter().map(|&id| i64::from(id)).collect::<Vec<_>>(), "{case}");
        }
    }
}

#[test]
fn kernels_and_models_on_disk_compute_every_family() {
    for (case, _) in FOLDERS {
        let checkpoint = checkpoint(case);
        let batch = Batch::shared(&[&prompts()[..]]).expect("batch");
        let exact = load(&checkpoint, Precision::F64);
        let reference = everything(&exact, &batch);
        let streamed = Llama::streamed(&checkpoint, Precision::F64, Device::Cpu).expect("opened");
        for ((point, found), (_, reference)) in everything(&streamed, &batch).iter().zip(&reference) {
            assert!(found.equal(reference), "{case}, {point}: the same bits from disk");
        }
        let products: Kernels = "attention=products".parse().expect("kernels");
        let other = exact.with_kernels(products).expect("kernels");
        assert_close(&format!("{case}, {products}"), &everything(&other, &batch), &reference, 1e-12);
        let kernels: Kernels = "products=packed,attention=products".parse().expect("kernels");
        let packed = load(&checkpoint, Precision::F32).with_kernels(kernels).expect("kernels");
        let packed: Vec<_> =
            everything(&packed, &batch).into_iter().map(|(p, t)| (p, t.to_kind(Kind::Double))).collect();
        assert_close(&format!("{case}, {kernels}"), &packed, &reference, 1e-4);
        for precision in [Precision::Mixed, Precision::Bf16] {
            let [_, logits] = run(&load(&checkpoint, precision), &batch, &Tokens::Last);
            let [_, plain] = run(&load(&checkpoint, Precision::F64), &batch, &Tokens::Last);
            assert!(relative(&logits, &plain) < 0.2, "{case} in {precision}: {}", relative(&logits, &plain));
        }
    }
}

/// Scores and patterns as hooks see them are those that the kernels compute with.
#[test]
fn a_pattern_that_is_put_back_changes_nothing() {
    for (case, _) in FOLDERS {
        let llama = load(&checkpoint(case), Precision::F64);
        let batch = Batch::shared(&[&prompts()[..]]).expect("batch");
        let reference = run(&llama, &batch, &Tokens::All);
        for site in [Site::AttnScores, Site::Pattern] {
            let points: HookSet = (0..3).map(|i| HookPoint::Block(i, site)).collect();
            // So little that it only takes the other way.
            let mut hook = FnHook::new(points, |activation: &Activation<'_>| {
                Ok(Action::Replace(activation.tensor.f_mul_scalar(1.0 + 1e-15)?))
            });
            let mut capture = Capture::new(HookPoint::of_layer(3), Tokens::All);
            let forward = Forward::new().hook(&mut hook).hook(&mut capture).logits(Tokens::All);
            let logits = llama.forward(&batch, forward).expect("run").logits.expect("logits");
            let error = relative(&logits, &reference[1]);
            assert!(error < 1e-12, "{case}, {site:?}: {error:e}");
        }
    }
}

/// Prompts of several calls' queries: which keys have a weight, query by query, in every layout.
#[test]
fn a_window_is_seen_through_and_nothing_else() {
    let window = 40;
    let config = Config {
        sliding_window: Some(window),
        window_layers: Layers::Only(vec![0, 2]),
        ..crate::support::config()
    };
    let llama = Llama::random(&config, 3, Precision::F64, Device::Cpu).expect("model");
    let long: Vec<u32> = (0..150).map(|i| (i * 7 + i / 11) % 50).collect();
    let patterns: HookSet = [0, 1].map(|i| HookPoint::Block(i, Site::Pattern)).into_iter().collect();
    let mut capture = Capture::new(patterns, Tokens::All);
    let batch = Batch::new(&[&long]).expect("batch");
    llama.forward(&batch, Forward::new().hook(&mut capture)).expect("run");
    let captured = capture.finish();
    for (layer, width) in [(0, window as i64), (1, 150)] {
        let pattern = captured.get(HookPoint::Block(layer, Site::Pattern)).expect("captured"); // [T, H, T]
        let seen = pattern.select(1, 2).gt(0.0); // [T, T]
        let expected = Tensor::ones([150, 150], (Kind::Bool, Device::Cpu)).tril(0).triu(1 - width);
        assert!(seen.equal(&expected), "layer {layer}");
    }
    // By the diagonal's strip, by a mask, by a tree's mask, by products, and with what nobody reads left out.
    let mut other = long[..120].to_vec();
    other.extend([1, 2, 3, 4, 5]);
    let lines = [long.clone(), other.clone(), long[..30].to_vec()];
    let reference = alone(&llama, &lines);
    let left = Batch::padded(&lines, Padding::Left).expect("batch");
    assert_close("left", &everything(&llama, &left), &reference, 1e-12);
    let shared = Batch::shared(&[&lines[..]]).expect("batch");
    assert_close("shared", &everything(&llama, &shared), &reference, 1e-12);
    let llama = llama.with_kernels("attention=products".parse().expect("kernels")).expect("kernels");
    assert_close("products", &alone(&llama, &lines), &reference, 1e-12);
    for batch in [left, shared, Batch::new(&lines).expect("batch")] {
        let mut last = Capture::new(HookPoint::of_layer(3), Tokens::Last);
        llama.forward(&batch, Forward::new().hook(&mut last).reads(Tokens::Last)).expect("run");
        let [whole, _] = run(&llama, &batch, &Tokens::Last);
        let last = last.finish().take(HookPoint::of_layer(3)).expect("captured");
        assert!(relative(&last, &whole.select(1, 3)) < 1e-12);
    }
}

#[test]
fn a_model_without_norms_before_sub_layers_has_no_such_points() {
    let llama = load(&checkpoint("olmo2"), Precision::F32);
    let batch = Batch::new(&prompts()).expect("batch");
    for name in ["blocks.0.ln1.hook_scale", "blocks.2.ln2.hook_normalized"] {
        let point: HookPoint = name.parse().expect("a name");
        let mut capture = Capture::new(point, Tokens::Last);
        let error = llama.forward(&batch, Forward::new().hook(&mut capture)).expect_err("no such norm");
        assert!(matches!(error, Error::NoSuchPoint { .. }) && with_hint(&error).contains(name), "{error}");
    }
    let error = llama.weight(llama_core::Weight::Block(0, llama_core::BlockWeight::Ln1)).expect_err("none");
    assert!(with_hint(&error).contains("Ln1"), "{error}");
}

/// Every weight that a configuration has is counted.
#[test]
fn parameters_are_those_of_the_files() {
    for (case, _) in FOLDERS {
        let checkpoint = checkpoint(case);
        let file = fixtures().join(case).join("model.safetensors");
        let stored = Tensor::read_safetensors(file).expect("weights");
        let numbers: usize = stored.iter().map(|(_, tensor)| tensor.numel()).sum();
        assert_eq!(checkpoint.config().n_params(), numbers as i64, "{case}");
        assert_eq!(checkpoint.stored_bytes().expect("bytes"), 2 * numbers as u64, "{case}");
    }
}

/// Each family in two stages: the bits of the whole, a tied embedding in both of them, local and global layers by their own
/// numbers.
#[test]
fn stages_of_every_family_give_the_bits_of_the_whole() {
    for (case, _) in FOLDERS {
        let checkpoint = checkpoint(case);
        let layers = checkpoint.config().n_layers;
        let stage = |blocks| Llama::stage(&checkpoint, Precision::F32, Device::Cpu, blocks).expect("a stage");
        let (first, second) = (stage(0..1), stage(1..layers));
        let batch = Batch::new(&prompts()).expect("batch");
        let [expected, logits] = run(&load(&checkpoint, Precision::F32), &batch, &Tokens::Last);

        let capture = || Capture::new(HookSet::residual_stream(layers), Tokens::Last);
        let (mut before, mut behind) = (capture(), capture());
        let output =
            first.forward(&batch, Forward::new().hook(&mut before).logits(Tokens::Last)).expect("first");
        let run = Forward::new().hook(&mut behind).logits(Tokens::Last);
        let output = second.forward(&batch, run.entering(output.leaving.expect("a stream"))).expect("second");
        let states: Vec<_> = [before, behind]
            .into_iter()
            .flat_map(|c| c.finish().into_iter())
            .map(|(_, states)| states)
            .collect();
        assert!(Tensor::stack(&states, 1).equal(&expected), "{case}");
        assert!(output.logits.expect("logits").equal(&logits), "{case}");
    }
}

/// Each family on two, three and four ranks, of its heads as many as it has: at every point, what one process shows.
#[test]
fn ranks_that_hold_a_family_together_compute_what_one_process_does() {
    use crate::sharded::threads::on_ranks;
    for (case, _) in FOLDERS {
        let gguf = fixtures().join(case).join("model.gguf");
        let gguf = (cfg!(feature = "gguf") && gguf.exists()).then_some(gguf);
        for path in [Some(fixtures().join(case)), gguf].into_iter().flatten() {
            let checkpoint = Checkpoint::open(&path).expect(case);
            let make = || Batch::shared(&[&prompts()[..]]).expect("batch");
            let reference = everything(&load(&checkpoint, Precision::F64), &make());
            for size in (2..=4).filter(|size| *size <= checkpoint.config().n_heads as usize) {
                for found in on_ranks(size, |ranks| {
                    let llama = Llama::sharded(&checkpoint, Precision::F64, Device::Cpu, ranks).expect(case);
                    everything(&llama, &make())
                }) {
                    assert_close(&format!("{}, {size} ranks", path.display()), &found, &reference, 1e-12);
                }
            }
        }
    }
}

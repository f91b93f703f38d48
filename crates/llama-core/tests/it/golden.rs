//! Against the LLaMA v1 model code run in float64 elsewhere (shared/golden/meta-tiny).

use std::path::Path;

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Batch, Capture, Checkpoint, HookPoint, HookSet, Llama, Padding, Precision, Run, Tokenizer, Tokens,
};

use crate::support::{relative, relative_l2, shared};

struct Golden {
    sides: Vec<Side>,
}

/// Prompts, ids, states \[rows, L + 1, D\] and logits \[rows, V\].
type Side = (Vec<String>, Vec<Vec<u32>>, Tensor, Tensor);

fn golden(folder: &Path) -> Golden {
    let text = std::fs::read_to_string(folder.join("prompts.json")).expect("prompts.json");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).expect("json");
    let sides = ["plus", "minus"].map(|side| {
        let prompts = rows.iter().map(|r| r[format!("{side}_prompt")].as_str().expect("prompt").to_owned());
        let ids =
            rows.iter().map(|r| serde_json::from_value(r[format!("{side}_tokens")].clone()).expect("ids"));
        let states = Tensor::read_npy(folder.join(format!("{side}.npy"))).expect("states");
        let logits = Tensor::read_npy(folder.join(format!("{side}_logits.npy"))).expect("logits");
        (prompts.collect(), ids.collect(), states, logits)
    });
    Golden { sides: sides.into() }
}

/// Residual stream at the last token \[rows, L + 1, D\] and logits \[rows, V\].
fn run(llama: &Llama, ids: &[Vec<u32>], batch_size: usize, padding: Padding) -> (Tensor, Tensor) {
    let n_layers = llama.config().n_layers;
    let (mut states, mut logits) = (Vec::new(), Vec::new());
    for chunk in ids.chunks(batch_size) {
        let batch = Batch::padded(chunk, padding).expect("batch");
        let mut capture = Capture::new(HookSet::residual_stream(n_layers), Tokens::Last);
        let output =
            llama.forward(&batch, Run::new().hook(&mut capture).logits(Tokens::Last)).expect("forward");
        let captured = capture.finish();
        let layers: Vec<_> =
            (0..=n_layers).map(|l| captured.get(HookPoint::of_layer(l)).expect("layer")).collect();
        states.push(Tensor::stack(&layers, 1));
        logits.push(output.logits.expect("logits"));
    }
    (Tensor::cat(&states, 0), Tensor::cat(&logits, 0))
}

#[test]
fn meta_tiny_matches_the_reference() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("golden/meta-tiny");
    let golden = golden(&folder);
    let tokenizer = Tokenizer::open(shared.join("data/llama-tokenizer/tokenizer.model")).expect("tokenizer");
    for (prompts, ids, ..) in &golden.sides {
        for (prompt, expected) in prompts.iter().zip(ids) {
            assert_eq!(&tokenizer.ids(prompt).expect("encode"), expected);
        }
    }
    for layout in ["mp1", "mp2"] {
        let checkpoint = Checkpoint::open(folder.join(layout)).expect(layout);
        tokenizer.check_fits(checkpoint.config()).expect("32,000 tokens");
        let llama = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect(layout);
        for (_, ids, states, logits) in &golden.sides {
            for (batch_size, padding) in
                [(1, Padding::Right), (3, Padding::Right), (3, Padding::Left), (ids.len(), Padding::Right)]
            {
                let (found_states, found_logits) = run(&llama, ids, batch_size, padding);
                let what = format!("{layout}, {batch_size} a batch, {padding:?}");
                for layer in 0..states.size()[1] {
                    let (f, r) = (found_states.select(1, layer), states.select(1, layer));
                    assert!(relative(&f, &r) < 2e-5, "{what}, layer {layer}: {}", relative(&f, &r));
                    assert!(relative_l2(&f, &r) < 2e-5, "{what}, layer {layer}: {}", relative_l2(&f, &r));
                }
                assert!(
                    relative(&found_logits, logits) < 2e-5,
                    "{what}: {}",
                    relative(&found_logits, logits)
                );
                assert!(relative_l2(&found_logits, logits) < 2e-5, "{what}");
            }
        }
    }
}

#[test]
fn float64_reproduces_the_float64_reference() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("golden/meta-tiny");
    let checkpoint = Checkpoint::open(folder.join("mp2")).expect("mp2");
    let llama = Llama::load(&checkpoint, Precision::F64, Device::Cpu).expect("load");
    for (_, ids, states, _) in &golden(&folder).sides {
        let (found, _) = run(&llama, ids, 4, Padding::Right);
        // The reference's weights are in f64, but LLaMA's own code makes its rotation angles in f32: at position 340 an
        // angle is off by up to 340 · 2⁻²⁴ = 2e-5 radians in the fastest turning pair.
        let error = relative(&found, states);
        assert!(error < 1e-5, "{error}");
    }
}

#[test]
fn one_and_two_parts_give_identical_bytes() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("golden/meta-tiny");
    let ids = golden(&folder).sides.remove(0).1;
    let states = ["mp1", "mp2"].map(|layout| {
        let checkpoint = Checkpoint::open(folder.join(layout)).expect(layout);
        let llama = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect(layout);
        run(&llama, &ids, 3, Padding::Right)
    });
    assert!(states[0].0.equal(&states[1].0) && states[0].1.equal(&states[1].1));
}

#[test]
fn lower_precision_drifts_as_its_mantissa_says() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("golden/meta-tiny");
    let checkpoint = Checkpoint::open(folder.join("mp1")).expect("mp1");
    let (_, ids, states, _) = golden(&folder).sides.remove(0);
    let drift = |precision| {
        let llama = Llama::load(&checkpoint, precision, Device::Cpu).expect("load");
        let (found, _) = run(&llama, &ids, 4, Padding::Right);
        assert_eq!(found.kind(), if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float });
        relative_l2(&found, &states)
    };
    // bf16 keeps 8 bits, 2⁻⁹ = 0.2 % a rounding; this model's first block makes the stream seven times longer, and its
    // error with it. A product or a norm left in the wrong type would show as f32's 1e-6 or as more than this.
    for precision in [Precision::Bf16, Precision::Mixed] {
        let error = drift(precision);
        assert!((1e-3..0.1).contains(&error), "{precision}: {error}");
    }
}

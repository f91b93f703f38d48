//! Against reference results computed elsewhere (shared/golden): LLaMA v1's model code in float64, transformers.

use std::collections::HashMap;
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
                let found = run(&llama, ids, batch_size, padding);
                let what = format!("{layout}, {batch_size} a batch, {padding:?}");
                assert_close(&what, &found, (states, logits), Tolerance::all(2e-5));
            }
        }
    }
}

/// What a comparison allows.
#[derive(Clone, Copy)]
struct Tolerance {
    /// Of a layer's largest value.
    largest: f64,
    /// Relative L2 error of each row.
    l2: f64,
    /// Both, of logits.
    logits: f64,
}

impl Tolerance {
    const fn all(tolerance: f64) -> Self {
        Self { largest: tolerance, l2: tolerance, logits: tolerance }
    }
}

fn assert_close(what: &str, found: &(Tensor, Tensor), reference: (&Tensor, &Tensor), allowed: Tolerance) {
    for layer in 0..reference.0.size()[1] {
        let (f, r) = (found.0.select(1, layer), reference.0.select(1, layer));
        let (largest, l2) = (relative(&f, &r), relative_l2(&f, &r));
        assert!(
            largest < allowed.largest && l2 < allowed.l2,
            "{what}, layer {layer}: {largest} of the largest, L2 {l2}"
        );
    }
    let (largest, l2) = (relative(&found.1, reference.1), relative_l2(&found.1, reference.1));
    assert!(
        largest < allowed.logits && l2 < allowed.logits,
        "{what}, logits: {largest} of the largest, L2 {l2}"
    );
}

/// transformers in float64 with float64 rotation angles, made by `fixtures/llama3/make.py`: grouped queries, a `head_dim` of
/// its own, LLaMA 3's rope scaling with a wavelength between stretched and not, prompts beyond the original context.
#[test]
fn a_llama_3_in_hugging_faces_layout_matches_transformers() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama3"));
    let text = std::fs::read_to_string(folder.join("prompts.json")).expect("prompts");
    let ids: Vec<Vec<u32>> = serde_json::from_str(&text).expect("ids");
    let expected: HashMap<String, Tensor> = Tensor::read_safetensors(folder.join("expected.safetensors"))
        .expect("expected")
        .into_iter()
        .collect();
    let of = |what: &str| {
        Tensor::stack(&(0..3).map(|row| &expected[&format!("{what}.{row}")]).collect::<Vec<_>>(), 0)
    };
    let (states, logits, last) = (of("states"), of("logits"), of("final"));
    let checkpoint = Checkpoint::open(folder).expect("open");
    assert_eq!(checkpoint.stored_as().expect("types"), ["bf16"]);
    // In float64 what remains is transformers' RMSNorm, which computes in float32.
    for (precision, tolerance) in [(Precision::F64, 1e-6), (Precision::F32, 2e-5)] {
        let llama = Llama::load(&checkpoint, precision, Device::Cpu).expect("load");
        let found = run(&llama, &ids, 2, Padding::Right);
        assert_close(&precision.to_string(), &found, (&states, &logits), Tolerance::all(tolerance));
        // Hugging Face's last hidden state has a name of its own.
        let mut capture = Capture::new(HookPoint::FinalOut, Tokens::Last);
        llama.forward(&Batch::new(&ids).expect("batch"), Run::new().hook(&mut capture)).expect("run");
        let captured = capture.finish();
        assert!(relative(captured.get(HookPoint::FinalOut).expect("final"), &last) < tolerance);
    }
}

/// A LLaMA 3 as Meta ships it, written by `torch.save` (`fixtures/llama3_meta/make.py`): two parts with the embedding split
/// along the vocabulary, scaled rotary wavelengths, tiktoken ranks; against transformers in float64 and tiktoken.
#[test]
fn a_llama_3_in_metas_layout_matches_transformers_and_tiktoken() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama3_meta"));
    let text = std::fs::read_to_string(folder.join("prompts.json")).expect("prompts");
    let rows: serde_json::Value = serde_json::from_str(&text).expect("json");
    let prompts: Vec<String> = serde_json::from_value(rows["prompts"].clone()).expect("prompts");
    let ids: Vec<Vec<u32>> = serde_json::from_value(rows["ids"].clone()).expect("ids");
    let checkpoint = Checkpoint::open(folder).expect("open");
    assert_eq!(checkpoint.layout(), "Meta, 2 parts");
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    tokenizer.check_fits(checkpoint.config()).expect("300 ranks and 256 special tokens");
    for (prompt, expected) in prompts.iter().zip(&ids) {
        assert_eq!(&tokenizer.ids(prompt).expect("encode"), expected, "{prompt}");
    }
    let expected: HashMap<String, Tensor> = Tensor::read_safetensors(folder.join("expected.safetensors"))
        .expect("expected")
        .into_iter()
        .collect();
    let of = |what: &str| {
        Tensor::stack(&(0..2).map(|row| &expected[&format!("{what}.{row}")]).collect::<Vec<_>>(), 0)
    };
    let llama = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect("load");
    let (mut states, logits) = run(&llama, &ids, 2, Padding::Right);
    states = states.narrow(1, 0, 2); // transformers' last hidden state is after the final norm
    assert_close("meta", &(states, logits), (&of("states"), &of("logits")), Tolerance::all(2e-5));
}

#[test]
fn hf_llama3_tiny_matches_the_reference() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("golden/hf-llama3-tiny");
    let golden = golden(&folder);
    let checkpoint = Checkpoint::open(folder.join("model")).expect("open");
    assert_eq!(checkpoint.layout(), "Hugging Face, 3 files");
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    tokenizer.check_fits(checkpoint.config()).expect("2,000 tokens");
    let llama = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect("load");
    for (prompts, ids, states, logits) in &golden.sides {
        for (prompt, expected) in prompts.iter().zip(ids) {
            assert_eq!(&tokenizer.ids(prompt).expect("encode"), expected);
        }
        for (batch_size, padding) in [(1, Padding::Right), (3, Padding::Left), (ids.len(), Padding::Right)] {
            let found = run(&llama, ids, batch_size, padding);
            assert_close(&format!("{batch_size} a batch"), &found, (states, logits), Tolerance::all(2e-5));
        }
    }
}

/// `cargo xtask fetch smollm2` puts it there; tests do not download.
#[cfg(feature = "gguf")]
fn smollm2() -> Option<std::path::PathBuf> {
    let models = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.models"));
    let path = models.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    if path.exists() {
        return Some(path);
    }
    crate::support::skipped(&format!("no {} (`cargo xtask fetch smollm2`)", path.display()));
    None
}

#[cfg(feature = "gguf")]
#[test]
fn smollm2_matches_transformers_on_its_dequantised_weights() {
    let (Some(shared), Some(path)) = (shared(), smollm2()) else { return };
    let golden = golden(&shared.join("golden/smollm2-135m"));
    let checkpoint = Checkpoint::open(path).expect("open");
    assert_eq!(checkpoint.layout(), "GGUF version 3");
    assert_eq!(checkpoint.stored_as().expect("types"), ["Q4_1", "Q8_0", "f32"]);
    assert_eq!(checkpoint.config().n_params(), 134_515_008);
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    tokenizer.check_fits(checkpoint.config()).expect("49,152 tokens");
    // The reference's logits are kept in f16. bf16 keeps 8 bits, and what the last block takes away of the stream's largest
    // values leaves their rounding behind: transformers' own bf16 ends at 2.6e-2, a stream in f32 does not.
    let f32 = Tolerance { logits: 5e-4, ..Tolerance::all(2e-5) };
    let mixed = Tolerance { largest: 2e-2, l2: 2e-2, logits: 8e-2 };
    let bf16 = Tolerance { largest: 2.6e-2, l2: 4e-2, logits: 8e-2 };
    for (precision, allowed) in [(Precision::F32, f32), (Precision::Mixed, mixed), (Precision::Bf16, bf16)] {
        let llama = Llama::load(&checkpoint, precision, Device::Cpu).expect("load");
        for (prompts, ids, states, logits) in &golden.sides {
            for (prompt, expected) in prompts.iter().zip(ids) {
                assert_eq!(&tokenizer.ids(prompt).expect("encode"), expected);
            }
            let found = run(&llama, ids, 3, Padding::Right);
            assert_close(&precision.to_string(), &found, (states, &logits.to_kind(Kind::Float)), allowed);
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

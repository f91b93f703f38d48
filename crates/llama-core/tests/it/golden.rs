//! Against reference results computed by other programs in float64: the checkout's own (`tests/golden/make.py`: LLaMA's
//! mathematics in PyTorch, transformers), and larger ones where the shared material is.

#[cfg(feature = "gguf")]
mod smollm2;

use std::collections::HashMap;
use std::path::Path;

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Action, Activation, Batch, Capture, Checkpoint, FnHook, Forward, Hook, HookPoint, HookSet, Llama,
    Padding, Precision, Tokenizer, Tokens,
};

use test_material::shared;

use crate::rounding::{Errors, ROUNDINGS, Rounding};
use crate::support::relative;

struct Golden {
    sides: Vec<Side>,
}

/// Prompts, ids, states \[rows, L + 1, D\] and logits \[rows, V\].
type Side = (Vec<String>, Vec<Vec<u32>>, Tensor, Tensor);

/// What stands in `folder`: `prompts.json` with `expected.safetensors`, or with an `.npy` file a side.
fn golden(folder: &Path) -> Golden {
    let text = std::fs::read_to_string(folder.join("prompts.json")).expect("prompts.json");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).expect("json");
    let expected = folder.join("expected.safetensors");
    let expected: Option<HashMap<String, Tensor>> = expected
        .exists()
        .then(|| Tensor::read_safetensors(expected).expect("expected").into_iter().collect());
    let sides = ["plus", "minus"].map(|side| {
        let prompts = rows.iter().map(|r| r[format!("{side}_prompt")].as_str().expect("prompt").to_owned());
        let ids =
            rows.iter().map(|r| serde_json::from_value(r[format!("{side}_tokens")].clone()).expect("ids"));
        let npy = |name: String| Tensor::read_npy(folder.join(name)).expect("an array");
        let (states, logits) = match &expected {
            None => (npy(format!("{side}.npy")), npy(format!("{side}_logits.npy"))),
            Some(tensors) => {
                let of = |what: &str| {
                    let row = |i: usize| &tensors[&format!("{side}.{what}.{i}")];
                    Tensor::stack(&(0..rows.len()).map(row).collect::<Vec<_>>(), 0)
                };
                (of("states"), of("logits"))
            }
        };
        (prompts.collect(), ids.collect(), states, logits)
    });
    Golden { sides: sides.into() }
}

/// Residual stream at the last token \[rows, L + 1, D\] and logits \[rows, V\].
fn run(llama: &Llama, ids: &[Vec<u32>], batch_size: usize, padding: Padding) -> (Tensor, Tensor) {
    run_with(llama, ids, batch_size, padding, None)
}

/// The same with a hook that visits before states are taken.
fn run_with(
    llama: &Llama,
    ids: &[Vec<u32>],
    batch_size: usize,
    padding: Padding,
    mut hook: Option<&mut dyn Hook>,
) -> (Tensor, Tensor) {
    let n_layers = llama.config().n_layers;
    let (mut states, mut logits) = (Vec::new(), Vec::new());
    for chunk in ids.chunks(batch_size) {
        let batch = Batch::padded(chunk, padding).expect("batch");
        let mut capture = Capture::new(HookSet::residual_stream(n_layers), Tokens::Last);
        let mut nothing = FnHook::new(HookSet::new(), |_: &Activation<'_>| Ok(Action::Keep));
        let mut first: &mut dyn Hook = match &mut hook {
            Some(hook) => *hook,
            None => &mut nothing,
        };
        let request = Forward::new().hook(&mut first).hook(&mut capture).logits(Tokens::Last);
        let output = llama.forward(&batch, request).expect("forward");
        let captured = capture.finish();
        let layers: Vec<_> =
            (0..=n_layers).map(|l| captured.get(HookPoint::of_layer(l)).expect("layer")).collect();
        states.push(Tensor::stack(&layers, 1));
        logits.push(output.logits.expect("logits"));
    }
    (Tensor::cat(&states, 0), Tensor::cat(&logits, 0))
}

/// The model's own tokenizer gives the reference's ids, and the model its states and logits.
fn check(checkpoint: &Checkpoint, golden: &Golden, what: &str, precision: Precision, tolerance: f64) {
    let tokenizer = checkpoint.tokenizer().expect(what);
    let llama = Llama::load(checkpoint, precision, Device::Cpu).expect(what);
    for (prompts, ids, states, logits) in &golden.sides {
        for (prompt, expected) in prompts.iter().zip(ids) {
            assert_eq!(&tokenizer.ids(prompt).expect("encode"), expected, "{what}: {prompt:?}");
        }
        for (batch_size, padding) in [(1, Padding::Right), (3, Padding::Left), (ids.len(), Padding::Right)] {
            let what = format!("{what} in {precision}, {batch_size} a batch, {padding:?}");
            let found = run(&llama, ids, batch_size, padding);
            assert_close(&what, &found, (states, logits), tolerance);
        }
    }
}

/// f64 has 53 bits, and sums here have at most 400 terms in each of 3 blocks: 1e-11 leaves two digits over for a stream
/// whose largest value is ten times its others. f32 has 24 bits, 29 fewer.
const F64: f64 = 1e-11;
const F32: f64 = 2e-5;

#[test]
fn a_llama_is_its_mathematics_in_every_layout() {
    let folder = test_material::golden("llama");
    let golden = golden(&folder);
    for (layout, described) in [
        ("meta-1", "Meta, 1 part"),
        ("meta-2", "Meta, 2 parts"),
        ("hugging-face", "Hugging Face, 3 files"),
        #[cfg(feature = "gguf")]
        ("llama-f16.gguf", "GGUF version 3"),
    ] {
        let checkpoint = Checkpoint::open(folder.join(layout)).expect(layout);
        assert_eq!(checkpoint.layout(), described);
        for (precision, tolerance) in [(Precision::F64, F64), (Precision::F32, F32)] {
            check(&checkpoint, &golden, layout, precision, tolerance);
        }
    }
}

#[test]
fn a_llama_3_with_its_tokenizer_matches_transformers() {
    let folder = test_material::golden("llama3");
    let checkpoint = Checkpoint::open(&folder).expect("open");
    assert_eq!(checkpoint.layout(), "Hugging Face, 3 files");
    // Factors of wavelengths are kept in f32, as GGUF files have them: half a unit in the last place, 3e-8, of an angle of
    // up to 130 radians at position 330.
    for (precision, tolerance) in [(Precision::F64, 1e-5), (Precision::F32, F32)] {
        check(&checkpoint, &golden(&folder), "llama3", precision, tolerance);
    }
}

#[cfg(feature = "gguf")]
#[test]
fn quantized_weights_match_transformers_on_what_they_stand_for() {
    let folder = test_material::golden("quantized");
    let checkpoint = Checkpoint::open(folder.join("quantized.gguf")).expect("open");
    assert_eq!(checkpoint.stored_as().expect("types"), ["Q4_1", "Q8_0", "f32"]);
    // A weight is a product and a sum in f32, rounded once or twice: 1e-7 of it.
    for (precision, tolerance) in [(Precision::F64, 2e-6), (Precision::F32, F32)] {
        check(&checkpoint, &golden(&folder), "quantized", precision, tolerance);
    }
}

#[test]
fn meta_tiny_matches_the_reference() {
    let Some((folder, tokenizer)) = shared("golden/meta-tiny").zip(shared("data/llama-tokenizer")) else {
        return;
    };
    let golden = golden(&folder);
    let tokenizer = Tokenizer::open(tokenizer.join("tokenizer.model")).expect("tokenizer");
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
                assert_close(&what, &found, (states, logits), 2e-5);
            }
        }
    }
}

fn assert_close(what: &str, found: &(Tensor, Tensor), reference: (&Tensor, &Tensor), tolerance: f64) {
    let errors = Errors::of(found, reference);
    let above = errors.above(&errors.allowing(0.0, tolerance, tolerance));
    assert!(above.is_none(), "{what}, {above:?}");
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
        assert_close(&precision.to_string(), &found, (&states, &logits), tolerance);
        // Hugging Face's last hidden state has a name of its own.
        let mut capture = Capture::new(HookPoint::FinalOut, Tokens::Last);
        llama.forward(&Batch::new(&ids).expect("batch"), Forward::new().hook(&mut capture)).expect("run");
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
    assert_close("meta", &(states, logits), (&of("states"), &of("logits")), 2e-5);
}

#[test]
fn hf_llama3_tiny_matches_the_reference() {
    let Some(folder) = shared("golden/hf-llama3-tiny") else { return };
    let checkpoint = Checkpoint::open(folder.join("model")).expect("open");
    assert_eq!(checkpoint.layout(), "Hugging Face, 3 files");
    check(&checkpoint, &golden(&folder), "hf-llama3-tiny", Precision::F32, F32);
}

/// What moving every number by a rounding does to a model.
fn rounding(exact: &Llama, ids: &[Vec<u32>], plain: &(Tensor, Tensor), precision: Precision) -> Errors {
    let mut hook = Rounding::new(precision, exact.config().n_layers, 0);
    Errors::of(&run_with(exact, ids, 3, Padding::Right, Some(&mut hook)), (&plain.0, &plain.1))
}

#[test]
fn one_and_two_parts_give_identical_bytes() {
    let folder = test_material::golden("llama");
    let ids = golden(&folder).sides.remove(0).1;
    let states = ["meta-1", "meta-2"].map(|layout| {
        let checkpoint = Checkpoint::open(folder.join(layout)).expect(layout);
        let llama = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect(layout);
        run(&llama, &ids, 3, Padding::Right)
    });
    assert!(states[0].0.equal(&states[1].0) && states[0].1.equal(&states[1].1));
}

#[test]
fn lower_precision_drifts_as_its_mantissa_says() {
    let folder = test_material::golden("llama");
    let checkpoint = Checkpoint::open(folder.join("meta-1")).expect("one part");
    let (_, ids, states, logits) = golden(&folder).sides.remove(0);
    let loaded = |precision| Llama::load(&checkpoint, precision, Device::Cpu).expect("load");
    let exact = loaded(Precision::F32);
    let plain = run(&exact, &ids, 3, Padding::Right);
    for precision in [Precision::Bf16, Precision::Mixed] {
        let found = run(&loaded(precision), &ids, 3, Padding::Right);
        let stream = if precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
        assert_eq!(found.0.kind(), stream);
        let errors = Errors::of(&found, (&states, &logits));
        let rounding = rounding(&exact, &ids, &plain, precision);
        let above = errors.above(&rounding.allowing(ROUNDINGS, F32, F32));
        assert!(above.is_none(), "{precision}, {above:?}");
        // A product or a norm left in f32 would show as less than rounding does.
        let below = rounding.above(&errors.allowing(ROUNDINGS, F32, F32));
        assert!(below.is_none(), "{precision}, {below:?}");
    }
}

//! Our hook points against what Hugging Face's modules take and give: `fixtures/make_hf_names.py` ran transformers once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use llama_core::names::{self, Relation};
use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Batch, Capture, Captured, Checkpoint, Error, Forward, HookPoint, HookSet, Llama, Precision, Tokens,
};
use safetensors::SafeTensors;

use crate::support::relative;

const PROMPT: [u32; 7] = [1, 5, 9, 13, 17, 21, 3];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hf-names")
}

/// What transformers' modules took and gave, by name.
fn hugging_face() -> BTreeMap<String, Tensor> {
    let bytes = std::fs::read(fixture().join("activations.safetensors")).expect("fixture");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensor = |view: safetensors::tensor::TensorView<'_>| {
        let values: Vec<f32> = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        Tensor::from_slice(&values).view(shape.as_slice())
    };
    file.tensors().into_iter().map(|(name, view)| (name, tensor(view))).collect()
}

fn ours() -> Captured {
    let checkpoint = Checkpoint::open(fixture()).expect("a Hugging Face folder");
    let llama = Llama::load(&checkpoint, Precision::F64, Device::Cpu).expect("load");
    let mut capture = Capture::new(HookSet::parse(["*"], 2).expect("all"), Tokens::All);
    let batch = Batch::new(&[PROMPT]).expect("batch");
    llama.forward(&batch, Forward::new().hook(&mut capture).logits(Tokens::All)).expect("forward");
    capture.finish()
}

/// Ours in Hugging Face's layout: queries before heads for patterns, heads side by side where reshaped.
fn as_theirs(ours: &Tensor, theirs: &Tensor) -> Tensor {
    let ours = if theirs.size().len() == 3 { ours.transpose(0, 1) } else { ours.copy() }; // [H, T, T]
    ours.reshape(theirs.size().as_slice())
}

/// Theirs were computed in f32, in two blocks of products of some twenty terms: √20 · 2⁻²⁴ a product, fourteen of them one
/// after another, are 1e-6 of a value's size. Another activation differs by more than 1e-2.
const F32: f64 = 1e-5;

#[test]
fn points_are_hugging_faces_modules_as_the_table_says() {
    let (theirs, ours) = (hugging_face(), ours());
    let mut compared = 0;
    for (point, tensor) in ours.iter() {
        let names = names::of(point, 2);
        let state = names.hidden_state.map(|i| format!("hidden_states[{i}]"));
        for name in names.hugging_face.map(|n| n.name).into_iter().chain(state) {
            let theirs = theirs.get(&name).unwrap_or_else(|| panic!("{name} is no name of transformers'"));
            let error = relative(&as_theirs(tensor, theirs), theirs);
            assert!(error < F32, "{point} = {name}: {error}");
            compared += 1;
        }
    }
    assert_eq!(
        compared,
        2 * 13 + 3 + 5,
        "names in blocks and outside, and states, which each block's input has too"
    );
    // The other names that are found.
    let mut found = 0;
    for (name, theirs) in &theirs {
        let Some(meaning) = names::find(name).filter(|_| !name.starts_with("hidden_states")) else {
            continue;
        };
        let tensor = ours.get(meaning.point).expect("captured");
        let error = relative(&as_theirs(tensor, theirs), theirs);
        match meaning.relation {
            Relation::Differs => assert!(error > 1e-2, "{name} differs from {}: {error}", meaning.point),
            _ => assert!(error < F32, "{name} is {}: {error}", meaning.point),
        }
        found += 1;
    }
    assert!(found > 40, "{found}");
}

#[test]
fn the_last_hidden_state_is_after_the_final_norm_and_its_gain() {
    let (theirs, ours) = (hugging_face(), ours());
    let last = &theirs["hidden_states[2]"];
    let distance = |point| relative(ours.get(point).expect("captured"), last);
    assert!(distance(HookPoint::FinalOut) < F32);
    assert!(distance(HookPoint::FinalNormalized) > 1e-2, "before the gain");
    assert!(distance(HookPoint::resid_post(1)) > 1e-2, "before the norm");
    let block = relative(ours.get(HookPoint::resid_post(1)).expect("captured"), &theirs["model.norm.input"]);
    assert!(block < F32);
    assert_eq!(last.kind(), Kind::Float);
}

#[test]
fn whoever_types_another_librarys_name_is_told_ours() {
    for (theirs, ours) in [
        ("model.layers.1.mlp.down_proj", "did you mean `blocks.1.hook_mlp_out`?"),
        ("layers.0.self_attn.o_proj.input", "did you mean `blocks.0.attn.hook_z`? (heads side by side"),
        ("model.layers.*.self_attn.q_proj", "did you mean `blocks.*.attn.hook_q`?"),
        ("model.layers.1.input_layernorm", "(that is after the gain, ours before it)"),
        ("output_hidden_states[2]", "did you mean `blocks.1.hook_resid_post`? (but the last"),
        ("hidden_states[-1]", "did you mean `ln_final.hook_out`?"),
        ("lm_head", "did you mean `unembed.hook_out`?"),
        ("l_out-1", "did you mean `blocks.1.hook_resid_post`?"),
        ("ffn_inp-{0,1}", "did you mean `blocks.0.hook_resid_mid`?"),
        ("result_norm", "did you mean `ln_final.hook_out`?"),
    ] {
        let error = HookSet::parse([theirs], 2).expect_err(theirs);
        assert!(matches!(error, Error::UnknownHookPoint { .. }));
        assert!(error.to_string().contains(ours), "{error}");
    }
}

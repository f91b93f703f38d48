//! A prompt's activations do not depend on its neighbors in the batch, on either side of padding.

use crate::with_hint;
use llama_core::tch::Tensor;
use llama_core::{Batch, Capture, Forward, HookSet, Llama, Padding, Precision, Tokens};
use proptest::prelude::*;

use crate::support::{prompts, random, relative};

fn states(llama: &Llama, prompts: &[Vec<u32>], padding: Padding) -> (Vec<Tensor>, Tensor) {
    let batch = Batch::padded(prompts, padding).expect("batch");
    let mut capture = Capture::new(HookSet::residual_stream(3), Tokens::All);
    let output = llama.forward(&batch, Forward::new().hook(&mut capture).logits(Tokens::All)).expect("run");
    (capture.finish().into_iter().map(|(_, t)| t).collect(), output.logits.expect("logits"))
}

/// In f64 the order of additions is all that can differ: 1e-12 of the largest value.
fn padded_equals_alone(prompts: &[Vec<u32>], padding: Padding) {
    let llama = random(Precision::F64);
    let (together, logits) = states(&llama, prompts, padding);
    let alone: Vec<_> = prompts.iter().map(|p| states(&llama, std::slice::from_ref(p), padding)).collect();
    for (layer, together) in together.iter().enumerate() {
        let one_by_one: Vec<_> = alone.iter().map(|(states, _)| &states[layer]).collect();
        let error = relative(together, &Tensor::cat(&one_by_one, 0));
        assert!(error < 1e-12, "layer {layer}, {padding:?}: {error}");
    }
    let one_by_one: Vec<_> = alone.iter().map(|(_, logits)| logits).collect();
    assert!(relative(&logits, &Tensor::cat(&one_by_one, 0)) < 1e-12);
}

#[test]
fn padded_equals_alone_on_both_sides() {
    padded_equals_alone(&prompts(), Padding::Right);
    padded_equals_alone(&prompts(), Padding::Left);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_prompts_in_any_company(
        prompts in prop::collection::vec(prop::collection::vec(0u32..50, 1..12), 1..6),
        left in any::<bool>(),
    ) {
        padded_equals_alone(&prompts, if left { Padding::Left } else { Padding::Right });
    }
}

#[test]
fn what_is_no_prompt_is_refused() {
    let error = with_hint(&Batch::new(&[vec![1u32], vec![]]).expect_err("empty prompt"));
    assert!(error.contains("prompt 1"), "{error}");
    let batch = Batch::new(&[vec![1u32], vec![4, 50, 3]]).expect("batch");
    let error =
        random(Precision::F32).forward(&batch, Forward::new().logits(Tokens::Last)).expect_err("id 50 of 50");
    assert!(error.to_string().contains("prompt 1, token 1"), "{error}");
}

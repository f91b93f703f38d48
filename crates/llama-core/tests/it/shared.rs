//! Prompts that share their beginnings have the activations they have alone.

use crate::with_hint;
use llama_core::tch::Tensor;
use llama_core::{Axis, Batch, Capture, Forward, HookPoint, HookSet, Precision, Tokens};
use proptest::prelude::*;

use crate::support::{random, relative};

/// All activations whose shape does not depend on the batch's width, and the logits.
fn activations(batch: &Batch, precision: Precision) -> Vec<(HookPoint, Tensor)> {
    let llama = random(precision);
    let of_tokens = |point: &HookPoint| !point.axes().contains(&Axis::Key);
    let points: HookSet = HookPoint::all(llama.config().n_layers).filter(of_tokens).collect();
    let mut capture = Capture::new(points, Tokens::All);
    llama.forward(batch, Forward::new().hook(&mut capture).logits(Tokens::All)).expect("run");
    capture.finish().into_iter().collect()
}

fn shared_equals_alone(groups: &[Vec<Vec<u32>>], precision: Precision, tolerance: f64) {
    let shared = activations(&Batch::shared(groups).expect("batch"), precision);
    let prompts = groups.concat();
    let alone: Vec<_> =
        prompts.iter().map(|p| activations(&Batch::new(&[p]).expect("batch"), precision)).collect();
    for (at, (point, together)) in shared.iter().enumerate() {
        let alone: Vec<_> = alone.iter().map(|activations| &activations[at].1).collect();
        let error = relative(together, &Tensor::cat(&alone, 0));
        assert!(error < tolerance, "{point}: {error}");
    }
}

#[test]
fn pairs_and_templates_equal_their_prompts_alone() {
    // A contrast pair; a pair whose answers differ in length; three templates of one passage; a lone prompt.
    let groups = vec![
        vec![vec![1, 5, 6, 7, 8], vec![1, 5, 6, 7, 9]],
        vec![vec![1, 7, 7, 3], vec![1, 7, 7, 4, 4]],
        vec![vec![1, 9, 9, 2, 3], vec![1, 9, 9, 2, 4], vec![1, 9, 9, 5, 3], vec![2, 9, 9], vec![1, 9]],
        vec![vec![40, 41]],
    ];
    // In f64 the order of additions is all that can differ; in f32 as much as batching may change.
    shared_equals_alone(&groups, Precision::F64, 1e-12);
    shared_equals_alone(&groups, Precision::F32, 2e-5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_prompts_in_any_groups(
        groups in prop::collection::vec(prop::collection::vec(prop::collection::vec(0u32..4, 1..10), 1..6), 1..4)
    ) {
        shared_equals_alone(&groups, Precision::F64, 1e-12);
    }
}

#[test]
fn what_is_shared_is_laid_out_once() {
    let pair = [vec![1u32; 50], [vec![1u32; 49], vec![2]].concat()];
    assert_eq!(Batch::shared_len(&pair), 51);
    assert_eq!(Batch::shared(&[&pair[..]]).expect("batch").shape(), (1, 51));
    assert_eq!(Batch::shared(&[&pair[..1]]).expect("batch").shape(), (1, 50));
    assert_eq!(Batch::shared(&[&pair[..]]).expect("batch").lengths(), [50, 50]);
    let error = with_hint(&Batch::shared(&[vec![vec![1u32]], vec![vec![2], vec![]]]).expect_err("no tokens"));
    assert!(error.contains("prompt 2"), "{error}");
}

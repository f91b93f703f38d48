//! A real model against transformers in float32 on its dequantized weights: in f32 to f32's precision, in bf16 and mixed
//! to what rounding does to this model, which a mistake exceeds.

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Action, Activation, Checkpoint, Config, FnHook, Hook, HookPoint, HookSet, Llama, Padding, Precision, Site,
};
use test_material::shared;

use super::{F32, Side, golden, rounding, run, run_with};
use crate::rounding::{Errors, ROUNDINGS};

/// The reference's logits are kept in f16, which has 11 bits.
const F16: f64 = 5e-4;

#[test]
fn matches_transformers_on_its_dequantized_weights() {
    let Some((path, folder)) = test_material::smollm2().zip(shared("golden/smollm2-135m")) else { return };
    let golden = golden(&folder);
    let checkpoint = Checkpoint::open(path).expect("open");
    assert_eq!(checkpoint.layout(), "GGUF version 3");
    assert_eq!(checkpoint.stored_as().expect("types"), ["Q4_1", "Q8_0", "f32"]);
    assert_eq!(checkpoint.config().n_params(), 134_515_008);
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    tokenizer.check_fits(checkpoint.config()).expect("49,152 tokens");
    for (prompts, ids, ..) in &golden.sides {
        for (prompt, expected) in prompts.iter().zip(ids) {
            assert_eq!(&tokenizer.ids(prompt).expect("encode"), expected);
        }
    }
    let loaded = |precision| Llama::load(&checkpoint, precision, Device::Cpu).expect("load");
    let [exact, mixed, bf16] = [Precision::F32, Precision::Mixed, Precision::Bf16].map(loaded);
    // Both sides at once: the largest of more rows is a steadier measure of what rounding does.
    let ids: Vec<Vec<u32>> = golden.sides.iter().flat_map(|(_, ids, ..)| ids.clone()).collect();
    let both = |of: fn(&Side) -> &Tensor| Tensor::cat(&golden.sides.iter().map(of).collect::<Vec<_>>(), 0);
    let (states, logits) = (both(|side| &side.2), both(|side| &side.3).to_kind(Kind::Float));
    let plain = run(&exact, &ids, 3, Padding::Right);
    let exactly = Errors::of(&plain, (&states, &logits)).allowing(0.0, F32, F16);
    let within = |what: &str, found: &(Tensor, Tensor), allowed: &Errors| {
        let above = Errors::of(found, (&states, &logits)).above(allowed);
        assert!(above.is_none(), "{what}, {above:?}");
    };
    within("f32", &plain, &exactly);
    let by_rounding = |precision| rounding(&exact, &ids, &plain, precision).allowing(ROUNDINGS, F32, F16);
    let (in_mixed, in_bf16) = (by_rounding(Precision::Mixed), by_rounding(Precision::Bf16));
    within("mixed", &run(&mixed, &ids, 3, Padding::Right), &in_mixed);
    let in_bf16_only = run(&bf16, &ids, 3, Padding::Right);
    within("bf16", &in_bf16_only, &in_bf16);

    // What is allowed leaves mistakes to be seen.
    let stream = Errors::of(&in_bf16_only, (&states, &logits)).above(&in_mixed);
    assert!(stream.is_some(), "a residual stream in bf16 is not mixed");
    let (shortest, _) = ids.iter().enumerate().min_by_key(|(_, ids)| ids.len()).expect("prompts");
    let row = |of: &Tensor| of.narrow(0, shortest as i64, 1);
    for mut mistake in mistakes(exact.config()) {
        let hook = mistake.hook.as_mut();
        let found = run_with(&exact, &ids[shortest..=shortest], 1, Padding::Right, Some(hook));
        let errors = Errors::of(&found, (&row(&states), &row(&logits)));
        let allowed = if mistake.below_rounding { &exactly } else { &in_mixed };
        assert!(errors.above(allowed).is_some(), "{}: {errors:?}", mistake.what);
    }
}

/// A mistake that a forward pass could make, as a hook on one that does not.
struct Mistake {
    what: &'static str,
    hook: Box<dyn Hook>,
    /// Whether it changes less than bf16's rounding does, so that f32 alone shows it.
    below_rounding: bool,
}

fn mistakes(config: &Config) -> [Mistake; 4] {
    let everywhere = |site| (0..config.n_layers as u16).map(move |i| HookPoint::Block(i, site));
    let points = |sites: [Site; 2]| sites.into_iter().flat_map(everywhere).collect::<HookSet>();

    let wrong = Config { rope_theta: config.rope_theta / 10.0, ..config.clone() };
    let pairs = wrong.rope_frequencies().into_iter().zip(config.rope_frequencies());
    let off = Tensor::from_slice(&pairs.map(|(wrong, right)| wrong - right).collect::<Vec<f64>>()); // [K/2]
    let turned = move |activation: &Activation<'_>| {
        let x = activation.tensor; // [B, T, heads, K]
        let positions = Tensor::arange(x.size()[1], (Kind::Double, Device::Cpu)).view([-1, 1, 1]);
        let angles = positions * &off; // [T, 1, K/2]
        let (cos, sin) = (angles.cos().to_kind(x.kind()), angles.sin().to_kind(x.kind()));
        let halves = x.chunk(2, -1);
        let (a, b) = (&halves[0], &halves[1]);
        Ok(Action::Replace(Tensor::cat(&[a * &cos - b * &sin, b * &cos + a * &sin], -1)))
    };
    let swapped = |activation: &Activation<'_>| {
        let mut heads: Vec<i64> = (0..activation.tensor.size()[2]).collect();
        heads.swap(0, 1);
        Ok(Action::Replace(activation.tensor.index_select(2, &Tensor::from_slice(&heads))))
    };
    let more = 9.0 * config.norm_eps;
    let scaled = move |activation: &Activation<'_>| {
        Ok(Action::Replace((activation.tensor.square() + more).sqrt())) // √(mean(x²) + ε)
    };
    let last = HookPoint::Block(config.n_layers as u16 - 1, Site::Z);
    let rotary = Box::new(FnHook::new(points([Site::RotQ, Site::RotK]), turned));
    let eps = Box::new(FnHook::new(points([Site::Ln1Scale, Site::Ln2Scale]), scaled));
    [
        Mistake { what: "another rotary base", hook: rotary, below_rounding: false },
        Mistake {
            what: "two heads exchanged in the first block",
            hook: Box::new(FnHook::new(HookPoint::Block(0, Site::Z), swapped)),
            below_rounding: false,
        },
        Mistake {
            what: "two heads exchanged in the last block",
            hook: Box::new(FnHook::new(last, swapped)),
            below_rounding: false,
        },
        Mistake { what: "ten times eps", hook: eps, below_rounding: true },
    ]
}

//! The identities that TransformerLens' names promise, on a random model in f64.

use llama_core::tch::{Kind, Tensor};
use llama_core::{
    Action, Batch, Capture, Captured, Error, FnHook, Forward, HookPoint, HookSet, Llama, Padding, Precision,
    Site, Tokens,
};

use crate::support::{config, prompts, random, relative};

fn everything() -> HookSet {
    HookSet::parse(["*"], config().n_layers).expect("all points")
}

fn capture_all(llama: &Llama, batch: &Batch) -> Captured {
    let mut capture = Capture::new(everything(), Tokens::All);
    llama.forward(batch, Forward::new().hook(&mut capture)).expect("forward");
    capture.finish()
}

#[test]
fn every_point_has_the_shape_it_states() {
    let llama = random(Precision::F32);
    let batch = Batch::new(&prompts()).expect("batch");
    let (b, t) = batch.shape();
    let mut seen = Vec::new();
    let mut check = FnHook::new(everything(), |act: &llama_core::Activation<'_>| {
        seen.push(act.point);
        let mut expected = act.point.shape(&config(), b, t);
        if act.point == HookPoint::Logits {
            expected[0] = prompts().concat().len() as i64;
        }
        assert_eq!(act.tensor.size(), expected, "{}", act.point);
        Ok(Action::Keep)
    });
    llama.forward(&batch, Forward::new().hook(&mut check)).expect("forward");
    assert_eq!(seen, HookPoint::all(config().n_layers).collect::<Vec<_>>(), "visited in execution order");
}

#[test]
fn identities_between_points() {
    let llama = random(Precision::F64);
    let captured = capture_all(&llama, &Batch::new(&prompts()).expect("batch"));
    let get = |block: u16, site| captured.get(HookPoint::Block(block, site)).expect("captured");
    let near =
        |a: &Tensor, b: &Tensor, what: &str| assert!(relative(a, b) < 1e-12, "{what}: {}", relative(a, b));
    for i in 0..3 {
        near(&(get(i, Site::ResidPre) + get(i, Site::AttnOut)), get(i, Site::ResidMid), "resid_mid");
        near(&(get(i, Site::ResidMid) + get(i, Site::MlpOut)), get(i, Site::ResidPost), "resid_post");
        near(&(get(i, Site::MlpPre).silu() * get(i, Site::MlpPreLinear)), get(i, Site::MlpPost), "mlp post");
        near(
            &get(i, Site::Result).sum_dim_intlist([1i64].as_slice(), false, None),
            get(i, Site::AttnOut),
            "result",
        );
        near(&(get(i, Site::ResidPre) / get(i, Site::Ln1Scale)), get(i, Site::Ln1Normalized), "ln1");
        near(&(get(i, Site::ResidMid) / get(i, Site::Ln2Scale)), get(i, Site::Ln2Normalized), "ln2");
        let pattern = get(i, Site::Pattern);
        let rows = pattern.sum_dim_intlist([-1i64].as_slice(), false, None);
        near(&rows, &rows.ones_like(), "pattern rows");
        near(&get(i, Site::AttnScores).softmax(-1, Kind::Double), pattern, "pattern = softmax(scores)");
        let hidden = pattern.eq(0.0);
        assert!(hidden.equal(&get(i, Site::AttnScores).isinf()), "−inf exactly where nothing is seen");
        // Rotation keeps lengths, and leaves the first token of each prompt alone.
        let length = |x: &Tensor| x.square().sum_dim_intlist([-1i64].as_slice(), false, None);
        near(&length(get(i, Site::Q)), &length(get(i, Site::RotQ)), "rotation keeps |q|");
        near(&get(i, Site::K).select(0, 0), &get(i, Site::RotK).select(0, 0), "position 0 is not turned");
        if i > 0 {
            near(
                get(i, Site::ResidPre),
                get(i - 1, Site::ResidPost),
                "resid_pre = the block before's resid_post",
            );
        }
    }
    near(captured.get(HookPoint::Embed).expect("embed"), get(0, Site::ResidPre), "embed");
}

#[test]
fn fused_and_explicit_attention_agree() {
    let batch = Batch::new(&prompts()).expect("batch");
    let llama = random(Precision::F64);
    let explicit = capture_all(&llama, &batch);
    let mut capture = Capture::new(HookSet::residual_stream(3), Tokens::All);
    llama.forward(&batch, Forward::new().hook(&mut capture)).expect("forward");
    for (point, fused) in capture.finish() {
        let error = relative(&fused, explicit.get(point).expect("captured"));
        assert!(error < 1e-12, "{point}: {error}");
    }
}

#[test]
fn a_stopped_run_equals_the_full_run_and_ends_there() {
    let llama = random(Precision::F32);
    let batch = Batch::new(&prompts()).expect("batch");
    let full = capture_all(&llama, &batch);
    for point in HookPoint::all(3) {
        let mut capture = Capture::new(point, Tokens::All);
        let output = llama.forward(&batch, Forward::new().hook(&mut capture)).expect("stopped");
        assert!(output.logits.is_none());
        let captured = capture.finish();
        assert!(captured.get(point).expect("reached").equal(full.get(point).expect("captured")), "{point}");
    }
    // A hook that stops: nothing after it is visited.
    let mut after = Capture::new(HookPoint::resid_post(1), Tokens::Last);
    let mut stop = FnHook::new(HookPoint::resid_post(0), |_: &llama_core::Activation<'_>| Ok(Action::Stop));
    let run = Forward::new().hook(&mut stop).hook(&mut after).logits(Tokens::Last);
    assert!(llama.forward(&batch, run).expect("stop").logits.is_none());
    assert!(after.finish().is_empty());
}

#[test]
fn at_every_point_padded_equals_alone_on_both_sides() {
    let llama = random(Precision::F64);
    let alone: Vec<_> =
        prompts().iter().map(|p| capture_all(&llama, &Batch::new(&[p]).expect("batch"))).collect();
    for padding in [Padding::Right, Padding::Left] {
        let together = capture_all(&llama, &Batch::padded(&prompts(), padding).expect("batch"));
        for (point, tensor) in together.iter() {
            let mut from = 0;
            for (prompt, alone) in prompts().iter().zip(&alone) {
                let n = prompt.len() as i64;
                let mut own = tensor.narrow(0, from, n);
                if let HookPoint::Block(_, Site::AttnScores | Site::Pattern) = point {
                    // Keys are in the batch's layout: 9 columns, the prompt's at one end, the others unseen.
                    let (start, rest) = if padding == Padding::Left { (9 - n, 0) } else { (0, n) };
                    let hidden =
                        if let HookPoint::Block(_, Site::Pattern) = point { 0.0 } else { f64::NEG_INFINITY };
                    let unseen = own.narrow(2, rest, 9 - n).eq(hidden).all();
                    assert_eq!(unseen.int64_value(&[]), 1, "{point}, {padding:?}");
                    own = own.narrow(2, start, n);
                }
                let alone = alone.get(point).expect("captured");
                assert!(own.allclose(alone, 1e-10, 1e-12, false), "{point}, {padding:?}, {n} tokens");
                from += n;
            }
        }
    }
}

#[test]
fn a_run_that_is_asked_for_nothing_computes_nothing() {
    let llama = random(Precision::F32);
    let batch = Batch::new(&prompts()).expect("batch");
    assert!(llama.forward(&batch, Forward::new()).expect("run").logits.is_none());
    let mut nowhere = Capture::new(HookPoint::resid_post(3), Tokens::Last);
    let error = llama.forward(&batch, Forward::new().hook(&mut nowhere)).expect_err("3 blocks, 0 to 2");
    assert!(matches!(error, Error::NoSuchBlock { n_layers: 3, .. }), "{error}");
    assert!(
        llama
            .forward(
                &batch,
                Forward::new().hook(&mut Capture::new(HookPoint::resid_post(70_000), Tokens::Last))
            )
            .is_err()
    );
}

#[test]
fn looking_changes_no_number() {
    for precision in [Precision::F32, Precision::Bf16, Precision::Mixed] {
        let llama = random(precision);
        for padding in [Padding::Right, Padding::Left] {
            let batch = Batch::padded(&prompts(), padding).expect("batch");
            let plain = llama
                .forward(&batch, Forward::new().logits(Tokens::All))
                .expect("run")
                .logits
                .expect("logits");
            let mut look = FnHook::new(everything(), |_: &llama_core::Activation<'_>| Ok(Action::Keep));
            let run = Forward::new().hook(&mut look).logits(Tokens::All);
            let seen = llama.forward(&batch, run).expect("run").logits.expect("logits");
            assert!(seen.equal(&plain), "{precision}, {padding:?}");
        }
    }
}

#[test]
fn what_is_made_only_for_hooks_counts_once_replaced() {
    // The same activation but for its last digits: the step-by-step path must give what the fused one gives.
    let llama = random(Precision::F64);
    for padding in [Padding::Right, Padding::Left] {
        let batch = Batch::padded(&prompts(), padding).expect("batch");
        let logits = |run: Forward<'_>| {
            llama.forward(&batch, run.logits(Tokens::All)).expect("run").logits.expect("logits")
        };
        let plain = logits(Forward::new());
        for name in [
            "ln1.hook_scale",
            "ln1.hook_normalized",
            "attn.hook_attn_scores",
            "attn.hook_pattern",
            "attn.hook_result",
        ] {
            let set = HookSet::parse([format!("blocks.*.{name}")], 3).expect(name);
            let mut near = FnHook::new(set.clone(), |act: &llama_core::Activation<'_>| {
                Ok(Action::Replace(act.tensor * (1.0 + 1e-14)))
            });
            let error = relative(&logits(Forward::new().hook(&mut near)), &plain);
            assert!(error < 1e-12, "{name}, {padding:?}: {error}");
            assert!(error > 0.0, "{name}, {padding:?}: it counts");
            let mut half =
                FnHook::new(set, |act: &llama_core::Activation<'_>| Ok(Action::Replace(act.tensor * 0.5)));
            assert!(relative(&logits(Forward::new().hook(&mut half)), &plain) > 1e-3, "{name} counts");
        }
    }
}

#[test]
fn logits_are_those_of_the_tokens_asked_for() {
    let llama = random(Precision::F64);
    let batch = Batch::new(&prompts()).expect("batch");
    let logits =
        |tokens| llama.forward(&batch, Forward::new().logits(tokens)).expect("run").logits.expect("logits");
    let all = logits(Tokens::All);
    assert_eq!(all.size(), [prompts().concat().len() as i64, 50]);
    let lasts = [5i64, 7, 16, 17];
    let near = |a: &Tensor, b: &Tensor| assert!(relative(a, b) < 1e-12);
    near(&logits(Tokens::Last), &all.index_select(0, &Tensor::from_slice(&lasts)));
    near(
        &logits(Tokens::Mean).get(1),
        &all.narrow(0, 6, 2).mean_dim(Some([0i64].as_slice()), false, Kind::Double),
    );
    // A hook may take its own tokens from those that are computed, and no others.
    let capture = |tokens: Tokens, computed: Tokens| {
        let mut capture = Capture::new(HookPoint::Logits, tokens);
        llama.forward(&batch, Forward::new().hook(&mut capture).logits(computed)).map(|_| capture.finish())
    };
    let captured = capture(Tokens::Last, Tokens::All).expect("last of all");
    near(captured.get(HookPoint::Logits).expect("logits"), &logits(Tokens::Last));
    assert!(matches!(capture(Tokens::First, Tokens::Last), Err(Error::NoLogits)));
    assert!(
        matches!(capture(Tokens::Last, Tokens::Mean), Err(Error::NoLogits)),
        "of means no token's are left"
    );
}

#[test]
fn stopping_hides_nothing_from_other_hooks_at_the_same_point() {
    let llama = random(Precision::F32);
    let batch = Batch::new(&prompts()).expect("batch");
    let point = HookPoint::resid_post(0);
    let mut stop = FnHook::new(point, |_: &llama_core::Activation<'_>| Ok(Action::Stop));
    let mut capture = Capture::new(point, Tokens::Last);
    llama
        .forward(&batch, Forward::new().hook(&mut stop).hook(&mut capture).logits(Tokens::Last))
        .expect("run");
    assert_eq!(capture.finish().len(), 1);
}

#[test]
fn patching_back_what_was_captured_changes_no_bit_at_any_point_and_patching_else_does() {
    for precision in [Precision::F32, Precision::Bf16] {
        let llama = random(precision);
        for padding in [Padding::Right, Padding::Left] {
            let batch = Batch::padded(&prompts(), padding).expect("batch");
            let logits = |run: Forward<'_>| {
                llama.forward(&batch, run.logits(Tokens::All)).expect("run").logits.expect("logits")
            };
            let plain = logits(Forward::new());
            let captured = capture_all(&llama, &batch);
            for point in HookPoint::all(3) {
                let kept = captured.get(point).expect("captured");
                let mut back = FnHook::new(point, |act: &llama_core::Activation<'_>| {
                    if point == HookPoint::Logits {
                        return Ok(Action::Replace(kept.copy()));
                    }
                    Ok(Action::Replace(act.replace(&Tokens::All, kept)?))
                });
                let patched = logits(Forward::new().hook(&mut back));
                assert!(patched.equal(&plain), "{point}, {precision}, {padding:?}: patched back");
                // Neither a factor nor a term: norms and softmax would undo them.
                let mut bent = FnHook::new(point, |act: &llama_core::Activation<'_>| {
                    Ok(Action::Replace(act.tensor.tanh()))
                });
                let bent = logits(Forward::new().hook(&mut bent));
                assert!(!bent.equal(&plain), "{point}, {precision}, {padding:?}: counts");
            }
        }
    }
}

#[test]
fn only_tokens_are_written_to_never_padding() {
    let llama = random(Precision::F32);
    let batch = Batch::padded(&prompts(), Padding::Left).expect("batch");
    for point in HookPoint::all(3).filter(|p| *p != HookPoint::Logits) {
        let mut seen = None;
        let mut zero = FnHook::new(point, |act: &llama_core::Activation<'_>| {
            let values = act.select(&Tokens::All)?;
            let zeroed = act.replace(&Tokens::All, &values.zeros_like())?;
            seen = Some((act.tensor.copy(), values));
            Ok(Action::Replace(zeroed))
        });
        let mut changed = None;
        let mut look = FnHook::new(point, |act: &llama_core::Activation<'_>| {
            changed = Some((act.tensor.copy(), act.select(&Tokens::All)?));
            Ok(Action::Stop)
        });
        llama.forward(&batch, Forward::new().hook(&mut zero).hook(&mut look)).expect("run");
        let ((before, values), (after, zeros)) = (seen.expect("visited"), changed.expect("visited"));
        assert!(zeros.equal(&values.zeros_like()), "{point}: every token is written");
        // 18 tokens of 4 rows of 9 places: exactly the other half keeps its values.
        let by_query = after.size().len() == 4 && after.size()[1] == 4 && after.size()[3] == 9;
        let by_token = |x: &Tensor| if by_query { x.transpose(1, 2) } else { x.copy() }.flatten(0, 1);
        let (before, after) = (by_token(&before), by_token(&after));
        let same = (0..36).filter(|&place| after.get(place).equal(&before.get(place))).count();
        assert_eq!(same, 18, "{point}: no padding is");
    }
}

#[test]
fn what_cannot_be_written_to_is_refused() {
    let llama = random(Precision::F32);
    let batch = Batch::new(&prompts()).expect("batch");
    let refused = |point: HookPoint, tokens: Tokens| {
        let mut hook = FnHook::new(point, |act: &llama_core::Activation<'_>| {
            Ok(Action::Replace(act.replace(&tokens, act.tensor)?))
        });
        llama.forward(&batch, Forward::new().hook(&mut hook)).expect_err("refused")
    };
    let point = HookPoint::resid_post(0);
    let twice = Tokens::At(vec![vec![1, 1], vec![], vec![], vec![]]);
    assert!(matches!(refused(point, Tokens::Mean), Error::NotReplaceable { .. }));
    assert!(matches!(refused(point, twice), Error::NotReplaceable { .. }));
    assert!(matches!(refused(HookPoint::Logits, Tokens::All), Error::NotReplaceable { .. }));
    assert!(matches!(refused(point, Tokens::Last), Error::Replacement { .. }));
}

#[test]
fn a_run_from_a_captured_layer_is_the_rest_of_the_whole_run_bit_for_bit() {
    for precision in [Precision::F32, Precision::Bf16, Precision::Mixed] {
        let llama = random(precision);
        for (from, to) in [
            (Padding::Right, Padding::Right),
            (Padding::Left, Padding::Left),
            (Padding::Left, Padding::Right),
        ] {
            let batch = Batch::padded(&prompts(), from).expect("batch");
            let mut whole = capture_all(&llama, &batch);
            let rest = Batch::padded(&prompts(), to).expect("batch");
            for layer in 0..=3 {
                let residual = whole.get(HookPoint::of_layer(layer)).expect("captured").copy();
                let wanted: HookSet =
                    everything().iter().filter(|p| *p > HookPoint::of_layer(layer)).collect();
                let mut capture = Capture::new(wanted.clone(), Tokens::All);
                let run = Forward::new().from_layer(layer, residual).hook(&mut capture);
                llama.forward(&rest, run).expect("forward");
                let captured = capture.finish();
                assert_eq!(captured.len(), wanted.len());
                let per_pair = |p: &HookPoint| {
                    matches!(p, HookPoint::Block(_, Site::AttnScores | Site::Pattern)) // keys in the layout
                };
                for (point, tensor) in captured.iter().filter(|(p, _)| !per_pair(p)) {
                    let expected = whole.get(point).expect("captured");
                    if from == to {
                        assert!(tensor.equal(expected), "{point} from {layer}, {precision}, {from:?}");
                    } else if precision == Precision::F32 {
                        assert!(relative(tensor, expected) < 1e-5, "{point} from {layer}");
                    }
                }
            }
            assert!(whole.take(HookPoint::Embed).is_some() && whole.take(HookPoint::Embed).is_none());
        }
    }
}

#[test]
fn a_start_that_does_not_fit_is_refused() {
    let llama = random(Precision::F32);
    let batch = Batch::new(&prompts()).expect("batch");
    let stream = |tokens: i64| Tensor::zeros([tokens, 24], (Kind::Float, llama_core::tch::Device::Cpu));
    let start = |layer, residual: Tensor, point: HookPoint| {
        let mut capture = Capture::new(point, Tokens::Last);
        llama.forward(&batch, Forward::new().from_layer(layer, residual).hook(&mut capture))
    };
    let last = HookPoint::FinalOut;
    start(3, stream(18), last).expect("after the last block");
    for (layer, residual, point, says) in [
        (4, stream(18), last, "layers 0 to 3"),
        (1, stream(17), last, "[17, 24]"),
        (1, stream(18).view([18, 24, 1]), last, "[18, 24, 1]"),
        (2, stream(18), HookPoint::resid_post(1), "blocks.1.hook_resid_post"),
        (0, stream(18), HookPoint::Embed, "hook_embed"),
    ] {
        let error = start(layer, residual, point).expect_err(says);
        assert!(matches!(error, Error::Start { .. }) && error.to_string().contains(says), "{error}");
    }
    start(2, stream(18), HookPoint::Block(2, Site::ResidPre)).expect("what enters the block is given");
}

#[test]
fn hooks_see_each_other_in_the_order_given() {
    let llama = random(Precision::F32);
    let batch = Batch::new(&[[1u32, 2, 3]]).expect("batch");
    let point = HookPoint::resid_post(0);
    let mut before = Capture::new(point, Tokens::Last);
    let mut zero =
        FnHook::new(point, |act: &llama_core::Activation<'_>| Ok(Action::Replace(act.tensor.zeros_like())));
    let mut after = Capture::new(point, Tokens::Last);
    llama.forward(&batch, Forward::new().hook(&mut before).hook(&mut zero).hook(&mut after)).expect("run");
    let (before, after) = (before.finish(), after.finish());
    assert!(before.get(point).expect("before").abs().max().double_value(&[]) > 0.0);
    assert!(after.get(point).expect("after").abs().max().double_value(&[]) == 0.0);
}

#[test]
fn a_replacement_of_another_shape_is_refused() {
    let llama = random(Precision::F32);
    let batch = Batch::new(&[[1u32, 2, 3]]).expect("batch");
    let mut wrong = FnHook::new(HookPoint::Embed, |act: &llama_core::Activation<'_>| {
        Ok(Action::Replace(act.select(&Tokens::Last)?))
    });
    let error =
        llama.forward(&batch, Forward::new().hook(&mut wrong).logits(Tokens::Last)).expect_err("shape");
    assert!(matches!(error, Error::Replacement { point: HookPoint::Embed, .. }), "{error}");
}

#[test]
fn selections_count_real_tokens() {
    let llama = random(Precision::F32);
    let (prompts, point) = (prompts(), HookPoint::resid_post(2));
    let batch = Batch::new(&prompts).expect("batch");
    let select = |tokens: Tokens| {
        let mut capture = Capture::new(point, tokens);
        llama.forward(&batch, Forward::new().hook(&mut capture)).expect("run");
        capture.finish().into_iter().next().expect("captured").1
    };
    let all = select(Tokens::All);
    let lengths: Vec<i64> = prompts.iter().map(|p| p.len() as i64).collect();
    assert_eq!(all.size(), [lengths.iter().sum::<i64>(), 24]);
    let (mut from, mut first, mut last, mut mean) = (0, Vec::new(), Vec::new(), Vec::new());
    for n in &lengths {
        let own = all.narrow(0, from, *n);
        first.push(own.get(0));
        last.push(own.get(n - 1));
        mean.push(own.mean_dim(Some([0i64].as_slice()), false, Kind::Float));
        from += n;
    }
    assert!(select(Tokens::First).equal(&Tensor::stack(&first, 0)));
    assert!(select(Tokens::Last).equal(&Tensor::stack(&last, 0)));
    // f32: nine tokens added up, the rows of a batch here and a prompt's own there.
    assert!(relative(&select(Tokens::Mean), &Tensor::stack(&mean, 0)) < 1e-6);
    let at = select(Tokens::At(vec![vec![0, 5], vec![], vec![8], vec![0]]));
    assert!(at.get(0).equal(&first[0]) && at.get(1).equal(&last[0]) && at.get(2).equal(&last[2]));
    let mut outside = Capture::new(point, Tokens::At(vec![vec![], vec![2], vec![], vec![]]));
    let error =
        llama.forward(&batch, Forward::new().hook(&mut outside)).expect_err("prompt 1 has two tokens");
    assert!(matches!(error, Error::Position { prompt: 1, tokens: 2, position: 2 }), "{error}");
}

#[test]
fn gradients_reach_captured_activations_and_weights() {
    let llama = random(Precision::F64);
    let weights = llama.trainable().expect("weights");
    let batch = Batch::new(&[[1u32, 2, 3]]).expect("batch");
    let mut capture = Capture::new(HookPoint::resid_post(0), Tokens::All);
    let run = Forward::new().hook(&mut capture).logits(Tokens::Last).gradients();
    let loss = llama.forward(&batch, run).expect("run").logits.expect("logits").square().sum(Kind::Double);
    loss.backward();
    for (name, weight) in &weights {
        assert!(weight.grad().abs().max().double_value(&[]) > 0.0, "{name} has no gradient");
    }
    // A finite difference through the whole model, at one weight.
    let (name, weight) = &weights[1];
    let gradient = weight.grad().double_value(&[3]);
    let value = |step: f64| {
        let _guard = llama_core::tch::no_grad_guard();
        let _ = weight.get(3).g_add_scalar_(step);
        let output = llama.forward(&batch, Forward::new().logits(Tokens::Last)).expect("run");
        let _ = weight.get(3).g_add_scalar_(-step);
        output.logits.expect("logits").square().sum(Kind::Double).double_value(&[])
    };
    let difference = (value(1e-5) - value(-1e-5)) / 2e-5;
    assert!(
        (difference - gradient).abs() < 1e-6 * gradient.abs().max(1.0),
        "{name}: {difference} vs {gradient}"
    );
}

#[test]
fn gradients_with_respect_to_captured_activations_are_finite_differences_at_every_site() {
    let llama = random(Precision::F64);
    let batch = Batch::padded(&[vec![1u32, 2, 3], vec![7, 8]], Padding::Left).expect("batch");
    let difference = |run: Forward<'_>| -> Tensor {
        let logits = llama.forward(&batch, run.logits(Tokens::Last)).expect("run").logits.expect("logits");
        logits.get(0).get(7) - logits.get(1).get(4)
    };
    let points: HookSet = HookPoint::all(3).filter(|p| *p != HookPoint::Logits).collect();
    for point in points.iter() {
        let mut capture = Capture::new(point, Tokens::All);
        let loss = difference(Forward::new().hook(&mut capture).gradients());
        let kept = capture.finish().take(point).expect("captured");
        let gradient = Tensor::run_backward(&[loss], &[&kept], false, false).remove(0);
        assert_eq!(gradient.size(), kept.size(), "{point}");
        // Along one direction through all of it. Masked scores have no neighborhood.
        let direction = gradient.cos();
        let expected = (&gradient * &direction).sum(Kind::Double).double_value(&[]);
        let moved = |step: f64| {
            let mut hook = FnHook::new(point, |act: &llama_core::Activation<'_>| {
                Ok(Action::Replace(act.replace(&Tokens::All, &(kept.detach() + &direction * step))?))
            });
            difference(Forward::new().hook(&mut hook)).double_value(&[])
        };
        let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((slope - expected).abs() < 1e-7 * expected.abs().max(1.0), "{point}: {slope} and {expected}");
        assert!(gradient.abs().max().double_value(&[]) > 0.0, "{point}: the loss depends on it");
    }
}

#[test]
fn an_earlier_captures_gradient_goes_through_the_later() {
    let llama = random(Precision::F64);
    let batch = Batch::new(&prompts()).expect("batch");
    let gradients = |set: HookSet| {
        let mut capture = Capture::new(set, Tokens::All);
        let run = Forward::new().hook(&mut capture).logits(Tokens::Last).gradients();
        let loss =
            llama.forward(&batch, run).expect("run").logits.expect("logits").square().sum(Kind::Double);
        let kept: Vec<_> = capture.finish().into_iter().map(|(_, tensor)| tensor).collect();
        Tensor::run_backward(&[loss], &kept, false, false)
    };
    let both = gradients(HookSet::parse(["blocks.{0,2}.hook_resid_post"], 3).expect("two"));
    let first = gradients(HookPoint::resid_post(0).into());
    let second = gradients(HookPoint::resid_post(2).into());
    assert!(relative(&both[0], &first[0]) < 1e-12 && relative(&both[1], &second[0]) < 1e-12);
    // What is converted or averaged is on no path.
    for capture in [
        Capture::new(HookPoint::resid_post(0), Tokens::All).kind(Kind::Float),
        Capture::new(HookPoint::resid_post(0), Tokens::Mean),
    ] {
        let mut capture = capture;
        let run = Forward::new().hook(&mut capture).gradients();
        assert!(matches!(llama.forward(&batch, run), Err(Error::NotReplaceable { .. })));
    }
}

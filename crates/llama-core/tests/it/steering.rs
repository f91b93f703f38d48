//! Generation under a hook, with the cache, is what running the whole text again for each token gives.

use std::path::Path;

use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Action, Activation, Batch, Change, Checkpoint, Edit, EditHook, Edits, Ended, Error, Forward, Hook,
    HookPoint, HookSet, KvCache, Llama, Precision, Sampling, Site, Tokenizer, Tokens, word_model,
};

use crate::support::{prompts, random, relative};
use crate::with_hint;

const NEW: usize = 7;

fn greedy() -> Sampling {
    Sampling { temperature: 0.0, max_new_tokens: NEW, ..Sampling::default() }
}

/// Edits, and the logits of every pass.
struct Watched {
    edits: EditHook,
    logits: Vec<Tensor>,
}

impl Hook for Watched {
    fn points(&self) -> HookSet {
        self.edits.points() | HookPoint::Logits.into()
    }

    fn visit(&mut self, activation: &Activation<'_>) -> llama_core::Result<Action> {
        if activation.point == HookPoint::Logits {
            self.logits.push(activation.select(&Tokens::Last)?);
            return Ok(Action::Keep);
        }
        self.edits.visit(activation)
    }
}

fn generate(llama: &Llama, prompts: &[Vec<u32>], edits: &Edits) -> (Vec<Vec<u32>>, Vec<Tensor>) {
    let edits = edits.hook(llama.config(), Device::Cpu).expect("edits that fit");
    let mut hook = Watched { edits, logits: Vec::new() };
    (llama.generate_with(prompts, &greedy(), &mut hook).expect("texts"), hook.logits)
}

/// The positions in a text of which `prompt` tokens are the prompt's that an edit's tokens mean in a generation.
fn meant(tokens: &Tokens, row: usize, prompt: usize, length: usize) -> Vec<usize> {
    match tokens {
        Tokens::All => (0..length).collect(),
        Tokens::Last => (prompt - 1..length).collect(),
        Tokens::First => vec![0],
        Tokens::At(wanted) => wanted[row].iter().copied().filter(|at| *at < length).collect(),
        other => panic!("{other}"),
    }
}

/// Each prompt alone, its whole text again for each token, without a cache.
fn is_repeated_forwards(what: &str, llama: &Llama, prompts: &[Vec<u32>], edit: &Edit) {
    let (texts, logits) = generate(llama, prompts, &edit.clone().into());
    assert_eq!(logits.len(), NEW);
    for (row, prompt) in prompts.iter().enumerate() {
        let mut text = prompt.clone();
        for (step, found) in logits.iter().enumerate() {
            let positions = meant(&edit.tokens, row, prompt.len(), text.len());
            let per_pair = edit.points.iter().any(|point| point.contains("pattern"));
            let tokens = if per_pair { Tokens::All } else { Tokens::At(vec![positions]) };
            let mut own = Edit { tokens, rows: None, strengths: None, ..edit.clone() };
            if let (Some(strengths), Change::Add { scale, .. }) = (&edit.strengths, &mut own.change) {
                *scale *= strengths[row];
            }
            let edits = if edit.rows.as_ref().is_none_or(|rows| rows.contains(&row)) {
                own.into()
            } else {
                Edits::default()
            };
            let mut hook = edits.hook(llama.config(), Device::Cpu).expect("edits that fit");
            let run = Forward::new().hook(&mut hook).logits(Tokens::Last);
            let whole = llama.forward(&Batch::new(&[&text]).expect("batch"), run).expect("run").logits;
            let whole = whole.expect("logits").get(0);
            let error = relative(&found.get(row as i64), &whole);
            assert!(error < 1e-10, "{what}, prompt {row}, token {step}: {error:e}");
            let next = whole.argmax(-1, false).int64_value(&[]) as u32;
            assert_eq!(texts[row][step], next, "{what}, prompt {row}, token {step}");
            text.push(next);
        }
    }
}

fn wave(length: i64) -> Tensor {
    (Tensor::arange(length, (Kind::Double, Device::Cpu)) * 1.3).sin()
}

/// A change of every kind that has a meaning in a text that grows, at points before, in and after attention.
fn changes(llama: &Llama) -> Vec<(HookPoint, Change)> {
    let (d, last) = (wave(llama.config().dim), llama.config().n_layers - 1);
    let at = |site| HookPoint::Block(1, site);
    vec![
        (HookPoint::Embed, Change::add(&d, 0.5).expect("add")),
        (at(Site::ResidPre), Change::add(&d, -2.0).expect("add")),
        (HookPoint::resid_post(last), Change::add(&d, 3.0).expect("add")),
        (at(Site::K), Change::Scale(1.5)),
        (at(Site::V), Change::knock_out([0])),
        (at(Site::Z), Change::knock_out([1])),
        (at(Site::MlpOut), Change::Zero),
        (at(Site::ResidPost), Change::project_out(&d).expect("project_out")),
        (at(Site::AttnOut), Change::mean_ablate(&d).expect("mean_ablate")),
    ]
}

#[test]
fn edits_over_the_cache_are_edits_of_whole_texts() {
    let llama = random(Precision::F64);
    // Positions of prompts, and of tokens that are generated after them; some come never.
    let some = Tokens::At(vec![vec![0, 5, 6, 9], vec![1, 2], vec![], vec![0, 3, 100]]);
    for (point, change) in changes(&llama) {
        for tokens in [Tokens::All, Tokens::Last, Tokens::First, some.clone()] {
            let what = format!("{point}, {}, {tokens}", change.name());
            let edit = Edit::new(point, tokens, change.clone());
            is_repeated_forwards(&what, &llama, &prompts(), &edit);
            is_repeated_forwards(&what, &llama, &prompts(), &edit.rows([0, 3]));
        }
    }
    let pattern = Edit::new("blocks.1.attn.hook_pattern", Tokens::All, Change::Scale(0.5));
    is_repeated_forwards("pattern", &llama, &prompts(), &pattern);
}

/// Windows, biases, norms after sub-layers, rotations of a base of their own, soft caps.
#[test]
fn every_kind_of_family_is_steered() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families");
    for case in
        ["mistral", "qwen2_window", "qwen3", "gemma2", "gemma3", "olmo2", "phi3", "smollm3", "granite"]
    {
        let checkpoint = Checkpoint::open(fixtures.join(case)).expect(case);
        let llama = Llama::load(&checkpoint, Precision::F64, Device::Cpu).expect(case);
        let prompts: Vec<Vec<u32>> =
            serde_json::from_slice(&std::fs::read(fixtures.join("prompts.json")).expect("prompts"))
                .expect("ids");
        for tokens in [Tokens::All, Tokens::Last] {
            let add = Change::add(&wave(llama.config().dim), 1.0).expect("add");
            is_repeated_forwards(case, &llama, &prompts, &Edit::new(HookPoint::resid_post(0), tokens, add));
        }
    }
}

#[test]
fn strengths_are_by_prompt_and_none_is_none() {
    let llama = random(Precision::F64);
    let add = Change::add(&wave(llama.config().dim), 2.0).expect("add");
    let steer = |point: &str, tokens| Edit::new(point, tokens, add.clone()).strengths([-1.5, 0.0, 1.0, 4.0]);
    for tokens in [Tokens::All, Tokens::Last, Tokens::At(vec![vec![0, 7], vec![1], vec![2, 9], vec![0]])] {
        is_repeated_forwards("strengths", &llama, &prompts(), &steer("blocks.0.hook_resid_post", tokens));
    }
    let edits: Edits = steer("blocks.{0,1}.hook_mlp_out", Tokens::All).into();
    let (texts, _) = generate(&llama, &prompts(), &edits);
    assert_eq!(texts[1], llama.generate(&prompts(), &greedy()).expect("texts")[1]);
    // For some rows, one strength each; at a point with heads.
    let heads = Change::add(&wave(24).view([4, 6]), 1.0).expect("add");
    let by_row = Edit::new("blocks.1.attn.hook_z", Tokens::All, heads).rows([3, 0]).strengths([2.0, -1.0]);
    let batch = Batch::new(&prompts()).expect("batch");
    let logits = |edits: Edits| {
        let mut hook = edits.hook(llama.config(), Device::Cpu).expect("fits");
        llama
            .forward(&batch, Forward::new().hook(&mut hook).logits(Tokens::Last))
            .map(|out| out.logits.expect("logits"))
    };
    let together = logits(by_row.clone().into()).expect("run");
    let apart = [(3, 2.0), (0, -1.0)].map(|(row, scale)| {
        let change = Change::add(&wave(24).view([4, 6]), scale).expect("add");
        Edit::new("blocks.1.attn.hook_z", Tokens::All, change).rows([row])
    });
    assert!(relative(&together, &logits(apart.into_iter().collect()).expect("run")) < 1e-12);

    let json = serde_json::json!({"points": ["blocks.1.hook_mlp_out"], "tokens": "all", "strengths": [1.0], "change": "zero"});
    let zero: Edit = serde_json::from_value(json.clone()).expect("an edit");
    assert_eq!(serde_json::to_value(&zero).expect("json"), json);
    let refused = |edit: Edit| with_hint(&logits(edit.into()).expect_err("refused"));
    assert!(
        refused(by_row.clone().strengths([1.0])).contains("it has 1 strengths, and it changes 2 prompts")
    );
    let early =
        |edit: Edit| with_hint(&Edits::from(edit).hook(llama.config(), Device::Cpu).expect_err("refused"));
    assert!(early(zero).contains("it has strengths"));
    assert!(early(by_row.clone().strengths([f64::NAN, 1.0])).contains("a strength is not finite"));
    assert!(
        with_hint(&Edits::from(by_row).to_json().expect_err("of one batch"))
            .contains("take `rows` and `strengths` out")
    );
}

#[test]
fn a_patch_is_of_positions_of_the_prompts() {
    let llama = random(Precision::F64);
    let values = Tensor::stack(&[wave(24), -wave(24)], 0);
    let at = Tokens::At(vec![vec![2], vec![1], vec![], vec![]]);
    let patch = Edit::new(HookPoint::resid_post(0), at, Change::patch(&values).expect("patch"));
    let (texts, logits) = generate(&llama, &prompts(), &patch.into());
    for (row, sign) in [(0, 1.0), (1, -1.0)] {
        let own = Edit::new(
            HookPoint::resid_post(0),
            Tokens::At(vec![vec![2 - row]]),
            Change::patch(&(wave(24) * sign).unsqueeze(0)).expect("patch"),
        );
        let (alone, of_it) = generate(&llama, &prompts()[row..=row], &own.into());
        assert_eq!(alone[0], texts[row]);
        for (alone, together) in of_it.iter().zip(&logits) {
            assert!(relative(&alone.get(0), &together.get(row as i64)) < 1e-12);
        }
    }
    let everywhere = Edit::new(
        HookPoint::resid_post(0),
        Tokens::All,
        Change::patch(&wave(24).expand([18, 24], true)).expect("patch"),
    );
    let mut hook = Edits::from(everywhere).hook(llama.config(), Device::Cpu).expect("fits the model");
    let error = with_hint(
        &llama.generate_with(&prompts(), &greedy(), &mut hook).expect_err("the second pass has 4 tokens"),
    );
    assert!(error.contains("a patch is for one batch"), "{error}");
}

#[test]
fn a_loop_of_ones_own_is_the_generation_and_a_cache_is_not_confused() {
    let llama = random(Precision::F64);
    let (mut cache, mut step) = KvCache::begin(&llama, &prompts(), NEW).expect("a cache");
    let mut texts = vec![Vec::new(); prompts().len()];
    assert_eq!(cache.lengths(), [6, 2, 9, 1]);
    for _ in 0..NEW {
        let run = Forward::new().cache(&mut cache).logits(Tokens::Last);
        let logits = llama.forward(&step, run).expect("run").logits.expect("logits");
        let next: Vec<i64> = Vec::try_from(logits.argmax(-1, false)).expect("ids");
        let next: Vec<u32> = next.into_iter().map(|id| id as u32).collect();
        texts.iter_mut().zip(&next).for_each(|(text, &id)| text.push(id));
        step = cache.next(&next).expect("a step");
    }
    assert_eq!(cache.lengths(), [13, 9, 16, 8]);
    assert_eq!(texts, llama.generate(&prompts(), &greedy()).expect("texts"));

    let refused = |cache: &mut KvCache, batch: &Batch, why: &str| {
        let error = llama.forward(batch, Forward::new().cache(cache).logits(Tokens::Last)).expect_err(why);
        assert!(matches!(error, Error::Cache { .. }) && with_hint(&error).contains(why), "{error}");
    };
    // One token fewer is wanted than there is room for: the last step is still read, the next is not.
    llama.forward(&step, Forward::new().cache(&mut cache).logits(Tokens::Last)).expect("room");
    refused(&mut cache, &step, "not the one that it gave last");
    let step = cache.next(&[1, 2, 3, 4]).expect("a step");
    refused(&mut cache, &step, "room for 16 tokens");
    assert!(matches!(cache.next(&[1]), Err(Error::Cache { .. })));

    let (mut cache, first) = KvCache::begin(&llama, &prompts(), 3).expect("a cache");
    refused(&mut cache, &Batch::new(&prompts()).expect("batch"), "not the one that it gave last");
    let (_, other) = KvCache::begin(&llama, &prompts()[..1], 3).expect("a cache");
    refused(&mut cache, &other, "not the one that it gave last");
    let early = cache.next(&[1, 2, 3, 4]).expect("a step");
    refused(&mut cache, &early, "not the one that it gave last");
    // A pass that ends early leaves later blocks without keys and values.
    let (mut cache, _) = KvCache::begin(&llama, &prompts(), 3).expect("a cache");
    let mut stop = llama_core::FnHook::new(HookPoint::resid_post(0), |_: &Activation<'_>| Ok(Action::Stop));
    llama.forward(&first, Forward::new().cache(&mut cache).hook(&mut stop)).expect("stopped");
    let step = cache.next(&[1, 2, 3, 4]).expect("a step");
    refused(&mut cache, &step, "some blocks lack keys and values");
}

#[test]
fn texts_end_before_a_stop_text_wherever_tokens_end() {
    let llama = random(Precision::F64);
    let words: Vec<String> = (0..47).map(|n| format!("▁w{n}x")).collect();
    let tokenizer = Tokenizer::from_bytes(&word_model(&words), "words").expect("a tokenizer");
    let prompts = &prompts()[..3];
    let plain = llama.generate_text(&tokenizer, prompts, &greedy(), &[], None).expect("texts");
    let ids = llama.generate(prompts, &greedy()).expect("texts");
    for (own, ids) in plain.iter().zip(&ids) {
        assert_eq!((&own.ids, &own.ended), (ids, &Ended::Length));
        let piece = |id: &u32| tokenizer.piece(*id).replace("<unk>", " ⁇ ").replace('▁', " ");
        let pieces: String = ids.iter().map(piece).filter(|piece| !piece.starts_with('<')).collect();
        assert_eq!(own.text, pieces);
    }
    // From inside the third word to inside the fourth of the first text.
    let third = plain[0].text.match_indices(" w").nth(2).expect("words").0;
    let fourth = plain[0].text[third + 1..].find(" w").expect("words") + third + 1;
    let stop = plain[0].text[fourth - 2..fourth + 2].to_owned();
    let stops = [String::new(), "never".to_owned(), stop.clone()];
    let stopped = llama.generate_text(&tokenizer, prompts, &greedy(), &stops, None).expect("texts");
    assert_eq!(stopped[0].ended, Ended::Text(stop.clone()));
    assert_eq!(stopped[0].text, plain[0].text[..plain[0].text.find(&stop).expect("there")]);
    assert!(stopped[0].ids.len() < NEW && ids[0].starts_with(&stopped[0].ids));
    // Several tokens end a text, as several files of models name them.
    let stop = vec![ids[0][3], ids[1][1]];
    let some = llama
        .generate_text(&tokenizer, prompts, &Sampling { stop: stop.clone(), ..greedy() }, &[], None)
        .expect("texts");
    for (own, ids) in some.iter().zip(&ids) {
        let expected: Vec<u32> = ids.iter().copied().take_while(|id| !stop.contains(id)).collect();
        let ended = if expected.len() < ids.len() { Ended::Token } else { Ended::Length };
        assert_eq!((&own.ids, &own.ended), (&expected, &ended));
    }
}

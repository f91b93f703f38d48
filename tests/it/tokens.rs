//! Several token rules from one forward pass: each against what the model shows of every token.

use std::collections::BTreeSet;

use llama_ccs::activations::{Column, SideOf, Store};
use llama_ccs::llama_core::tch::{Device, Kind};
use llama_ccs::llama_core::{
    Batch, Capture, Checkpoint, Forward, HookPoint, HookSet, Llama, Precision, Tokenizer, Tokens,
};
use llama_ccs::{Error, Extraction, Outcome, TokenRule, boolq, tokenize_all};

use crate::support::{F32, quiz};

/// Two words from the quiz model's vocabulary as each answer.
const TWO_WORDS: &str =
    "{# answers: True right | False wrong #}\n{{ passage }}\n\nis it so {{ question }}? {{ answer }}";

fn pairs(template: &boolq::Template, tokenizer: &Tokenizer, limit: usize) -> Vec<boolq::TokenizedPair> {
    let mut data = boolq::Dataset::load(quiz().join("questions.jsonl")).expect("questions");
    data.questions.truncate(limit);
    tokenize_all(boolq::pairs(&data, template).expect("pairs").pairs, tokenizer).expect("tokens")
}

fn model() -> (Checkpoint, Tokenizer) {
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("model");
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    (checkpoint, tokenizer)
}

fn finished(outcome: Outcome) -> Store {
    match outcome {
        Outcome::Finished(store) => store,
        _ => panic!("nothing stops it"),
    }
}

#[test]
fn every_rule_is_of_the_tokens_it_names() {
    let folder = tempfile::tempdir().expect("folder");
    let (checkpoint, tokenizer) = model();
    let template = boolq::Template::from_source("two", TWO_WORDS).expect("template");
    let pairs = pairs(&template, &tokenizer, 6);
    assert!(pairs.iter().all(|p| p.plus.answer.len() == 2), "an answer of two tokens");
    let hooks = HookSet::parse(["blocks.2.hook_resid_post", "blocks.1.attn.hook_z"], 4).expect("hooks");
    let extraction = Extraction::new(&checkpoint, &tokenizer)
        .hooks(hooks.clone())
        .tokens([TokenRule::Mean, TokenRule::AnswerMean, TokenRule::Last, TokenRule::First, TokenRule::Last])
        .batch_tokens(400);
    let store = finished(extraction.run(&pairs, folder.path().join("store"), &mut ()).expect("extract"));
    let names: Vec<String> = store.manifest().columns.iter().map(Column::name).collect();
    let rules = ["", "@first", "@mean", "@answer_mean"];
    let hook = |hook: &'static str| rules.map(|rule| format!("{hook}{rule}"));
    let expected = [hook("blocks.1.attn.hook_z"), hook("blocks.2.hook_resid_post")].concat();
    let answers = ["answer_logprob", "answer_logprob_mean"].map(str::to_owned);
    assert_eq!(names, [expected, answers.to_vec()].concat());
    assert_eq!(store.manifest().token_rules(), ["last", "first", "mean", "answer_mean"]);

    // Each prompt alone, every token shown, in f64.
    let llama = Llama::load(&checkpoint, Precision::F64, Device::Cpu).expect("load");
    for (row, pair) in pairs.iter().enumerate() {
        for (side, prompt) in [(SideOf::Plus, &pair.plus), (SideOf::Minus, &pair.minus)] {
            let mut all = Capture::new(hooks.clone(), Tokens::All).kind(Kind::Double);
            let batch = Batch::new(&[prompt.ids.as_slice()]).expect("batch");
            llama.forward(&batch, Forward::new().hook(&mut all)).expect("run");
            for (point, states) in all.finish() {
                let states: Vec<f64> = Vec::try_from(states.flatten(0, -1)).expect("values");
                let tokens: Vec<&[f64]> = states.chunks(128).collect(); // both points have 128 numbers a token
                let mean = |tokens: &[&[f64]]| -> Vec<f64> {
                    let at = |i: usize| tokens.iter().map(|t| t[i]).sum::<f64>() / tokens.len() as f64;
                    (0..128).map(at).collect()
                };
                let by_hand = [
                    ("", tokens[tokens.len() - 1].to_vec()),
                    ("@first", tokens[0].to_vec()),
                    ("@mean", mean(&tokens)),
                    ("@answer_mean", mean(&tokens[prompt.answer.clone()])),
                ];
                for (rule, expected) in by_hand {
                    let name = format!("{point}{rule}");
                    let found = store.column(&name).expect(&name).read_rows(side, row..row + 1).expect("row");
                    let error = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs());
                    let error = error.fold(0.0, f64::max);
                    let size = expected.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                    assert!(error < 1e-4 * size, "{name}, row {row}, {side}: {error} of {size}");
                }
            }
        }
    }
}

/// Asking for more rules changes no bit before the last block: the same batches go through the same kernels, and a hook only
/// looks. The last block goes on with the tokens that some rule reads (`mean` reads all), so its products have other shapes
/// and kernels may add up in another order: what leaves it, and the answer's log-probability after it, agree up to rounding.
#[test]
fn more_rules_change_no_bit_before_the_last_block_and_nothing_but_rounding_in_it() {
    let folder = tempfile::tempdir().expect("folder");
    let (checkpoint, tokenizer) = model();
    let pairs = pairs(&boolq::Template::named("llama-ccs").expect("built in"), &tokenizer, 20);
    let one = Extraction::new(&checkpoint, &tokenizer);
    let one = finished(one.run(&pairs, folder.path().join("one"), &mut ()).expect("extract"));
    let read = |store: &Store, name: &str, side| store.column(name).expect(name).read(side).expect("read");
    let last = checkpoint.config().n_layers;
    for (name, rules) in [
        ("all", TokenRule::ALL.to_vec()),
        ("two", vec![TokenRule::Last, TokenRule::First]),
        ("answers", vec![TokenRule::Last, TokenRule::AnswerMean]),
    ] {
        let more = Extraction::new(&checkpoint, &tokenizer).tokens(rules.clone());
        let more = finished(more.run(&pairs, folder.path().join(name), &mut ()).expect("extract"));
        for column in &one.manifest().columns {
            for side in SideOf::PAIR {
                let (own, others) = (read(&one, &column.name(), side), read(&more, &column.name(), side));
                if column.layer.is_some_and(|layer| layer < last) {
                    assert!(own == others, "{name}: {}", column.name());
                }
                let largest = own.iter().fold(0f32, |m, v| m.max(v.abs()));
                let apart = own.iter().zip(&others).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                assert_eq!(own.len(), others.len());
                assert!(apart <= F32 * largest, "{name}: {}: {apart} of {largest}", column.name());
                if column.layer.is_some() && rules.contains(&TokenRule::AnswerMean) {
                    // True and False are one token, the last: their mean, in f64, is that token's state, to the bit.
                    let mean = format!("{}@answer_mean", column.hook);
                    assert!(others == read(&more, &mean, side), "{name}: {mean}");
                }
            }
        }
        if rules.contains(&TokenRule::Mean) {
            assert_eq!(HookPoint::of_layer(0).to_string(), more.layers("mean")[0].1.hook);
        }
    }
}

#[test]
fn a_template_is_recorded_with_its_text_if_a_pair_is_of_it() {
    let folder = tempfile::tempdir().expect("folder");
    let (checkpoint, tokenizer) = model();
    let template = boolq::Template::from_source("two", TWO_WORDS).expect("template");
    let pairs = pairs(&template, &tokenizer, 2);
    let other = boolq::Template::named("statement").expect("built in");
    let wrong = Extraction::new(&checkpoint, &tokenizer).template(&other);
    let error = wrong.run(&pairs, folder.path().join("wrong"), &mut ()).expect_err("no pair is of it");
    assert!(matches!(&error, Error::TemplateOfNoPair { named, .. } if named == "two"), "{error}");

    let right = Extraction::new(&checkpoint, &tokenizer).template(&template);
    let store = finished(right.run(&pairs, folder.path().join("right"), &mut ()).expect("extract"));
    let recorded = &store.manifest().settings["templates"]["two"];
    assert_eq!(recorded["identity"], template.identity());
    assert_eq!(recorded["text"], serde_json::to_value(template.text()).expect("text"));
    assert_eq!(recorded["text"]["answers"], serde_json::json!(["True right", "False wrong"]));
}

/// Every token's state against the rules of one state: the last, the first, and the mean of all; of pairs that share their
/// beginnings, of pairs alone, streamed, and of single statements; interrupted and continued.
#[test]
fn all_tokens_hold_the_states_of_every_other_rule() {
    let folder = tempfile::tempdir().expect("folder");
    let (checkpoint, tokenizer) = model();
    let template = boolq::Template::from_source("two", TWO_WORDS).expect("template");
    let pairs = pairs(&template, &tokenizer, 9);
    let hooks = HookSet::parse(["blocks.2.hook_resid_post", "blocks.1.attn.hook_z"], 4).expect("hooks");
    let base = || {
        let rules = [TokenRule::All, TokenRule::Mean, TokenRule::Last, TokenRule::First];
        Extraction::new(&checkpoint, &tokenizer).hooks(hooks.clone()).tokens(rules).batch_tokens(150)
    };
    let little = base().max_memory(1).run(&pairs, folder.path().join("none"), &mut ());
    let Err(Error::TooLittleMemory { needed, .. }) = little else { panic!("one byte: {little:?}") };
    let mut first: Option<Store> = None;
    for (name, extraction) in [
        ("shared", base()),
        ("alone", base().sharing(false)),
        ("streamed", base().max_memory(needed)),
        ("deterministic", base().deterministic(true)),
    ] {
        let store = finished(extraction.run(&pairs, folder.path().join(name), &mut ()).expect("extract"));
        assert_eq!(store.manifest().token_rules(), ["last", "first", "mean", "all"]);
        for (side, tokens) in [SideOf::Plus, SideOf::Minus].map(|side| {
            let prompt = |p: &boolq::TokenizedPair| {
                if side == SideOf::Plus { p.plus.clone() } else { p.minus.clone() }
            };
            (side, pairs.iter().map(prompt).collect::<Vec<_>>())
        }) {
            let ids: Vec<Vec<u32>> = tokens.iter().map(|prompt| prompt.ids.clone()).collect();
            of_every_rule(&store, side, &ids);
            if let Some(first) = &first {
                let [own, other] = [first, &store].map(|store| {
                    store
                        .token_column("blocks.2.hook_resid_post@all")
                        .expect("column")
                        .read(side)
                        .expect("read")
                });
                assert_eq!((&own.ids, &own.offsets), (&other.ids, &other.offsets));
                let largest = own.states.iter().fold(0f32, |m, v| m.max(v.abs()));
                let apart = own.states.iter().zip(&other.states).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                assert!(apart <= F32 * largest, "{name}: {apart} of {largest}");
            }
        }
        let texts = store.token_texts().expect("texts").expect("a store that was begun today has them");
        let used: BTreeSet<u32> =
            pairs.iter().flat_map(|p| p.plus.ids.iter().chain(&p.minus.ids)).copied().collect();
        assert!(texts.keys().eq(&used), "of every id that prompts have, and of no other");
        assert!(texts.iter().all(|(&id, text)| text == tokenizer.piece(id)));
        first.get_or_insert(store);
    }

    // A statement's tokens are those of the pair's side with the same text, and a stopped run goes on to the same bytes.
    let of_plus = |pair: &boolq::TokenizedPair| boolq::TokenizedStatement {
        statement: boolq::Statement {
            idx: pair.pair.idx,
            prompt: pair.pair.plus_prompt.clone(),
            label: pair.pair.label,
            question_id: pair.pair.question_id.clone(),
            group: pair.pair.group.clone(),
            template: pair.pair.template.clone(),
            dataset: pair.pair.dataset.clone(),
            chat: None,
            columns: pair.pair.columns.clone(),
        },
        ids: pair.plus.ids.clone(),
    };
    let statements: Vec<_> = pairs.iter().map(of_plus).collect();
    let whole = folder.path().join("whole");
    finished(base().run(&statements, &whole, &mut ()).expect("extract"));
    let stopped = folder.path().join("stopped");
    let outcome = base().run(&statements, &stopped, &mut Once(0)).expect("extract");
    assert!(matches!(outcome, Outcome::Stopped { done: 1.., .. }));
    let store = finished(base().run(&statements, &stopped, &mut ()).expect("extract"));
    assert_eq!(crate::support::contents(&whole), crate::support::contents(&stopped));
    let ids: Vec<Vec<u32>> = statements.iter().map(|one| one.ids.clone()).collect();
    of_every_rule(&store, SideOf::Statement, &ids);
}

/// Stops after the first batch.
struct Once(usize);

impl llama_ccs::Observer for Once {
    fn rows(&mut self, _done: usize, _total: usize) -> std::ops::ControlFlow<()> {
        self.0 += 1;
        if self.0 > 1 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    }
}

/// The states of all tokens of a side, whose ids are these, against the store's columns of one state a prompt.
fn of_every_rule(store: &Store, side: SideOf, ids: &[Vec<u32>]) {
    for hook in ["blocks.1.attn.hook_z", "blocks.2.hook_resid_post"] {
        let all = store.token_column(&format!("{hook}@all")).expect("column");
        let found = all.read(side).expect("states");
        assert_eq!(found.ids, ids.concat());
        let width = all.token_len();
        let one =
            |rule: &str| store.column(&format!("{hook}{rule}")).expect("column").read(side).expect("states");
        let (last, first, mean) = (one(""), one("@first"), one("@mean"));
        for (row, ids) in ids.iter().enumerate() {
            let tokens: Vec<&[f32]> = found.row(row).expect("a row").chunks(width).collect();
            assert_eq!(tokens.len(), ids.len());
            let at = row * width..(row + 1) * width;
            // The same numbers of one pass, copied by two hooks.
            assert!(tokens[ids.len() - 1] == &last[at.clone()], "{hook}, row {row}, {side}: the last");
            assert!(tokens[0] == &first[at.clone()], "{hook}, row {row}, {side}: the first");
            for (i, mean) in mean[at].iter().enumerate() {
                let sum: f64 = tokens.iter().map(|token| f64::from(token[i])).sum();
                let largest = tokens.iter().fold(0f32, |m, token| m.max(token[i].abs()));
                let apart = (f64::from(*mean) - sum / ids.len() as f64).abs();
                // A sum of n numbers in f32, then a quotient.
                let most = (ids.len() + 1) as f64 * f64::from(f32::EPSILON) * f64::from(largest);
                assert!(apart <= most, "{hook}, row {row}, {side}: the mean, {apart}");
            }
        }
    }
}

#[test]
fn the_program_says_how_large_a_store_of_all_tokens_is() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let prompts = crate::support::prompts(dir, 6);
    let mut command = crate::support::extract(&prompts, &dir.join("store"));
    command.args([
        "--tokens",
        "all,last",
        "--hooks",
        "blocks.{1,2}.hook_resid_post",
        "--store-dtype",
        "f16",
        "--json",
    ]);
    let output = command.assert().success().get_output().clone();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let store = Store::open(dir.join("store")).expect("store");
    let tokens: u64 = store.manifest().tokens.iter().flatten().map(|of| of.count).sum();
    // Two layers of 128 numbers in f16 for every token, and for every last one; two log-probabilities of each side.
    let bytes = 2 * 128 * 2 * (tokens + 12) + 2 * 12 * 4;
    assert_eq!(json["bytes"], bytes);
    let mut info = crate::support::llama_ccs();
    let shown =
        info.args(["store", "info"]).arg(dir.join("store")).assert().success().get_output().stdout.clone();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let plus = store.manifest().tokens.iter().flatten().next().expect("a side").count;
    assert!(shown.contains(&format!("all tokens  {plus} plus, ")), "{shown}");
    let mut export = crate::support::llama_ccs();
    export
        .args(["store", "export"])
        .arg(dir.join("store"))
        .args(["--tokens", "all", "--out"])
        .arg(dir.join("out"));
    let said = export.assert().failure().get_output().stderr.clone();
    assert!(String::from_utf8_lossy(&said).contains("the states are of all tokens"));
    let mut fit = crate::support::ccs();
    fit.arg("fit").arg(dir.join("store")).args(["--tokens", "all", "--methods", "ccs", "--out"]);
    let said = fit.arg(dir.join("run")).assert().failure().get_output().stderr.clone();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("the data holds those of all tokens"), "{said}");
}

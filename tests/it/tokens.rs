//! Several token rules from one forward pass: each against what the model shows of every token.

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
        Outcome::Stopped { .. } => panic!("nothing stops it"),
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

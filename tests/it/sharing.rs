//! What prompts share is computed once, and that changes nothing but rounding; edits are recorded and switch it off.

use llama_ccs::activations::{SideOf, Store};
use llama_ccs::llama_core::tch::Tensor;
use llama_ccs::llama_core::{Change, Checkpoint, Edit, Edits, HookPoint, Tokenizer, Tokens};
use llama_ccs::{Extraction, Outcome, boolq, tokenize_all};

use crate::support::{F32, quiz};

/// The template of llama-ccs, one that begins like it and ends otherwise, and one that begins with other words.
const TEMPLATES: [(&str, &str); 3] = [
    (
        "long",
        "{{ passage }}\n\nAfter reading this passage, I have a question: {{ question }}?\n\nTrue or False: {{ answer }}",
    ),
    ("short", "{{# answers: True right | False #}}\n{{ passage }}\n\nis it so {{ question }}? {{ answer }}"),
    ("question first", "I have a question: {{ question }}? {{ passage }}\n\nTrue or False: {{ answer }}"),
];

fn model() -> (Checkpoint, Tokenizer) {
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("model");
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    (checkpoint, tokenizer)
}

fn pairs(tokenizer: &Tokenizer, limit: usize) -> Vec<boolq::TokenizedPair> {
    let template = |(name, source): &(&str, &str)| {
        boolq::Template::from_source(name, &source.replace("{{#", "{#").replace("#}}", "#}"))
            .expect("template")
    };
    let templates: Vec<_> = TEMPLATES.iter().map(template).collect();
    let mut data = boolq::Dataset::load(quiz().join("questions.jsonl")).expect("questions");
    data.questions.truncate(limit);
    tokenize_all(boolq::pairs_with(&data, &templates).expect("pairs").pairs, tokenizer).expect("tokens")
}

fn stored(extraction: &Extraction<'_>, pairs: &[boolq::TokenizedPair], out: &std::path::Path) -> Store {
    match extraction.run(pairs, out, &mut ()).expect("extract") {
        Outcome::Finished(store) => store,
        _ => panic!("nothing stops it"),
    }
}

/// The largest difference of a column over its largest value.
fn difference(one: &Store, other: &Store, column: &str) -> f32 {
    let both = [SideOf::Plus, SideOf::Minus].map(|side| {
        let read = |store: &Store| store.column(column).expect("column").read(side).expect("values");
        let (one, other) = (read(one), read(other));
        let largest = one.iter().fold(0f32, |m, v| m.max(v.abs()));
        let apart = one.iter().zip(&other).map(|(a, b)| (a - b).abs());
        assert_eq!(one.len(), other.len());
        apart.max_by(f32::total_cmp).expect("values") / largest
    });
    both.into_iter().max_by(f32::total_cmp).expect("two sides")
}

#[test]
fn shared_prompts_have_the_states_they_have_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let (checkpoint, tokenizer) = model();
    let pairs = pairs(&tokenizer, 12);
    let of = |name: &str, sharing: bool, batch_tokens: usize| {
        let extraction = Extraction::new(&checkpoint, &tokenizer).sharing(sharing).batch_tokens(batch_tokens);
        stored(&extraction, &pairs, &folder.path().join(name))
    };
    let alone = of("alone", false, 1);
    assert_eq!(alone.manifest().batches.len(), pairs.len());
    for (name, tokens) in [("one", 1), ("some", 500), ("all", 100_000)] {
        let shared = of(name, true, tokens);
        assert_eq!(shared.manifest().settings["extraction"]["sharing"], true);
        for column in ["hook_embed", "blocks.1.hook_resid_post", "blocks.3.hook_resid_post", "answer_logprob"]
        {
            let difference = difference(&alone, &shared, column);
            assert!(difference < F32, "{name}, {column}: {difference}");
        }
    }
    // The two templates that begin with the passage are together, the third is not.
    let one = Store::open(folder.path().join("one")).expect("store");
    let mut sizes: Vec<usize> = one.manifest().batches.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [vec![1; 12], vec![2; 12]].concat());
}

#[test]
fn edits_are_recorded_and_of_the_tokens_they_name() {
    let folder = tempfile::tempdir().expect("folder");
    let (checkpoint, tokenizer) = model();
    let pairs = pairs(&tokenizer, 4);
    let direction = Tensor::ones(
        [checkpoint.config().dim],
        (llama_ccs::llama_core::tch::Kind::Float, llama_ccs::llama_core::tch::Device::Cpu),
    );
    let edit = |tokens| {
        Edits::from(Edit::new(
            HookPoint::of_layer(2).to_string(),
            tokens,
            Change::add(&direction, 0.5).expect("edit"),
        ))
    };
    let plain = stored(&Extraction::new(&checkpoint, &tokenizer), &pairs, &folder.path().join("plain"));
    for (name, tokens) in [("all", Tokens::All), ("last", Tokens::Last)] {
        let edits = edit(tokens);
        let extraction = Extraction::new(&checkpoint, &tokenizer).edits(&edits);
        let edited = stored(&extraction, &pairs, &folder.path().join(name));
        let settings = &edited.manifest().settings;
        assert_eq!(settings["extraction"]["sharing"], false, "{name}");
        assert_eq!(settings["edits"], edits.to_json().expect("json"));
        assert!(difference(&plain, &edited, "blocks.0.hook_resid_post") < F32, "before the edit");
        let read = |store: &Store| {
            store.column("blocks.1.hook_resid_post").expect("column").read(SideOf::Minus).expect("values")
        };
        // Half of one, at the last token, which is edited by both.
        let (before, after) = (read(&plain), read(&edited));
        assert!(before.iter().zip(&after).all(|(b, a)| (a - b - 0.5).abs() < 1e-3), "{name}");
        assert!(difference(&plain, &edited, "blocks.3.hook_resid_post") > 1e-3, "after the edit");
    }
    // At all tokens more changes than at the last one.
    let [all, last] = ["all", "last"].map(|name| Store::open(folder.path().join(name)).expect("store"));
    assert!(difference(&all, &last, "blocks.3.hook_resid_post") > 1e-3);
    // An edit that does not fit the model is refused before a store is there.
    let wrong = Edits::from(Edit::new("blocks.9.hook_mlp_out", Tokens::All, Change::Zero));
    let out = folder.path().join("wrong");
    let error = Extraction::new(&checkpoint, &tokenizer)
        .edits(&wrong)
        .run(&pairs, &out, &mut ())
        .expect_err("block 9");
    assert!(error.to_string().contains("blocks.9.hook_mlp_out") && !out.exists(), "{error}");
}

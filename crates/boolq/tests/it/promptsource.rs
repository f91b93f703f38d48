//! promptsource's templates against jinja2 and `PyYAML`: `fixtures/make.py` wrote what is expected here.

use crate::toy::{BytePairs, Words};
use crate::with_hint;
use boolq::{
    AnswerSpans, ContrastPair, Dataset, DatasetOptions, Error, Selection, Template, TokenizedPair, Tokenizer,
    Warning, blank, pairs_with, prompts, select,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use test_material::shared;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures");

fn fixture(file: &str) -> PathBuf {
    Path::new(FIXTURES).join(file)
}

fn json<T: serde::de::DeserializeOwned>(file: &str) -> T {
    serde_json::from_str(&fs_err::read_to_string(fixture(file)).expect("readable")).expect("JSON")
}

/// The ten BoolQ templates over BoolQ's development set.
fn ten_templates() -> Option<&'static (Vec<Template>, Vec<ContrastPair>)> {
    static MADE: OnceLock<Option<(Vec<Template>, Vec<ContrastPair>)>> = OnceLock::new();
    let make = || {
        let data = Dataset::load(shared("data/boolq/dev.jsonl")?).expect("readable");
        let templates =
            Template::in_file(shared("data/templates/super_glue_boolq.yaml")?).expect("templates");
        let made = pairs_with(&data, &templates).expect("renders");
        assert_eq!(made.warnings, []);
        Some((templates, made.pairs))
    };
    MADE.get_or_init(make).as_ref()
}

#[test]
fn our_own_templates_as_jinja2_renders_them() {
    let templates = Template::in_file(fixture("templates.yaml")).expect("templates");
    let data = DatasetOptions::new().for_templates(&templates).load(fixture("rows.jsonl")).expect("rows");
    let made = pairs_with(&data, &templates).expect("renders");
    let expected: Vec<Value> = json("expected.json");
    assert_eq!(made.pairs.len(), expected.len());
    for (pair, expected) in made.pairs.iter().zip(&expected) {
        assert_eq!(Some(pair.idx), expected["idx"].as_u64());
        assert_eq!(Some(pair.template.as_str()), expected["template"].as_str());
        assert_eq!(Some(pair.plus_prompt.as_str()), expected["plus"].as_str(), "{}", pair.template);
        assert_eq!(Some(pair.minus_prompt.as_str()), expected["minus"].as_str(), "{}", pair.template);
    }
    // The two targets share their first words in one template, and in one row of another: they are whole all the same.
    let inexact = |warning: &Warning| matches!(warning, Warning::AnswerNotExact { .. });
    assert!(!made.warnings.iter().any(inexact), "{:?}", made.warnings);
    for pair in &made.pairs {
        let (plus, minus) = (&pair.plus_prompt, &pair.minus_prompt);
        assert_eq!(pair.answers.check(plus, minus), Ok(()));
        assert_eq!((pair.answers.plus.end, pair.answers.minus.end), (plus.len(), minus.len()));
    }
}

#[test]
fn the_ten_boolq_templates_as_jinja2_renders_them() {
    let Some((templates, made)) = ten_templates() else { return };
    let expected: BTreeMap<String, String> = json("super_glue_boolq.json");
    let names: BTreeSet<&str> = templates.iter().map(Template::name).collect();
    assert!(names.iter().eq(expected.keys()), "{names:?}");
    let mut hashers: BTreeMap<&str, blake3::Hasher> = BTreeMap::new();
    for pair in made {
        let hasher = hashers.entry(&pair.template).or_default();
        for text in [&pair.plus_prompt, &pair.minus_prompt] {
            hasher.update(text.as_bytes()).update(b"\0");
        }
    }
    for (name, hasher) in hashers {
        assert_eq!(hasher.finalize().to_hex().as_str(), expected[name], "{name}");
    }
}

#[test]
fn one_row_an_example_and_template_and_all_of_an_example_together() {
    let Some((templates, made)) = ten_templates() else { return };
    assert_eq!(made.len(), 3270 * 10);
    for (example, idx) in made.chunks(10).zip(0..) {
        let first = &example[0];
        for (pair, template) in example.iter().zip(templates) {
            assert_eq!((pair.idx, pair.template.as_str()), (idx, template.name()));
            assert_eq!((&pair.question_id, &pair.group), (&first.question_id, &first.group));
            assert_eq!(pair.label, first.label);
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("prompts.csv");
    prompts::write(&path, made).expect("writes");
    assert!(prompts::read(&path).expect("reads").pairs == *made);
}

#[test]
fn the_ten_boolq_templates_with_a_prefix_and_without_a_passage() {
    let Some((templates, made)) = ten_templates() else { return };
    let data = Dataset::load(shared("data/boolq/dev.jsonl").expect("there")).expect("readable");
    let prefix = "Question: is {{ passage }} {% water %} dry?\nAnswer: \"Yes\" ||| No\n\n";
    let misled: Vec<Template> =
        templates.iter().map(|template| template.with_prefix(prefix).expect("a prefix")).collect();
    for (pair, misled) in made.iter().zip(pairs_with(&data, &misled).expect("renders").pairs) {
        let before = |prompt: &str| format!("{prefix}{prompt}");
        let moved = |span: &std::ops::Range<usize>| span.start + prefix.len()..span.end + prefix.len();
        let expected = ContrastPair {
            plus_prompt: before(&pair.plus_prompt),
            minus_prompt: before(&pair.minus_prompt),
            answers: AnswerSpans { plus: moved(&pair.answers.plus), minus: moved(&pair.answers.minus) },
            ..pair.clone()
        };
        assert!(misled == expected, "{misled:?}\n{pair:?}");
    }

    let passages: BTreeMap<u64, &str> =
        data.questions.iter().map(|q| (q.row, q.passage.as_deref().expect("a passage"))).collect();
    let without = blank(&data, templates, made).expect("blank");
    assert_eq!(without.len(), made.len());
    for (pair, blank) in made.iter().zip(&without) {
        assert_eq!((pair.idx, &pair.group, &pair.template), (blank.idx, &blank.group, &blank.template));
        assert!(
            pair.plus_prompt.contains(passages[&pair.idx])
                && !blank.plus_prompt.contains(passages[&pair.idx])
        );
        let question = &data.questions[pair.idx as usize].question;
        assert!(blank.plus_prompt.contains(question.as_str()), "{}", blank.plus_prompt);
    }
    assert!(
        prompts::write(tempfile::tempdir().expect("a folder").path().join("blank.csv"), &without).is_ok()
    );
}

/// The text that the answer's tokens cover.
fn answer_text(tokenizer: &(impl Tokenizer + ?Sized), text: &str, answer: std::ops::Range<usize>) -> String {
    let tokens = tokenizer.encode(text).expect("tokenizes");
    let tokens = &tokens[answer];
    text[tokens[0].span.start..tokens[tokens.len() - 1].span.end].to_owned()
}

#[test]
fn answers_are_found_whether_the_space_is_a_token_or_part_of_one() {
    fn check(made: &[ContrastPair], tokenizer: &(impl Tokenizer + ?Sized), longest: usize) {
        for pair in made {
            let tokenized = TokenizedPair::new(pair.clone(), tokenizer).expect("an answer");
            for (text, prompt) in
                [(&pair.plus_prompt, &tokenized.plus), (&pair.minus_prompt, &tokenized.minus)]
            {
                let answer = answer_text(tokenizer, text, prompt.answer.clone());
                assert!(["Yes", "No", "True", "False"].contains(&answer.trim_start()), "{answer:?}");
                assert!((1..=longest).contains(&prompt.answer.len()), "{answer:?}");
                assert_eq!(prompt.answer.end, prompt.ids.len(), "the answer ends the prompt");
            }
            assert!(!tokenized.seam, "{}: the answer begins a token on both sides", pair.template);
        }
    }
    let Some((_, made)) = ten_templates() else { return };
    check(&made[..500], &Words, 1);
    check(&made[..500], &BytePairs, 2);
}

#[test]
fn long_answers_have_all_their_tokens() {
    let templates = Template::in_file(fixture("templates.yaml")).expect("templates");
    let data = Dataset::load(fixture("rows.jsonl")).expect("rows");
    let made = pairs_with(&data, &templates).expect("renders").pairs;
    let answers = |template: &str| {
        let pair = made.iter().find(|pair| pair.template == template).expect("a pair");
        let tokenized = TokenizedPair::new(pair.clone(), &BytePairs).expect("an answer");
        (
            answer_text(&BytePairs, &pair.plus_prompt, tokenized.plus.answer),
            answer_text(&BytePairs, &pair.minus_prompt, tokenized.minus.answer),
        )
    };
    assert_eq!(
        answers("long answers, a literal block"),
        (" I say that this\nis right.".into(), " I say that this is wrong.".into())
    );
    assert_eq!(answers("answers from the row"), (" KITE does".into(), " Kite does not".into()));
    assert_eq!(answers("numbers, booleans and no HTML"), (" correct".into(), " incorrect".into()));
}

#[test]
fn a_question_is_kept_with_all_its_templates_or_none() {
    let Some((templates, made)) = ten_templates() else { return };
    let of = |longest, limit| {
        let selection = Selection { max_seq_len: Some(longest), limit: Some(limit), ..Selection::default() };
        select(made, &Words, &selection).expect("selects")
    };
    let selected = of(100, 400);
    assert_eq!((selected.kept, selected.examples.len()), (400, 4000));
    assert_eq!(selected.considered, 400 + selected.dropped.len());
    for example in selected.examples.chunks(10) {
        let names: Vec<_> = example.iter().map(|pair| pair.pair.template.as_str()).collect();
        assert!(names.iter().copied().eq(templates.iter().map(Template::name)));
        assert!(example.iter().all(|pair| pair.pair.idx == example[0].pair.idx && pair.longer_side() <= 100));
    }
    // Some question fits under a short template and not under a longer one.
    let partly = selected.dropped.iter().any(|d| d.template.as_deref() != Some(templates[0].name()));
    assert!(partly);
    let first: Vec<u64> = of(100, 20).examples.iter().map(|pair| pair.pair.idx).collect();
    assert!(selected.examples.iter().map(|pair| pair.pair.idx).take(200).eq(first));
}

#[test]
fn templates_are_chosen_by_file_name_and_id() {
    let file = fixture("templates.yaml").display().to_string();
    let names = |specs: &[&str]| {
        let specs: Vec<String> = specs.iter().map(|spec| spec.replace("FILE", &file)).collect();
        let templates = Template::resolve_all(&specs)?;
        Ok::<Vec<String>, Error>(templates.iter().map(|template| template.name().to_owned()).collect())
    };
    assert_eq!(names(&["FILE"]).expect("all").len(), 6);
    let some =
        ["FILE:Escaped style", "FILE:One asks...", "llama-ccs", "FILE:00000000-0000-0000-0000-00000000000a"];
    assert_eq!(names(&some).expect("four"), ["Escaped style", "One asks…", "llama-ccs", "folded_quotes"]);
    assert_eq!(names(&["FILE:One asks…"]).expect("one"), ["One asks…"]);

    let misspelled = with_hint(&names(&["FILE:escaped stile"]).expect_err("no such name"));
    assert!(
        misspelled.contains("did you mean `Escaped style`?") && misspelled.contains("One asks…"),
        "{misspelled}"
    );
    let twice = with_hint(&names(&["FILE", "FILE:folded_quotes"]).expect_err("twice"));
    assert!(twice.contains("folded_quotes"), "{twice}");
    assert!(matches!(names(&["FILE.gone.yaml:x"]), Err(Error::Io(_))));
    assert!(matches!(names(&["folded_quotes"]), Err(Error::UnknownTemplate { .. })));
}

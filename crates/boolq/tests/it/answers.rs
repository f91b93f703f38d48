//! Answers that are whole sentences, in the forms of COPA and PIQA, from the data file to their tokens.

use crate::toy::BytePairs;
use boolq::{
    ContrastPair, DatasetOptions, Selection, Template, TokenizedPair, Tokenizer as _, Warning, pairs,
    prompts, select,
};

const COPA: &str = r#"{"premise": "The woman asked the man to leave", "choice1": "He had insulted her.", "choice2": "He had thanked her.", "question": "cause", "label": 0}
{"premise": "The vase fell", "choice1": "It broke.", "choice2": "It broke into small pieces.", "question": "effect", "label": 1}
{"premise": "Él se rió 🦙", "choice1": "el chiste fue bueno", "choice2": "el chiste fue malo", "question": "cause", "label": 0}
"#;

const PIQA: &str = r#"{"goal": "How do I line a cage?", "sol1": "Line it with strips of paper, and add a bottle of water and a dish.", "sol2": "Line it with strips of denim, and add a bottle of water and a dish.", "label": 0}
{"goal": "How do I dry a cup?", "sol1": "Dry it with a towel.", "sol2": "Dry it with a towel that is wet.", "label": 1}
"#;

/// The pairs of a data set's text, by way of a prompts file.
fn made(jsonl: &str, template: &Template) -> (Vec<ContrastPair>, Vec<Warning>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, csv) = (folder.path().join("data.jsonl"), folder.path().join("prompts.csv"));
    fs_err::write(&data, jsonl).expect("writable");
    let data =
        DatasetOptions::new().for_templates(std::slice::from_ref(template)).load(data).expect("readable");
    let made = pairs(&data, template).expect("renders");
    prompts::write(&csv, &made.pairs).expect("writes");
    let read = prompts::read(&csv).expect("reads");
    assert_eq!(read.pairs, made.pairs);
    assert_eq!(read.warnings, [], "the file says all that there is to know");
    (read.pairs, made.warnings)
}

fn answers(pair: &ContrastPair) -> [&str; 2] {
    [&pair.plus_prompt[pair.answers.plus.clone()], &pair.minus_prompt[pair.answers.minus.clone()]]
}

/// COPA's pairs have these answers, and nothing else after the premise.
fn check_copa(template: &Template) {
    let (pairs, warnings) = made(COPA, template);
    assert_eq!(warnings, [Warning::GroupFromPrompt { pairs: 3 }], "{}", template.name());
    let expected = [
        ["He had thanked her.", "He had insulted her."],
        ["It broke into small pieces.", "It broke."],
        ["el chiste fue malo", "el chiste fue bueno"],
    ];
    for (pair, expected) in pairs.iter().zip(expected) {
        assert_eq!(answers(pair), expected, "{}", template.name());
        let before = &pair.plus_prompt[..pair.answers.plus.start];
        assert!(before.ends_with("because ") || before.ends_with("therefore "), "{before}");
        assert_eq!(pair.group, boolq::group_of(before), "a group of what comes before the whole answer");
    }
}

#[test]
fn sentences_are_whole_answers_however_a_template_prints_them() {
    let link = r#"{% if question == "cause" %}because{% else %}therefore{% endif %}"#;
    let promptsource = format!("{{{{ premise }}}} {link} ||| {{{{ answer_choices[label] }}}}");
    let copa = Template::from_promptsource("theirs", &promptsource, "{{choice1}} ||| {{choice2}}");
    check_copa(&copa.expect("compiles"));
    // A Jinja file has True and False for answers, and chooses the row's sentences by them.
    for (name, printed) in [
        ("if", r#"{% if answer == "True" %}{{ choice2 }}{% else %}{{ choice1 }}{% endif %}"#),
        ("inline", r#"{{ choice2 if answer == "True" else choice1 }}"#),
        ("set", r#"{% set said = choice2 if answer == "True" else choice1 %}{{ said|trim }}"#),
        ("dict", r#"{{ {"True": choice2, "False": choice1}[answer] }}"#),
        ("list", r#"{{ [choice1, choice2][(answer == "True")|int] }}</s>"#),
    ] {
        let source = format!("{{{{ premise }}}} {link} {printed}");
        check_copa(&Template::from_source(name, &source).expect("compiles"));
    }
}

#[test]
fn all_tokens_of_a_solution_are_the_answers() {
    let jinja = "Question: {{ goal }}\nAnswer: ||| {{ answer_choices[label] }}";
    let piqa = Template::from_promptsource("piqa", jinja, "{{sol1}} ||| {{sol2}}").expect("compiles");
    let (pairs, _) = made(PIQA, &piqa);
    let selected = select(&pairs, &BytePairs, &Selection::default()).expect("selects");
    assert_eq!(selected.warnings, []);
    for TokenizedPair { pair, plus, minus, .. } in &selected.examples {
        for (prompt, tokens, span) in
            [(&pair.plus_prompt, plus, &pair.answers.plus), (&pair.minus_prompt, minus, &pair.answers.minus)]
        {
            let all = BytePairs.encode(prompt).expect("tokenizes");
            let (first, last) = (&all[tokens.answer.start], &all[tokens.answer.end - 1]);
            // The space before a word belongs to the word's token.
            assert_eq!(&prompt[first.span.start..last.span.end], &prompt[span.start - 1..]);
            assert_eq!(tokens.answer.end, tokens.ids.len());
            assert!(
                prompt[span.clone()].starts_with("Line it") || prompt[span.clone()].starts_with("Dry it")
            );
        }
    }
}

#[test]
fn a_target_is_the_answer_with_all_that_stands_in_it() {
    let jinja = "{{ goal }} ||| The answer is: {{ answer_choices[label] }} </s>";
    let template = Template::from_promptsource("t", jinja, "{{sol1}} ||| {{sol2}}").expect("compiles");
    let (pairs, _) = made(PIQA, &template);
    assert_eq!(answers(&pairs[1])[1], "The answer is: Dry it with a towel. </s>");
}

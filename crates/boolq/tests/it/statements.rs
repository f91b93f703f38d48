//! Single statements: rendered, grouped, selected, written and read again.

use std::path::Path;

use crate::toy::{BOS, Words, id_of};
use boolq::prompts::{self, Prompts};
use boolq::{
    DataColumns, Dataset, DropReason, Error, Selection, Statement, Template, TokenizedStatement, Warning,
    preview_statement, select, statements, statements_with,
};
use proptest::prelude::*;

fn data(folder: &Path, text: &str) -> Dataset {
    let path = folder.join("cities.csv");
    fs_err::write(&path, text).expect("writable");
    Dataset::load(path).expect("data")
}

const CITIES: &str = "statement,label,city,answer\n\
    The city of Oslo is in Norway.,1,Oslo,x\n\
    The city of Oslo is in Chad.,0,Oslo,y\n\
    The city of Lima is in Peru.,1,Lima,z\n";

#[test]
fn a_statement_is_the_text_with_the_groups_and_columns_of_a_pair() {
    let folder = tempfile::tempdir().expect("folder");
    let data = data(folder.path(), CITIES);
    let made = statements(&data, &Template::as_is()).expect("renders");
    let [oslo, chad, lima] = made.statements.as_slice() else { panic!("three statements") };
    assert_eq!(
        (oslo.prompt.as_str(), oslo.label, chad.label),
        ("The city of Oslo is in Norway.", true, false)
    );
    assert_eq!((oslo.idx, oslo.template.as_str(), oslo.dataset.as_str()), (0, "as-is", "cities"));
    let pairs = boolq::pairs(&data, &Template::named("statement").expect("built in")).expect("pairs").pairs;
    for (statement, pair) in made.statements.iter().zip(&pairs) {
        assert_eq!((&statement.group, &statement.columns), (&pair.group, &pair.columns));
        assert_eq!((&statement.question_id, statement.label), (&pair.question_id, pair.label));
    }
    assert_eq!((oslo.group == chad.group, oslo.group == lima.group), (true, false));
}

#[test]
fn a_template_with_an_answer_is_refused_whatever_it_does_with_it() {
    let folder = tempfile::tempdir().expect("folder");
    let data = data(folder.path(), CITIES);
    let refused = |template: &Template| {
        let error = statements(&data, template).expect_err("it has an answer");
        assert!(error.hint().is_some_and(|hint| hint.contains("as-is")), "{error}");
        error.to_string()
    };
    // The data have a column of that name, which must not be taken for the answer, nor the answer for it.
    for source in [
        "{{ statement }} {{ answer }}",
        "{{ statement }}{% if answer == 'True' %}!{% endif %}",
        "{{ statement ~ answer|upper }}",
    ] {
        let template = Template::from_source("t", source).expect("compiles");
        assert!(refused(&template).contains("it uses `answer`"), "{source}");
    }
    let named = Template::from_source("t", "{# answers: Yes | No #}\n{{ statement }}").expect("compiles");
    assert!(refused(&named).contains("names two answers"));
    let theirs =
        Template::from_promptsource("t", "{{ statement }} ||| {{ answer_choices[label] }}", "No ||| Yes");
    assert!(refused(&theirs.expect("compiles")).contains("a target, which is an answer"));
    let asks = "{% if answer is defined %}x{% endif %}{{ statement }}";
    let asks = Template::from_source("t", asks).expect("compiles");
    assert_eq!(
        statements(&data, &asks).expect("it has none").statements[2].prompt,
        "The city of Lima is in Peru."
    );
    // And a pair needs one.
    let error = boolq::pairs(&data, &Template::as_is()).expect_err("no answer");
    assert!(error.hint().is_some_and(|hint| hint.contains("a single statement, not a pair")), "{error}");
}

#[test]
fn several_templates_keep_the_statements_of_a_row_together() {
    let folder = tempfile::tempdir().expect("folder");
    let data = data(folder.path(), CITIES);
    let long = Template::from_source("long", "It is said that {{ statement }}").expect("compiles");
    let misled = Template::as_is().with_prefix("All is false. ").expect("a prefix");
    let made = statements_with(&data, &[misled, long.clone()]).expect("renders");
    assert_eq!(made.statements[4].prompt, "All is false. The city of Lima is in Peru.");
    let tokens = |n| Selection { max_seq_len: Some(n), ..Selection::default() };
    let all = select(&made.statements, &Words, &tokens(100)).expect("selects");
    assert_eq!((all.kept, all.examples.len(), all.considered), (3, 6, 3));
    assert_eq!(all.examples[0].ids[..2], [BOS, id_of("All")]);
    let balanced = Selection { balance: Some(1), ..tokens(100) };
    let balanced = select(&made.statements, &Words, &balanced).expect("selects");
    assert_eq!((balanced.kept, balanced.dropped.len()), (2, 1));
    let none = select(&made.statements, &Words, &tokens(9)).expect("selects");
    let reason = DropReason::StatementTooLong { tokens: 11, max_seq_len: 9 };
    assert_eq!(none.dropped[0].reason, reason);
    assert_eq!(none.dropped[0].reason.to_string(), "too long: 11 tokens, at most 9 are allowed");
    assert_eq!(none.warnings, [Warning::NothingKept { considered: 6 }]);
    assert!(matches!(statements_with(&data, &[long.clone(), long]), Err(Error::Template { .. })));
    let shown = preview_statement(&all.examples[1], &Words);
    assert!(shown.starts_with("idx 0 (statement 0 of cities, template long, group "), "{shown}");
    assert!(shown.contains("): true\nstatement: 12 tokens\n  It is said that The city"), "{shown}");
}

#[test]
fn texts_with_both_labels_and_guessed_groups_are_said() {
    let folder = tempfile::tempdir().expect("folder");
    let data = data(folder.path(), "statement,label\nA b c.,1\nD e f.,0\nG h i.,1\n");
    let made = statements(&data, &Template::as_is()).expect("renders");
    assert_eq!(made.warnings, [Warning::GroupFromPrompt { pairs: 3 }]);
    let one = |idx: u64, label: bool| Statement { idx, label, ..made.statements[0].clone() };
    let path = folder.path().join("s.csv");
    prompts::write_statements(&path, &[one(0, true), one(1, false)]).expect("writes");
    let read = prompts::read_statements(&path).expect("reads");
    assert!(matches!(
        read.warnings[..],
        [Warning::SingleGroup { pairs: 2 }, Warning::BothLabels { rows: [0, 1], .. }]
    ));
}

#[test]
fn the_file_is_recognized_filled_up_and_checked() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("own.csv");
    let read = |text: &str| {
        fs_err::write(&path, text).expect("writable");
        prompts::read_any(&path)
    };
    let Prompts::Statements(found) = read("idx,prompt,label\n7,A b.,1\n8,C d.,0\n").expect("reads") else {
        panic!("these are statements")
    };
    let first = &found.statements[0];
    assert_eq!(
        (first.idx, first.prompt.as_str(), first.label, first.question_id.as_str()),
        (7, "A b.", true, "7")
    );
    assert_eq!((first.template.as_str(), first.dataset.as_str()), (prompts::UNKNOWN_TEMPLATE, "own"));
    assert!(matches!(prompts::read(&path), Err(Error::SingleStatements { .. })));
    // Another program's pairs with a column of their own called `prompt`.
    assert!(matches!(
        read("idx,prompt,plus_prompt,minus_prompt,label\n0,a,a True,a False,1\n"),
        Ok(Prompts::Pairs(_))
    ));
    assert!(matches!(
        read("idx,plus_prompt,minus_prompt,label\n0,a True,a False,1\n"),
        Ok(Prompts::Pairs(_))
    ));
    assert!(matches!(prompts::read_statements(&path), Err(Error::MissingColumns { .. })));
    for other in ["plus_prompt", "minus_prompt", "plus_answer", "minus_answer", "plus_class", "minus_class"] {
        let mixed = read(&format!("idx,prompt,label,{other}\n0,a,1,b\n"));
        let Err(Error::MixedPrompts { column, .. }) = mixed else { panic!("{other}: {mixed:?}") };
        assert_eq!(column, other);
    }
    let cell = |rows: &str| match read(&format!("idx,prompt,label\n0,A b.,1\n{rows}")) {
        Err(Error::Cell { row: 1, column, .. }) => column,
        other => panic!("{rows}: {other:?}"),
    };
    assert_eq!(cell("x,A b.,1\n"), "idx");
    assert_eq!(cell("1,,1\n"), "prompt");
    assert_eq!(cell("1,A b.,maybe\n"), "label");
    assert!(matches!(
        read("idx,prompt,label\n3,a,1\n3,b,1\n"),
        Err(Error::DuplicatePair { row: 1, idx: 3, .. })
    ));
    assert!(matches!(read("idx,prompt\n3,a\n"), Err(Error::MissingColumns { .. })));
}

proptest! {
    #[test]
    fn any_statements_come_back(
        rows in prop::collection::vec(("\\PC{0,12}[a-z]", any::<bool>(), prop::option::of("[a-zé\n\",]{1,5}z")), 1..8),
    ) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("s.csv");
        let statement = |(idx, (prompt, label, value)): (u64, &(String, bool, Option<String>))| Statement {
            idx,
            prompt: prompt.clone(),
            label: *label,
            question_id: format!("q{idx}"),
            group: "g".into(),
            template: "t".into(),
            dataset: "d".into(),
            chat: None,
            columns: DataColumns::new([("x".to_owned(), value.clone())]),
        };
        let written: Vec<Statement> = (0..).zip(&rows).map(statement).collect();
        prompts::write_statements(&path, &written).expect("writes");
        let Prompts::Statements(read) = prompts::read_any(&path).expect("reads") else { panic!("statements") };
        for (read, written) in read.statements.iter().zip(&written) {
            // A column without any value is not written.
            prop_assert_eq!(read.columns.get("x"), written.columns.get("x"));
            prop_assert_eq!((read.idx, &read.prompt, read.label), (written.idx, &written.prompt, written.label));
        }
        prop_assert_eq!(read.statements.len(), written.len());
    }
}

#[test]
fn a_tokenizer_without_tokens_is_refused() {
    struct None;
    impl boolq::Tokenizer for None {
        fn encode(&self, _: &str) -> Result<Vec<boolq::Token>, boolq::BoxError> {
            Ok(Vec::new())
        }
        fn encode_chat(&self, text: &str) -> Result<Vec<boolq::Token>, boolq::BoxError> {
            self.encode(text)
        }
        fn token_text(&self, _: u32) -> String {
            String::new()
        }
    }
    let folder = tempfile::tempdir().expect("folder");
    let data = data(folder.path(), CITIES);
    let made = statements(&data, &Template::as_is()).expect("renders").statements;
    let error = TokenizedStatement::new(made[1].clone(), &None).expect_err("no tokens").to_string();
    assert_eq!(error, "idx 1: the tokenizer refused the statement prompt: it has no tokens");
}

//! Labels are chosen, not guessed: two columns, classes with names, other values, rows without a label.

use crate::toy::fixture_file as fixture;
use crate::with_hint;
use boolq::{Dataset, DatasetOptions, Error, Template, Warning, pairs, pairs_with, prompts};
use std::path::PathBuf;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs_err::write(&path, text).expect("writable");
        path
    }
}

fn answers(data: &Dataset) -> Vec<bool> {
    data.questions.iter().map(|q| q.answer).collect()
}

fn plain(source: &str) -> Template {
    Template::from_source("t", source).expect("compiles")
}

/// `answer` is what a candidate said, `label` whether that was right: taking `answer` inverts a row.
const CANDIDATES: &str =
    "question,answer,label\nis the sky blue,Yes,1\nis the sky green,Yes,0\nis water dry,No,1\n";

#[test]
fn two_columns_that_could_be_the_label_are_an_error_unless_they_agree() {
    let folder = Folder::new();
    let path = folder.file("qal.csv", CANDIDATES);
    let Err(error @ Error::SeveralLabels { row: 1, .. }) = Dataset::load(&path) else { panic!("a choice") };
    let said = with_hint(&error);
    assert!(said.contains("`answer` \"Yes\"") && said.contains("`label` \"0\""), "{said}");
    let by = |column: &str| answers(&DatasetOptions::new().label(column).load(&path).expect(column));
    assert_eq!((by("label"), by("answer")), (vec![true, false, true], vec![true, true, false]));

    let load = |text: &str| Dataset::load(folder.file("a.csv", text));
    let text_answer = load("question,answer,label\nwho,Ada,1\nwhere,Oslo,0\n").expect("one boolean");
    assert_eq!(answers(&text_answer), [true, false], "free text is no label");
    let alike = load("question,answer,label\nis it,yes,1\nwas it,no,0\n").expect("they agree");
    assert_eq!(answers(&alike), [true, false]);
    for other in ["target", "is_true", "Label", "gold", "correct"] {
        let found = load(&format!("statement,label,{other}\na,1,0\nb,0,0\n"));
        assert!(
            matches!(&found, Err(Error::SeveralLabels { columns, .. }) if columns[1] == other),
            "{found:?}"
        );
    }
    assert!(load("statement,label,target\na,1,Oslo\nb,0,Rome\n").is_ok(), "a text is no rival");
    let Err(error @ Error::LabelNotNamed { .. }) = load("statement,is_true\na,1\n") else {
        panic!("not guessed")
    };
    assert!(with_hint(&error).contains("`is_true` could be the label"), "{error}");
    let Err(Error::NoColumn { suggestion, .. }) = DatasetOptions::new().label("lable").load(&path) else {
        panic!()
    };
    assert_eq!(suggestion.as_deref(), Some("label"));
}

#[test]
fn the_answer_column_beside_the_label_is_warned_of() {
    let folder = Folder::new();
    let template = plain("{{ question }} {{ answer }}");
    let options = DatasetOptions::new().label("label").for_templates(&[template]);
    let data = options.load(folder.file("qal.csv", CANDIDATES)).expect("loads");
    assert_eq!(data.warnings, [Warning::AnswerColumn { label: "label".into() }]);
}

#[test]
fn class_names_in_the_file_decide_or_must_be_decided() {
    let path = fixture("parquet/entailment.parquet");
    let source = "{{ premise }} So: {{ hypothesis }} {{ answer }}";
    let yes_no = plain(&format!("{{# answers: Yes | No #}}\n{source}"));
    let load = |options: DatasetOptions, template: &Template| {
        options.for_templates(std::slice::from_ref(template)).load(&path)
    };
    let Err(error @ Error::Classes { .. }) = load(DatasetOptions::new(), &yes_no) else {
        panic!("not known")
    };
    assert!(error.to_string().contains("entailment` (0), `not_entailment` (1)"), "{error}");
    assert!(matches!(Dataset::load(&path), Err(Error::Classes { .. })), "without templates neither");

    // Row 0 is of class 0, entailment: yes.
    let data = load(DatasetOptions::new().positive("entailment"), &yes_no).expect("decided");
    assert_eq!(answers(&data), [true, false, false]);
    let classes = Some(["entailment".to_owned(), "not_entailment".to_owned()]);
    assert_eq!(data.classes, classes);
    let made = pairs(&data, &yes_no).expect("renders");
    let folder = Folder::new();
    let csv = folder.0.path().join("prompts.csv");
    prompts::write(&csv, &made.pairs).expect("writes");
    let read = prompts::read(&csv).expect("reads").pairs;
    assert_eq!((read[0].classes.clone(), read), (classes, made.pairs));
    let other = load(DatasetOptions::new().positive("1"), &yes_no).expect("by its number");
    assert_eq!(answers(&other), [false, true, true]);

    // Answers that are called like the classes decide, whichever stands first.
    let called = plain(&format!("{{# answers: not_entailment | entailment #}}\n{source}"));
    assert_eq!(answers(&load(DatasetOptions::new(), &called).expect("decided")), [false, true, true]);
    let against = load(DatasetOptions::new().positive("entailment"), &called);
    assert!(matches!(against, Err(Error::Positive { .. })), "{against:?}");
    let unknown =
        with_hint(&load(DatasetOptions::new().positive("neutral"), &yes_no).expect_err("no such class"));
    assert!(unknown.contains("`neutral`") && unknown.contains("`entailment` (0)"), "{unknown}");

    // promptsource numbers its choices as the classes are numbered.
    let numbered = Template::from_promptsource(
        "p",
        "{{ premise }} So: {{ hypothesis }}|||{{ answer_choices[label] }}",
        "Yes ||| No",
    )
    .expect("compiles");
    let data = load(DatasetOptions::new(), &numbered).expect("decided");
    let made = pairs(&data, &numbered).expect("renders").pairs;
    assert!(made[0].plus_prompt.ends_with(" No") && !made[0].label, "row 0 is entailed: No is wrong");
    let data = load(DatasetOptions::new().positive("entailment"), &numbered).expect("decided");
    let made = pairs(&data, &numbered).expect("renders").pairs;
    assert!(made[0].plus_prompt.ends_with(" Yes") && made[0].label);
}

#[test]
fn class_names_that_are_booleans_mean_what_they_say() {
    let data = Dataset::load(fixture("parquet/true_first.parquet")).expect("named true and false");
    assert_eq!(answers(&data), [true, false], "class 0 is called true");
    let path = fixture("parquet/hidden.parquet");
    assert!(matches!(Dataset::load(&path), Err(Error::Unlabeled { row: 1, .. })));
    let data = DatasetOptions::new().skip_unlabeled(true).load(&path).expect("the others are labeled");
    let rows: Vec<_> = data.questions.iter().map(|q| (q.row, q.answer)).collect();
    assert_eq!((rows, data.unlabeled), (vec![(0, true), (2, false)], 1));
}

#[test]
fn any_two_values_are_classes_once_one_is_positive() {
    let folder = Folder::new();
    let claims = folder.file("c.csv", "claim,verdict\na,SUPPORTS\nb,REFUTES\nc,supports\nd,?\n");
    let options = DatasetOptions::new().text("claim").label("verdict").skip_unlabeled(true);
    assert!(matches!(options.load(&claims), Err(Error::Classes { .. })));
    let data = options.clone().positive("supports").load(&claims).expect("decided");
    assert_eq!((answers(&data), data.unlabeled), (vec![true, false, true], 1));
    let made = pairs(&data, &Template::named("statement").expect("built in")).expect("renders");
    assert!(made.pairs[0].plus_prompt.starts_with("a Is this statement"));
    let called = plain("{# answers: Supports | Refutes #}\n{{ statement }} {{ answer }}");
    assert_eq!(
        answers(&options.for_templates(&[called]).load(&claims).expect("decided")),
        [true, false, true]
    );

    // 1 and 2; -1 and 1; more than two.
    let load = |text: &str, positive: &str| {
        DatasetOptions::new().label("y").positive(positive).load(folder.file("y.csv", text))
    };
    let endings = load("text,y\na,1\nb,2.0\n", "2").expect("decided");
    assert_eq!(answers(&endings), [false, true]);
    assert_eq!(answers(&load("text,y\na,-1\nb,1\n", "1").expect("-1 is the other class")), [false, true]);
    assert_eq!(answers(&load("text,y\na,-1\nb,1\n", "-1").expect("-1 is a class")), [true, false]);
    assert!(matches!(load("text,y\na,-1\nb,1\nc,0\n", "1"), Err(Error::Unlabeled { row: 0, .. })));
    let topics = "text,y\na,0\nb,1\nc,2\nd,3\n";
    assert_eq!(answers(&load(topics, "2").expect("one against the rest")), [false, false, true, false]);
    let error =
        with_hint(&DatasetOptions::new().label("y").load(folder.file("y.csv", topics)).expect_err("four"));
    assert!(
        error.contains("`0`, `1`, `2`, `3`") && error.contains("all others then are negative"),
        "{error}"
    );
    // A promptsource template over values 1 and 2, by the column's own name.
    let own = Template::from_promptsource("p", "{{ text }}|||{{ answer_choices[label - 1] }}", "one ||| two");
    let made = pairs(&endings, &own.expect("compiles")).expect("renders").pairs;
    assert!(made[0].plus_prompt.ends_with(" two") && !made[0].label && made[1].label);
}

#[test]
fn of_many_classes_a_pair_is_the_right_one_and_another() {
    let folder = Folder::new();
    let rows: String = (0..400)
        .map(|row| format!("{{\"text\":\"t{row}\",\"label\":{}}}\n", row % 4))
        .collect::<Vec<_>>()
        .concat();
    let path = folder.file("news.jsonl", &rows);
    let names = ["World politics", "Sports", "Business", "Science"];
    let template = |choices: &str| {
        Template::from_promptsource("p", "{{ text }} is|||{{ answer_choices[label] }}", choices)
            .expect("compiles")
    };
    let four = template(&names.join(" ||| "));
    let load = |seed: u64| {
        let options = DatasetOptions::new().seed(seed).for_templates(std::slice::from_ref(&four));
        pairs(&options.load(&path).expect("loads"), &four).expect("renders").pairs
    };
    let made = load(0);
    let mut seen = std::collections::BTreeSet::new();
    for pair in &made {
        let side = |prompt: &str| names.iter().position(|name| prompt.ends_with(name)).expect("a class");
        let (plus, minus) = (side(&pair.plus_prompt), side(&pair.minus_prompt));
        let own = usize::try_from(pair.idx % 4).expect("small");
        assert_eq!(if pair.label { plus } else { minus }, own, "the right one is the row's own");
        assert_ne!(plus, minus);
        assert_eq!(pair.classes, Some([plus.to_string(), minus.to_string()]));
        seen.insert((plus, minus));
    }
    assert_eq!(seen.len(), 12, "every class stands against every other, on both sides");
    let right = made.iter().filter(|pair| pair.label).count();
    // Of 400 fair draws, five standard deviations.
    assert!((150..=250).contains(&right), "{right}");
    assert_eq!(made, load(0));
    assert_ne!(made, load(1));

    // Plain templates have two answers: which class they mean is to be said; choices must be as many as the classes.
    let plain = plain("{{ text }} {{ answer }}");
    let error = DatasetOptions::new().for_templates(&[plain]).load(&path).expect_err("four classes");
    assert!(matches!(error, Error::Classes { .. }), "{error}");
    let two = template("World ||| Sports");
    let data = DatasetOptions::new().for_templates(std::slice::from_ref(&two)).load(&path).expect("loads");
    let error = with_hint(&pairs(&data, &two).expect_err("two choices"));
    assert!(error.contains("row 0 ") || error.contains("row 2 "), "{error}");
}

#[test]
fn ids_and_groups_are_the_columns_named() {
    let folder = Folder::new();
    let path = folder.file("a.csv", "statement,label,key,family\na,1,k1,f\nb,0,k2,f\nc,1,k3,g\n");
    let data = DatasetOptions::new().id("key").group("family").load(&path).expect("loads");
    let made = pairs(&data, &Template::named("statement").expect("built in")).expect("renders");
    let [a, b, c] = made.pairs.as_slice() else { panic!("three") };
    assert_eq!((a.question_id.as_str(), &a.group), ("k1", &b.group));
    assert_ne!(a.group, c.group);
    assert!(made.warnings.is_empty(), "{:?}", made.warnings);
}

#[test]
fn a_text_with_both_labels_is_warned_of_wherever_rows_are_read() {
    let folder = Folder::new();
    let path = folder.file("a.csv", "statement,label,id\nSnow is white.,1,1\nb,0,2\n Snow is white. ,0,3\n");
    let both = Warning::BothLabels { texts: 1, text: "Snow is white.".into(), rows: [0, 2] };
    let data = Dataset::load(&path).expect("loads");
    assert!(data.warnings.contains(&both), "{:?}", data.warnings);
    let template = Template::named("statement").expect("built in");
    let made = pairs_with(&data, &[template]).expect("renders");
    assert!(!made.warnings.iter().any(|w| matches!(w, Warning::BothLabels { .. })), "said once");

    let csv = folder.file(
        "p.csv",
        "idx,plus_prompt,minus_prompt,label\n0,Q True,Q False,True\n1,Q True,Q False,False\n2,R True,R False,False\n",
    );
    let warnings = prompts::read(&csv).expect("reads").warnings;
    assert!(
        warnings.contains(&Warning::BothLabels { texts: 1, text: "Q True".into(), rows: [0, 1] }),
        "{warnings:?}"
    );

    // Rows that differ in another column are no contradiction; prompts that do not show it are.
    let path = folder.file("q.jsonl", "{\"question\":\"who\",\"said\":\"Ada\",\"label\":1}\n{\"question\":\"who\",\"said\":\"Eve\",\"label\":0}\n");
    let data = Dataset::load(path).expect("loads");
    assert!(data.warnings.is_empty(), "{:?}", data.warnings);
    let warned = |source: &str| {
        let warnings = pairs(&data, &plain(source)).expect("renders").warnings;
        warnings.iter().any(|warning| matches!(warning, Warning::BothLabels { .. }))
    };
    assert!(!warned("{{ question }} {{ said }} {{ answer }}") && warned("{{ question }} {{ answer }}"));
}

#[test]
fn answers_the_wrong_way_round_are_warned_of() {
    let folder = Folder::new();
    let path = folder.file("a.csv", "statement,label\na,1\n");
    let warned = |answers: &str| {
        let template = plain(&format!("{{# answers: {answers} #}}\n{{{{ statement }}}} {{{{ answer }}}}"));
        DatasetOptions::new().for_templates(&[template]).load(&path).expect("loads").warnings
    };
    assert_eq!(warned("Yes | No"), []);
    assert_eq!(warned("No | Yes"), [Warning::AnswersReversed { plus: "No".into(), minus: "Yes".into() }]);
}

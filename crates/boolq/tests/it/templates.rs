//! Template files as people write them: any column as a variable, and what is wrong with a file said clearly.

use crate::toy::Words;
use boolq::{Dataset, DatasetOptions, Error, Kind, Template, Warning, pairs, pairs_with, select};
use std::path::PathBuf;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs_err::write(&path, contents).expect("writable");
        path
    }
}

const ROWS: &str = "text,stars,author,label\nGood.,5,Ada,yes\n\"Bad, \",1,,no\n";

#[test]
fn any_column_is_a_variable() {
    let folder = Folder::new();
    let csv = folder.file("reviews.csv", ROWS);
    let render = |source: &str| {
        let template = Template::from_source("t", source)?;
        let data = DatasetOptions::new().for_templates(std::slice::from_ref(&template)).load(&csv)?;
        assert_eq!((data.kind, data.questions.len()), (Kind::Rows, 2));
        Ok::<_, Error>(pairs(&data, &template)?.pairs.into_iter().map(|p| p.plus_prompt).collect::<Vec<_>>())
    };
    let asks = "{{ text }} {{ stars|int + 1 }}{% if author %} by {{ author }}{% endif %}: {{ answer }}";
    assert_eq!(render(asks).expect("renders"), ["Good. 6 by Ada: True", "Bad,  2: True"]);
    let empty = render("{{ author }} {{ answer }}").expect_err("an empty cell").to_string();
    assert!(empty.contains("row 1") && empty.contains("`author`"), "{empty}");
    let absent = render("{{ txt }} {{ answer }}").expect_err("no such column").to_string();
    assert!(absent.contains("`txt`") && absent.contains("did you mean `text`?"), "{absent}");
    assert!(absent.contains("answer, text, stars, author\n"), "{absent}");
    let built_in =
        pairs(&Dataset::load(&csv).expect("loads"), &Template::named("llama-ccs").expect("built in"));
    let built_in = built_in.expect_err("no passage").to_string();
    assert!(built_in.contains("`passage`, `question`"), "{built_in}");
}

#[test]
fn values_keep_their_types_where_the_format_has_types() {
    let folder = Folder::new();
    let rows = r#"{"text":"a","n":3,"x":2.5,"ok":true,"tags":["b"],"void":null,"label":1}"#;
    let data = Dataset::load(folder.file("d.jsonl", rows)).expect("loads");
    let render = |source: &str| {
        pairs(&data, &Template::from_source("t", source)?).map(|made| made.pairs[0].plus_prompt.clone())
    };
    let typed = "{{ n + 1 }} {{ x * 2 }} {{ ok }} {{ 'y' if ok and void is undefined }} {{ answer }}";
    assert_eq!(render(typed).expect("renders"), "4 5.0 True y True");
    assert_eq!(render("{{ tags[0] }}{{ tags|length }} {{ answer }}").expect("a list is a list"), "b1 True");
    assert!(matches!(render("{{ label }} {{ answer }}"), Err(Error::Template { .. })), "not the truth");
    assert!(matches!(render("{{ answer_choices[0] }} {{ answer }}"), Err(Error::Template { .. })));
}

#[test]
fn statements_through_a_file_are_grouped_by_their_subject() {
    let folder = Folder::new();
    let file = folder.file("asks.jinja", "{{statement}} Is this statement true or false? {{answer}}\n");
    let rows = "statement,label,city,country\nOslo is in Chad.,0,Oslo,Chad\nOslo is in Norway.,1,Oslo,Norway\n\
                Lima is in Peru.,1,Lima,Peru\n";
    let data = Dataset::load(folder.file("cities.csv", rows)).expect("loads");
    let made =
        pairs_with(&data, &Template::resolve(&file.display().to_string()).expect("a file")).expect("renders");
    let groups: Vec<_> = made.pairs.iter().map(|pair| pair.group.as_str()).collect();
    assert!(groups[0] == groups[1] && groups[1] != groups[2], "{groups:?}");
    assert_eq!(made.pairs[0].minus_prompt, "Oslo is in Chad. Is this statement true or false? False");
    assert_eq!((made.pairs[0].template.as_str(), made.warnings), ("asks", vec![]));
}

#[test]
fn a_row_without_passage_or_subject_has_one_group_under_all_templates() {
    let folder = Folder::new();
    let data = Dataset::load(folder.file("d.csv", "statement,label\nA.,1\nB.,0\n")).expect("loads");
    let template = |name: &str| {
        Template::from_source(name, &format!("{name} {{{{ statement }}}} {{{{ answer }}}}"))
            .expect("compiles")
    };
    let made = pairs_with(&data, &[template("x"), template("y")]).expect("renders");
    let groups: Vec<_> = made.pairs.iter().map(|pair| pair.group.as_str()).collect();
    assert_eq!((groups[0], groups[2]), (groups[1], groups[3]));
    assert_ne!(groups[0], groups[2]);
    assert_eq!(made.warnings, [Warning::GroupFromPrompt { pairs: 4 }]);
    let twice = pairs_with(&data, &[template("x"), template("x")]);
    assert!(matches!(twice, Err(Error::Template { .. })), "{twice:?}");
    let none = select(&made.pairs, &Words, &boolq::Selection { max_seq_len: Some(1), ..Default::default() });
    assert_eq!(none.expect("selects").warnings, [Warning::NothingKept { considered: 4 }]);
}

const GOOD: &str = "templates:\n  a: !Template\n    name: n\n    answer_choices: No ||| Yes\n    jinja: '{{ text }}? ||| {{ answer_choices[label] }}'\n";

/// What is said of a YAML file.
fn refusal(contents: impl AsRef<[u8]>) -> String {
    let folder = Folder::new();
    let path = folder.file("t.yaml", contents);
    let error = Template::resolve(&path.display().to_string()).expect_err("bad").to_string();
    assert!(error.contains("\nhint: ") && error.len() < 500, "{error}");
    error.replace(&path.display().to_string(), "FILE")
}

#[test]
fn bad_yaml_is_refused_with_its_line() {
    let folder = Folder::new();
    assert!(Template::resolve(&folder.file("t.yml", GOOD).display().to_string()).is_ok());
    for (contents, said) in [
        ("just text\n".to_owned(), "at line 1,"),
        (String::new(), "FILE: "),
        (GOOD.replace("    name", "\tname"), "at line 3,"),
        (GOOD.replace("name: n", "name: {n: n}"), "at line 3,"),
        (GOOD.replace("label] }}'", "label] }}"), "at line 5,"),
        (format!("{GOOD}    name: m\n"), "line 6"),
        (format!("{GOOD}---\n{GOOD}"), "line 7"),
        ("templates: {}\n".to_owned(), "no templates"),
        ("other: 1\n".to_owned(), "`templates`"),
        (format!("templates: {}", "[".repeat(100_000)), "line 1"),
    ] {
        let error = refusal(&contents);
        assert!(error.contains(said), "{contents:.80}\n{error}");
    }
    assert!(refusal(b"templates:\n  \xff").contains("line 2: not UTF-8"));
    assert!(refusal(vec![b'a'; 50 << 20]).contains("over 4 MiB"));
    let nested = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, i| {
        let before = i - 1;
        text + &format!("a{i}: &a{i} [*a{before}, *a{before}, *a{before}, *a{before}]\n")
    });
    assert!(refusal(nested + "templates: *a29\n").contains("FILE: "), "aliases that would fill the memory");
}

#[test]
fn templates_without_a_contrast_are_refused_by_name() {
    let same = |jinja: &str, choices: &str| {
        refusal(format!(
            "templates:\n  a:\n    name: the name\n    answer_choices: {choices}\n    jinja: '{jinja}'\n"
        ))
    };
    let target = "{{ answer_choices[label] }}";
    for (error, said) in [
        (refusal(GOOD.replace("    jinja", "    ginger")), "it has no `jinja`"),
        (refusal(GOOD.replace("answer_choices: No ||| Yes", "reference: ''")), "no `answer_choices`"),
        (same(&format!("a ||| {target}"), "null"), "no `answer_choices`"),
        (same(&format!("a | {target}"), "No ||| Yes"), "no |||"),
        (same(&format!("a ||| {target}"), "Yes |||  Yes"), "answer choices are \"Yes\""),
        (same(&format!("a ||| {target}"), "A"), "1 answer choice(s)"),
        (same(&format!("a ||| {target}"), "Yes |||"), "empty"),
        (same(&format!("a ||| {target}"), "\"{{ 'Yes\""), "answer_choices"),
        (same("a ||| {{ answer_choices[0] }}", "No ||| Yes"), "does not use `label`"),
        (same("a {{ ||| {{ label }}", "No ||| Yes"), "syntax error"),
    ] {
        assert!(error.contains(said), "{error}");
        assert!(error.contains("template `the name`") || error.contains("template `n`"), "{error}");
    }
}

#[test]
fn templates_that_fail_on_a_row_name_it() {
    let folder = Folder::new();
    let rows = "{\"text\":\"a\",\"label\":true}\n{\"text\":\"b|||\",\"label\":false}\n";
    let data = Dataset::load(folder.file("d.jsonl", rows)).expect("loads");
    let error = |jinja: &str, choices: &str| {
        let template = Template::from_promptsource("t", jinja, choices).expect(jinja);
        let error = pairs(&data, &template).expect_err(jinja).to_string();
        assert!(error.contains("template `t`") && error.contains("\nhint: "), "{error}");
        error
    };
    let target = "{{ answer_choices[label] }}";
    let at = |row: u8, error: &str, said: &str| {
        assert!(error.contains(&format!("row {row} ")) && error.contains(said), "{error}");
    };
    at(
        0,
        &error(&format!("{{{{ text }}}} {{{{ label }}}} ||| {target}"), "No ||| Yes"),
        "depends on the label",
    );
    at(
        1,
        &error(&format!("{{% if text == 'a' %}}x{{% endif %}} ||| {target}"), "No ||| Yes"),
        "before the |||",
    );
    at(
        1,
        &error(&format!("x ||| {{% if text == 'a' %}}{target}{{% endif %}}"), "No ||| Yes"),
        "after the |||",
    );
    at(0, &error("x ||| {% if label > 7 %}y{% endif %}z", "No ||| Yes"), "of both labels");
    at(0, &error(&format!("x ||| y ||| {target}"), "No ||| Yes"), "2 times |||");
    at(1, &error(&format!("x ||| {target}"), "{{ text }}{% if text == 'a' %} ||| c{% endif %}"), "1 answer");
    at(0, &error(&format!("{{{{ [text]|choice }}}} ||| {target}"), "No ||| Yes"), "choice");
    at(0, &error(&format!("{{{{ [text]|most_frequent }}}} ||| {target}"), "No ||| Yes"), "most_frequent");
    at(0, &error(&format!("{{{{ text.swapcase() }}}} ||| {target}"), "No ||| Yes"), "swapcase");
    let truth = error(&format!("{{{{ answer }}}} ||| {target}"), "No ||| Yes");
    assert!(truth.contains("no variable `answer`") && truth.contains("answer_choices[label]"), "{truth}");
    // A separator in the data cuts nothing.
    let good = Template::from_promptsource("t", &format!("{{{{ text }}}}: ||| {target}"), "no ||| yes")
        .expect("good");
    assert_eq!(pairs(&data, &good).expect("renders").pairs[1].plus_prompt, "b|||: yes");
}

#[test]
fn a_second_question_mark_is_noticed() {
    let folder = Folder::new();
    let data = Dataset::load(folder.file("d.csv", "question,passage,label\nis it?,P,1\nwas it,Q,0\n"))
        .expect("loads");
    let theirs =
        Template::from_promptsource("t", "{{ question }}? ||| {{ answer_choices[label] }}", "No ||| Yes");
    let ours = Template::from_source("o", "{{ question }}? {{ answer }}").expect("compiles");
    let made = pairs_with(&data, &[theirs.expect("compiles"), ours]).expect("renders");
    assert_eq!(made.pairs[0].plus_prompt, "is it?? Yes", "the data is taken as it is");
    assert_eq!(made.pairs[1].plus_prompt, "is it? True");
    assert_eq!(made.warnings, [Warning::TwoQuestionMarks { pairs: 1 }]);
}

#[test]
fn identities_tell_all_that_is_rendered_apart() {
    let of = |jinja: &str, choices: &str| {
        Template::from_promptsource("t", jinja, choices).expect("compiles").identity()
    };
    let base = of("a ||| {{ answer_choices[label] }}", "No ||| Yes");
    assert_eq!(base.len(), 64);
    assert_ne!(base, of("b ||| {{ answer_choices[label] }}", "No ||| Yes"));
    assert_ne!(base, of("a ||| {{ answer_choices[label] }}", "Yes ||| No"));
    let folder = Folder::new();
    let identity = |text: &str| Dataset::load(folder.file("d.csv", text)).expect("loads").identity;
    assert_eq!(identity(ROWS), blake3::hash(ROWS.as_bytes()).to_hex().as_str());
    assert_ne!(identity(ROWS), identity(&ROWS.replace("Ada", "Bob")));
}

//! Template files as people write them: any column as a variable, and what is wrong with a file said clearly.

use crate::toy::Words;
use crate::with_hint;
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
    let empty = with_hint(&render("{{ author }} {{ answer }}").expect_err("an empty cell"));
    assert!(empty.contains("row 1") && empty.contains("`author`"), "{empty}");
    let absent = with_hint(&render("{{ txt }} {{ answer }}").expect_err("no such column"));
    assert!(absent.contains("`txt`") && absent.contains("did you mean `text`?"), "{absent}");
    assert!(absent.contains("answer, text, stars, author\n"), "{absent}");
    let built_in =
        pairs(&Dataset::load(&csv).expect("loads"), &Template::named("llama-ccs").expect("built in"));
    let built_in = with_hint(&built_in.expect_err("no passage"));
    assert!(built_in.contains("no `passage`"), "{built_in}");
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
    assert_eq!(render("{{ tags }} {{ tags[0] }} {{ answer }}").expect("a list"), "['b'] b True");
    for own in ["label", "answer_choices[0]"] {
        let refused = render(&format!("{{{{ {own} }}}} {{{{ answer }}}}"));
        assert!(matches!(refused, Err(Error::UnknownVariable { .. })), "{own}: not the truth");
    }
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
    let error = with_hint(&Template::resolve(&path.display().to_string()).expect_err("bad"));
    assert!(error.len() < 500, "{error}");
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
    assert!(refusal(vec![b'a'; 50 << 20]).contains("4194304 bytes"));
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
        let error = with_hint(&pairs(&data, &template).expect_err(jinja));
        assert!(error.contains("template `t`"), "{error}");
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
    at(0, &error(&format!("{{{{ text.encode() }}}} ||| {target}"), "No ||| Yes"), "encode");
    at(0, &error("x ||| {{ answer_choices[0] }}", "No ||| Yes"), "of both labels");
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

/// Each of these lost its passage while the columns were taken from minijinja's analysis of the source.
#[test]
fn columns_that_are_cut_are_there() {
    let folder = Folder::new();
    let rows = r#"{"passage":"Ein Fluß fließt, 日本語 🙂 und weiter.","question":"is it so","title":"T","n":[1,2,3],"label":1}
{"passage":"Kurz.","question":"is it","title":"","n":[4],"label":0}
"#;
    let data = Dataset::load(folder.file("d.jsonl", rows)).expect("loads");
    let render = |source: &str| {
        let template = Template::from_source("t", &format!("{source} {{{{ answer }}}}"))?;
        Ok::<_, Error>(pairs(&data, &template)?.pairs.into_iter().map(|p| p.plus_prompt).collect::<Vec<_>>())
    };
    // jinja2 3.1.
    for (source, first, second) in [
        ("{{ passage[:10] }}", "Ein Fluß f", "Kurz."),
        ("{{ passage[-8:] }}", " weiter.", "Kurz."),
        ("{{ passage[::-1][:3] }}", ".re", ".zr"),
        ("{{ passage[17:22:2] }}", "日語🙂", ""),
        ("{{ n[1:] }} {{ n[::-1] }} {{ n[:1]|length }}", "[2, 3] [3, 2, 1] 1", "[] [4] 1"),
        ("{{ passage|truncate(12) }}", "Ein Fluß...", "Kurz."),
        ("{{ title[:1] if title else 'none' }}", "T", "none"),
    ] {
        let made = render(source).expect(source);
        assert_eq!(made, [format!("{first} True"), format!("{second} True")], "{source}");
    }
    for (source, row, name) in
        [("{{ title[:1] }}", "row 1", "`title`"), ("{{ title|upper }}", "row 1", "`title`")]
    {
        let error = with_hint(&render(source).expect_err(source));
        assert!(error.contains(row) && error.contains(name), "{error}");
    }
    // In a branch that only the second row takes.
    let error = render("{% if n|length == 1 %}{{ pasage[:5] }}{% endif %}").expect_err("misspelled");
    let error = with_hint(&error);
    assert!(error.contains("`pasage`") && error.contains("did you mean `passage`?"), "{error}");
    for tested in
        ["{% if pasage %}a{% endif %}", "{{ pasage[:5] }}", "{{ pasage|length }}", "{{ 'a' ~ pasage }}"]
    {
        let error = render(tested).expect_err(tested);
        assert!(matches!(error, Error::UnknownVariable { .. }), "{tested}: {error}");
    }
}

const MANY: &str = "templates:
  a: !Template
    name: asks
    answer_choices: '{{ one }} ||| {{ two }}'
    jinja: \"{% if kind == 'cause' %}{{ premise[:-1] }} because ||| {{ answer_choices[label] }}{% endif %}\"
  b: !Template
    name: picks
    answer_choices: '{{ one }} ||| {{ two }}'
    jinja: '{{ premise }} {{ [one, two]|join(\" or \") }}? ||| {{ answer_choices[label] }}'
  c: !Template
    name: free text
    answer_choices: null
    jinja: '{{ premise }} ||| {{ one }}'
  d: !Template
    name: no target
    answer_choices: No ||| Yes
    jinja: '{{ premise }}'
  e: !Template
    name: tells
    answer_choices: No ||| Yes
    jinja: '{{ premise }} {{ label }} ||| {{ answer_choices[label] }}'
  f: !Template
    name: other data
    answer_choices: No ||| Yes
    jinja: '{{ nowhere }} ||| {{ answer_choices[label] }}'
";

#[test]
fn a_file_of_many_templates_gives_those_that_make_pairs() {
    let folder = Folder::new();
    let file = folder.file("t.yaml", MANY).display().to_string();
    let rows = r#"{"premise":"It rained.","one":"Wet.","two":"Dry.","kind":"effect","label":0}
{"premise":"He left.","one":"Sad.","two":"Glad.","kind":"cause","label":1}
"#;
    let data = Dataset::load(folder.file("d.jsonl", rows)).expect("loads");
    let (templates, left_out) = Template::resolve_with_warnings(std::slice::from_ref(&file)).expect("some");
    let names = |warnings: &[Warning]| -> Vec<String> {
        let name = |warning: &Warning| match warning {
            Warning::TemplateLeftOut { template, .. } => Some(template.clone()),
            _ => None,
        };
        warnings.iter().filter_map(name).collect()
    };
    assert_eq!(names(&left_out), ["free text", "no target"]);
    assert!(left_out[0].to_string().contains("no `answer_choices`"), "{}", left_out[0]);
    let made = pairs_with(&data, &templates).expect("two of them");
    assert_eq!(names(&made.warnings), ["tells", "other data"]);
    assert!(made.warnings.contains(&Warning::NotApplicable { template: "asks".into(), rows: 1 }));
    let prompts: Vec<_> = made.pairs.iter().map(|pair| (pair.idx, pair.minus_prompt.as_str())).collect();
    assert_eq!(
        prompts,
        [
            (0, "It rained. Wet. or Dry.? Wet."),
            (1, "He left because Sad."),
            (1, "He left. Sad. or Glad.? Sad.")
        ]
    );

    let one = |name: &str| {
        let templates = Template::resolve(&format!("{file}:{name}"))?;
        pairs_with(&data, &templates)
    };
    assert_eq!(one("picks").expect("a template beside others").pairs.len(), 2);
    let partly = one("asks").expect("for one of the rows");
    assert_eq!((partly.pairs.len(), partly.pairs[0].idx), (1, 1));
    for (name, said) in [
        ("free text", "answer_choices"),
        ("tells", "depends on the label"),
        ("other data", "no variable `nowhere`"),
    ] {
        let error = with_hint(&one(name).expect_err(name));
        assert!(error.contains(said), "{error}");
    }
    let effects = Dataset::load(folder.file("e.jsonl", rows.lines().next().expect("a row"))).expect("loads");
    let none = pairs_with(&effects, &Template::resolve(&format!("{file}:asks")).expect("one"));
    assert!(none.expect_err("for no row").to_string().contains("none of the 1 rows"));
}

#[test]
fn files_that_are_no_templates_say_what_they_are() {
    let folder = Folder::new();
    let said =
        |path: PathBuf| with_hint(&Template::resolve(&path.display().to_string()).expect_err("no template"));
    let utf16: Vec<u8> = "\u{feff}{{ answer }}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (contents, reason, hint) in [
        (utf16, "UTF-16LE", "iconv -f UTF-16LE"),
        (b"".to_vec(), "empty", "{{ answer }}"),
        (b" \n\n".to_vec(), "empty", "{{ answer }}"),
        (b"caf\xe9 {{ answer }}".to_vec(), "line 1: not UTF-8", "LATIN1"),
        (b"{{ \0 }}".to_vec(), "zero bytes", "UTF-8"),
    ] {
        for name in ["t.jinja", "t.yaml"] {
            let error = said(folder.file(name, &contents));
            assert!(error.contains(reason) && error.contains(hint), "{error}");
        }
    }
    assert!(said(folder.0.path().to_owned()).contains("a folder"));
    if std::path::Path::new("/dev/zero").exists() {
        let error = said("/dev/zero".into());
        assert!(error.contains("/dev/zero: it is a device"), "{error}");
    }
}

//! What Python's jinja2 makes of two thousand constructs, and transformers of those and more, against what we make of
//! them: the same text, or an error of ours for a construct that stands in `refused.txt` or `refused_chat.txt`. The
//! scripts in `tests/python/` wrote the tables.

use super::{Dialect, Engine, hint};
use minijinja::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What jinja2 refuses and we do not: filters of our own, and two mistakes that Python notices later.
const OURS: [&str; 9] = [
    "{{ [1,2,3]|zip([4,5,6])|list }}",
    "{{ 'a,b'|split(',') }}",
    "{{ 'a\\nb'|lines }}",
    "{{ [1]|chain([2])|list }}",
    "{{ 'yes'|bool }}",
    // A null inside a list of the data has no items.
    "{% for i in none %}{{ i }}{% endfor %}",
    "{{ none|sum }}",
    "{{ '{x[0]} {y.a}'.format(x=choices, y=d) }}",
    "{{ 'abc'.replace('b', 'x', -1) }} {{ 'aaa'.replace('a', 'b', count=1) }}",
];
/// Differences that stay: constants that the engine works out while it reads them, and what `map` returns.
const OTHER: [&str; 8] = [
    "{{ choices[1.0] }}",
    "{{ 1e20 ~ '' }}",
    "{{ rows|map(attribute='name') is sequence }}",
    "{{ 'a' < 1 }}",
    "{{ 1 in 'abc' }}",
    "{{ none < 1 }}",
    // Attributes of Python's own objects, of which chats have none.
    "{{ (5).real }}",
    "{{ self }}",
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name)
}

fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), ..) => Value::from(whole),
            (_, Some(whole), _) => Value::from(whole),
            (.., float) => Value::from(float.expect("a number")),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(value).collect(),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(key, item)| (key.as_str(), value(item)))),
    }
}

/// A table of constructs with what Python prints.
fn table(name: &str) -> serde_json::Value {
    let table = fs_err::read_to_string(file(name)).expect("the table");
    serde_json::from_str(&table).expect("JSON")
}

/// The constructs of a table, each with what Python prints.
fn cases(table: &serde_json::Value) -> Vec<(&str, Option<&str>)> {
    let cases = table["table"].as_array().expect("a list");
    cases.iter().map(|case| (case[0].as_str().expect("a source"), case[1].as_str())).collect()
}

/// How many constructs come out as Python's do; the others must stand in the file of those that are refused.
fn compare(cases: &[(&str, Option<&str>)], row: &Value, dialect: Dialect, refused: &str) -> usize {
    let (mut failed, mut wrong, mut same) = (BTreeSet::new(), Vec::new(), 0);
    for &(source, expected) in cases {
        let prepared = crate::prepared(source, dialect);
        let rendered = Engine::compile(&prepared, dialect).and_then(|engine| engine.render(row.clone()));
        match (rendered, expected) {
            (Ok(text), Some(expected)) if text == expected => same += 1,
            (Err(_), None) => same += 1,
            (Err(_), Some(_)) => drop(failed.insert(source.to_owned())),
            (Ok(_), None) if OURS.contains(&source) => {}
            _ if OTHER.contains(&source) => {}
            (Ok(text), expected) => {
                wrong.push(format!("{source}\n    jinja2: {expected:?}\n    ours:   {text:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    let lines: Vec<String> = failed.iter().map(|source| format!("{source:?}")).collect();
    let list = lines.join("\n") + "\n";
    if std::env::var_os("UPDATE_REFUSED").is_some() {
        fs_err::write(file(refused), &list).expect("writable");
    }
    let stated = fs_err::read_to_string(file(refused)).expect("the list");
    assert_eq!(list, stated, "UPDATE_REFUSED=1 writes it");
    same
}

#[test]
fn every_construct_is_jinja2s_or_refused() {
    let table = table("table.json");
    let cases = cases(&table);
    assert!(cases.len() > 2000);
    let same = compare(&cases, &value(&table["row"]), Dialect::Data, "refused.txt");
    assert!(same > 1850, "{same}");
}

#[test]
fn every_construct_of_chats_is_transformers_or_refused() {
    let (plain, chat) = (table("table.json"), table("chat.json"));
    let mut row = plain["row"].clone();
    row["messages"] = chat["messages"].clone();
    row["bos_token"] = "<s>".into();
    let strftime_now = "2024-07-26".parse::<crate::Moment>().expect("a date").strftime_now(|| ());
    let functions = Value::from_pairs([
        ("strftime_now", strftime_now),
        ("tools", crate::absent()),
        ("documents", crate::absent()),
    ]);
    let row = minijinja::value::merge_maps([value(&row), functions]);
    let own = cases(&chat);
    let is_own: BTreeSet<&str> = own.iter().map(|(source, _)| *source).collect();
    let shared = cases(&plain).into_iter().filter(|(source, _)| !is_own.contains(source));
    let all: Vec<_> = own.iter().copied().chain(shared).collect();
    let same = compare(&all, &row, Dialect::Chat, "refused_chat.txt");
    assert!(same > 2000, "{same}");
}

fn said(source: &str) -> String {
    let row =
        Value::from_pairs([("row", Value::from_pairs([("name", "Ann")])), ("text", Value::from("abc"))]);
    let error =
        Engine::compile(source, Dialect::Data).and_then(|engine| engine.render(row)).expect_err(source);
    format!("{error}; {}", hint(&error))
}

#[test]
fn every_use_of_what_is_not_there_names_it() {
    for source in [
        "{{ txt }}",
        "{{ txt[:5] }}",
        "{{ txt[::-1] }}",
        "{{ text[txt:] }}",
        "{{ text[:txt] }}",
        "{% if txt %}a{% endif %}",
        "{% if not txt %}a{% endif %}",
        "{% if text and txt %}a{% endif %}",
        "{{ txt or 'a' }}",
        "{{ 'a' if txt else 'b' }}",
        "{{ txt|upper }}",
        "{{ txt|length }}",
        "{{ txt|list }}",
        "{{ txt|join(',') }}",
        "{{ txt|first }}",
        "{{ txt|tojson }}",
        "{{ txt|string }}",
        "{{ text|replace(txt, 'a') }}",
        "{{ [txt]|join }}",
        "{{ [[txt]] }}",
        "{{ {'a': txt} }}",
        "{% for x in txt %}a{% endfor %}",
        "{% for x in txt[:2] %}a{% endfor %}",
        "{{ txt == 'a' }}",
        "{{ 'a' != txt }}",
        "{{ txt < 1 }}",
        "{{ txt in ['a'] }}",
        "{{ 'a' in txt }}",
        "{{ txt ~ 'a' }}",
        "{{ 'a' ~ txt }}",
        "{{ txt + 1 }}",
        "{{ txt % 2 }}",
        "{{ txt is none }}",
        "{{ txt is string }}",
        "{{ txt is not none }}",
        "{{ txt.upper() }}",
        "{{ txt.name }}",
        "{{ txt['name'] }}",
        "{{ text.find(txt) }}",
        "{{ '%s'|format(txt) }}",
        "{% set x = txt %}{{ x }}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(txt) }}",
        "{% set x %}{{ txt }}{% endset %}",
        "{% filter upper %}{{ txt }}{% endfilter %}",
    ] {
        let said = said(source);
        assert!(said.contains("txt") || said.contains("undefined"), "{source}: {said}");
    }
    for source in [
        "{{ row.nme }}",
        "{{ row['nme'] }}",
        "{% if row.nme %}a{% endif %}",
        "{{ row.nme[:2] }}",
        "{{ text.nme }}",
    ] {
        assert!(said(source).contains("undefined"), "{source}: {}", said(source));
    }
    let asks = "{{ txt is defined }} {{ txt is undefined }} {{ txt|default('a') }} {{ row.nme is defined }} {{ row.nme|d('b') }}";
    let engine = Engine::compile(asks, Dialect::Data).expect("compiles");
    let row = Value::from_pairs([("row", Value::from_pairs([("name", "Ann")]))]);
    assert_eq!(engine.render(row).expect("asks"), "False True a False b");
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    for (source, name, advice) in [
        ("{{ ['a']|choice }}", "choice", "at random"),
        ("{{ 'a'|nosuch }}", "nosuch", "without"),
        ("{{ nosuch(1) }}", "nosuch", "range"),
        ("{{ 'a'.nosuch() }}", "nosuch", "removeprefix"),
        ("{{ ['a'].append(1) }}", "append", "write list + [item]"),
        ("{{ '\\U0001f642' }}", "\\U", "the character itself"),
        ("{{ text < 'b' < 'c' }}", "a < b and b < c", ""),
        ("{% autoescape true %}{% endautoescape %}", "autoescape", ""),
        ("{% include 'x' %}", "include", ""),
    ] {
        let said = said(source);
        assert!(said.contains(name) && said.contains(advice), "{source}: {said}");
    }
    // The hint's methods are there.
    for method in super::text::METHODS.split(", ") {
        let error = Engine::compile(&format!("{{{{ 'a'.{method}() }}}}"), Dialect::Data)
            .and_then(|engine| engine.render(Value::from(())));
        assert!(!error.is_err_and(|error| error.kind() == minijinja::ErrorKind::UnknownMethod), "{method}");
    }
}

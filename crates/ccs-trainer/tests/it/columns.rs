//! Further columns of the data travel with its rows.

use ccs_trainer::{Dataset, Error, LayerSelection, Memory, Pooled, Source as _, StoreSource};
use serde_json::json;

use crate::data::Planted;
use crate::store::Stored;

fn texts(values: &[Option<&str>]) -> Vec<Option<String>> {
    values.iter().map(|value| value.map(str::to_owned)).collect()
}

/// Three rows with these columns, in this order.
fn source(columns: &[(&str, &[Option<&str>])]) -> Memory {
    let planted = Planted::new(3, 4, 1.0, 7);
    let mut rows = planted.rows();
    for (name, values) in columns {
        rows.columns.insert((*name).to_owned(), texts(values));
    }
    Memory::new(rows).with_layer("hook_embed", planted.plus, planted.minus)
}

#[test]
fn a_pool_has_the_columns_of_all_and_nothing_where_a_data_set_lacks_one() {
    let a = source(&[("kind", &[Some("x"), None, Some("y")]), ("year", &[Some("1"), Some("2"), Some("3")])]);
    let b = source(&[("genre", &[Some("g"), Some("h"), None]), ("kind", &[Some("z"), Some("x"), None])]);
    let c = source(&[]);
    let parts = [
        Dataset { name: "a", source: &a },
        Dataset { name: "b", source: &b },
        Dataset { name: "c", source: &c },
    ];
    let pooled = Pooled::new(&parts, &LayerSelection::All).unwrap();
    pooled.rows().check().unwrap();
    let found: Vec<_> = pooled.rows().columns.iter().map(|(name, v)| (name.as_str(), v.clone())).collect();
    let none = [None; 3];
    let of = |a: &[Option<&str>], b: &[Option<&str>]| texts(&[a, b, &none].concat());
    let expected = [
        ("kind", of(&[Some("x"), None, Some("y")], &[Some("z"), Some("x"), None])),
        ("year", of(&[Some("1"), Some("2"), Some("3")], &none)),
        ("genre", of(&none, &[Some("g"), Some("h"), None])),
        ("dataset", texts(&["a", "b", "c"].map(|name| [Some(name); 3]).concat())),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_store_gives_its_columns_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let columns = |row| match row % 3 {
        0 => vec![("kind", "x"), ("year", "1")],
        1 => vec![],
        _ => vec![("kind", "y"), ("genre", "g"), ("year", "2")],
    };
    Stored { columns, ..Stored::default() }.write(folder.path());
    let source = StoreSource::open(folder.path()).unwrap();
    let rows = source.rows();
    rows.check().unwrap();
    assert_eq!(rows.columns.keys().collect::<Vec<_>>(), ["kind", "genre", "year"]);
    assert_eq!(rows.columns["kind"][..3], texts(&[Some("x"), None, Some("y")]));
    assert_eq!(rows.columns["genre"][..3], texts(&[None, None, Some("g")]));
}

#[test]
fn a_pool_says_whose_notes_they_are() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let settings = |notes: &[&str]| json!({ "model": { "identity": "00", "note": "a small model" }, "tokenizer": { "identity": "1" }, "notes": notes });
    Stored { settings: settings(&["groups were guessed"]), ..Stored::default() }.write(folders[0].path());
    Stored { settings: json!({ "model": { "identity": "00", "note": "a small model" }, "tokenizer": { "identity": "1" } }), passages_from: 90, ..Stored::default() }
        .write(folders[1].path());
    let [a, b] = folders.map(|folder| (StoreSource::open(folder.path()).unwrap(), folder));
    assert_eq!(a.0.notes(), ["a small model", "groups were guessed"]);
    let parts = [Dataset { name: "a", source: &a.0 }, Dataset { name: "b", source: &b.0 }];
    let pooled = Pooled::new(&parts, &LayerSelection::All).unwrap();
    assert_eq!(pooled.notes(), ["what could not be compared"; 0], "nothing is unknown");
    assert_eq!(ccs_trainer::Source::notes(&pooled), ["a small model", "a: groups were guessed"]);
}

#[test]
fn a_column_of_another_length_is_refused_by_its_name() {
    let short = source(&[("kind", &[Some("x"); 3]), ("year", &[None; 2])]);
    let error = short.rows().check().unwrap_err();
    assert!(
        matches!(&error, Error::ColumnLength { column, expected: 3, found: 2 } if column == "year"),
        "{error}"
    );
    // A pool checks each of its parts.
    let parts = [Dataset { name: "a", source: &short }];
    assert!(matches!(Pooled::new(&parts, &LayerSelection::All), Err(Error::ColumnLength { .. })));
}

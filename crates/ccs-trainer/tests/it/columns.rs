//! Further columns of the data travel with its rows.

use ccs_trainer::{Dataset, Error, LayerSelection, Memory, Pooled, Source as _};

use crate::data::Planted;

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
    ];
    assert_eq!(found, expected);
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

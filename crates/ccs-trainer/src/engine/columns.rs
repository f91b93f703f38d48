//! Columns of the data that divide its rows into strata.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use indexmap::IndexMap;

use crate::source::Rows;
use crate::{Error, Result};

/// A column that is not named is tried where it has at most so many values.
const FEW_VALUES: usize = 12;
/// A named column of words may have so many; one of numbers is cut into quarters where it has more than [`FEW_VALUES`].
const MOST_VALUES: usize = 50;
/// Quarters of a column of numbers.
const QUARTERS: usize = 4;

/// A column, its values numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataColumn {
    pub(crate) name: String,
    /// In order.
    pub(crate) values: Vec<String>,
    /// Of each row of the data; none where it has no value.
    pub(crate) of_row: Vec<Option<usize>>,
}

/// The columns that strata are made of: those that are named, and all with few values. The rows' templates are one, as
/// `template`.
///
/// # Errors
/// A named column that the data does not have, or with too many values.
pub(crate) fn columns(rows: &Rows, named: &[String], train: &[usize]) -> Result<Vec<DataColumn>> {
    let mut all: IndexMap<&str, Vec<Option<&str>>> = IndexMap::new();
    if !rows.templates.is_empty() {
        all.insert("template", rows.templates.iter().map(|value| Some(value.as_str())).collect());
    }
    for (name, values) in &rows.columns {
        all.entry(name).or_insert_with(|| values.iter().map(Option::as_deref).collect());
    }
    let mut found: Vec<DataColumn> = Vec::new();
    let is_new = |found: &[DataColumn], name: &str| found.iter().all(|column| column.name != name);
    for name in named {
        let Some(values) = all.get(name.as_str()) else { return Err(unknown(all.keys().copied(), name)) };
        if is_new(&found, name) {
            found.push(of_named(name, values, train)?);
        }
    }
    for (name, values) in &all {
        if is_new(&found, name) && has_few_values(values) {
            let column = of_words(name, values);
            // What is true in every row of one value and in none of the other is the label itself, not what explains it;
            // what divides rows as another column does says nothing new.
            let is_new = found.iter().all(|other| other.of_row != column.of_row);
            let divides = column.values.len() > 1 && is_new && !is_label(&column, &rows.labels);
            found.extend(divides.then_some(column));
        }
    }
    Ok(found)
}

/// Whether a column that is not named is tried; of one with many values, no more than the first few are looked at.
fn has_few_values(values: &[Option<&str>]) -> bool {
    let mut distinct = BTreeSet::new();
    values.iter().flatten().all(|value| {
        distinct.insert(value);
        distinct.len() <= FEW_VALUES
    })
}

/// Whether the labels follow from the column.
fn is_label(column: &DataColumn, labels: &[bool]) -> bool {
    let mut label_of = BTreeMap::new();
    let agree = |(value, label): (&Option<usize>, &bool)| label_of.entry(*value).or_insert(*label) == label;
    column.of_row.iter().zip(labels).all(agree)
}

fn of_words(name: &str, values: &[Option<&str>]) -> DataColumn {
    let distinct: BTreeSet<&str> = values.iter().flatten().copied().collect();
    let mut distinct: Vec<&str> = distinct.into_iter().collect();
    // Numbers in their order, where all are: 2 before 10.
    if distinct.iter().all(|value| number(value).is_some()) {
        distinct.sort_by(|a, b| number(a).unwrap_or_default().total_cmp(&number(b).unwrap_or_default()));
    }
    let place: HashMap<&str, usize> = distinct.iter().enumerate().map(|(at, value)| (*value, at)).collect();
    DataColumn {
        name: name.to_owned(),
        of_row: values.iter().map(|value| place.get((*value)?).copied()).collect(),
        values: distinct.into_iter().map(str::to_owned).collect(),
    }
}

fn of_named(name: &str, values: &[Option<&str>], train: &[usize]) -> Result<DataColumn> {
    let words = of_words(name, values);
    if words.values.len() <= FEW_VALUES {
        return Ok(words);
    }
    let is_numbers = |text: &&str| is_missing(text) || number(text).is_some();
    if values.iter().flatten().all(is_numbers) {
        let numbers: Vec<Option<f64>> = values.iter().map(|value| number((*value)?)).collect();
        return Ok(quarters(name, &numbers, train));
    }
    if words.values.len() <= MOST_VALUES {
        return Ok(words);
    }
    Err(Error::Setting {
        name: "strata",
        value: name.to_owned(),
        reason: "the column has too many different values to divide rows by",
        hint: "name a column of numbers, or of at most 50 different values",
    })
}

/// A number; what is not one (`nan`) has no place in an order.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| !number.is_nan())
}

/// How files of numbers write that there is none.
fn is_missing(text: &str) -> bool {
    let text = text.trim();
    text.is_empty()
        || ["nan", "na", "n/a", "null", "none"].iter().any(|missing| text.eq_ignore_ascii_case(missing))
}

/// A column of numbers cut at the quartiles of the training rows.
fn quarters(name: &str, numbers: &[Option<f64>], train: &[usize]) -> DataColumn {
    let mut known: Vec<f64> = train.iter().filter_map(|&row| *numbers.get(row)?).collect();
    known.sort_unstable_by(f64::total_cmp);
    let cut = |quarter: usize| known.get(quarter * known.len() / QUARTERS).copied();
    let mut cuts: Vec<f64> = (1..QUARTERS).filter_map(cut).collect();
    cuts.dedup();
    let edges: Vec<String> = cuts.iter().map(|cut| format!("{cut}")).collect();
    let name_of = |at: usize| match (at.checked_sub(1).and_then(|b| edges.get(b)), edges.get(at)) {
        (None, Some(high)) => format!("below {high}"),
        (Some(low), Some(high)) => format!("{low} to below {high}"),
        (Some(low), None) => format!("{low} and above"),
        (None, None) => "all".to_owned(),
    };
    DataColumn {
        name: name.to_owned(),
        values: (0..=cuts.len()).map(name_of).collect(),
        of_row: numbers.iter().map(|n| n.map(|n| cuts.iter().filter(|cut| n >= **cut).count())).collect(),
    }
}

/// A column that is not among those known.
pub(crate) fn unknown<'a>(known: impl Iterator<Item = &'a str> + Clone, name: &str) -> Error {
    let near = host::nearest(name, known.clone()).map(str::to_owned);
    Error::UnknownColumn {
        name: name.to_owned(),
        known: known.map(str::to_owned).collect(),
        suggestion: near,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: &[(&str, Vec<String>)]) -> Rows {
        let labels: Vec<bool> = (0..100).map(|row| row % 3 == 0).collect();
        let columns = columns
            .iter()
            .map(|(name, values)| ((*name).to_owned(), values.iter().cloned().map(Some).collect()));
        Rows { labels, columns: columns.collect(), ..Rows::default() }
    }

    fn of(make: impl Fn(usize) -> String) -> Vec<String> {
        (0..100).map(make).collect()
    }

    #[test]
    fn few_values_divide_rows_and_the_label_itself_does_not() {
        let data = rows(&[
            ("relation", of(|row| format!("r{}", row % 4))),
            ("the_same_again", of(|row| format!("name {}", row % 4))),
            ("answer", of(|row| if row % 3 == 0 { "yes" } else { "no" }.to_owned())),
            ("subject", of(|row| format!("s{row}"))),
            ("same", of(|_| "x".to_owned())),
        ]);
        let found = columns(&data, &[], &[]).unwrap();
        assert_eq!(found.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["relation"]);
        assert_eq!((found[0].values.len(), found[0].of_row[5]), (4, Some(1)));
    }

    #[test]
    fn a_named_column_of_numbers_is_cut_at_the_training_rows_quartiles() {
        let data = rows(&[("length", of(|row| row.to_string())), ("word", of(|row| format!("w{row}")))]);
        let train: Vec<usize> = (0..40).collect();
        let named = |name: &str| columns(&data, &[name.to_owned()], &train);
        let found = named("length").unwrap();
        assert_eq!(found[0].values, ["below 10", "10 to below 20", "20 to below 30", "30 and above"]);
        assert_eq!(
            (found[0].of_row[9], found[0].of_row[10], found[0].of_row[99]),
            (Some(0), Some(1), Some(3))
        );
        assert!(matches!(named("word"), Err(Error::Setting { name: "strata", .. })));
        let error = named("lengths").unwrap_err();
        assert!(error.hint().unwrap().contains("did you mean `length`?"), "{error}");
    }

    #[test]
    fn names_once_templates_by_name_and_numbers_in_order() {
        let mut data = rows(&[
            ("level", of(|row| (9 + row % 4).to_string())),
            ("template", of(|row| format!("t{}", row % 2))),
        ]);
        let named = |data: &Rows, names: &[&str]| {
            columns(data, &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), &[]).unwrap()
        };
        let found = named(&data, &["template", "template"]);
        assert_eq!(
            found.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(),
            ["template", "level"]
        );
        assert_eq!(
            (found[0].values.len(), found[1].values.as_slice()),
            (2, ["9", "10", "11", "12"].map(str::to_owned).as_slice())
        );
        // The rows' own templates come first, and can be named without being a column of the file.
        data.templates = of(|row| format!("own {}", row % 3));
        data.columns.shift_remove("template");
        assert_eq!(named(&data, &["template"])[0].values, ["own 0", "own 1", "own 2"]);
    }

    #[test]
    fn numbers_may_be_missing_and_values_that_are_not_numbers_are_no_quarter() {
        let odd = |row: usize| match row % 10 {
            0 => String::new(),
            1 => "NaN".to_owned(),
            2 => "n/a".to_owned(),
            _ => format!(" {}", row as f64 / 2.0),
        };
        let data = rows(&[
            ("age", of(odd)),
            ("mixed", of(|row| if row == 7 { "seven".to_owned() } else { row.to_string() })),
        ]);
        let train: Vec<usize> = (0..100).collect();
        let found = &columns(&data, &["age".to_owned()], &train).unwrap()[0];
        assert_eq!(found.values.len(), 4);
        assert_eq!(
            (found.of_row[0], found.of_row[1], found.of_row[2], found.of_row[99]),
            (None, None, None, Some(3))
        );
        assert!(columns(&data, &["mixed".to_owned()], &train).is_err());
        // Without a number among the training rows there is nothing to cut at.
        assert_eq!(columns(&data, &["age".to_owned()], &[0, 1]).unwrap()[0].values, ["all"]);
    }
}

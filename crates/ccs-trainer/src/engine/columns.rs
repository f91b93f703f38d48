//! Columns of the data that divide its rows into strata.

use std::collections::{BTreeMap, BTreeSet};

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

/// The columns that strata are made of: those that are named, and all with few values.
///
/// # Errors
/// A named column that the data does not have, or with too many values.
pub(crate) fn columns(rows: &Rows, named: &[String], train: &[usize]) -> Result<Vec<DataColumn>> {
    let mut found = Vec::new();
    for name in named {
        let Some(values) = rows.columns.get(name) else { return Err(unknown(rows, name)) };
        found.push(of_named(name, values, train)?);
    }
    let several = |values: &[String]| BTreeSet::from_iter(values).len() > 1;
    let own = [("template", &rows.templates)].into_iter().filter(|(_, values)| several(values));
    let own = own.map(|(name, values)| (name, values.iter().map(|v| Some(v.clone())).collect::<Vec<_>>()));
    let others = rows.columns.iter().map(|(name, values)| (name.as_str(), values.clone()));
    for (name, values) in own.chain(others) {
        if found.iter().all(|column| column.name != name) {
            let column = of_words(name, &values);
            // What is true in every row of one value and in none of the other is the label itself, not what explains it.
            let divides = (2..=FEW_VALUES).contains(&column.values.len());
            found.extend((divides && !is_label(&column, &rows.labels)).then_some(column));
        }
    }
    Ok(found)
}

/// Whether the labels follow from the column.
fn is_label(column: &DataColumn, labels: &[bool]) -> bool {
    let mut label_of = BTreeMap::new();
    let agree = |(value, label): (&Option<usize>, &bool)| label_of.entry(*value).or_insert(*label) == label;
    column.of_row.iter().zip(labels).all(agree)
}

fn of_words(name: &str, values: &[Option<String>]) -> DataColumn {
    let distinct: BTreeSet<&String> = values.iter().flatten().collect();
    let place: BTreeMap<&String, usize> =
        distinct.iter().enumerate().map(|(at, value)| (*value, at)).collect();
    DataColumn {
        name: name.to_owned(),
        of_row: values.iter().map(|value| place.get(value.as_ref()?).copied()).collect(),
        values: distinct.into_iter().cloned().collect(),
    }
}

fn of_named(name: &str, values: &[Option<String>], train: &[usize]) -> Result<DataColumn> {
    let words = of_words(name, values);
    if words.values.len() <= FEW_VALUES {
        return Ok(words);
    }
    let numbers: Option<Vec<Option<f64>>> = values
        .iter()
        .map(|v| v.as_ref().map(|v| v.trim().parse().ok()).map_or(Some(None), |n| n.map(Some)))
        .collect();
    match numbers {
        Some(numbers) => Ok(quarters(name, &numbers, train)),
        None if words.values.len() <= MOST_VALUES => Ok(words),
        None => Err(Error::Setting {
            name: "strata",
            value: name.to_owned(),
            reason: "the column has more values than strata can be read",
            hint: "name a column of numbers, or of at most 50 different values",
        }),
    }
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

fn unknown(rows: &Rows, name: &str) -> Error {
    let near = host::nearest(name, rows.columns.keys().map(String::as_str)).map(str::to_owned);
    Error::UnknownColumn {
        name: name.to_owned(),
        known: rows.columns.keys().cloned().collect(),
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
        let error = named("lenght").unwrap_err();
        assert!(error.hint().unwrap().contains("did you mean `length`?"), "{error}");
    }
}

//! Which rows are each other's negation: those that agree in columns of the data.

use std::collections::{BTreeSet, HashMap};

use crate::engine::columns::unknown;
use crate::engine::polarity::Polarity;
use crate::source::Rows;
use crate::source::store::DATASET;
use crate::{Error, Result};

/// Rows and their negations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Negations {
    /// The columns that both share.
    pub(crate) by: Vec<String>,
    /// Rows about the same thing have the same number. N
    pub(crate) keys: Vec<usize>,
}

/// What is no column of the data, by the names that a report has for it.
const QUESTION: &str = "question";
const TEMPLATE: &str = "template";
const GROUP: &str = "group";

impl Negations {
    /// By the columns asked for, or else by all in which affirmative and negated rows have values in common, by the question
    /// alone, or by the group alone: the first of these that brings a row and another together, and no two of the same label,
    /// which would not be each other's negation. None where none does. `lenient` takes rows that columns asked for say nothing
    /// of, as some data sets of several may.
    ///
    /// # Errors
    /// A column that the data does not have; columns asked for that bring rows of the same label together, or no rows at all.
    pub(crate) fn of(
        rows: &Rows,
        polarity: &Polarity,
        asked: &[String],
        lenient: bool,
    ) -> Result<Option<Self>> {
        let all = values(rows);
        let known = all.iter().map(|(name, _)| *name);
        if let Some(name) = asked.iter().find(|name| !known.clone().any(|own| own == name.as_str())) {
            return if lenient { Ok(None) } else { Err(unknown(known, name)) };
        }
        let of = |wanted: &dyn Fn(&str, &[Option<&str>]) -> bool| -> Option<Self> {
            let columns: Vec<&Column<'_>> =
                all.iter().filter(|(name, values)| wanted(name, values)).collect();
            let made = Self::by_columns(&columns, rows.labels.len())?;
            made.are_opposite(rows, polarity).then_some(made)
        };
        if !asked.is_empty() {
            let found = of(&|name, _| asked.iter().any(|own| own == name));
            return if found.is_some() || lenient {
                Ok(found)
            } else {
                Err(Error::Setting {
                    name: "negated_by",
                    value: asked.join(","),
                    reason: "no affirmative row agrees with a negated one there, or two that do have the same label",
                    hint: "a statement and its negation have opposite labels; give the columns that say what both are about",
                })
            };
        }
        let said = |name: &str| name == polarity.column || name == DATASET;
        let shared = of(&|name, values| !said(name) && is_shared(values, &polarity.affirmative));
        Ok(shared.or_else(|| of(&|name, _| name == QUESTION)).or_else(|| of(&|name, _| name == GROUP)))
    }

    fn by_columns(columns: &[&Column<'_>], rows: usize) -> Option<Self> {
        if columns.is_empty() {
            return None;
        }
        let mut numbers: HashMap<Vec<Option<&str>>, usize> = HashMap::new();
        let key = |row: usize| columns.iter().map(|(_, values)| values.get(row).copied().flatten()).collect();
        let keys = (0..rows)
            .map(|row| {
                let next = numbers.len();
                *numbers.entry(key(row)).or_insert(next)
            })
            .collect();
        Some(Self { by: columns.iter().map(|(name, _)| (*name).to_owned()).collect(), keys })
    }

    /// Whether affirmative rows meet negated ones, all of them with opposite labels.
    fn are_opposite(&self, rows: &Rows, polarity: &Polarity) -> bool {
        // Of every key, the labels of its affirmative and of its negated rows.
        let mut seen: HashMap<usize, [[bool; 2]; 2]> = HashMap::new();
        for ((key, &label), &affirmative) in self.keys.iter().zip(&rows.labels).zip(&polarity.affirmative) {
            seen.entry(*key).or_default()[usize::from(affirmative)][usize::from(label)] = true;
        }
        let met = || {
            seen.values()
                .filter(|[negated, affirmative]| negated != &[false; 2] && affirmative != &[false; 2])
        };
        let is_opposite = |[negated, affirmative]: &[[bool; 2]; 2]| {
            matches!((negated, affirmative), ([true, false], [false, true]) | ([false, true], [true, false]))
        };
        met().next().is_some() && met().all(is_opposite)
    }
}

/// A column and its values.
type Column<'a> = (&'a str, Vec<Option<&'a str>>);

/// All that may say what a row is about.
fn values(rows: &Rows) -> Vec<Column<'_>> {
    let own = [(QUESTION, &rows.questions), (TEMPLATE, &rows.templates), (GROUP, &rows.groups)];
    let own = own.into_iter().filter(|(_, values)| !values.is_empty());
    let mut all: Vec<Column<'_>> =
        own.map(|(name, values)| (name, values.iter().map(|v| Some(v.as_str())).collect())).collect();
    for (name, values) in &rows.columns {
        if all.iter().all(|(own, _)| own != name) {
            all.push((name, values.iter().map(Option::as_deref).collect()));
        }
    }
    all
}

/// Whether affirmative and negated rows have a value in common, and not one alone, which says nothing.
fn is_shared(values: &[Option<&str>], affirmative: &[bool]) -> bool {
    let of = |polarity: bool| -> BTreeSet<&str> {
        let values = values.iter().zip(affirmative).filter(|(_, a)| **a == polarity);
        values.filter_map(|(value, _)| *value).collect()
    };
    let (affirmative, negated) = (of(true), of(false));
    !affirmative.is_disjoint(&negated) && affirmative.union(&negated).nth(1).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cities and their negations, row by row: about Oslo and Lima, each with a true and a false country.
    fn cities() -> (Rows, Polarity) {
        let column =
            |values: [&str; 4]| values.iter().chain(&values).map(|v| Some((*v).to_owned())).collect();
        let names = |of: &str| (0..8).map(|row| format!("{of} {row}")).collect::<Vec<_>>();
        let city = ["Oslo", "Oslo", "Lima", "Lima"];
        let rows = Rows {
            ids: names("row"),
            questions: names("question"),
            groups: city.iter().chain(&city).map(|&city| city.to_owned()).collect(),
            labels: vec![true, false, true, false, false, true, false, true],
            columns: [
                ("city".to_owned(), column(city)),
                ("country".to_owned(), column(["Norway", "Chile", "Peru", "Norway"])),
                ("kind".to_owned(), column(["city"; 4])),
                (
                    "dataset".to_owned(),
                    (0..8).map(|row| Some(if row < 4 { "cities" } else { "neg" }.to_owned())).collect(),
                ),
            ]
            .into_iter()
            .collect(),
            ..Rows::default()
        };
        let polarity = Polarity::of(&rows, Some(&"neg".parse().unwrap()), false).unwrap().unwrap();
        (rows, polarity)
    }

    #[test]
    fn negations_are_found_by_what_both_share() {
        let (mut rows, polarity) = cities();
        let found = Negations::of(&rows, &polarity, &[], false).unwrap().unwrap();
        assert_eq!(
            (found.by.join(", "), found.keys),
            ("group, city, country".to_owned(), vec![0, 1, 2, 3, 0, 1, 2, 3])
        );
        let by = |rows: &Rows, names: &[&str]| {
            Negations::of(rows, &polarity, &names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>(), false)
        };
        assert_eq!(by(&rows, &["city", "country"]).unwrap().unwrap().by, ["city", "country"]);
        // A city alone brings the true one of Oslo and the negated false one together, which have the same label.
        assert!(by(&rows, &["city"]).is_err() && by(&rows, &["color"]).is_err());
        // A column that tells a statement from its negation is no reason against the question.
        let text = rows.labels.iter().map(|label| Some(label.to_string())).collect();
        rows.columns.insert("answer".to_owned(), text);
        assert_eq!(by(&rows, &[]).unwrap(), None, "labels agree, nothing else says it");
        rows.questions = (0..8).map(|row| format!("q{}", row % 4)).collect();
        assert_eq!(by(&rows, &[]).unwrap().unwrap().by, ["question"]);
    }

    #[test]
    fn without_anything_in_common_there_are_none() {
        let (mut rows, polarity) = cities();
        rows.columns.shift_remove("city");
        rows.columns.shift_remove("country");
        rows.groups = rows.ids.clone();
        assert_eq!(Negations::of(&rows, &polarity, &[], false).unwrap(), None);
    }
}

//! Which rows are negated: "is not" for "is".

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::engine::columns::unknown;
use crate::source::Rows;
use crate::source::store::DATASET;
use crate::{Error, Result};

/// Which rows are negated: those in which a column of the data has one of some values. Written `COLUMN=VALUE,VALUE`, or
/// `VALUE,VALUE` for data sets of these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Negated {
    /// The column.
    pub column: String,
    /// Its values in negated rows. Rows without a value are affirmative.
    pub values: Vec<String>,
}

impl fmt::Display for Negated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.column, self.values.join(","))
    }
}

impl FromStr for Negated {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (column, values) = text.split_once('=').unwrap_or((DATASET, text));
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        if column.is_empty() || values.iter().any(String::is_empty) {
            return Err(Error::Setting {
                name: "negated",
                value: format!("`{text}`"),
                reason: "it says which rows are negated",
                hint: "give the name of a data set, or a column of the data and its value: `negated = polarity=negated`",
            });
        }
        Ok(Self { column: column.to_owned(), values })
    }
}

impl From<Negated> for String {
    fn from(negated: Negated) -> Self {
        negated.to_string()
    }
}

impl TryFrom<String> for Negated {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// The polarity of every row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Polarity {
    /// N
    pub(crate) affirmative: Vec<bool>,
    /// The column that says it.
    pub(crate) column: String,
    /// Its values in negated rows.
    pub(crate) negated: Vec<String>,
    /// Whether the column was found by its name, and not asked for.
    pub(crate) by_name: bool,
}

impl Polarity {
    /// As asked for, or else by a column whose name and two values say it; none where nothing does. `lenient` takes rows
    /// that lack the column or value, as one data set of several may.
    ///
    /// # Errors
    /// A column that the data does not have, or a value that no row has.
    pub(crate) fn of(rows: &Rows, asked: Option<&Negated>, lenient: bool) -> Result<Option<Self>> {
        let Some(asked) = asked else { return Ok(by_name(rows)) };
        let Some(values) = rows.columns.get(&asked.column) else {
            return match (lenient, asked.column.as_str()) {
                (true, _) => Ok(None),
                (false, DATASET) => Err(Error::Setting {
                    name: "negated",
                    value: format!("the data set `{}`", asked.values.join(",")),
                    reason: "all rows are of one data set",
                    hint: "give a column of the data and its value: `negated = polarity=negated`",
                }),
                _ => Err(unknown(rows.columns.keys().map(String::as_str), &asked.column)),
            };
        };
        let is = |value: &Option<String>, of: &String| value.as_ref() == Some(of);
        let missing = asked.values.iter().find(|of| !values.iter().any(|value| is(value, of)));
        if let Some(value) = missing.filter(|_| !lenient) {
            return Err(Error::Setting {
                name: "negated",
                value: format!("`{}={value}`", asked.column),
                reason: "no row has that value",
                hint: "values are compared letter by letter",
            });
        }
        let affirmative = values.iter().map(|value| !asked.values.iter().any(|of| is(value, of))).collect();
        let (column, negated) = (asked.column.clone(), asked.values.clone());
        Ok(Some(Self { affirmative, column, negated, by_name: false }))
    }

    /// Whether there are rows of both kinds.
    pub(crate) fn is_mixed(&self) -> bool {
        self.affirmative.contains(&true) && self.affirmative.contains(&false)
    }
}

/// Names of columns that say whether a row is negated, with the values that a negated and an affirmative row has there.
const NAMES: [(&str, &[&str], &[&str]); 5] = [
    ("polarity", &NEGATIVE, &POSITIVE),
    ("negated", &YES, &NO),
    ("is_negated", &YES, &NO),
    ("negation", &YES, &NO),
    ("affirmative", &NO, &YES),
];
const NEGATIVE: [&str; 5] = ["negated", "negative", "neg", "-1", "0"];
const POSITIVE: [&str; 6] = ["affirmative", "affirmed", "positive", "pos", "1", "+1"];
const YES: [&str; 4] = ["true", "1", "yes", "negated"];
const NO: [&str; 4] = ["false", "0", "no", "affirmative"];

fn by_name(rows: &Rows) -> Option<Polarity> {
    NAMES.into_iter().find_map(|(name, negated, affirmative)| {
        let (column, values) = rows.columns.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        let values: Vec<&str> = values.iter().map(Option::as_deref).collect::<Option<_>>()?;
        let distinct: BTreeSet<&str> = values.iter().copied().collect();
        let is_in = |value: &str, list: &[&str]| list.iter().any(|of| of.eq_ignore_ascii_case(value));
        let [one, other] = distinct.into_iter().collect::<Vec<_>>()[..] else { return None };
        let negative = [(one, other), (other, one)]
            .into_iter()
            .find(|(a, b)| is_in(a, negated) && is_in(b, affirmative))
            .map(|(a, _)| a)?;
        Some(Polarity {
            affirmative: values.iter().map(|value| *value != negative).collect(),
            column: column.clone(),
            negated: vec![negative.to_owned()],
            by_name: true,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: &[(&str, &[&str])]) -> Rows {
        let column = |(name, values): &(&str, &[&str])| {
            let value = |v: &&str| (!v.is_empty()).then(|| (*v).to_owned());
            ((*name).to_owned(), values.iter().map(value).collect())
        };
        Rows { columns: columns.iter().map(column).collect(), ..Rows::default() }
    }

    #[test]
    fn names_and_values_that_say_it_are_found_and_no_others() {
        let found =
            |name: &str, values: &[&str]| Polarity::of(&rows(&[(name, values)]), None, false).unwrap();
        let of = |name: &str, values: &[&str]| found(name, values).map(|found| found.affirmative);
        assert_eq!(of("Polarity", &["1", "-1", "1"]), Some(vec![true, false, true]));
        assert_eq!(of("polarity", &["negated", "affirmative"]), Some(vec![false, true]));
        assert_eq!(of("negated", &["True", "False"]), Some(vec![false, true]));
        assert_eq!(of("affirmative", &["0", "1"]), Some(vec![false, true]));
        for (name, values) in [
            ("polarity", &["a", "b"][..]),
            ("polarity", &["1", "-1", "0"]),
            ("polarity", &["1", "1"]),
            ("negated", &["true", ""]),
            ("label", &["1", "0"]),
        ] {
            assert_eq!(found(name, values), None, "{name} {values:?}");
        }
    }

    #[test]
    fn it_is_asked_for_by_data_set_or_column() {
        let data =
            rows(&[("dataset", &["cities", "neg_cities", "neg_larger"]), ("form", &["", "is not", "is"])]);
        let of = |text: &str, lenient| Polarity::of(&data, Some(&text.parse().unwrap()), lenient);
        assert_eq!(of("neg_cities,neg_larger", false).unwrap().unwrap().affirmative, [true, false, false]);
        assert_eq!(of("form=is not", false).unwrap().unwrap().affirmative, [true, false, true]);
        assert!(of("neg", false).is_err() && of("color=x", false).is_err());
        assert_eq!(of("color=x", true).unwrap(), None);
        assert!(!of("neg", true).unwrap().unwrap().is_mixed());
        for bad in ["", "=x", "form=", "a,,b"] {
            assert!(bad.parse::<Negated>().is_err(), "{bad}");
        }
        let negated: Negated = "form=is not".parse().unwrap();
        assert_eq!(serde_json::to_value(&negated).unwrap(), "form=is not");
    }
}

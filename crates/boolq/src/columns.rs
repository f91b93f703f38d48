//! Further columns of the data, which travel with a pair.

use serde::{Serialize, Serializer};
use std::sync::Arc;

/// What the data say of a row besides its question, answer, and passage: short texts by the names of their columns, in the
/// order of the file. No prompt and no label is made of them; reports may tell rows apart by them.
///
/// In `prompts.csv` a column `NAME` of the data is called `data.NAME`. The pairs of a row share one copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct DataColumns {
    names: Arc<[String]>,
    values: Arc<[Option<String>]>,
}

impl DataColumns {
    /// Columns of a row, each with its value if it has one; white space alone is none. Columns without a name are left
    /// out, and of two columns of one name the first counts.
    pub fn new(columns: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        let named = columns.into_iter().filter(|(name, _)| !name.is_empty());
        let (names, values): (Vec<_>, Vec<_>) =
            named.map(|(name, value)| (name, value.filter(|text| !text.trim().is_empty()))).unzip();
        Self::of(names.into(), values)
    }

    /// A value for each of `names`, which rows share.
    pub(crate) fn of(names: Arc<[String]>, values: Vec<Option<String>>) -> Self {
        Self { names, values: values.into() }
    }

    /// The columns' names, also of those without a value in this row.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The value of a column, if there is such a column and it has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.names.iter().position(|other| other == name)?;
        self.values.get(at)?.as_deref()
    }

    /// Names and values, where there is a value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names
            .iter()
            .zip(self.values.iter())
            .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
    }

    /// Whether no column has a value.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Serialize for DataColumns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Which columns of a data file its pairs keep ([`DataColumns`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeepColumns {
    /// All that hold short texts and are not used otherwise: neither the question or statement, the passage, the title, the
    /// label, nor the id. Values have at most 200 characters; a column with one longer value is left out as a whole. Of
    /// more than 64 columns the first 64 are kept. What is left out is said
    /// ([`Warning::ColumnsLeftOut`](crate::Warning::ColumnsLeftOut)).
    #[default]
    Short,
    /// These, whatever they are used for; their values must be short too.
    Named(Vec<String>),
    /// None.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name_and_empty_ones_are_none() {
        let columns = [("a", Some("1")), ("b", None), ("c", Some("x"))];
        let columns =
            DataColumns::new(columns.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
        assert_eq!((columns.get("a"), columns.get("b"), columns.get("d")), (Some("1"), None, None));
        assert_eq!(columns.iter().collect::<Vec<_>>(), [("a", "1"), ("c", "x")]);
        assert_eq!(serde_json::to_string(&columns).expect("JSON"), r#"{"a":"1","c":"x"}"#);
        assert!(DataColumns::default().is_empty() && !columns.is_empty());
    }
}

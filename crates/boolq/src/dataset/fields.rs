//! The columns of a data file that only templates may want: whatever is there besides the label and the texts that
//! a [`Question`](super::Question) holds.

use super::table::{Column, Table};
use crate::error::Result;
use minijinja::Value;
use std::collections::BTreeMap;

/// Columns by name, a value for each row of the file. Texts stay texts, numbers numbers and booleans booleans; CSV
/// has texts only. Cells without a value, and those with white space alone, are undefined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    columns: BTreeMap<String, Vec<Value>>,
    /// All columns that hold text, numbers or booleans, kept or not.
    names: Vec<String>,
}

impl Fields {
    /// Those columns of `table` that `keep` asks for, without `taken`, which are held elsewhere.
    pub(super) fn of(table: &Table, taken: &[&str], keep: &dyn Fn(&str) -> bool) -> Result<Self> {
        let mut fields = Self::default();
        for name in table.names().iter().filter(|name| !taken.contains(&name.as_str())) {
            let column = Column(name.clone());
            if !table.is_plain(&column) && !table.is_nested(&column) {
                continue;
            }
            fields.names.push(name.clone());
            if keep(name) {
                fields.columns.insert(name.clone(), table.values(&column)?);
            }
        }
        Ok(fields)
    }

    /// The columns that templates can use.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The value in `row` of the file; `None` where there is none.
    pub(crate) fn get(&self, name: &str, row: u64) -> Option<&Value> {
        let column = self.columns.get(name)?;
        column.get(usize::try_from(row).ok()?).filter(|value| !value.is_undefined())
    }
}

//! The columns of a data file for templates: whatever is there besides the label and the texts that a
//! [`Question`](super::Question) holds.

use super::table::Table;
use minijinja::Value;

/// Columns by name. Texts stay texts, numbers numbers, booleans booleans, lists lists and objects maps; CSV has texts
/// only. Cells without a value, and those with white space alone, are undefined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    table: Table,
    names: Vec<String>,
    /// Columns that are not for templates.
    taken: Vec<String>,
    /// Another name for a column.
    alias: Option<(String, String)>,
}

impl Fields {
    /// All columns of `table` but those `taken`, which are held elsewhere or kept from templates. `alias` gives a
    /// column another name too, unless there is a column of that name.
    pub(super) fn of(table: Table, taken: &[&str], alias: Option<(&str, &str)>) -> Self {
        let alias = alias.filter(|(other, _)| !table.has(other));
        let alias = alias.map(|(other, column)| (other.to_owned(), column.to_owned()));
        let own = table.names().iter().filter(|name| !taken.contains(&name.as_str())).cloned();
        let names = own.chain(alias.iter().map(|(other, _)| other.clone())).collect();
        let taken = taken.iter().map(|name| (*name).to_owned()).collect();
        Self { table, names, taken, alias }
    }

    /// The columns that templates can use.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The value in `row` of the file, also of columns that are not for templates.
    pub(super) fn any(&self, name: &str, row: u64) -> Option<&Value> {
        self.table.get(name, usize::try_from(row).ok()?)
    }

    /// The value in `row` of the file; `None` where there is none.
    pub(crate) fn get(&self, name: &str, row: u64) -> Option<&Value> {
        let column = match &self.alias {
            Some((other, column)) if other == name => column,
            _ if self.taken.iter().any(|taken| taken == name) => return None,
            _ => name,
        };
        let value = self.table.get(column, usize::try_from(row).ok()?)?;
        let empty =
            value.is_none() || value.is_undefined() || value.as_str().is_some_and(|t| t.trim().is_empty());
        (!empty).then_some(value)
    }
}

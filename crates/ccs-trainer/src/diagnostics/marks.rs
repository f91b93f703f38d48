//! What the marks of points tell apart, where color tells truth.

use ccs_report::{Diagnostics, Method, PointMarks};
use indexmap::IndexMap;

use crate::engine::columns::DataColumn;
use crate::engine::plan::Plan;
use crate::source::store::DATASET;

/// Marks that a reader can tell apart.
const MOST: usize = 4;
const TEMPLATE: &str = "template";

/// The marks of these rows: the column that one of these methods follows most, else polarity, else the data set or the
/// template, where there are several.
pub(crate) fn marks(
    plan: &Plan<'_>,
    methods: &[Method],
    diagnostics: &IndexMap<Method, Diagnostics>,
    rows: &[usize],
) -> Option<PointMarks> {
    let named = |name: &str| plan.columns.iter().find(|column| column.name == name);
    let mut followed = methods.iter().filter_map(|method| explaining(diagnostics.get(method)?));
    if let Some(column) = followed.find_map(named) {
        return of_column(column, rows);
    }
    if let Some(polarity) = plan.polarity.as_ref().filter(|polarity| polarity.is_mixed()) {
        let place = |row: &usize| usize::from(polarity.affirmative.get(*row) == Some(&false));
        return Some(PointMarks {
            column: polarity.column.clone(),
            values: ["affirmative", "negated"].map(str::to_owned).into(),
            of_row: rows.iter().map(place).collect(),
        });
    }
    named(DATASET).or_else(|| named(TEMPLATE)).and_then(|column| of_column(column, rows))
}

/// The column that a method follows most, if it follows any.
fn explaining(of: &Diagnostics) -> Option<&str> {
    let followed =
        |column: &&ccs_report::ColumnReport| column.beyond_labels.map_or(f64::NEG_INFINITY, |of| of.value);
    let explaining = of.columns.iter().filter(|column| column.explains);
    explaining.max_by(|a, b| followed(a).total_cmp(&followed(b))).map(|column| column.column.as_str())
}

/// The values of a column in these rows; none where they have one alone.
fn of_column(column: &DataColumn, rows: &[usize]) -> Option<PointMarks> {
    let value = |row: &usize| column.of_row.get(*row).copied().flatten();
    let mut counts: Vec<(usize, usize)> = (0..column.values.len())
        .map(|at| (at, rows.iter().filter(|row| value(row) == Some(at)).count()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let others = counts.len() > MOST || rows.iter().any(|row| value(row).is_none());
    counts.sort_by_key(|(at, count)| (std::cmp::Reverse(*count), *at));
    counts.truncate(if others { MOST - 1 } else { MOST });
    let mut kept: Vec<usize> = counts.into_iter().map(|(at, _)| at).collect();
    kept.sort_unstable();
    let name = |at: &usize| column.values.get(*at).cloned();
    let mut values: Vec<String> = kept.iter().filter_map(name).collect();
    values.extend(others.then(|| "others".to_owned()));
    let place = |row: &usize| kept.iter().position(|at| value(row) == Some(*at)).unwrap_or(kept.len());
    (values.len() > 1).then(|| PointMarks {
        column: column.name.clone(),
        of_row: rows.iter().map(place).collect(),
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_values_have_marks_of_their_own() {
        let column = |of_row: &[Option<usize>]| DataColumn {
            name: "topic".to_owned(),
            values: ["a", "b", "c", "d", "e"].map(str::to_owned).into(),
            of_row: of_row.to_vec(),
        };
        let rows: Vec<usize> = (0..8).collect();
        let many = column(&[Some(0), Some(4), Some(4), Some(1), Some(1), Some(2), Some(3), Some(3)]);
        let found = of_column(&many, &rows).unwrap();
        assert_eq!(
            (found.values.join(" "), found.of_row),
            ("b d e others".to_owned(), vec![3, 2, 2, 0, 0, 3, 1, 1])
        );
        let two = column(&[Some(0), Some(1), Some(0), None, Some(0), Some(0), Some(0), Some(0)]);
        assert_eq!(of_column(&two, &rows).unwrap().values, ["a", "b", "others"]);
        assert_eq!(of_column(&two, &[0, 2]), None, "one value alone tells nothing apart");
    }
}

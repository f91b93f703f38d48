//! Single rows.

use serde::Serialize;

use super::scores::Parted;
use crate::figures::palette::class;
use crate::method::Method;
use crate::numbers::decimal;
use crate::report::{ExampleRow, Judged, MethodExamples, Report, RowExamples};

/// Rows of every method, and rows that two methods disagree on.
#[derive(Debug, Serialize)]
pub(super) struct ExamplesView {
    methods: Parted<MethodView>,
    /// With the two methods' names.
    disagreements: Option<(String, List)>,
}

#[derive(Debug, Serialize)]
struct MethodView {
    method: String,
    class: &'static str,
    layer: Option<usize>,
    lists: Vec<List>,
}

#[derive(Debug, Serialize)]
struct List {
    title: String,
    rows: Vec<RowView>,
}

#[derive(Debug, Serialize)]
struct RowView {
    /// The end of what both prompts begin with; none where the data has no texts.
    text: Option<String>,
    /// The answer that is judged: the plus side's.
    answer: Option<String>,
    label: String,
    /// Whether the method's prediction is wrong.
    wrong: bool,
    /// What is said of the row by methods.
    said: String,
    /// Where to find it.
    place: String,
}

pub(super) fn examples(report: &Report) -> Option<ExamplesView> {
    let of = report.examples.as_ref()?;
    let view =
        |(&method, found): (&Method, &MethodExamples)| (method, method_view(report, of, method, found));
    let disagreements = of.disagreements.as_ref().filter(|d| !d.rows.is_empty()).map(|d| {
        let names = d.methods.map(|method| report.title(method));
        let row = |d: &crate::report::Disagreement| {
            let said = names.iter().zip(d.p).map(|(name, p)| format!("{name}: p = {}", decimal(p)));
            row_view(of, d.row, false, said.collect::<Vec<_>>().join(", "))
        };
        let title = names.join(" and ");
        (title, List { title: "rows".to_owned(), rows: d.rows.iter().filter_map(row).collect() })
    });
    let methods = Parted::new(of.methods.iter().map(view));
    (!methods.first.is_empty()).then_some(ExamplesView { methods, disagreements })
}

fn method_view(report: &Report, all: &RowExamples, method: Method, of: &MethodExamples) -> MethodView {
    let list = |title: &str, rows: &[Judged]| List {
        title: title.to_owned(),
        rows: rows.iter().filter_map(|judged| judged_view(all, judged)).collect(),
    };
    let lists = [
        list("Surest and wrong", &of.wrong),
        list("Surest and right", &of.right),
        list("Least sure", &of.unsure),
    ];
    MethodView {
        method: report.title(method),
        class: class(method),
        layer: of.layer,
        lists: lists.into_iter().filter(|list| !list.rows.is_empty()).collect(),
    }
}

fn judged_view(all: &RowExamples, judged: &Judged) -> Option<RowView> {
    let p = judged.p.map(|p| format!(", p = {}", decimal(p))).unwrap_or_default();
    let label = find(all, judged.row)?.label;
    row_view(all, judged.row, label != judged.prediction, format!("predicted {}{p}", judged.prediction))
}

fn find(all: &RowExamples, row: usize) -> Option<&ExampleRow> {
    let at = all.rows.binary_search_by_key(&row, |found| found.row).ok()?;
    all.rows.get(at)
}

fn row_view(all: &RowExamples, row: usize, wrong: bool, said: String) -> Option<RowView> {
    let found = find(all, row)?;
    let template =
        if found.template.is_empty() { String::new() } else { format!(", template {}", found.template) };
    Some(RowView {
        text: found.text.as_ref().map(|text| text.shared.clone()),
        answer: found.text.as_ref().map(|text| text.plus.clone()),
        label: found.label.to_string(),
        wrong,
        said,
        place: format!("row {}, id {}{template}", found.row, found.id),
    })
}

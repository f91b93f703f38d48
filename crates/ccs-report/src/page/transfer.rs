//! Transfer from data set to data set.

use serde::Serialize;

use super::heat::HeatCell;
use super::scores::{Metric, Parted, auroc, difference_of_aurocs};
use crate::figures::heat::Scale;
use crate::figures::palette::class;
use crate::method::Method;
use crate::numbers::{decimal, interval, percent, percents, points};
use crate::report::{Evaluation, Report, Transfer};

/// Transfer from data set to data set by one method.
#[derive(Debug, Serialize)]
pub(super) struct TransferView {
    method: String,
    class: &'static str,
    columns: Vec<String>,
    rows: Vec<TransferRow>,
    key: Vec<HeatCell>,
    /// Every cell compared with baselines on the same rows.
    against: Vec<AgainstRow>,
}

#[derive(Debug, Serialize)]
struct AgainstRow {
    from: String,
    to: String,
    /// The median and the central 95% of random directions.
    random: Option<Metric>,
    /// Paired, in AUROC: minus random directions, minus the probe fitted there, minus the model's own answers.
    over: [Option<Metric>; 3],
}

#[derive(Debug, Serialize)]
struct TransferRow {
    name: String,
    layer: Option<usize>,
    cells: Vec<Option<HeatCell>>,
}

/// Intervals only where a page is wide enough for them.
const MOST_WITH_INTERVALS: usize = 6;

pub(super) fn transfers(report: &Report) -> Parted<TransferView> {
    let table = |(&method, found): (&Method, &Transfer)| {
        let answers = report.transfer_answers.values().flatten();
        let all = found.cells.iter().flatten().chain(answers).flatten().map(|e| e.accuracy);
        let scale = Scale::new(0.5, all);
        let intervals = found.datasets.len() <= MOST_WITH_INTERVALS;
        let cell = |e: &Evaluation| HeatCell {
            ci: e.accuracy_ci.filter(|_| intervals).map(percents),
            auroc: e.auroc.map(decimal),
            ..HeatCell::new(percent(e.accuracy), scale.style(e.accuracy))
        };
        let change = |row: usize, column: usize| {
            let over = found.against.get(row)?.get(column)?.as_ref()?.over_own.as_ref()?;
            let accuracy = over.accuracy?;
            let ci = accuracy.ci.filter(|_| intervals).map(|ci| format!(" {}", interval(ci, points)));
            Some(points(accuracy.value) + &ci.unwrap_or_default())
        };
        let within = |row: usize, (column, e): (usize, &Option<Evaluation>)| {
            let e = e.as_ref()?;
            Some(HeatCell { marked: row == column, change: change(row, column), ..cell(e) })
        };
        let rows = found.cells.iter().zip(&found.datasets).enumerate().map(|(row, (cells, name))| {
            let layer = found.layers.get(row).copied().flatten();
            let cells = cells.iter().enumerate().map(|e| within(row, e)).collect();
            TransferRow { name: name.clone(), layer, cells }
        });
        let answers = report.transfer_answers.iter().map(|(answer, of)| TransferRow {
            name: report.title(*answer),
            layer: None,
            cells: of.iter().map(|e| e.as_ref().map(cell)).collect(),
        });
        let view = TransferView {
            method: report.title(method),
            class: class(method),
            columns: found.datasets.clone(),
            rows: rows.chain(answers).collect(),
            key: HeatCell::key(&scale, percent),
            against: against(found),
        };
        (method, view)
    };
    Parted::new(report.transfer.iter().map(table))
}

fn against(found: &Transfer) -> Vec<AgainstRow> {
    let mut rows = Vec::new();
    for (from, cells) in found.datasets.iter().zip(&found.against) {
        for (to, cell) in found.datasets.iter().zip(cells) {
            let Some(cell) = cell else { continue };
            let over = [&cell.over_random, &cell.over_own, &cell.over_zero_shot];
            rows.push(AgainstRow {
                from: from.clone(),
                to: to.clone(),
                random: cell.random.as_ref().and_then(auroc),
                over: over.map(|difference| difference.as_ref().and_then(difference_of_aurocs)),
            });
        }
    }
    rows
}

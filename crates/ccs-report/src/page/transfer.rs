//! Transfer from data set to data set.

use serde::Serialize;

use super::heat::HeatCell;
use super::scores::{Metric, Parted, auroc, difference_of_aurocs};
use crate::figures::heat::Scale;
use crate::figures::palette::class;
use crate::method::Method;
use crate::numbers::{decimal, difference, interval, percent, percents, points};
use crate::report::{Against, DirectionCosines, Evaluation, Report, Transfer};

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
    directions: Option<DirectionsView>,
    /// Whether there is a row of probes fitted on all data sets but the tested one.
    left_out: bool,
}

/// How the directions of the data sets' probes lie to each other.
#[derive(Debug, Serialize)]
struct DirectionsView {
    layer: usize,
    datasets: Vec<String>,
    /// With their titles: a row a data set.
    tables: [(&'static str, Vec<Vec<HeatCell>>); 2],
    key: Vec<HeatCell>,
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
        let change = |against: &Against| {
            let over = against.over_own.as_ref()?;
            let accuracy = over.accuracy?;
            let ci = accuracy.ci.filter(|_| intervals).map(|ci| format!(" {}", interval(ci, points)));
            Some(points(accuracy.value) + &ci.unwrap_or_default())
        };
        let within = |row: usize, (column, e): (usize, &Option<Evaluation>)| {
            let e = e.as_ref()?;
            let against = found.against.get(row).and_then(|row| row.get(column)?.as_ref());
            Some(HeatCell { marked: row == column, change: against.and_then(change), ..cell(e) })
        };
        let rows = found.cells.iter().zip(&found.datasets).enumerate().map(|(row, (cells, name))| {
            let layer = found.layers.get(row).copied().flatten();
            let cells = cells.iter().enumerate().map(|e| within(row, e)).collect();
            TransferRow { name: name.clone(), layer, cells }
        });
        let left_out = (!found.left_out.is_empty()).then(|| TransferRow {
            name: "all others".to_owned(),
            layer: None,
            cells: found
                .left_out
                .iter()
                .map(|e| e.as_ref().map(|e| HeatCell { change: change(&e.against), ..cell(&e.test) }))
                .chain([None])
                .collect(),
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
            rows: rows.chain(left_out).chain(answers).collect(),
            key: HeatCell::key(&scale, percent),
            against: against(found),
            directions: found.directions.as_ref().map(directions),
            left_out: !found.left_out.is_empty(),
        };
        (method, view)
    };
    Parted::new(report.transfer.iter().map(table))
}

fn against(found: &Transfer) -> Vec<AgainstRow> {
    let mut rows = Vec::new();
    let mut row = |from: String, to: &String, cell: &Against| {
        let over = [&cell.over_random, &cell.over_own, &cell.over_zero_shot];
        rows.push(AgainstRow {
            from,
            to: to.clone(),
            random: cell.random.as_ref().and_then(auroc),
            over: over.map(|over| over.as_ref().and_then(difference_of_aurocs)),
        });
    };
    for (from, cells) in found.datasets.iter().zip(&found.against) {
        for (to, cell) in found.datasets.iter().zip(cells) {
            if let Some(cell) = cell {
                row(from.clone(), to, cell);
            }
        }
    }
    for (to, found) in found.datasets.iter().zip(&found.left_out) {
        if let Some(found) = found {
            row(format!("{} (layer {})", Transfer::all_but(to), found.layer), to, &found.against);
        }
    }
    rows
}

fn directions(found: &DirectionCosines) -> DirectionsView {
    let scale = Scale::cosine();
    let cell = |(row, column, value): (usize, usize, f64)| HeatCell {
        marked: row == column,
        ..HeatCell::new(difference(value), scale.style(value))
    };
    let table = |matrix: &Vec<Vec<f64>>| -> Vec<Vec<HeatCell>> {
        let row = |(row, values): (usize, &Vec<f64>)| {
            values.iter().enumerate().map(|(column, value)| cell((row, column, *value))).collect()
        };
        matrix.iter().enumerate().map(row).collect()
    };
    DirectionsView {
        layer: found.layer,
        datasets: found.datasets.clone(),
        tables: [("Cosine", table(&found.cosine)), ("Mahalanobis cosine", table(&found.mahalanobis))],
        key: HeatCell::key(&scale, difference),
    }
}

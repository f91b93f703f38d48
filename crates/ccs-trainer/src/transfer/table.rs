//! Transfer as one flat table, a row a cell: `transfer.csv`.

use ccs::stats::intervals::Interval;
use ccs_report::{Against, Difference, Estimate, Evaluation, LeftOut, Method, Transfer};
use indexmap::IndexMap;

use crate::Result;
use crate::tables::{self, Columns};

/// One of the differences of a cell.
type Compared = fn(&Against) -> Option<&Difference>;

/// The matrices as one flat table, a row a cell.
pub(crate) fn csv(transfer: &IndexMap<Method, Transfer>) -> Result<Vec<u8>> {
    struct Entry<'a> {
        method: Method,
        from: (String, Option<usize>),
        to: &'a str,
        test: &'a Evaluation,
        against: Option<&'a Against>,
    }
    let mut entries = Vec::new();
    for (&method, matrix) in transfer {
        let rows = matrix.datasets.iter().zip(&matrix.layers).zip(matrix.cells.iter().zip(&matrix.against));
        for ((from, &layer), (cells, against)) in rows {
            for (to, (test, against)) in matrix.datasets.iter().zip(cells.iter().zip(against)) {
                let Some(test) = test else { continue };
                let from = (from.clone(), layer);
                entries.push(Entry { method, from, to, test, against: against.as_ref() });
            }
        }
        for (to, found) in matrix.datasets.iter().zip(&matrix.left_out) {
            let Some(LeftOut { layer, test, against }) = found else { continue };
            let from = (Transfer::all_but(to), Some(*layer));
            entries.push(Entry { method, from, to, test, against: Some(against) });
        }
    }
    let band = |e: &Entry<'_>| -> Option<Interval> { e.against?.random.as_ref()?.accuracy_ci };
    let mut columns = Columns::of(&entries)
        .text("method", |e| e.method.name().to_owned())
        .text("fitted_on", |e| e.from.0.clone())
        .count("layer", |e| e.from.1)
        .text("judged_on", |e| e.to.to_owned())
        .count("rows", |e| e.test.confusion.map(|c| c.rows()))
        .interval("accuracy", |e| Some(e.test.accuracy), |e| e.test.accuracy_ci)
        .interval("auroc", |e| e.test.auroc, |e| e.test.auroc_ci)
        .number("random_low", |e| band(e).map(|ci| ci[0]))
        .number("random_high", |e| band(e).map(|ci| ci[1]));
    let differences: [(&str, Compared); 3] = [
        ("auroc_minus_random", |a| a.over_random.as_ref()),
        ("auroc_minus_own", |a| a.over_own.as_ref()),
        ("auroc_minus_zero_shot", |a| a.over_zero_shot.as_ref()),
    ];
    for (name, of) in differences {
        let auroc = |e: &Entry<'_>| -> Option<Estimate> { of(e.against?)?.auroc };
        columns = columns.interval(name, |e| Some(auroc(e)?.value), |e| auroc(e)?.ci);
    }
    tables::csv(&mut columns.table("transfer.csv")?, "transfer.csv")
}

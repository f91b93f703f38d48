//! What is needed of a fitted run to evaluate its probes on other data sets.

use std::ops::Range;

use ccs::probe::Probe;
use ccs_report::{Evaluation, Method, Transfer};
use indexmap::IndexMap;

use crate::engine::answers::Reading;
use crate::run::Run;
use crate::source::pooled::Pooled;
use crate::transfer::datasets::ALL;

/// A fitted run of a sweep, with its rows by their numbers among those of all data sets.
pub(crate) struct FittedRun<'a> {
    /// What it was fitted on.
    pub(crate) name: String,
    pub(crate) train: Vec<usize>,
    pub(crate) test: Vec<usize>,
    /// The probes at their chosen layers.
    pub(crate) chosen: Vec<&'a (Method, usize, Probe)>,
    /// All probes that are at hand.
    pub(crate) probes: &'a [(Method, usize, Probe)],
    /// The model's own answers, as the run evaluated them.
    pub(crate) answers: IndexMap<Method, Evaluation>,
    /// The reading of those answers that its probes were measured by.
    pub(crate) bar: Option<Reading>,
    /// Whether its templates are called as its data set calls them; else as the pool does, `NAME/TEMPLATE`.
    pub(crate) own_templates: bool,
}

impl<'a> FittedRun<'a> {
    /// The run of one data set.
    pub(crate) fn of_part(run: &'a Run, part: usize, pooled: &Pooled<'_>) -> Self {
        let start = pooled.range(part).start;
        let name = pooled.parts().get(part).map_or("", |part| part.name);
        Self { own_templates: true, ..Self::of(run, name.to_owned(), &|row| start + row) }
    }

    /// The run of all data sets.
    pub(crate) fn of_all(run: &'a Run) -> Self {
        Self::of(run, ALL.to_owned(), &|row| row)
    }

    /// The run of all data sets but one.
    pub(crate) fn of_all_but(run: &'a Run, part: usize, pooled: &Pooled<'_>) -> Self {
        let left_out = pooled.range(part);
        let name = Transfer::all_but(pooled.parts().get(part).map_or("", |part| part.name));
        Self::of(run, name, &|row| among_all(row, &left_out))
    }

    fn of(run: &'a Run, name: String, place: &dyn Fn(usize) -> usize) -> Self {
        let chosen = run.probes.iter().filter(|(method, layer, _)| run.is_chosen(*method, *layer)).collect();
        let found = |method: Method| {
            let report = run.report.layers.iter().find_map(|l| l.methods.get(&method))?;
            Some((method, report.test.clone()))
        };
        let answers =
            [Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT].into_iter().filter_map(found).collect();
        let rows = |rows: &[usize]| rows.iter().map(|&row| place(row)).collect();
        let (train, test) = (rows(&run.split.train.row), rows(&run.split.test.row));
        let bar = Reading::bar_of(run.report.zero_shot.as_ref());
        Self { name, train, test, chosen, probes: &run.probes, answers, bar, own_templates: false }
    }

    /// Its probe of a method at a layer.
    pub(crate) fn probe(&self, method: Method, layer: usize) -> Option<&'a Probe> {
        self.probes.iter().find(|(m, l, _)| (*m, *l) == (method, layer)).map(|(.., probe)| probe)
    }
}

/// A row's number among all, from its number among those outside `left_out`.
fn among_all(row: usize, left_out: &Range<usize>) -> usize {
    if row < left_out.start { row } else { row + left_out.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_around_those_left_out() {
        let kept: Vec<usize> = (0..5).map(|row| among_all(row, &(2..4))).collect();
        assert_eq!(kept, [0, 1, 4, 5, 6]);
        assert_eq!(among_all(0, &(0..3)), 3);
    }
}

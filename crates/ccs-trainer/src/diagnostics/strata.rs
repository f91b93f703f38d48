//! What a probe's decisions have to do with the data's columns: is it truth that they follow, or a relation, a template, a topic?

use ccs::baselines::Predictions;
use ccs::pick;
use ccs::stats::clusters::Clusters;
use ccs::stats::intervals::{MISS, quantile};
use ccs::stats::metrics::Placements;
use ccs_report::{ColumnReport, Estimate, Stratum};

use crate::Result;
use crate::engine::columns::DataColumn;
use crate::engine::data::LayerData;
use crate::engine::plan::Plan;

/// Every column beside a probe's predictions on training and on test rows.
pub(crate) fn by_column(
    plan: &Plan<'_>,
    data: &LayerData<'_>,
    [on_train, on_test]: [&Predictions; 2],
) -> Result<Vec<ColumnReport>> {
    let results = plan.columns.len() * plan.multiplicity().methods;
    let beside = |column: &DataColumn| {
        let [train, test] = [&plan.split.rows.train, &plan.split.rows.test];
        let (train, test) = (pick(&column.of_row, train)?, pick(&column.of_row, test)?);
        let rules = Rules {
            decisions: Rule::of(
                &train,
                &on_train.against(data.train.labels())?.decisions(),
                column.values.len(),
            ),
            scores: Rule::of(&train, &above_median(&on_train.scores), column.values.len()),
            labels: Rule::of(&train, data.train.labels(), column.values.len()),
        };
        report(
            column,
            &rules,
            &test,
            on_test,
            data.test.labels(),
            (&plan.split.clusters, data.test.groups()),
            results,
        )
    };
    plan.columns.iter().map(beside).collect()
}

/// The best rules from a column alone, by its training rows.
struct Rules {
    decisions: Rule,
    /// Whether a row scores above the median: what a column says of scores where nearly all decisions are the same.
    scores: Rule,
    labels: Rule,
}

/// The more frequent answer of each value.
struct Rule {
    of_value: Vec<Option<bool>>,
    /// Of all rows: for rows without a value, and values without rows.
    of_all: bool,
}

impl Rule {
    fn of(values: &[Option<usize>], answers: &[bool], count: usize) -> Self {
        let mut counts = vec![[0usize; 2]; count];
        for (value, &answer) in values.iter().zip(answers) {
            if let Some(counts) = value.and_then(|value| counts.get_mut(value)) {
                counts[usize::from(answer)] += 1;
            }
        }
        let trues = answers.iter().filter(|&&answer| answer).count();
        let more = |[falses, trues]: &[usize; 2]| (falses + trues > 0).then_some(trues > falses);
        Self { of_value: counts.iter().map(more).collect(), of_all: 2 * trues > answers.len() }
    }

    fn answer(&self, value: Option<usize>) -> bool {
        value.and_then(|value| *self.of_value.get(value)?).unwrap_or(self.of_all)
    }
}

fn report(
    column: &DataColumn,
    rules: &Rules,
    values: &[Option<usize>],
    on_test: &Predictions,
    labels: &[bool],
    (clusters, groups): (&Clusters, &[String]),
    results: usize,
) -> Result<ColumnReport> {
    let scored = on_test.against(labels)?;
    let (decisions, right) = (scored.decisions(), scored.correct());
    let agree: Vec<bool> = values
        .iter()
        .zip(&decisions)
        .map(|(value, decision)| rules.decisions.answer(*value) == *decision)
        .collect();
    let constant = decisions.iter().filter(|decision| **decision == rules.decisions.of_all).count();
    let results = results.max(1);
    let miss = MISS / results as f64;
    let high: Vec<bool> = values.iter().map(|value| rules.scores.answer(*value)).collect();
    let truth = scored.placements_within(values)?;
    let by_label: Vec<Option<usize>> = labels.iter().map(|label| Some(usize::from(*label))).collect();
    let beyond = on_test.against(&high)?.placements_within(&by_label)?;
    let estimate = |found: &Placements, clusters: &Clusters, miss| Estimate {
        value: found.auroc,
        ci: clusters.auroc_interval(found, miss),
    };
    let of_high = Clusters::new(&high, groups)?;
    let beyond_labels = beyond.as_ref().map(|found| estimate(found, &of_high, miss));
    let within_over_beyond = truth.as_ref().zip(beyond.as_ref()).map(|(truth, beyond)| Estimate {
        value: truth.auroc - beyond.auroc,
        ci: clusters.auroc_difference(truth, beyond, miss),
    });
    let is_above = |of: Option<Estimate>, bound: f64| of.and_then(|of| of.ci).map(|[low, _]| low > bound);
    let of_labels =
        values.iter().zip(labels).filter(|(value, label)| rules.labels.answer(**value) == **label);
    Ok(ColumnReport {
        column: column.name.clone(),
        agreement: Estimate { value: share(&agree), ci: clusters.accuracy_interval(&agree, MISS) },
        constant: constant as f64 / labels.len() as f64,
        accuracy: scored.accuracy(),
        truth_over_column: Estimate {
            value: share(&right) - share(&agree),
            ci: clusters.accuracy_difference(&right, &agree, MISS),
        },
        label_accuracy: of_labels.count() as f64 / labels.len() as f64,
        within: truth.as_ref().map(|found| estimate(found, clusters, MISS)),
        beyond_labels,
        within_over_beyond,
        results,
        strata: strata(column, values, on_test, labels, groups)?,
        // Scores must go by the column beyond what it has in common with the labels, and truth must not be shown to say more.
        explains: is_above(beyond_labels, 0.5) == Some(true)
            && is_above(within_over_beyond, 0.0) == Some(false),
    })
}

/// Of each row.
fn above_median(scores: &[f64]) -> Vec<bool> {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = quantile(&sorted, 0.5).unwrap_or_default();
    scores.iter().map(|score| *score > median).collect()
}

/// The test rows of each value.
fn strata(
    column: &DataColumn,
    values: &[Option<usize>],
    on_test: &Predictions,
    labels: &[bool],
    groups: &[String],
) -> Result<Vec<Stratum>> {
    let mut strata = Vec::new();
    for (at, value) in column.values.iter().enumerate() {
        let rows: Vec<usize> =
            values.iter().enumerate().filter(|(_, of)| **of == Some(at)).map(|(row, _)| row).collect();
        if rows.is_empty() {
            continue;
        }
        let (labels, groups) = (pick(labels, &rows)?, pick(groups, &rows)?);
        let predictions = Predictions { scores: pick(&on_test.scores, &rows)?, threshold: on_test.threshold };
        let scored = predictions.against(&labels)?;
        let clusters = Clusters::new(&labels, &groups)?;
        strata.push(Stratum {
            value: value.clone(),
            rows: rows.len(),
            positives: labels.iter().filter(|&&label| label).count(),
            predicted: scored.decisions().iter().filter(|&&decision| decision).count(),
            auroc: scored
                .placements()
                .map(|found| Estimate { value: found.auroc, ci: clusters.auroc_interval(&found, MISS) }),
        });
    }
    Ok(strata)
}

fn share(of: &[bool]) -> f64 {
    of.iter().filter(|&&yes| yes).count() as f64 / of.len().max(1) as f64
}

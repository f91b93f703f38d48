//! Templates one by one and together.

use std::collections::{BTreeMap, HashMap};

use ccs::Contrast;
use ccs::baselines::Predictions;
use ccs::ensemble::{Ensembling, ensemble};
use ccs::pick;
use ccs::probe::Probe;
use ccs::stats::clusters::Clusters;
use ccs_report::{EnsembleReport, Evaluation, TemplateReport};

use crate::control::{RunControl, Work};
use crate::engine::data::LayerData;
use crate::engine::evaluate::{evaluate, predict};
use crate::engine::plan::Plan;
use crate::engine::recipe::{Recipe, possible};
use crate::{Result, convert};

/// One template's rows.
pub(crate) struct Template {
    name: String,
    test: Contrast,
    /// Their numbers within the test rows.
    rows: Vec<usize>,
    train: Option<Contrast>,
    clusters: Clusters,
}

/// The test rows of every template, where there is more than one.
pub(crate) fn templates(data: &LayerData<'_>) -> Result<Vec<Template>> {
    if data.test.template_names().len() < 2 {
        return Ok(Vec::new());
    }
    let names = data.test.template_names();
    let train: BTreeMap<usize, Vec<usize>> = data.train.rows_by_template().into_iter().collect();
    let mut templates = Vec::new();
    for (number, rows) in data.test.rows_by_template() {
        let name = names.get(number).cloned().unwrap_or_default();
        let test = data.test.select(&rows)?;
        let clusters = Clusters::new(test.labels(), test.groups())?;
        let train = match train.get(&number).map(|rows| data.train.select(rows)).transpose()? {
            Some(train) if !train.is_constant()? => Some(train),
            _ => None,
        };
        templates.push(Template { name, test, rows, train, clusters });
    }
    Ok(templates)
}

/// A probe on every template's test rows, beside one that is fitted on that template alone.
pub(crate) fn by_template(
    plan: &Plan<'_>,
    recipe: Recipe<'_>,
    data: &LayerData<'_>,
    templates: &[Template],
    predictions: &Predictions,
    control: RunControl<'_>,
) -> Work<Vec<TemplateReport>> {
    let stream = plan.stream_of(recipe.method, data.layer);
    let mut reports = Vec::new();
    for template in templates {
        let test = |predictions: &Predictions| {
            evaluate(predictions, template.test.labels(), Some(&template.clusters))
        };
        let scores = pick(&predictions.scores, &template.rows)?;
        let mut own = None;
        if let Some(train) = &template.train {
            control.go_on()?;
            let fit = recipe.fit(train, &stream.child(&format!("template {}", template.name)));
            if let Ok(fit) = possible(fit)? {
                own = Some(test(&predict(&fit.probe, &template.test)?)?);
            }
        }
        reports.push(TemplateReport {
            template: template.name.clone(),
            rows: template.rows.len(),
            pooled: test(&Predictions { scores, threshold: predictions.threshold })?,
            own,
        });
    }
    Ok(reports)
}

/// Every question's templates combined into one prediction.
pub(crate) fn ensembles(data: &LayerData<'_>, probe: &Probe) -> Result<Vec<EnsembleReport>> {
    let (plus, minus) = probe.statement_logits(&data.test)?;
    let questions = data.test.questions();
    let groups: HashMap<usize, &String> = questions.iter().copied().zip(data.test.groups()).collect();
    let mut reports = Vec::new();
    // Of a statement, both logits are halves of one score: its difference is the statement alone.
    let ways = if data.test.is_single() {
        vec![(Ensembling::None, Ensembling::Partial), (Ensembling::Full, Ensembling::Full)]
    } else {
        [Ensembling::None, Ensembling::Partial, Ensembling::Full].map(|way| (way, way)).to_vec()
    };
    for (ensembling, computed) in ways {
        let all = match ensemble(computed, &plus, &minus, data.test.labels(), &questions) {
            // A question whose answer changes with its wording has no one label.
            Err(ccs::Error::Variant { .. }) => continue,
            other => other?,
        };
        let groups_of_all: Vec<String> =
            all.questions.iter().filter_map(|question| groups.get(question).copied().cloned()).collect();
        let clusters = Clusters::new(&all.labels, &groups_of_all)?;
        let test: Evaluation = evaluate(&all.predictions, &all.labels, Some(&clusters))?;
        reports.push(EnsembleReport { ensembling: convert::ensembling(ensembling), test });
    }
    Ok(reports)
}

//! One layer of a run: load it, fit every method on its training rows, evaluate on its test rows.

use ccs::normalize::few_rows_note;
use ccs_report::{LayerReport, Method, RowKind};
use indexmap::IndexMap;

use crate::Result;
use crate::engine::data::{LayerData, load};
use crate::engine::outcome::{LayerOutcome, MethodOutcome};
use crate::engine::plan::Plan;
use crate::engine::recipe::possible;
use crate::engine::{baselines, compare, probe};
use crate::method::{self, Ask as _};
use crate::source::Layer;

/// Works on one layer. Nothing depends on which other layers are worked on.
pub(crate) fn fit(plan: &Plan<'_>, layer: &Layer) -> Result<LayerOutcome> {
    let data = load(plan, layer)?;
    let mut outcome = LayerOutcome {
        report: about(plan, &data),
        probes: Vec::new(),
        predictions: IndexMap::new(),
        beyond_random: IndexMap::new(),
    };
    let (mut reports, mut ranked) = (IndexMap::new(), Vec::new());
    for &method in plan.methods.iter().filter(|&&method| method != Method::RANDOM || data.degenerate) {
        let fitted = fit_method(plan, method, &data)?;
        outcome.predictions.insert(method, fitted.predictions);
        outcome.probes.extend(fitted.probe.map(|probe| (method, probe)));
        reports.insert(method, fitted.report);
        if method.is_probe() {
            ranked.extend(outcome.predicted(method, &plan.split)?.map(|predicted| (method, predicted)));
        }
    }
    // Directions are many: they are compared with every method while they are drawn.
    if plan.methods.contains(&Method::RANDOM) && !data.degenerate {
        let (report, beyond) = baselines::random(plan, &data, &ranked)?;
        reports.insert(Method::RANDOM, report);
        outcome.beyond_random = beyond;
    }
    outcome.report.methods = method::in_order(reports);
    if !data.degenerate {
        outcome.report.differences = compare::at_layer(plan, &outcome)?;
    }
    Ok(outcome)
}

/// A layer's report without its methods.
fn about(plan: &Plan<'_>, data: &LayerData<'_>) -> LayerReport {
    let (rows, settings) = (data.train.rows(), &plan.settings);
    let in_fold = plan.split.folds.iter().map(|fold| fold.train.len()).min().unwrap_or(rows);
    // What CCS has to fit.
    let project = settings.ccs.project.filter(|_| plan.source.kind().is_pairs());
    let dim = project.unwrap_or(usize::MAX).min(data.train.dim());
    let mut notes: Vec<String> = match plan.source.kind() {
        _ if data.degenerate => vec![nothing_to_fit(data)],
        _ if plan.source.all_tokens().is_some() => separable(data, in_fold).into_iter().collect(),
        RowKind::Pairs => note(data, in_fold, dim, settings.ccs.l2).into_iter().collect(),
        RowKind::Statements => separable(data, in_fold).into_iter().collect(),
    };
    notes.extend(few_rows_note(settings.normalization, &data.train));
    LayerReport {
        layer: data.layer.layer,
        hook: data.layer.hook.clone(),
        dim: data.train.dim(),
        degenerate: data.degenerate,
        underdetermined: rows.min(in_fold) < dim,
        notes,
        methods: IndexMap::new(),
        differences: Vec::new(),
    }
}

fn fit_method(plan: &Plan<'_>, method: Method, data: &LayerData<'_>) -> Result<MethodOutcome> {
    match method {
        Method::ZERO_SHOT | Method::CALIBRATED_ZERO_SHOT => baselines::own_answers(plan, method, data),
        Method::RANDOM | Method::MAJORITY => baselines::constant(plan, data),
        _ if data.degenerate => baselines::constant(plan, data),
        _ => match possible(probe::fit(plan, method, data))? {
            Ok(fitted) => Ok(fitted),
            Err(reason) => {
                let mut guess = baselines::constant(plan, data)?;
                guess.report.note =
                    Some(format!("could not be fitted, a constant guess stands in: {reason}"));
                Ok(guess)
            }
        },
    }
}

fn nothing_to_fit(data: &LayerData<'_>) -> String {
    let of = if data.train.template_names().len() > 1 { " of a template" } else { "" };
    format!("the states are the same for every training row{of}: nothing to fit, a constant guess stands in")
}

/// What a reader must know of fits to statements at this layer, with `in_fold` of them in the smallest fold.
fn separable(data: &LayerData<'_>, in_fold: usize) -> Option<String> {
    let (rows, dim) = (data.train.rows(), data.train.dim());
    let why = "some direction tells labels apart without error, whatever they are";
    let tell = "penalties and shrinkage choose the direction, and accuracy on training rows says nothing";
    if rows < dim {
        Some(format!("{rows} training rows for {dim} dimensions: {why}; {tell}"))
    } else if in_fold < dim {
        Some(format!(
            "{in_fold} training rows in a fold of the cross-validation for {dim} dimensions: there {why}; {tell}"
        ))
    } else {
        None
    }
}

/// What a reader must know of fits at this layer: `in_fold` training rows in the smallest fold, `dim` dimensions to fit.
fn note(data: &LayerData<'_>, in_fold: usize, dim: usize, l2: f64) -> Option<String> {
    let rows = data.train.rows();
    let in_folds = format!("{in_fold} training rows in a fold of the cross-validation for {dim} dimensions");
    if rows < dim && l2 > 0.0 {
        Some(format!(
            "{rows} training rows for {dim} dimensions: without a penalty CCS would reach zero loss along almost any direction; the L2 penalty of {l2} chooses among them, so the training loss still says little"
        ))
    } else if rows < dim {
        Some(format!(
            "{rows} training rows for {dim} dimensions: CCS reaches zero loss along almost any direction; {REMEDY}"
        ))
    } else if in_fold < dim && l2 > 0.0 {
        Some(format!(
            "{in_folds}: there only the L2 penalty of {l2} keeps CCS from zero loss along almost any direction"
        ))
    } else if in_fold < dim {
        Some(format!(
            "{in_folds}: there CCS reaches zero loss along almost any direction, so the choice of layer says little; {REMEDY}"
        ))
    } else {
        None
    }
}

/// What can be done about more dimensions than rows.
const REMEDY: &str = "regularize CCS with L2, project the states onto fewer dimensions, or give it more rows";

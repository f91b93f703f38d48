//! A method that fits a probe, at one layer: cross-validation inside the training rows, the fit on all of them, how well it
//! does on both sides of the split, and where the probe comes from.

use std::collections::BTreeMap;

use ccs::Contrast;
use ccs::methods::{Fitted, Starts};
use ccs::pick;
use ccs::probe::Probe;
use ccs::stats::calibrate::Platt;
use ccs::stats::select::{CrossValidation, HeldOut, on_fold, over_folds};
use ccs::stats::split::Split;
use ccs_report::{Evaluation, LossReport, Method, MethodReport};
use rayon::prelude::*;
use serde_json::Value;

use crate::engine::choose_layer::layer_rule;
use crate::engine::data::LayerData;
use crate::engine::evaluate::{evaluate, predict};
use crate::engine::outcome::MethodOutcome;
use crate::engine::plan::Plan;
use crate::engine::recipe::{Recipe, possible};
use crate::run::probe_path;
use crate::source::store::LAST;
use crate::{Result, convert};

/// Fits a method's probe. Folds and the fit on all rows are tasks of their own, for cores that have no layer to work on.
pub(crate) fn fit(plan: &Plan<'_>, method: Method, data: &LayerData<'_>) -> Result<MethodOutcome> {
    let stream = plan.stream_of(method, data.layer);
    let folds = &plan.split.folds;
    let recipe = Recipe::new(method, &plan.settings, &data.train, folds)?;
    let aliases = folds.iter().map(|_| data.train.alias()).collect::<ccs::Result<Vec<_>>>()?;
    let of_fold = |(number, (fold, train)): (usize, (&Split, Contrast))| {
        on_fold(&train, fold, |part| {
            let fit = recipe.briefly().fit(part, &stream.indexed("fold", number))?;
            Ok::<_, crate::Error>((fit.probe, fit.objective))
        })
    };
    let all = data.train.alias()?;
    let (fit, on_folds) = rayon::join(
        || recipe.fit(&{ all }, &stream),
        || folds.par_iter().zip(aliases).enumerate().map(of_fold).collect::<Vec<_>>(),
    );
    // Of several errors the same one always, that of the first fold.
    let on_folds = on_folds.into_iter().collect::<Result<Vec<_>>>()?;
    let (cross_validation, held_out) = over_folds(folds, on_folds);
    let mut fit = fit?;
    fit.probe.set_platt(scaling(&data.train, &held_out)?);
    outcome(plan, recipe, data, fit, cross_validation)
}

/// A probe's metrics on both sides of the split, and the probe with its provenance.
fn outcome(
    plan: &Plan<'_>,
    recipe: Recipe<'_>,
    data: &LayerData<'_>,
    fit: Fitted,
    cross_validation: CrossValidation,
) -> Result<MethodOutcome> {
    let directions = directions(plan, data, &fit)?;
    let Fitted { mut probe, about, starts, newton, note, .. } = fit;
    let predictions = predict(&probe, &data.test)?;
    let loss = match starts {
        Some(Starts { terms, kept, all }) => Some(LossReport {
            train: convert::terms(terms),
            test: convert::terms(probe.loss(&data.test)?),
            restart: kept,
            restarts: all.iter().map(|t| Some(t.total()).filter(|l| l.is_finite())).collect(),
        }),
        None => None,
    };
    let folds = plan.settings.folds;
    let report = MethodReport {
        test: evaluate(&predictions, data.test.labels(), Some(&plan.split.clusters))?,
        train: evaluate(&predict(&probe, &data.train)?, data.train.labels(), None)?,
        cross_validation: Some(convert::cross_validation(cross_validation)),
        loss,
        sign: Some(convert::sign(probe.sign())),
        gradient: newton.map(|n| n.gradient),
        iterations: newton.map(|n| n.iterations),
        l2: recipe.l2,
        directions,
        probe: Some(probe_path(recipe.method, data.layer.layer)),
        note: with_penalty(note, recipe.l2, folds),
    };
    let about = with_rules(about, cross_validation.accuracy, probe.calibration().platt.is_some(), folds);
    probe.set_meta(provenance(plan, recipe.method, data, about));
    Ok(MethodOutcome { report, predictions, probe: Some(probe) })
}

/// INLP's directions one by one, the first of them the probe; none of other methods.
fn directions(plan: &Plan<'_>, data: &LayerData<'_>, fit: &Fitted) -> Result<Vec<Evaluation>> {
    if fit.further.is_empty() {
        return Ok(Vec::new());
    }
    let test = |probe: &Probe| {
        let clusters = Some(&plan.split.clusters);
        let test = evaluate(&predict(probe, &data.test)?, data.test.labels(), clusters)?;
        Ok(Evaluation { confusion: None, ..test })
    };
    std::iter::once(&fit.probe).chain(&fit.further).map(test).collect()
}

/// What a probe's file says of its fit, with the rules that a reader needs.
fn with_rules(mut about: Value, accuracy: f64, is_scaled: bool, folds: usize) -> Value {
    if let Some(about) = about.as_object_mut() {
        about.insert("cross_validation_accuracy".to_owned(), accuracy.into());
        if is_scaled {
            about.insert("platt".to_owned(), scaling_rule(folds).into());
        }
        about.insert("layer_rule".to_owned(), layer_rule(folds).into());
    }
    about
}

/// Where a probe comes from. Nothing of the test rows: a probe must not change with them.
fn provenance(plan: &Plan<'_>, method: Method, data: &LayerData<'_>, fit: Value) -> BTreeMap<String, Value> {
    // Of all tokens, this one reads a state that others can be asked for alone.
    let last = method == Method::LAST && plan.source.all_tokens().is_some();
    let tokens = plan.source.tokens().map(|rule| if last { LAST } else { rule });
    let tokens = tokens.map(|rule| ("tokens".to_owned(), rule.into()));
    let known = BTreeMap::from([
        ("program".to_owned(), concat!("ccs ", env!("CARGO_PKG_VERSION")).into()),
        ("method".to_owned(), method.name().into()),
        ("layer".to_owned(), data.layer.layer.into()),
        ("hook".to_owned(), data.layer.hook.as_str().into()),
        ("seed".to_owned(), plan.settings.seed.into()),
        ("train_rows".to_owned(), data.train.rows().into()),
        ("train_split".to_owned(), plan.split.train_id.as_str().into()),
        ("fit".to_owned(), fit),
        ("states".to_owned(), plan.source.made_by().map_or(Value::Null, Value::from)),
    ]);
    known.into_iter().chain(tokens).collect()
}

/// Platt scaling on the scores of training rows that were held out, each by the probe that did not see it.
///
/// Scores of different folds are put together as they are, each with its own fold's sign and on its own fold's scale. A
/// row outside the training rows is scored by a probe as it came out of its fit; a held-out row is just such a row for its
/// fold's probe. How much signs, scales and thresholds differ from fit to fit on such similar rows is part of what
/// a score cannot be relied on for, and should flatten the slope: to rescale the folds first would hide it. (Platt 1999,
/// §2.1 takes the union of the held-out scores of three folds in the same way, and applies the scaling to a fit on all rows.)
fn scaling(train: &Contrast, held_out: &HeldOut) -> Result<Option<Platt>> {
    let labels = pick(train.labels(), &held_out.rows)?;
    Ok(possible(Platt::fit_held_out(&held_out.scores, &labels))?.ok())
}

/// What Platt scaling is fitted on.
pub(crate) fn scaling_rule(folds: usize) -> String {
    format!(
        "labels and held-out scores of {folds}-fold grouped cross-validation inside the training rows, each row scored by the fit that did not see it"
    )
}

/// Adds to a note that a cross-validated penalty flatters the cross-validated accuracy of the same folds.
fn with_penalty(note: Option<String>, l2: Option<f64>, folds: usize) -> Option<String> {
    let penalty = l2.map(|l2| {
        format!(
            "its penalty, {l2:.2e}, was chosen on the same {folds} folds of the training rows as give its cross-validated accuracy: that, and the choice of its layer, are a little flattered; the test rows are not touched by it"
        )
    });
    let parts: Vec<String> = note.into_iter().chain(penalty).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

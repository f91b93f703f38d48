//! One layer of a run: load it, fit every method on its training rows, judge on its test rows.

use indexmap::IndexMap;

use crate::engine::answers;
use crate::engine::context::{Context, Data};
use crate::engine::evaluate::{BESIDE, Resampled, compare, evaluate, of_directions, predict};
use crate::engine::recipe::{Fit, Recipe, possible};
use crate::source::Layer;
use ccs_report::{Comparison, Evaluation, LayerReport, LossReport, MethodReport};

use crate::engine::choose::layer_rule;
use crate::{Result, convert, run_dir};
use ccs::Contrast;
use ccs::baselines::{Predictions, RandomBand, majority_label, random_directions_as};
use ccs::calibrate::Platt;
use ccs::normalize::few_rows_note;
use ccs::pick;
use ccs::probe::Probe;
use ccs::select::{CrossValidation, HeldOut, cross_validate};
use ccs_report::Method;

/// What one layer gives.
pub(crate) struct LayerOutcome {
    pub(crate) report: LayerReport,
    pub(crate) probes: Vec<(Method, Probe)>,
    /// Test predictions of the methods that have one per row.
    pub(crate) predictions: IndexMap<Method, Predictions>,
    /// Random directions in every resample.
    pub(crate) band: Option<Resampled>,
}

/// One method's part of a layer.
struct Fitted {
    report: MethodReport,
    predictions: Predictions,
    probe: Option<Probe>,
}

impl Context<'_> {
    /// Works on one layer; nothing depends on which other layers are worked on.
    pub(crate) fn layer(&self, layer: &Layer) -> Result<LayerOutcome> {
        let data = self.load(layer)?;
        let in_fold = self.folds.iter().map(|fold| fold.train.len()).min().unwrap_or(data.train.rows());
        // What CCS has to fit.
        let dim = self.settings.ccs.project.unwrap_or(usize::MAX).min(data.train.dim());
        let (rows, l2) = (data.train.rows(), self.settings.ccs.l2);
        let underdetermined = rows.min(in_fold) < dim;
        let mut notes = notes(&data, in_fold, dim, l2);
        notes.extend(few_rows_note(self.settings.normalization, &data.train));
        let mut outcome = LayerOutcome {
            report: LayerReport {
                layer: layer.layer,
                hook: layer.hook.clone(),
                dim: data.train.dim(),
                degenerate: data.degenerate,
                underdetermined,
                notes,
                methods: IndexMap::new(),
                differences: Vec::new(),
            },
            probes: Vec::new(),
            predictions: IndexMap::new(),
            band: None,
        };
        for &method in &self.methods {
            let report = if method == Method::RANDOM && !data.degenerate {
                let (report, directions) = self.random(&data)?;
                outcome.band = Some(Resampled::of_directions(&directions, self.test_labels, self.resamples)?);
                report
            } else {
                let fitted = self.fit(method, &data)?;
                outcome.predictions.insert(method, fitted.predictions);
                outcome.probes.extend(fitted.probe.map(|probe| (method, probe)));
                fitted.report
            };
            outcome.report.methods.insert(method, report);
        }
        if !data.degenerate {
            outcome.report.differences = self.differences(layer.layer, &outcome)?;
        }
        Ok(outcome)
    }

    fn fit(&self, method: Method, data: &Data<'_>) -> Result<Fitted> {
        match method {
            Method::ZERO_SHOT | Method::CALIBRATED_ZERO_SHOT => self.answers(method, data),
            Method::RANDOM | Method::MAJORITY => self.constant(data),
            _ if data.degenerate => self.constant(data),
            _ => match possible(self.probe(method, data))? {
                Ok(fitted) => Ok(fitted),
                Err(reason) => {
                    let mut guess = self.constant(data)?;
                    guess.report.note =
                        Some(format!("could not be fitted, a constant guess stands in: {reason}"));
                    Ok(guess)
                }
            },
        }
    }

    /// A method that fits a probe: cross-validation inside the training rows, then the fit on all of them.
    fn probe(&self, method: Method, data: &Data<'_>) -> Result<Fitted> {
        let stream = self.stream(method, data.layer);
        let recipe = Recipe::new(method, self.settings, &data.train, self.folds)?;
        let (cross_validation, held_out) = cross_validate(&data.train, self.folds, |part, fold| {
            let fit = recipe.briefly().fit(part, &stream.indexed("fold", fold))?;
            Ok::<_, crate::Error>((fit.probe, fit.loss))
        })?;
        let mut fit = recipe.fit(&data.train, &stream)?;
        fit.probe.certainty.platt = scaling(&data.train, &held_out)?;
        self.judge(recipe, data, fit, cross_validation)
    }

    /// A probe's metrics on both sides of the split, and the probe with its provenance.
    fn judge(
        &self,
        recipe: Recipe<'_>,
        data: &Data<'_>,
        fit: Fit,
        cross_validation: CrossValidation,
    ) -> Result<Fitted> {
        let Fit { mut probe, mut about, starts, newton, further, note, .. } = fit;
        let predictions = predict(&probe, &data.test)?;
        let test = evaluate(&predictions, data.test.labels(), Some(self.resamples))?;
        let loss = match starts {
            Some((train, restart, all)) => Some(LossReport {
                train: convert::terms(train),
                test: convert::terms(probe.loss(&data.test)?),
                restart,
                restarts: all.iter().map(|t| Some(t.total()).filter(|l| l.is_finite())).collect(),
            }),
            None => None,
        };
        let mut directions = Vec::new();
        if !further.is_empty() {
            directions.push(Evaluation { confusion: None, ..test.clone() });
        }
        for probe in &further {
            let test = evaluate(&predict(probe, &data.test)?, data.test.labels(), Some(self.resamples))?;
            directions.push(Evaluation { confusion: None, ..test });
        }
        let report = MethodReport {
            test,
            train: evaluate(&predict(&probe, &data.train)?, data.train.labels(), None)?,
            cross_validation: Some(convert::cross_validation(cross_validation)),
            loss,
            sign: Some(convert::sign(probe.sign)),
            gradient: newton.map(|n| n.0),
            iterations: newton.map(|n| n.1),
            l2: recipe.l2,
            directions,
            probe: Some(run_dir::probe_path(recipe.method, data.layer.layer)),
            note: with_penalty(note, recipe.l2, self.settings.folds),
        };
        if let Some(about) = about.as_object_mut() {
            about.insert("cross_validation_accuracy".to_owned(), cross_validation.accuracy.into());
            if probe.certainty.platt.is_some() {
                about.insert("platt".to_owned(), scaling_rule(self.settings.folds).into());
            }
            about.insert("layer_rule".to_owned(), layer_rule(self.settings.folds).into());
        }
        probe.meta = self.provenance(recipe.method, data, about);
        Ok(Fitted { report, predictions, probe: Some(probe) })
    }

    /// The model's own answers.
    fn answers(&self, method: Method, data: &Data<'_>) -> Result<Fitted> {
        let (rows, share, score) = (self.source.rows(), self.settings.true_share, self.settings.zero_shot);
        let (train, test, note) = answers::judge(method, rows, score, self.split, data, share)?;
        let report = MethodReport {
            test: evaluate(&test, data.test.labels(), Some(self.resamples))?,
            train: evaluate(&train, data.train.labels(), None)?,
            note: Some(note),
            ..MethodReport::default()
        };
        Ok(Fitted { report, predictions: test, probe: None })
    }

    /// The training rows' more frequent label for every row.
    fn constant(&self, data: &Data<'_>) -> Result<Fitted> {
        let answer = majority_label(data.train.labels());
        let predictions = Predictions::constant(answer, data.test.rows());
        let on_train = Predictions::constant(answer, data.train.rows());
        let report = MethodReport {
            test: evaluate(&predictions, data.test.labels(), Some(self.resamples))?,
            train: evaluate(&on_train, data.train.labels(), None)?,
            note: Some(format!("always {answer}, the more frequent label of the training rows")),
            ..MethodReport::default()
        };
        Ok(Fitted { report, predictions, probe: None })
    }

    fn random(&self, data: &Data<'_>) -> Result<(MethodReport, RandomBand)> {
        let stream = self.stream(Method::RANDOM, data.layer);
        let (normalization, count) = (self.settings.normalization, self.settings.directions);
        let band = random_directions_as(normalization, &data.train, &data.test, count, &stream)?;
        let report = MethodReport {
            test: of_directions(&band.test),
            train: of_directions(&band.train),
            note: Some(format!(
                "median and central 95 % of {count} random directions, each with its sign from the training rows"
            )),
            ..MethodReport::default()
        };
        Ok((report, band))
    }

    /// CCS and logistic regression against each other and what else there is; other methods are compared at their
    /// chosen layers.
    fn differences(&self, layer: usize, outcome: &LayerOutcome) -> Result<Vec<Comparison>> {
        let mut found = Vec::new();
        for (first, others) in [(Method::CCS, &[Method::LR][..]), (Method::LR, &[])] {
            let Some(own) = outcome.resampled(first, self)? else { continue };
            for &second in others.iter().chain(&BESIDE) {
                if let Some(other) = outcome.resampled(second, self)? {
                    let (own, other) = ((first, layer, &own), (second, layer, &other));
                    found.push(compare(own, other, self.layers, self.resamples));
                }
            }
        }
        Ok(found)
    }
}

impl LayerOutcome {
    /// A method in every resample; none if it has no predictions here.
    pub(crate) fn resampled(&self, method: Method, context: &Context<'_>) -> Result<Option<Resampled>> {
        if method == Method::RANDOM {
            return Ok(self.band.clone());
        }
        let of = |p: &Predictions| Resampled::of(p, context.test_labels, context.resamples);
        self.predictions.get(&method).map(of).transpose()
    }
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

/// Says of a penalty from cross-validation that the accuracy of the same folds, which layers are compared by, knows it.
fn with_penalty(note: Option<String>, l2: Option<f64>, folds: usize) -> Option<String> {
    let penalty = l2.map(|l2| {
        format!(
            "its penalty, {l2:.2e}, was chosen on the same {folds} folds of the training rows as give its cross-validated accuracy: that, and the choice of its layer, are a little flattered; the test rows are not touched by it"
        )
    });
    let parts: Vec<String> = note.into_iter().chain(penalty).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn notes(data: &Data<'_>, in_fold: usize, dim: usize, l2: f64) -> Vec<String> {
    let mut notes = Vec::new();
    let rows = data.train.rows();
    if data.degenerate {
        let of = if data.train.template_names().len() > 1 { " of a template" } else { "" };
        notes.push(format!(
            "the states are the same for every training row{of}: nothing to fit, a constant guess stands in"
        ));
    } else if rows < dim && l2 > 0.0 {
        notes.push(format!(
            "{rows} training rows for {dim} dimensions: without a penalty CCS would reach zero loss along almost any direction; with `--l2 {l2}` the penalty chooses among them, so the training loss still says little"
        ));
    } else if rows < dim {
        notes.push(format!(
            "{rows} training rows for {dim} dimensions: CCS reaches zero loss along almost any direction; {REMEDY}"
        ));
    } else if in_fold < dim && l2 > 0.0 {
        notes.push(format!(
            "{in_fold} training rows in a fold of the cross-validation for {dim} dimensions: there only the penalty, `--l2 {l2}`, keeps CCS from zero loss along almost any direction"
        ));
    } else if in_fold < dim {
        notes.push(format!(
            "{in_fold} training rows in a fold of the cross-validation for {dim} dimensions: there CCS reaches zero loss along almost any direction, so the choice of layer says little; {REMEDY}"
        ));
    }
    notes
}

/// What can be done about more dimensions than rows.
const REMEDY: &str = "regularise it (`--optimizer lbfgs --l2 0.01`), project the states onto fewer dimensions (`--project 50`), or give it more rows";

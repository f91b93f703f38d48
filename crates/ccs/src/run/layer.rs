//! One layer of a run: load it, fit every method on its training rows, judge on its test rows.

use std::collections::BTreeMap;

use serde_json::Value;
use tch::Device;

use super::evaluate::{difference, difference_from_random, evaluate};
use super::report::{Difference, Evaluation, LayerReport, LossReport, MethodReport, layer_rule};
use super::{Layer, Settings, Source, folder};
use crate::baselines::{Band, Predictions, RandomBand, majority_label, random_directions, zero_shot};
use crate::bootstrap::Resamples;
use crate::contrast::pick;
use crate::fit::ccs::ccs;
use crate::fit::logistic::logistic;
use crate::probe::Probe;
use crate::rng::Stream;
use crate::select::cross_validate;
use crate::split::Split;
use crate::{Contrast, Error, Method, Result};

/// What all layers of a run share.
pub(super) struct Context<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) settings: &'a Settings,
    pub(super) methods: Vec<Method>,
    pub(super) device: Device,
    pub(super) split: &'a Split,
    /// A hash of the training rows' side of `split.json`.
    pub(super) train_id: String,
    /// Folds of the training rows, numbered within them.
    pub(super) folds: &'a [Split],
    pub(super) resamples: &'a Resamples,
    pub(super) test_labels: &'a [bool],
    pub(super) stream: Stream,
}

/// What one layer gives.
pub(super) struct LayerOutcome {
    pub(super) report: LayerReport,
    pub(super) probes: Vec<(Method, Probe)>,
    /// Test predictions of the methods that have one per row.
    pub(super) predictions: BTreeMap<Method, Predictions>,
}

/// One method's part of a layer.
struct Fitted {
    report: MethodReport,
    predictions: Predictions,
    probe: Option<Probe>,
}

/// One layer's data.
struct Data<'a> {
    layer: &'a Layer,
    train: Contrast,
    test: Contrast,
    degenerate: bool,
}

impl Context<'_> {
    /// Works on one layer; nothing depends on which other layers are worked on.
    pub(super) fn layer(&self, layer: &Layer) -> Result<LayerOutcome> {
        let data = self.load(layer)?;
        let in_fold = self.folds.iter().map(|fold| fold.train.len()).min().unwrap_or(data.train.rows());
        let underdetermined = data.train.rows().min(in_fold) < data.train.dim();
        let mut outcome = LayerOutcome {
            report: LayerReport {
                layer: layer.layer,
                hook: layer.hook.clone(),
                dim: data.train.dim(),
                degenerate: data.degenerate,
                underdetermined,
                notes: notes(&data, in_fold),
                methods: BTreeMap::new(),
                differences: Vec::new(),
            },
            probes: Vec::new(),
            predictions: BTreeMap::new(),
        };
        let mut band = None;
        for &method in &self.methods {
            let report = if method == Method::Random && !data.degenerate {
                let (report, directions) = self.random(&data)?;
                band = Some(directions);
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
            outcome.report.differences =
                self.differences(layer.layer, &outcome.predictions, band.as_ref())?;
        }
        Ok(outcome)
    }

    fn load<'l>(&self, layer: &'l Layer) -> Result<Data<'l>> {
        let rows = self.source.rows();
        let (plus, minus) = self.source.load(layer)?;
        let (plus, minus) = (plus.f_to_device(self.device)?, minus.f_to_device(self.device)?);
        let all = Contrast::new(plus, minus, rows.labels.clone(), rows.groups.clone())?;
        let train = all.select(&self.split.train)?;
        let test = all.select(&self.split.test)?;
        drop(all); // half of the layer's memory, not needed while it is fitted
        let degenerate = train.is_constant()?;
        Ok(Data { layer, train, test, degenerate })
    }

    fn fit(&self, method: Method, data: &Data<'_>) -> Result<Fitted> {
        match method {
            Method::Ccs if !data.degenerate => self.ccs(data),
            Method::Lr if !data.degenerate => self.lr(data),
            Method::ZeroShot => self.zero_shot(data),
            Method::Ccs | Method::Lr | Method::Random | Method::Majority => self.constant(data),
        }
    }

    /// The stream of one method at one layer.
    fn stream(&self, method: Method, layer: &Layer) -> Stream {
        self.stream.child(method.name()).indexed("layer", layer.layer)
    }

    fn ccs(&self, data: &Data<'_>) -> Result<Fitted> {
        let stream = self.stream(Method::Ccs, data.layer);
        let options = &self.settings.ccs;
        let cross_validation = cross_validate(&data.train, self.folds, |part, fold| {
            let fit = ccs(part, options, &stream.indexed("fold", fold))?;
            Ok((fit.probe, fit.terms.total()))
        })?;
        let fit = ccs(&data.train, options, &stream)?;
        let loss = LossReport {
            train: fit.terms,
            test: fit.probe.loss(&data.test)?,
            restart: fit.restart,
            restarts: fit.restarts.iter().map(|t| Some(t.total()).filter(|l| l.is_finite())).collect(),
        };
        let about = serde_json::json!({
            "restart": fit.restart,
            "train_loss": fit.terms.total(),
            "epochs": options.epochs,
            "learning_rate": options.learning_rate,
            "weight_decay": options.weight_decay,
            "cross_validation_accuracy": cross_validation.accuracy,
            "layer_rule": layer_rule(self.settings.folds),
        });
        let mut fitted = self.judge(Method::Ccs, data, fit.probe, about)?;
        fitted.report.cross_validation = Some(cross_validation);
        fitted.report.loss = Some(loss);
        Ok(fitted)
    }

    fn lr(&self, data: &Data<'_>) -> Result<Fitted> {
        let options = &self.settings.lr;
        let cross_validation = cross_validate(&data.train, self.folds, |part, _| {
            let fit = logistic(part, options)?;
            Ok((fit.probe, fit.objective))
        })?;
        let fit = logistic(&data.train, options)?;
        let about = serde_json::json!({
            "c": options.c,
            "objective": fit.objective,
            "gradient": fit.gradient,
            "cross_validation_accuracy": cross_validation.accuracy,
            "layer_rule": layer_rule(self.settings.folds),
        });
        let mut fitted = self.judge(Method::Lr, data, fit.probe, about)?;
        fitted.report.cross_validation = Some(cross_validation);
        fitted.report.gradient = Some(fit.gradient);
        fitted.report.iterations = Some(fit.iterations);
        Ok(fitted)
    }

    /// A probe's metrics on both sides of the split, and the probe with its provenance.
    fn judge(&self, method: Method, data: &Data<'_>, mut probe: Probe, fit: Value) -> Result<Fitted> {
        let predict = |pairs: &Contrast| -> Result<Predictions> {
            Ok(Predictions { scores: probe.scores(pairs)?, threshold: probe.readout.threshold() })
        };
        let predictions = predict(&data.test)?;
        let report = MethodReport {
            test: evaluate(&predictions, data.test.labels(), Some(self.resamples))?,
            train: evaluate(&predict(&data.train)?, data.train.labels(), None)?,
            sign: Some(probe.sign),
            probe: Some(folder::probe_path(method, data.layer.layer)),
            ..MethodReport::default()
        };
        probe.meta = self.provenance(method, data, fit);
        Ok(Fitted { report, predictions, probe: Some(probe) })
    }

    /// Where a probe comes from. Nothing of the test rows: a probe must not change with them.
    fn provenance(&self, method: Method, data: &Data<'_>, fit: Value) -> BTreeMap<String, Value> {
        let tokens = self.source.tokens().map(|rule| ("tokens".to_owned(), rule.into()));
        let known = BTreeMap::from([
            ("program".to_owned(), concat!("ccs ", env!("CARGO_PKG_VERSION")).into()),
            ("method".to_owned(), method.name().into()),
            ("layer".to_owned(), data.layer.layer.into()),
            ("hook".to_owned(), data.layer.hook.as_str().into()),
            ("seed".to_owned(), self.settings.seed.into()),
            ("train_rows".to_owned(), data.train.rows().into()),
            ("train_split".to_owned(), self.train_id.as_str().into()),
            ("fit".to_owned(), fit),
            ("states".to_owned(), self.source.made_by()),
        ]);
        known.into_iter().chain(tokens).collect()
    }

    fn zero_shot(&self, data: &Data<'_>) -> Result<Fitted> {
        let (plus, minus) = self.source.rows().answer_logprob.as_ref().ok_or(Error::NoAnswerLogprob)?;
        let predict = |rows: &[usize]| zero_shot(&pick(plus, rows)?, &pick(minus, rows)?);
        let predictions = predict(&self.split.test)?;
        let report = MethodReport {
            test: evaluate(&predictions, data.test.labels(), Some(self.resamples))?,
            train: evaluate(&predict(&self.split.train)?, data.train.labels(), None)?,
            note: Some("the model's own answer; the same at every layer".to_owned()),
            ..MethodReport::default()
        };
        Ok(Fitted { report, predictions, probe: None })
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
        let stream = self.stream(Method::Random, data.layer);
        let band = random_directions(&data.train, &data.test, self.settings.directions, &stream)?;
        let over_directions = |qualities: &[crate::baselines::Quality]| {
            let accuracy = Band::of(qualities.iter().map(|q| q.accuracy).collect());
            let auroc = qualities.iter().map(|q| q.auroc).collect::<Option<Vec<f64>>>().and_then(Band::of);
            Evaluation {
                accuracy: accuracy.map_or(0.0, |b| b.median),
                accuracy_ci: accuracy.map(|b| [b.low, b.high]),
                auroc: auroc.map(|b| b.median),
                auroc_ci: auroc.map(|b| [b.low, b.high]),
                confusion: None,
            }
        };
        let report = MethodReport {
            test: over_directions(&band.test),
            train: over_directions(&band.train),
            note: Some(format!(
                "median and central 95 % of {} random directions, each with its sign from the training rows",
                self.settings.directions
            )),
            ..MethodReport::default()
        };
        Ok((report, band))
    }

    fn differences(
        &self,
        layer: usize,
        predictions: &BTreeMap<Method, Predictions>,
        band: Option<&RandomBand>,
    ) -> Result<Vec<Difference>> {
        let of = |method: Method| predictions.get(&method).map(|p| (method, layer, p));
        let mut found = Vec::new();
        for (first, second) in
            [(Method::Ccs, Method::Lr), (Method::Ccs, Method::Random), (Method::Lr, Method::Random)]
        {
            match (of(first), of(second), band) {
                (Some(a), Some(b), _) => found.push(difference(a, b, self.test_labels, self.resamples)?),
                (Some(a), None, Some(band)) if second == Method::Random => {
                    found.push(difference_from_random(a, band, self.test_labels, self.resamples)?);
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

fn notes(data: &Data<'_>, in_fold: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if data.degenerate {
        notes.push(
            "the states are the same for every training row: nothing to fit, a constant guess stands in"
                .to_owned(),
        );
    } else if data.train.rows() < data.train.dim() {
        notes.push(format!(
            "{} training rows for {} dimensions: CCS reaches zero loss along almost any direction",
            data.train.rows(),
            data.train.dim()
        ));
    } else if in_fold < data.train.dim() {
        notes.push(format!(
            "{in_fold} training rows in a fold of the cross-validation for {} dimensions: there CCS reaches zero loss along almost any direction, so the choice of layer says little",
            data.train.dim()
        ));
    }
    notes
}

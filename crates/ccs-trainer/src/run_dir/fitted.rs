//! A probe of a run folder, ready for other data.

use std::collections::BTreeSet;
use std::path::Path;

use activations::provenance::Provenance;
use serde_json::Value;

use crate::run::probe_path;
use crate::run_dir::reader::RunDir;
use crate::source::store::LAST;
use crate::{Error, Result};
use ccs::probe::Probe;
use ccs_report::Method;
use ccs_report::Report;

/// A probe that a run fitted, with where it belongs and what the run found.
///
/// ```no_run
/// use ccs_report::Method;
/// use ccs_trainer::Fitted;
///
/// # fn example(states: ccs::Contrast) -> ccs_trainer::Result<()> {
/// let fitted = Fitted::open("out/run", Method::CCS, None)?; // at the layer that the run chose
/// println!("reads layer {}, {} at the token {}", fitted.layer, fitted.hook, fitted.tokens);
/// let p_true: Vec<f64> = fitted.probe.pair_probabilities(&states)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Fitted {
    /// How it was fitted.
    pub method: Method,
    /// 0 is the embedding, l ≥ 1 the residual stream after block l − 1.
    pub layer: usize,
    /// The hook point whose states it reads.
    pub hook: String,
    /// The token rule of those states: `last`, `mean`, …
    pub tokens: String,
    /// The probe.
    pub probe: Probe,
    /// The groups (passages) of the rows that it was trained on.
    pub train_groups: BTreeSet<String>,
    /// The run's report.
    pub report: Report,
}

impl Fitted {
    /// Opens the probe of one method in a run folder, at a layer or at the one that the run chose for the method.
    ///
    /// # Errors
    /// A folder that is no run of this version; [`Error::NoProbe`] for a method that fits none, a layer that was not
    /// fitted or could not be, and where no layer could be chosen; [`Error::RunFile`] for a file that is not the one that
    /// was written.
    pub fn open(run: impl AsRef<Path>, method: Method, layer: Option<usize>) -> Result<Self> {
        let run = RunDir::open(run)?;
        let report = run.report()?;
        let layer = choose(run.path(), &report, method, layer)?;
        let probe = run.probe(method, layer)?;
        let wrong = |reason: String| {
            let path = run.path().join(probe_path(method, layer));
            Error::from(ccs::Error::ProbeFile { path, reason })
        };
        let meta = |key: &str| probe.meta().get(key);
        let (is_method, is_layer) = (Some(&Value::from(method.name())), Some(&Value::from(layer)));
        if meta("method") != is_method || meta("layer") != is_layer {
            let reason = "it says that it is of another method or layer than";
            return Err(wrong(format!("{reason} {method} at layer {layer}")));
        }
        let Some(hook) = meta("hook").and_then(Value::as_str).map(str::to_owned) else {
            return Err(wrong("it does not say which hook point it reads".to_owned()));
        };
        let tokens = meta("tokens").and_then(Value::as_str).unwrap_or(LAST).to_owned();
        let train_groups = run.split()?.train.group.into_iter().collect();
        Ok(Self { method, layer, hook, tokens, probe, train_groups, report })
    }

    /// What made the states that the probe was fitted on: for a store the settings of its manifest.
    pub fn made_by(&self) -> Provenance {
        self.probe.meta().get("states").map(Provenance::from_json).unwrap_or_default()
    }
}

/// The layer whose probe is meant.
fn choose(run: &Path, report: &Report, method: Method, layer: Option<usize>) -> Result<usize> {
    let none = |what: String, hint: String| Error::NoProbe { run: run.to_owned(), what, hint };
    let methods: Vec<&str> = report.chosen.keys().map(Method::name).collect();
    let Some(chosen) = report.chosen.get(&method) else {
        let hint = match methods.join(", ") {
            none if none.is_empty() => {
                "fit again with methods that fit a probe, such as ccs and lr".to_owned()
            }
            fitted => format!("the run fitted {fitted}"),
        };
        return Err(none(format!("{method} was not fitted, or is no method that fits a probe"), hint));
    };
    let fitted = |l: &&ccs_report::LayerReport| l.methods.get(&method).is_some_and(|m| m.probe.is_some());
    let layers: Vec<String> = report.layers.iter().filter(fitted).map(|l| l.layer.to_string()).collect();
    let hint = || format!("{method} has a probe at the layers {}", layers.join(", "));
    let Some(layer) = layer.or(chosen.layer) else {
        return Err(none(chosen.rule.clone(), "fit states that differ from row to row".to_owned()));
    };
    match report.layers.iter().find(|l| l.layer == layer) {
        Some(found) if fitted(&found) => Ok(layer),
        Some(found) => Err(none(format!("layer {layer}: {}", found.notes.join("; ")), hint())),
        None => Err(none(format!("layer {layer} was not fitted"), hint())),
    }
}

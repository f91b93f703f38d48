//! The teaching model's store, made on the device and on the CPU, and probes fitted on both.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use llama_ccs::boolq::{self, Dataset, Selection, Template, TokenizedPair};
use llama_ccs::ccs_trainer::{Compute, Fit, Outcome as FitOutcome, Settings, StoreSource};
use llama_ccs::llama_core::tch::Device;
use llama_ccs::llama_core::{Checkpoint, Tokenizer};
use llama_ccs::{Extraction, Outcome, PairTokenizer};
use serde_json::{Map, Value, json};

use crate::{AnyError, Bench, round};

/// How far an accuracy may be from the CPU's: a few of 240 rows lie so near a probe's boundary that rounding decides.
const ALLOWED: f64 = 0.02;
/// Methods with one best answer. (CCS takes the best of several starts, between which rounding may decide: its difference
/// is shown.)
const DETERMINED: [&str; 2] = ["lr", "mean_difference"];

pub(crate) fn check(bench: &Bench) -> Result<Value, AnyError> {
    let quiz = bench.cases.join("quiz");
    let checkpoint = Checkpoint::open(quiz.join("model"))?;
    let tokenizer = checkpoint.tokenizer()?;
    let pairs = pairs(&quiz, &tokenizer, if bench.small { 200 } else { 600 })?;

    let store = |device, name: &str| -> Result<(StoreSource, f64), AnyError> {
        let started = Instant::now();
        let folder = bench.scratch.join(name);
        match Extraction::new(&checkpoint, &tokenizer).device(device).run(&pairs, &folder, &mut ())? {
            Outcome::Finished(_) => Ok((StoreSource::open(&folder)?, started.elapsed().as_secs_f64())),
            _ => Err("the extraction stopped".into()),
        }
    };
    let (here, here_seconds) = store(bench.device, "here")?;
    let (_, cpu_seconds) = store(Device::Cpu, "cpu")?;
    let (fitted, fit_seconds) = fit(&here, bench.device)?;
    let (reference, reference_seconds) = fit(&here, Device::Cpu)?;
    let differences = differences(&fitted, &reference);
    let close = |method: &str| differences.get(method).is_some_and(|difference| *difference <= ALLOWED);
    let passed = DETERMINED.iter().all(|method| close(method));
    let differences: Map<String, Value> =
        differences.into_iter().map(|(method, difference)| (method, json!(round(difference)))).collect();
    Ok(json!({
        "passed": passed, "pairs": pairs.len(), "largest_difference_from_cpu": differences, "allowed": ALLOWED,
        "extract_seconds": { "device": round(here_seconds), "cpu": round(cpu_seconds) },
        "fit_seconds": { "device": round(fit_seconds), "cpu": round(reference_seconds) },
    }))
}

/// The teaching model's questions as pairs.
pub(crate) fn pairs(
    quiz: &Path,
    tokenizer: &Tokenizer,
    limit: usize,
) -> Result<Vec<TokenizedPair>, AnyError> {
    let data = Dataset::load(quiz.join("questions.jsonl"))?;
    let made = boolq::pairs(&data, &Template::named("llama-ccs")?)?;
    let selection = Selection { limit: Some(limit), ..Selection::default() };
    Ok(boolq::select(&made.pairs, &PairTokenizer(tokenizer), &selection)?.examples)
}

/// The report of a fit, and how long it took.
fn fit(source: &StoreSource, device: Device) -> Result<(Value, f64), AnyError> {
    let started = Instant::now();
    let compute = Compute { device, ..Compute::default() };
    match Fit::new(source).settings(Settings::default()).compute(compute).run()? {
        FitOutcome::Finished(run) => {
            Ok((serde_json::to_value(&run.report)?, started.elapsed().as_secs_f64()))
        }
        FitOutcome::Stopped { .. } => Err("the fit stopped".into()),
    }
}

/// The largest difference of each method's accuracies and AUROCs on the test rows of any layer between two reports.
fn differences(a: &Value, b: &Value) -> BTreeMap<String, f64> {
    let mut largest = BTreeMap::new();
    let layers = |report: &Value| report["layers"].as_array().cloned().unwrap_or_default();
    for (a, b) in layers(a).iter().zip(&layers(b)) {
        for (method, found) in a["methods"].as_object().into_iter().flatten() {
            for key in ["accuracy", "auroc"] {
                let of = |found: &Value| found["test"][key].as_f64();
                if let (Some(a), Some(b)) = (of(found), of(&b["methods"][method])) {
                    let most = largest.entry(method.clone()).or_insert(0.0f64);
                    *most = most.max((a - b).abs());
                }
            }
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_the_largest_of_any_layer() {
        let layer = |lr: f64, auroc: f64| json!({ "methods": { "lr": { "test": { "accuracy": lr, "auroc": auroc } } } });
        let report = |a, b| json!({ "layers": [layer(a, 0.5), layer(0.5, b)] });
        assert_eq!(differences(&report(0.75, 1.0), &report(0.5, 0.25)), [("lr".to_owned(), 0.75)].into());
        assert!(differences(&report(0.75, 1.0), &json!({})).is_empty());
    }
}

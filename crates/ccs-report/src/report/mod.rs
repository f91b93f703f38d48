//! What a run found: the types behind `report.json` and `split.json`.
//!
//! No clock time and no path is in here: the same data and settings give the same bytes.

mod blank;
mod chosen;
mod controls;
mod diagnostics;
mod evaluation;
mod layer;
mod settings;
mod split;
mod transfer;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use blank::Blank;
pub use chosen::{Chosen, Oracle};
pub use controls::{
    OracleRestart, OracleSign, Repeated, SeedCosines, ShuffledBand, Spread, Untrained, WithinLayer,
};
pub use diagnostics::{
    Bin, Calibration, CloseUp, EnsembleReport, Ensembling, Histogram, Platt, RecursiveIteration,
    RecursiveReport, Reliability, TemplateReport,
};
pub use evaluation::{
    Comparison, Confusion, CrossValidation, Difference, Estimate, Evaluation, Interval, Sign, Terms,
};
pub use layer::{LayerReport, LossReport, MethodReport};
pub use settings::{AnswerScore, RecordedSettings, ZeroShot};
pub use split::{SplitReport, SplitRows};
pub use transfer::{Against, Transfer};

use crate::method::MethodInfo;
use crate::sentences::Verdict;
use crate::{Error, Method, Result};

/// `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this document.
    pub schema: u32,
    /// The program and its version.
    pub program: String,
    /// Every method of the run, in the order of its tables.
    pub methods: IndexMap<Method, MethodInfo>,
    /// What the numbers say, in sentences.
    pub verdicts: Vec<Verdict>,
    /// What a reader should know about the whole run.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The share of the more frequent label among the test rows: what the best constant answer reaches.
    pub majority: f64,
    /// Rows on each side of the split.
    pub rows: Side<usize>,
    /// Groups (passages) on each side; they are what intervals resample.
    pub groups: Side<usize>,
    /// Rows labelled true on each side.
    pub positives: Side<usize>,
    /// Resamples drawn again because they held one label only.
    pub redrawn_resamples: usize,
    /// The layer that stands for each method that fits probes.
    pub chosen: IndexMap<Method, Chosen>,
    /// Layers chosen without labels, beside those above: CCS's by its training loss.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub chosen_without_labels: IndexMap<Method, Chosen>,
    /// How the model's own answers were read, where they were.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zero_shot: Option<ZeroShot>,
    /// CCS at its layer against logistic regression at its own, paired.
    pub chosen_difference: Option<Difference>,
    /// Every method that fits probes, at its chosen layer, against random directions there and against logistic
    /// regression at its own.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub comparisons: Vec<Comparison>,
    /// What was looked at more closely, at each method's chosen layer.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub close_ups: IndexMap<Method, CloseUp>,
    /// The same fits under other seeds.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub seeds: IndexMap<Method, Repeated>,
    /// Every method with shuffled labels: those that training goes by (a sign alone, of methods that fit without) and
    /// those that it is judged by. Each with a band of random directions that all results lie in at once with 95 %.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub shuffled: IndexMap<Method, Repeated>,
    /// Recursive CCS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recursive: Option<RecursiveReport>,
    /// CCS's sign and start, beside those that the test rows would have chosen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub within_layer: Option<WithinLayer>,
    /// The probes at their chosen layers on the same test questions with the passage left blank.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blank: Option<IndexMap<Method, Blank>>,
    /// From data set to data set.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub transfer: IndexMap<Method, Transfer>,
    /// The model's own answers on each data set's test rows, in the order of `transfer`'s columns; calibrated on that data
    /// set's training rows.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub transfer_answers: IndexMap<Method, Vec<Option<Evaluation>>>,
    /// Every layer, ascending.
    pub layers: Vec<LayerReport>,
    /// What was asked for.
    pub settings: RecordedSettings,
    /// A hash of `split.json`'s rows.
    pub split: String,
    /// Which states were read, in words: `at the last token, computed in bf16 and kept in f32`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub states: Option<String>,
    /// What the data is, in a few words each: the data set, the model, the states, the rows.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub about: Vec<String>,
    /// What those who made the data want its readers to know.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub data_notes: Vec<String>,
    /// What the data is, in full, in its source's words.
    pub data: serde_json::Value,
}

impl Report {
    /// The version this crate reads and writes.
    pub const SCHEMA: u32 = 2;

    /// Reads the text of a `report.json`.
    ///
    /// # Errors
    /// [`Error::Report`]: text that is not a report, or one of another version.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        let report: Self =
            serde_json::from_slice(text).map_err(|e| Error::Report { reason: e.to_string() })?;
        if report.schema == Self::SCHEMA {
            Ok(report)
        } else {
            let reason = format!("its schema is {}, this version reads {}", report.schema, Self::SCHEMA);
            Err(Error::Report { reason })
        }
    }

    /// The report as it is written: JSON, indented, with a last newline.
    ///
    /// # Errors
    /// None for a report whose numbers came from a run.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::Write { what: "report.json", reason: e.to_string() })?;
        text.push(b'\n');
        Ok(text)
    }

    /// What a method is called in sentences; its bare name where the report does not say.
    pub fn title(&self, method: Method) -> String {
        self.methods.get(&method).map_or_else(|| method.to_string(), |info| info.title.clone())
    }

    /// Whether a method fits one probe per layer, whose layer has to be chosen.
    pub fn fits_probes(&self, method: Method) -> bool {
        self.methods.get(&method).is_some_and(|info| info.fits_probes)
    }

    /// Whether a method that fits probes has none at a layer: its numbers are then those of the constant guess that stands
    /// in.
    pub fn lacks_fit(&self, layer: &LayerReport, method: Method) -> bool {
        self.fits_probes(method) && layer.methods.get(&method).is_some_and(|found| found.probe.is_none())
    }

    /// A layer's report.
    pub fn layer(&self, layer: usize) -> Option<&LayerReport> {
        self.layers.iter().find(|l| l.layer == layer)
    }

    /// The layer that stands for a method, if one was chosen.
    pub fn chosen_layer(&self, method: Method) -> Option<usize> {
        self.chosen.get(&method).and_then(|choice| choice.layer)
    }
}

/// A value for the training rows and one for the test rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side<T> {
    /// Of the training rows.
    pub train: T,
    /// Of the test rows.
    pub test: T,
}

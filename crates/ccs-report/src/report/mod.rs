//! What a run found: the types behind `report.json` and `split.json`.
//!
//! No clock time and no path is in here: the same data and settings give the same bytes.

mod blank;
mod calibration;
mod chosen;
mod diagnostics;
mod directions;
mod evaluation;
mod examples;
mod layer;
mod polarity;
mod projection;
mod recursive;
mod repetitions;
mod row_kind;
mod row_text;
mod settings;
mod several_layers;
mod split;
mod strata;
mod token_places;
mod transfer;
mod verdict;
mod within_layer;
mod zero_shot;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use blank::Blank;
pub use calibration::{Bin, Calibration, Histogram, Platt, Reliability};
pub use chosen::{Chosen, Oracle};
pub use diagnostics::{Diagnostics, EnsembleReport, Ensembling, TemplateReport};
pub use directions::{DirectionsReport, SpectrumReport};
pub use evaluation::{
    Comparison, Confusion, CrossValidation, Difference, Estimate, Evaluation, Interval, Intervals, Sign,
    Terms,
};
pub use examples::{Disagreement, Disagreements, ExampleRow, Judged, MethodExamples, RowExamples};
pub use layer::{LayerReport, LossReport, MethodReport};
pub use polarity::{
    MethodPolarity, NegationConsistency, OnPolarity, PolarityReport, TruthPlane, WithinPolarity,
};
pub use projection::{PointMarks, ProjectedDirection, Projection, Projections};
pub use recursive::{RecursiveIteration, RecursiveReport, Spread, Untrained};
pub use repetitions::{Repetitions, SeedCosines, ShuffledBand};
pub use row_kind::RowKind;
pub use row_text::RowText;
pub use settings::{AnswerScore, RecordedSettings};
pub use several_layers::{SeveralLayers, Together};
pub use split::{SplitReport, SplitRows};
pub use strata::{ColumnReport, Stratum};
pub use token_places::{HeadPlaces, TokenExample, TokenPlaces, TokenShare};
pub use transfer::{Against, DirectionCosines, LeftOut, Transfer};
pub use verdict::{Finding, Verdict};
pub use within_layer::{OracleRestart, OracleSign, WithinLayer};
pub use zero_shot::{AnswerReading, ZeroShot};

use crate::error::{Error, Result};
use crate::method::{Method, MethodInfo};

/// `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this document.
    pub schema: u32,
    /// The program and its version.
    pub program: String,
    /// Every method of the run, in the order of its tables.
    pub methods: IndexMap<Method, MethodInfo>,
    /// What the rows are.
    #[serde(skip_serializing_if = "RowKind::is_pairs", default)]
    pub row_kind: RowKind,
    /// What the numbers say, in sentences.
    pub verdicts: Vec<Verdict>,
    /// Caveats about the whole run.
    pub notes: Vec<String>,
    /// The share of the more frequent label among the test rows: the accuracy of the best constant prediction.
    pub majority: f64,
    /// Rows on each side of the split.
    pub rows: Side<usize>,
    /// Groups (passages) on each side; they are what intervals take for independent.
    pub groups: Side<usize>,
    /// Rows labeled true on each side.
    pub positives: Side<usize>,
    /// Test groups with a row of the rarer label. AUROCs rest on them: with few, nothing is concluded.
    pub groups_of_rarer_label: usize,
    /// The layer chosen for each method that fits probes.
    pub chosen: IndexMap<Method, Chosen>,
    /// Layers chosen without labels, in addition to those above: CCS's by its training loss.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub chosen_without_labels: IndexMap<Method, Chosen>,
    /// The model's own answers, where the run reads them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zero_shot: Option<ZeroShot>,
    /// CCS at its layer (of statements, mass mean) minus logistic regression at its own, paired.
    pub chosen_difference: Option<Difference>,
    /// Every method that fits probes, at its chosen layer, minus random directions there and minus logistic regression at
    /// its own.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub comparisons: Vec<Comparison>,
    /// Calibration and templates, at each method's chosen layer.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub diagnostics: IndexMap<Method, Diagnostics>,
    /// The same fits under other seeds.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub seeds: IndexMap<Method, Repetitions>,
    /// Every method with the labels of both sides shuffled; methods that fit without labels take only their sign from
    /// them. Each with a band of random directions that contains all results at once with 95% probability.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub shuffled: IndexMap<Method, Repetitions>,
    /// Affirmative and negated rows, where there are both.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub polarity: Option<PolarityReport>,
    /// How many random directions rank the test rows better than chance, and how many directions stand out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub directions: Option<DirectionsReport>,
    /// Which tokens probes read that read all of them.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub token_places: IndexMap<Method, TokenPlaces>,
    /// Recursive CCS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recursive: Option<RecursiveReport>,
    /// CCS's sign and start, and those that the test rows would have selected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub within_layer: Option<WithinLayer>,
    /// Several layers together, beside the one chosen.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub several_layers: IndexMap<Method, SeveralLayers>,
    /// The probes at their chosen layers on the same test questions with a blank passage.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blank: Option<IndexMap<Method, Blank>>,
    /// Statements of test rows on the plane of their principal components, at some layers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub projections: Option<Projections>,
    /// Test rows to look at.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub examples: Option<RowExamples>,
    /// Transfer from data set to data set.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub transfer: IndexMap<Method, Transfer>,
    /// The model's own answers on each data set's test rows, in the order of `transfer`'s columns; calibrated on that data
    /// set's training rows.
    #[serde(skip_serializing_if = "IndexMap::is_empty", default)]
    pub transfer_answers: IndexMap<Method, Vec<Option<Evaluation>>>,
    /// Every layer, ascending.
    pub layers: Vec<LayerReport>,
    /// The settings of the run.
    pub settings: RecordedSettings,
    /// A hash of `split.json`'s rows.
    pub split: String,
    /// Which hidden states were used, in words: `at the last token, computed in bf16 and kept in f32`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub states: Option<String>,
    /// The data in a few words each: data set, model, states, rows.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub about: Vec<String>,
    /// Notes from the makers of the data.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub data_notes: Vec<String>,
    /// The data in full, as its source describes itself.
    pub data: serde_json::Value,
}

impl Report {
    /// The version this crate reads and writes.
    pub const SCHEMA: u32 = 3;

    /// Reads the text of a `report.json`.
    ///
    /// # Errors
    /// [`Error::Report`]: text that is not a report, or a report of another version.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        /// All that may be asked of a report of any version.
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let refused = |reason: String| Error::Report { reason };
        let Version { schema } = serde_json::from_slice(text).map_err(|e| refused(e.to_string()))?;
        if schema != Self::SCHEMA {
            return Err(refused(format!("its schema is {schema}, and this version reads {}", Self::SCHEMA)));
        }
        serde_json::from_slice(text).map_err(|e| refused(e.to_string()))
    }

    /// The report as written: indented JSON with a final newline.
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

    /// Whether probes read the states of all tokens.
    pub fn reads_all_tokens(&self) -> bool {
        let of_tokens = [Method::LAST, Method::MEAN, Method::ATTENTION, Method::MULTI_MAX];
        of_tokens.iter().any(|method| self.methods.contains_key(method))
    }

    /// The two methods that the run is about first: CCS, or of statements mass mean, and logistic regression; of all tokens
    /// attention, or else the largest value, and the mean token.
    pub(crate) fn main(&self) -> [Method; 2] {
        if !self.reads_all_tokens() {
            return [self.row_kind.leading(), Method::LR];
        }
        let has_attention = self.methods.contains_key(&Method::ATTENTION);
        [if has_attention { Method::ATTENTION } else { Method::MULTI_MAX }, Method::MEAN]
    }

    /// Whether a method fits one probe per layer, so that a layer has to be chosen.
    pub fn fits_probes(&self, method: Method) -> bool {
        self.methods.get(&method).is_some_and(|info| info.fits_probes)
    }

    /// Whether a method that fits probes has none at a layer, so that its numbers are those of a constant guess.
    pub fn lacks_fit(&self, layer: &LayerReport, method: Method) -> bool {
        self.fits_probes(method) && layer.methods.get(&method).is_some_and(|found| found.probe.is_none())
    }

    /// Whether a method could not be fitted at a layer that others can be fitted to.
    pub fn failed(&self, layer: &LayerReport, method: Method) -> bool {
        !layer.degenerate && self.lacks_fit(layer, method)
    }

    /// A layer's report.
    pub fn layer(&self, layer: usize) -> Option<&LayerReport> {
        self.layers.iter().find(|l| l.layer == layer)
    }

    /// The layer chosen for a method, if there is one.
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

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/report.json");

    #[test]
    fn reports_of_other_versions_are_refused_by_their_number() {
        let report = Report::from_json(FIXTURE).unwrap();
        assert_eq!(Report::from_json(&report.to_json().unwrap()).unwrap(), report);
        let mut other: serde_json::Value = serde_json::from_slice(FIXTURE).unwrap();
        other["schema"] = 1.into();
        other.as_object_mut().unwrap().remove("layers");
        let error = Report::from_json(other.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("its schema is 1"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("make it again")));
    }

    #[test]
    fn a_report_without_a_required_key_is_refused() {
        for key in ["notes", "layers", "methods", "verdicts"] {
            let mut without: serde_json::Value = serde_json::from_slice(FIXTURE).unwrap();
            without.as_object_mut().unwrap().remove(key);
            let error = Report::from_json(without.to_string().as_bytes()).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}

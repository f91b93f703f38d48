//! What diagnostics found, and what of them could not be done.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use ccs_report::{
    Diagnostics as MethodDiagnostics, DirectionsReport, Method, MethodPolarity, Projection, RecursiveReport,
    Repetitions, SeveralLayers, TemplateReport, TokenPlaces, TruthPlane, WithinLayer,
};

use crate::method::Ask as _;
use crate::per_row::predictions::MethodPredictions;

/// Diagnostics of methods at their chosen layers: of some at one layer, or of all.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Diagnostics {
    pub(crate) by_method: IndexMap<Method, MethodDiagnostics>,
    pub(crate) seeds: IndexMap<Method, Repetitions>,
    pub(crate) shuffled: IndexMap<Method, Repetitions>,
    pub(crate) token_places: IndexMap<Method, TokenPlaces>,
    /// Of one layer, found with the method that it is the layer of.
    pub(crate) directions: Option<DirectionsReport>,
    pub(crate) recursive: Option<RecursiveReport>,
    pub(crate) within: Option<WithinLayer>,
    #[serde(default)]
    pub(crate) polarity: IndexMap<Method, MethodPolarity>,
    /// With TTPD.
    pub(crate) truth_plane: Option<TruthPlane>,
    /// Of pictured layers; what takes seconds is not kept.
    #[serde(skip)]
    pub(crate) projections: Vec<Projection>,
    /// Of several layers together; kept by itself.
    #[serde(skip)]
    pub(crate) several_layers: IndexMap<Method, SeveralLayers>,
    /// For every row.
    pub(crate) predictions: Vec<MethodPredictions>,
    /// What was asked for and could not be done, in sentences.
    pub(crate) notes: Vec<String>,
}

impl Diagnostics {
    /// Adds those of other methods.
    pub(crate) fn extend(&mut self, other: Self) {
        self.by_method.extend(other.by_method);
        self.seeds.extend(other.seeds);
        self.shuffled.extend(other.shuffled);
        self.token_places.extend(other.token_places);
        self.directions = self.directions.take().or(other.directions);
        self.recursive = self.recursive.take().or(other.recursive);
        self.within = self.within.take().or(other.within);
        self.polarity.extend(other.polarity);
        self.truth_plane = self.truth_plane.take().or(other.truth_plane);
        self.projections.extend(other.projections);
        self.several_layers.extend(other.several_layers);
        self.predictions.extend(other.predictions);
        self.notes.extend(other.notes);
    }

    /// What was asked for of a method and is missing, in sentences.
    pub(crate) fn left_out(&self, method: Method) -> Vec<String> {
        let title = method.title();
        let mut notes = Vec::new();
        for (found, what) in [(&self.seeds, "other seeds"), (&self.shuffled, "shuffles of labels")] {
            if let Some(fewer) = found.get(&method).filter(|r| r.accuracies.len() < r.asked) {
                let (there, asked) = (fewer.accuracies.len(), fewer.asked);
                notes.push(format!(
                    "{title}, {what}: {there} of {asked} at layer {}, the others could not be fitted",
                    fewer.layer
                ));
            }
        }
        let templates = self.by_method.get(&method).map(|c| c.templates.as_slice()).unwrap_or_default();
        let list = |which: &dyn Fn(&TemplateReport) -> bool| {
            let names = templates.iter().filter(|t| which(t)).map(|t| format!("`{}`", t.template));
            Some(names.collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
        };
        if let Some(names) = list(&|t| t.own.is_none()) {
            notes.push(format!(
                "{title} has no probe of its own for the templates {names}: their training rows are too few, all of \
                 one label, or do not vary"
            ));
        }
        // The same for every method: said once.
        if let Some(names) = list(&|t| t.pooled.auroc.is_none()) {
            notes.push(format!(
                "the test rows of the templates {names} are all of one label: they have no AUROC"
            ));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use ccs_report::Evaluation;

    use super::*;

    #[test]
    fn what_is_missing_is_noted() {
        let template = |name: &str, own, auroc| TemplateReport {
            template: name.to_owned(),
            rows: 3,
            pooled: Evaluation { auroc, ..Evaluation::default() },
            own,
        };
        let of_method = MethodDiagnostics {
            layer: 4,
            calibration: None,
            histogram: None,
            templates: vec![
                template("a", Some(Evaluation::default()), Some(0.5)),
                template("b", None, Some(0.5)),
                template("c", Some(Evaluation::default()), None),
            ],
            ensembles: Vec::new(),
            columns: Vec::new(),
        };
        let fewer = Repetitions { layer: 4, asked: 3, accuracies: vec![0.5], ..Repetitions::default() };
        let found = Diagnostics {
            by_method: IndexMap::from([(Method::LR, of_method)]),
            shuffled: IndexMap::from([(Method::LR, fewer)]),
            ..Diagnostics::default()
        };
        let notes = found.left_out(Method::LR);
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[0].contains("shuffles of labels: 1 of 3 at layer 4"), "{notes:?}");
        assert!(notes[1].contains("templates `b`:") && notes[2].contains("templates `c` are"), "{notes:?}");
        assert!(found.left_out(Method::CCS).is_empty());
    }
}

//! A closer look at the layers that were chosen: calibration, histograms, templates one by one and together.

use indexmap::IndexMap;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::diagnostics::shuffled::Shuffler;
use crate::engine::context::{Context, Data};
use crate::engine::evaluate::{evaluate, predict};
use crate::engine::layer::{LayerOutcome, scaling_rule};
use crate::engine::recipe::{Recipe, possible};
use crate::method::Ask as _;
use crate::source::Layer;
use crate::{Result, convert};
use ccs::Contrast;
use ccs::baselines::Predictions;
use ccs::bootstrap::Resamples;
use ccs::calibrate::Reliability;
use ccs::ensemble::{Ensembling, ensemble};
use ccs::pick;
use ccs::probe::Probe;
use ccs_report::Calibration;
use ccs_report::Chosen;
use ccs_report::Evaluation;
use ccs_report::Histogram;
use ccs_report::Method;
use ccs_report::RecursiveReport;
use ccs_report::Repetitions;
use ccs_report::WithinLayer;
use ccs_report::{Diagnostics, EnsembleReport, TemplateReport};

/// Intervals of a reliability curve.
const RELIABILITY_BINS: usize = 10;
/// Bins of a histogram.
const HISTOGRAM_BINS: usize = 20;

/// What a closer look found, at one layer or at all that were chosen.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Looks {
    pub(crate) close_ups: IndexMap<Method, Diagnostics>,
    pub(crate) seeds: IndexMap<Method, Repetitions>,
    pub(crate) shuffled: IndexMap<Method, Repetitions>,
    pub(crate) recursive: Option<RecursiveReport>,
    pub(crate) within: Option<WithinLayer>,
    /// What was asked for and could not be done.
    pub(crate) notes: Vec<String>,
}

impl Looks {
    /// Of methods whose layers differ.
    pub(crate) fn extend(&mut self, other: Self) {
        self.close_ups.extend(other.close_ups);
        self.seeds.extend(other.seeds);
        self.shuffled.extend(other.shuffled);
        self.recursive = self.recursive.take().or(other.recursive);
        self.within = self.within.take().or(other.within);
        self.notes.extend(other.notes);
    }

    /// What was asked for of a method and is not there, in sentences.
    fn left_out(&self, method: Method) -> Vec<String> {
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
        let templates = self.close_ups.get(&method).map(|c| c.templates.as_slice()).unwrap_or_default();
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

/// One template's rows.
struct Template {
    name: String,
    test: Contrast,
    /// Places within the test rows.
    rows: Vec<usize>,
    train: Option<Contrast>,
    resamples: Option<Resamples>,
}

impl Context<'_> {
    /// Looks at the methods whose chosen layer this is.
    pub(crate) fn look(
        &self,
        layer: &Layer,
        outcome: &LayerOutcome,
        chosen: &IndexMap<Method, Chosen>,
    ) -> Result<Looks> {
        let here = |m: &Method| chosen.get(m).is_some_and(|c| c.layer == Some(layer.layer));
        let (mut looks, mut missing) = (Looks::default(), Vec::new());
        for (method, probe) in outcome.probes.iter().filter(|(method, _)| here(method)) {
            match self.kept.look(*method, layer) {
                Some(found) => looks.extend(found),
                None => missing.push((*method, probe)),
            }
        }
        if missing.is_empty() {
            return Ok(looks);
        }
        self.kept.go_on()?;
        let data = self.load(layer)?;
        let templates = self.templates(&data)?;
        let shuffler = Shuffler::of(&data);
        let results = self.settings.shuffles * chosen.values().filter(|c| c.layer.is_some()).count();
        let random = if results > 0 { Some(self.random_shuffles(&data, &shuffler, results)?) } else { None };
        for (method, probe) in missing {
            let l2 = outcome.report.methods.get(&method).and_then(|report| report.l2);
            let recipe = Recipe::known(method, self.settings, l2).briefly();
            self.kept.next(method, layer, "calibration and templates")?;
            let mut found = Looks::default();
            found.close_ups.insert(method, self.close_up(recipe, &data, &templates, probe)?);
            let seeds = self.seeds(recipe, &data, probe)?;
            let cosine = seeds.as_ref().and_then(|seeds| seeds.cosines.as_ref()).map(|cosines| cosines.mean);
            found.seeds.extend(seeds.map(|seeds| (method, seeds)));
            if let Some(random) = &random {
                let shuffled = self.shuffled(recipe, &data, probe, &shuffler, (random, results))?;
                found.shuffled.insert(method, shuffled);
            }
            if method == Method::CCS {
                let random = outcome.report.methods.get(&Method::RANDOM);
                let band = random.and_then(|report| report.test.accuracy_ci);
                let (recursive, fit) = self.recursive(&data, band, cosine)?.unzip();
                found.recursive = recursive;
                found.within = Some(self.within(&data, probe, fit)?);
                if found.recursive.is_none() && self.settings.recursive > 0 {
                    found.notes.push("Recursive CCS could not be fitted.".to_owned());
                }
            }
            found.notes.extend(found.left_out(method));
            self.kept.keep_look(method, layer, &found)?;
            looks.extend(found);
        }
        Ok(looks)
    }

    /// The test rows of every template, where there is more than one.
    fn templates(&self, data: &Data<'_>) -> Result<Vec<Template>> {
        if data.test.template_names().len() < 2 {
            return Ok(Vec::new());
        }
        let names = data.test.template_names();
        let train: BTreeMap<usize, Vec<usize>> = data.train.rows_by_template().into_iter().collect();
        let mut templates = Vec::new();
        for (number, rows) in data.test.rows_by_template() {
            let name = names.get(number).cloned().unwrap_or_default();
            let test = data.test.select(&rows)?;
            let resamples = self.draw(test.labels(), test.groups(), &format!("template {name}"))?;
            let train = match train.get(&number).map(|rows| data.train.select(rows)).transpose()? {
                Some(train) if !train.is_constant()? => Some(train),
                _ => None,
            };
            templates.push(Template { name, test, rows, train, resamples });
        }
        Ok(templates)
    }

    /// Resamples of a part of the test rows, or none where they would hold one label too often.
    fn draw(&self, labels: &[bool], groups: &[String], name: &str) -> Result<Option<Resamples>> {
        let stream = self.stream.child("bootstrap").child(name);
        Ok(possible(Resamples::draw(labels, groups, self.settings.resamples, &stream))?.ok())
    }

    fn close_up(
        &self,
        recipe: Recipe<'_>,
        data: &Data<'_>,
        templates: &[Template],
        probe: &Probe,
    ) -> Result<Diagnostics> {
        let predictions = predict(probe, &data.test)?;
        let labels = data.test.labels();
        let (calibration, histogram) = self.sureness(probe, &predictions.scores, labels)?;
        let stream = self.stream(recipe.method, data.layer);
        let mut reports = Vec::new();
        for template in templates {
            let pooled = Predictions {
                scores: pick(&predictions.scores, &template.rows)?,
                threshold: predictions.threshold,
            };
            let judge = |predictions: &Predictions| {
                evaluate(predictions, template.test.labels(), template.resamples.as_ref())
            };
            let fit = template.train.as_ref().map(|train| {
                self.kept.go_on()?;
                possible(recipe.fit(train, &stream.child(&format!("template {}", template.name))))
            });
            let own = match fit.transpose()?.and_then(Result::ok) {
                Some(fit) => Some(judge(&predict(&fit.probe, &template.test)?)?),
                None => None,
            };
            reports.push(TemplateReport {
                template: template.name.clone(),
                rows: template.rows.len(),
                pooled: judge(&pooled)?,
                own,
            });
        }
        Ok(Diagnostics {
            layer: data.layer.layer,
            calibration,
            histogram,
            ensembles: if templates.is_empty() { Vec::new() } else { self.ensembles(data, probe)? },
            templates: reports,
        })
    }

    /// How sure the probe is of test rows, before and after the scaling that is saved with it.
    fn sureness(
        &self,
        probe: &Probe,
        scores: &[f64],
        labels: &[bool],
    ) -> Result<(Option<Calibration>, Option<Histogram>)> {
        let own: Option<Vec<f64>> = scores.iter().map(|&score| probe.own_probability(score)).collect();
        let ece = |p: &[f64]| Reliability::of(p, labels, RELIABILITY_BINS);
        let calibration = match probe.certainty.platt {
            Some(platt) => Some(Calibration {
                platt: convert::platt(platt),
                fitted_on: scaling_rule(self.settings.folds),
                reliability: convert::reliability(&ece(&platt.probabilities(scores))?),
                ece_before: own.as_deref().map(ece).transpose()?.map(|before| before.ece),
            }),
            None => None,
        };
        let scaled =
            || probe.certainty.platt.map(|platt| histogram(&platt.probabilities(scores), labels, true));
        let histogram = own.as_deref().map(|p| histogram(p, labels, false)).or_else(scaled);
        Ok((calibration, histogram))
    }

    /// The templates of every question brought together. Groups are resampled: they hold whole questions.
    fn ensembles(&self, data: &Data<'_>, probe: &Probe) -> Result<Vec<EnsembleReport>> {
        let (plus, minus) = probe.statement_logits(&data.test)?;
        let questions = data.test.questions();
        let groups: HashMap<usize, &String> = questions.iter().copied().zip(data.test.groups()).collect();
        let mut reports = Vec::new();
        for ensembling in [Ensembling::None, Ensembling::Partial, Ensembling::Full] {
            let all = match ensemble(ensembling, &plus, &minus, data.test.labels(), &questions) {
                // A question whose answer changes with its wording has no one label.
                Err(ccs::Error::Variant { .. }) => continue,
                other => other?,
            };
            let clusters: Vec<String> =
                all.questions.iter().filter_map(|question| groups.get(question).copied().cloned()).collect();
            let resamples = self.draw(&all.labels, &clusters, &format!("ensembling {ensembling:?}"))?;
            let test: Evaluation = evaluate(&all.predictions, &all.labels, resamples.as_ref())?;
            reports.push(EnsembleReport { ensembling: convert::ensembling(ensembling), test });
        }
        Ok(reports)
    }
}

fn histogram(probabilities: &[f64], labels: &[bool], calibrated: bool) -> Histogram {
    let mut bins = [vec![0; HISTOGRAM_BINS], vec![0; HISTOGRAM_BINS]];
    for (&p, &label) in probabilities.iter().zip(labels) {
        let at = ((p * HISTOGRAM_BINS as f64) as usize).min(HISTOGRAM_BINS - 1);
        if let Some(rows) = bins.get_mut(usize::from(label)).and_then(|counts| counts.get_mut(at)) {
            *rows += 1;
        }
    }
    let [negatives, positives] = bins;
    Histogram { calibrated, positives, negatives }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_done_is_said() {
        let template = |name: &str, own, auroc| TemplateReport {
            template: name.to_owned(),
            rows: 3,
            pooled: Evaluation { auroc, ..Evaluation::default() },
            own,
        };
        let close_up = Diagnostics {
            layer: 4,
            calibration: None,
            histogram: None,
            templates: vec![
                template("a", Some(Evaluation::default()), Some(0.5)),
                template("b", None, Some(0.5)),
                template("c", Some(Evaluation::default()), None),
            ],
            ensembles: Vec::new(),
        };
        let fewer = Repetitions { layer: 4, asked: 3, accuracies: vec![0.5], ..Repetitions::default() };
        let looks = Looks {
            close_ups: IndexMap::from([(Method::LR, close_up)]),
            shuffled: IndexMap::from([(Method::LR, fewer)]),
            ..Looks::default()
        };
        let notes = looks.left_out(Method::LR);
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[0].contains("shuffles of labels: 1 of 3 at layer 4"), "{notes:?}");
        assert!(notes[1].contains("templates `b`:") && notes[2].contains("templates `c` are"), "{notes:?}");
        assert!(looks.left_out(Method::CCS).is_empty());
    }

    #[test]
    fn every_row_is_in_one_bin_of_its_label() {
        let found = histogram(&[0.0, 0.049, 0.05, 1.0, 0.999], &[true, false, true, true, false], false);
        assert_eq!((found.positives[0], found.positives[1], found.positives[19]), (1, 1, 1));
        assert_eq!((found.negatives[0], found.negatives[19]), (1, 1));
        assert_eq!(found.positives.iter().chain(&found.negatives).sum::<usize>(), 5);
    }
}

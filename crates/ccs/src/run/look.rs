//! A closer look at the layers that were chosen: calibration, histograms, templates one by one and together.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::closeup::{CloseUp, EnsembleReport, TemplateReport};
use super::context::{Context, Data};
use super::evaluate::{evaluate, predict};
use super::layer::{LayerOutcome, scaling_rule};
use super::recipe::{Recipe, possible};
use super::{Calibration, Chosen, Evaluation, Histogram, Layer, RecursiveReport, Repeated};
use crate::baselines::Predictions;
use crate::bootstrap::Resamples;
use crate::calibrate::Reliability;
use crate::contrast::pick;
use crate::ensemble::{Ensembling, ensemble};
use crate::probe::Probe;
use crate::{Contrast, Error, Method, Result};

/// Intervals of a reliability curve.
const RELIABILITY_BINS: usize = 10;
/// Bins of a histogram.
const HISTOGRAM_BINS: usize = 20;

/// What a closer look found, at one layer or at all that were chosen.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Looks {
    pub(super) close_ups: BTreeMap<Method, CloseUp>,
    pub(super) seeds: BTreeMap<Method, Repeated>,
    pub(super) shuffled: BTreeMap<Method, Repeated>,
    pub(super) recursive: Option<RecursiveReport>,
}

impl Looks {
    /// Of methods whose layers differ.
    pub(super) fn extend(&mut self, other: Self) {
        self.close_ups.extend(other.close_ups);
        self.seeds.extend(other.seeds);
        self.shuffled.extend(other.shuffled);
        self.recursive = self.recursive.take().or(other.recursive);
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
    pub(super) fn look(
        &self,
        layer: &Layer,
        outcome: &LayerOutcome,
        chosen: &BTreeMap<Method, Chosen>,
    ) -> Result<Looks> {
        let here = |m: &Method| chosen.get(m).is_some_and(|c| c.layer == Some(layer.layer));
        let mut looks = Looks::default();
        if !outcome.probes.iter().any(|(method, _)| here(method)) {
            return Ok(looks);
        }
        let data = self.load(layer)?;
        let templates = self.templates(&data)?;
        for (method, probe) in outcome.probes.iter().filter(|(method, _)| here(method)) {
            let l2 = outcome.report.methods.get(method).and_then(|report| report.l2);
            let recipe = Recipe::known(*method, self.settings, l2).briefly();
            looks.close_ups.insert(*method, self.close_up(recipe, &data, &templates, probe)?);
            let seeds = self.seeds(recipe, &data, probe)?;
            let cosine = seeds.as_ref().and_then(|seeds| seeds.cosine);
            looks.seeds.extend(seeds.map(|seeds| (*method, seeds.repeated)));
            looks.shuffled.extend(self.shuffled(recipe, &data, probe)?.map(|shuffled| (*method, shuffled)));
            if *method == Method::Ccs {
                let random = outcome.report.methods.get(&Method::Random);
                let band = random.and_then(|report| report.test.accuracy_ci);
                looks.recursive = self.recursive(&data, band, cosine)?;
            }
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
    ) -> Result<CloseUp> {
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
        Ok(CloseUp {
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
                platt,
                fitted_on: scaling_rule(self.settings.folds),
                reliability: ece(&platt.probabilities(scores))?,
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
                Err(Error::Variant { .. }) => continue,
                other => other?,
            };
            let clusters: Vec<String> =
                all.questions.iter().filter_map(|question| groups.get(question).copied().cloned()).collect();
            let resamples = self.draw(&all.labels, &clusters, &format!("ensembling {ensembling:?}"))?;
            let test: Evaluation = evaluate(&all.predictions, &all.labels, resamples.as_ref())?;
            reports.push(EnsembleReport { ensembling, test });
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
    fn every_row_is_in_one_bin_of_its_label() {
        let found = histogram(&[0.0, 0.049, 0.05, 1.0, 0.999], &[true, false, true, true, false], false);
        assert_eq!((found.positives[0], found.positives[1], found.positives[19]), (1, 1, 1));
        assert_eq!((found.negatives[0], found.negatives[19]), (1, 1));
        assert_eq!(found.positives.iter().chain(&found.negatives).sum::<usize>(), 5);
    }
}

//! Diagnostics at one layer, of every method that chose it.

use ccs::methods::ccs::CcsFit;
use ccs::probe::Probe;
use ccs_report::{Diagnostics as MethodDiagnostics, Method, RecursiveReport};

use crate::Result;
use crate::control::{RunControl, Work};
use crate::diagnostics::calibration::calibration;
use crate::diagnostics::directions::directions;
use crate::diagnostics::found::Diagnostics;
use crate::diagnostics::polarity::{self, Sides};
use crate::diagnostics::recursive::recursive_ccs;
use crate::diagnostics::seeds::other_seeds;
use crate::diagnostics::shuffled::{RandomShuffles, Shuffler, random_directions, shuffled_labels};
use crate::diagnostics::strata::by_column;
use crate::diagnostics::templates::{Template, by_template, ensembles, templates};
use crate::diagnostics::token_places::token_places;
use crate::diagnostics::truth_plane::truth_plane;
use crate::diagnostics::within::chosen_by_test_rows;
use crate::engine::data::{LayerData, load};
use crate::engine::evaluate::predict;
use crate::engine::outcome::LayerOutcome;
use crate::engine::plan::Plan;
use crate::engine::recipe::{Recipe, possible};
use crate::per_row::predictions::of_probe;
use crate::source::Layer;

/// A layer that methods chose, loaded for their diagnostics.
pub(crate) struct ChosenLayer<'a> {
    plan: &'a Plan<'a>,
    outcome: &'a LayerOutcome,
    data: LayerData<'a>,
    templates: Vec<Template>,
    shuffler: Shuffler,
    /// Affirmative and negated rows, where there are both.
    polarity: Option<Sides>,
    /// Under shuffled labels, if those are asked for.
    random: Option<RandomShuffles>,
}

impl<'a> ChosenLayer<'a> {
    /// Loads the layer. `methods` is how many methods have a chosen layer, here or elsewhere.
    pub(crate) fn load(
        plan: &'a Plan<'a>,
        layer: &'a Layer,
        outcome: &'a LayerOutcome,
        methods: usize,
    ) -> Result<Self> {
        let data = load(plan, layer)?;
        let templates = templates(&data)?;
        let (shuffler, polarity) = (Shuffler::of(&data), Sides::of(&data));
        let results = plan.settings.shuffles * methods;
        let random =
            if results > 0 { Some(random_directions(plan, &data, &shuffler, results)?) } else { None };
        Ok(Self { plan, outcome, data, templates, shuffler, polarity, random })
    }

    /// The diagnostics of one method's probe, and of the layer's directions where they are looked at with this method.
    pub(crate) fn diagnose(
        &self,
        method: Method,
        probe: &Probe,
        with_directions: bool,
        control: RunControl<'_>,
    ) -> Work<Diagnostics> {
        if method != Method::CCS {
            return self.of_probe(method, probe, with_directions, control);
        }
        let random = self.outcome.report.methods.get(&Method::RANDOM);
        let band = random.and_then(|report| report.test.accuracy_ci);
        // Its directions are found one after the other, which another core can do meanwhile.
        let (plan, data, mut recursive) = (self.plan, self.data.alias()?, Ok(None));
        let to = &mut recursive;
        let found = rayon::in_place_scope(|tasks| {
            tasks.spawn(move |_| *to = recursive_ccs(plan, &{ data }, band, control));
            self.of_probe(method, probe, with_directions, control)
        });
        let mut found = found?;
        self.of_ccs(probe, recursive?, &mut found, control)?;
        Ok(found)
    }

    fn of_probe(
        &self,
        method: Method,
        probe: &Probe,
        with_directions: bool,
        control: RunControl<'_>,
    ) -> Work<Diagnostics> {
        let (plan, data) = (self.plan, &self.data);
        let l2 = self.outcome.report.methods.get(&method).and_then(|report| report.l2);
        let recipe = Recipe::known(method, plan.source.kind(), &plan.settings, l2).briefly();
        control.begin(method, data.layer.layer, "calibration and templates")?;
        let mut found = Diagnostics::default();
        found.by_method.insert(method, self.of_method(recipe, probe, control)?);
        found.predictions.push(of_probe(plan, method, probe, data)?);
        let seeds = other_seeds(plan, recipe, data, probe, control)?;
        found.seeds.extend(seeds.map(|seeds| (method, seeds)));
        if let Some(random) = &self.random {
            let shuffled = shuffled_labels(plan, recipe, data, probe, &self.shuffler, random, control)?;
            found.shuffled.insert(method, shuffled);
        }
        if let Some(sides) = &self.polarity {
            found.polarity.insert(method, polarity::of_method(plan, recipe, data, sides, probe, control)?);
            if method == Method::TTPD {
                found.truth_plane = possible(truth_plane(plan, data))?.ok().flatten();
            }
        }
        // What stands out among all tokens, nothing here says.
        if with_directions && data.train.tokens().is_none() {
            control.begin(method, data.layer.layer, "random directions and spectra")?;
            match possible(directions(plan, data))? {
                Ok(directions) => found.directions = Some(directions),
                Err(reason) => found.notes.push(format!(
                    "random directions are not counted, and no spectrum is taken, at layer {}: {reason}",
                    data.layer.layer
                )),
            }
        }
        let places = token_places(plan, data, probe)?;
        found.token_places.extend(places.map(|places| (method, places)));
        found.notes.extend(found.left_out(method));
        Ok(found)
    }

    fn of_method(
        &self,
        recipe: Recipe<'_>,
        probe: &Probe,
        control: RunControl<'_>,
    ) -> Work<MethodDiagnostics> {
        let (plan, data) = (self.plan, &self.data);
        let predictions = predict(probe, &data.test)?;
        let (calibration, histogram) =
            calibration(probe, &predictions.scores, data.test.labels(), plan.settings.folds)?;
        let templates = by_template(plan, recipe, data, &self.templates, &predictions, control)?;
        let ensembles = if templates.is_empty() { Vec::new() } else { ensembles(data, probe)? };
        let on_train = predict(probe, &data.train)?;
        let columns = by_column(plan, data, [&on_train, &predictions])?;
        let layer = data.layer.layer;
        Ok(MethodDiagnostics { layer, calibration, histogram, templates, ensembles, columns })
    }

    /// What only CCS has: further directions, and its sign and start.
    fn of_ccs(
        &self,
        probe: &Probe,
        recursive: Option<(RecursiveReport, CcsFit)>,
        found: &mut Diagnostics,
        control: RunControl<'_>,
    ) -> Work<()> {
        let (recursive, fit) = recursive.unzip();
        let seeds = found.seeds.get(&Method::CCS).and_then(|seeds| seeds.cosines.as_ref());
        let seeds_cosine = seeds.map(|cosines| cosines.mean);
        found.recursive = recursive.map(|recursive| RecursiveReport { seeds_cosine, ..recursive });
        found.within = Some(chosen_by_test_rows(self.plan, &self.data, probe, fit, control)?);
        if found.recursive.is_none() && self.plan.settings.recursive > 0 {
            found.notes.insert(0, "Recursive CCS could not be fitted.".to_owned());
        }
        Ok(())
    }
}

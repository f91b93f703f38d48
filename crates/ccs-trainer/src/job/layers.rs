//! The work of a run: every layer, the choice of layers, and diagnostics of every method at its choice.

use std::sync::atomic::{AtomicUsize, Ordering};

use ccs_report::{Chosen, LayerReport, Method, SeveralLayers};
use indexmap::IndexMap;
use rayon::prelude::*;

use crate::control::{Company, Event, Halt, Outcome, RunControl, Work};
use crate::diagnostics::directions::method_of_layer;
use crate::diagnostics::found::Diagnostics;
use crate::diagnostics::layer::ChosenLayer;
use crate::diagnostics::projection::Pictures;
use crate::diagnostics::several_layers::several_layers;
use crate::engine::compute::{Compute, in_parallel, one_thread};
use crate::engine::outcome::LayerOutcome;
use crate::engine::plan::Plan;
use crate::engine::{choose_layer, layer};
#[cfg(feature = "distributed")]
use crate::job::among::Shared;
use crate::job::assemble::assemble;
use crate::method::Ask;
use crate::resume::{Cached, ResumeCache};
use crate::run::Run;
use crate::source::Layer;
use crate::{Error, Result};

/// Runs a plan, alone or as one of several ranks; `dataset` is its name in a sweep.
pub(crate) fn run(
    plan: &Plan<'_>,
    compute: Compute,
    cache: &ResumeCache,
    dataset: Option<&str>,
    control: RunControl<'_>,
    ranks: Company<'_>,
) -> Result<Outcome<Run>> {
    let work = LayerWork { plan, cache, dataset, control, done: AtomicUsize::new(0) };
    #[cfg(feature = "distributed")]
    if let Some(ranks) = ranks {
        let (_, here) = ranks.on_host();
        let workers = compute.workers(plan.source, &plan.layers, plan.settings.folds, here);
        return Shared { work: &work, ranks, workers }.run();
    }
    let _ = ranks;
    match work.run(compute) {
        Ok(run) => Ok(Outcome::Finished(run)),
        Err(Halt::Failed(error)) => Err(error),
        Err(Halt::Stopped) => Ok(Outcome::Stopped {
            done: work.done.load(Ordering::Relaxed),
            layers: plan.layers.len(),
            kept: cache.keeps(),
        }),
    }
}

/// What the work on all layers needs.
pub(crate) struct LayerWork<'a> {
    pub(crate) plan: &'a Plan<'a>,
    pub(crate) cache: &'a ResumeCache,
    dataset: Option<&'a str>,
    pub(crate) control: RunControl<'a>,
    /// Layers that are done.
    pub(crate) done: AtomicUsize,
}

impl LayerWork<'_> {
    fn run(&self, compute: Compute) -> Work<Run> {
        let layers = &self.plan.layers;
        let workers = compute.workers(self.plan.source, layers, self.plan.settings.folds, 1);
        let outcomes: Vec<LayerOutcome> = in_parallel(workers, || {
            let outcome = |layer: &Layer| self.outcome(layer).map_err(|halt| in_layer(layer, halt));
            layers.par_iter().map(outcome).collect::<Work<_>>()
        })?;
        let chosen = self.choose(&outcomes);
        let methods = chosen.values().filter(|choice| choice.layer.is_some()).count();
        self.control.tell(Event::Diagnostics { methods });
        let pictures = Pictures::of(self.plan, &chosen);
        // Layers are loaded again rather than held: few are chosen.
        let found: Vec<(LayerOutcome, Diagnostics)> = in_parallel(workers, || {
            let diagnose = |(outcome, layer): (LayerOutcome, &Layer)| {
                let found = self.diagnose(layer, &outcome, &chosen, methods);
                let mut found = found.map_err(|halt| in_layer(layer, halt))?;
                if pictures.layers.contains_key(&layer.layer) {
                    self.control.go_on()?;
                    let projection = pictures.project(self.plan, layer, &outcome);
                    found.projections.extend(projection.map_err(|error| in_layer(layer, error.into()))?);
                }
                Ok((outcome, found))
            };
            outcomes.into_par_iter().zip(layers.par_iter()).map(diagnose).collect::<Work<_>>()
        })?;
        let (outcomes, found): (Vec<LayerOutcome>, Vec<Diagnostics>) = found.into_iter().unzip();
        let mut diagnostics = Diagnostics::default();
        for of_layer in found {
            diagnostics.extend(of_layer);
        }
        let several = || chosen.iter().map(|(&method, choice)| self.several(method, choice, &outcomes));
        diagnostics.several_layers =
            one_thread(|| several().collect::<Work<Vec<_>>>())?.into_iter().flatten().collect();
        let layers = std::mem::take(&mut diagnostics.projections);
        let pictures = pictures.with(self.plan, layers, &diagnostics.by_method)?;
        Ok(assemble(self.plan, chosen, outcomes, diagnostics, pictures)?)
    }

    /// A layer's outcome, from the cache or fitted now.
    fn outcome(&self, layer: &Layer) -> Work<LayerOutcome> {
        let outcome = if let Some(outcome) = self.undamaged(self.cache.outcome(layer)) {
            outcome
        } else {
            self.control.go_on()?;
            let outcome = layer::fit(self.plan, layer)?;
            self.cache.keep_outcome(layer, &outcome)?;
            outcome
        };
        self.tell(&outcome);
        Ok(outcome)
    }

    /// Tells of a layer that is done.
    pub(crate) fn tell(&self, outcome: &LayerOutcome) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.control.tell(Event::Layer { dataset: self.dataset, layer: &outcome.report });
    }

    /// The layer of every method that fits probes.
    pub(crate) fn choose(&self, outcomes: &[LayerOutcome]) -> IndexMap<Method, Chosen> {
        let layers: Vec<&LayerReport> = outcomes.iter().map(|o| &o.report).collect();
        let methods = self.plan.methods.iter().copied().filter(Ask::is_probe);
        let folds = self.plan.settings.folds;
        methods.map(|method| (method, choose_layer::by_cross_validation(method, &layers, folds))).collect()
    }

    /// Diagnostics of the methods that chose a layer, from the cache or computed now; `methods` have a choice, here or
    /// elsewhere.
    fn diagnose(
        &self,
        layer: &Layer,
        outcome: &LayerOutcome,
        chosen: &IndexMap<Method, Chosen>,
        methods: usize,
    ) -> Work<Diagnostics> {
        let is_here = |m: &Method| chosen.get(m).is_some_and(|c| c.layer == Some(layer.layer));
        let (mut all, mut missing) = (Diagnostics::default(), Vec::new());
        for (method, probe) in outcome.probes.iter().filter(|(method, _)| is_here(method)) {
            match self.undamaged(self.cache.diagnostics(*method, layer)) {
                Some(found) => {
                    all.extend(found);
                    self.control.tell(Event::Diagnosed { method: *method, layer: layer.layer });
                }
                None => missing.push((*method, probe)),
            }
        }
        if missing.is_empty() {
            return Ok(all);
        }
        self.control.go_on()?;
        let with_directions = method_of_layer(chosen);
        let here = ChosenLayer::load(self.plan, layer, outcome, methods)?;
        for (method, probe) in missing {
            let found = here.diagnose(method, probe, with_directions == Some(method), self.control)?;
            self.cache.keep_diagnostics(method, layer, &found)?;
            self.control.tell(Event::Diagnosed { method, layer: layer.layer });
            all.extend(found);
        }
        Ok(all)
    }

    /// A method on several layers together, from the cache or computed now.
    fn several(
        &self,
        method: Method,
        choice: &Chosen,
        outcomes: &[LayerOutcome],
    ) -> Work<Option<(Method, SeveralLayers)>> {
        if let Some(kept) = self.undamaged(self.cache.several_layers(method)) {
            return Ok(Some((method, kept)));
        }
        self.control.go_on()?;
        let Some(found) = several_layers(self.plan, method, choice, outcomes)? else { return Ok(None) };
        self.cache.keep_several_layers(method, &found)?;
        Ok(Some((method, found)))
    }

    /// What is in the cache, unless it is damaged.
    pub(crate) fn undamaged<T>(&self, cached: Cached<T>) -> Option<T> {
        cached.unwrap_or_else(|path| {
            self.control.tell(Event::Damaged { path: &path });
            None
        })
    }
}

/// Names the layer that an error happened at.
pub(crate) fn in_layer(layer: &Layer, halt: Halt) -> Halt {
    match halt {
        Halt::Stopped => Halt::Stopped,
        Halt::Failed(source) => {
            let (layer, hook) = (layer.layer, layer.hook.clone());
            Halt::Failed(Error::InLayer { layer, hook, source: Box::new(source) })
        }
    }
}

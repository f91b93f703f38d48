//! A run by several processes: layers, then the diagnostics of methods at their chosen layers, then methods on several layers,
//! each claimed from a counter that all ranks see. Every rank comes to have all results, in the form in which a run that was
//! stopped keeps them, and so the same run; rank 0 alone keeps them in its folder.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use ccs_report::{Chosen, Method, Projection, SeveralLayers};
use indexmap::IndexMap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use torch_runtime::dist::Ranks;

use crate::control::{Event, Halt, Outcome, Work};
use crate::diagnostics::directions::method_of_layer;
use crate::diagnostics::found::Diagnostics;
use crate::diagnostics::layer::ChosenLayer;
use crate::diagnostics::projection::Pictures;
use crate::diagnostics::several_layers::several_layers;
use crate::engine::compute::{in_parallel, one_thread};
use crate::engine::layer;
use crate::engine::outcome::LayerOutcome;
use crate::job::assemble::assemble;
use crate::job::layers::{LayerWork, in_layer};
use crate::resume::sealed;
use crate::run::Run;
use crate::source::Layer;
use crate::{Error, Result};

mod claims;
mod files;
mod same;

use claims::{Phase, unfit};
use files::{pack, unpack};

/// A run that ranks share.
pub(crate) struct Shared<'a> {
    pub(crate) work: &'a LayerWork<'a>,
    pub(crate) ranks: &'a Ranks,
    /// Threads of this rank.
    pub(crate) workers: usize,
}

/// What is looked at at a chosen layer.
#[derive(Clone, Copy)]
enum Look {
    Method(Method),
    Picture,
}

/// What was seen there.
#[derive(Serialize, Deserialize)]
enum Seen {
    Method(Box<Diagnostics>),
    Picture(Option<Projection>),
}

impl Shared<'_> {
    /// The run, on every rank.
    pub(crate) fn run(&self) -> Result<Outcome<Run>> {
        match self.run_all() {
            Ok(run) => Ok(Outcome::Finished(run)),
            Err(Halt::Failed(error)) => Err(self.ranks.explained(error)),
            // All ranks come here, or none.
            Err(Halt::Stopped) => {
                let work = self.work;
                let own = || Ok::<_, Error>((work.done.load(Ordering::Relaxed), work.cache.keeps()));
                let (done, kept) = self.ranks.decided("stopped", own)?;
                Ok(Outcome::Stopped { done, layers: work.plan.layers.len(), kept })
            }
        }
    }

    fn run_all(&self) -> Work<Run> {
        let work = self.work;
        same::check(work.plan, self.ranks)?;
        let outcomes = self.outcomes()?;
        let parsed = outcomes.iter().map(|outcome| read(outcome)).collect::<Result<Vec<_>>>()?;
        let chosen = work.choose(&parsed);
        let methods = chosen.values().filter(|choice| choice.layer.is_some()).count();
        work.control.tell(Event::Diagnostics { methods });
        let pictures = Pictures::of(work.plan, &chosen);
        let mut diagnostics = self.diagnostics(&outcomes, &parsed, &chosen, &pictures)?;
        diagnostics.several_layers = self.several(&parsed, &chosen)?;
        let layers = std::mem::take(&mut diagnostics.projections);
        let pictures = pictures.with(work.plan, layers, &diagnostics.by_method)?;
        Ok(assemble(work.plan, chosen, parsed, diagnostics, pictures)?)
    }

    /// What every layer gives, as messages.
    fn outcomes(&self) -> Work<Vec<Vec<u8>>> {
        let (work, layers) = (self.work, &self.work.plan.layers);
        let kept = |layer: &Layer| {
            let kept = work.undamaged(work.cache.outcome(layer)).filter(|_| self.ranks.is_first());
            kept.map(|outcome| {
                work.tell(&outcome);
                pack(&outcome)
            })
        };
        let known = layers.iter().map(|layer| kept(layer).transpose()).collect::<Result<Vec<_>>>()?;
        let arrived = |task: usize, message: &[u8]| {
            let outcome = read(message)?;
            work.cache.keep_outcome(&layers[task], &outcome)?;
            work.tell(&outcome);
            Ok(())
        };
        let phase = Phase::new(self.ranks, "layers", work.control, known, &arrived)?;
        let at_once = layers.len().div_ceil(self.ranks.size());
        phase.run(|phase| {
            self.in_loops(phase, at_once, &|| {
                while let Some(task) = phase.claim()? {
                    let layer = &layers[task];
                    let outcome = layer::fit(work.plan, layer).map_err(|e| in_layer(layer, e.into()))?;
                    phase.deliver(task, pack(&outcome)?)?;
                }
                Ok(())
            })
        })
    }

    /// The diagnostics of every method at its layer, and pictures, in the order of layers.
    fn diagnostics(
        &self,
        outcomes: &[Vec<u8>],
        parsed: &[LayerOutcome],
        chosen: &IndexMap<Method, Chosen>,
        pictures: &Pictures,
    ) -> Work<Diagnostics> {
        let work = self.work;
        let layers = &work.plan.layers;
        let looks = looks(layers, parsed, chosen, pictures);
        let kept = |&(at, look): &(usize, Look)| match look {
            Look::Method(method) if self.ranks.is_first() => {
                let found = work.undamaged(work.cache.diagnostics(method, &layers[at]))?;
                work.control.tell(Event::Diagnosed { method, layer: layers[at].layer });
                Some(sealed::to_bytes(&Seen::Method(Box::new(found))))
            }
            _ => None,
        };
        let known = looks.iter().map(|look| kept(look).transpose()).collect::<Result<Vec<_>>>()?;
        let arrived = |task: usize, message: &[u8]| {
            let (at, look) = looks[task];
            if let (Look::Method(method), Seen::Method(found)) = (look, seen(message)?) {
                work.cache.keep_diagnostics(method, &layers[at], &found)?;
                work.control.tell(Event::Diagnosed { method, layer: layers[at].layer });
            }
            Ok(())
        };
        let phase = Phase::new(self.ranks, "diagnostics", work.control, known, &arrived)?;
        // A rank works on one method of a layer after the other, so that it loads the layer once.
        let different = looks.iter().map(|(at, _)| at).collect::<BTreeSet<_>>().len();
        let at_once = different.div_ceil(self.ranks.size());
        let seen_there = phase.run(|phase| {
            self.in_loops(phase, at_once, &|| self.look(phase, &looks, outcomes, chosen, pictures))
        })?;
        let mut all = Diagnostics::default();
        for message in &seen_there {
            match seen(message)? {
                Seen::Method(found) => all.extend(*found),
                Seen::Picture(picture) => all.projections.extend(picture),
            }
        }
        Ok(all)
    }

    /// Looks at what this rank claims, a layer after the other.
    fn look(
        &self,
        phase: &Phase<'_>,
        looks: &[(usize, Look)],
        outcomes: &[Vec<u8>],
        chosen: &IndexMap<Method, Chosen>,
        pictures: &Pictures,
    ) -> Work<()> {
        let (plan, control) = (self.work.plan, self.work.control);
        let methods = chosen.values().filter(|choice| choice.layer.is_some()).count();
        let with_directions = method_of_layer(chosen);
        let mut next = phase.claim()?;
        while let Some(first) = next {
            let (at, _) = looks[first];
            let layer = &plan.layers[at];
            let outcome = read(&outcomes[at])?;
            let mut here = None;
            while let Some(task) = next.filter(|task| looks[*task].0 == at) {
                let mut see = || -> Work<Seen> {
                    let Look::Method(method) = looks[task].1 else {
                        return Ok(Seen::Picture(pictures.project(plan, layer, &outcome)?));
                    };
                    let here = match &here {
                        Some(here) => here,
                        None => &*here.insert(ChosenLayer::load(plan, layer, &outcome, methods)?),
                    };
                    let probe = outcome.probes.iter().find(|(known, _)| *known == method);
                    let (_, probe) = probe.ok_or_else(|| unfit(method.name().as_bytes()))?;
                    let found = here.diagnose(method, probe, with_directions == Some(method), control)?;
                    Ok(Seen::Method(Box::new(found)))
                };
                let seen = see().map_err(|halt| in_layer(layer, halt))?;
                phase.deliver(task, sealed::to_bytes(&seen)?)?;
                next = phase.claim()?;
            }
        }
        Ok(())
    }

    /// Every method on several layers together, by one thread of each rank.
    fn several(
        &self,
        outcomes: &[LayerOutcome],
        chosen: &IndexMap<Method, Chosen>,
    ) -> Work<IndexMap<Method, SeveralLayers>> {
        let work = self.work;
        let methods: Vec<(Method, &Chosen)> =
            chosen.iter().map(|(method, choice)| (*method, choice)).collect();
        let kept = |&(method, _): &(Method, &Chosen)| {
            let kept = work.undamaged(work.cache.several_layers(method)).filter(|_| self.ranks.is_first());
            kept.map(|found| sealed::to_bytes(&Some(found))).transpose()
        };
        let known = methods.iter().map(kept).collect::<Result<Vec<_>>>()?;
        let arrived = |task: usize, message: &[u8]| match together(message)? {
            Some(found) => work.cache.keep_several_layers(methods[task].0, &found),
            None => Ok(()),
        };
        let phase = Phase::new(self.ranks, "several layers", work.control, known, &arrived)?;
        let found = phase.run(|phase| {
            one_thread(|| {
                while let Some(task) = phase.claim()? {
                    let (method, choice) = methods[task];
                    let found = several_layers(work.plan, method, choice, outcomes)?;
                    phase.deliver(task, sealed::to_bytes(&found)?)?;
                }
                Ok::<_, Halt>(())
            })
        })?;
        let found = methods.iter().zip(&found);
        let found = found.map(|((method, _), message)| Ok((*method, together(message)?)));
        let found = found.collect::<Result<Vec<_>>>()?;
        Ok(found.into_iter().filter_map(|(method, found)| Some((method, found?))).collect())
    }

    /// Runs a loop of claims on this rank's threads, at most so many at once.
    fn in_loops(
        &self,
        phase: &Phase<'_>,
        at_once: usize,
        claims: &(dyn Fn() -> Work<()> + Sync),
    ) -> Work<()> {
        let loops = at_once.clamp(1, self.workers);
        let ended = Mutex::new(Vec::new());
        in_parallel(self.workers, || {
            (0..loops).into_par_iter().for_each(|_| {
                let end = claims();
                if matches!(end, Err(Halt::Failed(_))) {
                    phase.give_up();
                }
                ended.lock().unwrap_or_else(PoisonError::into_inner).push(end);
            });
            Ok::<_, Error>(())
        })?;
        let ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (failed, others): (Vec<_>, Vec<_>) =
            ended.into_iter().partition(|end| matches!(end, Err(Halt::Failed(_))));
        failed.into_iter().chain(others).collect()
    }
}

/// All that is looked at: the methods that chose a layer, in its order, and its picture, layer by layer.
fn looks(
    layers: &[Layer],
    outcomes: &[LayerOutcome],
    chosen: &IndexMap<Method, Chosen>,
    pictures: &Pictures,
) -> Vec<(usize, Look)> {
    let mut looks = Vec::new();
    for (at, (layer, outcome)) in layers.iter().zip(outcomes).enumerate() {
        let is_here = |method: &Method| chosen.get(method).is_some_and(|c| c.layer == Some(layer.layer));
        let here = outcome.probes.iter().map(|(method, _)| *method).filter(is_here);
        looks.extend(here.map(|method| (at, Look::Method(method))));
        if pictures.layers.contains_key(&layer.layer) {
            looks.push((at, Look::Picture));
        }
    }
    looks
}

fn read(message: &[u8]) -> Result<LayerOutcome> {
    unpack(message).ok_or_else(|| unfit(message))
}

fn seen(message: &[u8]) -> Result<Seen> {
    sealed::parse(message).map_err(|sealed::Damaged| unfit(message))
}

fn together(message: &[u8]) -> Result<Option<SeveralLayers>> {
    sealed::parse(message).map_err(|sealed::Damaged| unfit(message))
}

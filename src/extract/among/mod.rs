//! An extraction by several processes, each with the whole model or a stage of it: the first stages claim batches from a
//! counter that all see, the residual stream goes from stage to stage, and rank 0 commits in the plan's order what all have
//! computed.
//!
//! The values in the ranks' store, all under a prefix of this extraction's own:
//!
//! | key | value |
//! |---|---|
//! | `next` | how many batches were claimed; far beyond all of them once no more are to be |
//! | `announced` | how many batches the other ranks have computed |
//! | `announce/N` | the N-th of those: its rank, its number |
//! | `take/N` | rank 0 will receive it now |
//! | `stream/R/N` | the N-th batch that rank R sends to the next stage, or `end` |
//! | `drained` | how many of the other ranks have delivered everything |
//! | `order/N` | the N-th batch that ranks compute together that hold one model, or `end` |

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use activations::{Manifest, RowKind};
use llama_core::tch::Device;
use serde::{Deserialize, Serialize};
use torch_runtime::dist::{Group, Ranks, Store};
use torch_runtime::machine;

use super::examples::Example;
use super::pipeline::{Inbox, Onward, Progress, Work};
use super::run::{Begun, Planned, rows_of};
use super::{Extraction, Observer, Outcome, log, residency};
use crate::error::{Error, Result};
use crate::tensor_parallel;

mod claims;
mod collect;
mod deliver;
mod grid;
mod parcel;
mod stream;
mod together;

use claims::Claims;
use collect::Collector;
use grid::Grid;
use stream::{Downstream, Upstream};

/// What rank 0 is going to write.
#[derive(Serialize, Deserialize)]
struct Offer {
    manifest: Manifest,
    /// BLAKE3 of the rows, as JSON.
    rows: String,
}

/// What is left to compute.
#[derive(Serialize, Deserialize)]
struct Open {
    missing: Vec<usize>,
    done: usize,
}

/// One extraction of the ranks; they may have others.
struct Run<'a> {
    ranks: &'a Ranks,
    grid: Grid,
    /// What its values and its group are under.
    name: String,
}

impl Run<'_> {
    fn connection(&self) -> Result<Store> {
        Ok(self.ranks.connection()?.under(&self.name)?)
    }

    /// The group that states travel in.
    fn group(&self) -> Result<Group> {
        Ok(self.ranks.group(&self.name)?)
    }

    /// The groups in which this rank receives from the stage before it and sends to the one behind it, where those are:
    /// of two that all ranks meet in, since each is for one thread.
    fn links(&self) -> Result<[Option<Group>; 2]> {
        if self.grid.stages() == 1 {
            return Ok([None, None]);
        }
        let stage = self.grid.stage(self.ranks.rank());
        let [even, odd] = ["even", "odd"].map(|of| self.ranks.group(&format!("{}/{of}", self.name)));
        let (sends, receives) = if stage.is_multiple_of(2) { (even?, odd?) } else { (odd?, even?) };
        Ok([(stage > 0).then_some(receives), (!self.grid.is_last(stage)).then_some(sends)])
    }
}

impl Extraction<'_> {
    pub(super) fn run_among(
        &self,
        ranks: &Ranks,
        examples: &[Example<'_>],
        kind: RowKind,
        out: &Path,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let outcome = self.divided(ranks, examples, kind, out, observer);
        if let Err(error) = &outcome {
            ranks.fail(error);
        }
        outcome
    }

    fn divided(
        &self,
        ranks: &Ranks,
        examples: &[Example<'_>],
        kind: RowKind,
        out: &Path,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        self.check(examples, kind)?;
        // What fits depends on a machine's memory, and the plan must not.
        let tokens = ranks.decided("batch tokens", || Ok::<_, Error>(self.tokens_of_batch()))?;
        let own = Self { batch_tokens: Some(tokens), ..self.clone() };
        let grid = own.grid(ranks)?;
        let mut planned = own.planned_by_all(ranks, examples, kind, observer)?;
        let examples = std::mem::take(&mut planned.examples);
        let batches = planned.manifest.batches.clone();
        let begun = if ranks.is_first() { Some(own.begin(planned, out, observer)?) } else { None };
        let open = ranks.decided("missing batches", || -> Result<_> {
            let Some(Begun { writer, progress, .. }) = &begun else {
                return Ok(Open { missing: Vec::new(), done: 0 });
            };
            let goes_on = progress.goes_on(observer);
            let missing = if goes_on { writer.remaining().to_vec() } else { Vec::new() };
            Ok(Open { missing, done: progress.done.load(Ordering::Acquire) })
        })?;
        let run = Run { ranks, grid, name: ranks.call("states") };
        if own.tensor_parallel.is_some() {
            return own.compute_together(&run, (&examples, kind), &batches, begun, open, observer);
        }
        match begun {
            Some(begun) => own.lead(&run, (&examples, kind), begun, open, observer),
            None => own.help(&run, (&examples, kind), &batches, open, observer),
        }
    }

    /// The plan, which every rank makes for itself: only equal ones may go on.
    fn planned_by_all<'e>(
        &self,
        ranks: &Ranks,
        examples: &[Example<'e>],
        kind: RowKind,
        observer: &mut dyn Observer,
    ) -> Result<Planned<'e>> {
        let mut own = None;
        // Rank 0's comes first: it hashes the model, if it must be, and others on its host find the hash.
        let offer = ranks.decided("plan", || -> Result<_> {
            let planned = self.planned(examples, kind, observer)?;
            let offer = Offer { manifest: planned.manifest.clone(), rows: hash_of_rows(&planned)? };
            own = Some(planned);
            Ok(offer)
        })?;
        let planned = match own {
            Some(planned) => planned,
            None => self.planned(examples, kind, observer)?,
        };
        ranks.agreed("plan", objection(&offer, &planned)?)?;
        Ok(planned)
    }

    /// Rank 0's part: it computes, too, and writes what all have computed.
    fn lead(
        &self,
        run: &Run<'_>,
        of: (&[Example<'_>], RowKind),
        mut begun: Begun,
        open: Open,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        if !open.missing.is_empty() {
            let Begun { writer, log, progress } = &mut begun;
            let batches = writer.manifest().batches.clone();
            let (progress, log) = (&*progress, &*log);
            let collector = Collector::new(run, writer, progress)?;
            let keep = move |inbox: Inbox<'_>| collector.run(&inbox);
            self.compute_claimed(run, of, (&batches, open.missing), keep, progress, (observer, log))?;
        }
        let outcome = begun.end()?;
        run.ranks.decided("outcome", || Ok::<_, Error>(matches!(outcome, Outcome::Finished(_))))?;
        Ok(outcome)
    }

    /// Every other rank's part.
    fn help(
        &self,
        run: &Run<'_>,
        of: (&[Example<'_>], RowKind),
        batches: &[Vec<usize>],
        open: Open,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let total = open.done + rows_of(&open.missing, batches);
        let progress = Progress::new(open.done, total);
        if !open.missing.is_empty() {
            let delivery = deliver::Delivery::new(run, batches, &progress)?;
            let keep = move |inbox: Inbox<'_>| delivery.run(&inbox);
            let log = log::Log::none();
            self.compute_claimed(run, of, (batches, open.missing), keep, &progress, (observer, &log))?;
        }
        let rows = progress.done.load(Ordering::Acquire) - open.done;
        let finished = run.ranks.decided("outcome", || Ok::<_, Error>(false))?;
        Ok(Outcome::Helped { rows, finished })
    }

    fn compute_claimed(
        &self,
        run: &Run<'_>,
        (examples, kind): (&[Example<'_>], RowKind),
        (batches, missing): (&[Vec<usize>], Vec<usize>),
        keep: impl FnOnce(Inbox<'_>) -> Result<()> + Send,
        progress: &Progress,
        (observer, log): (&mut dyn Observer, &log::Log),
    ) -> Result<()> {
        let (stage, stages) = (run.grid.stage(run.ranks.rank()), run.grid.stages());
        let links = run.links()?;
        let (llama, group_tokens) =
            self.load(run.grid.blocks(stage), self.own_memory(run.ranks), observer)?;
        let runner = self.runner(&llama, group_tokens);
        let mut pipeline = self.pipeline(runner, (examples, kind), batches, group_tokens);
        // The next stage lays batches out as they were planned.
        pipeline.divides = stages == 1;
        let [receives, sends] = links;
        let onward: Option<Onward<'_>> = match sends {
            Some(group) => {
                let next = Downstream::new(run, group)?;
                Some(Box::new(move |leaving| next.run(leaving)))
            }
            None => None,
        };
        if let Some(group) = receives {
            // It goes on until the stage before says that nothing more comes: asked to stop, it has that one stop.
            (pipeline.stop, pipeline.runner.stop) = (None, None);
            let mut relay = Relay { observer, store: run.connection()?, stop: self.stop };
            pipeline.ahead = 1;
            pipeline.run(Upstream::new(run, group, progress)?, onward, keep, progress, &mut relay, log)
        } else {
            // What is claimed must not wait here while others have nothing to do.
            pipeline.ahead = 0;
            let claims = Claims::new(run, missing)?.map(|number| number.map(Work::from));
            pipeline.run(claims, onward, keep, progress, observer, log)
        }
    }

    /// Which rank has which blocks of which replica; rank 0 decides. Ranks that hold a model together have all of them.
    fn grid(&self, ranks: &Ranks) -> Result<Grid> {
        if let Some(wanted) = self.tensor_parallel {
            tensor_parallel::check(self.checkpoint.config(), wanted, ranks, self.stages)?;
            return Grid::new(ranks.size(), self.checkpoint.config().n_layers, Some(1), |_| true);
        }
        ranks.decided("grid", || {
            let (config, batch) = (self.checkpoint.config(), (self.tokens_of_batch(), self.bytes_kept()));
            let memory = self.own_memory(ranks);
            let fits = |blocks: &_| residency::fits((config, self.precision), blocks, batch, memory);
            Grid::new(ranks.size(), config.n_layers, self.stages, fits)
        })
    }

    /// What is free is for all ranks of a host.
    fn own_memory(&self, ranks: &Ranks) -> Option<u64> {
        let (_, here) = ranks.on_host();
        let free = || machine::available_memory().filter(|_| self.device == Device::Cpu);
        self.max_memory.or_else(|| Some(free()? / here as u64))
    }
}

/// Watches a stage behind the first one: whoever wants to stop has the first one stop.
struct Relay<'a> {
    observer: &'a mut dyn Observer,
    store: Store,
    stop: Option<&'a AtomicBool>,
}

impl Observer for Relay<'_> {
    fn rows(&mut self, done: usize, total: usize) -> ControlFlow<()> {
        let asked = self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        if self.observer.rows(done, total).is_break() || asked {
            // A store that is gone ends all by the heartbeat.
            let _ = claims::end(&self.store);
        }
        ControlFlow::Continue(())
    }

    fn notice(&mut self, text: &str) {
        self.observer.notice(text);
    }
}

/// What a rank has to say against rank 0's plan.
fn objection(offer: &Offer, own: &Planned<'_>) -> Result<Option<String>> {
    let differences = offer.manifest.differences(&own.manifest)?;
    if !differences.is_empty() {
        return Ok(Some(format!("differs from rank 0 (rank 0 → its own):\n{differences}")));
    }
    Ok((offer.rows != hash_of_rows(own)?).then(|| "has other prompts than rank 0".to_owned()))
}

fn hash_of_rows(planned: &Planned<'_>) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    serde_json::to_writer(&mut hasher, &planned.rows).map_err(|error| Error::Io(error.into()))?;
    Ok(hasher.finalize().to_hex().to_string())
}

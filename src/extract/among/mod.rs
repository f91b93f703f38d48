//! An extraction by several processes, each with the whole model: they claim batches from a counter that all see, rank 0
//! commits what all computed in the plan's order.
//!
//! The values in the ranks' store, all under a prefix of this extraction's own:
//!
//! | key | value |
//! |---|---|
//! | `next` | how many batches were claimed; far beyond all of them once no more are to be |
//! | `announced` | how many batches the other ranks have computed |
//! | `announce/N` | the N-th of those: its rank, its number, its bytes |
//! | `take/N` | rank 0 will receive it now |
//! | `drained` | how many of the other ranks have delivered everything |

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use activations::{Manifest, RowKind};
use llama_core::tch::Device;
use serde::{Deserialize, Serialize};
use torch_runtime::dist::{Group, Store};
use torch_runtime::machine;

use super::examples::Example;
use super::pipeline::{Inbox, Progress};
use super::run::{Begun, Planned, rows_of};
use super::{Extraction, Observer, Outcome, log};
use crate::error::{Error, Result};
use crate::ranks::Ranks;

mod claims;
mod collect;
mod deliver;
mod parcel;

use claims::Claims;
use collect::Collector;

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
    /// What its values and its group are under.
    name: String,
}

impl Run<'_> {
    fn connection(&self) -> Result<Store> {
        Ok(self.ranks.connection()?.under(&self.name)?)
    }

    /// The group that states travel in.
    fn group(&self) -> Result<Group> {
        self.ranks.group(&self.name)
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
        let run = Run { ranks, name: ranks.call("states") };
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
        let progress = Progress { done: AtomicUsize::new(open.done), total };
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
        let claims = Claims::new(run, missing)?;
        let (llama, group_tokens) = self.load(self.own_memory(run.ranks), observer)?;
        let runner = self.runner(&llama, group_tokens);
        let mut pipeline = self.pipeline(runner, (examples, kind), batches, group_tokens);
        // What is claimed must not wait here while others have nothing to do.
        pipeline.ahead = 0;
        pipeline.run(claims, keep, progress, observer, log)
    }

    /// What is free is for all ranks of a host.
    fn own_memory(&self, ranks: &Ranks) -> Option<u64> {
        let (_, here) = ranks.on_host();
        let free = || machine::available_memory().filter(|_| self.device == Device::Cpu && here > 1);
        self.max_memory.or_else(|| Some(free()? / here as u64))
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

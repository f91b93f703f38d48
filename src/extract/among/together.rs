//! All ranks hold one model together and compute every batch together; rank 0 says which one is next, and keeps its states.

use std::sync::atomic::Ordering;

use activations::RowKind;
use llama_core::Llama;
use llama_core::tch::Device;
use torch_runtime::dist::{self, Ranks, Store};

use super::claims::Claims;
use super::{Open, Relay, Run};
use crate::error::{Error, Result};
use crate::extract::examples::Example;
use crate::extract::pipeline::{self, Inbox, Progress, Work};
use crate::extract::run::{Begun, rows_of};
use crate::extract::{Extraction, Observer, Outcome, log, residency};
use crate::tensor_parallel;

/// The N-th batch.
fn order(number: usize) -> String {
    format!("order/{number}")
}

/// Nothing more is computed.
const END: &[u8] = b"end";

/// The batches in rank 0's order: it claims them, as one of many would, and tells the others.
struct Leading<'a> {
    claims: Claims<'a>,
    store: Store,
    told: usize,
}

impl Iterator for Leading<'_> {
    type Item = Result<Work>;

    fn next(&mut self) -> Option<Result<Work>> {
        let claimed = match self.claims.next() {
            Some(Err(error)) => return Some(Err(error)),
            Some(Ok(batch)) => Some(batch),
            None => None,
        };
        let said = claimed.map_or_else(|| END.to_vec(), |batch| batch.to_string().into_bytes());
        let told = self.store.set(&order(self.told), &said);
        self.told += 1;
        match told {
            Err(error) => Some(Err(error.into())),
            Ok(()) => claimed.map(|batch| Ok(Work::from(batch))),
        }
    }
}

/// The same on the other ranks.
struct Following<'a> {
    ranks: &'a Ranks,
    store: Store,
    heard: usize,
}

impl Iterator for Following<'_> {
    type Item = Result<Work>;

    fn next(&mut self) -> Option<Result<Work>> {
        let said = match self.store.wait(&order(self.heard), || self.ranks.lost().is_none()) {
            Err(error) => return Some(Err(self.ranks.explained(error).into())),
            Ok(None) => return self.ranks.check().err().map(|lost| Err(lost.into())),
            Ok(Some(said)) => said,
        };
        self.heard += 1;
        if said == END {
            return None;
        }
        let said = String::from_utf8_lossy(&said);
        let unknown = || {
            let objections = vec![format!("rank 0 asked for batch `{said}`")];
            dist::Error::Disagreement { objections }
        };
        Some(said.parse().map(|batch: usize| Work::from(batch)).map_err(|_| unknown().into()))
    }
}

impl Extraction<'_> {
    /// Every rank's part; rank 0 has the store.
    pub(super) fn compute_together(
        &self,
        run: &Run<'_>,
        of: (&[Example<'_>], RowKind),
        batches: &[Vec<usize>],
        begun: Option<Begun>,
        open: Open,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let ranks = run.ranks;
        let explained = |error| ranks.explained(error);
        let Some(mut begun) = begun else {
            let progress = Progress::new(open.done, open.done + rows_of(&open.missing, batches));
            if !open.missing.is_empty() {
                // Rank 0 keeps the states.
                let keep = |inbox: Inbox<'_>| {
                    while let Some(number) = inbox.skip() {
                        progress.done.fetch_add(batches[number].len(), Ordering::Release);
                    }
                    Ok(())
                };
                let order = Following { ranks, store: run.connection()?, heard: 0 };
                let log = log::Log::none();
                self.computed(run, (of, batches), order, keep, &progress, (observer, &log))
                    .map_err(explained)?;
            }
            let rows = progress.done.load(Ordering::Acquire) - open.done;
            let finished = ranks.decided("outcome", || Ok::<_, Error>(false))?;
            return Ok(Outcome::Helped { rows, finished });
        };
        if !open.missing.is_empty() {
            let Begun { writer, log, progress } = &mut begun;
            let (progress, log) = (&*progress, &*log);
            let keep = |inbox: Inbox<'_>| pipeline::commit(writer, &inbox, progress);
            let claims = Claims::new(run, open.missing)?;
            let order = Leading { claims, store: run.connection()?, told: 0 };
            self.computed(run, (of, batches), order, keep, progress, (observer, log)).map_err(explained)?;
        }
        let outcome = begun.end()?;
        ranks.decided("outcome", || Ok::<_, Error>(matches!(outcome, Outcome::Finished(_))))?;
        Ok(outcome)
    }

    fn computed(
        &self,
        run: &Run<'_>,
        (of, batches): ((&[Example<'_>], RowKind), &[Vec<usize>]),
        order: impl Iterator<Item = Result<Work>> + Send,
        keep: impl FnOnce(Inbox<'_>) -> Result<()> + Send,
        progress: &Progress,
        (observer, log): (&mut dyn Observer, &log::Log),
    ) -> Result<()> {
        let llama = self.load_part(run.ranks)?;
        let mut pipeline = self.pipeline(self.runner(&llama, 0), of, batches, 0);
        // What is begun is computed by all; who is asked to stop has rank 0 begin nothing more.
        (pipeline.stop, pipeline.runner.stop) = (None, None);
        // Memory may run out on one of them alone.
        pipeline.divides = false;
        pipeline.ahead = 1;
        let mut relay = Relay { observer, store: run.connection()?, stop: self.stop };
        pipeline.run(order, None, keep, progress, &mut relay, log)
    }

    /// This rank's part of the model, in memory.
    fn load_part(&self, ranks: &Ranks) -> Result<Llama> {
        let (config, wanted) = (self.checkpoint.config(), ranks.size());
        let batch = (self.tokens_of_batch(), self.bytes_kept());
        let needed = residency::part_bytes((config, self.precision), wanted, batch)?;
        let limit =
            self.own_memory(ranks).filter(|_| self.device == Device::Cpu || self.max_memory.is_some());
        let short = limit.filter(|limit| needed > *limit).map(|limit| {
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            format!("has {:.1} GiB of memory for its part, which takes {:.1}", gib(limit), gib(needed))
        });
        ranks.agreed("memory", short).map_err(|error| match error {
            dist::Error::Disagreement { objections } => {
                Error::TensorParallel { wanted, reason: objections.join("; ") }
            }
            other => other.into(),
        })?;
        tensor_parallel::sharded(ranks, self.checkpoint, (self.precision, self.kernels), self.device)
    }
}

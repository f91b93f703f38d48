//! An extraction from its plan to a finished store, in one process.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;

use activations::{Manifest, Pace, Row, RowKind, StoreWriter, TokenIds};
use llama_core::Llama;
use serde_json::json;

use super::examples::Example;
use super::pipeline::{self, Pipeline, Progress};
use super::{Extraction, Observer, Outcome, TokenRule, batch::BatchRunner, log, plan, provenance, residency};
use crate::error::{Error, Result};

/// What will be in a store.
pub(super) struct Planned<'e> {
    /// The examples of these rows.
    pub(super) examples: Vec<Example<'e>>,
    pub(super) manifest: Manifest,
    pub(super) rows: Vec<Row>,
    pub(super) ids: Option<TokenIds>,
}

/// A store that is being written.
pub(super) struct Begun {
    pub(super) writer: StoreWriter,
    pub(super) log: log::Log,
    pub(super) progress: Progress,
}

impl Extraction<'_> {
    pub(super) fn run_alone(
        &self,
        examples: &[Example<'_>],
        kind: RowKind,
        out: &Path,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        self.check(examples, kind)?;
        let mut planned = self.planned(examples, kind, observer)?;
        let examples = std::mem::take(&mut planned.examples);
        let mut begun = self.begin(planned, out, observer)?;
        let Begun { writer, log, progress } = &mut begun;
        let missing = writer.remaining().to_vec();
        if progress.goes_on(observer) && !missing.is_empty() {
            let batches = writer.manifest().batches.clone();
            let (llama, group_tokens) =
                self.load(0..self.checkpoint.config().n_layers, self.max_memory, observer)?;
            let runner = self.runner(&llama, group_tokens);
            let pipeline = self.pipeline(runner, (&examples, kind), &batches, group_tokens);
            let (progress, log) = (&*progress, &*log);
            let keep = |inbox: pipeline::Inbox<'_>| pipeline::commit(writer, &inbox, progress);
            let claims = missing.into_iter().map(|number| Ok(number.into()));
            pipeline.run(claims, None, keep, progress, observer, log)?;
        }
        begun.end()
    }

    /// The plan, with everything that the store will say about its rows.
    pub(super) fn planned<'e>(
        &self,
        examples: &[Example<'e>],
        kind: RowKind,
        observer: &mut dyn Observer,
    ) -> Result<Planned<'e>> {
        let with_all = self.rules.contains(&TokenRule::All);
        let whole = self.manifest(examples, kind, observer)?;
        let (mut manifest, examples) = match self.part {
            Some(part) => part.take(whole, examples)?,
            None => (whole, examples.to_vec()),
        };
        let ids = with_all.then(|| plan::token_ids(&examples, kind, self.tokenizer)).transpose()?;
        if let Some(ids) = &ids {
            manifest = manifest.with_tokens(ids)?;
        }
        let rows = plan::rows(&examples, self.tokenizer);
        Ok(Planned { examples, manifest, rows, ids })
    }

    /// Creates the store, or continues the one that is there.
    pub(super) fn begin(
        &self,
        planned: Planned<'_>,
        out: &Path,
        observer: &mut dyn Observer,
    ) -> Result<Begun> {
        let Planned { manifest, rows, ids, .. } = planned;
        observer.store(manifest.bytes());
        announce_check(out, &manifest, observer);
        let writer = StoreWriter::open_with(out, manifest, &rows, ids.as_ref(), Pace::default())?;
        writer.repairs().iter().for_each(|repair| observer.notice(repair));
        let (total, missing) = (rows.len(), rows_of(writer.remaining(), &writer.manifest().batches));
        let done = total - missing;
        let log = log::Log::new(out);
        log.write(
            "start",
            &json!({ "done": done, "rows": total, "model": host::files::in_json(self.checkpoint.path()) }),
        )?;
        if !writer.repairs().is_empty() {
            log.write("repairs", &json!({ "found": writer.repairs() }))?;
        }
        Ok(Begun { writer, log, progress: Progress::new(done, total) })
    }

    /// Refuses what cannot be extracted, before anything is computed or written.
    pub(super) fn check(&self, examples: &[Example<'_>], kind: RowKind) -> Result<()> {
        if examples.is_empty() {
            return Err(Error::NoPairs);
        }
        if let Some(rule) = self.rules.iter().find(|rule| rule.is_of_answers() && kind != RowKind::Pairs) {
            return Err(Error::NoAnswers { rule: *rule });
        }
        self.tokenizer.check_fits(self.checkpoint.config())?;
        self.hooks.check_blocks(self.checkpoint.config().n_layers)?;
        if let Some(hook) = self.hooks.iter().find(|p| !plan::storable(*p)) {
            return Err(Error::NotStorable { hook: hook.to_string() });
        }
        if let Some(stranger) =
            self.templates.iter().find(|t| examples.iter().all(|example| example.origin.template != t.name()))
        {
            let named = provenance::names(examples, |origin| origin.template);
            return Err(Error::TemplateOfNoPair { template: stranger.name().to_owned(), named });
        }
        self.edits.map(|edits| edits.hook(self.checkpoint.config(), self.device)).transpose()?;
        Ok(())
    }

    /// The plan, and what made it; reads the model's weights where their hash is not remembered.
    fn manifest(
        &self,
        examples: &[Example<'_>],
        kind: RowKind,
        observer: &mut dyn Observer,
    ) -> Result<Manifest> {
        let batches = plan::batches(examples, self.tokens_of_batch(), self.grouping());
        let columns = plan::columns(&self.hooks, &self.rules, self.checkpoint.config(), kind);
        let identity =
            self.checkpoint.identity(&self.identities, &mut |done, total| observer.hashing(done, total))?;
        let provenance = self.provenance(examples, kind, &identity)?;
        Ok(Manifest::new(self.store_dtype, columns, batches, provenance.into()).of(kind))
    }

    /// Some blocks of the model, or all, in no more memory than that; and the tokens that a pass over its weights is made for, 0 where they are in
    /// memory.
    pub(super) fn load(
        &self,
        blocks: Range<usize>,
        max_memory: Option<u64>,
        observer: &mut dyn Observer,
    ) -> Result<(Llama, usize)> {
        residency::load(
            self.checkpoint,
            (self.precision, self.kernels),
            self.device,
            max_memory,
            blocks,
            (self.tokens_of_batch(), self.bytes_kept()),
            observer,
        )
    }

    pub(super) fn runner<'r>(&'r self, llama: &'r Llama, group_tokens: usize) -> BatchRunner<'r> {
        BatchRunner {
            llama,
            hooks: &self.hooks,
            rules: &self.rules,
            edits: self.edits,
            sharing: self.grouping() != plan::Grouping::Prompts,
            // A pass over a model in memory is over soon.
            stop: self.stop.filter(|_| group_tokens > 0),
        }
    }

    pub(super) fn pipeline<'r>(
        &'r self,
        runner: BatchRunner<'r>,
        (examples, kind): (&'r [Example<'r>], RowKind),
        batches: &'r [Vec<usize>],
        group_tokens: usize,
    ) -> Pipeline<'r> {
        let (one_a_pass, stop) = (self.deterministic, self.stop);
        let (ahead, divides) = (pipeline::QUEUE, true);
        Pipeline { runner, examples, kind, batches, ahead, one_a_pass, divides, group_tokens, stop }
    }
}

impl Begun {
    /// Finishes the store, if every row is in it.
    pub(super) fn end(self) -> Result<Outcome> {
        let Self { writer, log, progress } = self;
        let (done, total) = (progress.done.load(Ordering::Acquire), progress.total);
        if done < total {
            drop(writer); // makes durable what was committed
            log.write("stopped", &json!({ "done": done, "rows": total }))?;
            return Ok(Outcome::Stopped { done, total });
        }
        let store = writer.finish()?;
        log.write("finished", &json!({ "rows": total }))?;
        Ok(Outcome::Finished(store))
    }
}

impl Progress {
    /// Tells the observer; whether it wants more.
    pub(super) fn goes_on(&self, observer: &mut dyn Observer) -> bool {
        observer.rows(self.done.load(Ordering::Acquire), self.total).is_continue()
    }
}

/// How many rows some batches have.
pub(super) fn rows_of(numbers: &[usize], batches: &[Vec<usize>]) -> usize {
    numbers.iter().map(|&number| batches[number].len()).sum()
}

/// Says that a store which is there is read before it is continued, where that takes a while.
fn announce_check(out: &Path, manifest: &Manifest, observer: &mut dyn Observer) {
    const NOTICED: u64 = 8 << 30;
    let Ok(status) = activations::Status::of(out) else { return };
    let share = status.rows_done as f64 / status.rows.max(1) as f64;
    let bytes = (manifest.bytes() as f64 * share) as u64;
    if bytes >= NOTICED {
        let gigabytes = bytes as f64 / 1e9;
        observer.notice(&format!("comparing {gigabytes:.0} GB of states that are there with the journal"));
    }
}

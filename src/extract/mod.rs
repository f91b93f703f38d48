//! Contrast pairs, or single statements, through a model into a store: planned before the first forward, committed a batch at a time,
//! continued where it stopped.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use activations::provenance::Chat;
use activations::{Store, StoreDtype};
use boolq::Template;
use llama_core::tch::Device;
use llama_core::{Checkpoint, Edits, HookPoint, HookSet, IdentityCache, Kernels, Precision, Tokenizer};
#[cfg(feature = "distributed")]
use torch_runtime::dist::Ranks;

#[cfg(feature = "distributed")]
use crate::error::Error;
use crate::error::Result;

#[cfg(feature = "distributed")]
mod among;
pub(crate) mod batch;
pub(crate) mod computing;
mod examples;
mod log;
mod observer;
mod part;
pub(crate) mod pipeline;
pub(crate) mod plan;
mod provenance;
pub(crate) mod residency;
mod run;
mod token_rule;

pub use computing::{computing, recorded_threads};
pub use examples::Examples;
pub use observer::Observer;
pub use part::PartOf;
pub use token_rule::TokenRule;

/// How an extraction ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Every row is in the store.
    Finished(Store),
    /// The observer stopped it. Running it again continues.
    Stopped {
        /// Rows that are in the store.
        done: usize,
        /// Rows there will be.
        total: usize,
    },
    /// This process computed for another one, which has the store ([`Extraction::among`]).
    #[cfg(feature = "distributed")]
    Helped {
        /// Rows that this process computed.
        rows: usize,
        /// Whether every row is in the store.
        finished: bool,
    },
}

/// What to extract from a model, and how.
#[derive(Clone, Debug)]
pub struct Extraction<'a> {
    checkpoint: &'a Checkpoint,
    tokenizer: &'a Tokenizer,
    hooks: HookSet,
    rules: Vec<TokenRule>,
    templates: Vec<&'a Template>,
    precision: Precision,
    kernels: Kernels,
    device: Device,
    store_dtype: StoreDtype,
    batch_tokens: Option<usize>,
    max_memory: Option<u64>,
    part: Option<PartOf>,
    sharing: bool,
    deterministic: bool,
    edits: Option<&'a Edits>,
    chat: Option<Chat>,
    note: Option<String>,
    data_notes: Vec<String>,
    stop: Option<&'a AtomicBool>,
    identities: IdentityCache,
    #[cfg(feature = "distributed")]
    ranks: Option<&'a Ranks>,
    #[cfg(feature = "distributed")]
    stages: Option<usize>,
    #[cfg(feature = "distributed")]
    tensor_parallel: Option<usize>,
}

impl<'a> Extraction<'a> {
    /// Most tokens of a batch on a CPU where nothing else is said and memory allows.
    pub const BATCH_TOKENS: usize = 2048;

    /// The residual stream at the last token of every prompt, at every layer, computed and stored in f32 on the CPU.
    pub fn new(checkpoint: &'a Checkpoint, tokenizer: &'a Tokenizer) -> Self {
        Self {
            checkpoint,
            tokenizer,
            hooks: HookSet::residual_stream(checkpoint.config().n_layers),
            rules: vec![TokenRule::Last],
            templates: Vec::new(),
            precision: Precision::F32,
            kernels: Kernels::default(),
            device: Device::Cpu,
            store_dtype: StoreDtype::F32,
            batch_tokens: None,
            max_memory: None,
            part: None,
            sharing: true,
            deterministic: false,
            edits: None,
            chat: None,
            note: None,
            data_notes: Vec::new(),
            stop: None,
            identities: IdentityCache::none(),
            #[cfg(feature = "distributed")]
            ranks: None,
            #[cfg(feature = "distributed")]
            stages: None,
            #[cfg(feature = "distributed")]
            tensor_parallel: None,
        }
    }

    /// Where models' identities are remembered; without this nowhere, and all weights are read and hashed before the first
    /// forward, so that a store that was begun with other weights is not continued.
    #[must_use]
    pub fn identities(mut self, cache: IdentityCache) -> Self {
        self.identities = cache;
        self
    }

    /// Stores these points instead.
    #[must_use]
    pub fn hooks(mut self, hooks: HookSet) -> Self {
        self.hooks = hooks;
        self
    }

    /// Stores the states at these tokens, all from one forward pass; each rule is a column of its own for every hook
    /// point. The order given does not matter.
    #[must_use]
    pub fn tokens(mut self, rules: impl IntoIterator<Item = TokenRule>) -> Self {
        self.rules = rules.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        self
    }

    /// Records a template that pairs were made with: its text and its two answers, for [`crate::predict()`] on other
    /// questions. Pairs themselves bear its name only.
    #[must_use]
    pub fn template(mut self, template: &'a Template) -> Self {
        self.templates.push(template);
        self
    }

    /// Records how the prompts were made chats ([`Chat::record`](crate::Chat::record)), for [`crate::predict()`] on other
    /// questions. Prompts themselves bear the template's hash only.
    #[must_use]
    pub fn chat(mut self, chat: Chat) -> Self {
        self.chat = Some(chat);
        self
    }

    /// What the model computes in; what is kept is f32 or f16 all the same.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// The kernels that compute it; without this, those that are everywhere. [`computing()`] finds faster ones.
    #[must_use]
    pub fn kernels(mut self, kernels: Kernels) -> Self {
        self.kernels = kernels;
        self
    }

    /// Where the model computes; a device from [`torch_runtime::open`].
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// What is kept: f32 loses nothing, f16 halves the store and refuses values it cannot hold.
    #[must_use]
    pub fn store_dtype(mut self, dtype: StoreDtype) -> Self {
        self.store_dtype = dtype;
        self
    }

    /// Most tokens of a batch, padding included; a batch has at least one pair, or statement. Prompts are sorted by length, so padding
    /// is small. Without this 2,048 on a CPU and 16,384 on a GPU, fewer for a model too large for that.
    #[must_use]
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = Some(tokens.max(1));
        self
    }

    /// Most memory to use on the device the model computes on, in bytes. A model that does not fit is read from disk block
    /// by block, once for many batches, which changes no number. Without this, what is free.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.max_memory = Some(bytes);
        self
    }

    /// Runs every pair (or statement) by itself, so that its states do not depend, in their last bits, on which pairs it is batched with:
    /// the same pair gives the same bytes in any selection and with any number of tokens a batch, on one machine with one
    /// number of threads and the same token rules. Costs some speed.
    #[must_use]
    pub fn deterministic(mut self, deterministic: bool) -> Self {
        self.deterministic = deterministic;
        self
    }

    /// Whether what the prompts of a question begin with in common is computed once (it is, unless this is `false`):
    /// the two sides of a pair, and templates that begin alike. The states are those of the prompts alone, up to
    /// rounding.
    #[must_use]
    pub fn sharing(mut self, sharing: bool) -> Self {
        self.sharing = sharing;
        self
    }

    /// Changes activations on the way; the edits are recorded in the manifest, and hooks see what they leave. Prompts
    /// share nothing then: a token that they share would be edited for all of them.
    #[must_use]
    pub fn edits(mut self, edits: &'a Edits) -> Self {
        self.edits = (!edits.is_empty()).then_some(edits);
        self
    }

    /// What shares a row of a batch's layout after all.
    fn grouping(&self) -> plan::Grouping {
        match (self.sharing && self.edits.is_none(), self.deterministic) {
            (true, false) => plan::Grouping::Questions,
            (true, true) => plan::Grouping::Examples,
            (false, _) => plan::Grouping::Prompts,
        }
    }

    /// Most tokens of a batch.
    fn tokens_of_batch(&self) -> usize {
        let chosen = || {
            residency::batch_tokens(self.checkpoint.config(), self.precision, self.device, self.max_memory)
        };
        self.batch_tokens.unwrap_or_else(|| residency::batch_tokens_kept(chosen(), self.bytes_kept()))
    }

    /// Bytes of states that are stored of each token: of all, or of so few that they do not count.
    fn bytes_kept(&self) -> u64 {
        let numbers = |point| HookPoint::shape(point, self.checkpoint.config(), 1, 1).iter().product::<i64>();
        let all = self.rules.contains(&TokenRule::All);
        if all { 4 * self.hooks.iter().map(numbers).sum::<i64>() as u64 } else { 0 }
    }

    /// Something readers of the store and of reports made from it should know about the model.
    #[must_use]
    pub fn note(mut self, note: &str) -> Self {
        self.note = Some(note.to_owned());
        self
    }

    /// Something that readers of the store and of reports made from it should know about the data: what
    /// [`Warning::is_about_groups`](boolq::Warning::is_about_groups) says of the pairs, for example. Each is kept once.
    #[must_use]
    pub fn data_note(mut self, note: impl Into<String>) -> Self {
        let note = note.into();
        if !self.data_notes.contains(&note) {
            self.data_notes.push(note);
        }
        self
    }

    /// Once true, no further batch is begun; a model that is read from disk is left between two blocks, and what was under
    /// way of its group is lost. The extraction ends as [`Outcome::Stopped`].
    #[must_use]
    pub fn stop(mut self, stop: &'a AtomicBool) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Computes one part of the plan alone, into a store of its own: [`activations::merge()`] makes those of all parts the
    /// store that one run would have written. For machines that do not see each other.
    #[must_use]
    pub fn part(mut self, part: PartOf) -> Self {
        self.part = Some(part);
        self
    }

    /// Divides the work among processes, each with the whole model or a stage of it: rank 0 writes the store, the others send it what they
    /// compute, and end as [`Outcome::Helped`]. The store's bytes are those of one process with as many threads as each of
    /// these has. Every process must make the same extraction, of the same examples; what differs is an error on all of
    /// them before anything is written.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use llama_ccs::torch_runtime::dist::{Launcher, World};
    /// use llama_ccs::{Extraction, Patience, Ranks};
    /// # let checkpoint = llama_ccs::llama_core::Checkpoint::open("llama-7b")?;
    /// # let tokenizer = checkpoint.tokenizer()?;
    /// # let pairs: Vec<llama_ccs::boolq::TokenizedPair> = Vec::new();
    ///
    /// // torchrun --no-python --nproc_per_node 2 this-program
    /// let Some(world) = World::from_env(Launcher::Environment)? else { return Ok(()) };
    /// let ranks = Ranks::join(&world, Patience::default(), |_| (), |lost| eprintln!("{lost}"))?;
    /// let outcome = Extraction::new(&checkpoint, &tokenizer).among(&ranks).run(&pairs, "store", &mut ())?;
    /// ranks.leave()?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "distributed")]
    #[must_use]
    pub fn among(mut self, ranks: &'a Ranks) -> Self {
        self.ranks = Some(ranks);
        self
    }

    /// How many processes hold a model together, each some of its blocks: pipeline stages, whose states have the same bytes.
    /// It divides the number of processes; the rest are replicas. Without this as few as hold the model in their memory.
    #[cfg(feature = "distributed")]
    #[must_use]
    pub fn stages(mut self, stages: usize) -> Self {
        self.stages = Some(stages);
        self
    }

    /// Has so many processes hold the model together, each some heads and columns of every block, and compute every batch
    /// together: all the processes there are. States differ in their last bits from those of one process, so the store
    /// records the number and is continued with no other. 1 is as without this.
    #[cfg(feature = "distributed")]
    #[must_use]
    pub fn tensor_parallel(mut self, ranks: usize) -> Self {
        self.tensor_parallel = (ranks > 1).then_some(ranks);
        self
    }

    /// How many processes hold the model together, where several do.
    fn recorded_tensor_parallel(&self) -> Option<u64> {
        #[cfg(feature = "distributed")]
        return self.tensor_parallel.map(|ranks| ranks as u64);
        #[cfg(not(feature = "distributed"))]
        None
    }

    /// Runs the model over pairs, or over single statements, and writes the store, or continues the one that an earlier run began. What that one
    /// holds is read and compared with its journal; damaged rows are named to the observer and computed again.
    ///
    /// The model's weights are read only if rows are missing or damaged.
    ///
    /// # Errors
    /// A tokenizer of another model, a hook that has no fixed shape, a token rule of answers for statements, a template
    /// that no example names, a store of another run, a state that is not finite, a full disk. What was written durably stays and can be continued.
    pub fn run<'e>(
        &self,
        examples: impl Into<Examples<'e>>,
        out: impl AsRef<Path>,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let examples: Examples<'e> = examples.into();
        let (rows, kind, out) = (examples.rows(), examples.kind(), out.as_ref());
        #[cfg(feature = "distributed")]
        if let Some(ranks) = self.ranks {
            return self.run_among(ranks, &rows, kind, out, observer);
        }
        #[cfg(feature = "distributed")]
        if let Some(wanted) = self.tensor_parallel {
            return Err(Error::TensorParallel { wanted, reason: "there is one process".to_owned() });
        }
        self.run_alone(&rows, kind, out, observer)
    }
}

//! `llama-ccs extract`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use host::files::in_json;
use host::program::Signals;
use llama_ccs::activations::{Column, StoreDtype};
use llama_ccs::boolq::prompts::Prompts;
use llama_ccs::boolq::{self, Template, TokenizedPair, TokenizedStatement};
use llama_ccs::llama_core::{
    Checkpoint, Edits, HookSet, IdentityCache, Kernels, Precision, Suited, Tokenizer,
};
use llama_ccs::torch_runtime::program::{Processes, RankArgs};
use llama_ccs::{
    Drift, Examples, Extraction, Outcome, PartOf, TokenRule, computing, drift, recorded_threads, tch,
    tokenize_all, tokenize_statements, torch_runtime,
};
use serde_json::json;

use super::chat::warn_of_another;
use super::values::{AnyError, at_least_one, kernels, precision, size, tokenizer};
use super::watch::Watch;
use super::{named, output, sidecar};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs extract --model llama-7b --prompts prompts.csv --out store
  llama-ccs extract --model llama-65b --prompts prompts.csv --out store --max-memory 20GiB
  llama-ccs extract --model llama-7b --prompts prompts.csv --out store --tokens last,mean
  llama-ccs extract --model m --prompts p.csv --out every-token --tokens all --store-dtype f16
  llama-ccs extract --model m --prompts p.csv --out s --hooks 'blocks.{8,16}.attn.hook_z' hook_embed
  llama-ccs extract --model m --prompts p.csv --out ablated --edits edits.json
  torchrun --no-python --nproc_per_node 2 llama-ccs extract --model m --prompts p.csv --out store --device cuda
  llama-ccs extract --model m --prompts p.csv --out store --ranks 2
  torchrun --no-python --nproc_per_node 2 llama-ccs extract --model llama-13b --prompts p.csv --out store --tp 2
  llama-ccs extract --model m --prompts p.csv --out part2 --part 2/4    # then: llama-ccs store merge

After a crash or an interruption, the same command continues where it stopped, and the store has the same bytes as \
without it. The first Ctrl-C stops after the current batch, a second one at once (exit code 130). SIGTERM stops after \
the current batch, too, but within ten seconds (143).

If the store has rows already, they are first compared with their checksums, also in a finished store. Damaged rows \
are named and computed again.

Example of edits.json; edits are applied in order (add, zero, scale, project_out, patch, mean_ablate, knock_out):
  { \"schema\": 1, \"edits\": [
    { \"points\": [\"blocks.9.hook_mlp_out\"], \"tokens\": \"last\", \"change\": \"zero\" },
    { \"points\": [\"blocks.{3,4}.attn.hook_z\"], \"change\": { \"knock_out\": { \"heads\": [0, 7] } } } ] }")]
pub(crate) struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub,
    /// ORG/NAME[@REVISION][:FILE], which is downloaded if it is not in the local cache.
    #[arg(long, value_name = "PATH|NAME")]
    model: PathBuf,
    /// The prompts, pairs or single statements, from `llama-ccs prompts` or from llama-ccs' own generate_dataset.
    #[arg(long, value_name = "CSV")]
    prompts: PathBuf,
    /// The store's folder: new, or one that this command began.
    #[arg(long, value_name = "STORE")]
    out: PathBuf,
    /// The tokenizer, if it is neither in the model's folder nor beside it.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Hook points to store, as names or globs (see `llama-ccs hooks`) [default: the residual stream at every layer].
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    hooks: Vec<String>,
    /// Tokens whose states are stored, separated by commas, each in columns of its own: last, first, mean (over all
    /// tokens), answer_mean (over the tokens of the answer), answer_last (the last token of the answer, for chats and other
    /// prompts that go on after it), all (every token's own state: as many times larger as prompts are long).
    #[arg(long, value_name = "RULES", value_delimiter = ',', default_value = "last")]
    tokens: Vec<TokenRule>,
    /// The template that the prompts were made with, for prompts that `llama-ccs prompts` did not write (it leaves its
    /// templates beside the prompts). The store records it, so that `llama-ccs predict` can write new questions with
    /// it.
    #[arg(long, value_name = "NAME|FILE")]
    template: Vec<String>,
    /// What the model computes in: f32, bf16, mixed (matrix products in bf16, residual stream in f32), or f64 (slow,
    /// for reference) [default: what the store was begun with; for a new one mixed, if the model is stored in less than
    /// f32 and bf16 is at least 1.3 times as fast here, else f32].
    #[arg(long, value_name = "TYPE", value_parser = precision)]
    dtype: Option<Precision>,
    /// The kernels of matrix products (plain, packed) and attention (fused, products), such as
    /// products=packed,attention=fused [default: the fastest, as measured once on this machine, or what the store was
    /// begun with]. Bytes are equal where kernels are.
    #[arg(long, value_name = "KERNELS", value_parser = kernels)]
    kernels: Option<Kernels>,
    /// What is stored: f32 loses nothing; f16 takes half the space and refuses values that it cannot hold.
    #[arg(long, value_name = "TYPE", value_enum, default_value = "f32")]
    store_dtype: StoreDtypeArg,
    /// Edits of activations during the forward pass, in a file such as the one below. The store records them.
    #[arg(long, value_name = "FILE")]
    edits: Option<PathBuf>,
    /// Compute every prompt in full. Otherwise, what the prompts of a question have in common at their beginning is
    /// computed once.
    #[arg(long)]
    no_sharing: bool,
    /// Compute each pair by itself, so that the last bits of its states do not depend on the other pairs: the same pair
    /// gives the same bytes in every selection. Slower.
    #[arg(long)]
    deterministic: bool,
    /// First run N pairs in f32 as well, and show how far each layer's states are from those in f32.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    compare_f32: Option<usize>,
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// The most tokens in a batch, padding included [default: 2048 on a CPU, 16384 on a GPU, fewer if memory is short].
    #[arg(long, value_name = "TOKENS", value_parser = at_least_one)]
    batch_tokens: Option<usize>,
    /// The most memory to use on the device, such as 4GiB. A model that does not fit is read from disk block by block,
    /// once for many batches, and gives the same states [default: what is free].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_memory: Option<u64>,
    /// How many threads a process computes with; the last bits of states depend on it [default: what the store was begun
    /// with; for a new one every core, shared among the processes of a host].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    threads: Option<usize>,
    /// Compute one part of the work, such as 2/4, into a store of its own, for machines that do not see each other.
    /// `llama-ccs store merge` makes the stores of all parts one.
    #[arg(long, value_name = "K/N")]
    part: Option<PartOf>,
    /// How many processes hold the model together, each some of its blocks (pipeline stages); the others are replicas
    /// [default: as few as have the memory].
    #[cfg(feature = "distributed")]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pp: Option<usize>,
    /// How many processes hold the model together, each some heads and columns of every block (tensor parallel): all that
    /// were started. The last bits of states depend on the number, which the store records.
    #[cfg(feature = "distributed")]
    #[arg(long, value_name = "N", value_parser = at_least_one, conflicts_with = "pp")]
    tp: Option<usize>,
    #[command(flatten)]
    ranks: RankArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StoreDtypeArg {
    F32,
    F16,
}

impl From<StoreDtypeArg> for StoreDtype {
    fn from(dtype: StoreDtypeArg) -> Self {
        match dtype {
            StoreDtypeArg::F32 => Self::F32,
            StoreDtypeArg::F16 => Self::F16,
        }
    }
}

impl Args {
    pub(crate) fn run(&self, json: bool, signals: &Signals) -> Result<ExitCode, AnyError> {
        self.ranks.run(signals, |processes| self.extract(json, signals, processes))
    }

    fn extract(&self, json: bool, signals: &Signals, processes: &Processes) -> Result<ExitCode, AnyError> {
        let device = torch_runtime::open(&processes.device(&self.device))?;
        let edits = self.edits.as_ref().map(Edits::load).transpose()?;
        let sidecar::Made { templates, notes, chat } = self.made()?;
        let checkpoint = Checkpoint::open(named::model(&self.model)?)?;
        let tokenizer = tokenizer(self.tokenizer.as_ref(), Some(&checkpoint))?;
        let cache = IdentityCache::of_user();
        let threads = processes.decided("threads", || Ok(self.threads(processes)))?;
        set_threads(threads);
        let suited = processes.decided("precision and kernels", || {
            Ok(computing(&checkpoint, &self.out, device, (self.dtype, self.kernels), &cache)?)
        })?;
        let dtype = suited.precision;
        let mut extraction = self
            .extraction(Extraction::new(&checkpoint, &tokenizer), checkpoint.config().n_layers)?
            .precision(dtype)
            .kernels(suited.kernels)
            .device(device)
            .stop(signals.stop());
        #[cfg(feature = "distributed")]
        if let Some(ranks) = processes.ranks() {
            extraction = extraction.among(ranks);
        }
        if let Some(edits) = &edits {
            extraction = extraction.edits(edits);
        }
        extraction = templates.iter().fold(extraction, Extraction::template);
        let chat_name = chat.as_ref().and_then(|chat| chat.name.clone());
        if let Some(chat) = chat {
            extraction = extraction.chat(chat);
        }
        let (prompts, found) = self.read(&tokenizer, chat_name.as_deref(), processes.is_first())?;
        extraction = notes.into_iter().chain(found).fold(extraction, Extraction::data_note);
        let examples = prompts.examples();

        let drift = if processes.is_first() {
            self.drift(&checkpoint, examples, (dtype, suited.kernels), device)?
        } else {
            Vec::new()
        };
        if !json {
            show_drift(&drift, dtype)?;
        }
        let bar = processes.is_first().then(|| output::progress(examples.len(), "extracting"));
        let mut watch = Watch::new(bar, signals, processes);
        watch.say(&format!("computing in {suited}{}", threads_shown(threads)));
        let outcome = extraction.run(examples, &self.out, &mut watch);
        watch.clear();
        let outcome = outcome?;
        if processes.is_first() {
            self.report(&outcome, examples, (watch.bytes(), &suited), &drift, json)?;
        }
        Ok(match outcome {
            Outcome::Finished(_) => ExitCode::SUCCESS,
            #[cfg(feature = "distributed")]
            Outcome::Helped { finished: true, .. } => ExitCode::SUCCESS,
            _ => ExitCode::from(signals.exit_code()),
        })
    }

    /// The prompts, and what a report should say of their groups; the first process warns of the rest.
    fn read(
        &self,
        tokenizer: &Tokenizer,
        chat: Option<&str>,
        warns: bool,
    ) -> Result<(Tokenized, Vec<String>), AnyError> {
        let (prompts, warnings) = Tokenized::read(&self.prompts, tokenizer)?;
        if warns {
            warnings.iter().for_each(output::warn);
            warn_of_another(prompts.chat(), chat, tokenizer);
        }
        let of_groups = warnings.iter().filter(|warning| warning.is_about_groups());
        Ok((prompts, of_groups.map(ToString::to_string).collect()))
    }

    /// What the prompts were made with: the templates given, otherwise those beside the prompts.
    fn made(&self) -> Result<sidecar::Made, AnyError> {
        let templates = Template::resolve_all(&self.template)?;
        if templates.is_empty() {
            return sidecar::load(&self.prompts);
        }
        // What is beside them is not needed then.
        let made = sidecar::load(&self.prompts).unwrap_or_default();
        Ok(sidecar::Made { templates, ..made })
    }

    /// How far the first examples' states are from those in f32, if that is asked for.
    fn drift(
        &self,
        checkpoint: &Checkpoint,
        examples: Examples<'_>,
        computing: (Precision, Kernels),
        device: tch::Device,
    ) -> Result<Vec<Drift>, AnyError> {
        let compare = |n| drift(checkpoint, examples.first(n), computing, device);
        Ok(self.compare_f32.map(compare).transpose()?.unwrap_or_default())
    }

    /// What a store was begun with comes before what is usual.
    fn threads(&self, processes: &Processes) -> Option<usize> {
        self.threads.or_else(|| recorded_threads(&self.out)).or_else(|| processes.threads())
    }

    /// What the flags say of an extraction, but for what has to be opened first.
    fn extraction<'a>(
        &self,
        extraction: Extraction<'a>,
        n_layers: usize,
    ) -> Result<Extraction<'a>, AnyError> {
        let mut extraction = extraction
            .deterministic(self.deterministic)
            .sharing(!self.no_sharing)
            .identities(IdentityCache::of_user())
            .tokens(self.tokens.iter().copied())
            .store_dtype(self.store_dtype.into());
        if let Some(tokens) = self.batch_tokens {
            extraction = extraction.batch_tokens(tokens);
        }
        if let Some(bytes) = self.max_memory {
            extraction = extraction.max_memory(bytes);
        }
        #[cfg(feature = "distributed")]
        if let Some(stages) = self.pp {
            extraction = extraction.stages(stages);
        }
        #[cfg(feature = "distributed")]
        if let Some(ranks) = self.tp {
            extraction = extraction.tensor_parallel(ranks);
        }
        if let Some(part) = self.part {
            extraction = extraction.part(part);
        }
        if !self.hooks.is_empty() {
            extraction = extraction.hooks(HookSet::parse(&self.hooks, n_layers)?);
        }
        Ok(extraction)
    }

    /// Says how it ended.
    fn report(
        &self,
        outcome: &Outcome,
        examples: Examples<'_>,
        (bytes, suited): (Option<u64>, &Suited),
        drift: &[Drift],
        json: bool,
    ) -> Result<(), AnyError> {
        let kind = examples.kind();
        let (done, total, columns) = match outcome {
            Outcome::Finished(store) => {
                let rows = store.manifest().rows;
                (rows, rows, store.manifest().columns.iter().map(Column::name).collect())
            }
            Outcome::Stopped { done, total } => (*done, *total, Vec::new()),
            _ => (0, examples.len(), Vec::new()),
        };
        let finished = matches!(outcome, Outcome::Finished(_));
        if json {
            output::json(
                &json!({ "out": in_json(&self.out), "rows": total, "done": done, "bytes": bytes, "precision": suited.precision, "kernels": suited.kernels.to_string(), "finished": finished, "columns": columns, "drift": drift }),
            )?;
        } else if finished {
            output::say(&format!("{total} {kind} in {}", self.out.display()));
        }
        if !finished {
            let out = self.out.display();
            output::warn(&format!(
                "interrupted: {done} of {total} {kind} are in {out}; the same command continues"
            ));
        }
        Ok(())
    }
}

fn show_drift(drift: &[Drift], dtype: Precision) -> Result<(), AnyError> {
    if drift.is_empty() {
        return Ok(());
    }
    output::page(&format!("layer  largest difference    relative ({dtype} against f32)"))?;
    for Drift { layer, largest, relative } in drift {
        output::page(&format!("{layer:>5}  {largest:>18.2e}  {relative:>10.2e}"))?;
    }
    Ok(())
}

/// Has LibTorch compute with so many threads from now on.
pub(super) fn set_threads(threads: Option<usize>) {
    if let Some(threads) = threads.and_then(|threads| i32::try_from(threads).ok()) {
        tch::set_num_threads(threads);
    }
}

fn threads_shown(threads: Option<usize>) -> String {
    match threads {
        Some(1) => ", by one thread a process".to_owned(),
        Some(threads) => format!(", by {threads} threads a process"),
        None => String::new(),
    }
}

/// What the prompts file holds, tokenized.
enum Tokenized {
    Pairs(Vec<TokenizedPair>),
    Statements(Vec<TokenizedStatement>),
}

impl Tokenized {
    /// Reads a prompts file, with what there is to say of it.
    fn read(path: &Path, tokenizer: &Tokenizer) -> Result<(Self, Vec<boolq::Warning>), AnyError> {
        Ok(match boolq::prompts::read_any(path)? {
            Prompts::Pairs(read) => (Self::Pairs(tokenize_all(read.pairs, tokenizer)?), read.warnings),
            Prompts::Statements(read) => {
                (Self::Statements(tokenize_statements(read.statements, tokenizer)?), read.warnings)
            }
        })
    }

    /// The hash of the chat template that rendered them, if one did.
    fn chat(&self) -> Option<&str> {
        match self {
            Self::Pairs(pairs) => pairs.first()?.pair.chat.as_deref(),
            Self::Statements(statements) => statements.first()?.statement.chat.as_deref(),
        }
    }

    fn examples(&self) -> Examples<'_> {
        match self {
            Self::Pairs(pairs) => pairs.into(),
            Self::Statements(statements) => statements.into(),
        }
    }
}

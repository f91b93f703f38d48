//! The whole job: questions → contrast pairs → hidden states of a LLaMA → how well CCS and logistic regression read
//! truth out of each layer.
//!
//! ```text
//! cargo run --release --example boolq_7b                      # the built-in teaching model and its questions
//! cargo run --release --example boolq_7b -- --model llama-7b --data boolq/dev.jsonl --limit 1000 --dtype bf16
//! cargo run --release --example boolq_7b -- --model HuggingFaceTB/SmolLM2-135M-Instruct --data google/boolq:validation
//! ```
//!
//! Interrupted, the same command continues: the store and the run keep what was computed.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Parser;
use host::program::{self, Bar, Errors, Program};
use llama_ccs::boolq::{self, DatasetOptions, Selection, Template, TokenizedPair};
use llama_ccs::ccs_report::Report;
use llama_ccs::ccs_trainer::StoreSource;
use llama_ccs::ccs_trainer::{
    Compute, Event, Fit, LayerSelection, NewRunDir, Outcome as FitOutcome, Overwrite, RunControl, Settings,
    Source,
};
use llama_ccs::llama_core::tch::Device;
use llama_ccs::llama_core::{Checkpoint, IdentityCache, Precision, Tokenizer};
use llama_ccs::{Extraction, Observer, Outcome, PairTokenizer, computing, torch_runtime};

/// Runs BoolQ contrast pairs through a LLaMA, stores its hidden states, and fits CCS with its controls on every layer.
#[derive(Parser)]
struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub, ORG/NAME
    /// [default: the built-in teaching model].
    #[arg(long, value_name = "PATH|NAME", requires = "data")]
    model: Option<PathBuf>,
    /// The model's tokenizer, if it did not come with it.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// BoolQ's JSONL, or CSV or Parquet; or a data set on the Hugging Face hub, ORG/NAME[/CONFIG][:SPLIT] [default: the
    /// built-in questions].
    #[arg(long, value_name = "FILE|NAME")]
    data: Option<PathBuf>,
    /// How questions are asked: llama-ccs, a Jinja file, or a promptsource YAML file (FILE.yaml or FILE.yaml:NAME). Can
    /// be given several times.
    #[arg(long, value_name = "NAME|FILE", default_value = "llama-ccs")]
    template: Vec<String>,
    /// The most questions to use.
    #[arg(long)]
    limit: Option<usize>,
    /// The folder for prompts.csv, store/, and run/. If it holds a run with the same settings, that is continued.
    #[arg(long, value_name = "DIR", default_value = "out/boolq_7b")]
    out: PathBuf,
    /// Layers to fit, such as 0,16-32; 0 is the embedding.
    #[arg(long, default_value = "all")]
    layers: String,
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What the model computes in: f32, bf16, or mixed [default: mixed for a model stored in less than f32 where bf16 is
    /// faster, else f32].
    #[arg(long)]
    dtype: Option<Precision>,
    /// Seed of the split, the random starts, and the random directions.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

type AnyError = Box<dyn std::error::Error>;

const QUIZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/quiz");
const TEACHING_MODEL: &str = "a teaching model of under a million parameters, trained by examples/train_quiz_llama.rs on \
     generated texts that go on to say whether the given answer was right; it shows the method, not what large \
     models know";

fn main() -> std::process::ExitCode {
    Program::new(Errors::new().hints_of_any(llama_ccs::hint).hints(hub::Error::hint).flags::<Args>())
        .run(|args: Args, _| job(&args))
}

fn job(args: &Args) -> Result<(), AnyError> {
    let layers: LayerSelection = args.layers.parse()?;
    let device = torch_runtime::open(&args.device)?;
    let model = match &args.model {
        Some(given) => hub::program::model(given)?,
        None => Path::new(QUIZ).join("model"),
    };
    let checkpoint = Checkpoint::open(&model)?;
    let tokenizer = match &args.tokenizer {
        Some(path) => Tokenizer::open(path)?,
        None => checkpoint.tokenizer()?,
    };
    if args.model.is_none() {
        program::note(&format!("no --model: this is {TEACHING_MODEL}."));
    }

    let templates = Template::resolve_all(&args.template)?;
    let (pairs, notes) = pairs(args, &templates, &tokenizer)?;
    let store = args.out.join("store");
    let cache = IdentityCache::of_user();
    let suited = computing(&checkpoint, &store, device, (args.dtype, None), &cache)?;
    let mut extraction = Extraction::new(&checkpoint, &tokenizer).device(device).identities(cache);
    extraction = extraction.precision(suited.precision).kernels(suited.kernels);
    program::note(&format!("computing in {suited}"));
    extraction = templates.iter().fold(extraction, Extraction::template); // for `llama-ccs predict`
    if args.model.is_none() {
        extraction = extraction.note(TEACHING_MODEL);
    }
    extraction = notes.into_iter().fold(extraction, Extraction::data_note);
    extract(&extraction, &pairs, &store)?;
    // Not before: a store of other prompts refuses to be continued, and keeps its own file beside it.
    boolq::prompts::write(args.out.join("prompts.csv"), pairs.iter().map(|p| &p.pair))?;
    let report = fit(args, layers, device, &store)?;
    program::page(&format!("{}\nreport: {}", report.summary(), args.out.join("run/report.html").display()))?;
    Ok(())
}

/// Questions → contrast pairs that fit the model, and what reports should say of their groups.
fn pairs(
    args: &Args,
    templates: &[Template],
    tokenizer: &Tokenizer,
) -> Result<(Vec<TokenizedPair>, Vec<String>), AnyError> {
    let options = DatasetOptions::new().for_templates(templates);
    let data = match &args.data {
        Some(given) => {
            let file = hub::program::data(given)?;
            let mut data = options.load(&file)?;
            if file != *given {
                // The file of a name is called 0000.parquet, whatever is in it.
                data.name = given.display().to_string();
            }
            data
        }
        None => options.load(Path::new(QUIZ).join("questions.jsonl"))?,
    };
    let made = boolq::pairs_with(&data, templates)?;
    let selection = Selection { limit: args.limit, ..Selection::default() };
    let selected = boolq::select(&made.pairs, &PairTokenizer(tokenizer), &selection)?;
    for warning in [&data.warnings, &made.warnings, &selected.warnings].into_iter().flatten() {
        program::warn(warning);
    }
    let (kept, dropped) = (selected.examples.len(), selected.dropped.len());
    program::note(&format!("{kept} pairs from {}, {dropped} dropped", data.name));
    let notes = made.warnings.iter().filter(|warning| warning.is_about_groups()).map(ToString::to_string);
    Ok((selected.examples, notes.collect()))
}

/// Pairs → hidden states of every layer at the answer, on disk.
fn extract(extraction: &Extraction<'_>, pairs: &[TokenizedPair], store: &Path) -> Result<(), AnyError> {
    let mut bar =
        Progress(Bar::new(pairs.len(), "{bar:32} {pos}/{len} pairs extracted  {per_sec}  {eta} left"));
    let outcome = extraction.run(pairs, store, &mut bar)?;
    bar.0.clear();
    match outcome {
        Outcome::Finished(_) => Ok(()),
        Outcome::Stopped { done, total } => Err(format!("stopped after {done} of {total} pairs").into()),
        _ => Err("another process has the store".into()),
    }
}

/// Hidden states → probes, controls, report.
fn fit(args: &Args, layers: LayerSelection, device: Device, store: &Path) -> Result<Report, AnyError> {
    let source = StoreSource::open(store)?;
    let settings = Settings { layers, seed: args.seed, ..Settings::default() };
    let bar = Bar::new(
        settings.layers.of(source.layers(), &source.describe())?.len(),
        "{bar:32} {pos}/{len} layers fitted",
    );
    let observe = |event: Event<'_>| {
        if let Event::Layer { .. } = event {
            bar.step();
        }
    };
    let control = RunControl { observer: Some(&observe), ..RunControl::default() };
    let compute = Compute { device, ..Compute::default() };
    let out = NewRunDir::reserve(args.out.join("run"), Overwrite::Yes)?;
    // Killed, it goes on from the last finished layer.
    let outcome = Fit::new(&source).settings(settings).compute(compute).control(control).run_to(out)?;
    bar.clear();
    match outcome {
        FitOutcome::Finished(run) => Ok(run.report),
        FitOutcome::Stopped { done, layers, .. } => {
            Err(format!("stopped after {done} of {layers} layers").into())
        }
    }
}

struct Progress(Bar);

impl Observer for Progress {
    fn rows(&mut self, done: usize, _total: usize) -> ControlFlow<()> {
        self.0.set(done);
        ControlFlow::Continue(())
    }

    fn notice(&mut self, text: &str) {
        self.0.warn(text);
    }
}

//! Steering: does a direction that a probe found do anything in the model, or does it only happen to be readable?
//!
//! A probe (CCS by default) is fitted on the hidden states of contrast pairs; then its direction, times a scale, is added
//! to the residual stream while the model reads other questions, and the model is asked what it thinks. A random
//! direction of the same length does the same beside it: what a direction does means nothing without that.
//!
//! ```text
//! cargo run --release --example steer                              # the built-in teaching model: about ten seconds
//! cargo run --release --example steer -- --method lr --layer 3     # another probe, another layer
//! cargo run --release --example steer -- --model llama-7b --data boolq/dev.jsonl --run out/boolq_7b/run --at before
//! ccs export out/run --format edits --out truth.json               # a direction as a file
//! cargo run --release --example steer -- --run out/run --direction truth.json
//! ```
//!
//! Three choices decide whether this works:
//!
//! - **The length.** A probe lives in normalized space: it reads w·(x − μ)/σ. A step of 1 here is one standard deviation
//!   of the states along w *there*, brought back by multiplying with σ. (Dividing by σ instead, which gives the probe's
//!   gradient, steps along dimensions in which states hardly differ, and the model hardly notices.)
//! - **The token.** The two prompts of a pair are the same up to the answer, so what tells them apart, and what the probe
//!   found, is at the answer: `--at answer` steers there and asks for the word that follows, "right" or "wrong" in the
//!   teaching model. `--at before` steers at the token before the answer and asks for the answer. In the teaching
//!   model that does nothing, and should not: at that token nothing has been claimed that could be true.
//! - **The layer.** The one that the run chose, unless `--layer` says otherwise.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use host::program::{self, Errors, Hinted, Program};
use llama_ccs::boolq::{self, Dataset, Selection, TokenizedPair};
use llama_ccs::ccs::Probe;
use llama_ccs::ccs_report::Method;
use llama_ccs::ccs_trainer::StoreSource;
use llama_ccs::ccs_trainer::{Compute, Fit, Fitted, LayerSelection, NewRunDir, Overwrite, Settings};
use llama_ccs::llama_core::tch::{self, Device, Kind, Tensor};
use llama_ccs::llama_core::{
    Batch, Capture, Change, Checkpoint, Edit, Edits, Forward, HookPoint, IdentityCache, Llama, Precision,
    Tokenizer, Tokens,
};
use llama_ccs::{Extraction, Origin, PairTokenizer, torch_runtime};

/// Adds a probe's direction to a model's residual stream, and shows how its answers change.
#[derive(Parser)]
struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub, ORG/NAME
    /// [default: the built-in teaching model].
    #[arg(long, value_name = "PATH|NAME", requires = "data")]
    model: Option<PathBuf>,
    /// Questions, as for `boolq_7b` [default: the built-in ones].
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// A run with probes of this model [default: probes are fitted on the first questions].
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// A direction to add instead of the probe's own: a file of edits with one `add` at the probe's layer, as `ccs
    /// export --format edits` writes it. Its length is kept.
    #[arg(long, value_name = "FILE")]
    direction: Option<PathBuf>,
    /// The folder for the store and the run that are made without --run.
    #[arg(long, value_name = "DIR", default_value = "out/steer")]
    out: PathBuf,
    /// The probe: ccs or lr.
    #[arg(long, default_value = "ccs")]
    method: String,
    /// The layer to steer, with that layer's probe [default: the one that the run chose].
    #[arg(long)]
    layer: Option<usize>,
    /// The token to steer at; the model's next word is what is evaluated.
    #[arg(long, default_value = "answer")]
    at: Place,
    /// With --at answer, the two words that may follow: one for right, one for wrong.
    #[arg(long, value_delimiter = ',', num_args = 2, default_value = "right,wrong")]
    words: Vec<String>,
    /// Questions to fit probes on.
    #[arg(long, default_value_t = 200)]
    limit: usize,
    /// Questions to ask, about passages that no probe was trained on.
    #[arg(long, default_value_t = 20)]
    questions: usize,
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What the model computes in: f32, bf16, or mixed.
    #[arg(long, default_value = "f32")]
    dtype: Precision,
    /// Seed of the probes and the random directions.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Place {
    /// At the answer, asking whether it was right.
    Answer,
    /// At the token before the answer, asking for the answer.
    Before,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const QUIZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/quiz");
const SCALES: [f64; 9] = [-8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0];
/// Random directions to average over.
const CONTROLS: usize = 5;

fn main() -> std::process::ExitCode {
    Program::new(Errors::new().hints_of_any(llama_ccs::hint).hints(hub::Error::hint).flags::<Args>()).run(
        |args: Args, _| {
            let found = job(&args)?;
            Ok(program::page(found.table().trim_end())?)
        },
    )
}

fn job(args: &Args) -> Result<Effect> {
    let device = torch_runtime::open(&args.device)?;
    let model = args.model.as_deref().map(hub::program::model).transpose()?;
    let checkpoint = Checkpoint::open(model.unwrap_or_else(|| Path::new(QUIZ).join("model")))?;
    let tokenizer = checkpoint.tokenizer()?;
    let pairs = pairs(args, &tokenizer)?;
    let (first, rest) = pairs.split_at(args.limit.min(pairs.len()));
    let folder = match &args.run {
        Some(folder) => folder.clone(),
        None => fit(args, &checkpoint, &tokenizer, device, first)?,
    };
    let method = llama_ccs::ccs_trainer::method::parse(&args.method)?;
    let Fitted { layer, tokens, probe, train_groups, .. } =
        &fitted_on(&folder, method, args.layer, &checkpoint)?;
    let layer = *layer;
    if tokens != "last" {
        return Err(
            format!("the probe reads the tokens `{tokens}`, and what is steered is the last one").into()
        );
    }
    // Questions about passages that the probe was not trained on.
    let unseen = |p: &&TokenizedPair| !train_groups.contains(&p.pair.group);
    let asked: Vec<TokenizedPair> = rest.iter().filter(unseen).cloned().collect();

    let llama = Llama::load(&checkpoint, args.dtype, device)?;
    let found = match &args.direction {
        Some(file) => read(file, layer)?,
        None => direction(&llama, probe, layer, first)?,
    };
    let asked = Asked::new(args, &tokenizer, &asked)?;
    let along = asked.sweep(&llama, layer, &found)?;
    tch::manual_seed(args.seed as i64);
    let mut controls = Vec::with_capacity(CONTROLS);
    for _ in 0..CONTROLS {
        controls.push(asked.sweep(&llama, layer, &random(probe, &found)?)?);
    }
    Ok(Effect { layer, method, words: asked.names, rows: asked.rows, along, controls })
}

/// What tells the model from others.
fn identity(checkpoint: &Checkpoint) -> Result<String> {
    Ok(checkpoint.identity(&IdentityCache::of_user(), &mut |_, _| {})?)
}

/// A run's probe, if it was fitted on this model.
fn fitted_on(folder: &Path, method: Method, layer: Option<usize>, checkpoint: &Checkpoint) -> Result<Fitted> {
    let fitted = Fitted::open(folder, method, layer)?;
    match Origin::of(&fitted).model {
        Some(other) if other != identity(checkpoint)? => {
            let hint = "give that with --model, or leave out --run";
            Err(Hinted::new("the run is of another model", hint).into())
        }
        _ => Ok(fitted),
    }
}

/// Questions → contrast pairs that fit the model: those to fit on, then those to ask.
fn pairs(args: &Args, tokenizer: &Tokenizer) -> Result<Vec<TokenizedPair>> {
    let data = Dataset::load(
        args.data
            .as_deref()
            .map(hub::program::data)
            .transpose()?
            .unwrap_or_else(|| Path::new(QUIZ).join("questions.jsonl")),
    )?;
    let made = boolq::pairs(&data, &boolq::Template::named("llama-ccs")?)?;
    let selection = Selection { limit: Some(args.limit + args.questions), ..Selection::default() };
    let selected = boolq::select(&made.pairs, &PairTokenizer(tokenizer), &selection)?.examples;
    if selected.len() <= args.limit {
        return Err(format!(
            "{} questions, and {} are to be fitted on; lower --limit",
            selected.len(),
            args.limit
        )
        .into());
    }
    Ok(selected)
}

/// Probes of every layer, fitted on these pairs, in a run folder.
fn fit(
    args: &Args,
    checkpoint: &Checkpoint,
    tokenizer: &Tokenizer,
    device: Device,
    pairs: &[TokenizedPair],
) -> Result<PathBuf> {
    // A store of other settings is not continued: each has a folder of its own.
    let name = format!("{}-{}-{}", pairs.len(), args.dtype, &identity(checkpoint)?[..8]);
    let (store, folder) = (args.out.join(&name).join("store"), args.out.join(&name).join("run"));
    program::note(&format!("fitting probes on {} questions …", pairs.len()));
    let extraction = Extraction::new(checkpoint, tokenizer).precision(args.dtype).device(device);
    extraction.identities(IdentityCache::of_user()).run(pairs, &store, &mut ())?;
    let methods = Some(vec![Method::CCS, Method::LR]);
    let settings = Settings { methods, layers: LayerSelection::All, seed: args.seed, ..Settings::default() };
    let out = NewRunDir::reserve(&folder, Overwrite::Yes)?;
    let source = StoreSource::open(&store)?;
    let compute = Compute { device, ..Compute::default() };
    Fit::new(&source).settings(settings).compute(compute).run_to(out)?;
    Ok(folder)
}

/// A probe's direction as something to add to the residual stream: one standard deviation of the states along it,
/// pointing to where what is claimed is true. \[D\]
fn direction(llama: &Llama, probe: &Probe, layer: usize, pairs: &[TokenizedPair]) -> Result<Tensor> {
    let point = HookPoint::of_layer(layer);
    let weight = probe.weight().f_to_kind(Kind::Double)?.f_mul_scalar(f64::from(i8::from(probe.sign())))?;
    let unit = weight.f_div(&weight.f_norm()?)?; // [D]
    let mut along = Vec::new();
    let sides = [&probe.normalizer().plus, &probe.normalizer().minus];
    for chunk in pairs[..pairs.len().min(64)].chunks(16) {
        let plus: Vec<_> = chunk.iter().map(|pair| &pair.plus.ids[..]).collect();
        let minus: Vec<_> = chunk.iter().map(|pair| &pair.minus.ids[..]).collect();
        for (prompts, side) in [plus, minus].iter().zip(sides) {
            let mut capture = Capture::new(point, Tokens::Last).kind(Kind::Double).device(Device::Cpu);
            llama.forward(&Batch::new(prompts)?, Forward::new().hook(&mut capture))?;
            let states = capture.finish().take(point).ok_or("not captured")?; // [N, D]
            along.push(states.f_sub(&side.mean)?.f_div(&side.std)?.f_mv(&unit)?); // [N]
        }
    }
    let spread = Tensor::f_cat(&along, 0)?.f_std(true)?;
    Ok(unit.f_mul(&sigma(probe)?)?.f_mul(&spread)?)
}

/// A direction from a file of edits. \[D\]
fn read(file: &Path, layer: usize) -> Result<Tensor> {
    let (edits, point) = (Edits::load(file)?, HookPoint::of_layer(layer).to_string());
    let mut all = edits.iter();
    match (all.next(), all.next()) {
        (Some(Edit { points, change: Change::Add { direction, scale }, .. }), None)
            if *points == [point.clone()] =>
        {
            let direction = direction.tensor(Device::Cpu)?.ok_or("the tensor was not read")?;
            Ok(direction.f_to_kind(Kind::Double)?.f_mul_scalar(*scale)?)
        }
        _ => Err(format!(
            "{} is not one `add` at {point}\nhint: give the layer it is for with --layer",
            file.display()
        )
        .into()),
    }
}

/// The spread of each dimension, the mean of both sides'. \[D\]
fn sigma(probe: &Probe) -> Result<Tensor> {
    Ok(probe.normalizer().plus.std.f_add(&probe.normalizer().minus.std)?.f_mul_scalar(0.5)?)
}

/// A random direction among those that states vary in, as long as `found`. \[D\]
fn random(probe: &Probe, found: &Tensor) -> Result<Tensor> {
    let drawn = found.f_randn_like()?.f_mul(&sigma(probe)?)?;
    Ok(drawn.f_div(&drawn.f_norm()?)?.f_mul(&found.f_norm()?)?)
}

/// What the model is asked: prompts, and two words that may come next.
struct Asked {
    prompts: Vec<Vec<u32>>,
    rows: Vec<Row>,
    words: [i64; 2],
    names: [String; 2],
}

/// One prompt of the table.
struct Row {
    /// The question and, if one is given, the answer.
    text: String,
    /// Whether the first word is the right one.
    first: bool,
}

impl Asked {
    fn new(args: &Args, tokenizer: &Tokenizer, pairs: &[TokenizedPair]) -> Result<Self> {
        let (mut prompts, mut rows) = (Vec::new(), Vec::new());
        for TokenizedPair { pair, plus, minus, .. } in pairs {
            let question = pair.plus_prompt.split("question: ").last().unwrap_or_default();
            let question = question.lines().next().unwrap_or_default();
            if args.at == Place::Before {
                prompts.push(plus.ids[..plus.answer.start].to_vec());
                rows.push(Row { text: question.to_owned(), first: pair.label });
                continue;
            }
            for (side, says) in [(plus, true), (minus, false)] {
                let answer = tokenizer.decode(&side.ids[side.answer.clone()])?;
                prompts.push(side.ids.clone());
                rows.push(Row { text: format!("{question} {answer}"), first: says == pair.label });
            }
        }
        let first = &pairs[0];
        let next = |text: &str, after: usize| -> Result<i64> {
            Ok(i64::from(*tokenizer.ids(text)?.get(after).ok_or("a word without a token")?))
        };
        let (words, names) = if args.at == Place::Before {
            let (plus, minus) = (&first.plus, &first.minus);
            let ids = [plus.ids[plus.answer.start], minus.ids[minus.answer.start]];
            (ids.map(i64::from), ids.map(|id| tokenizer.piece(id).to_owned()))
        } else {
            let (prompt, length) = (&first.pair.plus_prompt, first.plus.ids.len());
            let id = |word: &str| next(&format!("{prompt} {word}"), length);
            ([id(&args.words[0])?, id(&args.words[1])?], [args.words[0].clone(), args.words[1].clone()])
        };
        Ok(Self { prompts, rows, words, names })
    }

    /// For each prompt and scale, the probability of the first word against the second.
    fn sweep(&self, llama: &Llama, layer: usize, direction: &Tensor) -> Result<Vec<Vec<f64>>> {
        let batch = Batch::new(&self.prompts)?;
        let mut by_scale = Vec::new();
        for scale in SCALES {
            let steer = Edit::new(HookPoint::of_layer(layer), Tokens::Last, Change::add(direction, scale)?);
            let mut hook = Edits::from(steer).hook(llama.config(), llama.device())?;
            let output = llama.forward(&batch, Forward::new().hook(&mut hook).logits(Tokens::Last))?;
            let words = Tensor::f_from_slice(&self.words)?.f_to_device(llama.device())?;
            let both = output.logits.ok_or("no logits")?.f_index_select(1, &words)?; // [N, 2]
            let first = both.f_softmax(-1, Kind::Double)?.f_select(1, 0)?.f_to_device(Device::Cpu)?;
            by_scale.push(Vec::<f64>::try_from(&first)?);
        }
        Ok((0..self.prompts.len()).map(|row| by_scale.iter().map(|all| all[row]).collect()).collect())
    }
}

/// What came of it: probabilities by prompt and scale, along the probe's direction and along random ones.
struct Effect {
    layer: usize,
    method: Method,
    words: [String; 2],
    rows: Vec<Row>,
    along: Vec<Vec<f64>>,
    controls: Vec<Vec<Vec<f64>>>,
}

impl Effect {
    /// Mean probability by scale, over the prompts to which the first word is the right (or wrong) one.
    fn mean(&self, values: &[&Vec<Vec<f64>>], first: bool) -> Vec<f64> {
        let chosen = |values: &&Vec<Vec<f64>>| -> Vec<Vec<f64>> {
            let rows = values.iter().zip(&self.rows).filter(|(_, row)| row.first == first);
            rows.map(|(value, _)| value.clone()).collect()
        };
        let all: Vec<Vec<f64>> = values.iter().flat_map(chosen).collect();
        let mean = |scale: usize| all.iter().map(|row| row[scale]).sum::<f64>() / all.len().max(1) as f64;
        (0..SCALES.len()).map(mean).collect()
    }

    fn table(&self) -> String {
        let line = |name: &str, values: &[f64]| {
            let cells: Vec<_> = values.iter().map(|p| format!("{:7.1}", 100.0 * p)).collect();
            format!("{name:44}{}", cells.concat())
        };
        let [first, second] = &self.words;
        let (layer, method) = (self.layer, self.method.name());
        let scales: Vec<_> = SCALES.iter().map(|scale| format!("{scale:+7}")).collect();
        let mut lines = vec![
            format!(
                "layer {layer}, direction of {method}: probability of \"{first}\" against \"{second}\", in percent"
            ),
            format!("{:44}{}", "scale, in standard deviations", scales.concat()),
        ];
        for (row, values) in self.rows.iter().zip(&self.along).take(8) {
            let mark = if row.first { first } else { second };
            lines.push(line(&format!("{} [{mark}]", row.text), values));
        }
        let controls: Vec<_> = self.controls.iter().collect();
        for (is_first, word) in [(true, first), (false, second)] {
            let count = self.rows.iter().filter(|row| row.first == is_first).count();
            lines.push(line(
                &format!("mean of {count} [{word}], {method}"),
                &self.mean(&[&self.along], is_first),
            ));
            let name = format!("mean of {count} [{word}], {} random directions", controls.len());
            lines.push(line(&name, &self.mean(&controls, is_first)));
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::expect_used)] // a test that cannot go on fails
    fn the_probes_direction_turns_the_verdict_and_random_ones_do_not() {
        let out = std::env::temp_dir().join(format!("llama-ccs-steer-{}", std::process::id()));
        let args = ["steer", "--limit", "120", "--questions", "8", "--out", out.to_str().expect("UTF-8")];
        let effect = job(&Args::parse_from(args)).expect("runs");
        std::fs::remove_dir_all(&out).expect("remove");
        let controls: Vec<_> = effect.controls.iter().collect();
        // Of what is right, "right" becomes unlikely against the direction; of what is wrong, likely along it.
        let (right, wrong) = (effect.mean(&[&effect.along], true), effect.mean(&[&effect.along], false));
        let (right_control, wrong_control) = (effect.mean(&controls, true), effect.mean(&controls, false));
        assert!(right[4] > 0.99 && wrong[4] < 0.01, "unsteered, the model knows");
        assert!(right[0] < 0.1 && wrong[8] > 0.9, "{}", effect.table());
        assert!(right_control[0] > 0.8 && wrong_control[8] < 0.2, "{}", effect.table());
    }
}

//! Activation patching: where does the model keep what it needs for its answer?
//!
//! Two prompts of the same length differ in one word, and the model's next word differs with it. The residual stream of
//! the one (clean) is put into a run of the other (corrupted), at one token and one layer at a time; where that brings
//! back the clean answer, the information is at that token and layer.
//!
//! ```text
//! cargo run --release --example patch_activations                    # the built-in teaching model: seconds
//! cargo run --release --example patch_activations -- --all           # every token, also where nothing happens
//! cargo run --release --example patch_activations -- --model llama-7b --clean "…" --corrupted "…" --words " Paris, Rome"
//! ```
//!
//! All tokens are patched at once: the batch holds the corrupted prompt once for each token, and the edit
//! `Change::patch` takes another token of each row. So a layer is one forward pass.

use std::path::{Path, PathBuf};

use clap::Parser;
use host::program::{self, Errors, Program};
use llama_ccs::llama_core::tch::{Device, Tensor};
use llama_ccs::llama_core::{
    Batch, Capture, Change, Checkpoint, Edit, Edits, Forward, HookPoint, HookSet, Llama, Precision, Tokens,
};
use llama_ccs::torch_runtime;

/// Patches a clean run's residual stream into a corrupted run, and shows where this restores the clean answer.
#[derive(Parser)]
struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub, ORG/NAME
    /// [default: the built-in teaching model].
    #[arg(long, value_name = "PATH|NAME", requires = "clean", requires = "corrupted")]
    model: Option<PathBuf>,
    /// The clean prompt, whose activations are taken.
    #[arg(long, default_value = CLEAN)]
    clean: String,
    /// The corrupted prompt, into which they are put: it has as many tokens, and at least one differs.
    #[arg(long, default_value = CORRUPTED)]
    corrupted: String,
    /// The words that follow the clean and the corrupted prompt.
    #[arg(long, value_delimiter = ',', num_args = 2, default_value = "right,wrong")]
    words: Vec<String>,
    /// Show every token, not only those where some layer restores at least a twentieth of the difference.
    #[arg(long)]
    all: bool,
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What the model computes in: f32, bf16, or mixed.
    #[arg(long, default_value = "f32")]
    dtype: Precision,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const QUIZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/quiz");
const CLEAN: &str = "The cup is red. The cup is in the attic. The cup is made of glass.\n\nAfter reading this passage, \
     I have a question: is the cup in the attic?\n\nTrue or False: True";
const CORRUPTED: &str = "The cup is red. The cup is in the garden. The cup is made of glass.\n\nAfter reading this \
     passage, I have a question: is the cup in the attic?\n\nTrue or False: True";

fn main() -> std::process::ExitCode {
    Program::new(Errors::new().hints_of_any(llama_ccs::hint).hints(hub::Error::hint).flags::<Args>()).run(
        |args: Args, _| {
            let found = job(&args)?;
            Ok(program::page(found.table(args.all).trim_end())?)
        },
    )
}

/// What patching brought back.
struct Found {
    /// The clean and the corrupted prompt's tokens.
    pieces: Vec<[String; 2]>,
    /// The logit of the clean word less that of the corrupted one, in both runs.
    differences: [f64; 2],
    /// By layer and token: the share of the difference between the two that is brought back.
    recovered: Vec<Vec<f64>>,
}

fn job(args: &Args) -> Result<Found> {
    let model = args.model.as_deref().map(hub::program::model).transpose()?;
    let checkpoint = Checkpoint::open(model.unwrap_or_else(|| Path::new(QUIZ).join("model")))?;
    let tokenizer = checkpoint.tokenizer()?;
    let llama = Llama::load(&checkpoint, args.dtype, torch_runtime::open(&args.device)?)?;
    let (clean, corrupted) = (tokenizer.ids(&args.clean)?, tokenizer.ids(&args.corrupted)?);
    if clean.len() != corrupted.len() {
        return Err(format!(
            "the prompts have {} and {} tokens; they must have as many",
            clean.len(),
            corrupted.len()
        )
        .into());
    }
    let word = |i: usize| -> Result<i64> {
        let ids = tokenizer.ids(&format!("{} {}", args.clean, args.words[i]))?;
        Ok(i64::from(*ids.get(clean.len()).ok_or("a word without a token")?))
    };
    let words = [word(0)?, word(1)?];

    let n_layers = llama.config().n_layers;
    let mut states = Capture::new(HookSet::residual_stream(n_layers), Tokens::All);
    let on_clean = differences(&llama, &Batch::new(&[&clean])?, Forward::new().hook(&mut states), words)?[0];
    let on_corrupted = differences(&llama, &Batch::new(&[&corrupted])?, Forward::new(), words)?[0];
    let states = states.finish();

    // One row for each token to patch.
    let batch = Batch::new(&vec![&corrupted; clean.len()])?;
    let own_token = Tokens::At((0..clean.len()).map(|position| vec![position]).collect());
    let mut recovered = Vec::new();
    for layer in 0..=n_layers {
        let point = HookPoint::of_layer(layer);
        let state = states.get(point).ok_or("not captured")?; // [T, D]: token i for row i
        let patch = Edits::from(Edit::new(point, own_token.clone(), Change::patch(state)?));
        let mut hook = patch.hook(llama.config(), llama.device())?;
        let patched = differences(&llama, &batch, Forward::new().hook(&mut hook), words)?;
        recovered.push(patched.iter().map(|d| (d - on_corrupted) / (on_clean - on_corrupted)).collect());
    }
    let pieces = clean.iter().zip(&corrupted).map(|(a, b)| [a, b].map(|id| tokenizer.piece(*id).to_owned()));
    Ok(Found { pieces: pieces.collect(), differences: [on_clean, on_corrupted], recovered })
}

/// The first word's logit less the second's, after each prompt's last token.
fn differences(
    llama: &Llama,
    batch: &Batch,
    run: Forward<'_>,
    [first, second]: [i64; 2],
) -> Result<Vec<f64>> {
    let logits = llama.forward(batch, run.logits(Tokens::Last))?.logits.ok_or("no logits")?; // [B, V]
    let difference: Tensor = logits.f_select(1, first)?.f_sub(&logits.f_select(1, second)?)?;
    Ok(Vec::try_from(
        &difference.f_to_device(Device::Cpu)?.f_to_kind(llama_ccs::llama_core::tch::Kind::Double)?,
    )?)
}

impl Found {
    fn table(&self, all: bool) -> String {
        let [clean, corrupted] = self.differences;
        let cells = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().concat();
        let layers = cells(&mut (0..self.recovered.len()).map(|layer| format!("{layer:7}")));
        let mut lines = vec![
            format!("logit difference: clean {clean:+.2}, corrupted {corrupted:+.2}"),
            "brought back by patching the residual stream, in percent of what lies between".to_owned(),
            String::new(),
            format!("{:>4}  {:24}{layers}", "", "token \\ layer"),
        ];
        let mut left_out = 0;
        for (position, [clean, corrupted]) in self.pieces.iter().enumerate() {
            let values: Vec<f64> = self.recovered.iter().map(|layer| layer[position]).collect();
            if !all && values.iter().all(|value| value.abs() < 0.05) {
                left_out += 1;
                continue;
            }
            let token = if clean == corrupted { clean.clone() } else { format!("{clean} for {corrupted}") };
            let values = cells(&mut values.iter().map(|value| format!("{:7.1}", 100.0 * value)));
            lines.push(format!("{position:4}  {:24}{values}", token.replace('\n', "\\n")));
        }
        if left_out > 0 {
            lines.push(format!(
                "{left_out} tokens that bring back less than 5 percent at any layer are left out"
            ));
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::expect_used)] // a test that cannot go on fails
    fn the_answer_moves_from_the_changed_word_to_the_last_token() {
        let found = job(&Args::parse_from(["patch_activations"])).expect("runs");
        let [clean, corrupted] = found.differences;
        assert!(clean > 2.0 && corrupted < -2.0, "the word decides: {clean}, {corrupted}");
        let changed = found.pieces.iter().position(|[a, b]| a != b).expect("a changed word");
        let last = found.pieces.len() - 1;
        let at = |layer: usize, token: usize| found.recovered[layer][token];
        // At first everything is at the changed word, in the end everything at the last token; before it nothing ever.
        assert!((at(0, changed) - 1.0).abs() < 1e-4 && at(0, last).abs() < 1e-4, "{}", found.table(true));
        assert!(at(4, changed).abs() < 1e-4 && (at(4, last) - 1.0).abs() < 1e-4, "{}", found.table(true));
        assert!((0..=4).all(|layer| (0..changed).all(|token| at(layer, token).abs() < 1e-4)));
    }
}

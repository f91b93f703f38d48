//! Steering what a model writes: a direction from pairs of prompts, added while the model generates.
//!
//! The direction is the mean difference between the residual streams of prompts that say the one thing and of their
//! counterparts that say the other (contrastive activation addition, Rimsky et al. 2024; `repeng` takes the first principal
//! component instead). It is added, times a strength, at the last token of the prompt and at every token that the model writes.
//! One generation has all strengths: each is a row of the batch.
//!
//! ```text
//! cargo run --release --example steer_text                     # the built-in teaching model: a second
//! cargo run --release --example steer_text -- --model llama-7b-chat --layer 13 --prompt "I think that this film is" \
//!     --pairs pairs.txt                                        # lines of TEXT | COUNTERPART
//! ```
//!
//! The teaching model writes after an answer whether it is "right" or "wrong". Its direction comes from answers that are
//! right and answers that are wrong, without the word that follows; steering by it makes the model call anything right, or
//! anything wrong.

use std::path::{Path, PathBuf};

use clap::Parser;
use host::program::{self, Errors, Program};
use llama_ccs::boolq::{self, Dataset};
use llama_ccs::llama_core::tch::{Kind, Tensor};
use llama_ccs::llama_core::{
    Batch, Capture, Change, Checkpoint, Edit, Edits, Forward, HookPoint, Llama, Precision, Sampling,
    Tokenizer, Tokens,
};
use llama_ccs::torch_runtime;

/// Adds the mean difference of contrasting prompts to a model's residual stream while it writes.
#[derive(Parser)]
struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub, ORG/NAME
    /// [default: the built-in teaching model].
    #[arg(long, value_name = "PATH|NAME", requires = "pairs", requires = "prompt")]
    model: Option<PathBuf>,
    /// Contrasting prompts, one pair a line: TEXT | COUNTERPART [default: answers of the built-in questions].
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// What the model continues [default: an answer that is right and one that is wrong].
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// The layer to which the direction is added.
    #[arg(long, default_value_t = 3)]
    layer: usize,
    /// Strengths: multiples of the difference.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, default_value = "-1,0,1")]
    strengths: Vec<f64>,
    /// The most new tokens.
    #[arg(long, default_value_t = 1)]
    max_new_tokens: usize,
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What the model computes in: f32, bf16, or mixed.
    #[arg(long, default_value = "f32")]
    dtype: Precision,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const QUIZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/quiz");

fn main() -> std::process::ExitCode {
    Program::new(Errors::new().hints_of_any(llama_ccs::hint).hints(hub::Error::hint).flags::<Args>()).run(
        |args: Args, _| {
            for Row { prompt, strength, text } in job(&args)? {
                let end: String = prompt.chars().skip(prompt.chars().count().saturating_sub(60)).collect();
                program::page(&format!("{strength:+6} …{} |{text}", end.replace('\n', " ")))?;
            }
            Ok(())
        },
    )
}

/// What a model wrote.
struct Row {
    prompt: String,
    strength: f64,
    text: String,
}

fn job(args: &Args) -> Result<Vec<Row>> {
    let device = torch_runtime::open(&args.device)?;
    let model = args.model.as_deref().map(hub::program::model).transpose()?;
    let checkpoint = Checkpoint::open(model.unwrap_or_else(|| Path::new(QUIZ).join("model")))?;
    let tokenizer = checkpoint.tokenizer()?;
    let llama = Llama::load(&checkpoint, args.dtype, device)?;
    let mut pairs = match &args.pairs {
        Some(file) => read(file)?,
        None => answers()?,
    };
    let mut prompts = args.prompt.clone();
    if prompts.is_empty() {
        // The last pair is asked, and not learned from.
        let (right, wrong) = pairs.pop().ok_or("no pairs")?;
        prompts = vec![right, wrong];
    }
    let direction = difference(&llama, &tokenizer, &pairs, args.layer)?;

    // Every prompt once for each strength.
    let rows: Vec<(&String, f64)> = prompts
        .iter()
        .flat_map(|prompt| args.strengths.iter().map(move |&strength| (prompt, strength)))
        .collect();
    let strengths: Vec<f64> = rows.iter().map(|(_, strength)| *strength).collect();
    let add = Edit::new(HookPoint::of_layer(args.layer), Tokens::Last, Change::add(&direction, 1.0)?);
    let mut hook = Edits::from(add.strengths(strengths)).hook(llama.config(), llama.device())?;
    let ids =
        rows.iter().map(|(prompt, _)| tokenizer.ids(prompt)).collect::<std::result::Result<Vec<_>, _>>()?;
    let sampling = Sampling {
        temperature: 0.0,
        max_new_tokens: args.max_new_tokens,
        stop: tokenizer.eos().to_vec(),
        ..Sampling::default()
    };
    let texts = llama.generate_text(&tokenizer, &ids, &sampling, &[], Some(&mut hook))?;
    let row = |((prompt, strength), own): ((&String, f64), llama_ccs::llama_core::Generated)| Row {
        prompt: prompt.clone(),
        strength,
        text: own.text,
    };
    Ok(rows.into_iter().zip(texts).map(row).collect())
}

/// Lines of `TEXT | COUNTERPART`.
fn read(file: &Path) -> Result<Vec<(String, String)>> {
    let text = fs_err::read_to_string(file)?;
    let pair = |line: &str| {
        let (one, other) = line.split_once('|').ok_or_else(|| format!("no | in {line:?}"))?;
        Ok((one.trim().to_owned(), other.trim().to_owned()))
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(pair).collect()
}

/// The built-in questions with the right and the wrong answer.
fn answers() -> Result<Vec<(String, String)>> {
    let data = Dataset::load(Path::new(QUIZ).join("questions.jsonl"))?;
    let made = boolq::pairs(&data, &boolq::Template::named("llama-ccs")?)?;
    let in_order = |pair: &boolq::ContrastPair| {
        let (plus, minus) = (pair.plus_prompt.clone(), pair.minus_prompt.clone());
        if pair.label { (plus, minus) } else { (minus, plus) }
    };
    Ok(made.pairs.iter().take(101).map(in_order).collect())
}

/// The mean difference of the residual stream at the last tokens. \[D\]
fn difference(
    llama: &Llama,
    tokenizer: &Tokenizer,
    pairs: &[(String, String)],
    layer: usize,
) -> Result<Tensor> {
    let point = HookPoint::of_layer(layer);
    let mut means = Vec::new();
    for chunk in pairs.chunks(16) {
        let ids = |text: &String| tokenizer.ids(text);
        let both: Vec<Vec<u32>> = chunk
            .iter()
            .map(|pair| ids(&pair.0))
            .chain(chunk.iter().map(|pair| ids(&pair.1)))
            .collect::<std::result::Result<_, _>>()?;
        let mut capture = Capture::new(point, Tokens::Last).kind(Kind::Double);
        llama.forward(&Batch::new(&both)?, Forward::new().hook(&mut capture))?;
        let states = capture.finish().take(point).ok_or("not captured")?; // [2·N, D]
        let count = chunk.len() as i64;
        means.push(states.f_narrow(0, 0, count)?.f_sub(&states.f_narrow(0, count, count)?)?); // [N, D]
    }
    Ok(Tensor::f_cat(&means, 0)?.f_mean_dim(Some([0i64].as_slice()), false, None::<Kind>)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::expect_used)] // a test that cannot go on fails
    fn the_difference_decides_what_is_written() {
        let rows = job(&Args::parse_from(["steer_text", "--strengths=-1,0,1"])).expect("runs");
        let texts: Vec<&str> = rows.iter().map(|row| row.text.trim()).collect();
        assert_eq!(texts, ["wrong", "right", "right", "wrong", "wrong", "right"]);
    }
}

//! Scoring: which of several continuations does a model find likeliest, over many questions?
//!
//! Multiple choice as lm-evaluation-harness asks it: every choice is a continuation of its question, and the likeliest one is
//! the model's answer. `Llama::score` lays out texts that begin alike as trees, so that a question is computed once, however
//! many choices it has; here even the two prompts of a question share all but their last word.
//!
//! ```text
//! cargo run --release --example score                          # the built-in teaching model: a second
//! cargo run --release --example score -- --model llama-7b --data boolq/dev.jsonl --limit 500
//! ```
//!
//! The teaching model answers no questions, it says of an answer whether it is "right" or "wrong"; of another model it is
//! asked which answer follows. The file of pairs of one's own is for `llama-ccs score`.

use std::path::{Path, PathBuf};

use clap::Parser;
use host::program::{self, Errors, Program};
use llama_ccs::boolq::{self, Dataset, Selection, TokenizedPrompt};
use llama_ccs::llama_core::{Batch, Checkpoint, Continuation, Llama, Precision};
use llama_ccs::{PairTokenizer, torch_runtime};

/// Scores the answers to yes/no questions, and counts how often the likelier one is right.
#[derive(Parser)]
struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub, ORG/NAME
    /// [default: the built-in teaching model].
    #[arg(long, value_name = "PATH|NAME", requires = "data")]
    model: Option<PathBuf>,
    /// Questions, as for `boolq_7b` [default: the built-in ones].
    #[arg(long, value_name = "FILE", requires = "model")]
    data: Option<PathBuf>,
    /// The most questions.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// The most tokens in a batch.
    #[arg(long, default_value_t = 2048)]
    batch_tokens: usize,
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What the model computes in: f32, bf16, or mixed.
    #[arg(long, default_value = "f32")]
    dtype: Precision,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const QUIZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/quiz");
/// What the teaching model says of an answer.
const VERDICTS: [&str; 2] = ["right", "wrong"];

fn main() -> std::process::ExitCode {
    Program::new(Errors::new().hints_of_any(llama_ccs::hint).hints(hub::Error::hint).flags::<Args>())
        .run(|args: Args, _| Ok(program::page(&job(&args)?.sentence())?))
}

/// How the choices did.
struct Found {
    /// Questions asked, and those whose likeliest choice is the right one.
    asked: usize,
    right: usize,
    /// Texts, their tokens one by one, and those left where beginnings are shared.
    texts: usize,
    tokens: usize,
    shared: usize,
}

impl Found {
    fn sentence(&self) -> String {
        let Self { asked, right, texts, tokens, shared } = self;
        let share = 100.0 * *right as f64 / (*asked).max(1) as f64;
        format!(
            "{right} of {asked} right ({share:.1} percent); {texts} texts of {tokens} tokens, of which {shared} were computed"
        )
    }
}

fn job(args: &Args) -> Result<Found> {
    let device = torch_runtime::open(&args.device)?;
    let model = args.model.as_deref().map(hub::program::model).transpose()?;
    let teaching = model.is_none();
    let checkpoint = Checkpoint::open(model.unwrap_or_else(|| Path::new(QUIZ).join("model")))?;
    let tokenizer = checkpoint.tokenizer()?;
    let data = args.data.as_deref().map(hub::program::data).transpose()?;
    let data = Dataset::load(data.unwrap_or_else(|| Path::new(QUIZ).join("questions.jsonl")))?;
    let made = boolq::pairs(&data, &boolq::Template::named("llama-ccs")?)?;
    let selection = Selection { limit: Some(args.limit), ..Selection::default() };
    let pairs = boolq::select(&made.pairs, &PairTokenizer(&tokenizer), &selection)?.examples;

    // Two choices a question, one after the other, the right one's number beside them.
    let (mut choices, mut truth) = (Vec::new(), Vec::new());
    for pair in &pairs {
        if teaching {
            for (prompt, is_right) in
                [(&pair.pair.plus_prompt, pair.pair.label), (&pair.pair.minus_prompt, !pair.pair.label)]
            {
                for verdict in VERDICTS {
                    choices.push(tokenizer.continuation(prompt, &format!(" {verdict}"))?);
                }
                truth.push(usize::from(!is_right));
            }
        } else {
            choices.extend([answer(&pair.plus), answer(&pair.minus)]);
            truth.push(usize::from(!pair.pair.label));
        }
    }
    let llama = Llama::load(&checkpoint, args.dtype, device)?;
    let scores = llama.score(&choices, args.batch_tokens)?;
    let right = scores.chunks(2).zip(&truth).filter(|(own, truth)| {
        let second = usize::from(own[1].sum() > own[0].sum());
        second == **truth
    });
    let texts: Vec<Vec<u32>> = choices.iter().map(|own| own.context.clone()).collect();
    Ok(Found {
        asked: truth.len(),
        right: right.count(),
        texts: texts.len(),
        tokens: texts.iter().map(Vec::len).sum(),
        shared: texts.chunks(if teaching { 4 } else { 2 }).map(Batch::shared_len).sum(),
    })
}

/// A prompt's answer, after the rest of it.
fn answer(prompt: &TokenizedPrompt) -> Continuation {
    let (context, ids) = prompt.ids.split_at(prompt.answer.start);
    Continuation { context: context.to_vec(), ids: ids.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::expect_used)] // a test that cannot go on fails
    fn the_teaching_model_tells_right_from_wrong() {
        let found = job(&Args::parse_from(["score", "--limit", "40"])).expect("runs");
        assert_eq!((found.asked, found.texts), (80, 160));
        assert!(found.right >= 78, "{}", found.sentence());
        assert!(found.shared * 3 < found.tokens, "{}", found.sentence());
    }
}

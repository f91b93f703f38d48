//! Trains the quiz model, the small LLaMA that `boolq_7b` reads when no `--model` is given.
//!
//! A teaching model: its world is a few objects with colors, places and materials. Its texts are BoolQ prompts in llama-ccs'
//! template, followed by one word that says whether the given answer was right, so at the answer token it must know.
//!
//! ```text
//! cargo run --release --example train_quiz_llama          # rewrites examples/quiz; a seed gives the same bytes on one machine
//! ```

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use host::program::{self, Errors, Program};
use llama_ccs::llama_core::tch::{COptimizer, Kind, Tensor};
use llama_ccs::llama_core::{
    Batch, Config, Forward, Llama, Precision, Tokenizer, Tokens, save_meta, word_model,
};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[derive(Parser)]
struct Args {
    /// Folder for `model/` and `questions.jsonl`.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/quiz"))]
    out: PathBuf,
    /// Optimizer steps.
    #[arg(long, default_value_t = 4000)]
    steps: usize,
    /// Questions to set aside for the demo; their passages are never trained on.
    #[arg(long, default_value_t = 600)]
    questions: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const OBJECTS: [&str; 20] = [
    "ball", "cup", "hat", "book", "box", "coat", "lamp", "key", "bag", "bell", "boat", "drum", "flag",
    "kite", "ring", "shoe", "sock", "spoon", "table", "vase",
];
const COLORS: [&str; 10] =
    ["red", "blue", "green", "white", "black", "yellow", "brown", "pink", "grey", "orange"];
const PLACES: [&str; 10] =
    ["kitchen", "garden", "garage", "attic", "hall", "cellar", "office", "shed", "school", "yard"];
const MATERIALS: [&str; 10] =
    ["wood", "glass", "paper", "silver", "gold", "stone", "wool", "silk", "steel", "clay"];
/// Facts of the longest passages: one of each sort.
const FACTS: usize = 3;
const BATCH: usize = 64;
const LEARNING_RATE: f64 = 1.5e-3;
/// At even odds, answer and truth form a parity, which gradient descent does not find.
const GIVEN_ANSWER_RIGHT: f64 = 0.75;

/// What can be so about an object, sort by sort.
const SORTS: [fn(&mut ChaCha8Rng) -> String; FACTS] = [
    |rng| pick(&COLORS, rng).to_owned(),
    |rng| format!("in the {}", pick(&PLACES, rng)),
    |rng| format!("made of {}", pick(&MATERIALS, rng)),
];

fn pick(words: &[&'static str], rng: &mut ChaCha8Rng) -> &'static str {
    words.choose(rng).copied().unwrap_or_default()
}

/// One passage and one question about it.
struct Quiz {
    passage: String,
    question: String,
    answer: bool,
}

impl Quiz {
    /// A passage of some facts about one object, and a question about one of them.
    fn draw(facts: usize, rng: &mut ChaCha8Rng) -> Self {
        let object = pick(&OBJECTS, rng);
        let sorts: Vec<usize> = [0, 1, 2].sample(rng, facts).copied().collect();
        let facts: Vec<(usize, String)> = sorts.into_iter().map(|sort| (sort, SORTS[sort](rng))).collect();
        let sentences: Vec<String> =
            facts.iter().map(|(_, fact)| format!("The {object} is {fact}.")).collect();
        let (sort, truth) = &facts[rng.random_range(0..facts.len())];
        let answer = rng.random_bool(0.5);
        let mut asked = truth.clone();
        while !answer && asked == *truth {
            asked = SORTS[*sort](rng);
        }
        Self { passage: sentences.join(" "), question: format!("is the {object} {asked}"), answer }
    }

    /// llama-ccs' template.
    fn prompt(&self, given: bool) -> String {
        let answer = if given { "True" } else { "False" };
        let Self { passage, question, .. } = self;
        format!(
            "{passage}\n\nAfter reading this passage, I have a question: {question}?\n\nTrue or False: {answer}"
        )
    }
}

/// Every word the texts are made of, as SentencePiece writes them: "▁" for the space before.
fn words() -> Vec<String> {
    let spaced = [
        "The", "is", "in", "the", "made", "of", "reading", "this", "passage", "I", "have", "a", "question",
        "or", "True", "False", "right", "wrong",
    ];
    let bare = ["\n", "After", "True", ".", ",", ":", "?"];
    let nouns = OBJECTS.iter().chain(&COLORS).chain(&PLACES).chain(&MATERIALS);
    spaced.iter().chain(nouns).map(|w| format!("▁{w}")).chain(bare.map(String::from)).collect()
}

fn main() -> std::process::ExitCode {
    Program::new(Errors::new().hints_of_any(llama_ccs::hint).flags::<Args>()).run(|args: Args, _| job(&args))
}

fn job(args: &Args) -> Result<()> {
    let device = llama_ccs::torch_runtime::open("cpu")?;
    let model = args.out.join("model");
    std::fs::create_dir_all(&model)?;
    let tokenizer_file = word_model(&words());
    host::files::replace(model.join("tokenizer.model"), &tokenizer_file)?;
    let tokenizer = Tokenizer::from_bytes(&tokenizer_file, model.join("tokenizer.model"))?;

    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let held_out = questions(args.questions, &mut rng);
    let lines: Vec<String> = (1..).zip(&held_out).map(json).collect();
    host::files::replace(args.out.join("questions.jsonl"), (lines.join("\n") + "\n").as_bytes())?;

    let config = Config {
        dim: 128,
        n_layers: 4,
        n_heads: 4,
        n_kv_heads: 4,
        head_dim: 32,
        hidden_dim: 352,
        vocab_size: tokenizer.vocab_size() as i64,
        norm_eps: 1e-5,
        ..Config::default()
    };
    let llama = Llama::random(&config, args.seed, Precision::F32, device)?;
    let passages: HashSet<&str> = held_out.iter().map(|q| q.passage.as_str()).collect();
    train(&llama, &tokenizer, &passages, args.steps, &mut rng)?;
    let accuracy = accuracy(&llama, &tokenizer, &held_out)?;
    program::page(&format!(
        "{} parameters; verdicts right on {:.1}% of held-out prompts",
        config.n_params(),
        100.0 * accuracy
    ))?;
    save_meta(&llama, &model, Kind::Half, 1)?;
    Ok(program::page(&format!("wrote {}", args.out.display()))?)
}

/// Questions with passages all different, as many true as false.
fn questions(count: usize, rng: &mut ChaCha8Rng) -> Vec<Quiz> {
    let mut seen = HashSet::new();
    let mut left = [count / 2, count - count / 2];
    let mut questions = Vec::with_capacity(count);
    while questions.len() < count {
        let quiz = Quiz::draw(FACTS, rng);
        let class = usize::from(quiz.answer);
        if left[class] > 0 && seen.insert(quiz.passage.clone()) {
            left[class] -= 1;
            questions.push(quiz);
        }
    }
    questions
}

/// A line of the data. Each passage is drawn by itself, so each has a title of its own: two that differ in one word are
/// two, as the word is all there is to know.
fn json((number, quiz): (usize, &Quiz)) -> String {
    let Quiz { passage, question, answer } = quiz;
    let title = format!("Quiz {number}");
    serde_json::json!({ "question": question, "title": title, "answer": answer, "passage": passage })
        .to_string()
}

/// AdamW with warm-up and decay; passages grow from one fact to three as the verdicts become right.
fn train(
    llama: &Llama,
    tokenizer: &Tokenizer,
    held_out: &HashSet<&str>,
    steps: usize,
    rng: &mut ChaCha8Rng,
) -> Result<()> {
    let mut optimizer = COptimizer::adamw(0.0, 0.9, 0.98, 0.01, 1e-8, false)?;
    for (_, weight) in llama.trainable()? {
        optimizer.add_parameters(&weight, 0)?;
    }
    let question = question_start(tokenizer)?;
    let (mut facts, mut recent, started) = (1, 0.5, Instant::now());
    for step in 0..steps {
        let warm_up = ((step + 1) as f64 / 100.0).min(1.0);
        let decay = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
        optimizer.set_learning_rate(LEARNING_RATE * warm_up * (0.05 + 0.95 * decay))?;

        let mut texts = Vec::with_capacity(BATCH);
        while texts.len() < BATCH {
            // Mostly the longest passages reached so far, some shorter ones.
            let quiz =
                Quiz::draw(if rng.random_bool(0.8) { facts } else { rng.random_range(1..=facts) }, rng);
            if !held_out.contains(quiz.passage.as_str()) {
                let given = quiz.answer == rng.random_bool(GIVEN_ANSWER_RIGHT);
                let verdict = if given == quiz.answer { "right" } else { "wrong" };
                texts.push(tokenizer.ids(&format!("{} {verdict}", quiz.prompt(given)))?);
            }
        }
        let (loss, right) = loss(llama, &texts, question)?;
        optimizer.zero_grad()?;
        loss.f_backward()?;
        optimizer.step()?;

        recent = 0.98 * recent + 0.02 * right;
        if recent > 0.95 && facts < FACTS {
            (facts, recent) = (facts + 1, 0.5);
        }
        if (step + 1) % 100 == 0 {
            let (loss, seconds) = (loss.f_double_value(&[])?, started.elapsed().as_secs());
            program::page(&format!(
                "step {:5}  loss {loss:.4}  verdicts {recent:.3}  facts {facts}  {seconds} s",
                step + 1
            ))?;
        }
    }
    Ok(())
}

/// Weights of the mean losses of passages and of questions beside the verdicts', which is 1. Passages are chance and
/// only need to be readable; in questions the word asked for and the answer given follow from the passage half of the
/// time and more, which teaches to look them up.
const PASSAGE_WEIGHT: f64 = 0.02;
const QUESTION_WEIGHT: f64 = 1.0;

/// Next-token loss of texts, and the share of right verdicts.
fn loss(llama: &Llama, texts: &[Vec<u32>], question_starts_with: u32) -> Result<(Tensor, f64)> {
    let inputs: Vec<&[u32]> = texts.iter().map(|t| &t[..t.len() - 1]).collect();
    let (mut targets, mut weights, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for text in texts {
        let question =
            text.iter().position(|&id| id == question_starts_with).ok_or("a text without a question")?;
        let last = text.len() - 1;
        // The loss at a token is that of the next one.
        let weight = |next: usize| match next {
            _ if next == last => 1.0,
            _ if next >= question => QUESTION_WEIGHT / (last - question) as f64,
            _ => PASSAGE_WEIGHT / question as f64,
        };
        targets.extend(text[1..].iter().map(|&id| i64::from(id)));
        weights.extend((1..=last).map(weight));
        ends.push(targets.len() as i64 - 1);
    }
    let output = llama.forward(&Batch::new(&inputs)?, Forward::new().logits(Tokens::All).gradients())?;
    let logits = output.logits.ok_or("no logits")?; // [S, V]
    let (targets, ends) = (Tensor::f_from_slice(&targets)?, Tensor::f_from_slice(&ends)?);
    let log_p = logits.f_log_softmax(-1, Kind::Float)?;
    let losses = log_p.f_gather(1, &targets.f_unsqueeze(1)?, false)?.f_neg()?.f_squeeze_dim(1)?; // [S]
    let weights = Tensor::f_from_slice(&weights)?.f_to_kind(Kind::Float)?;
    let loss = losses.f_dot(&weights)?.f_div_scalar(texts.len() as f64)?;
    let verdicts = logits.f_index_select(0, &ends)?.f_argmax(-1, false)?;
    let hits = verdicts.f_eq_tensor(&targets.f_index_select(0, &ends)?)?;
    let right = hits.f_to_kind(Kind::Double)?.f_mean(Kind::Double)?.f_double_value(&[])?;
    Ok((loss, right))
}

/// The token that begins everything after the passage: the "After" of the template.
fn question_start(tokenizer: &Tokenizer) -> Result<u32> {
    let tokens = tokenizer.ids(".\nAfter")?;
    tokens.last().copied().ok_or_else(|| "no tokens".into())
}

/// Share of right verdicts over both given answers of every question.
fn accuracy(llama: &Llama, tokenizer: &Tokenizer, questions: &[Quiz]) -> Result<f64> {
    let _no_gradients = llama_ccs::llama_core::tch::no_grad_guard();
    let question = question_start(tokenizer)?;
    let mut right = 0.0;
    let texts = questions.iter().flat_map(|quiz| {
        [true, false].map(|given| {
            let verdict = if given == quiz.answer { "right" } else { "wrong" };
            tokenizer.ids(&format!("{} {verdict}", quiz.prompt(given)))
        })
    });
    let texts = texts.collect::<std::result::Result<Vec<_>, _>>()?;
    for chunk in texts.chunks(BATCH) {
        right += loss(llama, chunk, question)?.1 * chunk.len() as f64;
    }
    Ok(right / texts.len() as f64)
}

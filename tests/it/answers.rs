//! Answers of several words: where they are, from the template through `prompts.csv` to the store, and what the model
//! finds of the whole of them. The right values are from the model in f64, each prompt alone, all logits of it.

use std::path::PathBuf;

use llama_ccs::activations::{SideOf, Sides, Store};
use llama_ccs::boolq::{self, DatasetOptions, Template, TokenizedPair, prompts};
use llama_ccs::ccs_report::Method;
use llama_ccs::ccs_report::{AnswerScore, Report};
use llama_ccs::ccs_trainer::StoreSource;
use llama_ccs::ccs_trainer::{Fit, LayerSelection, NewRunDir, Overwrite, Settings};
use llama_ccs::llama_core::tch::{Device, Kind};
use llama_ccs::llama_core::{
    Batch, Capture, Checkpoint, Forward, HookPoint, HookSet, Llama, Precision, Tokenizer, Tokens,
};
use llama_ccs::{Error, Extraction, Outcome, TokenRule, tokenize_all};
use serde_json::{Value, json};

use crate::support::{extract, llama_ccs, quiz};

const THINGS: [&str; 8] = ["kite", "sock", "bell", "vase", "boat", "drum", "coat", "ring"];
const COLORS: [&str; 7] = ["red", "blue", "green", "black", "white", "pink", "grey"];
const PLACES: [&str; 5] = ["cellar", "attic", "garden", "shed", "kitchen"];

/// COPA's form: a premise and two sentences, of which one follows. They share beginnings, ends, or both; one may be longer
/// than the other, or all of its beginning.
fn row(at: usize) -> Value {
    let pick = |words: &[&'static str], step: usize| words[(at * step + at / 7) % words.len()];
    let (thing, place) = (pick(&THINGS, 3), pick(&PLACES, 2));
    let (color, other) = (pick(&COLORS, 1), pick(&COLORS, 3));
    let other = if other == color { "orange" } else { other };
    let (one, two) = match at % 4 {
        0 => (
            format!("The {thing} is {color} and in the {place}."),
            format!("The {thing} is {other} and in the {place}."),
        ),
        // The likelier text is the one word, the likelier token one of the many.
        1 => (place.to_owned(), format!("The {thing} is {color}. The {thing} is in the {place}.")),
        2 => {
            (format!("The {color} {thing} is made of clay."), format!("The {other} {thing} is made of clay."))
        }
        _ => (format!("The {thing} is {color}"), format!("The {thing} is {color} and {other}")),
    };
    let premise = format!("The {thing} is {color}. The {thing} is in the {place}. Row {at}.");
    json!({ "premise": premise, "choice1": one, "choice2": two, "label": at % 2 })
}

/// The template, whose answers are the row's, and one that puts text after its answers and has other ones.
fn templates() -> [Template; 2] {
    let copa = Template::from_promptsource(
        "copa",
        "{{ premise }} So? ||| {{ answer_choices[label] }}",
        "{{ choice1 }} ||| {{ choice2 }}",
    );
    let source =
        "{# answers: in the red cellar | in the red attic #}\n{{ premise }} It is {{ answer }}. Is it so?";
    [copa, Template::from_source("plain", source)].map(|template| template.expect("compiles"))
}

/// The two answers of a pair, as whoever wrote the template means them.
fn answers(row: &Value, template: &str) -> [String; 2] {
    let of = |name: &str| row[name].as_str().expect("text").to_owned();
    match template {
        "copa" => [of("choice2"), of("choice1")],
        _ => ["in the red cellar".to_owned(), "in the red attic".to_owned()],
    }
}

struct Scene {
    folder: tempfile::TempDir,
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    rows: Vec<Value>,
}

impl Scene {
    fn new(rows: usize) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let checkpoint = Checkpoint::open(quiz().join("model")).expect("model");
        let tokenizer = checkpoint.tokenizer().expect("tokenizer");
        Self { folder, checkpoint, tokenizer, rows: (0..rows).map(row).collect() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The pairs, by way of a data file and a prompts file.
    fn pairs(&self, templates: &[Template]) -> Vec<TokenizedPair> {
        let lines: Vec<String> = self.rows.iter().map(Value::to_string).collect();
        std::fs::write(self.path("data.jsonl"), lines.join("\n")).expect("write");
        let data =
            DatasetOptions::new().for_templates(templates).load(self.path("data.jsonl")).expect("data");
        let made = boolq::pairs_with(&data, templates).expect("pairs");
        prompts::write(self.path("prompts.csv"), &made.pairs).expect("write");
        let read = prompts::read(self.path("prompts.csv")).expect("read");
        assert_eq!(read.pairs, made.pairs);
        assert_eq!(read.warnings, [], "of groups from the prompts `pairs_with` warned");
        tokenize_all(read.pairs, &self.tokenizer).expect("tokens")
    }

    fn store(&self, extraction: &Extraction<'_>, pairs: &[TokenizedPair], name: &str) -> Store {
        match extraction.run(pairs, self.path(name), &mut ()).expect("extract") {
            Outcome::Finished(store) => store,
            _ => panic!("nothing stops it"),
        }
    }
}

/// What there is to know of an answer.
#[derive(Debug)]
struct Whole {
    tokens: std::ops::Range<usize>,
    sum: f64,
    mean: f64,
    /// The mean state of its tokens after block 1.
    state: Vec<f64>,
}

/// The model alone in f64 on one prompt, whose answer ends where `after` begins.
fn whole(llama: &Llama, tokenizer: &Tokenizer, prompt: &str, answer: &str, after: &str) -> Whole {
    let end = prompt.len() - after.len();
    let start = end - answer.len();
    assert_eq!((&prompt[start..end], &prompt[end..]), (answer, after));
    let tokens = tokenizer.encode(prompt).expect("tokens");
    let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    let inside = |token: &&llama_ccs::llama_core::Token| token.span.start < end && token.span.end > start;
    let first = tokens.iter().position(|token| inside(&token)).expect("an answer");
    let range = first..first + tokens.iter().filter(inside).count();
    let point = HookPoint::of_layer(2);
    let mut states = Capture::new(point, Tokens::All);
    let run = Forward::new().hook(&mut states).logits(Tokens::All);
    let output = llama.forward(&Batch::new(&[ids.as_slice()]).expect("batch"), run).expect("run");
    let log_p = output.logits.expect("logits").log_softmax(-1, Kind::Double); // [T, V]
    let sum: f64 = range.clone().map(|at| log_p.double_value(&[at as i64 - 1, i64::from(ids[at])])).sum();
    let states = states.finish().take(point).expect("states"); // [T, D]
    let own = states.narrow(0, range.start as i64, range.len() as i64);
    let state = Vec::try_from(own.mean_dim([0i64].as_slice(), false, Kind::Double)).expect("values");
    Whole { mean: sum / range.len() as f64, sum, tokens: range, state }
}

/// Both sides of every pair.
fn by_hand(scene: &Scene, pairs: &[TokenizedPair]) -> Vec<[Whole; 2]> {
    let llama = Llama::load(&scene.checkpoint, Precision::F64, Device::Cpu).expect("load");
    let of = |pair: &TokenizedPair| {
        let pair = &pair.pair;
        let [plus, minus] = answers(&scene.rows[pair.idx as usize], &pair.template);
        let after = if pair.template == "copa" { "" } else { ". Is it so?" };
        let side = |prompt: &str, answer: &str| whole(&llama, &scene.tokenizer, prompt, answer, after);
        [side(&pair.plus_prompt, &plus), side(&pair.minus_prompt, &minus)]
    };
    pairs.iter().map(of).collect()
}

#[test]
fn stores_hold_what_the_model_finds_of_whole_answers() {
    let scene = Scene::new(12);
    let pairs = scene.pairs(&templates());
    let expected = by_hand(&scene, &pairs);
    let several = expected.iter().flatten().filter(|whole| whole.tokens.len() > 3).count();
    assert!(several > 40, "answers of several tokens: {several}");
    let hooks = HookSet::parse(["blocks.1.hook_resid_post", "blocks.3.hook_resid_post"], 4).expect("hooks");
    let base = || {
        let rules = [TokenRule::Last, TokenRule::AnswerMean];
        Extraction::new(&scene.checkpoint, &scene.tokenizer).hooks(hooks.clone()).tokens(rules)
    };
    let little = base().batch_tokens(256).max_memory(1).run(&pairs, scene.path("none"), &mut ());
    let Err(Error::TooLittleMemory { needed, .. }) = little else { panic!("one byte: {little:?}") };
    for (name, extraction) in [
        ("alone", base().sharing(false).batch_tokens(1)),
        ("lone rows", base().sharing(false).batch_tokens(400)),
        ("shared", base().batch_tokens(400)),
        ("all", base().batch_tokens(100_000)),
        ("deterministic", base().deterministic(true)),
        ("streamed", base().batch_tokens(256).max_memory(needed)),
    ] {
        let store = scene.store(&extraction, &pairs, name);
        let rows = store.rows().expect("rows");
        for (at, side) in [SideOf::Plus, SideOf::Minus].into_iter().enumerate() {
            let read = |column: &str| store.column(column).expect(column).read(side).expect("values");
            let (sums, means) = (read("answer_logprob"), read("answer_logprob_mean"));
            let states = read("blocks.1.hook_resid_post@answer_mean");
            for (row, expected) in expected.iter().enumerate() {
                let (expected, row_of) = (&expected[at], &rows[row]);
                let Sides::Pair { plus, minus } = &row_of.sides else { panic!("a pair") };
                let tokens = if at == 0 { plus } else { minus };
                assert_eq!(
                    expected.tokens,
                    tokens.answer_start as usize..tokens.answer_end as usize,
                    "{name}"
                );
                // f32 through four blocks gives a logit to some 1e-5; a sum has as many errors as tokens.
                let most = 1e-4 * expected.tokens.len() as f64;
                let (sum, mean) = (f64::from(sums[row]), f64::from(means[row]));
                assert!((sum - expected.sum).abs() < most, "{name}, {row}: {sum} {}", expected.sum);
                assert!((mean - expected.mean).abs() < 1e-4, "{name}, {row}: {mean} {}", expected.mean);
                let size = expected.state.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                let found = &states[row * expected.state.len()..][..expected.state.len()];
                let apart = found.iter().zip(&expected.state).map(|(a, b)| (f64::from(*a) - b).abs());
                assert!(apart.fold(0.0, f64::max) < 1e-4 * size, "{name}, {row}: answer_mean");
            }
        }
    }
}

/// The mean over the tokens of the words in which two prompts differ, which older versions took for the answer's.
fn of_differing_words(llama: &Llama, tokenizer: &Tokenizer, pair: &boolq::ContrastPair) -> f64 {
    let (plus, minus) = boolq::answer_ranges(&pair.plus_prompt, &pair.minus_prompt).expect("they differ");
    let side = |prompt: &str, words: std::ops::Range<usize>| {
        whole(llama, tokenizer, prompt, &prompt[words.clone()], &prompt[words.end..]).mean
    };
    side(&pair.plus_prompt, plus) - side(&pair.minus_prompt, minus)
}

#[test]
fn zero_shot_prefers_what_the_whole_answer_says() {
    let mut scene = Scene::new(100);
    let [copa, _] = templates();
    let llama = Llama::load(&scene.checkpoint, Precision::F64, Device::Cpu).expect("load");
    // The right answer of a row is the one that the model finds likelier, in f64; rows that are nearly even are left out.
    let pairs = scene.pairs(std::slice::from_ref(&copa));
    let differences = by_hand(&scene, &pairs).into_iter().map(|[p, m]| (p.sum - m.sum, p.mean - m.mean));
    let differences: Vec<(f64, f64)> = differences.collect();
    let words: Vec<f64> =
        pairs.iter().map(|pair| of_differing_words(&llama, &scene.tokenizer, &pair.pair)).collect();
    let clear: Vec<usize> = (0..pairs.len())
        .filter(|row| differences[*row].0.abs() > 0.01 && differences[*row].1.abs() > 0.01)
        .collect();
    scene.rows = clear.iter().map(|&at| scene.rows[at].clone()).collect();
    for (row, &at) in scene.rows.iter_mut().zip(&clear) {
        row["label"] = i32::from(differences[at].0 > 0.0).into();
    }
    let agree = |other: &dyn Fn(usize) -> f64| {
        let same = clear.iter().filter(|at| (other(**at) > 0.0) == (differences[**at].0 > 0.0)).count();
        same as f64 / clear.len() as f64
    };
    let (by_mean, by_words) = (agree(&|at| differences[at].1), agree(&|at| words[at]));
    assert!(clear.len() > 60 && by_mean < 0.95 && by_words < 0.95, "{} {by_mean} {by_words}", clear.len());

    let pairs = scene.pairs(std::slice::from_ref(&copa));
    scene.store(&Extraction::new(&scene.checkpoint, &scene.tokenizer), &pairs, "store");
    let source = StoreSource::open(scene.path("store")).expect("store");
    let fit = |zero_shot: AnswerScore| -> (Report, f64) {
        let methods = Some(vec![Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT]);
        let layers = LayerSelection::Ranges(vec![(4, 4)]);
        let settings = Settings { methods, layers, zero_shot, ..Settings::default() };
        let report = Fit::new(&source)
            .settings(settings)
            .run()
            .expect("fit")
            .finished()
            .expect("the whole run")
            .report;
        let found = &report.layers[0].methods[&Method::ZERO_SHOT];
        let rows = (report.rows.train as f64, report.rows.test as f64);
        let right = found.train.accuracy * rows.0 + found.test.accuracy * rows.1;
        (report.clone(), right / (rows.0 + rows.1))
    };
    let ((sum, by_sum), (mean, of_mean)) = (fit(AnswerScore::Sum), fit(AnswerScore::Mean));
    assert!((by_sum - 1.0).abs() < 1e-9, "{by_sum}");
    assert!((of_mean - by_mean).abs() < 1e-9, "{of_mean} {by_mean}");
    for (report, score) in [(sum, "sum"), (mean, "mean")] {
        let report = serde_json::to_value(&report).expect("json");
        assert_eq!(report["zero_shot"]["score"], score);
        assert_eq!(report["settings"]["zero_shot"], score);
        let note = report["layers"][0]["methods"]["zero_shot"]["note"].as_str().expect("a note");
        assert!(note.contains(score) && note.contains("whole answer"), "{note}");
    }
}

fn json_of(command: &mut assert_cmd::Command) -> Value {
    let output = command.arg("--json").assert().success().get_output().clone();
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

/// `ccs fit` and the rest of it: the same by the commands.
#[test]
fn the_commands_carry_the_whole_answer() {
    let scene = Scene::new(40);
    let pairs = scene.pairs(&templates()[..1]);
    let yaml = "templates:\n  a: !Template\n    name: copa\n    answer_choices: '{{choice1}} ||| {{choice2}}'\n    \
                jinja: '{{premise}} So? ||| {{answer_choices[label]}}'\n";
    std::fs::write(scene.path("copa.yaml"), yaml).expect("write");
    let mut command = llama_ccs();
    command
        .arg("prompts")
        .arg("--data")
        .arg(scene.path("data.jsonl"))
        .arg("--template")
        .arg(scene.path("copa.yaml"));
    command.arg("--model").arg(quiz().join("model")).arg("--out").arg(scene.path("p.csv"));
    // So that the answers are the last columns.
    let shown =
        command.args(["--preview", "1", "--keep-columns", "none"]).assert().success().get_output().clone();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let [plus, minus] = answers(&scene.rows[0], "copa");
    assert!(
        shown.contains(&format!("So? ⟦{plus}⟧\n")) && shown.contains(&format!("So? ⟦{minus}⟧\n")),
        "{shown}"
    );
    assert_eq!(prompts::read(scene.path("p.csv")).expect("read").pairs.len(), 40);

    // In f32, whatever suits this CPU: the store and the predictions are compared with f64.
    let chosen = ["--tokens", "last,answer_mean", "--dtype", "f32"];
    extract(&scene.path("p.csv"), &scene.path("store")).args(chosen).assert().success();
    let store = Store::open(scene.path("store")).expect("store");
    let rows = store.rows().expect("rows");
    let expected = |pair: &TokenizedPair| (pair.plus.answer.start as u32, pair.plus.answer.end as u32);
    assert!(rows.iter().zip(&pairs).all(|(row, pair)| matches!(
        &row.sides,
        Sides::Pair { plus, .. } if (plus.answer_start, plus.answer_end) == expected(pair)
    )));

    // The same prompts without the columns are other rows: the store is not continued with them.
    let text = std::fs::read_to_string(scene.path("p.csv")).expect("read");
    let cut = |line: &str| line.rsplitn(3, ',').nth(2).map(|line| format!("{line}\n")).expect("columns");
    std::fs::write(scene.path("older.csv"), text.lines().map(cut).collect::<String>()).expect("write");
    let mut command = extract(&scene.path("older.csv"), &scene.path("store"));
    let refused = command.args(chosen).assert().failure().get_output().clone();
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("hint: ") && refused.contains("row"), "{refused}");
    let older =
        extract(&scene.path("older.csv"), &scene.path("older")).assert().success().get_output().clone();
    let warned = String::from_utf8_lossy(&older.stderr).into_owned();
    assert!(warned.contains("no columns `plus_answer` and `minus_answer`: in 40 pairs"), "{warned}");

    predicts(&scene, &pairs);
}

/// A run's probe on the same questions: the model's own answers, as the run reads them or otherwise.
fn predicts(scene: &Scene, pairs: &[TokenizedPair]) {
    let source = StoreSource::open(scene.path("store")).expect("store");
    let methods = Some(vec![Method::LR, Method::ZERO_SHOT]);
    let layers = LayerSelection::Ranges(vec![(4, 4)]);
    let settings = Settings { methods, layers, seeds: 0, shuffles: 0, ..Settings::default() };
    let out = NewRunDir::reserve(scene.path("run"), Overwrite::No).expect("a free folder");
    Fit::new(&source).settings(settings).run_to(out).expect("fit");
    let expected = by_hand(scene, pairs);
    let of = |arguments: &[&str]| {
        let mut command = llama_ccs();
        command.arg("predict").arg("--run").arg(scene.path("run")).arg("--model").arg(quiz().join("model"));
        command.args(["--method", "lr", "--prompts"]).arg(scene.path("p.csv")).args(arguments);
        json_of(&mut command)
    };
    for (arguments, score) in [(&[][..], "sum"), (&["--zero-shot", "mean"], "mean")] {
        let found = of(arguments);
        assert_eq!(found["zero_shot_score"], score);
        for (row, [plus, minus]) in expected.iter().enumerate() {
            let logit = if score == "sum" { plus.sum - minus.sum } else { plus.mean - minus.mean };
            let found = found["predictions"][row]["zero_shot"].as_f64().expect("a probability");
            let p = 1.0 / (1.0 + (-logit).exp());
            assert!((found - p).abs() < 2e-3, "{score}, row {row}: {found} {p}");
        }
    }
}

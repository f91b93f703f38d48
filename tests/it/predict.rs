//! `llama-ccs predict` end to end on the quiz model: against the run's report, and against the store's own states.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use llama_ccs::activations::{SideOf, Store};
use llama_ccs::boolq::{self, Dataset, Template, TokenizedPair};
use llama_ccs::ccs::Contrast;
use llama_ccs::ccs_report::Method;
use llama_ccs::ccs_trainer::StoreSource;
use llama_ccs::ccs_trainer::{
    self as runs, EvalOptions, Fit, Fitted, LayerSelection, NewRunDir, Overwrite, Pooled, RunDir, Settings,
    Source, eval,
};
use llama_ccs::llama_core::tch::{Device, Kind, Tensor, no_grad};
use llama_ccs::llama_core::{Checkpoint, Llama, Precision, Tokenizer, save_meta};
use llama_ccs::{Extraction, Mismatch, Outcome, PredictOptions, Predicted, TokenRule, predict, tokenize_all};
use serde_json::Value;

use crate::support::{llama_ccs, quiz};

/// The quiz model, and a folder with a store of its questions at one token rule or several and a run for each.
///
/// Where a test compares a prediction with the store's own states, the store has the one rule that the probe reads: then
/// `predict` computes the same batches at the same tokens as `extract` did, so the same kernels give the same bits on any
/// machine. With more rules the last block goes on with other tokens, and its states agree up to rounding (`tokens`).
struct Quiz {
    folder: tempfile::TempDir,
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    pairs: Vec<TokenizedPair>,
}

impl Quiz {
    fn new(questions: usize, template: &Template) -> Self {
        Self::with(questions, std::slice::from_ref(template), &[TokenRule::Last])
    }

    fn with(questions: usize, templates: &[Template], rules: &[TokenRule]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let checkpoint = Checkpoint::open(quiz().join("model")).expect("model");
        let tokenizer = checkpoint.tokenizer().expect("tokenizer");
        let mut data = Dataset::load(quiz().join("questions.jsonl")).expect("questions");
        data.questions.truncate(questions);
        let made = boolq::pairs_with(&data, templates).expect("pairs").pairs;
        let pairs = tokenize_all(made, &tokenizer).expect("tokens");
        let extraction = Extraction::new(&checkpoint, &tokenizer).tokens(rules.iter().copied());
        let extraction = templates.iter().fold(extraction, Extraction::template);
        let outcome = extraction.run(&pairs, folder.path().join("store"), &mut ()).expect("extract");
        assert!(matches!(outcome, Outcome::Finished(_)));
        for rule in rules {
            let source = StoreSource::open_at(folder.path().join("store"), rule.name()).expect("store");
            fit(&source, &folder.path().join(format!("run-{rule}")));
        }
        Self { folder, checkpoint, tokenizer, pairs }
    }

    fn predict(&self, fitted: &Fitted, pairs: &[TokenizedPair]) -> Predicted {
        let options = PredictOptions::default();
        predict(fitted, &self.checkpoint, &self.tokenizer, pairs, &options, &mut |_, _| {}).expect("predict")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `llama-ccs predict` with this run and the quiz model.
    fn command(&self, run: &str) -> assert_cmd::Command {
        let mut command = llama_ccs();
        command.arg("predict").arg("--run").arg(self.path(run)).arg("--model").arg(quiz().join("model"));
        command
    }

    /// How probable the probe finds the states in the store.
    fn store_says(&self, fitted: &Fitted) -> Vec<f64> {
        let states = self.states(fitted);
        fitted.probe.pair_probabilities(&states).expect("probabilities")
    }

    /// What the store has of the layer and the token that the probe reads.
    fn states(&self, fitted: &Fitted) -> Contrast {
        let store = Store::open(self.path("store")).expect("store");
        let layers = store.layers(&fitted.tokens);
        let (_, column) = layers.iter().find(|(layer, _)| *layer == fitted.layer).expect("layer");
        let reader = store.column(&column.name()).expect("column");
        let rows = self.pairs.len();
        let read = |side| Tensor::from_slice(&reader.read(side).expect("read")).reshape([rows as i64, -1]);
        let groups = vec![String::new(); rows];
        Contrast::new(read(SideOf::Plus), read(SideOf::Minus), vec![true; rows], groups).expect("states")
    }
}

/// A quick run of the last two layers.
fn fit(source: &dyn Source, to: &Path) {
    let layers = LayerSelection::Ranges(vec![(3, 4)]);
    let methods =
        Some(vec![Method::CCS, "tpc".parse().unwrap(), Method::LR, Method::RANDOM, Method::ZERO_SHOT]);
    let mut settings = Settings { layers, methods, directions: 20, ..Settings::default() };
    (settings.ccs.n_init, settings.seeds, settings.shuffles) = (5, 0, 0);
    let out = NewRunDir::reserve(to, Overwrite::No).expect("a free folder");
    Fit::new(source).settings(settings).run_to(out).expect("fit");
}

fn json(command: &mut assert_cmd::Command) -> (Value, String) {
    let output = command.arg("--json").assert().success().get_output().clone();
    let value = serde_json::from_slice(&output.stdout).expect("one JSON value");
    (value, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn refusal(command: &mut assert_cmd::Command) -> String {
    let output = command.assert().failure().code(1).get_output().clone();
    assert!(output.stdout.is_empty());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn held_out_questions_are_predicted_as_the_report_says() {
    let quiz = Quiz::new(600, &Template::named("llama-ccs").expect("built in"));
    let report = RunDir::open(quiz.path("run-last")).and_then(|run| run.report()).expect("report");
    let held_out: HashSet<usize> = RunDir::open(quiz.path("run-last"))
        .and_then(|run| run.split())
        .expect("split")
        .test
        .row
        .into_iter()
        .collect();
    assert_eq!(held_out.len(), 240);
    let rows = quiz.pairs.iter().enumerate().filter(|(row, _)| held_out.contains(row));
    let held_out_pairs: Vec<_> = rows.clone().map(|(_, pair)| &pair.pair).collect();
    boolq::prompts::write(quiz.path("new.csv"), held_out_pairs).expect("prompts");

    for (name, method) in [("ccs", Method::CCS), ("lr", Method::LR)] {
        let fitted = Fitted::open(quiz.path("run-last"), method, None).expect("run");
        let mut command = quiz.command("run-last");
        let (found, said) = json(command.args(["--method", name]).arg("--prompts").arg(quiz.path("new.csv")));
        assert_eq!(said, "", "nothing differs, so nothing is warned of");
        assert_eq!(found["probe"]["layer"], fitted.layer);
        let reported = report.chosen[&method].test.as_ref().expect("a layer is chosen");
        let evaluated = &found["evaluation"]["probe"];
        assert!(reported.accuracy > 0.9 && evaluated["accuracy"] == reported.accuracy, "{evaluated}");
        assert_eq!(evaluated["confusion"], serde_json::to_value(reported.confusion).expect("json"));
        let interval = evaluated["accuracy_ci"].as_array().expect("an interval");
        assert!(
            interval[0].as_f64() <= Some(reported.accuracy)
                && interval[1].as_f64() >= Some(reported.accuracy)
        );
        let own = &report.layers[0].methods[&Method::ZERO_SHOT].test;
        assert_eq!(found["evaluation"]["zero_shot"]["accuracy"], own.accuracy);
        assert_eq!((&found["trained_on"], &found["calibrated"]), (&Value::from(0), &Value::Bool(true)));

        // Other batches than the store's: equal but for rounding, 1e-5 of a state's size in f32 (`support::F32`), and a
        // probability moves by far less than a hundred times what the states do.
        let expected = quiz.store_says(&fitted);
        let predictions = found["predictions"].as_array().expect("rows");
        assert_eq!(predictions.len(), 240);
        for ((row, pair), prediction) in rows.clone().zip(predictions) {
            let p = prediction["p_true"].as_f64().expect("p");
            assert!((p - expected[row]).abs() < 1e-3, "row {row}: {p} vs {}", expected[row]);
            let score = prediction["score"].as_f64().expect("score");
            assert_eq!(fitted.probe.probability(score), Some(p), "calibrated, from the score beside it");
            assert_eq!(prediction["judged_true"], score > fitted.probe.input().threshold());
            assert_eq!(prediction["label"], pair.pair.label);
            assert_eq!(prediction["question_id"], pair.pair.question_id.as_str());
        }
    }
}

#[test]
fn in_the_stores_batches_the_states_are_the_stores() {
    for rule in [TokenRule::Last, TokenRule::Mean] {
        let quiz = Quiz::with(300, &[Template::named("llama-ccs").expect("built in")], &[rule]);
        let run = format!("run-{rule}");
        let fitted = Fitted::open(quiz.path(&run), Method::CCS, None).expect("run");
        let mut seen = Vec::new();
        let found = predict(
            &fitted,
            &quiz.checkpoint,
            &quiz.tokenizer,
            &quiz.pairs,
            &PredictOptions::default(),
            &mut |done, total| seen.push((done, total)),
        );
        let found = found.expect("predict");
        let expected = quiz.store_says(&fitted);
        assert_eq!((found.rows.len(), expected.len()), (quiz.pairs.len(), quiz.pairs.len()));
        for (row, (found, expected)) in found.rows.iter().zip(expected).enumerate() {
            let p = found.p_true.expect("calibrated");
            // The states are the same bits; a score is a sum of 128 products in f64, here of a batch's rows at once and
            // there of all rows: 128 · 2⁻⁵³ of terms that Platt's slope makes larger.
            assert!((p - expected).abs() < 1e-12, "{run}, row {row}: {p} vs {expected}");
        }
        assert_eq!((found.trained_on(), found.warnings.len()), (180, 0));
        // As `ccs eval` judges the whole store: without the rows that trained the probe, unless they are asked for.
        let source = StoreSource::open_at(quiz.path("store"), &fitted.tokens).expect("store");
        for keep_trained in [false, true] {
            let options = EvalOptions { keep_trained, ..EvalOptions::default() };
            let judged = eval(quiz.path(&run), &source, &options).expect("eval");
            let own = found.evaluate(&quiz.pairs, keep_trained).expect("evaluate").expect("rows");
            assert_eq!(judged.rows, if keep_trained { 300 } else { 120 });
            assert_eq!(own.0, judged.probes["ccs"].test);
            assert_eq!(Some(own.1), judged.zero_shot);
        }
        let trained: Vec<_> = quiz
            .pairs
            .iter()
            .zip(&found.rows)
            .filter(|(_, row)| row.trained_on)
            .map(|(p, _)| p.clone())
            .collect();
        let only = quiz.predict(&fitted, &trained);
        assert!(only.evaluate(&trained, false).expect("evaluate").is_none());
        assert!(only.evaluate(&quiz.pairs, false).is_err(), "other pairs");
        assert_eq!((seen.first(), seen.last()), (Some(&(0, 300)), Some(&(300, 300))));
    }
}

fn templates() -> [Template; 2] {
    let other =
        "{# answers: True right | False wrong #}\n{{ passage }}\n\nis it so {{ question }}? {{ answer }}";
    [
        Template::named("llama-ccs").expect("built in"),
        Template::from_source("other", other).expect("template"),
    ]
}

#[test]
fn each_template_is_read_with_its_own_statistics() {
    let quiz = Quiz::with(150, &templates(), &[TokenRule::Last]);
    for method in [Method::CCS, "tpc".parse().unwrap(), Method::LR] {
        let fitted = Fitted::open(quiz.path("run-last"), method, None).expect("run");
        assert_eq!(fitted.probe.normalizer().templates().len(), 2);
        let found = quiz.predict(&fitted, &quiz.pairs);
        assert_eq!(found.warnings, []);
        let names = quiz.pairs.iter().map(|p| p.pair.template.clone()).collect();
        let questions = quiz.pairs.iter().map(|p| p.pair.question_id.clone()).collect();
        let states = quiz.states(&fitted);
        let pooled = fitted.probe.score_pairs(&states).expect("scores");
        let own = fitted
            .probe
            .score_pairs(&states.with_variants(questions, names).expect("variants"))
            .expect("scores");
        let mut apart: f64 = 0.0;
        assert_eq!((found.rows.len(), own.len()), (quiz.pairs.len(), quiz.pairs.len()));
        for ((row, own), pooled) in found.rows.iter().zip(&own).zip(pooled) {
            // Equal states, and sums in f64.
            assert!((row.score - own).abs() < 1e-9, "{method}: {} vs {own}", row.score);
            assert_eq!(row.p_true, fitted.probe.probability(row.score));
            apart = apart.max((own - pooled).abs());
        }
        assert!(apart > 1e-2, "{method}: the templates' statistics differ, {apart}");

        // The run's own test rows, and what `ccs eval` says of them.
        let judged = quiz.pairs.iter().zip(&found.rows).filter(|(_, row)| !row.trained_on);
        let right =
            judged.clone().filter(|(pair, row)| (row.score > found.threshold) == pair.pair.label).count();
        let reported = fitted.report.chosen[&method].test.as_ref().expect("chosen");
        assert_eq!((judged.clone().count(), right as f64 / judged.count() as f64), (120, reported.accuracy));
        let source = StoreSource::open_at(quiz.path("store"), "last").expect("store");
        let judged = eval(quiz.path("run-last"), &source, &EvalOptions::default()).expect("eval");
        let (own, _) = found.evaluate(&quiz.pairs, false).expect("evaluate").expect("rows");
        assert_eq!(own, judged.probes[method.name()].test, "{method}");
    }

    // A third template: said, and not passed over.
    let fitted = Fitted::open(quiz.path("run-last"), Method::CCS, None).expect("run");
    let mut strange = quiz.pairs[..6].to_vec();
    strange.iter_mut().step_by(2).for_each(|pair| pair.pair.template = "third".to_owned());
    let said: Vec<String> =
        quiz.predict(&fitted, &strange).warnings.iter().map(ToString::to_string).collect();
    assert!(
        said.iter().any(|s| s.starts_with("3 rows are of templates that the probe was not fitted on")),
        "{said:?}"
    );
    // The same row twice is two rows.
    let twice = [&quiz.pairs[..2], &quiz.pairs[..2]].concat();
    let rows = quiz.predict(&fitted, &twice).rows;
    assert_eq!(rows[..2], rows[2..]);
}

#[test]
fn a_pool_of_data_sets_knows_its_templates_by_their_own_names() {
    let [plain, other] = templates();
    let (one, two) = (Quiz::new(60, &plain), Quiz::new(60, &other));
    let [a, b] = [&one, &two].map(|quiz| StoreSource::open(quiz.path("store")).expect("store"));
    let pool = [("a", &a), ("b", &b)].map(|(name, source)| runs::Dataset { name, source });
    fit(&Pooled::new(&pool, &LayerSelection::All).expect("pool"), &one.path("pool"));
    let fitted = Fitted::open(one.path("pool"), Method::LR, None).expect("run");
    assert_eq!(fitted.probe.normalizer().templates(), ["a/llama-ccs", "b/other"]);
    for (quiz, name) in [(&one, "a/llama-ccs"), (&two, "b/other")] {
        let found = quiz.predict(&fitted, &quiz.pairs);
        assert_eq!(found.warnings, []);
        let questions = quiz.pairs.iter().map(|p| p.pair.question_id.clone()).collect();
        let states =
            quiz.states(&fitted).with_variants(questions, vec![name.to_owned(); 60]).expect("variants");
        assert_eq!(found.rows.len(), 60);
        for (row, expected) in found.rows.iter().zip(fitted.probe.score_pairs(&states).expect("scores")) {
            // Equal states, and sums in f64.
            assert!((row.score - expected).abs() < 1e-9, "{name}: {} vs {expected}", row.score);
        }
    }
}

#[test]
fn what_the_probe_was_not_fitted_on_is_refused_or_said() {
    let quiz = Quiz::new(60, &Template::named("llama-ccs").expect("built in"));
    boolq::prompts::write(quiz.path("new.csv"), quiz.pairs.iter().take(5).map(|p| &p.pair)).expect("prompts");
    let prompts = quiz.path("new.csv");

    // Another model, with the same shapes.
    let other = quiz.path("other");
    let llama = Llama::load(&quiz.checkpoint, Precision::F32, Device::Cpu).expect("load");
    let mut weights = llama.trainable().expect("weights").into_iter();
    let (_, mut gain) = weights.find(|(name, _)| name == "blocks.1.ln1_gain").expect("gain");
    let _ = no_grad(|| gain.fill_(1.0));
    std::fs::create_dir(&other).expect("folder");
    save_meta(&llama, &other, Kind::Float, 1).expect("save");
    let tokenizer = crate::support::quiz().join("model/tokenizer.model");
    let with_other = |arguments: &[&str]| {
        let mut command = llama_ccs();
        command.arg("predict").arg("--run").arg(quiz.path("run-last")).arg("--model").arg(&other);
        command.arg("--tokenizer").arg(&tokenizer).arg("--prompts").arg(&prompts).args(arguments);
        command
    };
    let said = refusal(&mut with_other(&[]));
    assert!(
        said.contains("fitted on another model") && said.contains("hint:") && said.contains("--any-model"),
        "{said}"
    );
    let (found, said) = json(&mut with_other(&["--any-model"]));
    assert!(said.starts_with("warning: the probe was fitted on another model"), "{said}");
    assert_eq!(found["warnings"].as_array().map(Vec::len), Some(1));

    // Another type to compute in, another template.
    let (_, said) = json(quiz.command("run-last").args(["--dtype", "bf16", "--prompts"]).arg(&prompts));
    assert!(
        said.contains("warning: the probe was fitted on states computed in f32, these are computed in bf16"),
        "{said}"
    );
    let (_, said) = json(quiz.command("run-last").args(["--template", "statement", "The cup is red."]));
    assert!(said.contains("fitted on the template llama-ccs, these prompts are of statement"), "{said}");

    // A method and a layer without a probe; a run that is none.
    let said = refusal(quiz.command("run-last").args(["--layer", "1", "--prompts"]).arg(&prompts));
    assert!(said.contains("layer 1 was not fitted") && said.contains("the layers 3, 4"), "{said}");
    let said = refusal(quiz.command("run-last").args(["--method", "random", "--prompts"]).arg(&prompts));
    assert!(said.contains("random was not fitted"), "{said}");
    assert!(refusal(quiz.command("store").arg("--prompts").arg(&prompts)).contains("report.json"));
    quiz.command("run-last").arg("--prompts").arg(&prompts).arg("a statement too").assert().failure().code(2);
}

#[test]
fn questions_on_the_command_line_are_written_as_the_runs() {
    let quiz = Quiz::new(60, &Template::named("llama-ccs").expect("built in"));
    let said = refusal(quiz.command("run-last").arg("is the cup red"));
    assert!(said.contains("`passage`") && said.contains("give --passage TEXT"), "{said}");

    let row =
        Dataset::load(crate::support::quiz().join("questions.jsonl")).expect("questions").questions.remove(0);
    let passage = row.passage.as_deref().expect("passage");
    let (found, said) = json(quiz.command("run-last").args(["--passage", passage, &row.question]));
    assert_eq!(said, "");
    assert_eq!((&found["predictions"][0]["label"], &found["evaluation"]), (&Value::Null, &Value::Null));
    // The same question, written by `prompts` before the extraction.
    let fitted = Fitted::open(quiz.path("run-last"), Method::CCS, None).expect("run");
    let p = found["predictions"][0]["p_true"].as_f64().expect("p");
    assert!((p - quiz.store_says(&fitted)[0]).abs() < 1e-3, "{p}");

    let table = quiz.command("run-last").args(["--passage", passage, &row.question]).assert().success();
    let table = String::from_utf8_lossy(&table.get_output().stdout).into_owned();
    assert!(
        table.starts_with("p(true)     score  zero-shot  question\n") && table.contains(&row.question),
        "{table}"
    );

    let data = crate::support::quiz().join("questions.jsonl");
    let mut command = quiz.command("run-last");
    let table = command.args(["--offset", "60", "--limit", "30", "--data"]).arg(data).assert().success();
    let table = String::from_utf8_lossy(&table.get_output().stdout).into_owned();
    assert!(
        table.contains("p(true)     score  zero-shot  label  question\n")
            && table.contains(
                "p(true) is calibrated on held-out training rows; a score above 0.5 counts as true"
            )
            && table.contains("of 30 rows"),
        "{table}"
    );
}

#[test]
fn a_template_of_ones_own_is_known_from_the_store() {
    let source =
        "{# answers: True right | False wrong #}\n{{ passage }}\n\nis it so {{ question }}? {{ answer }}";
    let own = Template::from_source("own", source).expect("template");
    let quiz = Quiz::with(60, std::slice::from_ref(&own), &[TokenRule::Last, TokenRule::Mean]);
    let fitted = Fitted::open(quiz.path("run-mean"), Method::LR, None).expect("run");
    assert_eq!(llama_ccs::Origin::of(&fitted).template(None).expect("recorded").identity(), own.identity());
    let (found, said) =
        json(quiz.command("run-mean").args(["--passage", "The cup is red.", "is the cup red"]));
    assert_eq!(said, "");
    assert_eq!(found["probe"]["tokens"], "mean");

    // A text of the same name that is another.
    let changed = quiz.path("own.jinja");
    std::fs::write(&changed, "{{ passage }} {{ question }}? {{ answer }}").expect("write");
    let mut command = quiz.command("run-mean");
    command.arg("--template").arg(&changed).args(["--passage", "The cup is red.", "is the cup red"]);
    let (found, said) = json(&mut command);
    assert!(said.contains("these prompts are of another text of that name"), "{said}");
    assert_eq!(found["warnings"].as_array().map(Vec::len), Some(1));
    assert!(matches!(
        llama_ccs::Origin::of(&fitted).other_text(&Template::in_file(&changed).expect("template")[0]),
        Some(Mismatch::Template { .. })
    ));
}

/// A path that is no run says so before a model is opened.
#[test]
fn the_run_is_looked_at_first() {
    let mut command = llama_ccs();
    command.args(["predict", "--run", "nowhere", "--model", "nowhere either", "A statement."]);
    let said = refusal(&mut command);
    assert!(said.contains("no run in nowhere: it has no report.json"), "{said}");
}

//! Single statements, from a data file to a store: one prompt a row, and no answer.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use llama_ccs::activations::{Column, RowKind, SideOf, Sides, Store, verify};
use llama_ccs::llama_core::{Checkpoint, Tokenizer};
use llama_ccs::{Error, Extraction, Observer, Outcome, TokenRule, boolq, tokenize_all, tokenize_statements};

use crate::support::{F32, contents, extract, llama_ccs, quiz};

/// Statements of words that the quiz model knows, of several lengths.
fn data(folder: &Path) -> PathBuf {
    let mut lines = vec!["statement,color,label".to_owned()];
    for (row, thing) in
        ["kite", "sock", "bell", "lamp", "spoon", "key"].into_iter().cycle().take(24).enumerate()
    {
        let color = ["yellow", "black", "grey", "red"][row / 6];
        let more = " It is in the cellar.".repeat(row % 3);
        lines.push(format!("The {thing} is {color}.{more},{color},{}", usize::from(row % 2 == 0)));
    }
    let path = folder.join("colors.csv");
    fs::write(&path, lines.join("\n") + "\n").expect("data");
    path
}

/// `llama-ccs prompts --single` on these data.
fn prompts(folder: &Path, arguments: &[&str]) -> assert_cmd::Command {
    let mut command = llama_ccs();
    command
        .args(["prompts", "--single", "--data"])
        .arg(data(folder))
        .arg("--model")
        .arg(quiz().join("model"));
    command.arg("--out").arg(folder.join("statements.csv")).args(arguments);
    command
}

fn said(command: &mut assert_cmd::Command, succeeds: bool) -> String {
    let output = command.output().expect("run");
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(output.status.success(), succeeds, "{text}");
    text
}

#[test]
fn rows_become_prompts_as_they_are() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let text = said(&mut prompts(dir, &["--limit", "20", "--balance", "--preview", "1"]), true);
    assert!(text.contains("idx 0 (statement 0 of colors, template as-is, group "), "{text}");
    assert!(text.contains("captured: position"), "{text}");
    let csv = fs::read_to_string(dir.join("statements.csv")).expect("prompts");
    let head =
        "idx,prompt,label,question_id,group,template,dataset,data.color\n0,The kite is yellow.,True,0,";
    assert!(csv.starts_with(head), "{csv}");

    // Another template, with a prefix; and what `--json` says.
    fs::write(dir.join("believe.jinja"), "I believe: {{ statement }}").expect("template");
    let template = dir.join("believe.jinja").display().to_string();
    let more = ["--template", &template, "--prefix", "So.", "--json", "--max-seq-len", "20", "--balance"];
    let json: serde_json::Value = serde_json::from_str(&said(&mut prompts(dir, &more), true)).expect("JSON");
    assert_eq!((&json["statements"], &json["pairs"]), (&json["kept"], &serde_json::Value::Null));
    assert_eq!(json["true_share"], 0.5);
    let too_long = &json["dropped"][0]["reason"]["StatementTooLong"];
    assert!(too_long["tokens"].as_u64().expect("a number") > 20, "{json}");
    let read = boolq::prompts::read_statements(dir.join("statements.csv")).expect("read").statements;
    assert_eq!(read[0].prompt, "So.\nI believe: The kite is yellow.");
    assert_eq!(read[0].columns.get("color"), Some("yellow"));
}

#[test]
fn what_makes_no_statement_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let file = |name: &str, text: &str| {
        fs::write(dir.join(name), text).expect("write");
        dir.join(name).display().to_string()
    };
    let refused = |arguments: &[&str], part: &str| {
        let text = said(&mut prompts(dir, arguments), false);
        assert!(text.contains(part) && text.contains("hint: "), "{part:?} in\n{text}");
    };
    refused(
        &["--blank-passage"],
        "--single makes statements, and --blank-passage is a control for questions",
    );
    refused(&["--template", "statement"], "it uses `answer`, and a single statement has none");
    let asks = file("asks.jinja", "{{ statement }} {% if answer == 'True' %}yes{% endif %}");
    refused(&["--template", &asks], "it uses `answer`");
    let named = file("named.jinja", "{# answers: Yes | No #}\n{{ statement }}");
    refused(&["--template", &named], "its first line names two answers");
    let yaml = file(
        "source.yaml",
        "dataset: d\ntemplates:\n  a: !Template\n    answer_choices: No ||| Yes\n    id: a\n    jinja: '{{statement}} ||| {{answer_choices[label]}}'\n    name: own\n",
    );
    refused(&["--template", &yaml], "promptsource's templates end in a target");

    // Without an answer there is no pair.
    let mut pairs = llama_ccs();
    pairs.args(["prompts", "--template", "as-is", "--data"]).arg(data(dir)).arg("--model");
    pairs.arg(quiz().join("model")).arg("--out").arg(dir.join("pairs.csv"));
    let text = said(&mut pairs, false);
    assert!(text.contains("does not print `answer`") && text.contains("--single"), "{text}");

    said(&mut prompts(dir, &[]), true);
    let csv = dir.join("statements.csv");
    let text = said(extract(&csv, &dir.join("store")).args(["--tokens", "last,answer_mean"]), false);
    assert!(text.contains("the token rule `answer_mean` is of an answer"), "{text}");
    let mixed = fs::read_to_string(&csv).expect("read").replacen("data.color", "minus_prompt", 1);
    let mixed = file("mixed.csv", &mixed);
    let text = said(&mut extract(Path::new(&mixed), &dir.join("store")), false);
    assert!(
        text.contains("the column `prompt` is of single statements, and `minus_prompt` is of pairs"),
        "{text}"
    );
    assert!(!dir.join("store").exists());
}

/// The states wanted are all of the first stage: nothing leaves it, and the second has nothing to do.
#[cfg(feature = "distributed")]
#[test]
fn statements_go_through_stages_as_far_as_their_states_are_wanted() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    said(&mut prompts(dir, &[]), true);
    for (name, hooks) in [
        ("embedding", "hook_embed"),
        ("first", "blocks.{0,1}.hook_resid_post"),
        ("all", "blocks.*.hook_resid_post"),
    ] {
        let stores = ["1", "2"].map(|ranks| {
            let store = dir.join(format!("{name}{ranks}"));
            let mut command = extract(&dir.join("statements.csv"), &store);
            command.args(["--hooks", hooks, "--batch-tokens", "100", "--ranks", ranks]);
            if ranks == "2" {
                command.args(["--pp", "2"]);
            }
            said(&mut command, true);
            contents(&store)
        });
        assert!(stores[0] == stores[1], "{name}");
    }
}

/// Stops after the first batch.
struct Once(usize);

impl Observer for Once {
    fn rows(&mut self, _done: usize, _total: usize) -> ControlFlow<()> {
        self.0 += 1;
        if self.0 > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn model() -> (Checkpoint, Tokenizer) {
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("model");
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    (checkpoint, tokenizer)
}

fn finished(outcome: Outcome) -> Store {
    match outcome {
        Outcome::Finished(store) => store,
        other => panic!("{other:?}"),
    }
}

/// A statement has the states that a pair's side of the same text has, under every rule, shared, streamed and alone; and a
/// store that was interrupted has the bytes of one that was not.
#[test]
fn a_statement_has_the_states_of_the_same_text_in_a_pair() {
    let folder = tempfile::tempdir().expect("folder");
    let (checkpoint, tokenizer) = model();
    let loaded = boolq::Dataset::load(data(folder.path())).expect("data");
    let templates = ["{{ statement }} True or False: {{ answer }}", "{{ statement }} {{ answer }}"];
    let templates = templates.map(|source| boolq::Template::from_source(source, source).expect("template"));
    let pairs = boolq::pairs_with(&loaded, &templates).expect("pairs").pairs;
    let of_plus = |pair: &boolq::ContrastPair| boolq::Statement {
        idx: pair.idx,
        prompt: pair.plus_prompt.clone(),
        label: pair.label,
        question_id: pair.question_id.clone(),
        group: pair.group.clone(),
        template: pair.template.clone(),
        dataset: pair.dataset.clone(),
        chat: None,
        columns: pair.columns.clone(),
    };
    let statements = tokenize_statements(pairs.iter().map(of_plus).collect(), &tokenizer).expect("tokens");
    let pairs = tokenize_all(pairs, &tokenizer).expect("tokens");
    let base = || {
        let rules = [TokenRule::Last, TokenRule::First, TokenRule::Mean];
        Extraction::new(&checkpoint, &tokenizer).tokens(rules).batch_tokens(200)
    };
    let store = finished(base().run(&pairs, folder.path().join("pairs"), &mut ()).expect("extract"));
    let of = |extraction: &Extraction<'_>, name: &str| {
        let out = folder.path().join(name);
        let first = extraction.run(&statements, &out, &mut Once(0)).expect("extract");
        assert!(matches!(first, Outcome::Stopped { done: 1.., .. }), "{name}");
        assert!(verify(&out).expect("readable").is_sound());
        finished(extraction.run(&statements, &out, &mut ()).expect("extract"))
    };
    let singles = of(&base(), "singles");
    let whole = folder.path().join("whole");
    finished(base().run(&statements, &whole, &mut ()).expect("extract"));
    assert_eq!(contents(singles.dir()), contents(&whole), "it continued to the same bytes");

    let columns: Vec<String> = singles.manifest().columns.iter().map(Column::name).collect();
    assert!(columns.iter().all(|name| !name.contains("answer")), "{columns:?}");
    assert_eq!(singles.kind(), RowKind::Statements);
    for (row, pair) in singles.rows().expect("rows").iter().zip(store.rows().expect("rows")) {
        let (Sides::Single { statement }, Sides::Pair { plus, .. }) = (&row.sides, &pair.sides) else {
            panic!("one is of statements, one of pairs")
        };
        assert_eq!((&statement.prompt, statement.tokens), (&plus.prompt, plus.tokens));
        assert_eq!((row.idx, row.label, &row.columns), (pair.idx, pair.label, &pair.columns));
    }
    let little = base().max_memory(1).run(&statements, folder.path().join("none"), &mut ());
    let Err(Error::TooLittleMemory { needed, .. }) = little else { panic!("one byte: {little:?}") };
    let others = [
        of(&base().sharing(false), "alone"),
        of(&base().deterministic(true), "deterministic"),
        of(&base().max_memory(needed), "streamed"),
        singles,
    ];
    for other in others {
        for name in &columns {
            let read = |store: &Store, side| store.column(name).expect(name).read(side).expect("states");
            let (expected, found) = (read(&store, SideOf::Plus), read(&other, SideOf::Statement));
            let largest = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
            let apart = expected.iter().zip(&found).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
            assert_eq!(expected.len(), found.len());
            assert!(apart <= F32 * largest, "{}: {name}: {apart} of {largest}", other.dir().display());
        }
    }
}

#[test]
fn a_store_of_statements_is_shown_verified_repaired_and_not_exported() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    said(&mut prompts(dir, &[]), true);
    let (csv, store) = (dir.join("statements.csv"), dir.join("store"));
    let few = ["--hooks", "hook_embed", "blocks.{0,1}.hook_resid_post", "--store-dtype", "f16"];
    let text =
        said(extract(&csv, &store).args(few).args(["--batch-tokens", "100", "--compare-f32", "4"]), true);
    assert!(text.contains("largest difference"), "{text}");
    let store_command = |words: &[&str]| {
        let mut command = llama_ccs();
        command.arg("store").arg(words[0]).arg(&store).args(&words[1..]);
        command
    };
    assert!(said(&mut store_command(&["info"]), true).contains("24 of 24 rows (statements), kept in f16"));
    let json: serde_json::Value =
        serde_json::from_str(&said(&mut store_command(&["info", "--json"]), true)).expect("JSON");
    assert_eq!(json["kind"], "statements");
    let out = dir.join("exported").display().to_string();
    let text = said(&mut store_command(&["export", "--out", &out]), false);
    assert!(text.contains("the store is of single statements"), "{text}");

    let whole = contents(&store);
    let path = store.join("blocks.0.hook_resid_post/statement.npy");
    let mut bytes = fs::read(&path).expect("read");
    bytes[128 + 3 * 256 + 5] ^= 8;
    fs::write(&path, bytes).expect("write");
    assert!(said(&mut store_command(&["verify"]), false).contains("blocks.0.hook_resid_post/statement.npy"));
    let text = said(extract(&csv, &store).args(few).args(["--batch-tokens", "100"]), true);
    assert!(text.contains("computed again"), "{text}");
    assert_eq!(contents(&store), whole);

    // A probe of statements takes no questions, and says so before it looks at them.
    let mut fit = crate::support::ccs();
    let quick = ["--methods", "lr", "--folds", "2", "--shuffles", "0", "--seeds", "0", "--directions", "10"];
    said(fit.arg("fit").arg(&store).args(quick).arg("--out").arg(dir.join("run")), true);
    let mut predict = llama_ccs();
    predict.args(["predict", "--run"]).arg(dir.join("run")).arg("--model").arg(quiz().join("model"));
    let text = said(predict.args(["--method", "lr", "is the cup red"]), false);
    assert!(text.contains("the probe was fitted on single statements"), "{text}");
    let refused = boolq::prompts::read(&csv).expect_err("of statements").to_string();
    assert!(refused.contains("these are single statements, and contrast pairs are needed"), "{refused}");
}

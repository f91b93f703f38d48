//! Chats from a data file to predictions: prompts by a chat template, a store, a run, new questions.

use std::fs;
use std::path::{Path, PathBuf};

use llama_ccs::activations::provenance::Provenance;
use llama_ccs::activations::{SideOf, Store};
use llama_ccs::boolq;
use llama_ccs::llama_core::Tokenizer;

use crate::commands::fit;
use crate::support::{F32, llama_ccs, quiz};

/// Turns without tokens of their own between them, which the teaching model does not have. Behind a control token a text
/// does not begin, so the space before its first word is written.
const TEMPLATE: &str = "{{ bos_token }} {% for m in messages %}{% if m.role == 'user' %}{{ m.content | trim }} \
    {% elif m.role == 'assistant' %}{{ m.content }}{{ eos_token }}{% else %}{{ raise_exception('No ' ~ m.role ~ ' here') }}\
    {% endif %}{% endfor %}";

/// The teaching model with a chat template.
fn model(folder: &Path, template: &str) -> PathBuf {
    let model = folder.join("model");
    fs::create_dir_all(&model).expect("folder");
    for name in ["consolidated.00.pth", "params.json", "tokenizer.model"] {
        fs::copy(quiz().join("model").join(name), model.join(name)).expect("copy");
    }
    fs::write(model.join("chat_template.jinja"), template).expect("template");
    model
}

fn prompts(model: &Path, out: &Path, more: &[&str]) -> assert_cmd::Command {
    let mut command = llama_ccs();
    command.args(["prompts", "--limit", "60", "--balance", "--data"]).arg(quiz().join("questions.jsonl"));
    command.arg("--model").arg(model).arg("--out").arg(out).args(more);
    command
}

fn said(command: &mut assert_cmd::Command, succeeds: bool) -> String {
    let output = command.output().expect("run");
    let text = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
    assert_eq!(output.status.success(), succeeds, "{text}");
    text
}

#[test]
fn chats_go_from_prompts_to_predictions() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let (model, csv, store) = (model(dir, TEMPLATE), dir.join("chat.csv"), dir.join("store"));
    said(&mut prompts(&model, &csv, &["--chat"]), true);

    // The question, the answer, EOS: the same text as without a template, and what that writes around it.
    let read = boolq::prompts::read(&csv).expect("reads").pairs;
    let plain_csv = dir.join("plain.csv");
    said(&mut prompts(&model, &plain_csv, &[]), true);
    let plain = boolq::prompts::read(&plain_csv).expect("reads").pairs;
    let tokenizer = Tokenizer::open(model.join("tokenizer.model")).expect("opens");
    let identity = tokenizer.chat_template(None).expect("a template").identity();
    for (chat, plain) in read.iter().zip(&plain) {
        assert_eq!(chat.plus_prompt, format!("<s> {}</s>", plain.plus_prompt));
        assert_eq!(
            &chat.plus_prompt[chat.answers.plus.clone()],
            &plain.plus_prompt[plain.answers.plus.clone()]
        );
        assert_eq!((&chat.group, chat.label), (&plain.group, plain.label));
        assert_eq!(chat.chat.as_deref(), Some(identity.as_str()));
    }

    // BOS once, EOS last, and the answer before it: its last token's state is the plain prompts' last state.
    let out = |name: &str| dir.join(name);
    let rules = "last,answer_last";
    said(extract(&model, &csv, &store).args(["--tokens", rules]), true);
    said(&mut extract(&model, &plain_csv, &out("plain")), true);
    let (chats, plain_store) =
        (Store::open(&store).expect("opens"), Store::open(out("plain")).expect("opens"));
    let hook = "blocks.3.hook_resid_post";
    let read = |store: &Store, name: &str| {
        store.column(name).expect("a column").read(SideOf::Minus).expect("states")
    };
    let (answers, ends) = (read(&chats, &format!("{hook}@answer_last")), read(&plain_store, hook));
    let largest = ends.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let apart = answers.iter().zip(&ends).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
    // The same tokens in batches of other widths.
    assert!(apart <= F32 * largest, "{apart} of {largest}");
    let lasts = read(&chats, hook);
    assert!(
        lasts.iter().zip(&ends).any(|(a, b)| (a - b).abs() > 0.1 * largest),
        "EOS has a state of its own"
    );

    // The manifest says how, and predictions are of new chats.
    let settings = Provenance::from(chats.manifest().settings.clone());
    let record = settings.chat.clone().expect("chats are recorded");
    assert_eq!((record.identity.as_deref(), record.system), (Some(identity.as_str()), None));
    assert_eq!(record.tokens.expect("tokens")["bos_token"], "<s>");
    fit(&store, &out("run"));
    let mut predict = llama_ccs();
    predict.arg("predict").arg("--run").arg(out("run")).arg("--model").arg(&model);
    predict.args(["--limit", "20", "--json", "--data"]).arg(quiz().join("questions.jsonl"));
    let made: serde_json::Value =
        serde_json::from_slice(&predict.output().expect("run").stdout).expect("JSON");
    assert_eq!(made["warnings"], serde_json::json!([]), "{made}");
    let mut by_file = llama_ccs();
    by_file.arg("predict").arg("--run").arg(out("run")).arg("--model").arg(&model).arg("--prompts");
    let text = said(by_file.arg(&plain_csv), true);
    assert!(text.contains("these are prompts that are no chats"), "{text}");

    // Another template than the one that the prompts are of is named.
    fs::write(model.join("chat_template.jinja"), TEMPLATE.replace("trim", "upper")).expect("template");
    let text = said(&mut extract(&model, &csv, &out("other")), true);
    assert!(
        text.contains("another chat template than the tokenizer's own (")
            && text.contains("chat_template.jinja"),
        "{text}"
    );
    let text = said(&mut predict, true);
    assert!(text.contains("another chat template"), "{text}");
}

/// `extract` of this model.
fn extract(model: &Path, prompts: &Path, store: &Path) -> assert_cmd::Command {
    let mut command = llama_ccs();
    command
        .args(["extract", "--dtype", "f32", "--model"])
        .arg(model)
        .arg("--prompts")
        .arg(prompts)
        .arg("--out")
        .arg(store);
    command
}

#[test]
fn a_question_is_asked_and_answered_as_a_chat() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let model = model(dir, "{{ bos_token }} {{ messages[0].content }}{{ ' is' if add_generation_prompt }}");
    let generate = |more: &[&str]| {
        let mut command = llama_ccs();
        command
            .args(["generate", "--temperature", "0", "--max-new-tokens", "3", "--json", "--model"])
            .arg(&model);
        let text = said(command.args(more), true);
        let made: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        made[0]["text"].as_str().expect("text").to_owned()
    };
    assert_eq!(generate(&["--chat", "The cup"]), generate(&["The cup is"]));
}

#[test]
fn statements_are_the_users_turn_and_a_date_is_told() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let dated = "{{ strftime_now('%d %b %Y') }} {% for m in messages %}{{ m.content }} {{ who }}{% endfor %}";
    let model = model(dir, dated);
    let data = dir.join("colors.csv");
    fs::write(&data, "statement,label\nThe kite is black.,1\nThe sock is red.,0\n").expect("data");
    let out = dir.join("s.csv");
    let single = |more: &[&str]| {
        let mut command = llama_ccs();
        command.args(["prompts", "--single", "--chat", "--data"]).arg(&data).arg("--model").arg(&model);
        said(command.arg("--out").arg(&out).args(more), true)
    };
    let text = single(&["--chat-date", "2024-07-26", "--chat-set", "who=me"]);
    assert!(!text.contains("--chat-date"), "{text}");
    let read = boolq::prompts::read_statements(&out).expect("reads").statements;
    assert_eq!(read[1].prompt, "26 Jul 2024 The sock is red. me");
    assert!(read[1].chat.is_some());
    let text = single(&[]);
    assert!(text.contains("the chat template writes the date into every prompt, today 2"), "{text}");
}

#[test]
fn what_a_template_refuses_is_named_with_its_row() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let (chat, none) = (model(dir, TEMPLATE), quiz().join("model"));
    let out = dir.join("p.csv");
    let text = said(&mut prompts(&chat, &out, &["--chat", "--system", "Be brief."]), false);
    assert!(text.contains("chat_template.jinja refuses the messages: No system here"), "{text}");
    assert!(text.contains("row 0: ") && text.contains("hint: "), "{text}");
    assert!(!out.exists());
    let text = said(&mut prompts(&none, &out, &["--chat"]), false);
    assert!(text.contains("has no chat template") && text.contains("a base model has none"), "{text}");
    let text = said(&mut prompts(&chat, &out, &["--chat=rag"]), false);
    assert!(text.contains("there is no chat template `rag`: there are default"), "{text}");
    let text = said(&mut prompts(&chat, &out, &["--system", "x"]), false);
    assert!(text.contains("--chat"), "{text}");
    let text = said(&mut prompts(&chat, &out, &["--chat", "--chat-set", "x"]), false);
    assert!(text.contains("enable_thinking=false"), "{text}");
    let text = said(&mut prompts(&chat, &out, &["--chat", "--chat-date", "x"]), false);
    assert!(text.contains("`x` is no date"), "{text}");
}

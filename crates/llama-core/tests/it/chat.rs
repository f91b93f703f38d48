//! Chats, against what transformers' `apply_chat_template` makes of them: text and ids.
//!
//! `tests/fixtures/chat/make.py` made the tables: `own.json` of templates of our own, which use the constructs of those that
//! models have; and, outside the tree, a table of the models' own (`real.txt` lists them), which `LLAMA_CCS_CHATS` names.

use crate::with_hint;
use std::path::{Path, PathBuf};

#[cfg(feature = "gguf")]
use llama_core::Checkpoint;
use llama_core::chat::{ChatOptions, ChatTemplate, Message};
use llama_core::{Error, Tokenizer};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat")
}

fn table(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("the table")).expect("JSON")
}

/// A tokenizer in a folder with these files.
fn folder(kind: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let (base, name) = match kind {
        "spm" => ("../folders/plain.model", "tokenizer.model"),
        _ => ("../tokenizers/byte_level.json", "tokenizer.json"),
    };
    std::fs::copy(fixtures().join(base), folder.path().join(name)).expect("copy");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
        std::fs::write(path, text).expect("write");
    }
    folder
}

fn messages(chat: &Value) -> Vec<Message<'_>> {
    let text = |message: &Value, key: &str| message[key].as_str().expect("text").to_owned();
    let leaked = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let messages = chat["messages"].as_array().expect("messages");
    let message = |m: &Value| Message { role: leaked(text(m, "role")), content: leaked(text(m, "content")) };
    messages.iter().map(message).collect()
}

fn options(chat: &Value, now: &str) -> ChatOptions {
    let add = chat["add_generation_prompt"].as_bool().unwrap_or(false);
    let mut options = ChatOptions::new().add_generation_prompt(add).now(now).expect("a date");
    for (name, value) in chat["variables"].as_object().into_iter().flatten() {
        options = options.variable(name, value.clone());
    }
    options
}

/// What differs between a case of a table and ours: the chats that are otherwise, and those that we refuse.
fn differences(case: &Value, chats: &[Value], now: &str) -> (Vec<String>, Vec<String>) {
    let name = format!("{} ({})", case["name"].as_str().expect("name"), case["kind"].as_str().expect("kind"));
    let files: Vec<(&str, &str)> = case["files"]
        .as_object()
        .expect("files")
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str().expect("text")))
        .collect();
    let folder = folder(case["kind"].as_str().expect("kind"), &files);
    let tokenizer = Tokenizer::open(folder.path()).expect("opens");
    let (mut wrong, mut refused) = (Vec::new(), Vec::new());
    let template = match tokenizer.chat_template(case["template"].as_str()) {
        Ok(template) => template,
        Err(error) => {
            let expected = case["chats"].as_array().expect("chats").iter();
            let fails = expected.filter(|expected| expected["text"].is_null()).count();
            if fails < chats.len() {
                refused.push(format!("{name}: {error}"));
            }
            return (wrong, refused);
        }
    };
    for (at, (chat, expected)) in chats.iter().zip(case["chats"].as_array().expect("chats")).enumerate() {
        let made = template.render(&messages(chat), &options(chat, now));
        match (made, expected["text"].as_str()) {
            (Ok(text), Some(expected_text)) if text == expected_text => {
                let ids: Vec<u64> =
                    tokenizer.encode_chat(&text).expect("encodes").iter().map(|t| u64::from(t.id)).collect();
                let expected: Vec<u64> = serde_json::from_value(expected["ids"].clone()).expect("ids");
                if ids != expected {
                    wrong.push(format!("{name}, chat {at}: {ids:?}, not {expected:?} of {text:?}"));
                }
            }
            (Err(Error::ChatRefused { message, .. }), None)
                if Some(message.as_str()) == expected["raises"].as_str() => {}
            // It fails in jinja2 too, in other words.
            (Err(Error::ChatTemplate { .. }), None) if expected["raises"].is_null() => {}
            (Err(error), Some(_)) => refused.push(format!("{name}, chat {at}: {error}")),
            (made, _) => wrong.push(format!("{name}, chat {at}: {made:?}, not {expected}")),
        }
    }
    (wrong, refused)
}

/// How many of a table's cases come out as transformers' do, with what differs.
fn compare(table: &Value) -> (usize, Vec<String>, Vec<String>) {
    let (chats, now) = (table["chats"].as_array().expect("chats"), table["now"].as_str().expect("a date"));
    let (mut wrong, mut refused, mut same) = (Vec::new(), Vec::new(), 0);
    for case in table["cases"].as_array().expect("cases") {
        let (w, r) = differences(case, chats, now);
        same += usize::from(w.is_empty() && r.is_empty());
        wrong.extend(w);
        refused.extend(r);
    }
    (same, wrong, refused)
}

#[test]
fn our_templates_render_and_tokenize_as_in_transformers() {
    let table = table(&fixtures().join("own.json"));
    let (same, wrong, refused) = compare(&table);
    assert!(wrong.is_empty() && refused.is_empty(), "{}\n{}", wrong.join("\n"), refused.join("\n"));
    assert_eq!(same, table["cases"].as_array().expect("cases").len());
    assert!(same >= 25);
}

#[test]
fn models_own_templates_render_and_tokenize_as_in_transformers() {
    // Other people's texts: never required, as nothing in the tree says where to get them for good.
    let Some(path) = std::env::var_os("LLAMA_CCS_CHATS") else {
        test_material::not_allowed("compare published templates: LLAMA_CCS_CHATS names no table of make.py");
        return;
    };
    let table = table(Path::new(&path));
    let (same, wrong, refused) = compare(&table);
    let cases = table["cases"].as_array().expect("cases").len();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(refused.is_empty(), "{same} of {cases}; refused:\n{}", refused.join("\n"));
}

fn one(source: &str) -> ChatTemplate {
    ChatTemplate::from_source("own", source).expect("compiles")
}

const ASKED: [Message<'static>; 1] = [Message { role: "user", content: "wet?" }];

#[test]
fn a_template_that_raises_is_an_error_in_its_own_words() {
    let template = one("{% for m in messages %}{{ raise_exception('no ' ~ m.role ~ ' here') }}{% endfor %}");
    let error = template.render(&ASKED, &ChatOptions::new()).expect_err("raises");
    let said = with_hint(&error);
    assert!(said.starts_with("the chat template own refuses the messages: no user here\nhint: "), "{said}");

    // In a macro, through a filter block, it is the same error.
    let nested = one(
        "{% macro m() %}{{ raise_exception('deep') }}{% endmacro %}{% filter upper %}{{ m() }}{% endfilter %}",
    );
    let error = nested.render(&ASKED, &ChatOptions::new()).expect_err("raises");
    assert!(matches!(&error, Error::ChatRefused { message, .. } if message == "deep"), "{error}");
}

#[test]
fn what_is_no_template_or_fails_is_named_with_its_line() {
    let error = ChatTemplate::from_source("own", "a\n{% if %}").expect_err("no Jinja");
    let said = with_hint(&error);
    assert!(said.contains("the chat template own fails: ") && said.contains("line 2"), "{said}");
    let error = one("{{ messages[3].content }}").render(&ASKED, &ChatOptions::new()).expect_err("too few");
    assert!(matches!(error, Error::ChatTemplate { .. }), "{error}");
    let long = "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}";
    let error = one(long).render(&ASKED, &ChatOptions::new()).expect_err("no end");
    assert!(matches!(error, Error::ChatTemplate { .. }), "{error}");
}

#[test]
fn without_a_template_or_of_several_the_error_says_what_there_is() {
    let asked = |files: &[(&str, &str)], name: Option<&str>| {
        let folder = folder("spm", files);
        let tokenizer = Tokenizer::open(folder.path()).expect("opens");
        tokenizer.chat_template(name).map(|template| template.origin().to_owned())
    };
    let none = asked(&[], None).expect_err("none");
    assert!(with_hint(&none).contains("tokenizer.model has no chat template"), "{none}");
    let two = r#"{"chat_template": [{"name": "a", "template": "x"}, {"name": "b", "template": "y"}]}"#;
    let two = [("tokenizer_config.json", two)];
    let said = with_hint(&asked(&two, None).expect_err("no default"));
    assert!(said.starts_with("there are several chat templates, and none is called default: a, b"), "{said}");
    let said = with_hint(&asked(&two, Some("c")).expect_err("no c"));
    assert!(said.starts_with("there is no chat template `c`: there are a, b"), "{said}");
    assert!(asked(&two, Some("b")).expect("b").ends_with("tokenizer_config.json (chat_template \"b\")"));
    for bad in [r#"{"chat_template": 7}"#, r#"{"chat_template": [{"name": "a"}]}"#] {
        let error = asked(&[("tokenizer_config.json", bad)], None).expect_err(bad);
        assert!(error.to_string().contains("tokenizer_config.json fails: chat_template: "), "{error}");
    }
    // A tokenizer that stands alone has its own BOS and EOS.
    let folder = folder("spm", &[("chat_template.jinja", "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}")]);
    let template = Tokenizer::open(folder.path()).expect("opens").chat_template(None).expect("a template");
    assert_eq!(template.render(&ASKED, &ChatOptions::new()).expect("renders"), "<s>|</s>|");
}

#[test]
fn a_date_is_todays_unless_it_is_given_and_is_told() {
    let template = one("{{ strftime_now('%Y-%m-%d') }}");
    let given = ChatOptions::new().now("2024-07-26").expect("a date");
    let renderer = template.renderer(&given).expect("compiles");
    assert_eq!(renderer.dated(), None);
    assert_eq!(renderer.render(&ASKED).expect("renders"), "2024-07-26");
    assert_eq!(renderer.dated().as_deref(), Some("2024-07-26T00:00:00"));
    let today = template.render(&ASKED, &ChatOptions::new()).expect("renders");
    assert!(today.len() == 10 && today.as_str() > "2025", "{today}");
    let error = ChatOptions::new().now("yesterday").expect_err("no date");
    assert!(with_hint(&error).contains("`yesterday` is no date"), "{error}");

    let undated = one("{{ strftime_now is defined }}");
    let renderer = undated.renderer(&given).expect("compiles");
    assert_eq!((renderer.render(&ASKED).expect("renders").as_str(), renderer.dated()), ("True", None));
}

#[test]
fn identity_is_of_the_text_and_the_tokens_that_it_mentions() {
    let identity = |source: &str, bos: &str| one(source).with_token("bos_token", bos).identity();
    assert_ne!(identity("{{ bos_token }}", "<s>"), identity("{{ bos_token }}", "<t>"));
    assert_eq!(identity("{{ messages }}", "<s>"), identity("{{ messages }}", "<t>"));
    assert_ne!(identity("a", "<s>"), identity("b", "<s>"));
    // Ends of lines are Python's.
    assert_eq!(identity("a\r\nb", "<s>"), identity("a\nb", "<s>"));
}

#[cfg(feature = "gguf")]
#[test]
fn a_gguf_file_has_its_template_in_its_metadata() {
    let Some(path) = test_material::smollm2() else { return };
    let tokenizer = Checkpoint::open(path).expect("opens").tokenizer().expect("a tokenizer");
    let template = tokenizer.chat_template(None).expect("a template");
    assert!(template.origin().ends_with("(tokenizer.chat_template)"), "{}", template.origin());
    let options = ChatOptions::new().add_generation_prompt(true);
    let text = template.render(&ASKED, &options).expect("renders");
    // What transformers renders from the file's template.
    let expected = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
                    <|im_start|>user\nwet?<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(text, expected);
    // Control tokens that are written in the text are those tokens, and none is put in front.
    let tokens = tokenizer.encode_chat(&text).expect("encodes");
    let pieces: Vec<&str> = tokens.iter().map(|token| tokenizer.piece(token.id)).collect();
    assert_eq!((pieces[0], pieces[1]), ("<|im_start|>", "system"), "{pieces:?}");
    assert_eq!(pieces.iter().filter(|piece| **piece == "<|im_end|>").count(), 2);
}

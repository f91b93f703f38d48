//! Tokenizers with the files beside them, against what transformers makes of the same folders.

use crate::with_hint;
use std::path::{Path, PathBuf};

use llama_core::{Error, Tokenizer, word_model};
use serde_json::{Value, json};

use crate::tokenizer::fixtures;

/// The folder that `make.py` writes.
fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/folders")
}

/// A folder of a tokenizer and companions.
fn folder(tokenizer: &Path, files: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let name =
        if tokenizer.extension().is_some_and(|e| e == "json") { "tokenizer.json" } else { "tokenizer.model" };
    std::fs::copy(tokenizer, folder.path().join(name)).expect("copy");
    for (name, content) in files.as_object().expect("files") {
        // The table has texts: the order of keys counts.
        let content = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
        std::fs::write(folder.path().join(name), content).expect("write");
    }
    folder
}

fn base(name: &str) -> PathBuf {
    [own(), fixtures()]
        .map(|folder| folder.join(name))
        .into_iter()
        .find(|path| path.exists())
        .expect("fixture")
}

#[test]
fn ids_are_those_of_transformers_in_every_folder() {
    let table: Value =
        serde_json::from_slice(&std::fs::read(own().join("folders.json")).expect("file")).expect("JSON");
    let texts: Vec<String> = serde_json::from_value(table["texts"].clone()).expect("texts");
    let lists: Vec<Vec<u32>> = serde_json::from_value(table["lists"].clone()).expect("lists");
    let folders = table["folders"].as_array().expect("folders");
    assert!(folders.len() > 100);
    let mut wrong = Vec::new();
    for one in folders {
        let (tokenizer, name) =
            (one["tokenizer"].as_str().expect("tokenizer"), one["name"].as_str().expect("name"));
        let mut files = one["files"].clone();
        if files.get("config.json").is_none() {
            files["config.json"] = json!({ "model_type": "llama" });
        }
        let what = format!("{tokenizer}, {name}");
        let folder = folder(&base(tokenizer), &files);
        let opened = match Tokenizer::open(folder.path()) {
            Ok(opened) => opened,
            Err(error) => {
                wrong.push(format!("{what}: {error}"));
                continue;
            }
        };
        let ids: Vec<usize> = serde_json::from_value(one["ids"].clone()).expect("ids");
        for (text, list) in texts.iter().zip(ids) {
            match opened.ids(text) {
                Ok(made) if made == lists[list] => {}
                // transformers leaves such characters out of the text.
                Err(Error::Tokenize { reason })
                    if tokenizer == "unknown.model" && name == "class" && reason.contains("is no token") => {}
                made => wrong.push(format!("{what}: {text:?}: {made:?}, not {:?}", lists[list])),
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}

/// `tokenizer.model` with one `tokenizer_config.json`.
fn with_config(name: &str, config: &Value) -> Result<Tokenizer, Error> {
    Tokenizer::open(folder(&base(name), &json!({ "tokenizer_config.json": config })).path())
}

fn llama() -> Value {
    json!({ "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true })
}

#[test]
fn a_model_alone_is_the_same_as_in_its_folder() {
    let alone = Tokenizer::open(own().join("plain.model")).expect("alone");
    let beside = with_config("plain.model", &llama()).expect("folder");
    for text in ["the of", "the</s>of", "the</s> of <s>", "</s></s>\n<unk>é", "<s>the", "<pad>", ""] {
        assert_eq!(alone.ids(text).expect("alone"), beside.ids(text).expect("folder"), "{text:?}");
    }
    // A leading space is where SentencePiece and transformers' class differ: the former counts the beginning as another.
    assert_ne!(alone.ids(" the").expect("alone"), beside.ids(" the").expect("folder"));
    assert_eq!((alone.bos(), alone.eos()), (Some(1), &[2][..]));
    assert_ne!(alone.identity(), beside.identity());
    let spans = |tokenizer: &Tokenizer| {
        tokenizer
            .encode("the </s>  of")
            .expect("encode")
            .into_iter()
            .map(|token| token.span)
            .collect::<Vec<_>>()
    };
    assert_eq!(spans(&alone), spans(&beside));
    assert_eq!(spans(&alone)[..3], [0..0, 0..3, 3..4]);
    assert!(spans(&alone).contains(&(4..8)), "the control token covers its text");
    assert_eq!(alone.decode(&alone.ids("the</s> of").expect("ids")).expect("decode"), "the of");
}

#[test]
fn a_text_that_begins_with_bos_is_known() {
    let tokenizer = Tokenizer::open(own().join("plain.model")).expect("alone");
    let two =
        |tokenizer: &Tokenizer, text: &str| tokenizer.has_two_bos(&tokenizer.encode(text).expect("encode"));
    for (text, expected) in [("<s>the", true), ("<s>", true), ("the<s>", false), ("", false), (" <s>", false)]
    {
        assert_eq!(two(&tokenizer, text), expected, "{text:?}");
    }
    let mut config = llama();
    config["add_bos_token"] = false.into();
    assert!(!two(&with_config("plain.model", &config).expect("folder"), "<s>the"), "it is the only one");
}

#[test]
fn zephyrs_template_is_34_tokens() {
    let Some(model) = test_material::shared("data/llama-tokenizer/tokenizer.model") else { return };
    let text = "<|user|>\nThe city of Krasnodar is in Russia. True or false?</s>\n<|assistant|>\nTrue</s>";
    let alone = Tokenizer::open(&model).expect("alone").ids(text).expect("ids");
    assert_eq!((alone.len(), alone[23], alone[33]), (34, 2, 2));
    let beside = folder(&model, &json!({ "tokenizer_config.json": llama() }));
    assert_eq!(Tokenizer::open(beside.path()).expect("folder").ids(text).expect("ids"), alone);
    // The file alone has its companions too.
    let file = beside.path().join("tokenizer.model");
    assert_eq!(
        Tokenizer::open(file).expect("file").identity(),
        Tokenizer::open(beside.path()).expect("folder").identity()
    );
}

#[test]
fn what_companions_ask_that_is_not_done_is_refused_by_name() {
    let with = |key: &str, value: Value| {
        let mut config = llama();
        config[key] = value;
        config
    };
    for (key, value, says) in [
        ("add_eos_token", json!(true), "add_eos_token wants EOS after every text"),
        ("add_bos_token", json!("yes"), "add_bos_token is \"\\\"yes\\\"\", not true or false"),
        ("tokenizer_class", json!("T5Tokenizer"), "T5Tokenizer (tokenizer_class)"),
        ("sp_model_kwargs", json!({ "enable_sampling": true }), "sp_model_kwargs (enable_sampling)"),
        ("fast_tokenizer_files", json!(["tokenizer.4.0.json"]), "fast_tokenizer_files"),
        ("fix_mistral_regex", json!(true), "fix_mistral_regex"),
        ("pad_token", json!(["<pad>"]), "pad_token: not a token"),
        ("additional_special_tokens", json!("<new>"), "additional_special_tokens is"),
        (
            "added_tokens_decoder",
            json!({ "500": { "content": "<new>", "special": true } }),
            "has id 500, and its place",
        ),
        ("added_tokens_decoder", json!({ "zero": {} }), "added_tokens_decoder"),
    ] {
        let error = with_hint(&with_config("plain.model", &with(key, value)).expect_err(key));
        assert!(error.contains(says), "{error}");
    }
    let code = json!({ "tokenizer_class": "OwnTokenizer", "auto_map": { "AutoTokenizer": ["own.OwnTokenizer", null] } });
    for name in ["plain.model", "metaspace.json"] {
        let error = with_hint(&with_config(name, &code).expect_err("code"));
        assert!(error.contains("auto_map names code"), "{error}");
    }
    // Beside tokenizer.json, whose post-processor decides, the flags do not count.
    assert!(with_config("metaspace.json", &with("add_eos_token", json!(true))).is_ok());
    let unigram = tempfile::tempdir().expect("folder");
    std::fs::write(unigram.path().join("tokenizer.model"), word_model(&["▁a".to_owned()])).expect("write");
    std::fs::write(unigram.path().join("tokenizer_config.json"), llama().to_string()).expect("write");
    let words = Tokenizer::open(unigram.path()).expect("SentencePiece's own algorithm");
    assert_eq!(words.ids("a</s> a").expect("ids"), [1, 3, 2, 3]);
    std::fs::write(unigram.path().join("tokenizer_config.json"), r#"{"pad_token": "<pad>"}"#).expect("write");
    let error = with_hint(&Tokenizer::open(unigram.path()).expect_err("no such piece"));
    assert!(error.contains("not in the vocabulary"), "{error}");
}

/// `tokenizer.json` of a few tokens with other steps.
fn steps(change: impl FnOnce(&mut Value)) -> Result<Tokenizer, Error> {
    let vocab: serde_json::Map<_, _> = ["<unk>", "<s>", "▁", "a", "b", "c", "1", ".", " "]
        .into_iter()
        .zip(0..)
        .map(|(token, id)| (token.to_owned(), json!(id)))
        .collect();
    let mut file = json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": null, "model": { "type": "BPE", "vocab": vocab, "merges": [], "unk_token": null },
    });
    change(&mut file);
    Tokenizer::from_bytes(file.to_string().as_bytes(), "tokenizer.json")
}

fn split(regex: &str, behavior: &str, invert: bool) -> Value {
    json!({ "type": "Split", "pattern": { "Regex": regex }, "behavior": behavior, "invert": invert })
}

#[test]
fn a_regular_expression_without_end_is_an_error() {
    let backtracks = r"(?:(?=.)[A-Za-z▁. ]+)+\d|▁?[A-Za-z]+|[.?:]";
    for (behavior, invert) in [("Isolated", false), ("Removed", true), ("MergedWithNext", false)] {
        let tokenizer = steps(|f| f["pre_tokenizer"] = split(backtracks, behavior, invert)).expect("read");
        assert_eq!(tokenizer.ids("ab.").expect("ids"), [3, 4, 7], "{behavior}");
        let error = with_hint(&tokenizer.ids(&format!("ab1{}", "abc abc. ".repeat(8))).expect_err(behavior));
        assert!(
            error.contains("backtracks without end") && error.contains("(at byte 3 of the text)"),
            "{error}"
        );
    }
    let step = json!({ "type": "Replace", "pattern": { "Regex": r"(?:(?=.)a+)+\d" }, "content": "b" });
    let tokenizer = steps(|f| f["normalizer"] = step).expect("read");
    assert_eq!(tokenizer.ids("aa1").expect("ids"), [4]);
    let error = with_hint(&tokenizer.ids(&"a".repeat(60)).expect_err("normalizer"));
    assert!(error.contains("backtracks without end"), "{error}");
}

#[test]
fn no_character_is_left_out_in_silence() {
    let plain = steps(|_| {}).expect("read");
    assert_eq!(plain.ids("abc").expect("ids"), [3, 4, 5]);
    let error = with_hint(&plain.ids("ab東c").expect_err("no token"));
    assert!(error.contains("'東' at byte 2 of the text is no token"), "{error}");
    let unknown = steps(|f| f["model"]["unk_token"] = "<unk>".into()).expect("read");
    assert_eq!(unknown.ids("ab東c").expect("ids"), [3, 4, 0, 5]);
    let words = steps(|f| f["pre_tokenizer"] = split("[a-z]+", "Removed", true)).expect("read");
    assert_eq!(words.ids("a b").expect("space may go"), [3, 4]);
    let error = with_hint(&words.ids("a b 1").expect_err("a digit may not"));
    assert!(error.contains("leaves out \" 1\"") && error.contains("(at byte 3 of the text)"), "{error}");
    // What the normalizer takes out is the tokenizer's own doing, and the spans show it.
    let drop = json!({ "type": "Replace", "pattern": { "String": "1" }, "content": "" });
    let dropped = steps(|f| f["normalizer"] = drop).expect("read");
    let spans: Vec<_> = dropped.encode("a1b").expect("encode").into_iter().map(|token| token.span).collect();
    assert_eq!(spans, [0..1, 2..3]);
}

#[test]
fn hostile_files_are_bounded_by_name() {
    let replace = |by: &str| json!({ "type": "Replace", "pattern": { "String": "a" }, "content": by });
    let many = |count: usize, step: Value| json!({ "type": "Sequence", "normalizers": vec![step; count] });
    let grows = steps(|f| f["normalizer"] = many(40, replace("aaaaaaaaaa"))).expect("read");
    let error = with_hint(&grows.ids("aaaa").expect_err("grows"));
    assert!(error.contains("at most 4224 are allowed"), "{error}");
    let grows =
        steps(|f| f["normalizer"] = many(40, json!({ "type": "Prepend", "prepend": "b".repeat(4000) })))
            .expect("read");
    assert!(grows.ids("a").expect_err("grows").to_string().contains("at most 4128 are allowed"));

    let refused = |change: fn(&mut Value)| with_hint(&steps(change).expect_err("refused"));
    for (change, says) in [
        (
            (|f| f["normalizer"] = json!({ "type": "Prepend", "prepend": "x".repeat(5000) }))
                as fn(&mut Value),
            "5000 bytes, and at most 4096",
        ),
        (
            |f| {
                f["normalizer"] =
                    json!({ "type": "Sequence", "normalizers": vec![json!({ "type": "NFC" }); 70] });
            },
            "more than 64 steps",
        ),
        (|f| f["model"]["vocab"]["x".repeat(200_000)] = 9.into(), "has 200000 bytes, and at most 4096"),
        (|f| f["model"]["vocab"]["x"] = 4_000_000_000u32.into(), "more than any vocabulary has"),
        (|f| f["model"]["merges"] = json!([["a", "nowhere"]]), "\"nowhere\" is not in the vocabulary"),
        (|f| f["model"]["unk_token"] = "<none>".into(), "\"<none>\", is not in the vocabulary"),
        (|f| f["pre_tokenizer"] = split("(", "Isolated", false), "the regular expression"),
        (
            |f| f["normalizer"] = json!({ "type": "Precompiled", "precompiled_charsmap": "AAAA" }),
            "precompiled_charsmap is damaged",
        ),
        (
            |f| {
                let copies = vec![json!({ "SpecialToken": { "id": "<s>", "type_id": 0 } }); 5000];
                let mut single = copies;
                single.push(json!({ "Sequence": { "id": "A", "type_id": 0 } }));
                let special = json!({ "<s>": { "id": "<s>", "ids": vec![1; 5000], "tokens": ["<s>"] } });
                f["post_processor"] = json!({ "type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special });
            },
            "at most 16 are allowed",
        ),
    ] {
        let error = refused(change);
        assert!(error.contains(says) && error.len() < 600, "{error}");
    }
    let long = word_model(&["x".repeat(200_000)]);
    let error = with_hint(&Tokenizer::from_bytes(&long, "tokenizer.model").expect_err("a long piece"));
    assert!(error.contains("it has 200000 bytes, and at most 4096 are read"), "{error}");
    // An added token without text changes nothing, as in the `tokenizers` crate.
    let empty = json!([{ "id": 9, "content": "", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true }]);
    assert_eq!(steps(|f| f["added_tokens"] = empty).expect("read").ids("a").expect("ids"), [3]);
}

#[cfg(unix)]
#[test]
fn devices_pipes_and_folders_are_no_tokenizers() {
    for (path, says) in [("/dev/zero", "a device or a pipe"), ("/dev/null", "a device or a pipe")] {
        let error = with_hint(&Tokenizer::open(path).expect_err(path));
        assert!(error.contains(says), "{error}");
    }
    let folder = folder(&own().join("plain.model"), &json!({}));
    let pipe = folder.path().join("pipe");
    if std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        let error = with_hint(&Tokenizer::open(&pipe).expect_err("a pipe"));
        assert!(error.contains("a device or a pipe"), "{error}");
    }
    std::fs::create_dir(folder.path().join("tokenizer_config.json")).expect("folder");
    let error = with_hint(&Tokenizer::open(folder.path()).expect_err("a folder"));
    assert!(error.contains("tokenizer_config.json: a folder, not a file"), "{error}");
    std::fs::remove_dir(folder.path().join("tokenizer_config.json")).expect("remove");
    let large = std::fs::File::create(folder.path().join("special_tokens_map.json")).expect("file");
    large.set_len(1 << 33).expect("sparse");
    let error = with_hint(&Tokenizer::open(folder.path()).expect_err("too large"));
    assert!(error.contains("8589934592 bytes; a file of a tokenizer has at most"), "{error}");
}

/// `../shared/cases`: what llama.cpp's converters have written.
#[cfg(feature = "gguf")]
#[test]
fn converters_vocabularies_give_the_same_ids() {
    let Some(cases) = test_material::shared("cases/checkpoints") else { return };
    let ids = |name: &str| {
        let checkpoint = llama_core::Checkpoint::open(cases.join(name)).expect(name);
        let tokenizer = checkpoint.tokenizer().expect(name);
        tokenizer.check_fits(checkpoint.config()).expect(name);
        ["ab ab", "a</s> b<s>", "<unk>é", "[PAD0] a", ""].map(|text| tokenizer.ids(text).expect(name))
    };
    let right = ids("unk_is_2.gguf");
    assert_eq!(right[1], [1, 262, 2, 263, 1]);
    assert_eq!(ids("unk_is_control.gguf"), right);
    assert_eq!(ids("pads_are_unknown.gguf"), right);
}

//! Tokenizers of every kind against what Python makes of the same files; spans; what fits a model.

use crate::with_hint;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use llama_core::{Config, Error, Token, Tokenizer, word_model};
use proptest::prelude::*;
use serde_json::Value;
use test_material::shared;

/// The folder that `make.py` writes; another one, with more texts, if `LLAMA_CCS_TOKENIZERS` names it.
pub(super) fn fixtures() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers");
    std::env::var_os("LLAMA_CCS_TOKENIZERS").map_or_else(own, PathBuf::from)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("file")).expect("JSON")
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).expect("ids")
}

/// A folder of a model: `tokenizer.json`, and what is said to stand beside it.
fn folder(tokenizer: &str, beside: &[(&str, Value)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let file = fixtures().join(format!("{tokenizer}.json"));
    std::fs::copy(file, folder.path().join("tokenizer.json")).expect("copy");
    for (name, content) in beside {
        std::fs::write(folder.path().join(name), content.to_string()).expect("write");
    }
    folder
}

fn in_llama(tokenizer: &str, config: &Value) -> tempfile::TempDir {
    let model = serde_json::json!({ "model_type": "llama", "eos_token_id": 2 });
    folder(tokenizer, &[("tokenizer_config.json", config.clone()), ("config.json", model)])
}

fn fixture(name: &str) -> Tokenizer {
    Tokenizer::open(fixtures().join(name)).expect(name)
}

#[test]
fn ids_are_those_of_transformers_and_tiktoken() {
    let cases = json(&fixtures().join("cases.json"));
    let texts: Vec<String> = serde_json::from_value(cases["texts"].clone()).expect("texts");
    for variant in cases["variants"].as_array().expect("variants") {
        let (name, config) = (variant["tokenizer"].as_str().expect("name"), &variant["config"]);
        let folder = (!config.is_null()).then(|| in_llama(name, config));
        if let (Some(folder), Some(false)) = (&folder, variant["post_processor"].as_bool()) {
            let mut file = json(&folder.path().join("tokenizer.json"));
            file["post_processor"] = Value::Null;
            std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).expect("write");
        }
        let tokenizer = match &folder {
            Some(folder) => Tokenizer::open(folder.path()).expect(name),
            None => fixture(&format!("{name}.model")),
        };
        for (text, expected) in texts.iter().zip(variant["ids"].as_array().expect("ids")) {
            assert_eq!(tokenizer.ids(text).expect("encode"), ids(expected), "{name} {config}: {text:?}");
        }
    }
}

#[test]
fn two_hundred_passages_as_transformers() {
    let Some((model, boolq)) = shared("golden/hf-llama3-tiny/model").zip(shared("data/boolq/dev.jsonl"))
    else {
        return;
    };
    let tokenizer = Tokenizer::open(model).expect("tokenizer");
    let passages = std::fs::read_to_string(boolq).expect("BoolQ");
    let expected =
        json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers/passages.json"));
    let expected: Vec<(usize, String)> = serde_json::from_value(expected).expect("hashes");
    for (line, (count, hash)) in passages.lines().zip(&expected) {
        let passage: Value = serde_json::from_str(line).expect("JSON");
        let ids = tokenizer.ids(passage["passage"].as_str().expect("passage")).expect("encode");
        // FNV-1a over the ids.
        let step = |h: u64, id: &u32| (h ^ u64::from(*id)).wrapping_mul(0x0100_0000_01B3);
        let made = ids.iter().fold(0xCBF2_9CE4_8422_2325, step);
        assert_eq!((ids.len(), format!("{made:016x}")), (*count, hash.clone()));
    }
    assert_eq!(expected.len(), 200);
}

#[test]
fn golden_prompts_of_the_hugging_face_model() {
    let Some(golden) = shared("golden/hf-llama3-tiny") else { return };
    let tokenizer = Tokenizer::open(golden.join("model")).expect("tokenizer");
    for row in json(&golden.join("prompts.json")).as_array().expect("rows") {
        for side in ["plus", "minus"] {
            let prompt = row[format!("{side}_prompt")].as_str().expect("prompt");
            assert_eq!(
                tokenizer.ids(prompt).expect("encode"),
                ids(&row[format!("{side}_tokens")]),
                "{prompt}"
            );
        }
    }
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.vocab_size()), (Some(0), &[1][..], 2000));
}

#[test]
fn a_folders_files_decide_bos_eos_and_identity() {
    let named = serde_json::json!({
        "bos_token": "<|begin_of_text|>", "eos_token": { "content": "<|eot_id|>" }, "add_bos_token": true,
        "chat_template": "{% for m in messages %}{% endfor %}",
    });
    let config = ("tokenizer_config.json", named.clone());
    let model =
        ("config.json", serde_json::json!({ "model_type": "llama", "eos_token_id": 5, "vocab_size": 9 }));
    let generation = ("generation_config.json", serde_json::json!({ "eos_token_id": [7, 601, 100_000, -1] }));
    let eos = |beside: &[(&str, Value)]| {
        let folder = folder("byte_level", beside);
        Tokenizer::open(folder.path()).expect("tokenizer").eos().to_vec()
    };
    let eot = fixture("byte_level.json").ids("<|eot_id|>").expect("encode")[1];
    assert_eq!(eos(&[]), [0; 0]);
    assert_eq!(eos(std::slice::from_ref(&config)), [eot]);
    assert_eq!(eos(&[config.clone(), model.clone()]), [5]);
    assert_eq!(eos(&[config.clone(), model, generation]), [7, 601], "ids that are no token do not count");

    let (alone, beside) = (folder("byte_level", &[]), folder("byte_level", &[config]));
    let [alone, beside] = [alone, beside].map(|f| Tokenizer::open(f.path()).expect("tokenizer"));
    assert_eq!(alone.identity(), fixture("byte_level.json").identity());
    assert_ne!(alone.identity(), beside.identity(), "tokenizer_config.json is part of it");
    assert_eq!(alone.bos(), beside.bos());
    assert_eq!(alone.piece(alone.bos().expect("BOS")), "<|begin_of_text|>");
}

#[test]
fn open_looks_at_contents() {
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("write");
    let read = |name: &str| std::fs::read(fixtures().join(name)).expect("read");
    assert!(matches!(Tokenizer::open(folder.path()), Err(Error::NoTokenizer { .. })));
    write("tokenizer.model", &read("ranks.model"));
    let tiktoken = Tokenizer::open(folder.path()).expect("tiktoken ranks");
    write("tokenizer.json", &read("byte_level.json"));
    let both = Tokenizer::open(folder.path()).expect("tokenizer.json goes first");
    assert_ne!(tiktoken.identity(), both.identity());
    assert_eq!(both.identity(), fixture("byte_level.json").identity());
    write("tokenizer.model", &word_model(&["▁a".to_owned()]));
    assert_eq!(
        Tokenizer::open(folder.path().join("tokenizer.model")).expect("SentencePiece").vocab_size(),
        4
    );

    write("model.gguf", b"GGUF\x03\0\0\0");
    let error = with_hint(&Tokenizer::open(folder.path().join("model.gguf")).expect_err("no tokenizer"));
    assert!(error.contains("as a checkpoint"), "{error}");
    write("page.html", b"<!doctype html>");
    let error = with_hint(&Tokenizer::open(folder.path().join("page.html")).expect_err("no tokenizer"));
    assert!(
        error.contains("page.html: not a SentencePiece model") && error.contains("tokenizer.json"),
        "{error}"
    );
    assert!(matches!(Tokenizer::open(folder.path().join("missing")), Err(Error::Io(_))));
}

/// `byte_level.json` with a change.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Tokenizer, Error> {
    let mut file = json(&fixtures().join("byte_level.json"));
    change(&mut file);
    Tokenizer::from_bytes(file.to_string().as_bytes(), "tokenizer.json")
}

#[test]
fn what_no_llama_needs_is_refused_by_name() {
    let refused = |change: fn(&mut Value)| with_hint(&changed(change).expect_err("refused"));
    let template = "/post_processor/processors/1";
    for (change, says) in [
        ((|f| f["model"]["type"] = "Unigram".into()) as fn(&mut Value), "type \"Unigram\""),
        (|f| f["model"]["dropout"] = 0.1.into(), "at random"),
        (|f| f["model"]["end_of_word_suffix"] = "</w>".into(), "end_of_word_suffix"),
        (|f| f["model"]["merges"][0] = "x y z".into(), "is not two tokens"),
        (
            |f| f["model"]["merges"][0] = serde_json::json!(["a", "nowhere"]),
            "\"nowhere\" is not in the vocabulary",
        ),
        (|f| f["model"]["vocab"]["a"] = 1.into(), "id 1 belongs to"),
        (|f| f["model"]["vocab"]["new"] = u32::MAX.into(), "id 4294967295, more than any"),
        (|f| f["added_tokens"][0]["id"] = 700.into(), "has id 700, and its place gives it 600"),
        (|f| f["normalizer"] = serde_json::json!({ "type": "Precompiled" }), "normalizer: Precompiled"),
        (|f| f["decoder"] = serde_json::json!("ByteLevel"), "decoder: a step without type"),
        (|f| f["added_tokens"][2]["content"] = " x".into(), "takes the space after it (rstrip), and \" x\""),
        (|f| f["version"] = "2.0".into(), "version \"2.0\""),
    ] {
        let error = refused(change);
        assert!(error.contains(says), "{error}");
    }
    let with_template = |change: fn(&mut Value)| {
        with_hint(&changed(|f| change(f.pointer_mut(template).expect("template"))).expect_err("refused"))
    };
    let after = with_template(|t| {
        let bos = t["single"][0].clone();
        t["single"].as_array_mut().expect("template").push(bos);
    });
    assert!(after.contains("puts \"<|begin_of_text|>\" after every text"), "{after}");
    let missing =
        with_template(|t| t["special_tokens"]["<|begin_of_text|>"]["ids"] = serde_json::json!([9999]));
    assert!(missing.contains("id 9999 (post_processor) is not in the vocabulary"), "{missing}");
}

/// As in transformers; that the model may have no embedding for it is found when a text has it.
#[test]
fn named_tokens_that_the_vocabulary_lacks_get_the_next_ids() {
    let config = serde_json::json!({ "add_bos_token": true, "bos_token": "<begin>", "pad_token": "<pad>" });
    let folder = folder("byte_level", &[("tokenizer_config.json", config)]);
    let tokenizer = Tokenizer::open(folder.path()).expect("tokenizer").for_model(&self::config(605));
    assert_eq!(tokenizer.ids("<begin>").expect("ids"), [600, 604], "BOS is the post-processor's");
    let error = with_hint(&tokenizer.ids("<pad>").expect_err("605 embeddings"));
    assert!(error.contains("`<pad>` has id 605, and the model has 605 embeddings"), "{error}");
    std::fs::write(folder.path().join("tokenizer_config.json"), "{").expect("write");
    let error = with_hint(&Tokenizer::open(folder.path()).expect_err("refused"));
    assert!(error.contains("tokenizer_config.json: EOF"), "{error}");
}

fn config(vocab_size: i64) -> Config {
    Config { vocab_size, ..Config::default() }
}

/// What counts is that every id that occurs has an embedding, not how many there are.
#[test]
fn embeddings_may_be_longer_or_lack_tokens_that_never_occur() {
    let tokenizer = fixture("byte_level.json"); // 600 tokens and four special ones, the first of them BOS
    assert_eq!(tokenizer.vocab_size(), 604);
    for (rows, fits) in
        [(604, true), (601, true), (600, false), (599, false), (609, true), (5000, true), (0, false)]
    {
        assert_eq!(tokenizer.check_fits(&config(rows)).is_ok(), fits, "{rows} rows");
    }
    let ordinary = with_hint(&tokenizer.check_fits(&config(599)).expect_err("refused"));
    assert!(ordinary.contains("up to id 599") && ordinary.contains("599 embeddings"), "{ordinary}");
    let tokenizer = tokenizer.for_model(&config(602));
    assert!(tokenizer.ids("a<|end_of_text|>").is_ok());
    let error = tokenizer.ids("a<|eot_id|>").expect_err("no embedding");
    assert!(
        matches!(error, Error::NoEmbedding { id: 602, embeddings: 602, ref token } if token == "<|eot_id|>"),
        "{error}"
    );
}

#[test]
fn pieces_and_decoding() {
    for name in ["byte_level.json", "metaspace.json", "ranks.model", "sentencepiece.model"] {
        let tokenizer = fixture(name);
        for text in ["True or False: True", "Köln\n\n 東京  🙂", "the License shall apply"] {
            let ids = tokenizer.ids(text).expect("encode");
            assert_eq!(tokenizer.decode(&ids).expect("decode"), text, "{name}");
        }
        let ids = tokenizer.ids("if the License").expect("encode");
        assert!(ids.iter().any(|id| tokenizer.piece(*id) == "▁the"), "{name}: {ids:?}");
        let smile: String =
            tokenizer.ids("🙂").expect("encode")[1..].iter().map(|id| tokenizer.piece(*id)).collect();
        assert!(smile.ends_with("<0xF0><0x9F><0x99><0x82>"), "{name}: {smile}");
        let (size, past) = (tokenizer.vocab_size(), tokenizer.vocab_size() as u32);
        assert_eq!(tokenizer.piece(past), "");
        assert!(
            matches!(tokenizer.decode(&[past]), Err(Error::UnknownToken { tokens, .. }) if tokens == size)
        );
    }
}

/// One tokenizer of every kind, and the one that drops nothing first.
static KINDS: LazyLock<Vec<(&str, Tokenizer)>> = LazyLock::new(|| {
    let llama = in_llama("metaspace", &serde_json::json!({ "tokenizer_class": "LlamaTokenizer" }));
    let words = ["▁the", "▁a", "a", "b", "▁"].map(str::to_owned);
    let mut kinds = vec![
        ("byte_level", fixture("byte_level.json")),
        ("ranks", fixture("ranks.model")),
        ("normalizer", fixture("metaspace.json")),
        ("metaspace", Tokenizer::open(llama.path()).expect("class")),
        ("own rules", fixture("sentencepiece.model")),
        ("words", Tokenizer::from_bytes(&word_model(&words), "words").expect("words")),
    ];
    let own = test_material::golden("llama/tokenizer.model");
    kinds.push(("SentencePiece", Tokenizer::open(own).expect("the golden model's")));
    if let Some(model) = shared("data/llama-tokenizer/tokenizer.model") {
        kinds.push(("LLaMA's", Tokenizer::open(model).expect("LLaMA's")));
    }
    kinds
});

/// What [`Token::span`] promises.
fn check_spans(name: &str, text: &str, tokens: &[Token]) {
    let mut covered = vec![false; text.len()];
    let mut last = 0;
    for Token { span, .. } in tokens {
        assert!(span.start <= span.end && span.end <= text.len(), "{name}: {span:?} in {text:?}");
        assert!(
            text.is_char_boundary(span.start) && text.is_char_boundary(span.end),
            "{name}: {span:?} in {text:?}"
        );
        assert!(span.start >= last, "{name}: {span:?} after {last} in {text:?}");
        last = span.start;
        covered[span.clone()].fill(true);
    }
    for (at, c) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        assert!(
            covered[at..at + c.len_utf8()].iter().all(|c| *c),
            "{name}: {c:?} at {at} in {text:?}: {tokens:?}"
        );
    }
}

fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        ".{0,6}",
        "[ a-z]{0,12}",
        "[ \\n\\t]{1,5}",
        "[éß東🙂ﬁ▁\\u{301}]{1,4}",
        Just("<|eot_id|>".to_owned()),
        Just("<s>".to_owned()),
        Just("<tool> ".to_owned()),
        Just(" True".to_owned()),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn spans_cover_the_text_in_order(text in texts()) {
        for (name, tokenizer) in KINDS.iter() {
            let tokens = tokenizer.encode(&text).expect("encode");
            check_spans(name, &text, &tokens);
            let ids: Vec<_> = tokens.iter().map(|t| t.id).collect();
            prop_assert_eq!(&ids, &tokenizer.ids(&text).expect("ids"), "{}", name);
            prop_assert!(tokenizer.decode(&ids).is_ok());
        }
    }

    #[test]
    fn an_answers_tokens_are_found(before in "[a-zé東 \\n]{0,20}", answer in "[A-Za-zé🙂]{1,8}") {
        let text = format!("{before} {answer}");
        for (name, tokenizer) in KINDS.iter() {
            let tokens = tokenizer.encode(&text).expect("encode");
            let start = text.len() - answer.len();
            let last = tokens.last().expect("tokens");
            prop_assert!(last.span.end == text.len() && last.span.start >= start.saturating_sub(1),
                "{}: {:?} in {:?}", name, last, text);
        }
    }
}

#[test]
fn spans_of_known_texts() {
    let spans = |name: &str, text: &str| {
        let (_, tokenizer) = KINDS.iter().find(|(n, _)| *n == name).expect("kind");
        tokenizer.encode(text).expect("encode").into_iter().map(|t| t.span).collect::<Vec<_>>()
    };
    for name in ["byte_level", "ranks"] {
        assert_eq!(spans(name, "a🦙")[..2], [0..0, 0..1], "{name}");
        assert!(
            spans(name, "a🦙")[2..].iter().all(|span| *span == (1..5)),
            "{name}: a part has the character"
        );
        assert_eq!(spans(name, "if the"), [0..0, 0..2, 2..6], "{name}: the space belongs to the word");
    }
    // The space put before the text is no byte of it.
    for name in ["normalizer", "metaspace"] {
        assert_eq!(spans(name, "the the"), [0..0, 0..3, 3..7], "{name}");
    }
    if KINDS.iter().any(|(name, _)| *name == "SentencePiece") {
        assert_eq!(spans("SentencePiece", "a 🦙"), [0..0, 0..1, 1..2, 2..6, 2..6, 2..6, 2..6]);
    }
}

#[test]
fn long_runs_are_cut_in_time() {
    for (name, tokenizer) in KINDS.iter().filter(|(name, _)| *name != "words") {
        for text in [" ".repeat(60_000) + "a", "a".repeat(60_000), "\n ".repeat(30_000), "'".repeat(60_000)] {
            let tokens = tokenizer.encode(&text).expect("encode");
            check_spans(name, &text, &tokens);
            let ids: Vec<_> = tokens.iter().map(|t| t.id).collect();
            // transformers' LLaMA class takes a space off a text that began with one.
            let (decoded, text) = (tokenizer.decode(&ids).expect("decode"), text.trim_start_matches(' '));
            assert!(decoded.trim_start_matches(' ') == text, "{name}: {text:.9}");
        }
    }
}

//! GGUF vocabularies against the same vocabularies in other formats.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tokenizer::proto::{Field, fields};

fn open(vocabulary: &Vocabulary) -> crate::Result<Tokenizer> {
    Tokenizer::from_vocabulary(vocabulary.clone(), "model.gguf")
}

fn refusal(vocabulary: &Vocabulary) -> String {
    let error = open(vocabulary).expect_err("refused");
    format!("{error}; {}", error.hint().expect("a hint"))
}

/// What a converter to GGUF takes out of a SentencePiece model.
fn of_sentence_piece(model: &[u8]) -> Vocabulary {
    let (mut tokens, mut scores, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for field in fields(model) {
        let (1, Field::Bytes(piece)) = field.expect("field") else { continue };
        let (mut score, mut kind) = (0.0, 1);
        for part in fields(piece) {
            match part.expect("part") {
                (1, Field::Bytes(text)) => tokens.push(String::from_utf8(text.to_vec()).expect("text")),
                (2, Field::Fixed(bits)) => score = f32::from_bits(bits),
                (3, Field::Varint(number)) => kind = number as i32,
                _ => {}
            }
        }
        scores.push(score);
        types.push(kind);
    }
    Vocabulary {
        model: "llama".to_owned(),
        tokens,
        scores: Some(scores),
        types: Some(types),
        bos: Some(1),
        eos: Some(2),
        ..Vocabulary::default()
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers");
    std::fs::read(folder.join(name)).expect("fixture")
}

/// `byte_level.json` with another way to cut text, and the same as a GGUF file has it.
fn byte_level(pre: &str, pre_tokenizer: Option<Value>, ignore_merges: bool) -> (Tokenizer, Vocabulary) {
    let mut file: Value = serde_json::from_slice(&fixture("byte_level.json")).expect("JSON");
    if let Some(pre_tokenizer) = pre_tokenizer {
        file["pre_tokenizer"] = pre_tokenizer;
    }
    file["model"]["ignore_merges"] = ignore_merges.into();
    file["added_tokens"].as_array_mut().expect("list").pop(); // <tool>, whose settings GGUF does not know
    let mut tokens = vec![String::new(); 600];
    for (token, id) in file["model"]["vocab"].as_object().expect("vocabulary") {
        tokens[id.as_u64().expect("id") as usize].clone_from(token);
    }
    let added = file["added_tokens"].as_array().expect("list").iter();
    tokens.extend(added.map(|token| token["content"].as_str().expect("content").to_owned()));
    let merges: Vec<(String, String)> =
        serde_json::from_value(file["model"]["merges"].clone()).expect("merges");
    let vocabulary = Vocabulary {
        model: "gpt2".to_owned(),
        pre: Some(pre.to_owned()),
        types: Some((0..tokens.len()).map(|id| if id < 600 { 1 } else { 3 }).collect()),
        tokens,
        merges: Some(merges.into_iter().map(|(left, right)| format!("{left} {right}")).collect()),
        bos: Some(600),
        eos: Some(601),
        ..Vocabulary::default()
    };
    let file = file.to_string().into_bytes();
    (Tokenizer::from_bytes(&file, "tokenizer.json").expect("tokenizer.json"), vocabulary)
}

fn texts() -> Vec<String> {
    let cases: Value = serde_json::from_slice(&fixture("cases.json")).expect("JSON");
    serde_json::from_value(cases["texts"].clone()).expect("texts")
}

#[test]
fn llama_bpe_cuts_like_the_models_tokenizer_json() {
    let (json, vocabulary) = byte_level("llama-bpe", None, true);
    for pre in ["llama-bpe", "llama3", "llama-v3"] {
        let gguf = open(&Vocabulary { pre: Some(pre.to_owned()), ..vocabulary.clone() }).expect("vocabulary");
        for text in texts() {
            assert_eq!(gguf.encode(&text).expect("gguf"), json.encode(&text).expect("json"), "{text:?}");
        }
        assert_eq!((gguf.bos(), gguf.eos()), (Some(600), &[601][..]), "LLaMA 3 has BOS without saying so");
        assert_eq!(gguf.vocab_size(), json.vocab_size());
    }
    let without = Vocabulary { add_bos: Some(false), ..vocabulary };
    assert_eq!(open(&without).expect("vocabulary").bos(), None);
}

#[test]
fn smollm_and_gpt_2_cut_like_their_tokenizer_json() {
    let bytes =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let digits = json!({ "type": "Digits", "individual_digits": true });
    let smollm = json!({ "type": "Sequence", "pretokenizers": [digits, bytes] });
    for (pre, pre_tokenizer) in [("smollm", smollm), ("gpt-2", bytes.clone()), ("gpt2", bytes)] {
        let (json, vocabulary) = byte_level(pre, Some(pre_tokenizer), false);
        let gguf = open(&vocabulary).expect("vocabulary");
        assert_eq!(gguf.bos(), None, "{pre} has BOS only if the file says so");
        for text in texts() {
            let json = json.ids(&text).expect("json");
            assert_eq!(gguf.ids(&text).expect("gguf"), json[1..], "{pre}: {text:?}");
        }
    }
}

#[test]
fn default_isolates_punctuation_and_groups_digits() {
    let (_, mut vocabulary) = byte_level("default", None, false);
    vocabulary.merges = Some(["Ġ (", "1 2", "12 3", "123 4", "a b", "b c"].map(str::to_owned).into());
    for token in ["Ġ(", "12", "123", "1234", "ab", "bc"] {
        if !vocabulary.tokens.iter().any(|t| t == token) {
            vocabulary.tokens.push(token.to_owned());
            vocabulary.types.get_or_insert_default().push(1);
        }
    }
    let gguf = open(&vocabulary).expect("vocabulary");
    let pieces = |text: &str| {
        gguf.ids(text).expect("encode").iter().map(|id| gguf.piece(*id).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(pieces("ab (1234"), ["ab", "▁", "(", "123", "4"]);
}

#[test]
fn llama_vocabulary_by_hand() {
    let bytes = (0..256).map(|b| format!("<0x{b:02X}>"));
    let tokens: Vec<_> = ["<unk>", "<s>", "</s>"].map(str::to_owned).into_iter().chain(bytes).collect();
    let normal = ["▁", "t", "o", "▁t", "to", "▁to"];
    let types = [2, 3, 3].into_iter().chain([6; 256]).chain([1; 6]).collect();
    // ▁t scores higher than to, so that it is joined first.
    let scores = [0.0; 259].into_iter().chain([-9.0, -9.0, -9.0, -1.0, -2.0, -3.0]).collect();
    let vocabulary = Vocabulary {
        model: "llama".to_owned(),
        tokens: tokens.into_iter().chain(normal.map(str::to_owned)).collect(),
        scores: Some(scores),
        types: Some(types),
        bos: Some(1),
        eos: Some(2),
        ..Vocabulary::default()
    };
    let ids = |vocabulary: &Vocabulary, text: &str| open(vocabulary).expect("opened").ids(text).expect("ids");
    assert_eq!(ids(&vocabulary, "to  to"), [1, 264, 259, 264]);
    assert_eq!(ids(&vocabulary, "é</s>"), [1, 259, 3 + 0xC3, 3 + 0xA9, 2]);
    assert_eq!(ids(&vocabulary, "<s>to</s> to<unk>"), [1, 1, 263, 2, 264, 0], "a text begins once");
    let no_prefix = Vocabulary { add_space_prefix: Some(false), add_bos: Some(false), ..vocabulary.clone() };
    assert_eq!(ids(&no_prefix, "to"), [263]);
    let both = [&vocabulary, &no_prefix].map(|v| open(v).expect("opened"));
    assert_ne!(both[0].identity(), both[1].identity());
    assert_eq!((both[0].eos(), both[0].bos(), both[1].bos()), (&[2][..], Some(1), None));

    let without = |change: fn(&mut Vocabulary)| {
        let mut changed = vocabulary.clone();
        change(&mut changed);
        refusal(&changed)
    };
    for (change, says) in [
        ((|v| v.bos = None) as fn(&mut Vocabulary), "does not say which token that is"),
        (|v| v.eos = Some(9999), "eos_token_id is 9999, which is no token"),
        (|v| v.add_eos = Some(true), "EOS after every text"),
        (|v| v.scores = None, "needs scores"),
        (|v| v.scores = Some(vec![0.0]), "scores has 1 entries for 265 tokens"),
        (|v| v.tokens[264] = "t".to_owned(), "\"t\" is there twice"),
        (|v| v.unknown = Some(9999), "unknown_token_id is 9999, which is no token"),
        (|v| v.remove_extra_spaces = Some(true), "tokenizer.ggml.remove_extra_whitespaces changes a text"),
        (|v| v.rules = true, "tokenizer.ggml.precompiled_charsmap changes a text"),
        (|v| v.tokens[264] = "t".repeat(200_000), "it has 200000 bytes, and at most 4096"),
        (|v| v.tokens.clear(), "has 0 tokens"),
        (|v| v.model = "bert".to_owned(), "kind is \"bert\""),
        (|v| v.model = "gpt2".to_owned(), "tokenizer.ggml.pre"),
    ] {
        let error = without(change);
        assert!(error.starts_with("model.gguf: ") && error.contains(says), "{error}");
    }
    let unknown = Vocabulary { model: "gpt2".to_owned(), pre: Some("viking".to_owned()), ..vocabulary };
    let error = refusal(&unknown);
    assert!(error.contains("\"viking\"") && error.contains("known are llama-bpe"), "{error}");
}

/// A SentencePiece model through the fields of a GGUF file gives the same ids and spans: the golden one, and LLaMA's own
/// on BoolQ where they are.
#[test]
fn sentence_piece_models_through_gguf_fields() {
    let check_all = |model: &Path, passages: &Path| {
        let model = std::fs::read(model).expect("readable");
        let itself = Tokenizer::from_bytes(&model, "tokenizer.model").expect("SentencePiece");
        let gguf = open(&of_sentence_piece(&model)).expect("vocabulary");
        assert_eq!((gguf.bos(), gguf.eos()), (itself.bos(), itself.eos()));
        let check =
            |text: &str| assert_eq!(gguf.encode(text).expect("gguf"), itself.encode(text).expect("itself"));
        let passages = std::fs::read_to_string(passages).expect("readable");
        passages.lines().take(300).for_each(check);
        for text in texts() {
            check(&text);
        }
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = proptest::test_runner::TestRunner::new(config);
        let random = runner.run(&"(.| |[a-z]|\\n){0,40}", |text| {
            check(&text);
            Ok(())
        });
        random.expect("random unicode");
    };
    check_all(&test_material::golden("llama/tokenizer.model"), &test_material::golden("questions.jsonl"));
    let llama = test_material::shared("data/llama-tokenizer/tokenizer.model");
    if let Some((model, passages)) = llama.zip(test_material::shared("data/boolq/dev.jsonl")) {
        check_all(&model, &passages);
    }
}

/// As converters write it: whatever the types, the ids are those of a vocabulary whose types are SentencePiece's.
#[test]
fn token_types_of_every_converter_are_understood() {
    let bytes = (0..256).map(|b| format!("<0x{b:02X}>"));
    let named = ["<unk>", "<s>", "</s>"].map(str::to_owned);
    let normal = ["▁", "a", "b", "▁a", "▁b", "ab"].map(str::to_owned);
    let scores = |count: usize| (0..count).map(|id| -(id as f32)).collect();
    let right = Vocabulary {
        model: "llama".to_owned(),
        tokens: named.into_iter().chain(bytes).chain(normal).collect(),
        scores: Some(scores(265)),
        types: Some([2, 3, 3].into_iter().chain([6; 256]).chain([1; 6]).collect()),
        bos: Some(1),
        eos: Some(2),
        ..Vocabulary::default()
    };
    let texts = ["ab ab", "a</s> b<s>b", "<unk>é\n", "<0x41>", "[PAD0] a", "</s></s>", ""];
    let ids = |vocabulary: &Vocabulary| {
        let tokenizer = open(vocabulary).expect("opened");
        texts.map(|text| tokenizer.ids(text).expect("ids"))
    };
    let expected = ids(&right);
    assert_eq!(expected[1], [1, 262, 2, 263, 1, 261]);
    let typed = |types: &[i32]| {
        let mut changed = right.clone();
        let all = changed.types.as_mut().expect("types");
        all[..types.len()].copy_from_slice(types);
        changed
    };
    for types in [[3, 3, 3], [1, 3, 3], [2, 1, 1], [1, 1, 1]] {
        assert_eq!(ids(&typed(&types)), expected, "{types:?}");
    }
    assert_eq!(ids(&Vocabulary { types: None, ..right.clone() }), expected, "no types");
    assert_eq!(ids(&Vocabulary { unknown: Some(0), ..right.clone() }), expected);
    for kind in [2, 5, 1] {
        let mut padded = right.clone();
        padded.tokens.extend((0..8).map(|i| format!("[PAD{i}]")));
        padded.types.as_mut().expect("types").extend([kind; 8]);
        padded.scores = Some(scores(273));
        assert_eq!(ids(&padded), expected, "padding of type {kind}");
    }
    let mut user_defined = right;
    user_defined.tokens.push("<|im_start|>".to_owned());
    user_defined.types.as_mut().expect("types").push(4);
    user_defined.scores = Some(scores(266));
    assert_eq!(open(&user_defined).expect("opened").ids("<|im_start|>a").expect("ids"), [1, 265, 260]);
}

fn any_vocabulary() -> impl Strategy<Value = Vocabulary> {
    let token = prop_oneof![
        Just("<unk>".to_owned()),
        Just("<s>".to_owned()),
        "<0x[0-9A-F]{2}>",
        "[a-cĠ▁]{1,2}",
        "[a-c]",
        ".{0,3}"
    ];
    let tokens = proptest::collection::vec(token, 0..40);
    let model = prop_oneof![Just("llama"), Just("gpt2"), Just("")];
    let pre =
        proptest::option::of(prop_oneof![Just("llama-bpe"), Just("smollm"), Just("default"), Just("x")]);
    let merges = proptest::option::of(proptest::collection::vec("[a-cĠ]{1,2} [a-c]{1,2}|.{0,4}", 0..6));
    let ids = (proptest::option::of(0u32..50), proptest::option::of(0u32..50));
    let flags = (any::<Option<bool>>(), proptest::option::of(Just(false)), any::<Option<bool>>());
    (tokens, model, pre, merges, ids, flags, any::<u64>()).prop_map(
        |(tokens, model, pre, merges, (bos, eos), (add_bos, add_eos, add_space_prefix), seed)| {
            // One list in eight has another length, one score in 64 is no number.
            let count = tokens.len() + usize::from(seed % 8 == 0);
            let number = |i: usize| seed.rotate_left(i as u32 * 5) % 64;
            let score = |i| if number(i) == 0 && seed % 3 == 0 { f32::NAN } else { number(i) as f32 };
            let kind = |i| if i == 0 { 2 } else { (number(i) % 9) as i32 };
            Vocabulary {
                model: model.to_owned(),
                pre: pre.map(str::to_owned),
                scores: (seed % 5 > 0).then(|| (0..count).map(score).collect()),
                types: (seed % 7 > 0).then(|| (0..tokens.len()).map(kind).collect()),
                tokens,
                merges,
                bos,
                eos,
                add_bos,
                add_eos,
                add_space_prefix,
                ..Vocabulary::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_vocabulary_is_read_or_refused(vocabulary in any_vocabulary(), text in "[a-c Ġ]{0,8}.{0,4}") {
        if let Ok(tokenizer) = open(&vocabulary)
            && let Ok(ids) = tokenizer.ids(&text)
        {
            prop_assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
            let _ = tokenizer.decode(&ids);
        }
    }
}

//! Tokenizer files cut short and with flipped bits: read or refused, and what is read cuts text without panic.

use std::collections::HashMap;

use llama_core::{Tokenizer, word_model};
use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::tokenizer::fixtures;

const TRUNCATIONS: usize = 300;
const FLIPS: usize = 700;

const TEXTS: [&str; 3] =
    ["True or False: the License <s>", "é東🙂\n\n  '1234<|eot_id|>", "\0\u{fffd} aaaa <tool>  ﬁß"];

/// Whether the bytes were read; uses what came out.
fn survive(bytes: &[u8]) -> bool {
    Tokenizer::from_bytes(bytes, "damaged").is_ok_and(|tokenizer| used(&tokenizer))
}

fn used(tokenizer: &Tokenizer) -> bool {
    for text in TEXTS {
        if let Ok(ids) = tokenizer.ids(text) {
            let _ = tokenizer.decode(&ids);
        }
    }
    let some: Vec<u32> = (0..tokenizer.vocab_size() as u32).step_by(7).collect();
    let _ = tokenizer.decode(&some);
    true
}

fn damage(whole: &[u8], flips: usize) {
    assert!(survive(whole));
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for _ in 0..TRUNCATIONS {
        survive(&whole[..rng.random_range(0..whole.len())]);
    }
    let mut read = 0;
    for _ in 0..flips {
        let mut bytes = whole.to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
        read += usize::from(survive(&bytes));
    }
    assert!(
        0 < read && read < flips,
        "{read} of {flips} damaged files were read: the damage is too small or too large"
    );
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).expect("fixture")
}

#[test]
fn byte_level_json() {
    damage(&fixture("byte_level.json"), FLIPS);
}

#[test]
fn metaspace_json() {
    damage(&fixture("metaspace.json"), FLIPS);
}

/// Everything but the vocabulary, so that flips hit the steps.
#[test]
fn steps_of_json() {
    for name in ["byte_level.json", "metaspace.json"] {
        let mut file: serde_json::Value = serde_json::from_slice(&fixture(name)).expect("JSON");
        let vocab = file["model"]["vocab"].as_object().expect("vocabulary");
        let short = vocab.iter().filter(|(token, _)| token.chars().count() == 1 || token.starts_with('<'));
        let mut tokens: Vec<_> = short.map(|(token, _)| token.clone()).collect();
        tokens.sort();
        let added = file["added_tokens"].as_array_mut().expect("added tokens");
        let inside = added.iter().filter(|t| tokens.iter().any(|v| t["content"] == **v)).count();
        let mut next = tokens.len();
        for token in added.iter_mut() {
            let known = tokens.iter().position(|t| token["content"] == **t);
            token["id"] = known.unwrap_or(next).into();
            next += usize::from(known.is_none());
        }
        assert_eq!(next, tokens.len() + added.len() - inside);
        file["model"]["merges"] = serde_json::json!([]);
        let vocab = tokens.into_iter().zip(0..).collect::<HashMap<_, u32>>();
        file["model"]["vocab"] = serde_json::to_value(vocab).expect("vocabulary");
        let text = file.to_string().replace("\"ids\":[600]", "\"ids\":[1]");
        damage(text.as_bytes(), 2 * FLIPS);
    }
}

#[test]
fn ranks() {
    damage(&fixture("ranks.model"), FLIPS);
}

#[test]
fn sentence_piece() {
    let words: Vec<String> = ["▁the", "▁True", "or", "a", "é", "東", "License"].map(str::to_owned).into();
    damage(&word_model(&words), 10 * FLIPS);
    damage(&fixture("sentencepiece.model"), 10 * FLIPS);
}

/// Flips where the compiled normalization rules are: a third of the file, and what the library would follow blindly.
#[test]
fn sentence_piece_rules() {
    let model = fixture("sentencepiece.model");
    let name = b"user_defined";
    let start = model.windows(name.len()).position(|w| w == name).expect("the normalizer's name");
    assert!(model.len() - start > 1024);
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for _ in 0..10 * FLIPS {
        let mut bytes = model.clone();
        bytes[rng.random_range(start..model.len())] ^= 1 << rng.random_range(0..8);
        survive(&bytes);
    }
}

/// The files beside a tokenizer, of every engine.
#[test]
fn companions() {
    let own = fixtures().join("../folders/plain.model");
    let token =
        |name: &str| serde_json::json!({ "content": name, "lstrip": true, "rstrip": false, "special": true });
    let config = serde_json::json!({
        "tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "legacy": true, "add_prefix_space": false,
        "bos_token": "<s>", "eos_token": token("</s>"), "pad_token": token("<pad>"), "split_special_tokens": false,
        "extra_special_tokens": { "image_token": "<image>" }, "additional_special_tokens": ["<new>", token("<tool>")],
    });
    let mut listed = config.clone();
    listed["added_tokens_decoder"] =
        serde_json::json!({ "0": token("<unk>"), "1": token("<s>"), "2": token("</s>") });
    let map = serde_json::json!({ "unk_token": "<unk>", "additional_special_tokens": ["<one>"] });
    let files = [
        ("tokenizer_config.json", config.to_string()),
        ("tokenizer_config.json", listed.to_string()),
        ("special_tokens_map.json", map.to_string()),
        ("added_tokens.json", r#"{"<one>": 420, "<two>": 421}"#.to_owned()),
        ("generation_config.json", r#"{"eos_token_id": [2, 421]}"#.to_owned()),
    ];
    let tokenizers = [
        ("tokenizer.model", std::fs::read(own).expect("fixture")),
        ("tokenizer.json", fixture("metaspace.json")),
        ("tokenizer.json", fixture("byte_level.json")),
        ("tokenizer.model", fixture("ranks.model")),
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut read = 0;
    for (name, bytes) in tokenizers {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join(name), bytes).expect("write");
        for (name, whole) in &files {
            for _ in 0..FLIPS / 10 {
                let mut bytes = whole.clone().into_bytes();
                let at = rng.random_range(0..bytes.len());
                match rng.random_range(0..3) {
                    0 => bytes.truncate(at),
                    1 => bytes[at] ^= 1 << rng.random_range(0..8),
                    _ => bytes[at] = *b"[]{},:0\"nt".get(rng.random_range(0..10)).expect("ten"),
                }
                std::fs::write(folder.path().join(name), bytes).expect("write");
                read += usize::from(Tokenizer::open(folder.path()).is_ok_and(|tokenizer| used(&tokenizer)));
            }
            std::fs::remove_file(folder.path().join(name)).expect("remove");
        }
    }
    assert!(read > 100, "{read} were read");
}

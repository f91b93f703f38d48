//! The vocabulary that a GGUF file carries along (`tokenizer.ggml.*`), made a tokenizer.
//!
//! `llama` is SentencePiece's byte-pair encoding: the vocabulary is written as a SentencePiece model and read by
//! SentencePiece itself. `gpt2` is byte-level byte-pair encoding, cut as `tokenizer.ggml.pre` says.

use tokenizers::AddedToken;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::bpe::{Bpe, Parts};
use super::proto::{self, Algorithm, Kind, Spec};
use super::sentence_piece::SentencePiece;
use super::{Engine, MOST_TOKENS, Refusal, Tokenizer, split};

/// What the keys `tokenizer.ggml.*` of a GGUF file say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vocabulary {
    /// `tokenizer.ggml.model`: `llama` or `gpt2`.
    pub(crate) model: String,
    /// `tokenizer.ggml.pre`: how a `gpt2` vocabulary cuts text.
    pub(crate) pre: Option<String>,
    /// `tokenizer.ggml.tokens`.
    pub(crate) tokens: Vec<String>,
    /// `tokenizer.ggml.scores`: a `llama` vocabulary joins the pair with the highest score first.
    pub(crate) scores: Option<Vec<f32>>,
    /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub(crate) types: Option<Vec<i32>>,
    /// `tokenizer.ggml.merges`: pairs with a space between, the first to join first.
    pub(crate) merges: Option<Vec<String>>,
    /// `tokenizer.ggml.bos_token_id`.
    pub(crate) bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub(crate) eos: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub(crate) add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub(crate) add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`: whether a `llama` vocabulary counts the text's beginning as a space.
    pub(crate) add_space_prefix: Option<bool>,
}

const OTHER_TOKENIZER: &str = "give the model's own tokenizer.json or tokenizer.model with --tokenizer FILE";

impl Vocabulary {
    pub(super) fn into_tokenizer(self) -> Result<Tokenizer, Refusal> {
        self.check()?;
        let identity = self.identity();
        let (engine, pieces, adds_bos) = match self.model.as_str() {
            "llama" => {
                let (engine, pieces) = self.sentence_piece()?;
                (Engine::SentencePiece(engine), pieces, true)
            }
            "gpt2" => self.byte_level()?,
            other => {
                let reason =
                    format!("the vocabulary's kind is {other:?} (tokenizer.ggml.model), not llama or gpt2");
                return Err(Refusal::new(reason, OTHER_TOKENIZER));
            }
        };
        let prefix = match (self.add_bos.unwrap_or(adds_bos), self.bos) {
            (false, _) => Vec::new(),
            (true, Some(bos)) => vec![bos],
            (true, None) => {
                return Err(Refusal::new(
                    "the vocabulary wants BOS before every text and does not say which token that is \
                     (tokenizer.ggml.bos_token_id)",
                    OTHER_TOKENIZER,
                ));
            }
        };
        Ok(Tokenizer { engine, pieces, prefix, eos: self.eos.into_iter().collect(), identity, padded: true })
    }

    /// Lists of one length, ids inside the vocabulary, no EOS after every text.
    fn check(&self) -> Result<(), Refusal> {
        let count = self.tokens.len();
        if count == 0 || count > MOST_TOKENS {
            return Err(format!("the vocabulary has {count} tokens").into());
        }
        let lengths = [
            ("scores", self.scores.as_ref().map(Vec::len)),
            ("token_type", self.types.as_ref().map(Vec::len)),
        ];
        if let Some((key, Some(found))) = lengths.into_iter().find(|(_, len)| len.is_some_and(|l| l != count))
        {
            return Err(format!("tokenizer.ggml.{key} has {found} entries for {count} tokens").into());
        }
        for (key, id) in [("bos_token_id", self.bos), ("eos_token_id", self.eos)] {
            let token = id.map(|id| self.tokens.get(id as usize).map_or("", String::as_str));
            if let (Some(id), Some("")) = (id, token) {
                return Err(format!("tokenizer.ggml.{key} is {id}, which is no token").into());
            }
        }
        if self.add_eos == Some(true) {
            return Err(Refusal::new(
                "the vocabulary wants EOS after every text (tokenizer.ggml.add_eos_token); a LLaMA's prompt ends with \
                 its last word, and that is the token which is looked at",
                OTHER_TOKENIZER,
            ));
        }
        Ok(())
    }

    fn kind(&self, id: usize) -> u64 {
        let kind = self.types.as_ref().and_then(|types| types.get(id)).copied();
        kind.and_then(|kind| u64::try_from(kind).ok())
            .filter(|kind| (1..=6).contains(kind))
            .unwrap_or(Kind::Normal as u64)
    }

    fn sentence_piece(&self) -> Result<(SentencePiece, Vec<String>), Refusal> {
        let Some(scores) = &self.scores else {
            return Err("a llama vocabulary needs scores (tokenizer.ggml.scores)".into());
        };
        let kinds = (0..self.tokens.len()).map(|id| self.kind(id));
        let pieces: Vec<_> = self
            .tokens
            .iter()
            .zip(scores)
            .zip(kinds)
            .map(|((text, score), kind)| (text.as_str(), *score, kind))
            .collect();
        let byte_fallback = pieces.iter().any(|(_, _, kind)| *kind == Kind::Byte as u64);
        let dummy_prefix = self.add_space_prefix.unwrap_or(true);
        let spec = Spec { algorithm: Algorithm::Bpe, byte_fallback, dummy_prefix };
        SentencePiece::new(&proto::write(&pieces, &spec))
    }

    /// Also whether BOS comes first if the file does not say.
    fn byte_level(&self) -> Result<(Engine, Vec<String>, bool), Refusal> {
        let Some(pre) = &self.pre else {
            return Err(Refusal::new(
                "a gpt2 vocabulary that does not say how it cuts text (tokenizer.ggml.pre)",
                OTHER_TOKENIZER,
            ));
        };
        let (pre_tokenizer, llama_3) = split::named(pre)?;
        let Some(merges) = &self.merges else {
            return Err("a gpt2 vocabulary needs merges (tokenizer.ggml.merges)".into());
        };
        let merge = |merge: &String| {
            let (left, right) = merge.split_once(' ').ok_or_else(|| format!("{merge:?} is no merge"))?;
            Ok((left.to_owned(), right.to_owned()))
        };
        let tokens = || (0u32..).zip(&self.tokens).filter(|(_, token)| !token.is_empty());
        let parts = Parts {
            vocab: tokens().map(|(id, token)| (token.clone(), id)).collect(),
            merges: merges.iter().map(merge).collect::<Result<_, Refusal>>()?,
            ignore_merges: llama_3,
            pre_tokenizer: Some(pre_tokenizer),
            decoder: Some(ByteLevel::default().into()),
            added: tokens().filter_map(|(id, token)| Some((id, self.added(id, token)?))).collect(),
            byte_level: true,
            ..Parts::default()
        };
        let (engine, mut pieces) = Bpe::new(parts)?;
        pieces.resize(self.tokens.len(), String::new());
        Ok((Engine::Bpe(Box::new(engine)), pieces, llama_3))
    }

    /// Control and user-defined tokens are found in the text before it is cut.
    fn added(&self, id: u32, token: &str) -> Option<AddedToken> {
        let kind = self.kind(id as usize);
        let special = kind == Kind::Control as u64 || kind == Kind::Unknown as u64;
        (special || kind == Kind::UserDefined as u64).then(|| AddedToken::from(token, special))
    }

    /// BLAKE3 of everything that decides ids, every part with its length.
    fn identity(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(self.model.as_bytes());
        part(self.pre.as_deref().unwrap_or_default().as_bytes());
        for list in [Some(&self.tokens), self.merges.as_ref()] {
            let list = list.map_or(&[][..], Vec::as_slice);
            part(&(list.len() as u64).to_le_bytes());
            for text in list {
                part(text.as_bytes());
            }
        }
        let scores: Vec<u8> = self.scores.iter().flatten().flat_map(|s| s.to_le_bytes()).collect();
        let types: Vec<u8> = self.types.iter().flatten().flat_map(|t| t.to_le_bytes()).collect();
        part(&scores);
        part(&types);
        let flags = (self.bos, self.eos, self.add_bos, self.add_space_prefix);
        part(format!("{flags:?}").as_bytes());
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::tokenizer::proto::{Field, fields};

    fn open(vocabulary: &Vocabulary) -> crate::Result<Tokenizer> {
        Tokenizer::from_vocabulary(vocabulary.clone(), "model.gguf")
    }

    fn refusal(vocabulary: &Vocabulary) -> String {
        open(vocabulary).expect_err("refused").to_string()
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
            let gguf =
                open(&Vocabulary { pre: Some(pre.to_owned()), ..vocabulary.clone() }).expect("vocabulary");
            for text in texts() {
                assert_eq!(gguf.encode(&text).expect("gguf"), json.encode(&text).expect("json"), "{text:?}");
            }
            assert_eq!(
                (gguf.bos(), gguf.eos()),
                (Some(600), &[601][..]),
                "LLaMA 3 has BOS without saying so"
            );
            assert_eq!(gguf.vocab_size(), json.vocab_size());
        }
        let without = Vocabulary { add_bos: Some(false), ..vocabulary };
        assert_eq!(open(&without).expect("vocabulary").bos(), None);
    }

    #[test]
    fn smollm_and_gpt_2_cut_like_their_tokenizer_json() {
        let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
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
        let ids =
            |vocabulary: &Vocabulary, text: &str| open(vocabulary).expect("opened").ids(text).expect("ids");
        assert_eq!(ids(&vocabulary, "to  to"), [1, 264, 259, 264]);
        assert_eq!(
            ids(&vocabulary, "é</s>"),
            [1, 259, 3 + 0xC3, 3 + 0xA9, 63, 50, 118, 65],
            "no special tokens in text"
        );
        let no_prefix =
            Vocabulary { add_space_prefix: Some(false), add_bos: Some(false), ..vocabulary.clone() };
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
            (|v| v.tokens.clear(), "has 0 tokens"),
            (|v| v.model = "bert".to_owned(), "kind is \"bert\""),
            (|v| v.model = "gpt2".to_owned(), "tokenizer.ggml.pre"),
        ] {
            let error = without(change);
            assert!(error.starts_with("model.gguf: ") && error.contains(says), "{error}");
        }
        let unknown = Vocabulary { model: "gpt2".to_owned(), pre: Some("viking".to_owned()), ..vocabulary };
        let error = refusal(&unknown);
        assert!(error.contains("\"viking\"") && error.contains("hint: known are llama-bpe"), "{error}");
    }

    /// A SentencePiece model through the fields of a GGUF file gives the same ids and spans: the golden one, and LLaMA's
    /// own on BoolQ where they are.
    #[test]
    fn sentence_piece_models_through_gguf_fields() {
        let check_all = |model: &Path, passages: &str| {
            let model = std::fs::read(model).expect("readable");
            let itself = Tokenizer::from_bytes(&model, "tokenizer.model").expect("SentencePiece");
            let gguf = open(&of_sentence_piece(&model)).expect("vocabulary");
            assert_eq!((gguf.bos(), gguf.eos()), (itself.bos(), itself.eos()));
            let check = |text: &str| {
                assert_eq!(gguf.encode(text).expect("gguf"), itself.encode(text).expect("itself"));
            };
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
        let read = |path: &Path| std::fs::read_to_string(path).expect("readable");
        check_all(
            &test_material::golden("llama/tokenizer.model"),
            &read(&test_material::golden("questions.jsonl")),
        );
        let llama = test_material::shared("data/llama-tokenizer/tokenizer.model");
        if let Some((model, passages)) = llama.zip(test_material::shared("data/boolq/dev.jsonl")) {
            check_all(&model, &read(&passages));
        }
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
}

//! What `Llama::check` finds in models that were damaged the way conversions damage them.

use std::path::{Path, PathBuf};

use llama_core::check::{ModelCheck, Problem, Reading};
use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{Batch, BlockWeight, Checkpoint, Error, Forward, Llama, Precision, Tokens, Weight};

use crate::support::random;

fn quiz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quiz")
}

fn teaching(checkpoint: &Checkpoint) -> Llama {
    Llama::load(checkpoint, Precision::F32, Device::Cpu).expect("loaded")
}

/// What the teaching model was trained on: passages, questions, answers, and verdicts.
fn lesson(checkpoint: &Checkpoint) -> Vec<u32> {
    let lines = std::fs::read_to_string(quiz().join("questions.jsonl")).expect("questions");
    let text = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).expect("json");
        let (passage, question) =
            (row["passage"].as_str().expect("text"), row["question"].as_str().expect("text"));
        let answer = if row["answer"] == true { "True" } else { "False" };
        format!(
            "{passage}\n\nAfter reading this passage, I have a question: {question}?\n\nTrue or False: {answer} right"
        )
    };
    checkpoint.tokenizer().expect("tokenizer").ids(&text(lines.lines().next().expect("a line"))).expect("ids")
}

fn logits(llama: &Llama, ids: &[u32]) -> Tensor {
    let batch = Batch::new(&[ids]).expect("batch");
    llama.forward(&batch, Forward::new().logits(Tokens::All)).expect("run").logits.expect("logits")
}

fn named(found: &ModelCheck) -> Option<Reading> {
    found.problems.iter().find_map(|problem| match problem {
        Problem::Reading { reading, .. } => Some(*reading),
        _ => None,
    })
}

/// Puts `new` in the place of a weight.
fn put(llama: &Llama, weight: Weight, new: &Tensor) {
    let mut old = llama.weight(weight).expect("a weight");
    old.copy_(&new.reshape_as(&old));
}

/// Queries' and keys' rows in the order in which dimension 2i turns with 2i + 1.
fn interleave(llama: &Llama) {
    let width = llama.config().head_dim;
    for block in 0..llama.config().n_layers {
        for part in [BlockWeight::Q, BlockWeight::K] {
            let weight = llama.weight(Weight::Block(block, part)).expect("a weight").copy();
            let by_half = weight.view([-1, 2, width / 2, llama.config().dim]);
            put(llama, Weight::Block(block, part), &by_half.transpose(1, 2).contiguous());
        }
    }
}

fn exchange(llama: &Llama, one: BlockWeight, other: BlockWeight) {
    for block in 0..llama.config().n_layers {
        let (a, b) = (Weight::Block(block, one), Weight::Block(block, other));
        let (before, then) = (llama.weight(a).expect("one").copy(), llama.weight(b).expect("other").copy());
        put(llama, a, &then);
        put(llama, b, &before);
    }
}

#[test]
fn a_sound_model_has_no_problems_and_is_left_as_it_was() {
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("checkpoint");
    let (mut llama, ids) = (teaching(&checkpoint), lesson(&checkpoint));
    let before = logits(&llama, &ids);
    let found = llama.check(&ids).expect("checked");
    println!("{found:#?}");
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    assert!(logits(&llama, &ids).equal(&before));
    assert_eq!((found.tokens, found.stream.len()), (ids.len() - 1, llama.config().n_layers + 1));
    assert!((found.chance + 78f64.ln()).abs() < 1e-12);
    // The mean of what the run's own logits say.
    let next: Vec<i64> = ids[1..].iter().map(|&id| i64::from(id)).collect();
    let log_p = before.narrow(0, 0, next.len() as i64).log_softmax(-1, Kind::Double);
    let mean = log_p.gather(1, &Tensor::from_slice(&next).unsqueeze(1), false).mean(Kind::Double);
    assert!((found.mean_log_prob - mean.double_value(&[])).abs() < 1e-4);
}

/// What is done to a model, and the reading that undoes it.
type Mutation<'a> = (&'a str, Reading, Box<dyn Fn(&Llama)>);

/// Each mistake is named, and nothing else is.
#[test]
fn mistakes_of_conversions_are_named() {
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("checkpoint");
    let ids = lesson(&checkpoint);
    let mutations: [Mutation<'_>; 5] = [
        ("interleaved", Reading::Interleaved, Box::new(interleave)),
        (
            "halves once more",
            Reading::Halves,
            Box::new(|llama| {
                // The inverse of `interleave`: three times the same is not it, so it is undone by hand.
                let width = llama.config().head_dim;
                for block in 0..llama.config().n_layers {
                    for part in [BlockWeight::Q, BlockWeight::K] {
                        let weight = llama.weight(Weight::Block(block, part)).expect("a weight").copy();
                        let by_pair = weight.view([-1, width / 2, 2, llama.config().dim]);
                        put(llama, Weight::Block(block, part), &by_pair.transpose(1, 2).contiguous());
                    }
                }
            }),
        ),
        (
            "gate and up",
            Reading::GateIsUp,
            Box::new(|llama| exchange(llama, BlockWeight::Gate, BlockWeight::Up)),
        ),
        (
            "queries and keys",
            Reading::QueryIsKey,
            Box::new(|llama| exchange(llama, BlockWeight::Q, BlockWeight::K)),
        ),
        (
            "gains less one",
            Reading::GainPlusOne,
            Box::new(|llama| {
                let gains = (0..llama.config().n_layers).flat_map(|block| {
                    [BlockWeight::Ln1, BlockWeight::Ln2].map(|part| Weight::Block(block, part))
                });
                for gain in gains.chain([Weight::FinalNorm]) {
                    let _ = llama.weight(gain).expect("a gain").f_sub_scalar_(1.0).expect("less one");
                }
            }),
        ),
    ];
    for (what, reading, mutate) in mutations {
        let mut llama = teaching(&checkpoint);
        mutate(&llama);
        let found = llama.check(&ids).expect("checked");
        println!("{what}: {:?} {:?}", found.mean_log_prob, found.readings);
        assert_eq!(named(&found), Some(reading), "{what}: {found:?}");
    }
}

#[test]
fn a_wrong_base_in_the_configuration_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["consolidated.00.pth", "tokenizer.model"] {
        std::fs::copy(quiz().join("model").join(file), folder.path().join(file)).expect("copy");
    }
    let params = std::fs::read_to_string(quiz().join("model/params.json")).expect("params");
    let mut params: serde_json::Value = serde_json::from_str(&params).expect("json");
    params["rope_theta"] = 500_000.0.into();
    std::fs::write(folder.path().join("params.json"), params.to_string()).expect("params");
    let checkpoint = Checkpoint::open(folder.path()).expect("checkpoint");
    let found = teaching(&checkpoint).check(&lesson(&checkpoint)).expect("checked");
    println!("{found:?}");
    assert_eq!(named(&found), Some(Reading::RopeTheta(1e4)), "{found:?}");
}

#[test]
fn weights_that_cannot_be_right_are_named() {
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("checkpoint");
    let ids = lesson(&checkpoint);
    let of = |mutate: &dyn Fn(&Llama)| {
        let mut llama = teaching(&checkpoint);
        mutate(&llama);
        llama.check(&ids).expect("checked").problems
    };
    let has =
        |problems: &[Problem], wanted: &Problem| assert!(problems.contains(wanted), "{wanted}: {problems:?}");
    // A final norm that was not in the file.
    let problems = of(&|llama| drop(llama.weight(Weight::FinalNorm).expect("gain").fill_(1.0)));
    has(&problems, &Problem::ConstantGain(Weight::FinalNorm));
    let o = Weight::Block(2, BlockWeight::O);
    has(&of(&|llama| drop(llama.weight(o).expect("weight").fill_(0.0))), &Problem::Zero(o));
    let problems = of(&|llama| {
        for part in [BlockWeight::Q, BlockWeight::K, BlockWeight::V] {
            put(llama, Weight::Block(3, part), &llama.weight(Weight::Block(1, part)).expect("weight"));
        }
    });
    has(&problems, &Problem::SameBlocks([1, 3]));
    let problems = of(&|llama| drop(llama.weight(o).expect("weight").f_mul_scalar_(1e6).expect("larger")));
    assert!(
        problems.iter().any(|p| matches!(p, Problem::Size { weight, ratio } if *weight == o && *ratio > 1e5))
    );
    assert!(problems.iter().any(|p| matches!(p, Problem::Growth { block: 2, .. })), "{problems:?}");
    let problems = of(&|llama| drop(llama.weight(o).expect("weight").fill_(f64::INFINITY)));
    has(&problems, &Problem::NotFinite { layer: Some(3) });
}

#[test]
fn a_model_that_knows_nothing_is_near_chance_and_what_cannot_be_checked_is_refused() {
    let mut llama = random(Precision::F32);
    let found = llama.check(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).expect("checked");
    assert!(found.problems.contains(&Problem::NearChance), "{found:?}");
    assert!(found.problems.contains(&Problem::ConstantGain(Weight::FinalNorm)));
    assert!(matches!(llama.check(&[1]), Err(Error::NoContinuation { .. })));
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("checkpoint");
    let mut streamed = Llama::streamed(&checkpoint, Precision::F32, Device::Cpu).expect("streamed");
    assert!(matches!(streamed.check(&[1, 2, 3]), Err(Error::Streamed { .. })));
    let mut packed =
        teaching(&checkpoint).with_kernels("products=packed".parse().expect("kernels")).expect("packed");
    assert!(matches!(packed.check(&[1, 2, 3]), Err(Error::Packed { .. })));
}

/// A real model, where it is there.
#[cfg(feature = "gguf")]
#[test]
fn a_real_model_is_sound_and_its_damage_is_named() {
    let Some(path) = test_material::smollm2() else { return };
    let checkpoint = Checkpoint::open(path).expect("checkpoint");
    let ids = checkpoint.tokenizer().expect("tokenizer").ids(llama_core::check::CHECK_TEXT).expect("ids");
    let found = teaching(&checkpoint).check(&ids).expect("checked");
    println!("{found:#?}");
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    assert!(found.mean_log_prob > -3.0, "{found:?}");
    let mut llama = teaching(&checkpoint);
    interleave(&llama);
    let found = llama.check(&ids).expect("checked");
    println!("{:?} {:?}", found.mean_log_prob, found.problems);
    assert_eq!(named(&found), Some(Reading::Interleaved), "{found:?}");
}

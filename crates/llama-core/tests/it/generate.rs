//! Generation over the cache equals running the whole text again at every step.

use llama_core::{Batch, Forward, Precision, Sampling, Tokens};

use crate::support::{prompts, random};

#[test]
fn greedy_over_the_cache_equals_greedy_without_it() {
    let llama = random(Precision::F64);
    let greedy = Sampling { temperature: 0.0, max_new_tokens: 12, ..Sampling::default() };
    let together = llama.generate(&prompts(), &greedy).expect("generate");
    for (prompt, found) in prompts().into_iter().zip(&together) {
        let mut text = prompt;
        let mut expected = Vec::new();
        for _ in 0..12 {
            let output =
                llama.forward(&Batch::new(&[&text]).expect("batch"), Forward::new().logits(Tokens::Last));
            let next =
                output.expect("run").logits.expect("logits").argmax(-1, false).int64_value(&[0]) as u32;
            text.push(next);
            expected.push(next);
        }
        assert_eq!(found, &expected);
    }
}

#[test]
fn a_seed_gives_the_same_text_and_neighbors_do_not_matter() {
    let llama = random(Precision::F64);
    let sampling = Sampling { max_new_tokens: 20, seed: 3, ..Sampling::default() };
    let first = llama.generate(&prompts(), &sampling).expect("generate");
    assert_eq!(first, llama.generate(&prompts(), &sampling).expect("again"));
    let other = llama.generate(&prompts(), &Sampling { seed: 4, ..sampling.clone() }).expect("another seed");
    assert_ne!(first, other);
    let alone = llama.generate(&prompts()[..1], &sampling).expect("alone");
    assert_eq!(alone[0], first[0]);
    // A temperature near zero is greedy, not NaN.
    let cold =
        llama.generate(&prompts(), &Sampling { temperature: 1e-300, ..sampling.clone() }).expect("cold");
    assert_eq!(cold, llama.generate(&prompts(), &Sampling { temperature: 0.0, ..sampling }).expect("greedy"));
}

#[test]
fn stop_tokens_end_a_text_and_settings_are_checked() {
    let llama = random(Precision::F64);
    let greedy = Sampling { temperature: 0.0, max_new_tokens: 12, ..Sampling::default() };
    let text = llama.generate(&prompts()[..1], &greedy).expect("generate").remove(0);
    let stopped = Sampling { stop: vec![text[4]], ..greedy.clone() };
    let expected: Vec<_> = text.iter().copied().take_while(|t| *t != text[4]).collect();
    assert_eq!(llama.generate(&prompts()[..1], &stopped).expect("generate")[0], expected);
    for bad in [Sampling { temperature: -1.0, ..greedy.clone() }, Sampling { top_p: 0.0, ..greedy.clone() }] {
        assert!(llama.generate(&prompts(), &bad).is_err());
    }
    let none: [Vec<u32>; 0] = [];
    assert!(llama.generate(&none, &greedy).expect("no prompts").is_empty());
}

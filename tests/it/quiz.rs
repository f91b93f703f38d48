//! The built-in model, from questions to probes: what `cargo xtask demo` shows.

use llama_ccs::ccs_report::Method;
use llama_ccs::ccs_trainer::Fit;
use llama_ccs::ccs_trainer::StoreSource;
use llama_ccs::llama_core::Checkpoint;
use llama_ccs::{Extraction, Outcome, PairTokenizer, boolq};

use crate::support::quiz;

#[test]
fn ccs_reads_truth_out_of_the_quiz_model() {
    let folder = tempfile::tempdir().expect("folder");
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("model");
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    let data = boolq::Dataset::load(quiz().join("questions.jsonl")).expect("questions");
    let pairs = boolq::pairs(&data, &boolq::Template::named("llama-ccs").expect("template")).expect("pairs");
    let all = boolq::select(&pairs.pairs, &PairTokenizer(&tokenizer), &boolq::Selection::default())
        .expect("select");
    assert_eq!((all.examples.len(), all.dropped.len()), (600, 0));

    let extraction = Extraction::new(&checkpoint, &tokenizer);
    let outcome = extraction.run(&all.examples, folder.path().join("store"), &mut ()).expect("extract");
    assert!(matches!(outcome, Outcome::Finished(_)));
    let source = StoreSource::open(folder.path().join("store")).expect("store");
    let report = Fit::new(&source).run().expect("fit").finished().expect("the whole run").report;

    // The bar for the model: held-out questions about passages that it was not trained on.
    let chosen = |method| report.chosen[&method].test.clone().expect("a layer is chosen");
    assert!(chosen(Method::CCS).accuracy >= 0.90, "CCS {}", chosen(Method::CCS).accuracy);
    assert!(chosen(Method::LR).accuracy >= 0.95, "LR {}", chosen(Method::LR).accuracy);
    // The embedding of one and the same answer token carries nothing.
    let embedding = &report.layers[0];
    assert!(embedding.degenerate && embedding.hook == "hook_embed");
    assert!(embedding.methods[&Method::CCS].test.accuracy < 0.6);
}

#[test]
fn questions_and_passages_are_held_out_as_documented() {
    let data = boolq::Dataset::load(quiz().join("questions.jsonl")).expect("questions");
    let mut passages: Vec<_> = data.questions.iter().filter_map(|q| q.passage.as_deref()).collect();
    passages.sort_unstable();
    passages.dedup();
    assert_eq!(passages.len(), data.questions.len(), "every passage once");
    assert_eq!(data.true_share(), Some(0.5));
}

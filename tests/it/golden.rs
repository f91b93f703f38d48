//! The whole job against reference results computed by other programs: the checkout's own questions and model, and real
//! BoolQ text with LLaMA's tokenizer where the shared material is.

use llama_ccs::activations::{SideOf, Store};
use llama_ccs::llama_core::tch::{Device, Kind, Tensor};
use llama_ccs::llama_core::{Batch, Checkpoint, Forward, Llama, Precision, Tokenizer, Tokens};
use llama_ccs::{Extraction, Outcome, PairTokenizer, boolq};
use std::path::{Path, PathBuf};

/// A model with its reference, the parts it comes in, its tokenizer, and the data of its prompts.
struct Reference {
    folder: PathBuf,
    layouts: [&'static str; 2],
    tokenizer: PathBuf,
    data: PathBuf,
    rows: usize,
}

fn own() -> Reference {
    Reference {
        folder: test_material::golden("llama"),
        layouts: ["meta-1", "meta-2"],
        tokenizer: test_material::golden("llama/tokenizer.model"),
        data: test_material::golden("questions.jsonl"),
        rows: 11,
    }
}

fn real() -> Option<Reference> {
    Some(Reference {
        folder: test_material::shared("golden/meta-tiny")?,
        layouts: ["mp1", "mp2"],
        tokenizer: test_material::shared("data/llama-tokenizer/tokenizer.model")?,
        data: test_material::shared("data/boolq/dev.jsonl")?,
        rows: 8,
    })
}

impl Reference {
    fn pairs(&self, tokenizer: &Tokenizer, limit: usize) -> Vec<boolq::TokenizedPair> {
        let data = boolq::Dataset::load(&self.data).expect("questions");
        let template = boolq::Template::named("llama-ccs").expect("template");
        let made = boolq::pairs(&data, &template).expect("pairs");
        let selection = boolq::Selection { limit: Some(limit), ..Default::default() };
        boolq::select(&made.pairs, &PairTokenizer(tokenizer), &selection).expect("select").examples
    }

    /// The states of one side \[rows, L + 1, D\].
    fn states(&self, side: &str) -> Tensor {
        let npy = self.folder.join(format!("{side}.npy"));
        if npy.exists() {
            return Tensor::read_npy(npy).expect("states");
        }
        let all = Tensor::read_safetensors(self.folder.join("expected.safetensors")).expect("expected");
        let named = |row: usize| format!("{side}.states.{row}");
        let row = |row| &all.iter().find(|(name, _)| *name == named(row)).expect("a row").1;
        Tensor::stack(&(0..self.rows).map(row).collect::<Vec<_>>(), 0)
    }
}

fn extracted(
    checkpoint: &Checkpoint,
    tokenizer: &Tokenizer,
    pairs: &[boolq::TokenizedPair],
    tokens: usize,
    to: &Path,
) -> Store {
    let extraction = Extraction::new(checkpoint, tokenizer).batch_tokens(tokens);
    match extraction.run(pairs, to.join("store"), &mut ()).expect("extract") {
        Outcome::Finished(store) => store,
        _ => panic!("nothing stops it"),
    }
}

#[test]
fn a_store_holds_the_reference_states() {
    for reference in [Some(own()), real()].into_iter().flatten() {
        let tokenizer = Tokenizer::open(&reference.tokenizer).expect("tokenizer");
        let pairs = reference.pairs(&tokenizer, reference.rows);
        assert_eq!(pairs.len(), reference.rows);
        let [one, two] = reference.layouts;
        for (layout, batch_tokens) in [(one, 1), (two, 1500), (two, 100_000)] {
            let folder = tempfile::tempdir().expect("folder");
            let checkpoint = Checkpoint::open(reference.folder.join(layout)).expect(layout);
            let store = extracted(&checkpoint, &tokenizer, &pairs, batch_tokens, folder.path());
            for (side, name) in [(SideOf::Plus, "plus"), (SideOf::Minus, "minus")] {
                let expected = reference.states(name).to_kind(Kind::Double);
                for (layer, column) in store.layers("last") {
                    let found = store.column(&column.name()).expect("column").read(side).expect("read");
                    let expected = expected.select(1, layer as i64); // [N, D]
                    let found = Tensor::from_slice(&found).view_as(&expected).to_kind(Kind::Double);
                    let norm = |x: &Tensor| {
                        x.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double).sqrt()
                    };
                    let error = (norm(&(found - &expected)) / norm(&expected)).max().double_value(&[]);
                    assert!(error < 2e-5, "{layout}, {name}, layer {layer}: {error}");
                }
            }
        }
    }
}

#[test]
fn the_answers_log_probability_is_the_models() {
    for reference in [Some(own()), real()].into_iter().flatten() {
        let tokenizer = Tokenizer::open(&reference.tokenizer).expect("tokenizer");
        let checkpoint = Checkpoint::open(reference.folder.join(reference.layouts[0])).expect("one part");
        let pairs = reference.pairs(&tokenizer, 3);
        let folder = tempfile::tempdir().expect("folder");
        let store = extracted(&checkpoint, &tokenizer, &pairs, 4096, folder.path());
        let found = store.column("answer_logprob").expect("column").read(SideOf::Minus).expect("read");

        // By hand: each token of the answer after all that stands before it, alone in f64.
        let llama = Llama::load(&checkpoint, Precision::F64, Device::Cpu).expect("load");
        for (pair, found) in pairs.iter().zip(found) {
            let (ids, answer) = (&pair.minus.ids, pair.minus.answer.clone());
            assert_eq!(tokenizer.decode(&ids[answer.clone()]).expect("decode").trim(), "False");
            let expected: f64 = answer
                .map(|at| {
                    let batch = Batch::new(&[&ids[..at]]).expect("batch");
                    let output = llama.forward(&batch, Forward::new().logits(Tokens::Last)).expect("run");
                    let log_p = output.logits.expect("logits").log_softmax(-1, Kind::Double);
                    log_p.double_value(&[0, i64::from(ids[at])])
                })
                .sum();
            assert!((f64::from(found) - expected).abs() < 1e-4, "{found} vs {expected}");
        }
    }
}

//! Real BoolQ text and LLaMA's real tokenizer through the whole job, against the reference results in shared/golden.

use llama_ccs::activations::SideOf;
use llama_ccs::llama_core::tch::{Device, Kind};
use llama_ccs::llama_core::{Batch, Checkpoint, Llama, Precision, Run, Tokenizer, Tokens};
use llama_ccs::{Extraction, Outcome, PairTokenizer, boolq};
use npyz::NpyFile;

use crate::support::shared;

fn array(path: &std::path::Path) -> Vec<f32> {
    NpyFile::new(&std::fs::read(path).expect("read")[..]).expect("npy").into_vec().expect("f32")
}

#[test]
fn a_store_holds_the_reference_states() {
    let Some(shared) = shared() else { return };
    let golden = shared.join("golden/meta-tiny");
    let tokenizer = Tokenizer::open(shared.join("data/llama-tokenizer/tokenizer.model")).expect("tokenizer");
    let data = boolq::Dataset::load(shared.join("data/boolq/dev.jsonl")).expect("BoolQ");
    let made = boolq::pairs(&data, &boolq::Template::named("llama-ccs").expect("template")).expect("pairs");
    let eight = boolq::Selection { limit: Some(8), ..Default::default() };
    let selected = boolq::select(&made.pairs, &PairTokenizer(&tokenizer), &eight).expect("select");
    let (plus, minus) = (array(&golden.join("plus.npy")), array(&golden.join("minus.npy")));
    let (layers, dim) = (4, 64);

    for (layout, batch_tokens) in [("mp1", 1), ("mp2", 1500), ("mp2", 100_000)] {
        let folder = tempfile::tempdir().expect("folder");
        let checkpoint = Checkpoint::open(golden.join(layout)).expect(layout);
        let extraction = Extraction::new(&checkpoint, &tokenizer).batch_tokens(batch_tokens);
        let outcome = extraction.run(&selected.pairs, folder.path().join("store"), &mut ()).expect("extract");
        let Outcome::Finished(store) = outcome else { panic!("nothing stops it") };
        for (side, reference) in [(SideOf::Plus, &plus), (SideOf::Minus, &minus)] {
            for (layer, column) in store.layers("last") {
                let found = store.column(&column.name()).expect("column").read(side).expect("read");
                for (row, found) in found.chunks(dim).enumerate() {
                    let from = (row * layers + layer) * dim;
                    let expected = &reference[from..from + dim];
                    let l2 = |v: &mut dyn Iterator<Item = f32>| {
                        v.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
                    };
                    let error = l2(&mut found.iter().zip(expected).map(|(a, b)| a - b));
                    let size = l2(&mut expected.iter().copied());
                    assert!(error < 2e-5 * size, "{layout}, row {row}, layer {layer}: {}", error / size);
                }
            }
        }
    }
}

#[test]
fn the_answers_log_probability_is_the_models() {
    let Some(shared) = shared() else { return };
    let tokenizer = Tokenizer::open(shared.join("data/llama-tokenizer/tokenizer.model")).expect("tokenizer");
    let checkpoint = Checkpoint::open(shared.join("golden/meta-tiny/mp1")).expect("mp1");
    let data = boolq::Dataset::load(shared.join("data/boolq/dev.jsonl")).expect("BoolQ");
    let made = boolq::pairs(&data, &boolq::Template::named("llama-ccs").expect("template")).expect("pairs");
    let few = boolq::Selection { limit: Some(3), ..Default::default() };
    let pairs = boolq::select(&made.pairs, &PairTokenizer(&tokenizer), &few).expect("select").pairs;
    let folder = tempfile::tempdir().expect("folder");
    let extraction = Extraction::new(&checkpoint, &tokenizer);
    let outcome = extraction.run(&pairs, folder.path().join("store"), &mut ()).expect("extract");
    let Outcome::Finished(store) = outcome else { panic!("nothing stops it") };
    let found = store.column("answer_logprob").expect("column").read(SideOf::Minus).expect("read");

    // By hand: the prompt without its answer, alone in f64, and the answer's one token.
    let llama = Llama::load(&checkpoint, Precision::F64, Device::Cpu).expect("load");
    for (pair, found) in pairs.iter().zip(found) {
        let (answer, before) = pair.minus.ids.split_last().expect("tokens");
        assert_eq!(*answer, 7700, "▁False");
        let output = llama.forward(&Batch::new(&[before]).expect("batch"), Run::new().logits(Tokens::Last));
        let log_p = output.expect("run").logits.expect("logits").log_softmax(-1, Kind::Double);
        let expected = log_p.double_value(&[0, i64::from(*answer)]);
        assert!((f64::from(found) - expected).abs() < 1e-4, "{found} vs {expected}");
    }
}

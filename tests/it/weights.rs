//! A store is of one model to the last byte of its weights.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use llama_ccs::llama_core::Checkpoint;
use llama_ccs::{Extraction, Observer, Outcome, boolq, tokenize_all};

use crate::support::quiz;

/// Stops after the first batch.
struct Once(usize);

impl Observer for Once {
    fn rows(&mut self, _done: usize, _total: usize) -> ControlFlow<()> {
        self.0 += 1;
        if self.0 > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Extracts, with a model opened anew as a new process opens it.
fn extract(model: &Path, store: &Path, observer: &mut dyn Observer) -> Result<Outcome, llama_ccs::Error> {
    let checkpoint = Checkpoint::open(model).expect("model");
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    let mut data = boolq::Dataset::load(quiz().join("questions.jsonl")).expect("questions");
    data.questions.truncate(12);
    let template = boolq::Template::named("llama-ccs").expect("template");
    let pairs = boolq::pairs(&data, &template).expect("pairs").pairs;
    let pairs = tokenize_all(pairs, &tokenizer).expect("tokens");
    Extraction::new(&checkpoint, &tokenizer).batch_tokens(100).run(&pairs, store, observer)
}

#[test]
fn a_store_is_not_continued_with_weights_of_which_one_byte_has_changed() {
    let folder = tempfile::tempdir().expect("folder");
    let (model, store) = (folder.path().join("model"), folder.path().join("store"));
    fs::create_dir(&model).expect("folder");
    for entry in fs::read_dir(quiz().join("model")).expect("list").flatten() {
        fs::copy(entry.path(), model.join(entry.file_name())).expect("copy");
    }
    assert!(matches!(extract(&model, &store, &mut Once(0)), Ok(Outcome::Stopped { done, .. }) if done > 0));

    // One bit in the middle of the weights; the file keeps its size and its time of change.
    let file = model.join("consolidated.00.pth");
    let whole = fs::read(&file).expect("read");
    let modified = fs::metadata(&file).expect("metadata").modified().expect("mtime");
    let rewrite = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("write");
        let opened = fs::File::options().write(true).open(&file).expect("open");
        opened.set_times(fs::FileTimes::new().set_modified(modified)).expect("times");
    };
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    rewrite(&changed);
    let error = extract(&model, &store, &mut ()).expect_err("another model");
    assert!(error.to_string().contains("identity") && error.hint().is_some(), "{error}");

    rewrite(&whole);
    assert!(matches!(extract(&model, &store, &mut ()), Ok(Outcome::Finished(_))), "its own weights");
}

//! Kernels are a part of what a store was made with.

use std::fs;
use std::ops::ControlFlow;

use llama_ccs::activations::Manifest;
use llama_ccs::llama_core::{Checkpoint, IdentityCache, Precision, tch::Device};
use llama_ccs::{Extraction, Observer, Outcome, boolq, computing, tokenize_all};

use crate::support::{contents, extract, prompts, quiz};

/// Stops after the first batch.
struct Once;

impl Observer for Once {
    fn rows(&mut self, done: usize, _: usize) -> ControlFlow<()> {
        if done > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn a_store_is_continued_with_the_kernels_it_was_begun_with() {
    const KERNELS: &str = "products=packed,attention=products";
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 12);
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let flags = ["--kernels", KERNELS, "--dtype", "f32", "--batch-tokens", "100"];
    extract(&prompts, &whole).args(flags).assert().success();
    let manifest = Manifest::read(&whole).expect("manifest").provenance().extraction.expect("settings");
    let kernels = manifest.kernels.expect("recorded");
    assert_eq!((kernels["products"].as_str(), kernels["attention"].as_str()), ("packed", "products"));

    // Begun by the library, continued by the program, which is told neither kernels nor precision.
    let run = |out, (precision, kernels), observer: &mut dyn Observer| {
        let checkpoint = Checkpoint::open(quiz().join("model")).expect("model");
        let tokenizer = checkpoint.tokenizer().expect("tokenizer");
        let pairs = boolq::prompts::read(&prompts).expect("prompts").pairs;
        let pairs = tokenize_all(pairs, &tokenizer).expect("tokens");
        let suited = computing(&checkpoint, out, Device::Cpu, (precision, kernels), &IdentityCache::none())
            .expect("suited");
        let templates = [boolq::Template::named("llama-ccs").expect("built in")];
        let extraction = Extraction::new(&checkpoint, &tokenizer).batch_tokens(100).template(&templates[0]);
        let extraction = extraction.precision(suited.precision).kernels(suited.kernels);
        extraction.run(&pairs, out, observer).expect("extracted")
    };
    llama_ccs::tch::set_num_threads(1); // as the program has
    let given = (Some(Precision::F32), Some(KERNELS.parse().expect("kernels")));
    let outcome = run(&parts, given, &mut Once);
    assert!(matches!(outcome, Outcome::Stopped { done, .. } if done > 0));
    extract(&prompts, &parts).args(["--batch-tokens", "100"]).assert().success();
    assert_eq!(contents(&parts), contents(&whole));

    // Other kernels are another store.
    let error =
        extract(&prompts, &whole).args(["--batch-tokens", "100", "--kernels", "products=plain"]).assert();
    let error = String::from_utf8(error.failure().get_output().stderr.clone()).expect("text");
    assert!(error.contains("kernels") && error.contains("hint:"), "{error}");
    assert!(fs::exists(whole.join("manifest.json")).expect("readable"), "nothing was lost");
}

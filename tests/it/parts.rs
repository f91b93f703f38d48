//! Parts of a plan, computed apart and merged.

use std::path::Path;

use predicates::prelude::*;

use crate::support::{contents, extract, llama_ccs, prompts};

fn merge(parts: &[&Path], out: &Path) -> assert_cmd::assert::Assert {
    let mut command = llama_ccs();
    command.args(["store", "merge"]).args(parts).arg("--out").arg(out);
    command.assert()
}

#[test]
fn merged_parts_are_the_store_of_one_run() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 60);
    let cases: [(&[&str], usize); 3] = [
        (&[], 3),
        (&["--tokens", "all,last,answer_mean", "--store-dtype", "f16"], 2),
        (&["--dtype", "bf16", "--deterministic", "--hooks", "blocks.1.attn.hook_z"], 4),
    ];
    for (number, (arguments, of)) in cases.into_iter().enumerate() {
        let path = |name: &str| folder.path().join(format!("{name}-{number}"));
        let arguments = [&["--batch-tokens", "150"], arguments].concat();
        extract(&prompts, &path("one")).args(&arguments).assert().success();
        let parts: Vec<_> = (1..=of).map(|part| path(&format!("part{part}"))).collect();
        for (own, part) in parts.iter().enumerate() {
            let mut command = extract(&prompts, part);
            command.args(&arguments).args(["--part", &format!("{}/{of}", own + 1)]);
            // One of them by two processes.
            let ranks = if own == 0 { "2" } else { "1" };
            command.args(["--ranks", ranks]).assert().success();
        }
        let mut given: Vec<&Path> = parts.iter().map(AsRef::as_ref).collect();
        given.reverse();
        merge(&given, &path("merged")).success();
        let (one, merged) = (contents(&path("one")), contents(&path("merged")));
        assert_eq!(one.keys().collect::<Vec<_>>(), merged.keys().collect::<Vec<_>>());
        for (name, bytes) in &one {
            assert!(bytes == &merged[name], "{} differs: {arguments:?}", name.display());
        }
        // Again: everything is there.
        merge(&given, &path("merged")).success();
    }
}

#[test]
fn stores_that_are_not_the_parts_of_one_plan_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 30);
    let path = |name: &str| folder.path().join(name);
    let part = |name: &str, part: &str, more: &[&str]| {
        let mut command = extract(&prompts, &path(name));
        command.args(["--batch-tokens", "150", "--part", part]).args(more).assert().success();
    };
    part("1", "1/2", &[]);
    part("2", "2/2", &[]);
    part("other", "2/2", &["--dtype", "bf16"]);
    part("thirds", "2/3", &[]);
    extract(&prompts, &path("whole")).assert().success();
    let refused = |parts: [&str; 2], says: &str| {
        let parts = parts.map(path);
        let parts: Vec<&Path> = parts.iter().map(AsRef::as_ref).collect();
        let said = merge(&parts, &path("merged")).code(1).stdout("");
        said.stderr(predicate::str::contains(says).and(predicate::str::contains("hint: give the store")));
        assert!(!path("merged").exists(), "{says}");
    };
    refused(["1", "1"], "it is part 1 as");
    refused(["1", "other"], "settings.extraction.precision");
    refused(["1", "thirds"], "it differs from");
    refused(["1", "whole"], "it does not say which part it is");
    merge(&[&path("1")], &path("merged")).code(1).stderr(predicate::str::contains("2 were not given"));
    // A damaged one is not copied.
    let column = path("2").join("blocks.1.hook_resid_post/plus.npy");
    let mut bytes = std::fs::read(&column).expect("read");
    let last = bytes.len() - 3;
    bytes[last] ^= 16;
    std::fs::write(&column, bytes).expect("written");
    refused(["1", "2"], "it is damaged");

    let mut nothing = extract(&prompts, &path("nothing"));
    nothing
        .args(["--part", "900/1000"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("there is nothing in part 900/1000: the plan has"));
    let mut wrong = extract(&prompts, &path("nothing"));
    wrong
        .args(["--part", "3/2"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("the second of four is 2/4"));
    assert!(!path("nothing").exists());
}

//! A store whose files were damaged: everybody but `extract` refuses it by the file's name, and `extract` makes it what it was.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use llama_ccs::activations::{Manifest, Status};

use crate::support::{contents, extract, llama_ccs, prompts, quiz};

/// Few small columns in many batches.
const FEW: [&str; 5] = ["--batch-tokens", "150", "--hooks", "hook_embed", "blocks.{0,1}.hook_resid_post"];

fn stderr(command: &mut Command, succeeds: bool) -> String {
    let output = command.output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), succeeds, "{said}");
    said
}

fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("read");
    how(&mut bytes);
    fs::write(path, bytes).expect("write");
}

/// A store of 40 pairs, and the prompts that it is of.
fn store(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (prompts, store) = (prompts(folder, 40), folder.join("store"));
    extract(&prompts, &store).args(FEW).assert().success();
    (prompts, store)
}

/// What is done to a file.
type Damage = (&'static str, fn(&mut Vec<u8>));

#[test]
fn a_damaged_store_is_refused_by_its_readers_and_repaired_by_extract() {
    let folder = tempfile::tempdir().expect("folder");
    let (prompts, store) = store(folder.path());
    let whole = contents(&store);
    let again = || stderr(extract(&prompts, &store).args(FEW), true);
    assert!(!again().contains("again"), "nothing to say of a sound store");

    let layer = "blocks.0.hook_resid_post/plus.npy";
    change(&store.join(layer), |bytes| bytes[128 + 7 * 512 + 3] ^= 0x10);
    let export = |out: &str| {
        stderr(
            llama_ccs().args(["store", "export"]).arg(&store).arg("--out").arg(folder.path().join(out)),
            false,
        )
    };
    let said = export("exported");
    assert!(said.contains(layer) && said.contains("batch ") && said.contains("hint: "), "{said}");
    assert!(!folder.path().join("exported").exists());
    for json in [&[][..], &["--json"]] {
        let output = llama_ccs()
            .args(["store", "verify"])
            .arg(&store)
            .args(json)
            .assert()
            .code(1)
            .get_output()
            .clone();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.contains(layer) && said.contains("hint: run the same `extract` command again"),
            "{said}"
        );
    }
    let said = again();
    assert!(said.contains("warning: ") && said.contains(layer) && said.contains("computed again"), "{said}");
    assert!(contents(&store) == whole);
    llama_ccs().args(["store", "verify"]).arg(&store).assert().success();

    // Everything at once: other bytes, a file that is gone, one that is cut off, one that is longer, the rows, the journal.
    let damages: [Damage; 5] = [
        ("hook_embed/plus.npy", |bytes| bytes[128..4000].fill(0)),
        ("hook_embed/minus.npy", |bytes| bytes.truncate(3000)),
        ("answer_logprob/plus.npy", |bytes| bytes.extend_from_slice(b"more")),
        ("rows.parquet", |bytes| bytes[50] ^= 1),
        ("journal", |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 4;
        }),
    ];
    for (name, how) in damages {
        change(&store.join(name), how);
    }
    fs::remove_file(store.join("blocks.1.hook_resid_post/minus.npy")).expect("remove");
    let said = again();
    for (name, _) in damages {
        assert!(said.contains(name), "{name}: {said}");
    }
    assert!(said.contains("blocks.1.hook_resid_post/minus.npy was missing"), "{said}");
    assert!(contents(&store) == whole);
}

/// Rows that are durable when a run is continued are looked at too.
#[test]
fn a_continued_extraction_repairs_what_was_done_before() {
    let folder = tempfile::tempdir().expect("folder");
    let (prompts, store) = store(folder.path());
    let whole = contents(&store);
    // As a kill after half of the batches leaves it, but for a damaged byte in each array.
    let batches = Manifest::read(&store).expect("manifest").batches;
    for (name, bytes) in &whole {
        let path = store.join(name);
        match name.to_string_lossy().as_ref() {
            "journal" => {
                let lines: Vec<&[u8]> =
                    bytes.split_inclusive(|&b| b == b'\n').take(1 + batches.len() / 2).collect();
                fs::write(path, [&lines.concat()[..], b"{\"batch\":77,\nnoise\n\0\0"].concat())
                    .expect("write");
            }
            array if array.contains(".npy") => {
                let width = (bytes.len() - 128) / 40;
                fs::rename(&path, path.with_added_extension("partial")).expect("rename");
                change(&path.with_added_extension("partial"), |bytes| {
                    bytes[128 + batches[1][0] * width] ^= 1;
                });
            }
            _ => {}
        }
    }
    assert_eq!(Status::of(&store).expect("status").batches_done, batches.len() / 2);
    let said = stderr(extract(&prompts, &store).args(FEW), true);
    assert!(said.contains("the values of batch 1 (rows "), "{said}");
    assert!(contents(&store) == whole);
}

/// What is computed again must come out as it was; another number of threads is another machine.
#[test]
fn what_comes_out_otherwise_is_not_written() {
    let folder = tempfile::tempdir().expect("folder");
    let (prompts, store) = store(folder.path());
    // The journal of a store that holds other values of the same rows: here those of a record that is made up.
    let manifest = Manifest::read(&store).expect("manifest");
    let other = folder.path().join("other");
    let rows = llama_ccs::activations::Store::open(&store).expect("store").rows().expect("rows");
    let states = |batch: usize| {
        let columns = manifest.columns.iter().map(|column| {
            let values = vec![0.25; manifest.batches[batch].len() * column.row_len()];
            llama_ccs::activations::ColumnStates::Pair { plus: values.clone(), minus: values }
        });
        llama_ccs::activations::BatchStates { columns: columns.collect() }
    };
    let mut writer =
        llama_ccs::activations::StoreWriter::open(&other, manifest.clone(), &rows).expect("writer");
    for batch in 0..manifest.batches.len() {
        writer.commit(batch, states(batch)).expect("commit");
    }
    writer.finish().expect("finish");
    change(&other.join("hook_embed/plus.npy"), |bytes| bytes[200] ^= 1);
    let before = contents(&other);
    let said = stderr(extract(&prompts, &other).args(FEW), false);
    assert!(
        said.contains("hook_embed/plus.npy: batch ") && said.contains("not bit for bit what it was"),
        "{said}"
    );
    assert!(said.contains("hint: another machine, number of threads, or version"), "{said}");
    assert!(contents(&other) == before, "nothing is written");
}

#[test]
fn predict_takes_no_damaged_run() {
    let folder = tempfile::tempdir().expect("folder");
    let (prompts, store) = store(folder.path());
    let source = ccs_trainer::StoreSource::open(&store).expect("source");
    let settings = ccs_trainer::Settings {
        methods: Some(vec!["mean_difference".parse().unwrap()]),
        directions: 10,

        folds: 2,
        seeds: 0,
        shuffles: 0,
        recursive: 0,
        ..ccs_trainer::Settings::default()
    };
    let run = folder.path().join("run");
    let out = ccs_trainer::NewRunDir::reserve(&run, ccs_trainer::Overwrite::No).expect("a free folder");
    ccs_trainer::Fit::new(&source).settings(settings).run_to(out).expect("fit");
    let predict = || {
        let mut command = llama_ccs();
        command.args(["predict", "--run"]).arg(&run).arg("--model").arg(quiz().join("model"));
        command.args(["--method", "mean_difference", "--prompts"]).arg(&prompts);
        command
    };
    stderr(&mut predict(), true);
    for name in ["split.json", "report.json", "sums.json"] {
        change(&run.join(name), |bytes| bytes[40] ^= 1);
        let said = stderr(&mut predict(), false);
        assert!(said.contains(&format!("run/{name}")) && said.contains("hint: "), "{name}: {said}");
        change(&run.join(name), |bytes| bytes[40] ^= 1);
    }
}

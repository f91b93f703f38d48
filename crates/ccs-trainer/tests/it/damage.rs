//! Damage to any file of a store or of a run: a command refuses, with an error that names the file and says what to do, or
//! gives the bytes that it gave before. Never another number.

use crate::data::method;
use ccs_trainer::RunDir;
use std::collections::BTreeMap;
use std::path::Path;

use crate::data::run;
use activations::Store;
use ccs_report::Method;
use ccs_trainer::Result;
use ccs_trainer::StoreSource;
use ccs_trainer::{Compute, EvalOptions, Fitted, Overwrite, RunCard, Settings, eval};

use crate::store::{Stored, every_file, files, refused};

/// How often each file is changed in a random place.
fn flips() -> usize {
    if std::env::var_os("LLAMA_CCS_LONG").is_some() { 200 } else { 3 }
}

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip(u64),
    Zeros(u64),
    CutOff(u64),
    Empty,
    Longer,
    Missing,
    Folder,
    Device,
}

impl Damage {
    fn all(random: &mut u64) -> Vec<Self> {
        let mut next = || {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *random >> 30
        };
        let mut all: Vec<Self> = (0..flips()).map(|_| Self::Flip(next())).collect();
        all.extend([Self::Zeros(next()), Self::CutOff(next()), Self::Empty, Self::Longer]);
        all.extend([Self::Missing, Self::Folder, Self::Device]);
        all
    }

    fn apply(self, path: &Path, bytes: &[u8]) {
        let len = bytes.len() as u64;
        let mut changed = bytes.to_vec();
        match self {
            Self::Flip(at) => changed[(at % len) as usize] ^= 1 << (at / len % 8),
            Self::Zeros(at) => changed[(at % len) as usize..].iter_mut().take(512).for_each(|byte| *byte = 0),
            Self::CutOff(at) => changed.truncate((at % len) as usize),
            Self::Empty => changed.clear(),
            Self::Longer => changed.extend_from_slice(&[b'\n', 0, 7]),
            Self::Missing | Self::Folder | Self::Device => {
                std::fs::remove_file(path).unwrap();
                if matches!(self, Self::Folder) {
                    std::fs::create_dir(path).unwrap();
                } else if matches!(self, Self::Device) {
                    std::os::unix::fs::symlink("/dev/zero", path).unwrap();
                }
                return;
            }
        }
        std::fs::write(path, changed).unwrap();
    }

    fn undo(path: &Path, bytes: &[u8]) {
        if path.is_dir() {
            std::fs::remove_dir(path).unwrap();
        } else if std::fs::symlink_metadata(path).is_ok() {
            std::fs::remove_file(path).unwrap();
        }
        std::fs::write(path, bytes).unwrap();
    }
}

/// What something gave, or the error with its causes.
type Given = std::result::Result<BTreeMap<String, Vec<u8>>, String>;

fn given(result: Result<Vec<u8>>) -> Given {
    let chain = |error: ccs_trainer::Error| {
        let hint = error.hint().unwrap_or_default();
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(source) = next {
            text = format!("{text}: {source}");
            next = source.source();
        }
        format!("{text}\nhint: {hint}")
    };
    result.map(|bytes| BTreeMap::from([(String::new(), bytes)])).map_err(chain)
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// A fit that is over in a moment, of both layers.
fn fit(store: &Path) -> Result<ccs_trainer::Run> {
    let settings = Settings {
        methods: Some(vec![method("mean_difference"), Method::ZERO_SHOT, Method::MAJORITY]),
        directions: 10,

        folds: 2,
        seeds: 0,
        shuffles: 0,
        recursive: 0,
        ..Settings::default()
    };
    let one = Compute { threads: 1, ..Compute::default() };
    run(&StoreSource::open(store)?, &settings, one)
}

/// Damages each file in each way and asks everybody.
fn campaign(dir: &Path, seed: u64, asked: &[(&str, &dyn Fn() -> Given)]) {
    let before: Vec<Given> = asked.iter().map(|(_, ask)| ask()).collect();
    assert!(before.iter().all(Result::is_ok), "{before:?}");
    let (mut random, mut refusals) = (seed, 0);
    for (name, bytes) in every_file(dir) {
        let path = dir.join(&name);
        for damage in Damage::all(&mut random) {
            damage.apply(&path, &bytes);
            for ((who, ask), before) in asked.iter().zip(&before) {
                match ask() {
                    Ok(found) => {
                        assert!(Ok(&found) == before.as_ref(), "{who}, {name}, {damage:?}: another result");
                    }
                    Err(said) => {
                        refusals += 1;
                        let named =
                            ["manifest.json", "journal", "report.json"].iter().any(|f| name.ends_with(f));
                        let folder = dir.file_name().unwrap().to_string_lossy();
                        assert!(
                            said.contains(&name) || named && said.contains(&*folder),
                            "{who}, {name}, {damage:?}: {said}"
                        );
                        assert!(said.contains("\nhint: "), "{who}, {name}, {damage:?}: {said}");
                    }
                }
            }
            Damage::undo(&path, &bytes);
        }
    }
    assert!(refusals > 50, "{refusals}: nobody looked");
    for ((_, ask), before) in asked.iter().zip(&before) {
        assert!(ask() == *before, "everything is as it was");
    }
}

#[test]
fn a_damaged_store_gives_its_own_numbers_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let run = folder.path().join("run");
    let out = folder.path().join("out");
    Stored { rows: 30, dim: 3, ..Stored::default() }.write(&store);
    fit(&store).unwrap().write(&run, Overwrite::No).unwrap();
    let options = EvalOptions { keep_trained: true, ..EvalOptions::default() };
    let evaluated = || given(StoreSource::open(&store).and_then(|s| Ok(json(&eval(&run, &s, &options)?))));
    let fitted = || {
        let written = fit(&store).and_then(|done| done.write(&out, Overwrite::Yes));
        given(written.map(|()| Vec::new())).map(|_| files(&out))
    };
    let exported = || {
        let to = folder.path().join("exported");
        let found = Store::open(&store).and_then(|s| activations::export_llama_ccs(&s, "last", &to));
        let found = found.map(|_| every_file(&to)).map_err(|e| format!("{e}\nhint: {}", e.hint().unwrap()));
        let _ = std::fs::remove_dir_all(&to);
        found
    };
    campaign(&store, 11, &[("fit", &fitted), ("eval", &evaluated), ("export", &exported)]);
}

#[test]
fn a_damaged_run_gives_its_own_numbers_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let run = folder.path().join("run");
    Stored { rows: 30, dim: 3, ..Stored::default() }.write(&store);
    fit(&store).unwrap().write(&run, Overwrite::No).unwrap();
    let source = StoreSource::open(&store).unwrap();
    let options = EvalOptions { keep_trained: true, ..EvalOptions::default() };
    let evaluated = || given(eval(&run, &source, &options).map(|found| json(&found)));
    let inspected = || given(RunCard::open(&run).map(|card| json(&card)));
    let reported =
        || given(RunDir::open(&run).and_then(|run| run.report()).and_then(|report| Ok(report.to_json()?)));
    // What `llama-ccs predict` takes from a run.
    let predicted = || {
        let fitted = Fitted::open(&run, method("mean_difference"), None);
        given(
            fitted
                .and_then(|f| Ok([f.probe.to_bytes()?, json(&f.train_groups), f.report.to_json()?].concat())),
        )
    };
    let asked: [(&str, &dyn Fn() -> Given); 4] =
        [("eval", &evaluated), ("inspect", &inspected), ("report", &reported), ("predict", &predicted)];
    campaign(&run, 12, &asked);
}

/// The programs say it as the libraries do; and a run that is damaged can be replaced.
#[test]
fn the_program_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    Stored { rows: 30, dim: 3, ..Stored::default() }.write(&dir.join("store"));
    fit(&dir.join("store")).unwrap().write(dir.join("run"), Overwrite::No).unwrap();
    let flip = |name: &str| {
        let path = dir.join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - 2;
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    flip("store/blocks.0.hook_resid_post/minus.npy");
    let parts = ["store/blocks.0.hook_resid_post/minus.npy", "batch 0 (rows 0, 1, 2", "hint: ", "`extract`"];
    refused(dir, &["fit", "store", "--out", "new"], &parts);
    refused(dir, &["sweep", "a=store", "b=store", "--out", "new"], &parts);
    refused(dir, &["eval", "run", "store", "--keep-trained"], &parts);
    assert!(!dir.join("new").exists());
    flip("store/blocks.0.hook_resid_post/minus.npy");
    flip("run/split.json");
    refused(
        dir,
        &["eval", "run", "store", "--keep-trained"],
        &["run/split.json", "changed after it was written"],
    );
    refused(dir, &["inspect", "run"], &["run/split.json"]);
    let done = fit(&dir.join("store")).unwrap();
    done.write(dir.join("run"), Overwrite::Yes).unwrap();
    let probe = "run/probes/mean_difference/layer_01.safetensors";
    flip(probe);
    refused(dir, &["inspect", probe], &[probe, "it was changed after it was written"]);
    std::fs::remove_file(dir.join("run/sums.json")).unwrap();
    refused(dir, &["report", "run"], &["run/sums.json", "it is missing"]);
}

//! A run that is stopped or killed and continued gives the bytes of one that was not.

use crate::data::method;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::data::run;
use ccs_report::Method;
use ccs_trainer::Error;
use ccs_trainer::{
    Compute, Event, Fit, Memory, NewRunDir, Outcome, Overwrite, Run, RunControl, Settings, Sweep,
};
use serde_json::Value;

use crate::data::{three_layers, three_layers_and};
use crate::store::{Stored, files, quick, succeeds, text};

/// A fit of seven layers that takes some seconds.
pub(crate) const SLOW: [&str; 15] = [
    "fit",
    "store",
    "--methods",
    "ccs,lr,mean_difference,random",
    "--epochs",
    "400",
    "--restarts",
    "4",
    "--folds",
    "3",
    "--threads",
    "1",
    "--seeds",
    "2",
    "--shuffles=2",
];

fn start(dir: &Path, out: &str) -> Child {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("ccs"));
    command.current_dir(dir).args(SLOW).args(["--out", out]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn finish(dir: &Path, out: &str) {
    succeeds(start(dir, out).wait_with_output().unwrap());
}

/// The finished layers and diagnostics that are kept for a run.
pub(crate) fn kept(dir: &Path, out: &str) -> Vec<PathBuf> {
    let layers = dir.join(format!("{out}.partial/layers"));
    let keys = std::fs::read_dir(layers).into_iter().flatten().map(|key| key.unwrap().path());
    let parts = keys.flat_map(|key| std::fs::read_dir(key).into_iter().flatten());
    let mut parts: Vec<PathBuf> = parts.map(|part| part.unwrap().path()).collect();
    parts.retain(|path| path.extension().is_none_or(|ending| ending == "json"));
    parts.sort_by_key(|path| (path.is_file(), path.clone())); // layers, then diagnostics
    parts
}

/// Waits until so many layers are kept.
fn wait_for(child: &mut Child, dir: &Path, out: &str, layers: usize) {
    let begun = Instant::now();
    while kept(dir, out).len() < layers && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_mins(5), "no layer is ever done");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn killed_and_continued_and_stopped_by_ctrl_c() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Stored { further: 5, ..Stored::default() }.write(&dir.join("store"));
    finish(dir, "whole");
    let whole = files(&dir.join("whole"));

    // On a busy machine a fit may be done before it is killed; then it is begun again.
    let mut kills = 0;
    for layers in [1, 3, 6, 1, 3, 6] {
        let mut child = start(dir, "torn");
        wait_for(&mut child, dir, "torn", layers);
        let _ = child.kill(); // SIGKILL
        child.wait().unwrap();
        if dir.join("torn").exists() {
            assert!(files(&dir.join("torn")) == whole);
            std::fs::remove_dir_all(dir.join("torn")).unwrap();
        } else {
            assert!(kept(dir, "torn").len() >= layers);
            kills += 1;
        }
        if kills == 3 {
            break;
        }
    }
    assert!(kills > 0);
    finish(dir, "torn");
    assert!(files(&dir.join("torn")) == whole);
    assert!(!dir.join("torn.partial").exists());
    if cfg!(unix) {
        for signal in [("-INT", 130), ("-TERM", 143)] {
            assert!((0..3).any(|_| is_stopped(dir, signal)), "every fit was done before it could be stopped");
            finish(dir, "stopped");
            assert!(files(&dir.join("stopped")) == whole && !dir.join("stopped.partial").exists());
            std::fs::remove_dir_all(dir.join("stopped")).unwrap();
        }
    }
}

/// Stops a fit with a signal, unless it is done before.
fn is_stopped(dir: &Path, (signal, code): (&str, i32)) -> bool {
    let mut child = start(dir, "stopped");
    wait_for(&mut child, dir, "stopped", 2);
    let id = child.id().to_string();
    let _ = std::process::Command::new("kill").args([signal, &id]).stderr(Stdio::null()).status();
    let done = child.wait_with_output().unwrap();
    if done.status.success() {
        std::fs::remove_dir_all(dir.join("stopped")).unwrap();
        return false;
    }
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{said}");
    assert!(said.starts_with("error: stopped with ") && said.contains(" of 7 layers done"), "{said}");
    assert!(said.contains("hint: the same command goes on"), "{said}");
    assert!(!dir.join("stopped").exists() && kept(dir, "stopped").len() >= 2);
    true
}

fn settings() -> Settings {
    let mut settings = Settings { directions: 50, folds: 3, seeds: 2, shuffles: 2, ..Settings::default() };
    settings.methods =
        Some(vec![Method::CCS, Method::LR, Method::RANDOM, Method::ZERO_SHOT, Method::MAJORITY]);
    settings.ccs.max_iter = 100;
    settings.ccs.n_init = 2;
    settings
}

const ONE: Compute = Compute { device: tch::Device::Cpu, threads: 1 };

/// A fit into a folder that is not written: finished parts stay beside it.
fn fit_in(
    data: &Memory,
    settings: &Settings,
    out: &Path,
    control: RunControl<'_>,
) -> ccs_trainer::Result<Outcome<Run>> {
    let out = NewRunDir::reserve(out, Overwrite::Yes)?;
    Fit::new(data).settings(settings.clone()).compute(ONE).control(control).run_in(&out)
}

/// Stops after the first layer.
fn begin(data: &Memory, settings: &Settings, out: &Path) {
    let stop = AtomicBool::new(false);
    let observe = |event: Event<'_>| stop.store(matches!(event, Event::Layer { .. }), Ordering::Relaxed);
    let control = RunControl { stop: Some(&stop), observer: Some(&observe) };
    let found = fit_in(data, settings, out, control).unwrap();
    assert!(matches!(found, Outcome::Stopped { done: 1, layers: 3, kept: true }), "{found:?}");
}

fn go_on(data: &Memory, settings: &Settings, out: &Path) -> Run {
    let layers = Mutex::new(Vec::new());
    let observe = |event: Event<'_>| {
        if let Event::Layer { dataset: None, layer } = event {
            layers.lock().unwrap().push(layer.layer);
        }
    };
    let control = RunControl { observer: Some(&observe), ..RunControl::default() };
    let done = fit_in(data, settings, out, control).unwrap();
    assert_eq!(layers.into_inner().unwrap(), [0, 1, 2], "layers that were kept are told of too");
    done.finished().unwrap()
}

#[test]
fn what_is_kept_is_taken_and_only_by_the_same_run() {
    let data = three_layers(80, 6);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    begin(&data, &settings(), &out);
    let [layer] = &kept(dir.path(), "run")[..] else { panic!("one layer") };
    // To know it again.
    let path = layer.join("outcome.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut outcome: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    outcome["report"]["notes"] = vec!["from the folder"].into();
    let text = format!("{outcome}\n");
    std::fs::write(&path, format!("{text}{}\n", blake3::hash(text.as_bytes()).to_hex())).unwrap();

    let notes = |run: &Run| run.report.layers[0].notes.clone();
    assert_eq!(notes(&go_on(&data, &settings(), &out)), ["from the folder"]);
    let other = Settings { seed: 1, ..settings() };
    assert_ne!(notes(&go_on(&data, &other, &out)), ["from the folder"], "of another seed");
    let other = three_layers(82, 6);
    assert_ne!(notes(&go_on(&other, &settings(), &out)), ["from the folder"], "of other rows");
    let other = three_layers_and(80, 6, 1e-3);
    assert_ne!(
        notes(&go_on(&other, &settings(), &out)),
        ["from the folder"],
        "of the same rows' other states"
    );

    // A write to the folder ends it.
    let done = go_on(&data, &settings(), &out);
    done.write(&out, Overwrite::No).unwrap();
    assert!(kept(dir.path(), "run").is_empty() && !dir.path().join("run.partial").exists());
}

#[test]
fn diagnostics_stop_between_fits_and_keep_what_is_done() {
    let data = three_layers(80, 6);
    let settings = Settings { recursive: 3, ..settings() };
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    run(&data, &settings, ONE).unwrap().write(&whole, Overwrite::No).unwrap();

    let out = dir.path().join("run");
    let steps = |stop_at: &(dyn Fn(&str) -> bool + Sync)| {
        let (stop, told) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let observe = |event: Event<'_>| {
            let text = match event {
                Event::Diagnostics { methods } => format!("diagnostics of {methods}"),
                Event::Diagnosing { method, layer, what } => format!("{method} at {layer}: {what}"),
                Event::Diagnosed { method, .. } => format!("{method} done"),
                Event::Damaged { path } => panic!("{} is damaged", path.display()),
                _ => return,
            };
            stop.fetch_or(stop_at(&text), Ordering::Relaxed);
            told.lock().unwrap().push(text);
        };
        let control = RunControl { stop: Some(&stop), observer: Some(&observe) };
        let done = fit_in(&data, &settings, &out, control).unwrap();
        (done, told.lock().unwrap().clone())
    };
    // In the middle of recursive CCS nothing of the diagnostics is kept; after it, they are.
    let (stopped, told) = steps(&|text| text == "ccs at 2: recursive CCS, direction 2 of 3");
    assert!(matches!(stopped, Outcome::Stopped { done: 3, layers: 3, kept: true }));
    assert_eq!(told[0], "diagnostics of 2");
    assert!(told.contains(&"ccs at 2: seed 2 of 2".to_owned()), "{told:?}");
    assert_eq!(told.last().unwrap(), "ccs at 2: recursive CCS, direction 2 of 3", "and no further");
    assert_eq!(kept(dir.path(), "run").len(), 3);
    let (stopped, told) = steps(&|text| text == "ccs done");
    assert!(matches!(stopped, Outcome::Stopped { .. }) && told.last().unwrap() == "ccs done");
    assert_eq!(kept(dir.path(), "run").len(), 4);
    let (done, told) = steps(&|_| false);
    assert_eq!(told[1], "ccs done", "taken from the folder");
    assert!(told.contains(&"lr at 2: shuffle 2 of 2".to_owned()), "{told:?}");
    done.finished().unwrap().write(&out, Overwrite::No).unwrap();
    assert!(files(&out) == files(&whole));
}

#[test]
fn every_part_comes_back_to_the_last_digit_and_damaged_ones_are_made_again() {
    let data = three_layers(80, 6);
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    run(&data, &settings(), ONE).unwrap().write(&whole, Overwrite::No).unwrap();
    let out = dir.path().join("run");
    // Everything is done, and the write is all that is left.
    go_on(&data, &settings(), &out);
    let parts = kept(dir.path(), "run");
    assert_eq!(parts.len(), 7, "three layers, diagnostics and several layers of two methods: {parts:?}");
    let read = go_on(&data, &settings(), &out);
    read.write(&out, Overwrite::No).unwrap();
    assert!(files(&out) == files(&whole));

    go_on(&data, &settings(), &out);
    for (number, part) in parts.iter().enumerate() {
        let damaged = match number {
            0 => part.join("outcome.json"),
            1 => part.join("ccs.safetensors"),
            2 => part.join("lr.safetensors"),
            _ => part.clone(),
        };
        if number == 2 {
            std::fs::remove_file(damaged).unwrap();
        } else {
            let bytes = std::fs::read(&damaged).unwrap();
            std::fs::write(damaged, &bytes[..bytes.len() / 2]).unwrap();
        }
    }
    go_on(&data, &settings(), &out).write(&out, Overwrite::Yes).unwrap();
    assert!(files(&out) == files(&whole));

    // A folder of that name that no fit left behind is not touched.
    let mine = dir.path().join("run.partial/layers/mine");
    std::fs::create_dir_all(&mine).unwrap();
    let error = NewRunDir::check(&out, Overwrite::Yes).unwrap_err();
    assert!(matches!(&error, Error::RunExists { path, .. } if path.ends_with("run.partial")), "{error}");
    assert!(mine.exists());
}

/// Whatever byte of what is kept is changed: it is made again, said by name, and the run is the same.
#[test]
fn no_changed_byte_of_what_is_kept_reaches_a_run() {
    let data = three_layers(60, 4);
    let settings =
        Settings { methods: Some(vec![method("mean_difference"), Method::MAJORITY]), ..settings() };
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    run(&data, &settings, ONE).unwrap().write(&whole, Overwrite::No).unwrap();
    let whole = files(&whole);
    let out = dir.path().join("run");
    go_on(&data, &settings, &out);
    let layers = dir.path().join("run.partial/layers");
    let kept = files(&layers);
    assert!(kept.len() >= 5, "outcomes, probes and diagnostics: {:?}", kept.keys());
    let every = if std::env::var_os("LLAMA_CCS_LONG").is_some() { 1 } else { 4 };
    let mut random = 7u64;
    for (name, bytes) in &kept {
        let damages = if every == 1 { 100 } else { 5 };
        for damage in 0..damages {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (random >> 33) as usize % bytes.len();
            let mut changed = bytes.clone();
            match damage {
                0 => changed.truncate(at),
                1 => changed[at..].fill(0),
                2 => changed.extend_from_slice(b"\n"),
                _ => changed[at] ^= 1 << (random % 8),
            }
            std::fs::write(layers.join(name), changed).unwrap();
            let said = Mutex::new(Vec::new());
            let observe = |event: Event<'_>| {
                if let Event::Damaged { path } = event {
                    said.lock().unwrap().push(path.to_owned());
                }
            };
            let control = RunControl { observer: Some(&observe), ..RunControl::default() };
            let done = fit_in(&data, &settings, &out, control).unwrap().finished().unwrap();
            let said = said.into_inner().unwrap();
            assert_eq!(said, [layers.join(name).canonicalize().unwrap()], "{name}, damage {damage} at {at}");
            let written = dir.path().join("written");
            done.write(&written, Overwrite::Yes).unwrap();
            assert!(files(&written) == whole, "{name}, damage {damage} at {at}: another run");
            assert!(files(&layers) == kept, "{name}: it is kept again as it was");
        }
    }
}

#[test]
fn a_sweep_goes_on_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Stored { dataset: "a", ..Stored::default() }.write(&dir.join("one"));
    Stored { dataset: "b", seed: 2, passages_from: 100, ..Stored::default() }.write(&dir.join("two"));
    quick(dir, &["sweep", "one", "two", "--out", "whole"]);

    let open = |name: &str| ccs_trainer::StoreSource::open(dir.join(name)).unwrap();
    let (one, two) = (open("one"), open("two"));
    let datasets =
        [ccs_trainer::Dataset { name: "a", source: &one }, ccs_trainer::Dataset { name: "b", source: &two }];
    let mut settings = settings();
    settings.methods = Some(vec![Method::CCS, Method::LR]);
    let sweep = |out: &str, stop_after: usize| {
        let (stop, layers) = (AtomicBool::new(false), Mutex::new(0));
        let observe = |event: Event<'_>| {
            if let Event::Layer { .. } = event {
                let mut layers = layers.lock().unwrap();
                *layers += 1;
                stop.store(*layers == stop_after, Ordering::Relaxed);
            }
        };
        let control = RunControl { stop: Some(&stop), observer: Some(&observe) };
        let sweep = Sweep::new(&datasets).settings(settings.clone()).compute(ONE).control(control);
        sweep.run_to(NewRunDir::reserve(dir.join(out), Overwrite::No).unwrap()).unwrap()
    };
    assert!(sweep("uninterrupted", 0).finished().is_some());
    for stop_after in [1, 3, 5] {
        assert!(matches!(sweep("torn", stop_after), Outcome::Stopped { kept: true, .. }));
        assert!(!dir.join("torn").exists());
    }
    assert!(sweep("torn", 0).finished().is_some());
    assert!(files(&dir.join("torn")) == files(&dir.join("uninterrupted")));
    assert!(!dir.join("torn.partial").exists());
}

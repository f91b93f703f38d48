//! An extraction that is killed and continued gives the bytes of one that was not.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use llama_ccs::activations::Status;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{contents, extract, llama_ccs, prompts, quiz};

/// Small batches, so that there are many moments to be killed in.
const BATCH_TOKENS: &str = "100";

#[test]
fn killed_at_random_moments_and_continued() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 300);
    let (whole, torn) = (folder.path().join("whole"), folder.path().join("torn"));
    let started = Instant::now();
    extract(&prompts, &whole).args(["--batch-tokens", BATCH_TOKENS]).assert().success();
    let duration = started.elapsed();

    let seed = u64::from(std::process::id());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut kills, mut halfway) = (0, 0);
    while kills < 20 {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("llama-ccs"))
            .arg("extract")
            .args(["--batch-tokens", BATCH_TOKENS, "--model"])
            .arg(quiz().join("model"))
            .arg("--prompts")
            .arg(&prompts)
            .arg("--out")
            .arg(&torn)
            .env("OMP_NUM_THREADS", "1")
            .stderr(Stdio::null())
            .spawn()
            .expect("start");
        // Anywhere from before the first file to after the last.
        sleep(duration.mul_f64(rng.random::<f64>()).max(Duration::from_millis(5)));
        let running = child.try_wait().expect("wait").is_none();
        child.kill().expect("kill");
        child.wait().expect("wait");
        kills += usize::from(running);
        let status = Status::of(&torn).ok();
        halfway += usize::from(status.as_ref().is_some_and(|s| 0 < s.rows_done && s.rows_done < s.rows));
        if status.is_some_and(|s| s.finished) {
            compare(&whole, &torn, seed);
            fs::remove_dir_all(&torn).expect("begin again");
        }
    }
    println!("{kills} kills, {halfway} with some rows durable and some not");
    extract(&prompts, &torn).args(["--batch-tokens", BATCH_TOKENS]).assert().success();
    compare(&whole, &torn, seed);
}

/// Two stores with the same files of the same bytes.
fn compare(whole: &Path, torn: &Path, seed: u64) {
    let (whole, torn) = (contents(whole), contents(torn));
    assert_eq!(whole.keys().collect::<Vec<_>>(), torn.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(bytes == &torn[name], "{} differs (seed {seed})", name.display());
    }
}

#[test]
fn a_changed_setting_is_refused_with_the_difference() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 20);
    let store = folder.path().join("store");
    extract(&prompts, &store).assert().success();
    let before = contents(&store);
    let output = extract(&prompts, &store).args(["--dtype", "bf16"]).assert().failure().get_output().clone();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("precision") && said.contains("f32") && said.contains("bf16"), "{said}");
    assert!(contents(&store) == before, "nothing was touched");
    // The same settings: nothing to do, and nothing changes.
    extract(&prompts, &store).assert().success();
    assert!(contents(&store) == before);
    llama_ccs().args(["store", "verify"]).arg(&store).assert().success();
}

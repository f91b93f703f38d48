//! `kill -9` at random moments: this binary runs itself as the writer.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use activations::{Pace, Status, Store, StoreDtype, verify};

use crate::support::{KINDS, Kind, Plan, planned, snapshot};

/// Set in the child: the folder of the store, and which kind it is of.
const CHILD: &str = "ACTIVATIONS_TEST_KILL";
const CHILD_KIND: &str = "ACTIVATIONS_TEST_KILL_KIND";
/// Of each kind of store.
const KILLS: usize = 15;

/// Thirty rows in fifteen batches.
fn killed_plan(kind: Kind) -> Plan {
    planned(kind, StoreDtype::F32, (0..15).map(|batch| vec![29 - batch, batch]).collect())
}

/// Not a test by itself: the writer that is killed. Every batch is synced on its own.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let kind = std::env::var(CHILD_KIND).unwrap();
    let plan = killed_plan(KINDS[kind.parse::<usize>().unwrap()]);
    let pace = Pace { every: Duration::ZERO, bytes: 1 };
    let mut writer = plan.open_paced(Path::new(&dir), pace).unwrap();
    for batch in writer.remaining().to_vec() {
        std::thread::sleep(Duration::from_millis(2));
        writer.commit(batch, plan.states(batch)).unwrap();
    }
    writer.finish().unwrap();
}

/// A number that looks random.
fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

/// Runs the child, for at most `limit`. Whether it was killed.
fn run(kind: Kind, dir: &Path, limit: Duration) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--test-threads=1"])
        .env(CHILD, dir)
        .env(CHILD_KIND, KINDS.iter().position(|&known| known == kind).unwrap().to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "the writer failed: {status}");
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    // SIGKILL: no destructor runs.
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.success() || status.code().is_none(), "the writer failed: {status}");
    !status.success()
}

#[test]
fn a_killed_writer_continues_to_the_same_bytes() {
    KINDS.into_iter().for_each(killed_at_random_moments);
}

fn killed_at_random_moments(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let started = Instant::now();
    assert!(!run(kind, &whole, Duration::from_mins(2)), "the uninterrupted writer took too long");
    let full = started.elapsed();
    let expected = snapshot(&whole);

    let (mut kills, mut stores, mut partly) = (0, 0, 0);
    let seed = u64::from(std::process::id());
    let mut random = seed;
    let wanted = if std::env::var_os("LLAMA_CCS_LONG").is_some() { 20 * KILLS } else { KILLS };
    while kills < wanted {
        stores += 1;
        let store = dir.path().join(format!("store{stores}"));
        let mut done = 0;
        for _ in 0..4 {
            let moment = full.mul_f64(next(&mut random) as f64 / (1u64 << 31) as f64);
            if !run(kind, &store, moment) {
                break;
            }
            kills += 1;
            // Whatever is there is sound, and never less than before.
            if let Ok(status) = Status::of(&store) {
                let problems = verify(&store).unwrap().problems;
                assert!(problems.is_empty(), "seed {seed}, after kill {kills}: {problems:?}");
                assert!(status.rows_done >= done, "seed {seed}, after kill {kills}: durable rows were lost");
                done = status.rows_done;
                partly += usize::from(done > 0 && done < status.rows);
                assert_eq!(Store::open(&store).is_ok(), status.finished, "seed {seed}, after kill {kills}");
            }
        }
        assert!(!run(kind, &store, Duration::from_mins(2)), "seed {seed}: the last writer took too long");
        assert!(expected == snapshot(&store), "seed {seed}, after kill {kills}: other bytes");
    }
    assert!(partly > 0, "seed {seed}: no kill hit a store in the middle; the test shows nothing");
}

/// Killed, damaged, continued, killed while it repairs, damaged again: the same bytes in the end.
#[test]
fn killed_and_damaged_in_turn_it_ends_in_the_same_bytes() {
    KINDS.into_iter().for_each(killed_and_damaged);
}

fn killed_and_damaged(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let started = Instant::now();
    assert!(!run(kind, &whole, Duration::from_mins(2)), "the uninterrupted writer took too long");
    let full = started.elapsed();
    let expected = snapshot(&whole);
    let seed = u64::from(std::process::id());
    let (mut random, mut damages) = (seed, 0);
    let rounds = if std::env::var_os("LLAMA_CCS_LONG").is_some() { 100 } else { 6 };
    for round in 0..rounds {
        let store = dir.path().join(round.to_string());
        for _ in 0..3 {
            run(kind, &store, full.mul_f64(next(&mut random) as f64 / (1u64 << 31) as f64));
            let Ok(status) = Status::of(&store) else { continue };
            if status.rows_done == 0 {
                continue;
            }
            // A byte of an array, or of a record that is not the last. A header is left alone while something else is
            // damaged: an array of which neither header nor any batch is ours is refused (FORMAT.md).
            let sound = verify(&store).is_ok_and(|report| report.problems.is_empty());
            let files = snapshot(&store);
            let names: Vec<&String> = files.keys().filter(|name| name.contains("npy")).collect();
            let name = names[next(&mut random) as usize % names.len()];
            let mut bytes = files[name].clone();
            let header = if sound { 0 } else { 128 };
            let at = header + next(&mut random) as usize % (bytes.len() - header);
            bytes[at] ^= 1 << (next(&mut random) % 8);
            fs_err::write(store.join(name), bytes).unwrap();
            let mut journal = files["journal"].clone();
            let lines: Vec<usize> = (0..journal.len()).filter(|&at| journal[at] == b'\n').collect();
            if lines.len() > 3 {
                let at = next(&mut random) as usize % lines[lines.len() - 3];
                journal[at] ^= 1 << (next(&mut random) % 8);
                fs_err::write(store.join("journal"), journal).unwrap();
            }
            damages += 1;
        }
        assert!(!run(kind, &store, Duration::from_mins(2)), "seed {seed}: the last writer took too long");
        assert!(expected == snapshot(&store), "seed {seed}, round {round}: other bytes");
        fs_err::remove_dir_all(&store).unwrap();
    }
    assert!(damages > 0, "seed {seed}: nothing was ever durable; the test shows nothing");
}

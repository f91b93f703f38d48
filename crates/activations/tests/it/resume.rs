//! A store that was interrupted, anywhere, ends up byte for byte like one that was not.

use activations::{Error, Pace, RowKind, SideOf, Status, Store, StoreDtype, verify};
use std::path::Path;
use std::time::Duration;

use crate::support::{KINDS, Kind, assert_same, copy, message, plan, plan_of, snapshot};

/// What an uninterrupted run gives.
fn uninterrupted(kind: impl Into<Kind>) -> std::collections::BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    plan_of(kind, StoreDtype::F32).complete(dir.path()).unwrap();
    snapshot(dir.path())
}

#[test]
fn dropped_writers_leave_no_trace() {
    KINDS.into_iter().for_each(dropped_writers_of);
}

fn dropped_writers_of(kind: Kind) {
    let (dir, expected) = (tempfile::tempdir().unwrap(), uninterrupted(kind));
    let plan = plan_of(kind, StoreDtype::F32);
    let names: Vec<&str> = expected.keys().map(String::as_str).collect();
    let sides = kind.sides();
    assert!(names.contains(&"journal") && names.contains(&&*format!("hook_embed/{}.npy", sides[0])));
    let beside = if kind.ragged { 2 * sides.len() + 1 } else { 0 };
    let arrays = sides.len() * plan.manifest.columns.len() + beside;
    assert_eq!(names.len(), 3 + arrays, "nothing else is in the folder: {names:?}");
    for batches in [0, 1, 0, 2, 1] {
        plan.write_some(dir.path(), batches).unwrap();
    }
    assert_eq!(Status::of(dir.path()).unwrap().rows_done, 7);
    let store = plan.complete(dir.path()).unwrap();
    assert_same(&expected, &snapshot(store.dir()));
}

#[test]
fn the_pace_does_not_change_a_byte() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    let pace = Pace { every: Duration::ZERO, bytes: 1 };
    let mut writer = plan.open_paced(dir.path(), pace).unwrap();
    for batch in writer.remaining().to_vec() {
        writer.commit(batch, plan.states(batch)).unwrap();
    }
    writer.finish().unwrap();
    assert_same(&uninterrupted(RowKind::Pairs), &snapshot(dir.path()));
}

#[test]
fn batches_become_durable_without_further_commits() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    let pace = Pace { every: Duration::from_millis(20), ..Pace::default() };
    let mut writer = plan.open_paced(dir.path(), pace).unwrap();
    writer.commit(0, plan.states(0)).unwrap();
    assert_eq!(writer.remaining(), [1, 2, 3]);
    let waited = std::time::Instant::now();
    while Status::of(dir.path()).unwrap().rows_done < 3 {
        assert!(waited.elapsed() < Duration::from_secs(30), "the batch never became durable");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_finished_store_has_nothing_remaining() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.complete(dir.path()).unwrap();
    let before = snapshot(dir.path());
    let mut writer = plan.open(dir.path()).unwrap();
    assert!(writer.remaining().is_empty());
    assert!(message(writer.commit(0, plan.states(0))).contains("where none is next"));
    assert_eq!(writer.finish().unwrap().manifest().rows, 7);
    assert_same(&before, &snapshot(dir.path()));
}

#[test]
fn finishing_early_is_refused_and_nothing_is_lost() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    let mut writer = plan.open(dir.path()).unwrap();
    writer.commit(0, plan.states(0)).unwrap();
    assert!(matches!(writer.finish(), Err(Error::Unfinished { remaining: 3 })));
    assert_eq!(plan.open(dir.path()).unwrap().remaining(), [1, 2, 3]);
}

#[test]
fn a_kill_between_renames_is_healed() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.complete(dir.path()).unwrap();
    let expected = snapshot(dir.path());
    for name in ["hook_embed/minus.npy", "blocks.1.hook_resid_post/plus.npy"] {
        let path = dir.path().join(name);
        fs_err::rename(&path, path.with_added_extension("partial")).unwrap();
    }
    assert!(message(Store::open(dir.path())).contains("7 of 7 rows are there, but not all files have"));
    assert!(verify(dir.path()).unwrap().is_sound());
    plan.complete(dir.path()).unwrap();
    assert_same(&expected, &snapshot(dir.path()));
}

#[test]
fn every_torn_journal_tail_is_continued() {
    let [source, dir] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (plan, expected) = (plan(StoreDtype::F32), uninterrupted(RowKind::Pairs));
    plan.write_some(source.path(), 2).unwrap();
    let shorter = fs_err::metadata(source.path().join("journal")).unwrap().len();
    plan.write_some(source.path(), 1).unwrap();
    let longer = fs_err::metadata(source.path().join("journal")).unwrap().len();
    assert!(longer > shorter);
    for end in shorter..longer {
        let store = dir.path().join(end.to_string());
        copy(source.path(), &store);
        let journal = fs_err::OpenOptions::new().write(true).open(store.join("journal")).unwrap();
        journal.set_len(end).unwrap();
        assert!(verify(&store).unwrap().is_sound(), "a torn tail is no damage");
        let writer = plan.open(&store).unwrap();
        assert_eq!(writer.remaining(), [2, 3], "journal cut at {end}");
        drop(writer);
        // The whole way for some: it syncs every file.
        if end % 16 == 0 || end + 1 == longer {
            plan.complete(&store).unwrap();
            assert_same(&expected, &snapshot(&store));
        }
        fs_err::remove_dir_all(&store).unwrap();
    }
}

/// A finished store whose last record is lost is not finished, and its arrays must not look so.
#[test]
fn a_lost_record_takes_the_final_names_away() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.complete(dir.path()).unwrap();
    let expected = snapshot(dir.path());
    let journal = fs_err::OpenOptions::new().write(true).open(dir.path().join("journal")).unwrap();
    journal.set_len(expected["journal"].len() as u64 - 4).unwrap();
    assert!(!verify(dir.path()).unwrap().is_sound());
    assert!(message(Store::open(dir.path())).contains("6 of 7 rows"));
    let writer = plan.open(dir.path()).unwrap();
    assert_eq!(writer.remaining(), [3]);
    assert!(!fs_err::exists(dir.path().join("hook_embed/plus.npy")).unwrap());
    drop(writer);
    plan.complete(dir.path()).unwrap();
    assert_same(&expected, &snapshot(dir.path()));
}

type Undo = Box<dyn Fn(&Path)>;

/// Every state that creation goes through, made by taking the later steps back.
#[test]
fn an_interrupted_creation_is_begun_anew() {
    KINDS.into_iter().for_each(interrupted_creation_of);
}

fn interrupted_creation_of(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let (plan, expected) = (plan_of(kind, StoreDtype::F32), uninterrupted(kind));
    let partial = |side: SideOf| format!("hook_embed/{side}.npy.partial");
    let [first, last] = [kind.sides()[0], kind.sides()[kind.sides().len() - 1]].map(partial);
    let fresh = dir.path().join("fresh");
    plan.write_some(&fresh, 0).unwrap();
    let text = fs_err::read(fresh.join("manifest.json")).unwrap();
    let first_line = fs_err::read(fresh.join("journal")).unwrap();
    let undo: Vec<Undo> = vec![
        Box::new(|store| fs_err::remove_file(store.join("manifest.json")).unwrap()),
        Box::new(move |store| fs_err::write(store.join("manifest.json.tmp"), &text[..20]).unwrap()),
        Box::new(move |store| fs_err::write(store.join("journal"), &first_line[..30]).unwrap()),
        Box::new(|store| fs_err::write(store.join("journal"), "").unwrap()),
        Box::new(move |store| fs_err::write(store.join(&first), "").unwrap()),
        Box::new(move |store| fs_err::remove_file(store.join(&last)).unwrap()),
        Box::new(|store| fs_err::remove_dir_all(store.join("blocks.1.hook_resid_post")).unwrap()),
        Box::new(move |store| {
            if kind.ragged {
                let ids = store.join(format!("tokens/{}_ids.npy", kind.sides()[0]));
                fs_err::rename(&ids, ids.with_added_extension("tmp")).unwrap();
            }
        }),
        Box::new(|store| fs_err::rename(store.join("rows.parquet"), store.join("rows.parquet.tmp")).unwrap()),
        Box::new(|store| fs_err::remove_file(store.join("rows.parquet.tmp")).unwrap()),
    ];
    for steps in 1..=undo.len() {
        let store = dir.path().join(steps.to_string());
        copy(&fresh, &store);
        undo[..steps].iter().for_each(|undo| undo(&store));
        assert!(message(Store::open(&store)).contains("its creation was interrupted"), "after {steps} steps");
        assert!(verify(&store).is_err());
        plan.complete(&store).unwrap();
        assert_same(&expected, &snapshot(&store));
    }
}

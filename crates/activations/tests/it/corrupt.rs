//! Damaged files: found by `verify` in any file, an error for every reader, a panic for none.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use activations::{SideOf, Status, Store, StoreDtype, verify};
use proptest::prelude::*;

use crate::support::{KINDS, Kind, assert_same, mapped, message, plan, plan_of, read_rows, snapshot};

/// Reads everything there is to read.
fn read_all(dir: &Path) -> activations::Result<()> {
    Status::of(dir)?;
    let store = Store::open(dir)?;
    store.rows()?;
    store.layers("last");
    for column in &store.manifest().columns {
        for &side in store.kind().sides() {
            read_rows(&store, column, side, 0..store.manifest().rows)?;
            mapped(&store, column, side)?;
        }
    }
    Ok(())
}

#[test]
fn a_flipped_bit_is_found_in_any_byte_of_any_file() {
    KINDS.into_iter().for_each(flipped_in_any_byte);
}

fn flipped_in_any_byte(kind: Kind) {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan_of(kind, StoreDtype::F32));
    plan.complete(dir.path()).unwrap();
    for (name, bytes) in snapshot(dir.path()) {
        let path = dir.path().join(&name);
        // Every byte of the arrays, a sample of the longer files and their last byte; every bit in turn.
        let step = if bytes.len() > 600 { 13 } else { 1 };
        for at in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            fs_err::write(&path, &damaged).unwrap();
            let found = verify(dir.path()).unwrap();
            assert!(!found.is_sound(), "{name}, byte {at} went unnoticed");
            let blamed = &found.problems[0].file;
            assert!(*blamed == name || name == "manifest.json", "{name}, byte {at} was blamed on {blamed}");
        }
        fs_err::write(&path, &bytes).unwrap();
    }
    assert!(verify(dir.path()).unwrap().is_sound());
}

#[test]
fn verify_lists_every_problem_with_its_rows() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.write_some(dir.path(), 3).unwrap();
    let damage = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = dir.path().join(name);
        let mut bytes = fs_err::read(&path).unwrap();
        change(&mut bytes);
        fs_err::write(path, bytes).unwrap();
    };
    let row = |row: usize| 128 + row * 20;
    damage("hook_embed/plus.npy.partial", &|bytes| {
        bytes[row(2) + 4..row(2) + 8].copy_from_slice(&f32::NAN.to_le_bytes());
        bytes[row(5)] ^= 1;
        // Row 1 belongs to the batch that is not there yet.
        bytes[row(1)] ^= 1;
    });
    damage("hook_embed/minus.npy.partial", &|bytes| bytes.truncate(200));
    damage("blocks.0.hook_resid_post/minus.npy.partial", &|bytes| bytes[30] = b'X');
    damage("rows.parquet", &|bytes| bytes[100] ^= 1);
    fs_err::remove_file(dir.path().join("answer_logprob/plus.npy.partial")).unwrap();

    let found = verify(dir.path()).unwrap();
    assert_eq!(found.status.unwrap().rows_done, 6);
    let text: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    let expected = [
        "rows.parquet: its BLAKE3 is not the manifest's rows_hash",
        "hook_embed/plus.npy: the values are not those the journal names (batch 0, rows 6, 2, 3)",
        "hook_embed/plus.npy: values are NaN or infinite (batch 0, rows 2)",
        "hook_embed/plus.npy: the values are not those the journal names (batch 2, rows 5, 4)",
        "hook_embed/minus.npy: ",
        "answer_logprob/plus.npy: the file is missing",
        "blocks.0.hook_resid_post/minus.npy: ",
    ];
    assert_eq!(text.len(), expected.len(), "{text:#?}");
    for (text, expected) in text.iter().zip(expected) {
        assert!(text.starts_with(expected), "{text:?} instead of {expected:?}");
    }
    assert!(text[4].contains("has 200 bytes instead of 268"), "{}", text[4]);
    assert!(text[6].contains("header"), "{}", text[6]);
    // Nobody reads such a store, and its writer sets it right.
    assert!(Store::open(dir.path()).is_err());
    let writer = plan.open(dir.path()).unwrap();
    assert_eq!(writer.remaining(), [0, 1, 2, 3]);
    let repairs = writer.repairs().join("\n");
    for file in ["rows.parquet", "hook_embed/plus.npy", "hook_embed/minus.npy", "answer_logprob/plus.npy"] {
        assert!(repairs.contains(file), "{repairs}");
    }
    drop(writer);
    plan.complete(dir.path()).unwrap();
    let whole = tempfile::tempdir().unwrap();
    plan.complete(whole.path()).unwrap();
    assert_same(&snapshot(whole.path()), &snapshot(dir.path()));
}

#[test]
fn readers_refuse_what_is_not_the_array_of_the_manifest() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    let store = plan.complete(dir.path()).unwrap();
    let reader = store.column("hook_embed").unwrap();
    let path = reader.path(SideOf::Plus).unwrap();
    let whole = fs_err::read(&path).unwrap();
    let replace = |from: &str, to: &str| {
        let mut bytes = whole.clone();
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes.splice(at..at + from.len(), to.bytes());
        fs_err::write(&path, bytes).unwrap();
    };
    for (from, to) in
        [("<f4", "<f8"), ("<f4", ">f4"), ("False", "True "), ("(7, 5", "(5, 7"), ("(7, 5", "(9, 9")]
    {
        replace(from, to);
        let text = message(reader.read(SideOf::Plus));
        assert!(text.contains("expected") && text.contains(to.trim()), "{text}");
        assert!(reader.map(SideOf::Plus).is_err() && Store::open(dir.path()).is_err());
    }
    for len in [0, 5, 127, 128, whole.len() - 1, whole.len() + 1] {
        let mut bytes = whole.clone();
        bytes.resize(len, 0);
        fs_err::write(&path, bytes).unwrap();
        assert!(message(reader.read_rows(SideOf::Plus, 0..1)).contains("plus.npy"));
    }
    fs_err::remove_file(&path).unwrap();
    assert!(message(Store::open(dir.path())).contains("plus.npy"));
}

#[test]
fn another_schema_is_named() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.complete(dir.path()).unwrap();
    let path = dir.path().join("manifest.json");
    let text = fs_err::read_to_string(&path).unwrap();
    for (schema, more) in [(1, ""), (3, ", \"future\": true")] {
        let other = text.replace("\"schema\": 2", &format!("\"schema\": {schema}{more}"));
        fs_err::write(&path, other).unwrap();
        let refused = [message(Store::open(dir.path())), message(plan.open(dir.path()))];
        for refused in refused {
            let expected = format!("has schema {schema}, and this version reads schema 2");
            assert!(refused.contains(&expected) && refused.contains("make the store again"), "{refused}");
        }
    }
    fs_err::write(&path, text.replace("aaaa", "bbbb")).unwrap();
    assert!(
        message(Store::open(dir.path())).contains("manifest.json is not the one the store was begun with")
    );
}

/// One change to a file.
#[derive(Debug, Clone)]
enum Change {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
    Digits(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = 0usize..4000;
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at.clone(), proptest::sample::select(b"0123456789[](){},:\"\n\\ x".to_vec()))
            .prop_map(|(at, byte)| Change::Insert(at, byte)),
        at.clone().prop_map(Change::Remove),
        at.clone().prop_map(Change::Cut),
        at.prop_map(Change::Digits),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let len = bytes.len().max(1);
    match *change {
        Change::Set(at, byte) if !bytes.is_empty() => bytes[at % len] = byte,
        Change::Insert(at, byte) => bytes.insert(at % len.min(bytes.len() + 1), byte),
        Change::Remove(at) if !bytes.is_empty() => drop(bytes.remove(at % len)),
        Change::Cut(at) => bytes.truncate(at % len),
        // Numbers are what lengths and offsets are computed from: make one huge.
        Change::Digits(from) => {
            let digit = bytes.iter().skip(from % len).position(u8::is_ascii_digit);
            if let Some(at) = digit.map(|i| i + from % len) {
                bytes.splice(at..at, *b"99999999999999999");
            }
        }
        Change::Set(..) | Change::Remove(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_makes_a_reader_panic(
        finished in any::<bool>(),
        kind in proptest::sample::select(&KINDS[..]),
        file in 0usize..4,
        changes in proptest::collection::vec(change(), 1..4),
    ) {
        let plan = plan_of(kind, StoreDtype::F16);
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in &templates(kind)[usize::from(finished)] {
            fs_err::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs_err::write(dir.path().join(name), bytes).unwrap();
        }
        let array = format!("hook_embed/{}.npy{}", kind.sides()[0], if finished { "" } else { ".partial" });
        // What damages plain columns alone is damaged there in other stores, too.
        let beside = format!("tokens/{}_offsets.npy", kind.sides()[0]);
        let ragged = if kind.ragged { beside } else { array.clone() };
        let path = dir.path().join(["manifest.json", "journal", &array, &ragged][file]);
        let whole = fs_err::read(&path).unwrap();
        let mut bytes = whole.clone();
        for change in &changes {
            apply(&mut bytes, change);
        }
        fs_err::write(&path, &bytes).unwrap();
        let read = read_all(dir.path());
        let verified = verify(dir.path());
        if finished && bytes != whole {
            // What only follows the journal's last record changes no value.
            let longer = file == 1 && bytes.starts_with(&whole);
            prop_assert!(read.is_err() || longer, "read in spite of the damage");
            prop_assert!(verified.is_err() || !verified.unwrap().is_sound());
        }
        let _ = plan.write_some(dir.path(), 1);
        if plan.complete(dir.path()).is_ok() {
            prop_assert!(templates(kind)[1] == snapshot(dir.path()), "continued to other bytes");
        }
    }
}

type Snapshot = BTreeMap<String, Vec<u8>>;

/// The files of an unfinished and of a finished store; written once.
fn templates(kind: Kind) -> &'static [Snapshot; 2] {
    static FILES: OnceLock<[[Snapshot; 2]; 4]> = OnceLock::new();
    let all = FILES.get_or_init(|| {
        KINDS.map(|kind| {
            let [partial, finished] = [(); 2].map(|()| tempfile::tempdir().unwrap());
            plan_of(kind, StoreDtype::F16).write_some(partial.path(), 2).unwrap();
            plan_of(kind, StoreDtype::F16).complete(finished.path()).unwrap();
            [snapshot(partial.path()), snapshot(finished.path())]
        })
    });
    &all[KINDS.iter().position(|&known| known == kind).unwrap()]
}

/// A block of zeros in the journal with whole lines after it: the lost records are told from the values, and the hashes
/// after them show that they are the same.
#[test]
fn a_zeroed_block_in_the_journal_costs_nothing() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.write_some(dir.path(), 4).unwrap();
    let before = snapshot(dir.path());
    let path = dir.path().join("journal");
    let mut bytes = fs_err::read(&path).unwrap();
    let ends: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').collect();
    bytes[ends[0] + 4..ends[1] - 4].fill(0);
    fs_err::write(&path, bytes).unwrap();
    let found = verify(dir.path()).unwrap().problems;
    assert!(found.len() == 1 && found[0].to_string().starts_with("journal: line 2: "), "{found:?}");
    assert!(message(Status::of(dir.path())).contains("journal, line 2"));
    let writer = plan.open(dir.path()).unwrap();
    assert!(writer.remaining().is_empty(), "nothing is computed again");
    assert!(writer.repairs()[0].contains("names 4 batches"), "{:?}", writer.repairs());
    drop(writer);
    assert_same(&before, &snapshot(dir.path()));
}

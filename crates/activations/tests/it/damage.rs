//! Every kind of damage to every file of a store, finished and not: readers refuse it or give what was written, and a
//! writer refuses it or ends in the bytes that were written.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::path::Path;

use activations::{ColumnStates, SideOf, Status, Store, StoreDtype, export_llama_ccs, verify};

use crate::support::{
    KINDS, Kind, Plan, assert_same, copy, mapped, message, plan, plan_of, read_rows, snapshot,
};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    Flip(usize),
    Zeros(usize),
    CutOff(usize),
    Longer,
    Missing,
    Folder,
    Device,
    Pipe,
    LinkToACopy,
}

impl Damage {
    fn all(len: usize, random: &mut u64) -> Vec<Self> {
        let flips = if std::env::var_os("LLAMA_CCS_LONG").is_some() { 300 } else { 4 };
        let mut at = || {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*random >> 33) as usize % len
        };
        let mut all: Vec<Self> = (0..flips).map(|_| Self::Flip(at())).collect();
        all.extend([Self::Zeros(at()), Self::CutOff(at()), Self::CutOff(0), Self::Longer]);
        all.extend([Self::Missing, Self::Folder, Self::Device, Self::Pipe, Self::LinkToACopy]);
        all
    }

    /// Whether nothing that is a file is left, or one that a writer does not write to.
    fn is_of_the_name(self) -> bool {
        matches!(self, Self::Folder | Self::Device | Self::Pipe | Self::LinkToACopy)
    }

    fn apply(self, path: &Path, bytes: &[u8]) {
        let mut changed = bytes.to_vec();
        match self {
            Self::Flip(at) => changed[at] ^= 1 << (at % 8),
            Self::Zeros(at) => changed[at..].iter_mut().take(512).for_each(|byte| *byte = 0),
            Self::CutOff(at) => changed.truncate(at),
            Self::Longer => changed.extend_from_slice(b"\n\0some\nmore"),
            _ => {
                fs_err::remove_file(path).unwrap();
                match self {
                    Self::Folder => fs_err::create_dir(path).unwrap(),
                    Self::Device => symlink("/dev/zero", path).unwrap(),
                    Self::Pipe => {
                        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
                        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
                    }
                    Self::LinkToACopy => {
                        let copy = path.ancestors().find(|dir| dir.join("journal.here").exists()).unwrap();
                        let copy = copy.join("a copy");
                        fs_err::write(&copy, bytes).unwrap();
                        symlink(copy, path).unwrap();
                    }
                    _ => {}
                }
                return;
            }
        }
        fs_err::write(path, changed).unwrap();
    }
}

/// Everything that readers give.
fn read_all(dir: &Path) -> activations::Result<Vec<Vec<f32>>> {
    let store = Store::open(dir)?;
    store.rows()?;
    let mut all = Vec::new();
    for column in &store.manifest().columns {
        for &side in store.kind().sides() {
            all.push(read_rows(&store, column, side, 0..store.manifest().rows)?);
            all.push(read_rows(&store, column, side, 2..3)?);
            mapped(&store, column, side)?;
        }
    }
    Ok(all)
}

/// A folder beside the store, which holds what must not change.
fn in_a_folder(plan: &Plan, batches: Option<usize>) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("journal.here"), "").unwrap();
    let dir = folder.path().join("store");
    match batches {
        Some(batches) => plan.write_some(&dir, batches).unwrap(),
        None => drop(plan.complete(&dir).unwrap()),
    }
    (folder, dir)
}

fn campaign(kind: Kind, dtype: StoreDtype, batches: Option<usize>, seed: u64) {
    let plan = plan_of(kind, dtype);
    let (whole, dir) = in_a_folder(&plan, None);
    let (expected, values) = (snapshot(&dir), read_all(&dir).unwrap());
    let (source, dir) = in_a_folder(&plan, batches);
    let before = snapshot(&dir);
    let (mut random, mut mended, mut refused) = (seed, 0, BTreeMap::new());
    for (name, bytes) in &before {
        for damage in Damage::all(bytes.len(), &mut random) {
            let place = format!("{name}, {damage:?}");
            let folder = tempfile::tempdir().unwrap();
            fs_err::write(folder.path().join("journal.here"), "").unwrap();
            let dir = folder.path().join("store");
            copy(&source.path().join("store"), &dir);
            damage.apply(&dir.join(name), bytes);
            if let Ok(found) = read_all(&dir) {
                assert!(found == values, "{place}: other values");
            }
            let _ = Status::of(&dir);
            if let Ok(found) = verify(&dir) {
                for problem in &found.problems {
                    assert!(!problem.hint.is_empty(), "{problem}");
                }
                let of_an_unfinished_array = batches.is_some() && name.contains("npy");
                let of_the_tail = name == "journal" && batches.is_some();
                assert!(
                    !found.is_sound()
                        || of_an_unfinished_array
                        || of_the_tail
                        || damage == Damage::LinkToACopy,
                    "{place} went unnoticed"
                );
            }
            match plan.complete(&dir) {
                Ok(store) => {
                    mended += 1;
                    assert!(
                        !damage.is_of_the_name() || name == "manifest.json" || name == "rows.parquet",
                        "{place}"
                    );
                    assert_same(&expected, &snapshot(store.dir()));
                }
                Err(error) => {
                    let text = message::<()>(Err(error));
                    let file = name.trim_end_matches(".partial");
                    assert!(text.contains(file) || text.contains("holds no store"), "{place}: {text}");
                    refused.entry(name.clone()).or_insert_with(Vec::new).push((damage, text));
                }
            }
        }
    }
    // Arrays are mended, whatever it is but another thing under their name.
    for (name, errors) in refused.iter().filter(|(name, _)| name.contains("npy")) {
        for (damage, text) in errors {
            let is_header = text.contains(".npy header does not fit") && matches!(damage, Damage::Zeros(_));
            assert!(damage.is_of_the_name() || is_header, "{name}, {damage:?}: {text}");
        }
    }
    assert!(mended > 50 * kind.sides().len(), "{mended}: the test shows nothing");
    drop(whole);
}

#[test]
fn of_a_finished_store() {
    for kind in KINDS {
        campaign(kind, StoreDtype::F32, None, 1);
    }
}

#[test]
fn of_an_unfinished_store() {
    for kind in KINDS {
        campaign(kind, StoreDtype::F16, Some(2), 2);
    }
}

#[test]
fn one_damaged_layer_leaves_the_others_readable() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.complete(dir.path()).unwrap();
    let path = dir.path().join("hook_embed/plus.npy");
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[128 + 2 * 20] ^= 1; // row 2, of batch 0
    fs_err::write(&path, &bytes).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let reader = store.column("hook_embed").unwrap();
    for text in [
        message(reader.read(SideOf::Plus)),
        message(reader.map(SideOf::Plus)),
        message(reader.read_rows(SideOf::Plus, 3..4)), // another row of the batch
        message(export_llama_ccs(&store, "last", dir.path().join("../exported"))),
    ] {
        assert!(text.contains("hook_embed/plus.npy: the values of batch 0 (rows 6, 2, 3)"), "{text}");
        assert!(text.contains("hint: ") && text.contains("`extract`"), "{text}");
    }
    // Rows of other batches, the other side and other columns.
    assert_eq!(reader.read_rows(SideOf::Plus, 4..6).unwrap().len(), 10);
    assert!(reader.read_rows(SideOf::Plus, 4..4).unwrap().is_empty());
    reader.read(SideOf::Minus).unwrap();
    store.column("blocks.0.hook_resid_post").unwrap().read(SideOf::Plus).unwrap();
    bytes[128 + 5 * 20] ^= 1;
    fs_err::write(&path, &bytes).unwrap();
    assert!(message(reader.read(SideOf::Plus)).contains("nor are those of another batch"));
}

/// A batch is computed again only to what it was.
#[test]
fn what_comes_out_otherwise_is_not_written() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.complete(dir.path()).unwrap();
    let path = dir.path().join("blocks.1.hook_resid_post/minus.npy");
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[128 + 4 * 20] ^= 1; // row 4, of batch 2
    fs_err::write(&path, &bytes).unwrap();
    let before = snapshot(dir.path());
    let mut writer = plan.open_again(dir.path()).unwrap();
    assert_eq!(writer.remaining(), [2]);
    let mut states = plan.states(2);
    let ColumnStates::Pair { minus, .. } = &mut states.columns[1] else { unreachable!("of pairs") };
    minus[0] += 0.5;
    writer.commit(2, states).unwrap();
    let text = message(writer.finish());
    assert!(text.contains("blocks.1.hook_resid_post/minus.npy: batch 2, whose values are damaged"), "{text}");
    assert_same(&before, &snapshot(dir.path()));
    // What is sound can be read all the same.
    Store::open(dir.path()).unwrap().column("hook_embed").unwrap().read(SideOf::Plus).unwrap();
    plan.complete(dir.path()).unwrap();
    assert!(verify(dir.path()).unwrap().is_sound());
}

/// Somebody's array under the name of ours is theirs.
#[test]
fn an_array_that_was_put_there_is_left_alone() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.complete(dir.path()).unwrap();
    let path = dir.path().join("hook_embed/plus.npy");
    let mut bytes = fs_err::read(&path).unwrap();
    bytes.iter_mut().skip(64).for_each(|byte| *byte = byte.wrapping_add(1));
    fs_err::write(&path, &bytes).unwrap();
    let before = snapshot(dir.path());
    assert!(message(plan.open_again(dir.path())).contains("move the file away first, and it is made anew"));
    assert_same(&before, &snapshot(dir.path()));
    fs_err::remove_file(&path).unwrap();
    plan.complete(dir.path()).unwrap();
    assert!(verify(dir.path()).unwrap().is_sound());
}

/// The journal's end is what an interrupted write leaves, whatever is in it.
#[test]
fn garbage_behind_the_journal_is_cut_off() {
    let (source, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.write_some(source.path(), 2).unwrap();
    let journal = fs_err::read(source.path().join("journal")).unwrap();
    let wrong = String::from_utf8(journal.clone()).unwrap().replace("\"batch\":1", "\"batch\":2");
    let last = wrong.lines().last().unwrap().to_owned() + "\n";
    let tails: [&[u8]; 7] = [
        b"\n",
        b"dear\ndiary\n",
        &[0; 9000],
        &[0xff; 300],
        last.as_bytes(),
        &[last.as_bytes(), last.as_bytes()].concat(),
        &journal,
    ];
    let whole = tempfile::tempdir().unwrap();
    plan.complete(whole.path()).unwrap();
    for (number, tail) in tails.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        copy(source.path(), dir.path());
        fs_err::write(dir.path().join("journal"), [&journal, *tail].concat()).unwrap();
        assert_eq!(Status::of(dir.path()).unwrap().rows_done, 4, "tail {number}");
        let writer = plan.open_again(dir.path()).unwrap();
        assert_eq!((writer.remaining(), writer.repairs().len()), (&[2, 3][..], 0), "tail {number}");
        drop(writer);
        assert_eq!(fs_err::read(dir.path().join("journal")).unwrap(), journal);
        plan.complete(dir.path()).unwrap();
        assert_same(&snapshot(whole.path()), &snapshot(dir.path()));
    }
}

/// Every byte of the journal of a finished store: a reader refuses or reads what was written, and a writer loses no record
/// whose values are there.
#[test]
fn no_changed_byte_of_the_journal_costs_a_sound_batch() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.complete(dir.path()).unwrap();
    let before = snapshot(dir.path());
    let journal = &before["journal"];
    let lines: Vec<usize> = (0..journal.len()).filter(|&at| journal[at] == b'\n').collect();
    let step = if std::env::var_os("LLAMA_CCS_LONG").is_some() { 1 } else { 11 };
    for at in (0..journal.len()).step_by(step).chain(lines.iter().copied()) {
        let mut changed = journal.clone();
        changed[at] ^= 1 << (at % 8);
        fs_err::write(dir.path().join("journal"), changed).unwrap();
        // At the end, it is the last batch or two that are not there.
        assert!(message(Store::open(dir.path())).contains("journal") || at >= lines[3], "byte {at}");
        let writer = plan.open_again(dir.path()).unwrap();
        // A hash in the last line is shown right by nothing after it.
        let most = usize::from(at > lines[3]) + usize::from(at == lines[3]);
        assert!(writer.remaining().len() <= most, "byte {at}: {:?}", writer.remaining());
        drop(writer);
        plan.complete(dir.path()).unwrap();
        assert_same(&before, &snapshot(dir.path()));
    }
}

#[test]
fn a_lost_journal_is_refused_and_nothing_is_changed() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.complete(dir.path()).unwrap();
    for bytes in [&b""[..], b"\n", b"noise\nnoise\n", &[0; 2000]] {
        fs_err::write(dir.path().join("journal"), bytes).unwrap();
        let before = snapshot(dir.path());
        assert!(message(plan.open_again(dir.path())).contains("journal, line 1"));
        assert!(message(Store::open(dir.path())).contains("journal, line 1"));
        assert_same(&before, &snapshot(dir.path()));
    }
}

/// Of an endless or huge file no more is read than it may have.
#[test]
fn what_is_no_file_of_a_size_is_named() {
    let (dir, plan) = (tempfile::tempdir().unwrap(), plan(StoreDtype::F32));
    plan.complete(dir.path()).unwrap();
    let manifest = dir.path().join("manifest.json");
    let file = fs_err::OpenOptions::new().write(true).open(&manifest).unwrap();
    file.set_len(1 << 40).unwrap(); // a hole
    assert!(message(Store::open(dir.path())).contains("manifest.json has more than 268435456 bytes"));
    fs_err::remove_file(&manifest).unwrap();
    symlink("/dev/zero", &manifest).unwrap();
    assert!(message(Store::open(dir.path())).contains("manifest.json is a device"));
    assert!(fs_err::metadata(&manifest).unwrap().file_type().is_char_device());
    assert!(message(plan.open_again(dir.path())).contains("manifest.json is a device"));
}

//! A full disk is found before the first row, and leaves nothing behind. Needs a small file system of its own:
//! a tmpfs, where this user may mount one.

use std::path::Path;
use std::process::Command;

use activations::{Column, Error, StoreDtype};

use crate::support::{message, plan, snapshot};

/// A mounted tmpfs, unmounted on drop.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn new(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={bytes}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        test_material::not_allowed("mount a tmpfs");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_is_found_at_the_start() {
    let Some(disk) = Tmpfs::new(1 << 20) else { return };
    let mut plan = plan(StoreDtype::F32);
    // 7 rows × 20 000 numbers × 4 bytes: the first side fits, the second does not.
    plan.manifest.columns[3] = Column::new("blocks.0.hook_resid_post", &["d_model"], &[20_000]);
    let store = disk.path().join("store");
    let Err(Error::DiskFull { path, bytes, total }) = plan.open(&store) else { panic!("it does not fit") };
    assert_eq!(path, store.join("blocks.0.hook_resid_post/minus.npy.partial"));
    assert_eq!((bytes, total), (560_128, plan.manifest.bytes()));
    assert!(snapshot(disk.path()).is_empty(), "nothing is left of the store");
    assert!(message(plan.open(&store)).contains("needs 560128 bytes"));

    // With less to keep it fits, in the same folder.
    plan.manifest.columns.remove(3);
    plan.complete(&store).unwrap();
}

/// A store that was begun is never removed: what is durable stays.
#[test]
fn a_disk_that_fills_up_later_costs_nothing() {
    let Some(disk) = Tmpfs::new(1 << 20) else { return };
    let plan = plan(StoreDtype::F32);
    let store = disk.path().join("store");
    plan.write_some(&store, 1).unwrap();
    fill(&disk.path().join("filler"));
    // Everything was reserved, the journal too: the rest still fits.
    plan.complete(&store).unwrap();
}

/// The files beside the arrays need room too.
#[test]
fn a_disk_without_room_for_the_first_file_is_full() {
    let Some(disk) = Tmpfs::new(1 << 20) else { return };
    let (plan, store) = (plan(StoreDtype::F32), disk.path().join("store"));
    fs_err::create_dir(&store).unwrap();
    fill(&disk.path().join("filler"));
    let Err(Error::DiskFull { path, .. }) = plan.open(&store) else { panic!("there is no room") };
    assert_eq!(path, store.join("rows.parquet"));
    assert!(snapshot(&store).is_empty(), "nothing is left of the store");
}

fn fill(path: &Path) {
    let mut size = 1 << 20;
    let mut filler = fs_err::File::create(path).unwrap();
    while size > 0 {
        if std::io::Write::write_all(&mut filler, &vec![1; size]).is_err() {
            size /= 2;
        }
    }
}

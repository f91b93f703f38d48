//! Caches as they are found: of other programs, damaged, in use.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::lock::Lock;
use hub::Error;

use crate::support::{Place, Watcher, contents, llama, name, said};

/// A cache with the model in it, and its snapshot.
fn filled() -> (Place, PathBuf) {
    let place = Place::with_llama();
    let folder = place.llama().unwrap();
    place.asked();
    (place, folder)
}

/// The blob that a file's link leads to.
fn blob(file: &Path) -> PathBuf {
    file.canonicalize().unwrap()
}

fn offline(place: &Place) -> Result<PathBuf, Error> {
    place.offline().model(&name("org/llama"), &mut ())
}

#[test]
fn a_cache_without_trees_is_used() {
    // As huggingface_hub left them until 2026.
    let (place, folder) = filled();
    fs_err::remove_dir_all(place.root().join("trees")).unwrap();
    assert_eq!(place.llama().unwrap(), folder);
    assert!(place.asked().is_empty());
    // Without its index or a part it is not whole.
    for file in ["model.safetensors.index.json", "model-00001-of-00002.safetensors"] {
        fs_err::remove_file(folder.join(file)).unwrap();
        let error = said(offline(&place));
        assert!(
            error.contains("not in the cache") || error.contains(&format!("`{file}` is not there")),
            "{error}"
        );
        assert_eq!(place.llama().unwrap(), folder);
        assert!(!place.asked().iter().any(|path| path.contains("/elsewhere/")), "its blob is there");
    }
}

/// What happens to a file of a snapshot.
type Damage<'a> = &'a dyn Fn(&Path);

#[test]
fn damage_is_seen_and_mended() {
    let cut = |path: &Path| {
        let blob = blob(path);
        let bytes = fs_err::read(&blob).unwrap();
        fs_err::write(blob, &bytes[..bytes.len() / 2]).unwrap();
    };
    let change = |path: &Path| {
        let blob = blob(path);
        let mut bytes = fs_err::read(&blob).unwrap();
        bytes[1] ^= 4;
        fs_err::write(blob, bytes).unwrap();
    };
    let remove = |path: &Path| fs_err::remove_file(blob(path)).unwrap();
    let unlink = |path: &Path| fs_err::remove_file(path).unwrap();
    let loose = |path: &Path| {
        fs_err::remove_file(path).unwrap();
        symlink("../../blobs/nowhere", path).unwrap();
    };
    let damages: [(&str, Damage<'_>); 5] =
        [("cut", &cut), ("change", &change), ("remove", &remove), ("unlink", &unlink), ("loose", &loose)];
    let (place, folder) = filled();
    for file in ["config.json", "tokenizer.json", "model-00002-of-00002.safetensors"] {
        for (what, damage) in damages {
            damage(&folder.join(file));
            let error = said(offline(&place));
            assert!(error.contains(&format!("`{file}` is not there, or is damaged")), "{what}: {error}");
            assert_eq!(place.llama().unwrap(), folder);
            let files = contents(&folder);
            assert!(files.iter().all(|(path, bytes)| llama().files[path] == *bytes), "{what} {file}");
            assert_eq!(offline(&place).unwrap(), folder);
        }
    }
}

#[test]
fn a_missing_or_strange_ref_is_asked_for_again() {
    let (place, folder) = filled();
    for strange in [None, Some("main"), Some(""), Some("../../../etc")] {
        let main = place.root().join("refs/main");
        match strange {
            None => fs_err::remove_file(&main).unwrap(),
            Some(text) => fs_err::write(&main, text).unwrap(),
        }
        let error = said(offline(&place));
        assert!(error.contains("is not in the cache"), "{error}");
        assert_eq!(place.llama().unwrap(), folder);
        assert_eq!(place.asked().len(), 1, "one list, no contents");
        assert_eq!(fs_err::read_to_string(&main).unwrap(), llama().commit());
    }
}

#[test]
fn a_folder_of_the_cache_is_its_snapshot() {
    let (place, folder) = filled();
    let hub = place.offline();
    let at = |path: &Path| hub.model_at(path, &mut ());
    assert_eq!(at(&place.root()).unwrap(), folder);
    assert_eq!(at(&folder).unwrap(), folder, "any other folder is itself");
    assert_eq!(at(&place.root().join("blobs")).unwrap(), place.root().join("blobs"));
    fs_err::remove_file(place.root().join("refs/main")).unwrap();
    assert_eq!(at(&place.root()).unwrap(), folder, "the only one");
    let other = folder.with_file_name("0".repeat(40));
    fs_err::create_dir(&other).unwrap();
    let several = said(at(&place.root()));
    assert!(several.contains("several commits") && several.contains(&"0".repeat(40)), "{several}");
    fs_err::remove_dir_all(place.root().join("snapshots")).unwrap();
    fs_err::create_dir(place.root().join("snapshots")).unwrap();
    assert!(said(at(&place.root())).contains("without a finished snapshot"));

    let missing = Path::new("no/such/folder/at/all");
    assert_eq!(at(missing).unwrap(), missing, "its reader says what is wrong");
    assert_eq!(hub.data_at(Path::new("boolq/dev.jsonl"), &mut ()).unwrap(), [Path::new("boolq/dev.jsonl")]);
}

#[test]
fn a_download_of_another_process_is_waited_for() {
    let place = Place::with_llama();
    let hash = test_material::hub::sha256(&llama().files["tokenizer.json"]);
    let locks = place.cache().join(".locks/models--org--llama");
    fs_err::create_dir_all(&locks).unwrap();
    let file = std::fs::File::create(locks.join(format!("{hash}.lock"))).unwrap();
    let held = Lock::try_hold(&file).unwrap().unwrap();
    let mut watcher = Watcher::default();
    std::thread::scope(|scope| {
        let download = scope.spawn(|| place.hub().model(&name("org/llama"), &mut watcher));
        std::thread::sleep(Duration::from_millis(400));
        assert!(!download.is_finished());
        drop(held);
        download.join().unwrap().unwrap();
    });
    assert_eq!(watcher.notices, ["another process downloads `tokenizer.json`; waiting for it"]);
}

//! A model's identity: of every byte, of nothing else, and remembered only for files that have not changed.

use crate::with_hint;
use std::fs;
use std::path::Path;

use llama_core::{Checkpoint, IdentityCache, RopeScaling};

use crate::layouts::{config, weights, write_hugging_face};

/// A model's identity, and whether its weights were read for it.
fn identity(path: &Path, cache: &IdentityCache) -> (String, bool) {
    let mut read = false;
    let checkpoint = Checkpoint::open(path).expect("open");
    let identity = checkpoint.identity(cache, &mut |_, _| read = true).expect("identity");
    (identity, read)
}

fn alone(path: &Path) -> String {
    identity(path, &IdentityCache::none()).0
}

/// Changes one byte and gives the file its old times of change back.
fn change_a_byte(path: &Path, at: usize) {
    let times = fs::metadata(path).expect("metadata");
    let times = fs::FileTimes::new()
        .set_modified(times.modified().expect("mtime"))
        .set_accessed(times.accessed().expect("atime"));
    let mut bytes = fs::read(path).expect("read");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("write");
    fs::File::options().write(true).open(path).expect("open").set_times(times).expect("times");
}

#[test]
fn every_byte_of_a_tensor_counts_and_no_place_does() {
    let folder = tempfile::tempdir().expect("folder");
    let (one, three) = (folder.path().join("one"), folder.path().join("three"));
    fs::create_dir(&one).expect("folder");
    fs::create_dir(&three).expect("folder");
    let config = config();
    write_hugging_face(&one, &config, &weights(&config, 4), 1);
    write_hugging_face(&three, &config, &weights(&config, 4), 3);
    let reference = alone(&one);
    assert_eq!(alone(&three), reference, "in three files");
    fs::rename(&one, folder.path().join("moved")).expect("rename");
    let one = folder.path().join("moved");
    assert_eq!(alone(&one), reference, "in another folder");

    let file = one.join("model.safetensors");
    let length = fs::metadata(&file).expect("metadata").len() as usize;
    let header = u64::from_le_bytes(fs::read(&file).expect("read")[..8].try_into().expect("8")) as usize + 8;
    // The lowest bits of numbers, everywhere: first, last, and between.
    let places = (0..25).map(|part| header + (length - header - 4) * part / 24 / 4 * 4);
    for at in places {
        change_a_byte(&file, at);
        assert_ne!(alone(&one), reference, "byte {at}");
        change_a_byte(&file, at);
    }
    assert_eq!(alone(&one), reference);
    let text = fs::read_to_string(one.join("config.json")).expect("config");
    fs::write(one.join("config.json"), text.replace("1e-5", "1e-6").replace("0.00001", "1e-6"))
        .expect("config");
    assert_ne!(alone(&one), reference, "another eps");
    let stretched =
        Checkpoint::open(&three).expect("open").with_rope_scaling(RopeScaling::None).expect("none");
    assert_ne!(stretched.identity(&IdentityCache::none(), &mut |_, _| {}).expect("identity"), reference);
}

#[cfg(feature = "gguf")]
#[test]
fn gguf_and_meta_files_are_hashed_to_the_last_byte() {
    use llama_core::tch::{Device, Kind};
    use llama_core::{Llama, Precision, save_meta};

    let folder = tempfile::tempdir().expect("folder");
    let config = config();
    let path = folder.path().join("model.gguf");
    crate::layouts::write_gguf(&path, &config, &weights(&config, 4));
    let meta = folder.path().join("meta");
    let llama =
        Llama::load(&Checkpoint::open(&path).expect("open"), Precision::F32, Device::Cpu).expect("load");
    // Factors of wavelengths have no place in Meta's files.
    let scaled = Checkpoint::open(&path).expect("open").with_rope_scaling(RopeScaling::None).expect("none");
    drop(llama);
    let llama = Llama::load(&scaled, Precision::F32, Device::Cpu).expect("load");
    save_meta(&llama, &meta, Kind::Float, 2).expect("save");
    for (model, file) in [(&path, path.clone()), (&meta, meta.join("consolidated.01.pth"))] {
        let (reference, length) = (alone(model), fs::metadata(&file).expect("metadata").len() as usize);
        for at in [length / 2, length / 3, length * 3 / 5] {
            change_a_byte(&file, at);
            assert_ne!(alone(model), reference, "{}, byte {at}", file.display());
            change_a_byte(&file, at);
        }
        assert_eq!(alone(model), reference);
    }
}

#[test]
fn a_cache_knows_files_that_have_not_changed_and_no_others() {
    let folder = tempfile::tempdir().expect("folder");
    let model = folder.path().join("model");
    fs::create_dir(&model).expect("folder");
    let config = config();
    write_hugging_face(&model, &config, &weights(&config, 4), 2);
    let cache = IdentityCache::in_folder(folder.path().join("cache"));
    let (reference, _) = identity(&model, &cache);
    assert!(identity(&model, &cache).1, "written a moment ago: could change without its times saying so");
    // Files may be remembered once their last change is older than the coarsest clock.
    std::thread::sleep(std::time::Duration::from_millis(1300));
    assert_eq!(identity(&model, &cache), (reference.clone(), true));
    assert_eq!(identity(&model, &cache), (reference.clone(), false), "remembered");

    let entries = folder.path().join("cache/identities");
    let entry = fs::read_dir(&entries).expect("entries").flatten().next().expect("an entry").path();
    let whole = fs::read(&entry).expect("read");
    for damage in [&whole[..whole.len() / 2], b"{}", b"", &[0xff; 40]] {
        fs::write(&entry, damage).expect("write");
        assert_eq!(identity(&model, &cache), (reference.clone(), true), "a damaged entry is computed anew");
    }
    let text = String::from_utf8(whole.clone()).expect("text");
    let at = text.find("\"hash\":\"").expect("a hash") + 8;
    let digit = if &text[at..=at] == "0" { "1" } else { "0" };
    fs::write(&entry, format!("{}{digit}{}", &text[..at], &text[at + 1..])).expect("write");
    assert_eq!(
        identity(&model, &cache),
        (reference.clone(), true),
        "another hash does not have the entry's sum"
    );

    // The same size, the same time of change of content: only the time of change of anything tells.
    let file = model.join("model-00001-of-00002.safetensors");
    let length = fs::metadata(&file).expect("metadata").len() as usize;
    assert!(!identity(&model, &cache).1);
    change_a_byte(&file, length / 2);
    let (changed, read) = identity(&model, &cache);
    assert!(read && changed != reference);
    // A folder that cannot be: no error, and nothing is remembered.
    let nowhere = IdentityCache::in_folder(file.join("cache"));
    assert_eq!(identity(&model, &nowhere), (changed, true));
}

#[test]
fn the_whole_is_put_together_from_parts_that_cover_it() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config();
    write_hugging_face(folder.path(), &config, &weights(&config, 4), 2);
    let checkpoint = Checkpoint::open(folder.path()).expect("open");
    let reference = alone(folder.path());
    let part = |of: fn(&str) -> bool| checkpoint.tensor_hashes(&of, &mut |_, _| {}).expect("hashes");
    let (first, rest) = (part(|name| name.contains("layers.0.")), part(|name| !name.contains("layers.0.")));
    assert_eq!(checkpoint.identity_of([rest.clone(), first.clone()].concat()).expect("whole"), reference);
    for parts in [rest.clone(), [rest.clone(), first.clone(), first].concat()] {
        let error = with_hint(&checkpoint.identity_of(parts).expect_err("not each once"));
        assert!(error.contains("each once"), "{error}");
    }
}

//! Files of a model before they are read: that they are files, of a size that can be believed, and what stands in a
//! file's place when it is not there or is something else.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Bytes of a `config.json` or `params.json`; the longest real ones have 20 KB.
pub(super) const CONFIG: u64 = 4 << 20;
/// Bytes of an index of shards; the largest LLaMA's has 100 KB.
pub(super) const INDEX: u64 = 16 << 20;

/// Refuses what is no regular file: a folder, a pipe (which would be waited for), a device (which has no end).
pub(super) fn check_regular(path: &Path) -> Result<()> {
    let kind = fs_err::metadata(path)?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let what = if kind.is_dir() { "a folder" } else { special(kind) };
    Err(Error::WeightFile {
        path: path.to_owned(),
        reason: format!("it is {what}, and a file is needed"),
        hint: "give the model as it was downloaded or saved".to_owned(),
    })
}

#[cfg(unix)]
fn special(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special(_: std::fs::FileType) -> &'static str {
    "no regular file"
}

/// Reads a file of text that is no longer than `most` bytes.
///
/// # Errors
/// What is no file, is longer, or is not UTF-8.
pub(super) fn text(path: &Path, most: u64) -> Result<String> {
    check_regular(path)?;
    let refuse = |reason: String, hint: &str| Error::ModelConfig {
        path: path.to_owned(),
        reason,
        hint: hint.to_owned(),
    };
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let reason = format!("it has more than {} MiB, the most that is read of such a file", most >> 20);
        return Err(refuse(reason, "is it the model's own?"));
    }
    if let Some((what, hint)) = instead(&bytes) {
        return Err(refuse(what.to_owned(), hint));
    }
    String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8 text".to_owned(), "copy it again"))
}

/// What is there in place of a model's file, by how it begins, and what to do about it.
pub(super) fn instead(start: &[u8]) -> Option<(&'static str, &'static str)> {
    let begins = |with: &[u8]| start.len() >= with.len() && start[..with.len()].eq_ignore_ascii_case(with);
    if start.is_empty() {
        Some(("it is empty", "the download did not get to it, or the disk was full; copy it again"))
    } else if begins(b"version https://git-lfs") {
        Some((
            "it is a Git LFS pointer, which says where the file is, and not the file",
            "run `git lfs pull` in the repository, or download the file itself",
        ))
    } else if begins(b"<!doctype") || begins(b"<html") {
        Some((
            "it is a web page",
            "the download ended at a page to log in or to accept terms; download it again",
        ))
    } else if begins(b"\x1f\x8b") || begins(b"\x28\xb5\x2f\xfd") {
        Some(("it is compressed (gzip or Zstandard)", "unpack it first"))
    } else {
        None
    }
}

/// What to do about a file that is not there: where a download left a part of it, that is to be finished.
pub(super) fn absent(path: &Path, otherwise: &str) -> String {
    match unfinished(path) {
        Some(part) => {
            format!("the download of the model was interrupted (`{part}` is there); run it again until it is done")
        }
        None if path.symlink_metadata().is_ok() => {
            "it is a link to a file that is not there: Hugging Face's cache was cleared or moved; download it again"
                .to_owned()
        }
        None => otherwise.to_owned(),
    }
}

/// A file that a download left unfinished, beside the one that is missing or where hf downloads into a folder.
fn unfinished(path: &Path) -> Option<String> {
    const ENDINGS: [&str; 7] = ["incomplete", "part", "partial", "aria2", "crdownload", "download", "tmp"];
    let folder = path.parent()?;
    let downloads = folder.join(".cache/huggingface/download");
    [folder, &downloads].into_iter().find_map(|folder| {
        let entries = fs_err::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        let mut parts: Vec<String> = entries
            .filter(|entry| entry.extension().is_some_and(|e| ENDINGS.iter().any(|end| e == *end)))
            .filter_map(|entry| Some(entry.file_name()?.to_string_lossy().into_owned()))
            .collect();
        parts.sort();
        parts.into_iter().next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_a_model_is_said_by_what_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("config.json");
        for (content, says) in [
            (&b""[..], "empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\xff\xfe{\0", "UTF-8"),
        ] {
            std::fs::write(&path, content).expect("write");
            let error = text(&path, CONFIG).expect_err(says);
            let error = format!("{error}; {}", error.hint().expect("a hint"));
            assert!(error.contains(says), "{error}");
        }
        std::fs::write(&path, vec![b' '; 100]).expect("write");
        assert!(text(&path, 99).is_err() && text(&path, 100).is_ok());
        assert!(text(folder.path(), CONFIG).expect_err("folder").to_string().contains("a folder"));
    }

    #[cfg(unix)]
    #[test]
    fn neither_a_device_nor_a_pipe_is_waited_for() {
        let error = text(Path::new("/dev/zero"), CONFIG).expect_err("a device").to_string();
        assert!(error.contains("a device"), "{error}");
        let folder = tempfile::tempdir().expect("folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        if made.is_ok_and(|status| status.success()) {
            let error = text(&pipe, CONFIG).expect_err("a pipe").to_string();
            assert!(error.contains("a pipe"), "{error}");
        }
    }

    #[test]
    fn an_interrupted_download_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let missing = folder.path().join("model.safetensors");
        assert_eq!(absent(&missing, "copy it"), "copy it");
        let cache = folder.path().join(".cache/huggingface/download");
        std::fs::create_dir_all(&cache).expect("folders");
        std::fs::write(cache.join("model.safetensors.abc.incomplete"), "").expect("write");
        assert!(absent(&missing, "copy it").contains("model.safetensors.abc.incomplete"));
    }
}

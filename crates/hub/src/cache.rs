//! One repository in the cache, in the layout of `huggingface_hub`:
//!
//! ```text
//! models--ORG--NAME/refs/main                      the commit of a branch, 40 digits
//!                   blobs/HASH                     contents by their hash
//!                   blobs/HASH.incomplete          what an interrupted download left
//!                   snapshots/COMMIT/config.json   a link to ../../blobs/HASH
//!                   trees/COMMIT.json              the files that a commit has
//! .locks/models--ORG--NAME/HASH.lock               held by who downloads that blob
//! ```

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::digest::Etag;
use crate::error::{Error, Result};
use crate::listing::{Listing, Remote};
use crate::name::{Repository, relative};

/// The most bytes of a file in `refs`, and of one in `trees`.
const LONGEST_REF: u64 = 1 << 10;
const LONGEST_TREE: u64 = 64 << 20;
/// Files up to this size are read whole and compared with their names before they are used.
const SMALL: u64 = 32 << 20;
/// By which backup programs know a cache (<https://bford.info/cachedir/>).
const CACHEDIR_TAG: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Downloads of the Hugging Face hub.\n";

/// Whether it is a commit in full: 40 hexadecimal digits.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A repository's folder in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Cached {
    cache: PathBuf,
    name: String,
    root: PathBuf,
}

impl Cached {
    pub(crate) fn of(cache: &Path, repository: &Repository) -> Self {
        let name = repository.folder();
        Self { cache: cache.to_owned(), root: cache.join(&name), name }
    }

    /// A folder such as `models--ORG--NAME`, wherever it lies.
    pub(crate) fn at(root: &Path) -> Self {
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let cache = root.parent().unwrap_or(Path::new(".")).to_owned();
        Self { cache, name, root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The commit of a revision, if the cache knows it.
    pub(crate) fn commit(&self, revision: &str) -> Result<Option<String>> {
        if is_commit(revision) {
            return Ok(Some(revision.to_owned()));
        }
        let path = self.root.join("refs").join(revision);
        if !path.is_file() {
            return Ok(None);
        }
        let text = host::files::read_text(&path, LONGEST_REF)?;
        let commit = text.trim();
        // Any other text is no commit of ours to look for; the hub is asked again.
        Ok(is_commit(commit).then(|| commit.to_owned()))
    }

    /// The commits of which there is a snapshot.
    pub(crate) fn commits(&self) -> Result<Vec<String>> {
        let folder = self.root.join("snapshots");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let names =
            fs_err::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut commits: Vec<String> = names.collect::<std::io::Result<_>>()?;
        commits.retain(|name| is_commit(name));
        commits.sort();
        Ok(commits)
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The files of a snapshot that are there, by their paths in it: links to nothing are not.
    pub(crate) fn files(&self, commit: &str) -> Result<Vec<String>> {
        let mut files = Vec::new();
        let snapshot = self.snapshot(commit);
        if snapshot.is_dir() {
            collect(&snapshot, "", &mut files)?;
        }
        files.sort();
        Ok(files)
    }

    /// Whether a file of a snapshot is there and, where that is quickly seen, undamaged. `size` is what the hub says.
    pub(crate) fn holds(&self, commit: &str, file: &str, size: Option<u64>) -> Result<bool> {
        let path = self.snapshot(commit).join(file);
        let there = match fs_err::metadata(&path) {
            Ok(there) if there.is_file() => there,
            Ok(_) => return Ok(false),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        if size.is_some_and(|size| size != there.len()) {
            return Ok(false);
        }
        // The link leads to a blob, whose name is its hash.
        let name = path.read_link().ok().and_then(|to| Some(to.file_name()?.to_string_lossy().into_owned()));
        match name.and_then(|name| Etag::new(&name)).filter(|_| there.len() <= SMALL) {
            Some(etag) => {
                let bytes = host::files::read(&path, SMALL)?;
                let mut hasher = etag.hasher(bytes.len() as u64);
                hasher.update(&bytes);
                Ok(hasher.finish() == etag.as_str())
            }
            None => Ok(true),
        }
    }

    pub(crate) fn blob(&self, etag: &Etag) -> PathBuf {
        self.root.join("blobs").join(etag.as_str())
    }

    /// The file whose lock whoever downloads a blob holds.
    pub(crate) fn lock_file(&self, etag: &Etag) -> PathBuf {
        self.cache.join(".locks").join(&self.name).join(format!("{}.lock", etag.as_str()))
    }

    /// Makes the folders that a download needs.
    pub(crate) fn prepare(&self) -> Result<()> {
        fs_err::create_dir_all(self.root.join("blobs"))?;
        fs_err::create_dir_all(self.cache.join(".locks").join(&self.name))?;
        let tag = self.cache.join("CACHEDIR.TAG");
        if !tag.exists() {
            host::files::replace(&tag, CACHEDIR_TAG.as_bytes())?;
        }
        Ok(())
    }

    /// Keeps which commit a revision is.
    pub(crate) fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit || self.commit(revision)?.as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.root.join("refs").join(revision);
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        Ok(host::files::replace(&path, commit.as_bytes())?)
    }

    /// Puts a blob into a snapshot, by a link that stays right when the cache moves.
    pub(crate) fn link(&self, commit: &str, file: &str, etag: &Etag) -> Result<()> {
        let path = self.snapshot(commit).join(file);
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let up = "../".repeat(2 + file.matches('/').count());
        let to = format!("{up}blobs/{}", etag.as_str());
        if path.read_link().is_ok_and(|old| old == Path::new(&to)) {
            return Ok(());
        }
        if path.symlink_metadata().is_ok() {
            fs_err::remove_file(&path)?;
        }
        match symlink(&to, &path) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made.map_err(|error| Error::Link { path, error }),
        }
    }

    /// The files that a commit has, as an earlier download kept them.
    pub(crate) fn tree(&self, commit: &str) -> Option<Listing> {
        let path = self.tree_file(commit);
        let text = path.is_file().then(|| host::files::read_text(&path, LONGEST_TREE).ok()).flatten()?;
        Listing::from_tree(commit, &text)
    }

    /// Keeps which files a commit has, so that the next run sees whether all it needs are there.
    pub(crate) fn set_tree(&self, listing: &Listing) -> Result<()> {
        let path = self.tree_file(&listing.commit);
        let Some(text) = listing.to_tree().filter(|_| !path.exists()) else { return Ok(()) };
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        Ok(host::files::replace(&path, text.as_bytes())?)
    }

    fn tree_file(&self, commit: &str) -> PathBuf {
        self.root.join("trees").join(format!("{commit}.json"))
    }

    /// The first of the files that is not there or damaged.
    pub(crate) fn missing<'a>(&self, commit: &str, files: &'a [Remote]) -> Result<Option<&'a str>> {
        for file in files {
            if !self.holds(commit, &file.path, file.size)? {
                return Ok(Some(&file.path));
            }
        }
        Ok(None)
    }
}

fn collect(folder: &Path, under: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if under.is_empty() { name } else { format!("{under}/{name}") };
        let Ok(there) = std::fs::metadata(entry.path()) else { continue };
        if there.is_dir() && entry.file_type()?.is_dir() {
            collect(&entry.path(), &path, files)?;
        } else if there.is_file() && relative(&path) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a file that is too large to be hashed each time, its length is compared.
    #[test]
    fn a_large_file_has_the_length_that_the_hub_says() {
        let folder = tempfile::tempdir().unwrap();
        let cached = Cached::at(&folder.path().join("models--org--llama"));
        let (commit, size) = ("0".repeat(40), SMALL + 1);
        let etag = Etag::new(&"a".repeat(64)).unwrap();
        cached.prepare().unwrap();
        fs_err::File::create(cached.blob(&etag)).unwrap().set_len(size).unwrap(); // a hole
        cached.link(&commit, "model.safetensors", &etag).unwrap();
        assert!(cached.holds(&commit, "model.safetensors", Some(size)).unwrap());
        assert!(cached.holds(&commit, "model.safetensors", None).unwrap());
        assert!(!cached.holds(&commit, "model.safetensors", Some(size + 1)).unwrap());
    }
}

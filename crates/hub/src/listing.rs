//! The files of a commit, with their sizes and hashes, as the hub lists them and as the cache keeps the list.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::cache::is_commit;
use crate::digest::Etag;
use crate::name::relative;

/// The version of `trees/COMMIT.json`.
const TREE_VERSION: u32 = 1;

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) path: String,
    /// `None` where the hub's list does not say.
    pub(crate) size: Option<u64>,
    pub(crate) etag: Option<Etag>,
    /// Git's own hash: of the contents, or of the pointer to a large file.
    pub(crate) blob_id: Option<String>,
}

impl Remote {
    /// A file of which nothing is known but its name.
    pub(crate) fn named(path: String) -> Self {
        Self { path, size: None, etag: None, blob_id: None }
    }
}

/// The files of a commit.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) commit: String,
    pub(crate) files: Vec<Remote>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

#[derive(Serialize, Deserialize)]
struct Tree {
    format_version: u32,
    files: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    size: u64,
    blob_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs_size: Option<u64>,
}

impl Listing {
    /// Reads the hub's answer about a revision.
    ///
    /// # Errors
    /// What about it cannot be a hub's answer.
    pub(crate) fn from_hub(json: &[u8]) -> Result<Self, String> {
        let answer: Answer = serde_json::from_slice(json)
            .map_err(|error| format!("its answer is not a list of files ({error})"))?;
        if !is_commit(&answer.sha) {
            return Err(format!("it names the commit `{}`", answer.sha));
        }
        let mut files = Vec::with_capacity(answer.siblings.len());
        for Sibling { rfilename: path, size, blob_id, lfs } in answer.siblings {
            if !relative(&path) {
                return Err(format!("it lists a file `{path}`"));
            }
            let (size, hash) = match &lfs {
                Some(lfs) => (Some(lfs.size), Some(&lfs.sha256)),
                None => (size, blob_id.as_ref()),
            };
            let etag =
                hash.map(|hash| Etag::new(hash).ok_or_else(|| format!("the hash of `{path}` is `{hash}`")));
            files.push(Remote { path, size, etag: etag.transpose()?, blob_id });
        }
        Ok(Self { commit: answer.sha, files })
    }

    /// Reads what the cache keeps; `None` of anything else.
    pub(crate) fn from_tree(commit: &str, json: &str) -> Option<Self> {
        let tree: Tree = serde_json::from_str(json).ok()?;
        if tree.format_version != TREE_VERSION {
            return None;
        }
        let files = tree.files.into_iter().map(|(path, entry)| {
            let size = entry.lfs_size.unwrap_or(entry.size);
            let etag = Etag::new(entry.lfs_sha256.as_ref().unwrap_or(&entry.blob_id))?;
            relative(&path).then_some(Remote {
                path,
                size: Some(size),
                etag: Some(etag),
                blob_id: Some(entry.blob_id),
            })
        });
        Some(Self { commit: commit.to_owned(), files: files.collect::<Option<_>>()? })
    }

    /// What the cache keeps, as Python's `json.dump(…, indent=1)` writes it; `None` where something is not known.
    pub(crate) fn to_tree(&self) -> Option<String> {
        let files = self.files.iter().map(|file| {
            let (size, etag, blob_id) = (file.size?, file.etag.as_ref()?, file.blob_id.clone()?);
            let large = etag.as_str() != blob_id;
            let lfs_sha256 = large.then(|| etag.as_str().to_owned());
            Some((file.path.clone(), Entry { size, blob_id, lfs_sha256, lfs_size: large.then_some(size) }))
        });
        let tree = Tree { format_version: TREE_VERSION, files: files.collect::<Option<_>>()? };
        let mut text = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
        tree.serialize(&mut serde_json::Serializer::with_formatter(&mut text, format)).ok()?;
        String::from_utf8(text).ok()
    }

    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.files.iter().map(|file| file.path.as_str()).collect()
    }

    /// The file of that name.
    pub(crate) fn file(&self, path: &str) -> Option<&Remote> {
        self.files.iter().find(|file| file.path == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn the_hubs_list_becomes_huggingface_hubs_tree() {
        let (git, sha) = ("a".repeat(40), "b".repeat(64));
        let answer = format!(
            r#"{{"id":"o/n","sha":"{COMMIT}","siblings":[
                {{"rfilename":"model.safetensors","size":9,"blobId":"{git}","lfs":{{"sha256":"{sha}","size":9,"pointerSize":134}}}},
                {{"rfilename":"config.json","size":5,"blobId":"{git}"}}]}}"#
        );
        let listing = Listing::from_hub(answer.as_bytes()).unwrap();
        assert_eq!(listing.names().into_iter().collect::<Vec<_>>(), ["config.json", "model.safetensors"]);
        let weights = listing.file("model.safetensors").unwrap();
        assert_eq!((weights.size, weights.etag.clone()), (Some(9), Etag::new(&sha)));
        let tree = listing.to_tree().unwrap();
        // python3 -c 'json.dump(…, indent=1)'
        let expected = format!(
            "{{\n \"format_version\": 1,\n \"files\": {{\n  \"config.json\": {{\n   \"size\": 5,\n   \"blob_id\": \"{git}\"\n  }},\n  \
             \"model.safetensors\": {{\n   \"size\": 9,\n   \"blob_id\": \"{git}\",\n   \"lfs_sha256\": \"{sha}\",\n   \"lfs_size\": 9\n  }}\n }}\n}}"
        );
        assert_eq!(tree, expected);
        let again = Listing::from_tree(COMMIT, &tree).unwrap();
        assert_eq!(again.to_tree().unwrap(), expected);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let sibling = |name: &str, more: &str| {
            format!(r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"{name}"{more}}}]}}"#)
        };
        for bad in [
            "<html>".to_owned(),
            "{}".to_owned(),
            r#"{"sha":"main","siblings":[]}"#.to_owned(),
            sibling("../../../.bashrc", ""),
            sibling("/etc/passwd", ""),
            sibling("a//b", ""),
            sibling("a", r#","blobId":"../../x""#),
            sibling("a", r#","lfs":{"sha256":"x","size":1}"#),
            sibling("a", r#","size":-1"#),
        ] {
            assert!(Listing::from_hub(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in [
            "",
            "{}",
            r#"{"format_version":2,"files":{}}"#,
            r#"{"format_version":1,"files":{"../x":{"size":1,"blob_id":"a"}}}"#,
        ] {
            assert!(Listing::from_tree(COMMIT, bad).is_none(), "{bad}");
        }
    }
}

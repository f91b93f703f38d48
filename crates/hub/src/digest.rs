//! The hashes by which the hub names contents.

use std::fmt::Write as _;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// What a file's contents are called: the SHA-256 of large files (Git LFS), Git's own SHA-1 of others. It is the blob's
/// name in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Etag(String);

impl Etag {
    /// 64 or 40 hexadecimal digits, as HTTP may quote them.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches("W/").trim_matches('"');
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (digits && [40, 64].contains(&text.len())).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Begins to hash a file of this many bytes.
    pub(crate) fn hasher(&self, size: u64) -> Hasher {
        if self.0.len() == 64 {
            return Hasher(Context::new(&SHA256));
        }
        // Git hashes a head with the length, too.
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(format!("blob {size}\0").as_bytes());
        Hasher(context)
    }
}

/// A hash in the making.
#[derive(Clone)]
pub(crate) struct Hasher(Context);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        let digest = self.0.finish();
        digest.as_ref().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_git_and_sha256sum_compute_them() {
        let hashed = |etag: &Etag, bytes: &[u8]| {
            let mut hasher = etag.hasher(bytes.len() as u64);
            hasher.update(bytes);
            hasher.finish()
        };
        // `printf 'hello\n' | git hash-object --stdin`, `printf 'hello\n' | sha256sum`
        let git = Etag::new("ce013625030ba8dba906f756967f9e9ca394464a").unwrap();
        assert_eq!(hashed(&git, b"hello\n"), git.as_str());
        let lfs = Etag::new("\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"").unwrap();
        assert_eq!(hashed(&lfs, b"hello\n"), lfs.as_str());
        for bad in [
            "",
            "ce01",
            "../../../../../../../../../../../../../x",
            "CE013625030BA8DBA906F756967F9E9CA394464A",
        ] {
            assert_eq!(Etag::new(bad), None);
        }
    }
}

//! Names as people write them, and repositories.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The longest name that the hub gives a repository, organization included.
const LONGEST: usize = 96;
/// Where the hub keeps its Parquet conversion of a data set.
pub(crate) const CONVERSION: &str = "refs/convert/parquet";

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Model,
    Data,
}

/// A repository of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub(crate) kind: Kind,
    id: String,
}

impl Repository {
    fn parse(kind: Kind, id: &str) -> Result<Self, String> {
        let parts: Vec<&str> = id.split('/').collect();
        let [organization, name] = parts.as_slice() else {
            return Err("a name on the hub is ORG/NAME".to_owned());
        };
        let fits = |part: &str| {
            let within = part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            let ends = |c: char| "-.".contains(c);
            within && !part.is_empty() && !part.starts_with(ends) && !part.ends_with(ends)
        };
        if !fits(organization) || !fits(name) {
            let letters = "letters, digits, `-`, `_`, and `.`, and neither begin nor end with `-` or `.`";
            return Err(format!("the two parts of ORG/NAME hold {letters}"));
        }
        if id.contains("--") || id.contains("..") || id.len() > LONGEST {
            return Err(format!("ORG/NAME has at most {LONGEST} characters, and neither `--` nor `..`"));
        }
        Ok(Self { kind, id: id.to_owned() })
    }

    /// `ORG/NAME`
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder in the cache: `models--ORG--NAME`.
    pub fn folder(&self) -> String {
        let kind = match self.kind {
            Kind::Model => "models",
            Kind::Data => "datasets",
        };
        format!("{kind}--{}", self.id.replace('/', "--"))
    }

    /// In addresses of files and pages: `ORG/NAME`, `datasets/ORG/NAME`.
    pub(crate) fn in_pages(&self) -> String {
        match self.kind {
            Kind::Model => self.id.clone(),
            Kind::Data => format!("datasets/{}", self.id),
        }
    }

    /// In addresses of the interface for programs: `models/ORG/NAME`.
    pub(crate) fn in_api(&self) -> String {
        match self.kind {
            Kind::Model => format!("models/{}", self.id),
            Kind::Data => format!("datasets/{}", self.id),
        }
    }
}

/// `model ORG/NAME`, `data set ORG/NAME`
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Model => "model",
            Kind::Data => "data set",
        };
        write!(f, "{kind} {}", self.id)
    }
}

/// A model's name: `ORG/NAME[@REVISION][:FILE]`.
///
/// ```
/// let name: hub::ModelName = "org/llama-GGUF@v1.0:Q4_K_M/llama.gguf".parse()?;
/// assert_eq!(name.repository().id(), "org/llama-GGUF");
/// assert_eq!((name.revision(), name.file()), ("v1.0", Some("Q4_K_M/llama.gguf")));
/// # Ok::<(), hub::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    repository: Repository,
    revision: String,
    file: Option<String>,
}

impl ModelName {
    /// Where it is.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// A branch, a tag, or a commit; `main` if none was named.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The one file that was named.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

impl FromStr for ModelName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |reason: String| Error::Name { text: text.to_owned(), reason };
        let (rest, file) = parted(text, ':');
        let (id, revision) = parted(rest, '@');
        let repository = Repository::parse(Kind::Model, id).map_err(refused)?;
        let plain = |path: &str| relative(path) && !path.contains(char::is_whitespace);
        if let Some(revision) = revision.filter(|revision| !plain(revision)) {
            return Err(refused(format!("`{revision}` is no revision (a branch, a tag, or a commit)")));
        }
        if let Some(file) = file.filter(|file| !relative(file)) {
            return Err(refused(format!("`{file}` is no file in a repository")));
        }
        let revision = revision.unwrap_or("main").to_owned();
        Ok(Self { repository, revision, file: file.map(ToOwned::to_owned) })
    }
}

/// A data set's name: `ORG/NAME[/CONFIG][:SPLIT]`.
///
/// ```
/// let name: hub::DataName = "nyu-mll/glue/rte:validation".parse()?;
/// assert_eq!(name.repository().id(), "nyu-mll/glue");
/// assert_eq!((name.config(), name.split()), (Some("rte"), Some("validation")));
/// # Ok::<(), hub::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataName {
    repository: Repository,
    config: Option<String>,
    split: Option<String>,
}

impl DataName {
    /// Where it is.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The configuration (subset) that was named.
    pub fn config(&self) -> Option<&str> {
        self.config.as_deref()
    }

    /// The split that was named.
    pub fn split(&self) -> Option<&str> {
        self.split.as_deref()
    }
}

impl FromStr for DataName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |reason: String| Error::Name { text: text.to_owned(), reason };
        let (rest, split) = parted(text, ':');
        let (id, config) = match rest.match_indices('/').nth(1) {
            Some((at, _)) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let repository = Repository::parse(Kind::Data, id).map_err(refused)?;
        for part in [config, split].into_iter().flatten() {
            if !relative(part) || part.contains('/') {
                return Err(refused(format!("`{part}` is no configuration and no split of a data set")));
            }
        }
        let owned = |part: Option<&str>| part.map(ToOwned::to_owned);
        Ok(Self { repository, config: owned(config), split: owned(split) })
    }
}

fn parted(text: &str, by: char) -> (&str, Option<&str>) {
    text.split_once(by).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Whether a path from elsewhere stays where it is put: relative, each part a name.
pub(crate) fn relative(path: &str) -> bool {
    let name = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(name) && !path.contains(['\\', '\0']) && !path.contains(host::text::is_unsafe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_or_refused() {
        let name: ModelName = "a/b@refs/pr/3".parse().unwrap();
        assert_eq!((name.revision(), name.file()), ("refs/pr/3", None));
        assert_eq!("a/b".parse::<ModelName>().unwrap().revision(), "main");
        let bad = [
            "a",
            "a/b/c",
            "/a/b",
            "./a",
            "../b",
            "a/b@",
            "a/b:",
            "a/b@..",
            "a/b:../c",
            "a/b:/etc/passwd",
            "a--c/b",
        ];
        for bad in bad.into_iter().chain(["~/model", "a b/c", "a/.b", "a/b:c\u{1b}[31m", "a//b", ""]) {
            assert!(matches!(bad.parse::<ModelName>(), Err(Error::Name { .. })), "{bad}");
        }
        assert!(format!("a/{}", "b".repeat(95)).parse::<ModelName>().is_err());

        let name: DataName = "a/b:train".parse().unwrap();
        assert_eq!((name.config(), name.split()), (None, Some("train")));
        assert_eq!(name.repository().folder(), "datasets--a--b");
        for bad in ["boolq", "a/b/c/d", "a/b/:x", "a/b:x/y", "a/b/..:x"] {
            assert!(matches!(bad.parse::<DataName>(), Err(Error::Name { .. })), "{bad}");
        }
    }
}

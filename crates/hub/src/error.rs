//! What can go wrong between a name and a file.

use std::path::PathBuf;

use crate::name::Repository;

/// What a fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no model or data set by a name; [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that is no name.
    #[error("`{text}` is no name on the hub: {reason}")]
    Name {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A text that is no path here and could be a name, and why it was of no use as one.
    #[error("there is no file or folder `{given}`, and by that name: {cause}")]
    Neither {
        /// The text.
        given: String,
        /// What came of looking it up.
        cause: Box<Error>,
    },
    /// No variable says where the cache is.
    #[error("there is no folder for the cache: neither HF_HOME nor HOME is set")]
    NoHome,
    /// `HF_ENDPOINT` is no address.
    #[error("HF_ENDPOINT is `{endpoint}`, which is no address")]
    Endpoint {
        /// Its value.
        endpoint: String,
    },
    /// A file or folder; the message names it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The cache's file system refuses a link.
    #[error("cannot make the link {}: {error}", path.display())]
    Link {
        /// The link.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The system trusts no certificates, so no server can be known.
    #[error("this system has no certificates to know {endpoint} by{}", why.as_ref().map_or(String::new(), |why| format!(": {why}")))]
    Certificates {
        /// The hub.
        endpoint: String,
        /// What was found in their place.
        why: Option<String>,
    },
    /// No connection to the hub.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why not.
        why: String,
    },
    /// The hub has no such repository, or does not show it to this user.
    #[error("{endpoint} has no {repository}{}", if *with_token { " for this token" } else { "" })]
    NoRepository {
        /// The hub.
        endpoint: String,
        /// What was asked for.
        repository: Repository,
        /// A token was sent along.
        with_token: bool,
    },
    /// The repository has no such branch, tag, or commit.
    #[error("the {repository} has no revision `{revision}`")]
    NoRevision {
        /// The repository.
        repository: Repository,
        /// What was asked for.
        revision: String,
    },
    /// The repository has no such file at that revision.
    #[error("the {repository} has no file `{file}` at revision {revision}")]
    NoFile {
        /// The repository.
        repository: Repository,
        /// The revision.
        revision: String,
        /// What was asked for.
        file: String,
        /// The file that was meant, perhaps, or those there are of its kind.
        meant: Option<String>,
    },
    /// Its owner lets only those download it who have agreed to something.
    #[error("the {repository} is gated: its owner wants its terms accepted first")]
    Gated {
        /// The repository.
        repository: Repository,
        /// Its page, where the terms are.
        page: String,
        /// A token was sent along.
        with_token: bool,
    },
    /// The hub does not know the token.
    #[error("the hub does not accept the token")]
    BadToken,
    /// The hub forbids it.
    #[error("the hub forbids access to the {repository}{}", said.as_ref().map_or(String::new(), |said| format!(": {said}")))]
    Forbidden {
        /// The repository.
        repository: Repository,
        /// What it said.
        said: Option<String>,
    },
    /// Too many requests, and the hub wants more time than is waited.
    #[error("the hub has answered too many requests and asks to wait {} seconds", seconds.map_or_else(|| "some".to_owned(), |s| s.to_string()))]
    TooMany {
        /// How long, if it says so.
        seconds: Option<u64>,
    },
    /// An answer that says that the server failed, or that is not foreseen.
    #[error("{url} answered {status}{}", said.as_ref().map_or(String::new(), |said| format!(": {said}")))]
    Status {
        /// What was asked for.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// What it said.
        said: Option<String>,
    },
    /// An answer that no hub gives.
    #[error("{url} is no hub, or is none today: {what}")]
    NotTheHub {
        /// What was asked for.
        url: String,
        /// What about the answer.
        what: String,
    },
    /// The connection broke off again and again.
    #[error("the download of `{file}` broke off at {got} of {size} bytes: {why}")]
    Cut {
        /// The file.
        file: String,
        /// Bytes that are there.
        got: u64,
        /// Bytes that it has.
        size: u64,
        /// What happened to the last connection.
        why: String,
    },
    /// A file arrived that is another one than the hub says.
    #[error("`{file}` arrived with the hash {found}, and the hub says {expected}")]
    WrongHash {
        /// The file.
        file: String,
        /// The hub's.
        expected: String,
        /// What was computed.
        found: String,
    },
    /// It is not in the cache, and the hub may not be asked.
    #[error("the {repository} is not in the cache {}, and HF_HUB_OFFLINE forbids to download it", cache.display())]
    Offline {
        /// The repository.
        repository: Repository,
        /// The cache.
        cache: PathBuf,
    },
    /// It is in the cache in part, and the hub may not be asked for the rest.
    #[error("the {repository} is in the cache in part: `{missing}` is not there, or is damaged, in {}", snapshot.display())]
    Incomplete {
        /// The repository.
        repository: Repository,
        /// The folder with the files of its commit.
        snapshot: PathBuf,
        /// A file that is needed.
        missing: String,
    },
    /// A folder of the cache, given as a path, without anything downloaded in it.
    #[error("{} is a folder of Hugging Face's cache without a finished snapshot", path.display())]
    NoSnapshot {
        /// The folder.
        path: PathBuf,
    },
    /// A folder of the cache, given as a path, with several commits and no `main`.
    #[error("{} has snapshots of several commits, and none is `main`: {}", path.display(), commits.join(", "))]
    SeveralSnapshots {
        /// The folder.
        path: PathBuf,
        /// The commits.
        commits: Vec<String>,
    },
    /// There are several files of which each is a model.
    #[error("{repository} has several GGUF files: {}", files.join(", "))]
    SeveralFiles {
        /// The repository, or the folder.
        repository: String,
        /// The files.
        files: Vec<String>,
    },
    /// A repository without weights that are read here.
    #[error("{repository} has no model that can be read: {found}")]
    NoModel {
        /// The repository, or the folder.
        repository: String,
        /// What it has instead.
        found: String,
    },
    /// The hub has not converted the data set.
    #[error("the {repository} has no Parquet conversion on the hub")]
    NoConversion {
        /// The repository.
        repository: Repository,
    },
    /// A configuration or a split that is not there, or one of several that has to be named.
    #[error("{what}; there are {}", names.join(", "))]
    Choose {
        /// What is missing.
        what: String,
        /// Those there are, as names to give.
        names: Vec<String>,
    },
    /// The observer stopped the download; the next one continues it.
    #[error("the download was stopped")]
    Stopped,
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Neither { cause, .. } => return cause.hint(),
            Self::Gated { page, with_token, .. } => return Some(gated(page, *with_token)),
            Self::NoFile { meant: Some(meant), .. } => return Some(meant.clone()),
            Self::Io(error) => host::hint::hint(error).to_owned(),
            other => other.plain_hint().to_owned(),
        })
    }

    fn plain_hint(&self) -> &'static str {
        match self {
            Self::Name { .. } => {
                "write ORG/NAME[@REVISION][:FILE] for a model, ORG/NAME[/CONFIG][:SPLIT] for a data set, or a path"
            }
            Self::NoHome => "set HF_HOME to the folder for models and data sets",
            Self::Endpoint { .. } => "write for example https://huggingface.co, or leave it unset",
            Self::Link { .. } => {
                "the cache needs a file system with symbolic links: set HF_HOME to a folder on one"
            }
            Self::Certificates { .. } => {
                "install the package ca-certificates, or set SSL_CERT_FILE to a file with certificates"
            }
            Self::Unreachable { .. } => {
                "look at the network (HTTPS_PROXY where there is a proxy, HF_ENDPOINT for a mirror); without one, copy \
                 the model or data set here and give its path"
            }
            Self::NoRepository { with_token: true, .. } => {
                "check how it is written, and that the token in HF_TOKEN may read it"
            }
            Self::NoRepository { .. } => {
                "check how it is written; for a private one, set HF_TOKEN or run `hf auth login`"
            }
            Self::NoRevision { .. } => "its page lists branches and tags; a commit has 40 digits",
            Self::NoFile { .. } => "its page lists its files",
            Self::BadToken => {
                "make a new one at https://huggingface.co/settings/tokens, and set HF_TOKEN to it"
            }
            Self::Forbidden { .. } => "the token in HF_TOKEN must have the right to read this repository",
            Self::TooMany { .. } => "try later; with a token (HF_TOKEN) the hub answers more",
            Self::Status { status: 500.., .. } => "the server fails: try again later",
            Self::Status { .. } | Self::NotTheHub { .. } => {
                "check HF_ENDPOINT, and whether a proxy or a page to log in stands between here and the hub"
            }
            Self::Cut { .. } => "run it again: it continues there",
            Self::WrongHash { .. } => {
                "something on the way changes files, or the hub's copy is damaged; it was not kept, so try again"
            }
            Self::Offline { .. } | Self::Incomplete { .. } => {
                "run once with network, or unset HF_HUB_OFFLINE, and the download is completed"
            }
            Self::NoSnapshot { .. } => "give the name ORG/NAME, and it is downloaded",
            Self::SeveralSnapshots { .. } => "give the folder of one: snapshots/COMMIT",
            Self::SeveralFiles { .. } => "name one: ORG/NAME:FILE",
            Self::NoModel { .. } => {
                "what is read is safetensors or PyTorch's files beside config.json, Meta's layout, and GGUF"
            }
            Self::NoConversion { .. } => {
                "the hub converts most public data sets; download this one's own files and give the path of one"
            }
            Self::Choose { .. } => "name one of these",
            Self::Stopped => "run it again: it continues where it stopped",
            Self::Neither { .. } | Self::Gated { .. } | Self::Io(_) => "",
        }
    }
}

fn gated(page: &str, with_token: bool) -> String {
    if with_token {
        format!(
            "accept the license at {page} with the account of the token in HF_TOKEN, and wait until access is granted"
        )
    } else {
        format!(
            "accept the license at {page}, make a token at https://huggingface.co/settings/tokens, and set HF_TOKEN to it"
        )
    }
}

//! A hub, a cache, and who watches.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use hub::{Error, Hub, ModelName, Observer, Settings, Token};
use tempfile::TempDir;
use test_material::hub::{Hub as Server, Repository};

/// A hub on the loopback and an empty cache.
pub(crate) struct Place {
    pub(crate) server: Server,
    folder: TempDir,
    /// One for all of a test: each reads the system's certificates anew.
    hub: OnceLock<Hub>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let (server, folder) = (Server::start().unwrap(), tempfile::tempdir().unwrap());
        Self { server, folder, hub: OnceLock::new() }
    }

    /// With [`llama`] as `models/org/llama`.
    pub(crate) fn with_llama() -> Self {
        let place = Self::new();
        place.server.put("models/org/llama", llama());
        place
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("hub")
    }

    /// The folder of `org/llama` in the cache.
    pub(crate) fn root(&self) -> PathBuf {
        self.cache().join("models--org--llama")
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            cache: self.cache(),
            endpoint: self.server.endpoint().to_owned(),
            token: None,
            offline: false,
            pause: Duration::from_millis(1),
        }
    }

    pub(crate) fn hub(&self) -> &Hub {
        self.hub.get_or_init(|| Hub::new(self.settings()))
    }

    pub(crate) fn offline(&self) -> Hub {
        Hub::new(Settings { offline: true, ..self.settings() })
    }

    pub(crate) fn as_user(&self, token: &str) -> Hub {
        Hub::new(Settings { token: Token::new(token), ..self.settings() })
    }

    /// Downloads `org/llama` or finds it.
    pub(crate) fn llama(&self) -> Result<PathBuf, Error> {
        self.hub().model(&name("org/llama"), &mut ())
    }

    /// The paths that were asked for, without the commit.
    pub(crate) fn asked(&self) -> Vec<String> {
        let short = |request: test_material::hub::Request| {
            let last = request.path.rsplit_once("/resolve/").map(|(_, rest)| rest.to_owned());
            last.and_then(|rest| Some(rest.split_once('/')?.1.to_owned())).unwrap_or(request.path)
        };
        let mut paths: Vec<String> = self.server.requests().into_iter().map(short).collect();
        paths.sort();
        paths
    }
}

pub(crate) fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

/// Bytes that differ from place to place.
pub(crate) fn bytes(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect()
}

/// A model in two parts, with what else a repository has.
pub(crate) fn llama() -> Repository {
    let index =
        br#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
    Repository::new([
        ("README.md", b"# A model\n".to_vec()),
        ("config.json", b"{}\n".to_vec()),
        ("tokenizer.json", bytes(5000, 1)),
        ("tokenizer_config.json", b"{\"a\": 1}\n".to_vec()),
        ("vocab.json", b"{}".to_vec()),
        ("model.safetensors.index.json", index.to_vec()),
        ("model-00001-of-00002.safetensors", bytes(3000, 2)),
        ("model-00002-of-00002.safetensors", bytes(700_000, 3)),
        ("pytorch_model.bin", bytes(2000, 4)),
        ("onnx/model.onnx", bytes(2000, 5)),
    ])
}

/// The files of a folder by their paths in it: links by where they lead (`-> …`), others by their bytes.
pub(crate) fn inside(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, under: &str, into: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs_err::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{under}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                walk(&entry.path(), &format!("{path}/"), into);
            } else if kind.is_symlink() {
                let to = fs_err::read_link(entry.path()).unwrap();
                into.insert(path, format!("-> {}", to.display()).into_bytes());
            } else {
                into.insert(path, fs_err::read(entry.path()).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(folder, "", &mut all);
    all
}

/// The contents of the files of a snapshot.
pub(crate) fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    inside(folder).into_keys().map(|path| (path.clone(), fs_err::read(folder.join(path)).unwrap())).collect()
}

/// An error as it is read: one line, with a hint of one.
pub(crate) fn said<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.expect_err("an error");
    let hint = error.hint().expect("a hint");
    let said = format!("{error} | {hint}");
    assert!(!said.contains('\n') && !hint.is_empty(), "{said}");
    said
}

/// Hears everything; stops at a number of bytes.
#[derive(Default)]
pub(crate) struct Watcher {
    pub(crate) last: (u64, u64),
    pub(crate) notices: Vec<String>,
    pub(crate) stop_at: Option<u64>,
}

impl Observer for Watcher {
    fn bytes(&mut self, done: u64, total: u64) -> ControlFlow<()> {
        self.last = (done, total);
        if self.stop_at.is_some_and(|at| done >= at) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn notice(&mut self, text: &str) {
        self.notices.push(text.to_owned());
    }
}

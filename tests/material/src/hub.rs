//! A hub on the loopback, as the Hugging Face hub answers: lists, contents by redirect to another host for large files,
//! ranges, refusals; and what goes wrong on the way, as a test asks for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

/// A repository: `models/ORG/NAME` or `datasets/ORG/NAME`.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// Contents by path; those of at least [`LARGE`] bytes are kept as Git LFS keeps them.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Commits by revision.
    pub revisions: BTreeMap<String, String>,
    /// Only who shows this token gets contents.
    pub gated_for: Option<String>,
}

/// From here on a file is a large one.
pub const LARGE: usize = 1000;

impl Repository {
    /// With one commit, of the branch `main`.
    pub fn new(files: impl IntoIterator<Item = (impl Into<String>, Vec<u8>)>) -> Self {
        Self::at("main", files)
    }

    /// With one commit, of a revision.
    pub fn at(revision: &str, files: impl IntoIterator<Item = (impl Into<String>, Vec<u8>)>) -> Self {
        let files: BTreeMap<String, Vec<u8>> =
            files.into_iter().map(|(path, bytes)| (path.into(), bytes)).collect();
        let all: Vec<u8> = files.iter().flat_map(|(path, bytes)| [path.as_bytes(), bytes].concat()).collect();
        Self { files, revisions: BTreeMap::from([(revision.to_owned(), git(&all))]), gated_for: None }
    }

    /// The commit of its one revision.
    pub fn commit(&self) -> String {
        self.revisions.values().next().cloned().unwrap_or_default()
    }
}

/// What goes wrong with an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status and these headers in its place.
    Status(u16, Vec<(&'static str, String)>),
    /// The connection is closed after so many bytes of contents.
    Cut(usize),
    /// One byte of the contents is another one.
    Corrupt,
    /// The whole file, whatever range was asked for.
    NoRanges,
    /// This body, with status 200.
    Body(Vec<u8>),
    /// The connection is closed without an answer.
    Silence,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// The path, and what follows it.
    pub path: String,
    /// Headers by their names in lower case.
    pub headers: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    /// Faults by a part of the path that they are for, each with how many answers it is still for.
    faults: Vec<(String, usize, Fault)>,
    requests: Vec<Request>,
    /// Without sizes and hashes in lists, as some mirrors answer.
    plain_lists: bool,
    elsewhere: String,
}

/// A hub on the loopback, until the test's process ends.
#[derive(Clone, Debug)]
pub struct Hub {
    state: Arc<Mutex<State>>,
    endpoint: String,
}

impl Hub {
    /// Begins to listen: as the hub, and as the other host that large files come from.
    ///
    /// # Errors
    /// The loopback cannot be listened at.
    pub fn start() -> io::Result<Self> {
        let (hub, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.2:0")?);
        let endpoint = format!("http://{}", hub.local_addr()?);
        let state = State { elsewhere: format!("http://{}", other.local_addr()?), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        for listener in [hub, other] {
            let state = Arc::clone(&state);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = Arc::clone(&state);
                    // A client that is gone is no concern of the server's.
                    thread::spawn(move || drop(serve(stream, &state)));
                }
            });
        }
        Ok(Self { state, endpoint })
    }

    /// Its address, for `HF_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Adds or replaces `models/ORG/NAME` or `datasets/ORG/NAME`.
    pub fn put(&self, name: &str, repository: Repository) {
        self.state().repositories.insert(name.to_owned(), repository);
    }

    /// Lets the next `times` answers to paths with this part in them go wrong.
    pub fn fault(&self, part: &str, times: usize, fault: Fault) {
        self.state().faults.push((part.to_owned(), times, fault));
    }

    /// Leaves sizes and hashes out of lists.
    pub fn plain_lists(&self) {
        self.state().plain_lists = true;
    }

    /// The requests so far, which are forgotten with this.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().requests)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// How many bytes of the body are sent.
    sent: usize,
}

impl Answer {
    fn of(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        Self { status, headers, sent: body.len(), body }
    }

    fn error(status: u16, code: &str) -> Self {
        Self::of(status, vec![("x-error-code", code.to_owned())], code.as_bytes().to_vec())
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, path) = (word(), word());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let request = Request { method, path, headers };
    let answer = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests.push(request.clone());
        state.answer(&request)
    };
    let Some(answer) = answer else { return Ok(()) };
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", answer.status);
    let length = ("content-length", answer.body.len().to_string());
    for (name, value) in answer.headers.iter().chain([&length]) {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&answer.body[..answer.sent])?;
    }
    stream.flush()?;
    stream.shutdown(std::net::Shutdown::Write)?;
    // Until the client closes, so that it gets all of it.
    let _ = stream.read(&mut [0; 16]);
    Ok(())
}

impl State {
    fn answer(&mut self, request: &Request) -> Option<Answer> {
        let fault =
            self.faults.iter_mut().find(|(part, left, _)| *left > 0 && request.path.contains(part.as_str()));
        let fault = fault.map(|(_, left, fault)| {
            *left -= 1;
            fault.clone()
        });
        let right = |request: &Request| self.right(request);
        let mut without = request.clone();
        match fault {
            None => Some(right(request)),
            Some(Fault::Silence) => None,
            Some(Fault::Status(status, headers)) => Some(Answer::of(status, headers, b"no".to_vec())),
            Some(Fault::Body(body)) => Some(Answer::of(200, Vec::new(), body)),
            Some(Fault::Cut(bytes)) => {
                let mut answer = right(request);
                answer.sent = answer.sent.min(bytes);
                Some(answer)
            }
            Some(Fault::Corrupt) => {
                let mut answer = right(request);
                if let Some(byte) = answer.body.last_mut() {
                    *byte ^= 1;
                }
                Some(answer)
            }
            Some(Fault::NoRanges) => {
                without.headers.remove("range");
                Some(right(&without))
            }
        }
    }

    fn right(&self, request: &Request) -> Answer {
        let path = request.path.split('?').next().unwrap_or_default();
        if let Some(hash) = path.strip_prefix("/elsewhere/") {
            let mut all = self.repositories.values().flat_map(|repository| repository.files.values());
            let found = all.find(|bytes| sha256(bytes) == hash);
            return found
                .map_or_else(|| Answer::error(404, ""), |bytes| contents(bytes, request, Vec::new()));
        }
        if let Some(rest) = path.strip_prefix("/api/") {
            let Some((name, revision)) = rest.split_once("/revision/") else { return Answer::error(404, "") };
            return self.list(name, &decoded(revision));
        }
        let Some((name, rest)) = path.trim_start_matches('/').split_once("/resolve/") else {
            return Answer::error(404, "");
        };
        let (revision, file) = rest.split_once('/').unwrap_or((rest, ""));
        let name = if name.starts_with("datasets/") { name.to_owned() } else { format!("models/{name}") };
        self.file(&name, &decoded(revision), &decoded(file), request)
    }

    /// The repository, and the commit of a revision.
    fn find(&self, name: &str, revision: &str) -> Result<(&Repository, String), Answer> {
        // Without a token the hub does not say whether it is private.
        let repository = self.repositories.get(name).ok_or_else(|| Answer::error(401, "RepoNotFound"))?;
        let known =
            repository.revisions.iter().find(|(name, commit)| *name == revision || *commit == revision);
        let commit = known.map(|(_, commit)| commit.clone());
        Ok((repository, commit.ok_or_else(|| Answer::error(404, "RevisionNotFound"))?))
    }

    fn list(&self, name: &str, revision: &str) -> Answer {
        let (repository, commit) = match self.find(name, revision) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let entries = repository.files.iter().map(|(path, bytes)| {
            let (size, git) = (bytes.len(), git(bytes));
            if self.plain_lists {
                format!(r#"{{"rfilename":"{path}"}}"#)
            } else if size < LARGE {
                format!(r#"{{"rfilename":"{path}","size":{size},"blobId":"{git}"}}"#)
            } else {
                let (sha, pointer) = (sha256(bytes), self::git(&pointer(bytes)));
                let lfs = format!(r#"{{"sha256":"{sha}","size":{size},"pointerSize":130}}"#);
                format!(r#"{{"rfilename":"{path}","size":{size},"blobId":"{pointer}","lfs":{lfs}}}"#)
            }
        });
        let siblings = entries.collect::<Vec<_>>().join(",");
        let json = format!(r#"{{"id":"{name}","sha":"{commit}","siblings":[{siblings}]}}"#);
        Answer::of(200, vec![("content-type", "application/json".to_owned())], json.into_bytes())
    }

    fn file(&self, name: &str, revision: &str, file: &str, request: &Request) -> Answer {
        let (repository, commit) = match self.find(name, revision) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let shown = request.headers.get("authorization");
        match &repository.gated_for {
            Some(token) if shown.is_none_or(|shown| *shown != format!("Bearer {token}")) => {
                return Answer::error(if shown.is_some() { 403 } else { 401 }, "GatedRepo");
            }
            _ => {}
        }
        let Some(bytes) = repository.files.get(file) else { return Answer::error(404, "EntryNotFound") };
        let commit = ("x-repo-commit", commit);
        if bytes.len() < LARGE {
            return contents(bytes, request, vec![commit, ("etag", format!("\"{}\"", git(bytes)))]);
        }
        let hash = sha256(bytes);
        let location = format!("{}/elsewhere/{hash}", self.elsewhere);
        let linked = [("x-linked-etag", format!("\"{hash}\"")), ("x-linked-size", bytes.len().to_string())];
        let headers = [commit, ("location", location)].into_iter().chain(linked).collect();
        Answer::of(302, headers, Vec::new())
    }
}

fn contents(bytes: &[u8], request: &Request, mut headers: Vec<(&'static str, String)>) -> Answer {
    let range = request
        .headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match range {
        None => Answer::of(200, headers, bytes.to_vec()),
        Some(from) if from >= bytes.len() => Answer::error(416, ""),
        Some(from) => {
            headers.push(("content-range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())));
            Answer::of(206, headers, bytes[from..].to_vec())
        }
    }
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Git's hash of contents.
pub fn git(bytes: &[u8]) -> String {
    let blob = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
    hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &blob).as_ref())
}

/// What Git keeps of a large file.
fn pointer(bytes: &[u8]) -> Vec<u8> {
    let (hash, size) = (sha256(bytes), bytes.len());
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{hash}\nsize {size}\n").into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A part of an address as it was meant.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        if let Some(code) = code.filter(|_| first == b'%') {
            bytes.push(code);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

//! Requests to the hub: what is asked again, and what an answer means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Method, Request, Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, ResponseExt as _, Timeout};

use crate::digest::Etag;
use crate::error::{Error, Result};
use crate::listing::{Listing, Remote};
use crate::name::Repository;
use crate::settings::Settings;

/// How often something is asked again that may succeed then.
pub(crate) const ATTEMPTS: u32 = 5;
/// The longest that the hub is waited for when it asks for time.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// What a server says that may say something else the next time.
const AGAIN: [u16; 6] = [408, 429, 500, 502, 503, 504];
const CONNECT: Duration = Duration::from_secs(10);
/// Nothing arrives for this long: the connection counts as cut.
const SILENCE: Duration = Duration::from_mins(1);
const LONGEST_LIST: u64 = 64 << 20;
/// How often a wait looks whether it should end.
const LOOK: Duration = Duration::from_millis(50);

/// What a request is about, for its error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) revision: &'a str,
    pub(crate) file: Option<&'a str>,
}

/// What is said on the way, and whether to stop.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) say: &'a dyn Fn(String),
    pub(crate) stop: &'a AtomicBool,
}

impl Line<'_> {
    pub(crate) fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }

    pub(crate) fn wait(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            self.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

/// A connection to one hub.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    settings: Settings,
}

impl Client {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder().root_certs(certificates(&settings.endpoint)?);
        let config = Agent::config_builder()
            .tls_config(tls.unversioned_rustls_crypto_provider(provider).build())
            .http_status_as_error(false)
            .user_agent(concat!("llama-ccs/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        Ok(Self { agent: config.build().new_agent(), settings: settings.clone() })
    }

    /// The first pause before the attempt after `failed` ones.
    pub(crate) fn pause(&self, failed: u32) -> Duration {
        self.settings.pause.saturating_mul(1 << failed.min(10))
    }

    /// The files of a revision.
    pub(crate) fn listing(&self, about: About<'_>, line: Line<'_>) -> Result<Listing> {
        let (api, revision) = (about.repository.in_api(), encoded(about.revision, false));
        let url = format!("{}/api/{api}/revision/{revision}?blobs=true", self.settings.endpoint);
        let mut failed = 0;
        loop {
            let mut answer = self.call(&Method::GET, &url, 0, about, line)?;
            match answer.body_mut().with_config().limit(LONGEST_LIST).read_to_vec() {
                Ok(json) => {
                    return Listing::from_hub(&json).map_err(|what| Error::NotTheHub { url, what });
                }
                // Cut off while it was read.
                Err(error) if failed + 1 < ATTEMPTS && passes(&error) => {
                    failed += 1;
                    line.wait(self.pause(failed - 1))?;
                }
                Err(error) => return Err(Error::Unreachable { url, why: said(&error) }),
            }
        }
    }

    /// What the hub says of one file where its list does not: mirrors leave out hashes.
    pub(crate) fn describe(&self, about: About<'_>, path: String, line: Line<'_>) -> Result<Remote> {
        let url = self.address(about, &path);
        let answer = self.call(&Method::HEAD, &url, 0, about, line)?;
        let header = |name| text(answer.headers(), name);
        let etag = header("x-linked-etag").or_else(|| header("etag")).and_then(|etag| Etag::new(&etag));
        let size = header("x-linked-size");
        let own = (!answer.status().is_redirection()).then(|| header("content-length")).flatten();
        let size = size.or(own).and_then(|size| size.parse().ok());
        if etag.is_none() || size.is_none() {
            let what =
                format!("it says neither in its list nor with the file which hash and size `{path}` has");
            return Err(Error::NotTheHub { url, what });
        }
        Ok(Remote { size, etag, ..Remote::named(path) })
    }

    /// Opens a file's contents from a byte on.
    pub(crate) fn open(
        &self,
        about: About<'_>,
        path: &str,
        from: u64,
        line: Line<'_>,
    ) -> Result<Response<Body>> {
        self.call(&Method::GET, &self.address(about, path), from, about, line)
    }

    fn address(&self, about: About<'_>, path: &str) -> String {
        let (pages, revision) = (about.repository.in_pages(), encoded(about.revision, false));
        format!("{}/{pages}/resolve/{revision}/{}", self.settings.endpoint, encoded(path, true))
    }

    /// Asks, and asks again where that may help.
    fn call(
        &self,
        method: &Method,
        url: &str,
        from: u64,
        about: About<'_>,
        line: Line<'_>,
    ) -> Result<Response<Body>> {
        for failed in 0.. {
            line.check()?;
            let last = failed + 1 >= ATTEMPTS;
            let (why, wait) = match self.send(method, url, from) {
                Ok(answer) if is_answer(method, answer.status()) => return Ok(answer),
                Ok(answer) => {
                    let (status, asked) = (answer.status().as_u16(), wait_of(&answer));
                    let wait = asked.unwrap_or(self.pause(failed));
                    if last || !AGAIN.contains(&status) || wait > LONGEST_WAIT {
                        return Err(self.refused(url, &answer, about, asked));
                    }
                    (format!("the hub answered {status}"), wait)
                }
                Err(error) if !last && passes(&error) => (said(&error), self.pause(failed)),
                Err(error) => return Err(Error::Unreachable { url: url.to_owned(), why: said(&error) }),
            };
            (line.say)(format!("{why}; trying again in {} s", wait.as_secs_f32().ceil()));
            line.wait(wait)?;
        }
        Err(Error::Stopped)
    }

    fn send(&self, method: &Method, url: &str, from: u64) -> Result<Response<Body>, ureq::Error> {
        // What is counted and hashed are the file's own bytes.
        let mut request = Request::builder().method(method).uri(url).header("accept-encoding", "identity");
        if let Some(token) = &self.settings.token {
            request = request.header("authorization", token.bearer());
        }
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        let request = request.body(())?;
        if method == Method::HEAD {
            // The headers that are wanted are those of the hub, not of where it sends to.
            let config =
                self.agent.configure_request(request).max_redirects(0).max_redirects_will_error(false);
            return self.agent.run(config.build());
        }
        self.agent.run(request)
    }

    /// What an answer means that is none.
    fn refused(&self, url: &str, answer: &Response<Body>, about: About<'_>, wait: Option<Duration>) -> Error {
        let status = answer.status().as_u16();
        let said = text(answer.headers(), "x-error-message");
        let code = text(answer.headers(), "x-error-code").unwrap_or_default();
        let (repository, with_token) = (about.repository.clone(), self.settings.token.is_some());
        let elsewhere = answer.get_uri().host() != url.parse().ok().as_ref().and_then(ureq::http::Uri::host);
        let no_repository = |repository| {
            let endpoint = self.settings.endpoint.clone();
            Error::NoRepository { endpoint, repository, with_token }
        };
        match (code.as_str(), status) {
            ("GatedRepo", _) => {
                let page = format!("{}/{}", self.settings.endpoint, repository.in_pages());
                Error::Gated { repository, page, with_token }
            }
            ("RevisionNotFound", _) => Error::NoRevision { repository, revision: about.revision.to_owned() },
            ("EntryNotFound", _) => no_file(about),
            ("RepoNotFound", _) => no_repository(repository),
            _ if status == StatusCode::TOO_MANY_REQUESTS.as_u16() => {
                Error::TooMany { seconds: wait.map(|wait| wait.as_secs()) }
            }
            _ if elsewhere => Error::Status { url: url.to_owned(), status, said },
            (_, 401) if with_token => Error::BadToken,
            (_, 404) if about.file.is_some() => no_file(about),
            // Without a token the hub does not tell what is private from what is not there.
            (_, 401 | 404) => no_repository(repository),
            (_, 403) => Error::Forbidden { repository, said },
            _ => Error::Status { url: url.to_owned(), status, said },
        }
    }
}

fn no_file(about: About<'_>) -> Error {
    Error::NoFile {
        repository: about.repository.clone(),
        revision: about.revision.to_owned(),
        file: about.file.unwrap_or_default().to_owned(),
        meant: None,
    }
}

/// The certificates that the system trusts: a company's own are among them, and `SSL_CERT_FILE` names others.
fn certificates(endpoint: &str) -> Result<RootCerts> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() && endpoint.starts_with("https:") {
        let why = found.errors.first().map(ToString::to_string);
        return Err(Error::Certificates { endpoint: endpoint.to_owned(), why });
    }
    Ok(RootCerts::from(found.certs.iter().map(|cert| Certificate::from_der(cert).to_owned())))
}

fn is_answer(method: &Method, status: StatusCode) -> bool {
    // A range beyond the end of the file: whoever asked for it begins anew.
    status.is_success()
        || status == StatusCode::RANGE_NOT_SATISFIABLE
        || (method == Method::HEAD && status.is_redirection())
}

/// The time that the hub asks for.
fn wait_of(answer: &Response<Body>) -> Option<Duration> {
    let after = text(answer.headers(), "retry-after").and_then(|text| text.trim().parse().ok());
    // `"api";r=0;t=55`: none left, new ones in 55 seconds.
    let window = || {
        let limit = text(answer.headers(), "ratelimit")?;
        limit.split(';').find_map(|part| part.trim().strip_prefix("t=")?.parse().ok())
    };
    after.or_else(window).map(Duration::from_secs)
}

/// Whether a failure may be gone the next time: not a name that nobody knows, nor a port that nobody listens at.
fn passes(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted, TimedOut, UnexpectedEof,
    };
    match error {
        // Where packets go nowhere, they go nowhere the next time.
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => false,
        ureq::Error::Timeout(_) | ureq::Error::BodyStalled => true,
        ureq::Error::Io(error) => {
            [BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted, TimedOut, UnexpectedEof]
                .contains(&error.kind())
        }
        _ => false,
    }
}

fn said(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "its address is not known (no network, or a wrong name)".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// A text as a part of an address.
fn encoded(text: &str, slashes: bool) -> String {
    use std::fmt::Write as _;
    let mut address = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                address.push(char::from(byte));
            }
            b'/' if slashes => address.push('/'),
            other => {
                let _ = write!(address, "%{other:02X}");
            }
        }
    }
    address
}

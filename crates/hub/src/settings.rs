//! Where the cache is, which hub is asked, and as whom.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

const HUGGING_FACE: &str = "https://huggingface.co";
/// The most bytes of a token's file.
const LONGEST_TOKEN: u64 = 1 << 16;

/// A token of the hub. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// From its text; `None` of an empty one.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where the cache is, which hub is asked, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder of the cache, with one folder a repository.
    pub cache: PathBuf,
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// The token that is sent to the hub, and to nobody else.
    pub token: Option<Token>,
    /// Nothing is asked or downloaded.
    pub offline: bool,
    /// The first pause before something is tried again; each further one is twice as long.
    pub pause: Duration,
}

impl Settings {
    /// As the environment says, by the variables that `huggingface_hub` for Python has: the cache is `HF_HUB_CACHE`, else
    /// `HF_HOME/hub`, else in `~/.cache/huggingface/hub` (or `XDG_CACHE_HOME`); the hub is `HF_ENDPOINT`; the token is
    /// `HF_TOKEN`, else in the file `HF_HOME/token`, where `hf auth login` left it; `HF_HUB_OFFLINE=1` forbids network.
    ///
    /// # Errors
    /// No home to keep a cache in, an address that is none, a token's file that cannot be read.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(&|name| std::env::var_os(name))
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self> {
        let set = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| variable(name));
            values.find(|value| !value.is_empty())
        };
        let path = |names: &[&str]| set(names).map(|value| expanded(PathBuf::from(value), &set));
        let text = |names: &[&str]| set(names).map(|value| value.to_string_lossy().into_owned());
        let is_on = |names: &[&str]| {
            text(names).is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.to_uppercase().as_str()))
        };

        let from_home = || Some(PathBuf::from(set(&["HOME"])?).join(".cache"));
        let home = path(&["HF_HOME"])
            .or_else(|| Some(path(&["XDG_CACHE_HOME"]).or_else(from_home)?.join("huggingface")));
        let cache = path(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])
            .or_else(|| Some(home.as_ref()?.join("hub")))
            .ok_or(Error::NoHome)?;

        let endpoint = text(&["HF_ENDPOINT"]).unwrap_or_else(|| HUGGING_FACE.to_owned());
        let endpoint = endpoint.trim().trim_end_matches('/').to_owned();
        let scheme = ["https://", "http://"].iter().find_map(|scheme| endpoint.strip_prefix(scheme));
        if scheme.is_none_or(|rest| rest.is_empty() || rest.contains(char::is_whitespace)) {
            return Err(Error::Endpoint { endpoint });
        }

        let token = match text(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
            _ if is_on(&["HF_HUB_DISABLE_IMPLICIT_TOKEN"]) => None,
            Some(token) => Token::new(&token),
            None => {
                let file = path(&["HF_TOKEN_PATH"]).or_else(|| Some(home.as_ref()?.join("token")));
                file.map(|file| token_in(&file)).transpose()?.flatten()
            }
        };
        let offline = is_on(&["HF_HUB_OFFLINE"]) || is_on(&["TRANSFORMERS_OFFLINE"]);
        Ok(Self { cache, endpoint, token, offline, pause: Duration::from_secs(1) })
    }
}

/// `~/x` in the user's home.
fn expanded(path: PathBuf, set: &dyn Fn(&[&str]) -> Option<OsString>) -> PathBuf {
    match (path.strip_prefix("~"), set(&["HOME"])) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path,
    }
}

fn token_in(file: &Path) -> Result<Option<Token>> {
    if !file.exists() {
        return Ok(None);
    }
    Ok(Token::new(&host::files::read_text(file, LONGEST_TOKEN)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::from_variables(&|name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some(OsString::from(value))
        })
    }

    #[test]
    fn the_variables_of_huggingface_hub_decide() {
        let plain = settings(&[("HOME", "/h")]).unwrap();
        assert_eq!(plain.cache, Path::new("/h/.cache/huggingface/hub"));
        assert_eq!((plain.endpoint.as_str(), plain.token, plain.offline), (HUGGING_FACE, None, false));
        for (variables, cache) in [
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")][..], "/x/huggingface/hub"),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/f")], "/h/f/hub"),
            (&[("HF_HOME", "/f"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/old"),
            (&[("HF_HOME", "/f"), ("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c")], "/c"),
            (&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "")], "/f/hub"),
        ] {
            assert_eq!(settings(variables).unwrap().cache, Path::new(cache), "{variables:?}");
        }
        assert!(matches!(settings(&[]), Err(Error::NoHome)));

        let mirror = settings(&[("HOME", "/h"), ("HF_ENDPOINT", "http://mirror:8080/hf/")]).unwrap();
        assert_eq!(mirror.endpoint, "http://mirror:8080/hf");
        for bad in ["huggingface.co", "ftp://x", "https://", "https://a b"] {
            let refused = settings(&[("HOME", "/h"), ("HF_ENDPOINT", bad)]);
            assert!(matches!(refused, Err(Error::Endpoint { .. })), "{bad}");
        }
        for (value, offline) in [("1", true), ("true", true), ("0", false), ("no", false)] {
            assert_eq!(settings(&[("HOME", "/h"), ("HF_HUB_OFFLINE", value)]).unwrap().offline, offline);
        }
    }

    #[test]
    fn a_token_is_found_and_never_shown() {
        let home = tempfile::tempdir().unwrap();
        fs_err::write(home.path().join("token"), "hf_file\n").unwrap();
        let at = home.path().to_str().unwrap();
        let token = |more: &[(&str, &str)]| settings(&[&[("HF_HOME", at)], more].concat()).unwrap().token;
        assert_eq!(token(&[]), Token::new("hf_file"));
        assert_eq!(token(&[("HF_TOKEN", " hf_own\n")]), Token::new("hf_own"));
        assert_eq!(token(&[("HF_TOKEN_PATH", "/nowhere")]), None);
        assert_eq!(token(&[("HF_TOKEN", "hf_own"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        let shown = format!("{:?}", settings(&[("HF_HOME", at)]).unwrap());
        assert!(!shown.contains("hf_file"), "{shown}");
    }
}

//! Where a tokenizer's chat templates are: `chat_template.jinja` and `additional_chat_templates/` in its folder, else
//! `chat_template` in `tokenizer_config.json`, one text or a list of named ones; in a GGUF file `tokenizer.chat_template`
//! and `tokenizer.chat_template.NAME`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{ChatTemplate, DEFAULT};
use crate::error::{Error, Result};

/// The most bytes of a template: what the engine takes.
const LONGEST: u64 = jinja::LONGEST_SOURCE as u64;

/// What is known of a tokenizer's chat templates before one is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChatSource {
    /// What errors call the tokenizer.
    pub(crate) path: PathBuf,
    /// The tokenizer's folder.
    pub(crate) folder: Option<PathBuf>,
    /// `chat_template` of `tokenizer_config.json`.
    pub(crate) config: Option<Value>,
    /// The templates in a GGUF file, by name.
    pub(crate) metadata: Vec<(String, String)>,
    /// The special tokens with names, such as `bos_token`.
    pub(crate) tokens: BTreeMap<String, String>,
}

/// A template's name, where it came from, and its text.
struct Found {
    name: String,
    origin: String,
    text: String,
}

impl ChatSource {
    /// The template of that name; without one, `default`, or the only one there is.
    pub(crate) fn template(&self, name: Option<&str>) -> Result<ChatTemplate> {
        let mut found = self.found()?;
        if found.is_empty() {
            return Err(Error::NoChatTemplate { path: self.path.clone() });
        }
        let wanted = name.unwrap_or(DEFAULT);
        let at = found.iter().position(|template| template.name == wanted);
        let Some(at) = at.or((name.is_none() && found.len() == 1).then_some(0)) else {
            let known = found.into_iter().map(|template| template.name).collect();
            return Err(Error::UnknownChatTemplate { name: name.map(str::to_owned), known });
        };
        let Found { name, origin, text } = found.swap_remove(at);
        ChatTemplate::new(&name, origin, &text, self.tokens.clone())
    }

    fn found(&self) -> Result<Vec<Found>> {
        let of_folder = self.folder.as_deref().map(in_folder).transpose()?.unwrap_or_default();
        if !of_folder.is_empty() {
            return Ok(of_folder);
        }
        if !self.metadata.is_empty() {
            let path = self.path.display();
            let found = |(name, text): &(String, String)| {
                let key = if name == DEFAULT { String::new() } else { format!(".{name}") };
                let origin = format!("{path} (tokenizer.chat_template{key})");
                Found { name: name.clone(), origin, text: text.clone() }
            };
            return Ok(self.metadata.iter().map(found).collect());
        }
        self.in_config()
    }

    fn in_config(&self) -> Result<Vec<Found>> {
        let path = self.folder.as_deref().unwrap_or(Path::new("")).join("tokenizer_config.json");
        let refused = |reason: &str| Error::ChatTemplate {
            template: path.display().to_string(),
            reason: format!("chat_template: {reason}"),
        };
        let origin = |name: &str| {
            let name = if name == DEFAULT { String::new() } else { format!(" {name:?}") };
            format!("{} (chat_template{name})", path.display())
        };
        match &self.config {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => {
                Ok(vec![Found { name: DEFAULT.to_owned(), origin: origin(DEFAULT), text: text.clone() }])
            }
            Some(Value::Array(named)) => {
                let found = |one: &Value| {
                    let text = |key: &str| Some(one.get(key)?.as_str()?.to_owned());
                    let (name, text) = text("name")
                        .zip(text("template"))
                        .ok_or_else(|| refused("each of the list has a `name` and a `template`"))?;
                    Ok(Found { origin: origin(&name), name, text })
                };
                named.iter().map(found).collect()
            }
            Some(_) => Err(refused("it is neither a text nor a list of named ones")),
        }
    }
}

/// The templates that are files of their own.
fn in_folder(folder: &Path) -> Result<Vec<Found>> {
    let read = |name: String, path: &Path| -> Result<Found> {
        Ok(Found { name, origin: path.display().to_string(), text: host::files::read_text(path, LONGEST)? })
    };
    let mut found = Vec::new();
    let own = folder.join("chat_template.jinja");
    if own.exists() {
        found.push(read(DEFAULT.to_owned(), &own)?);
    }
    let further = folder.join("additional_chat_templates");
    if further.is_dir() {
        let mut paths =
            fs_err::read_dir(&further)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "jinja"));
        paths.sort();
        for path in paths {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push(read(name, &path)?);
        }
    }
    Ok(found)
}

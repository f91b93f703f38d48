//! The sidecar of a prompts file: the templates that made the prompts, so that a store can record them and `predict` can
//! write new questions with them; and what readers of reports should know about how the prompts were made.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use host::program::Hinted;
use llama_ccs::activations::provenance::Chat;
use llama_ccs::boolq::{Template, TemplateText};
use serde::{Deserialize, Serialize};

use super::values::AnyError;

/// `prompts.csv` → `prompts.templates.json`.
fn path_of(prompts: &Path) -> PathBuf {
    prompts.with_extension("templates.json")
}

#[derive(Serialize, Deserialize)]
struct Sidecar {
    /// Of the prompts file: a sidecar of other prompts is not used.
    blake3: String,
    templates: Vec<(String, TemplateText)>,
    /// How the prompts were made chats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chat: Option<Chat>,
    /// Sentences on the data, such as that groups were guessed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// The most bytes of such a file: templates are pages of text.
const LARGEST: u64 = 64 << 20;

fn hash(prompts: &Path) -> Result<String, AnyError> {
    Ok(blake3::hash(&fs_err::read(prompts)?).to_hex().to_string())
}

/// What is known of how prompts were made; nothing of prompts without a sidecar.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) templates: Vec<Template>,
    pub(crate) chat: Option<Chat>,
    pub(crate) notes: Vec<String>,
}

/// Writes how the prompts were made into their sidecar.
pub(crate) fn save(prompts: &Path, made: Made) -> Result<(), AnyError> {
    let Made { templates, chat, notes } = made;
    let templates = templates.iter().map(|t| (t.name().to_owned(), t.text())).collect();
    let sidecar = Sidecar { blake3: hash(prompts)?, templates, chat, notes };
    Ok(host::files::replace(path_of(prompts), (serde_json::to_string_pretty(&sidecar)? + "\n").as_bytes())?)
}

/// How these prompts were made; nothing if they have no sidecar, or one of other prompts.
///
/// # Errors
/// A file that is there and cannot be read.
pub(crate) fn load(prompts: &Path) -> Result<Made, AnyError> {
    let path = path_of(prompts);
    let text = match host::files::read(&path, LARGEST) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Made::default()),
        text => text?,
    };
    let damaged = |why: &dyn std::fmt::Display| {
        let hint = "make the prompts again, or remove that file: `--template` records a template too";
        Hinted::new(format!("{}: not the templates of prompts: {why}", path.display()), hint)
    };
    let sidecar: Sidecar = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
    if sidecar.blake3 != hash(prompts)? {
        return Ok(Made::default());
    }
    let templates = sidecar.templates.iter().map(|(name, text)| Template::from_text(name, text));
    let templates = templates.collect::<Result<_, _>>().map_err(|error| damaged(&error))?;
    Ok(Made { templates, chat: sidecar.chat, notes: sidecar.notes })
}

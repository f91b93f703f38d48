//! The templates that a prompts file was made with, kept beside it, so that a store can record them and `predict` can
//! write new questions with them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use llama_ccs::boolq::{Template, TemplateText};
use serde::{Deserialize, Serialize};

use super::AnyError;

/// `prompts.csv` → `prompts.templates.json`.
fn place(prompts: &Path) -> PathBuf {
    prompts.with_extension("templates.json")
}

#[derive(Serialize, Deserialize)]
struct Beside {
    /// Of the prompts file: templates of another file are none of its.
    blake3: String,
    templates: Vec<(String, TemplateText)>,
}

/// The most bytes of such a file: templates are pages of text.
const LARGEST: u64 = 64 << 20;

fn hash(prompts: &Path) -> Result<String, AnyError> {
    Ok(blake3::hash(&fs_err::read(prompts)?).to_hex().to_string())
}

/// Keeps the templates beside the prompts they made.
pub(crate) fn save(prompts: &Path, templates: &[Template]) -> Result<(), AnyError> {
    let templates = templates.iter().map(|t| (t.name().to_owned(), t.text())).collect();
    let beside = Beside { blake3: hash(prompts)?, templates };
    Ok(host::files::replace(place(prompts), (serde_json::to_string_pretty(&beside)? + "\n").as_bytes())?)
}

/// The templates that made these prompts; none if nothing beside them says so, or says it of other prompts.
///
/// # Errors
/// A file that is there and cannot be read.
pub(crate) fn load(prompts: &Path) -> Result<Vec<Template>, AnyError> {
    let place = place(prompts);
    let text = match host::files::read(&place, LARGEST) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let damaged = |why: &dyn std::fmt::Display| {
        let place = place.display();
        format!(
            "{place}: not the templates of prompts: {why}\nhint: make the prompts again, or remove that file: \
             `--template` records a template too"
        )
    };
    let beside: Beside = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
    if beside.blake3 != hash(prompts)? {
        return Ok(Vec::new());
    }
    let templates = beside.templates.iter().map(|(name, text)| Template::from_text(name, text));
    Ok(templates.collect::<Result<_, _>>().map_err(|error| {
        let said = error.to_string();
        damaged(&said.split("\nhint:").next().unwrap_or_default())
    })?)
}

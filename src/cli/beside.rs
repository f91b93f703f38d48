//! The templates that a prompts file was made with, kept beside it, so that a store can record them and `predict` can
//! write new questions with them.

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

fn hash(prompts: &Path) -> Result<String, AnyError> {
    Ok(blake3::hash(&fs_err::read(prompts)?).to_hex().to_string())
}

/// Keeps the templates beside the prompts they made.
pub(crate) fn save(prompts: &Path, templates: &[Template]) -> Result<(), AnyError> {
    let templates = templates.iter().map(|t| (t.name().to_owned(), t.text())).collect();
    let beside = Beside { blake3: hash(prompts)?, templates };
    Ok(fs_err::write(place(prompts), serde_json::to_string_pretty(&beside)? + "\n")?)
}

/// The templates that made these prompts; none if nothing beside them says so, or says it of other prompts.
pub(crate) fn load(prompts: &Path) -> Result<Vec<Template>, AnyError> {
    let Ok(text) = fs_err::read(place(prompts)) else { return Ok(Vec::new()) };
    match serde_json::from_slice::<Beside>(&text) {
        Ok(beside) if beside.blake3 == hash(prompts)? => {
            let templates = beside.templates.iter().map(|(name, text)| Template::from_text(name, text));
            Ok(templates.collect::<Result<_, _>>()?)
        }
        _ => Ok(Vec::new()),
    }
}

//! Edits on disk: a JSON file, and a safetensors file beside it for the tensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Edit, Edits};
use crate::error::{Error, Result};

/// The version of the file.
const SCHEMA: u32 = 1;

/// The most bytes of the file: numbers stand in another.
const LARGEST: u64 = 256 << 20;

/// `{"schema": 1, "edits": […]}`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    edits: Vec<Edit>,
}

impl Edits {
    /// Reads a file of edits and the tensors it refers to.
    ///
    /// ```json
    /// { "schema": 1, "edits": [
    ///     { "points": ["blocks.8.hook_resid_post"], "tokens": "last",
    ///       "change": { "add": { "scale": 4.0, "direction": { "file": "steer.safetensors", "tensor": "truth" } } } },
    ///     { "points": ["blocks.{3,4}.attn.hook_z"], "change": { "knock_out": { "heads": [0, 7] } } },
    ///     { "points": ["blocks.9.hook_mlp_out"], "change": "zero" } ] }
    /// ```
    ///
    /// # Errors
    /// [`Error::EditFile`] naming the file: it cannot be understood, or a tensor is missing or has another hash.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = host::files::read(path, LARGEST)?;
        let refuse = |reason, hint| Error::EditFile { path: path.to_owned(), reason, hint };
        let file: File = serde_json::from_slice(&text).map_err(|e| {
            refuse(
                e.to_string(),
                "a file of edits is {\"schema\": 1, \"edits\": [{\"points\": …, \"change\": …}]}",
            )
        })?;
        if file.schema != SCHEMA {
            let reason = format!("its schema is {}, this version reads {SCHEMA}", file.schema);
            return Err(refuse(reason, "use the version of llama-core that wrote it"));
        }
        let mut edits = Self(file.edits);
        edits.resolve(path.parent().unwrap_or(Path::new("")))?;
        Ok(edits)
    }

    /// Reads the tensors that edits refer to, from files relative to `folder`. For edits that were deserialized by other
    /// means than [`Edits::load`].
    ///
    /// # Errors
    /// [`Error::EditFile`] naming the tensor's file.
    pub fn resolve(&mut self, folder: impl AsRef<Path>) -> Result<()> {
        let values = self.0.iter_mut().filter_map(|edit| edit.change.values_mut());
        values.into_iter().try_for_each(|values| values.read(folder.as_ref()))
    }

    /// Writes the edits to `NAME.json`, and their tensors, if they use any, to `NAME.edits.safetensors` beside it.
    ///
    /// # Errors
    /// A tensor that has not been read; a file that cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let sidecar = path.with_extension("edits.safetensors");
        let refuse = |reason: String, hint| Error::EditFile { path: path.to_owned(), reason, hint };
        let Some(name) = sidecar.file_name().and_then(|name| name.to_str()) else {
            return Err(refuse("the name must be Unicode, to stand in JSON".to_owned(), "call it NAME.json"));
        };
        let mut edits = self.clone();
        let mut tensors = BTreeMap::new();
        for (number, (edit, own)) in edits.0.iter_mut().zip(&self.0).enumerate() {
            let (Some(values), Some(own)) = (edit.change.values_mut(), own.change.values()) else { continue };
            let tensor = format!("edit_{number}");
            let view = own
                .view()
                .ok_or_else(|| refuse(format!("the tensor of edit {number} was not read"), UNREAD))?;
            tensors.insert(tensor.clone(), view.map_err(|e| refuse(e.to_string(), UNREAD))?);
            *values = own.kept(name, &tensor);
        }
        if sidecar == path {
            return Err(refuse("this is the name of the tensors' file".to_owned(), "call it NAME.json"));
        }
        if !tensors.is_empty() {
            let bytes = safetensors::serialize(tensors, None).map_err(|e| refuse(e.to_string(), UNREAD))?;
            host::files::replace(&sidecar, &bytes)?;
        }
        let file = File { schema: SCHEMA, edits: edits.0 };
        let text = serde_json::to_string_pretty(&file).map_err(|e| refuse(e.to_string(), UNREAD))?;
        Ok(host::files::replace(path, (text + "\n").as_bytes())?)
    }

    /// The edits as a store's manifest or a report states them: tensors by type, shape and hash, and no path, so that
    /// the same edits are the same text wherever their files are.
    ///
    /// # Errors
    /// [`Error::EditFile`] for a tensor that has not been read, and for edits by row, which belong to one batch.
    pub fn to_json(&self) -> Result<Value> {
        let mut edits = self.clone();
        if let Some(number) = self.0.iter().position(|edit| edit.rows.is_some() || edit.strengths.is_some()) {
            let reason = format!("edit {number} is for certain rows of a batch");
            let hint = "what is recorded holds for all prompts; take `rows` and `strengths` out";
            return Err(Error::EditFile { path: "edits".into(), reason, hint });
        }
        let refuse = |reason: String| Error::EditFile { path: "edits".into(), reason, hint: UNREAD };
        for (number, edit) in edits.0.iter_mut().enumerate() {
            let Some(values) = edit.change.values_mut() else { continue };
            if !values.is_read() {
                return Err(refuse(format!("the tensor of edit {number} was not read")));
            }
            *values = values.nowhere();
        }
        serde_json::to_value(&edits).map_err(|e| refuse(e.to_string()))
    }
}

/// What to do about a tensor that is only referred to.
pub(super) const UNREAD: &str = "read edits with Edits::load, or their tensors with Edits::resolve";

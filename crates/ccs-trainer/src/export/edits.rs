//! A direction as an edit of activations, as `llama-ccs extract` and the library `llama-core` read them.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use super::linear::{File, single};
use crate::error::write_error;
use crate::run_dir::fitted::Fitted;
use crate::{Error, Result, files};

/// The version of a file of edits.
const SCHEMA: u32 = 1;
/// The tensor's name.
const TENSOR: &str = "direction";

/// The edit, and its tensor beside it. At the token that the probe reads; a probe of several tokens' mean, at all of them.
pub(super) fn files(fitted: &Fitted, direction: &[f64], out: &Path) -> Result<Vec<File>> {
    let sidecar = out.with_extension("edits.safetensors");
    let Some(name) = sidecar.file_name().and_then(|name| name.to_str()) else {
        return Err(Error::Setting {
            name: "out",
            value: out.display().to_string(),
            reason: "the name must be Unicode, to stand in the JSON",
            hint: "call it NAME.json",
        });
    };
    let bytes = single(direction);
    let shape = vec![direction.len()];
    let view =
        TensorView::new(Dtype::F32, shape.clone(), &bytes).map_err(|e| write_error("the edits", &e))?;
    let tensors = safetensors::serialize([(TENSOR, view)], None).map_err(|e| write_error("the edits", &e))?;
    let reference = json!({
        "file": name, "tensor": TENSOR, "dtype": "F32", "shape": shape, "blake3": files::hash(&bytes),
    });
    let mut edit = json!({
        "points": [fitted.hook],
        "change": { "add": { "scale": 1.0, "direction": reference } },
    });
    if matches!(fitted.tokens.as_str(), "last" | "first") {
        edit["tokens"] = fitted.tokens.as_str().into();
    }
    let text = serde_json::to_string_pretty(&json!({ "schema": SCHEMA, "edits": [edit] }))
        .map_err(|e| write_error("the edits", &e))?;
    Ok(vec![(sidecar, tensors), (out.to_owned(), (text + "\n").into_bytes())])
}

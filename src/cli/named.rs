//! Models and data that are given by their names on the Hugging Face hub.

use std::path::{Path, PathBuf};

/// Without the feature there is none; a name is then a path that does not exist.
type AnyError = Box<dyn std::error::Error>;

/// The path of a model.
pub(super) fn model(given: &Path) -> Result<PathBuf, AnyError> {
    #[cfg(feature = "hub")]
    return Ok(hub::program::model(given)?);
    #[cfg(not(feature = "hub"))]
    Ok(given.to_owned())
}

/// The path of a tokenizer, or of a model of which only the tokenizer is read.
pub(super) fn tokenizer(given: &Path) -> Result<PathBuf, AnyError> {
    #[cfg(feature = "hub")]
    return Ok(hub::program::tokenizer(given)?);
    #[cfg(not(feature = "hub"))]
    Ok(given.to_owned())
}

/// The path of a data file.
pub(super) fn data(given: &Path) -> Result<PathBuf, AnyError> {
    #[cfg(feature = "hub")]
    return Ok(hub::program::data(given)?);
    #[cfg(not(feature = "hub"))]
    Ok(given.to_owned())
}

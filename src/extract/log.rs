//! `log.jsonl`: when and where things happened. The one file of a store that differs from run to run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Result;

/// Appends to a store's `log.jsonl`.
pub(super) struct Log {
    /// None where another process has the store.
    path: Option<PathBuf>,
}

impl Log {
    pub(super) fn new(store: &Path) -> Self {
        Self { path: Some(store.join("log.jsonl")) }
    }

    /// Of a process that has no store.
    #[cfg(feature = "distributed")]
    pub(super) fn none() -> Self {
        Self { path: None }
    }

    /// One line: Unix time in seconds, the event, what belongs to it.
    pub(super) fn write(&self, event: &str, detail: &serde_json::Value) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let line = serde_json::json!({ "time": time, "event": event, "detail": detail });
        let mut file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
        Ok(file.write_all(format!("{line}\n").as_bytes())?)
    }
}

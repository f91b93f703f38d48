//! `log.jsonl`: when and where things happened. The one file of a store that differs from run to run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Result;

/// Appends to a store's `log.jsonl`.
pub(super) struct Log {
    path: PathBuf,
}

impl Log {
    pub(super) fn new(store: &Path) -> Self {
        Self { path: store.join("log.jsonl") }
    }

    /// One line: Unix time in seconds, the event, what belongs to it.
    pub(super) fn write(&self, event: &str, detail: &serde_json::Value) -> Result<()> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let line = serde_json::json!({ "time": time, "event": event, "detail": detail });
        let mut file = fs_err::OpenOptions::new().create(true).append(true).open(&self.path)?;
        Ok(file.write_all(format!("{line}\n").as_bytes())?)
    }
}

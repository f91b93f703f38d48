//! Rates that were measured before, in a folder of the user's: one small JSON file for each machine and shape. What cannot
//! be read is measured again, what cannot be written is not remembered, and neither is an error.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Rates;
use crate::checkpoint::IdentityCache;

const SCHEMA: u32 = 1;
/// Bytes of an entry.
const MOST: u64 = 1 << 16;

/// What rates depend on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    schema: u32,
    libtorch: String,
    /// [`torch_runtime::machine::kernels`].
    kernels: Vec<(String, String)>,
    cpu_capability: String,
    threads: i32,
    shapes: [[i64; 2]; 4],
}

#[derive(Serialize, Deserialize)]
struct Entry {
    machine: Machine,
    rates: Rates,
}

impl Machine {
    /// This machine, as the process uses it.
    pub(super) fn here(shapes: [[i64; 2]; 4]) -> Self {
        let kernels = torch_runtime::machine::kernels().into_iter();
        Self {
            schema: SCHEMA,
            libtorch: torch_runtime::loaded_version(),
            kernels: kernels.map(|(name, value)| (name.to_owned(), value)).collect(),
            cpu_capability: torch_runtime::cpu_capability(),
            threads: tch::get_num_threads(),
            shapes,
        }
    }

    pub(super) fn recall(&self, cache: &IdentityCache) -> Option<Rates> {
        let path = self.path(cache)?;
        let kept = fs_err::metadata(&path).ok()?;
        if !kept.is_file() || kept.len() > MOST {
            return None;
        }
        let entry: Entry = serde_json::from_slice(&fs_err::read(&path).ok()?).ok()?;
        let sound = entry.rates.f32.is_sound() && entry.rates.bf16.is_sound();
        (entry.machine == *self && sound).then_some(entry.rates)
    }

    pub(super) fn remember(self, cache: &IdentityCache, rates: &Rates) {
        let Some(path) = self.path(cache) else { return };
        let write = || {
            fs_err::create_dir_all(path.parent().unwrap_or(&path))?;
            host::files::replace(&path, &serde_json::to_vec(&Entry { machine: self, rates: *rates })?)
        };
        if let Err(error) = write() {
            tracing::debug!("rates were not remembered: {error}");
        }
    }

    fn path(&self, cache: &IdentityCache) -> Option<PathBuf> {
        let name = blake3::hash(&serde_json::to_vec(self).ok()?).to_hex();
        Some(cache.folder()?.join("kernels").join(format!("{}.json", &name[..32])))
    }
}

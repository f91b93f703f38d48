//! What tells one model from another: a hash that covers every byte of its tensors, and its configuration.
//!
//! Each tensor has a hash of its own, of its bytes as the file holds them, and the model's is made of those. So a process
//! that reads a part of a model can hash that part, and the whole is put together from parts ([`combine`]). Folders and
//! file names do not count, nor how tensors are divided among files.

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::container::mapped::Mapped;
use crate::config::Config;
use crate::error::{Error, Result};

mod cache;
mod stamp;
mod tree;

pub use cache::IdentityCache;
pub(super) use stamp::Stamp;

/// What the hash is of, so that no other hash of the same bytes equals it.
const CONTEXT: &str = "LLaMA-CCS model identity, schema 1: configuration, then tensors by name";

/// A tensor's bytes in a file, to be hashed.
pub(super) struct Hashed<'c> {
    pub(super) name: String,
    /// The element type as people write it, and whatever else says how bytes become numbers.
    pub(super) kind: String,
    pub(super) shape: Vec<i64>,
    pub(super) path: &'c Path,
    pub(super) map: &'c Mapped,
    pub(super) bytes: Range<usize>,
}

/// The hash of one tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorHash {
    /// Its name in the file; with `#rank` where model-parallel files hold parts of one name.
    pub name: String,
    /// The type it is stored in.
    pub kind: String,
    /// Its shape in the file.
    pub shape: Vec<i64>,
    /// BLAKE3 of its bytes, in hex.
    pub hash: String,
}

/// The hashes that a checkpoint's files had when it was last asked, and when that was.
pub(super) type Known = Mutex<Option<(Vec<Stamp>, Vec<TensorHash>)>>;

/// Hashes of tensors, in the given order.
///
/// `progress` is told the bytes that are done and those there are.
///
/// # Errors
/// A thread that died.
pub(super) fn hash(tensors: &[Hashed<'_>], progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<TensorHash>> {
    let bytes: Vec<_> = tensors.iter().map(|tensor| (tensor.map, tensor.bytes.clone())).collect();
    let hashes = tree::hash(&bytes, progress)?;
    let named = tensors.iter().zip(hashes).map(|(tensor, hash)| TensorHash {
        name: tensor.name.clone(),
        kind: tensor.kind.clone(),
        shape: tensor.shape.clone(),
        hash: hash.to_hex().to_string(),
    });
    Ok(named.collect())
}

/// All tensors' hashes: those that this process knows, those that the cache remembers, the others computed.
pub(super) fn all(
    tensors: Vec<Hashed<'_>>,
    known: &Known,
    cache: &IdentityCache,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<TensorHash>> {
    let mut files: Vec<(&Path, &Mapped, Vec<Hashed<'_>>)> = Vec::new();
    for tensor in tensors {
        match files.iter_mut().find(|(path, ..)| *path == tensor.path) {
            Some((.., own)) => own.push(tensor),
            None => files.push((tensor.path, tensor.map, vec![tensor])),
        }
    }
    let stamps: Vec<Stamp> =
        files.iter().map(|(path, ..)| Stamp::of(path)).collect::<std::io::Result<_>>()?;
    if let Ok(known) = known.lock()
        && let Some((at, hashes)) = &*known
        && *at == stamps
        && stamps.iter().all(Stamp::is_known)
    {
        return Ok(hashes.clone());
    }
    let mut recalled: Vec<Option<Vec<TensorHash>>> = Vec::with_capacity(files.len());
    for ((_, map, own), stamp) in files.iter().zip(&stamps) {
        recalled.push(if map.stamp() == stamp { cache.recall(stamp, own) } else { None });
    }
    let size = |own: &[Hashed<'_>]| own.iter().map(|tensor| tensor.bytes.len() as u64).sum::<u64>();
    let missing: u64 = files
        .iter()
        .zip(&recalled)
        .filter(|(_, known)| known.is_none())
        .map(|((.., own), _)| size(own))
        .sum();
    if missing > 0 {
        tracing::debug!("hashing {missing} bytes of weights");
    }
    let (mut hashes, mut before) = (Vec::new(), 0);
    for (((path, map, own), stamp), recalled) in files.iter().zip(&stamps).zip(recalled) {
        hashes.extend(if let Some(recalled) = recalled {
            recalled
        } else {
            let quiet = stamp.is_quiet();
            let computed = hash(own, &mut |done, _| progress(before + done, missing))?;
            before += size(own);
            // A file that is written to meanwhile, or was a moment ago, could change again without its times saying so.
            if quiet && map.stamp() == stamp && Stamp::of(path)? == *stamp {
                cache.remember(stamp, &computed);
            }
            computed
        });
    }
    if let Ok(mut known) = known.lock() {
        *known = Some((stamps, hashes.clone()));
    }
    Ok(hashes)
}

/// A model's identity, from the hashes of all its tensors in any order.
///
/// # Errors
/// A tensor of the checkpoint whose hash is not among them, or one too many.
pub(super) fn combine(
    config: &Config,
    tensors: &[Hashed<'_>],
    mut hashes: Vec<TensorHash>,
) -> Result<String> {
    hashes.sort_by(|a, b| a.name.cmp(&b.name));
    let mut described: Vec<_> = tensors.iter().map(|t| (&t.name, &t.kind, &t.shape)).collect();
    described.sort();
    if !described.iter().copied().eq(hashes.iter().map(|h| (&h.name, &h.kind, &h.shape))) {
        let path = tensors.first().map_or(Path::new(""), |tensor| tensor.path);
        return Err(Error::WeightFile {
            path: path.to_owned(),
            reason: format!("{} hashes do not cover its {} tensors, each once", hashes.len(), tensors.len()),
            hint: "hash every tensor of the model in exactly one process".to_owned(),
        });
    }
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    field(&serde_json::to_vec(config).map_err(std::io::Error::from)?);
    for TensorHash { name, kind, shape, hash } in &hashes {
        field(name.as_bytes());
        field(kind.as_bytes());
        field(format!("{shape:?}").as_bytes());
        field(hash.as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

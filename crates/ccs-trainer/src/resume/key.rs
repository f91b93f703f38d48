//! The key of a cache: runs with the same key compute the same.

use std::collections::BTreeMap;

use tch::Device;

use crate::Result;
use crate::resume::sealed;
use crate::settings::Settings;
use crate::source::Source;

/// The version of the cache: raised whenever the same settings and data give other numbers, or the files change.
const SCHEMA: u32 = 10;

/// A hash of the running program: a new build may compute otherwise under the same version. None where it cannot be read.
fn program() -> Option<String> {
    let mut file = fs_err::File::open(std::env::current_exe().ok()?).ok()?;
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut file, &mut hasher).ok()?;
    Some(hasher.finalize().to_hex().as_str().to_owned())
}

/// Everything that a layer's outcome and diagnostics depend on.
pub(crate) fn about(
    source: &dyn Source,
    settings: &Settings,
    device: Device,
    split: &str,
) -> serde_json::Value {
    let rows = source.rows();
    serde_json::json!({
        "schema": SCHEMA,
        "version": concat!("ccs ", env!("CARGO_PKG_VERSION")),
        "program": program(),
        "libtorch": torch_runtime::loaded_version(),
        "cpu_capability": torch_runtime::cpu_capability(),
        "kernels": torch_runtime::machine::kernels().into_iter().collect::<BTreeMap<_, _>>(),
        "device": format!("{:?}", device),
        "settings": settings,
        "split": split,
        "data": source.identity(),
        "made_by": source.made_by(),
        "tokens": source.tokens(),
        "layers": source.layers().iter().map(|l| (l.layer, &l.hook)).collect::<Vec<_>>(),
        "rows": [&rows.ids, &rows.groups, &rows.questions, &rows.templates],
        "labels": rows.labels,
        "columns": rows.columns,
        "answers": [&rows.answer_logprob, &rows.answer_logprob_mean],
    })
}

/// A hash of [`about`].
pub(crate) fn key(about: &serde_json::Value) -> Result<String> {
    let hash = blake3::hash(&sealed::text(about)?).to_hex();
    Ok(hash.as_str().chars().take(32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_program_has_a_hash() {
        let hash = program().unwrap();
        assert_eq!((hash.len(), program()), (64, Some(hash)));
    }
}

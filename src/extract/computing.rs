//! What an extraction is computed in, and by which kernels.

use std::path::Path;

use activations::Manifest;
use activations::provenance::Provenance;
use llama_core::tch::Device;
use llama_core::{Checkpoint, IdentityCache, Kernels, Precision, Suited};

use crate::error::Result;

/// What an extraction into a folder is computed in, and by which kernels: what is given, otherwise what a store that was
/// begun there records, so that it is continued with the same bytes, otherwise what is fastest here
/// ([`Checkpoint::suited`]).
///
/// ```no_run
/// use llama_ccs::llama_core::{Checkpoint, IdentityCache, tch::Device};
/// use llama_ccs::{Extraction, computing};
///
/// let checkpoint = Checkpoint::open("llama-7b")?;
/// let tokenizer = checkpoint.tokenizer()?;
/// let suited = computing(&checkpoint, "store", Device::Cpu, (None, None), &IdentityCache::of_user())?;
/// println!("{suited}");
/// let extraction = Extraction::new(&checkpoint, &tokenizer).precision(suited.precision).kernels(suited.kernels);
/// # Ok::<(), llama_ccs::Error>(())
/// ```
///
/// # Errors
/// What LibTorch refuses while it is measured.
pub fn computing(
    checkpoint: &Checkpoint,
    out: impl AsRef<Path>,
    device: Device,
    (precision, kernels): (Option<Precision>, Option<Kernels>),
    cache: &IdentityCache,
) -> Result<Suited> {
    // What is wrong with a store is said where it is opened.
    let begun = Manifest::read(out).map(|manifest| manifest.provenance()).unwrap_or_default();
    if let Some(recorded) = recorded_precision(&begun) {
        let kernels = kernels.or_else(|| recorded_kernels(&begun)).unwrap_or_default();
        return Ok(Suited::given(precision.unwrap_or(recorded), kernels, "as the store was begun"));
    }
    Ok(checkpoint.suited(device, (precision, kernels), cache)?)
}

/// The number of threads that a store's states were computed with, if there is a store: it is continued with as many.
pub fn recorded_threads(out: impl AsRef<Path>) -> Option<usize> {
    let threads = Manifest::read(out).ok()?.provenance().extraction?.threads?;
    usize::try_from(threads).ok()
}

/// What states were computed in.
pub(crate) fn recorded_precision(provenance: &Provenance) -> Option<Precision> {
    provenance.precision()?.parse().ok()
}

/// The kernels that computed states.
pub(crate) fn recorded_kernels(provenance: &Provenance) -> Option<Kernels> {
    let recorded = provenance.extraction.as_ref()?.kernels.as_ref()?;
    let part = |name: &str| Some(format!("{name}={}", recorded.get(name)?));
    format!("{},{}", part("products")?, part("attention")?).parse().ok()
}

/// Kernels as [`recorded_kernels`] reads them.
pub(crate) fn record(kernels: Kernels) -> [(String, String); 2] {
    [("products", kernels.products.to_string()), ("attention", kernels.attention.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_kernels_are_read_again() {
        for text in ["products=packed,attention=products", "products=plain,attention=fused"] {
            let kernels: Kernels = text.parse().expect("kernels");
            let extraction = activations::provenance::Extraction {
                kernels: Some(
                    record(kernels).into_iter().chain([("cpu".to_owned(), "x".to_owned())]).collect(),
                ),
                precision: Some("mixed".to_owned()),
                ..Default::default()
            };
            let provenance = Provenance { extraction: Some(extraction), ..Default::default() };
            assert_eq!(recorded_kernels(&provenance), Some(kernels));
            assert_eq!(recorded_precision(&provenance), Some(Precision::Mixed));
        }
        assert_eq!(recorded_kernels(&Provenance::default()), None);
    }
}

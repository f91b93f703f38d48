//! Values of flags that several commands have.

use std::path::PathBuf;

use host::program::Hinted;
pub(crate) use host::program::at_least_one;
use llama_ccs::llama_core::{self, Checkpoint, Tokenizer};

use super::named;

/// Any error of a command; its chain is what the user reads.
pub(crate) type AnyError = Box<dyn std::error::Error>;

/// The tokenizer given, or the one in or beside the model.
pub(crate) fn tokenizer(given: Option<&PathBuf>, model: Option<&Checkpoint>) -> Result<Tokenizer, AnyError> {
    let given = given.map(|given| named::tokenizer(given)).transpose()?;
    let tokenizer = match (&given, model) {
        // A GGUF file's tokenizer is a part of it.
        (Some(path), _) if path.extension().is_some_and(|e| e == "gguf") => {
            Checkpoint::open(path)?.tokenizer()?
        }
        (Some(path), _) => Tokenizer::open(path)?,
        (None, Some(model)) => model.tokenizer()?,
        (None, None) => {
            return Err(Hinted::new("no tokenizer", "give --tokenizer FILE or --model PATH").into());
        }
    };
    Ok(match model {
        Some(model) => tokenizer.for_model(model.config()),
        None => tokenizer,
    })
}

/// `--dtype`.
pub(crate) fn precision(name: &str) -> Result<llama_core::Precision, String> {
    name.parse()
}

/// `--kernels`.
pub(crate) fn kernels(text: &str) -> Result<llama_core::Kernels, String> {
    text.parse()
}

/// `4GiB`, `500MB`, `2000000000`: bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 10] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("G", 1 << 30),
        ("B", 1),
    ];
    let found = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit) = found.unwrap_or((text, 1));
    let wrong = || format!("`{text}` is no size; write 4GiB, 500MB or a number of bytes");
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let bytes = number * unit as f64;
    if bytes >= 1.0 && bytes <= u64::MAX as f64 { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in
            [("4GiB", 4 << 30), ("4G", 4 << 30), ("1.5 GB", 1_500_000_000), ("512MiB", 512 << 20), ("17", 17)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "GiB", "-1GiB", "4 gigs", "NaN", "0", "1e40"] {
            assert!(size(bad).expect_err(bad).contains("4GiB"), "{bad}");
        }
    }
}

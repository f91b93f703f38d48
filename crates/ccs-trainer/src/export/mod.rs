//! A probe for other programs: as coefficients that read states, and as a direction that is added to them.
//!
//! The two are different vectors. A probe reads w·(h − μ)/σ, so it *reads* the states with w/σ ([`ExportFormat::Npy`],
//! [`ExportFormat::Json`]); what *moves* a normalized state along w is σ·w ([`ExportFormat::Gguf`],
//! [`ExportFormat::Edits`], and `direction` in the JSON).

mod edits;
mod gguf;
mod json;
mod linear;
mod npy;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use linear::Linear;

use crate::run_dir::fitted::Fitted;
use crate::{Error, Result, files};

/// A format for other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportFormat {
    /// A control vector as llama.cpp reads it: what to add to the residual stream after one block.
    Gguf,
    /// NumPy: the coefficients on the plus and on the minus state, \[2, D\], and the bias \[1\] in `NAME.bias.npy`.
    Npy,
    /// Coefficients and intercept as scikit-learn's `LogisticRegression` keeps them, and what else there is to say.
    Json,
    /// What `llama-ccs extract` takes as edits: JSON, with a `NAME.edits.safetensors` beside it.
    Edits,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gguf, Self::Npy, Self::Json, Self::Edits];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gguf => "gguf",
            Self::Npy => "npy",
            Self::Json => "json",
            Self::Edits => "edits",
        }
    }
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ExportFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| Error::Setting {
            name: "format",
            value: format!("`{name}`"),
            reason: "the formats are gguf, npy, json, edits",
            hint: "take one of these",
        })
    }
}

/// Writes a probe in a format for other programs, over what is there of that name, and says which files it wrote.
///
/// ```no_run
/// use ccs_report::Method;
/// use ccs_trainer::{ExportFormat, Fitted, export};
///
/// let fitted = Fitted::open("out/run", Method::LR, None)?;
/// export(&fitted, ExportFormat::Gguf, "out/truth.gguf")?; // llama-cli --control-vector out/truth.gguf
/// # Ok::<(), ccs_trainer::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoDirection`] for a probe with hidden layers or without weight, and, as a control vector, for states other than
/// the residual stream after a block that llama.cpp can change: any but the first. The file system's.
pub fn export(fitted: &Fitted, format: ExportFormat, out: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let (out, linear) = (out.as_ref(), Linear::of(fitted)?);
    let written = match format {
        ExportFormat::Gguf => vec![(out.to_owned(), gguf::bytes(gguf::block(fitted)?, &linear.step))],
        ExportFormat::Npy => npy::files(&linear.all, out)?,
        ExportFormat::Json => vec![(out.to_owned(), json::bytes(fitted, &linear)?)],
        ExportFormat::Edits => edits::files(fitted, &linear.step, out)?,
    };
    for (path, bytes) in &written {
        files::replace(path, bytes)?;
    }
    Ok(written.into_iter().map(|(path, _)| path).collect())
}

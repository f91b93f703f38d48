//! What can go wrong.

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is not a report that this version reads.
    #[error("not a report: {reason}")]
    Report {
        /// What is wrong.
        reason: String,
    },
    /// A page or a document could not be made.
    #[error("{what} cannot be made: {reason}")]
    Write {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Report { .. } => "`ccs fit` writes report.json; make it again",
            Self::Write { .. } => "this is a bug; please report it with the command",
        };
        Some(hint.to_owned())
    }
}

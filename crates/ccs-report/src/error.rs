//! What can go wrong.

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Messages end in a line `hint: …`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is not a report that this version reads.
    #[error(
        "not a report: {reason}\nhint: `report.json` is what `ccs fit` writes; make it again if it was changed"
    )]
    Report {
        /// What is wrong.
        reason: String,
    },
    /// A page, a plot or a document could not be made.
    #[error("{what} cannot be written: {reason}\nhint: please report it, with the command")]
    Write {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

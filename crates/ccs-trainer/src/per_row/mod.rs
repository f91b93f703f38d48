//! A run row by row: what each row is, and what every method at its chosen layer predicts for it.

pub(crate) mod about;
pub(crate) mod examples;
pub(crate) mod explore;
pub(crate) mod predictions;
pub(crate) mod read;
pub(crate) mod table;

//! The jobs: a fit of one data set, and a sweep over several.

#[cfg(feature = "distributed")]
mod among;
mod assemble;
pub(crate) mod fit;
mod layers;
pub(crate) mod sweep;

//! Tests of the store as its users see it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests are tests; clippy sees only #[test]"
)]

mod corrupt;
mod cost;
mod damage;
mod export;
mod full;
mod kill;
mod numpy;
mod refuse;
mod resume;
mod round_trip;
mod support;
mod token_texts;

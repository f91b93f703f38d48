//! Names to files, against a hub on the loopback and caches as `huggingface_hub` leaves them.
// clippy.toml allows these in tests, but not in the functions that tests share.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod caches;
mod data;
mod failures;
mod models;
mod support;

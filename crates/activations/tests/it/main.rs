//! Tests of the store as its users see it.

mod corrupt;
mod export;
mod full;
mod kill;
mod numpy;
mod refuse;
mod resume;
mod round_trip;
mod support;

//! llama-core from the outside: goldens, identities of the hook points, checkpoints whole and damaged, generation.

mod checkpoint;
mod generate;
mod golden;
mod hooks;
mod padding;
mod support;

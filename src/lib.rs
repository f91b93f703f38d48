//! Read what a LLaMA believes.

pub use llama_core;
pub use torch_runtime;

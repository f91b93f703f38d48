//! The examples start without cargo too: LibTorch's folder goes into their rpath.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Ok(lib) = std::env::var("DEP_LLAMA_CCS_TORCH_LIB") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
        // Beside a checkout that was moved: target/release/examples/….
        println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../../../.libtorch/torch/lib");
    }
}

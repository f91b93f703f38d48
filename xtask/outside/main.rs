//! A program outside the workspace: loads a model, captures the residual stream of two prompts, prints its shapes.

use llama_ccs::llama_core::{Batch, Capture, Checkpoint, Forward, HookSet, Llama, Precision, Tokens};
use llama_ccs::torch_runtime;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("give a model's folder")?;
    let checkpoint = Checkpoint::open(folder)?;
    let tokenizer = checkpoint.tokenizer()?;
    let llama = Llama::load(&checkpoint, Precision::F32, torch_runtime::open("cpu")?)?;

    let batch = Batch::new(&[tokenizer.ids("Is the sky blue?")?, tokenizer.ids("Is it?")?])?;
    let mut capture = Capture::new(HookSet::residual_stream(checkpoint.config().n_layers), Tokens::Last);
    llama.forward(&batch, Forward::new().hook(&mut capture))?;
    for (point, state) in capture.finish() {
        println!("{point} {:?}", state.size());
    }
    Ok(())
}

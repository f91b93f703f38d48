//! A control vector as llama.cpp reads it: GGUF with one tensor `direction.N`, added to the residual stream after block N.
//!
//! llama.cpp counts blocks from 0 and has no direction for block 0. `direction.N` is thus added where
//! `blocks.N.hook_resid_post` is, our layer N + 1, at every token. Of the metadata it reads none; the keys are those that
//! its own generator writes.

use super::linear::{no_direction, single};
use crate::run_dir::fitted::Fitted;
use crate::{Error, Result};

/// The numbers begin at a multiple of this, GGUF's default.
const ALIGNMENT: usize = 32;
/// Types of values and of tensors.
const UINT32: u32 = 4;
const STRING: u32 = 8;
const F32: u32 = 0;

/// The block after which a probe's states are, if llama.cpp can change them.
pub(super) fn block(fitted: &Fitted) -> Result<usize> {
    let refuse = |why| -> Error { no_direction(fitted, why) };
    let block = fitted.hook.strip_prefix("blocks.").and_then(|rest| rest.strip_suffix(".hook_resid_post"));
    match block.and_then(|number| number.parse().ok()) {
        Some(0) => {
            Err(refuse("llama.cpp changes the residual stream after every block but the first, whose it is"))
        }
        Some(block) => Ok(block),
        None => Err(refuse(
            "llama.cpp changes the residual stream after a block, and the probe reads something else",
        )),
    }
}

/// The file. `direction`: D numbers.
pub(super) fn bytes(block: usize, direction: &[f64]) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    let text = |file: &mut Vec<u8>, text: &str| {
        file.extend((text.len() as u64).to_le_bytes());
        file.extend(text.as_bytes());
    };
    file.extend(3u32.to_le_bytes()); // version
    file.extend(1u64.to_le_bytes()); // tensors
    file.extend(3u64.to_le_bytes()); // keys
    for (key, value) in [("general.architecture", "controlvector"), ("controlvector.model_hint", "llama")] {
        text(&mut file, key);
        file.extend(STRING.to_le_bytes());
        text(&mut file, value);
    }
    text(&mut file, "controlvector.layer_count");
    file.extend(UINT32.to_le_bytes());
    file.extend(1u32.to_le_bytes());

    text(&mut file, &format!("direction.{block}"));
    file.extend(1u32.to_le_bytes()); // axes
    file.extend((direction.len() as u64).to_le_bytes());
    file.extend(F32.to_le_bytes());
    file.extend(0u64.to_le_bytes()); // after the padding
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file.extend(single(direction));
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file
}

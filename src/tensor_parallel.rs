//! One model held by all ranks together: llama-core's exchange between them, over c10d.

use boolq::TokenizedPair;
use ccs_trainer::Fitted;
use llama_core::tch::{Device, Tensor};
use llama_core::{Checkpoint, Config, Kernels, Llama, Precision, Together, Tokenizer};
use torch_runtime::dist::{Group, Ranks};

use crate::error::{Error, Result};
use crate::predict::{PredictOptions, Predicted, predict_with};

/// A group as llama-core sees it. It carries tensors of the CPU; those of other devices go by way of it.
struct Exchange(Group);

impl Together for Exchange {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn sum(&self, tensor: &Tensor) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if tensor.device() == Device::Cpu {
            return Ok(self.0.sum(tensor)?);
        }
        let here = tensor.f_to_device(Device::Cpu)?;
        self.0.sum(&here)?;
        Ok(tensor.f_alias()?.f_copy_(&here)?)
    }

    fn all_gather(&self, tensor: &Tensor) -> Result<Tensor, Box<dyn std::error::Error + Send + Sync>> {
        let all = Group::gather(&self.0, &tensor.f_to_device(Device::Cpu)?)?;
        Ok(all.f_to_device(tensor.device())?)
    }
}

/// What ranks exchange that hold a model together, for [`Llama::sharded`]. All ranks call it, and drive what comes of it from
/// one thread each.
///
/// # Errors
/// A rank that is lost.
pub fn exchange(ranks: &Ranks) -> Result<Box<dyn Together>> {
    Ok(Box::new(Exchange(ranks.group(&ranks.call("tensor parallel"))?)))
}

/// This rank's part of a model that all ranks hold together, computed by these kernels. All ranks call it.
///
/// # Errors
/// [`Error::TensorParallel`] if the model cannot be divided among the ranks; as [`Llama::sharded`] otherwise.
pub fn sharded(
    ranks: &Ranks,
    checkpoint: &Checkpoint,
    (precision, kernels): (Precision, Kernels),
    device: Device,
) -> Result<Llama> {
    check(checkpoint.config(), ranks.size(), ranks, None)?;
    Ok(Llama::sharded(checkpoint, precision, device, exchange(ranks)?)?.with_kernels(kernels)?)
}

/// [`predict()`](crate::predict()) by a model that all ranks hold together, the same on all of them.
///
/// # Errors
/// As [`predict()`](crate::predict()) and [`sharded`].
pub fn predict_together(
    ranks: &Ranks,
    fitted: &Fitted,
    checkpoint: &Checkpoint,
    tokenizer: &Tokenizer,
    pairs: &[TokenizedPair],
    options: &PredictOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Predicted> {
    let mut load = |computing, _| Ok((sharded(ranks, checkpoint, computing, options.device)?, 0));
    let found = predict_with(&mut load, (fitted, checkpoint, tokenizer), pairs, options, progress);
    found.map_err(|error| ranks.explained(error))
}

/// Whether so many processes can hold a model together: all there are, and no stages of it.
pub(crate) fn check(config: &Config, wanted: usize, ranks: &Ranks, stages: Option<usize>) -> Result<()> {
    let refuse = |reason: String| Err(Error::TensorParallel { wanted, reason });
    if let Some(stages) = stages.filter(|stages| *stages > 1) {
        return refuse(format!("they would have to be {stages} stages as well, which is not there yet"));
    }
    match Llama::check_ranks(config, wanted) {
        Err(llama_core::Error::Shard { reason }) => refuse(reason),
        Err(error) => Err(error.into()),
        Ok(()) if wanted != ranks.size() => refuse(format!("there are {}", ranks.size())),
        Ok(()) => Ok(()),
    }
}

//! What a hook sees where ranks hold a model together: the whole activation, on every rank.

use tch::Tensor;

use super::{Axis, HookPoint, Hooks, Tokens};
use crate::error::Result;
use crate::shard::{Divided, Shard};

/// The axis of a point that is divided among ranks. (Logits are whole before hooks see them.)
fn divided(point: HookPoint) -> Option<(usize, Divided)> {
    let of = |axis: &Axis| match axis {
        Axis::Head => Some(Divided::Heads),
        Axis::KvHead => Some(Divided::KvHeads),
        Axis::Hidden => Some(Divided::Hidden),
        _ => None,
    };
    point.axes().iter().enumerate().find_map(|(axis, what)| Some((axis, of(what)?)))
}

/// An activation of which this rank has a part; `None` where it has all of it.
pub(super) fn gathered(shard: &Shard, point: HookPoint, part: &Tensor) -> Result<Option<Tensor>> {
    if shard.is_whole() {
        return Ok(None);
    }
    divided(point).map(|(axis, of)| shard.gathered(part, axis, of)).transpose()
}

/// What this rank goes on with of what replaced an activation, laid out as its own part was.
pub(super) fn own(shard: &Shard, point: HookPoint, whole: Tensor, part: &Tensor) -> Result<Tensor> {
    match divided(point) {
        Some((axis, of)) if !shard.is_whole() => laid_out_like(part, &shard.cut(&whole, axis, of)?),
        _ => Ok(whole),
    }
}

/// A replacement on the device, in the type and with the strides of what it replaces: some kernels round differently by
/// memory layout, and tokens that nobody changed must keep every bit.
pub(super) fn laid_out_like(tensor: &Tensor, new: &Tensor) -> Result<Tensor> {
    let new = new.f_to_device(tensor.device())?.f_to_kind(tensor.kind())?;
    let strides = tensor.stride();
    if new.stride() == strides {
        return Ok(new);
    }
    let mut same = Tensor::f_empty_strided(&*tensor.size(), &*strides, (tensor.kind(), tensor.device()))?;
    same.f_copy_(&new)?;
    Ok(same)
}

impl Hooks<'_, '_> {
    /// What is asked of the run, the same on all ranks that hold a model together.
    pub(crate) fn description(&self, reads: Option<&Tokens>) -> Result<Vec<u8>> {
        let tokens: Vec<i64> = Vec::try_from(self.batch.tokens.f_flatten(0, -1)?)?;
        let rest = format!("{:?} {:?} {:?} {reads:?}", self.batch.shape(), self.wanted.names(), self.logits);
        Ok([rest.into_bytes(), tokens.iter().flat_map(|id| id.to_le_bytes()).collect()].concat())
    }
}

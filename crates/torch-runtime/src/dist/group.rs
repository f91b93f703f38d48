//! Tensors exchanged between ranks.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use super::foreign::{self, GroupPtr, Problem, checked};
use super::store::{LOOK, c_string};
use super::{Communicator, Error, Nccl, Store, World};

/// Ranks that exchange tensors, over Gloo; tensors on GPUs over NCCL, where the group has it.
///
/// Every rank makes the same calls in the same order. Before numbers travel, ranks compare what they are about to send: a
/// tensor of another shape or type on another rank is an error on both, where c10d itself would add up the wrong memory or
/// wait for ever. `Send`, not `Sync`: a thread has a group of its own.
pub struct Group {
    raw: GroupPtr,
    rank: usize,
    size: usize,
    nccl: Option<Communicator>,
}

#[allow(unsafe_code)]
// SAFETY: c10d's group may be driven from any one thread; the pointer is this value's alone.
unsafe impl Send for Group {}

/// Numbers of a description: operation, type, number of axes, whether it is on a GPU, and as many sizes as any tensor here has.
const DESCRIPTION: usize = 4 + AXES;
const AXES: usize = 8;

/// What a rank is about to do.
#[derive(Clone, Copy)]
enum Operation {
    Sum,
    Broadcast,
    Gather,
    Send,
}

impl Operation {
    const ALL: [Self; 4] = [Self::Sum, Self::Broadcast, Self::Gather, Self::Send];

    fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Broadcast => "broadcast",
            Self::Gather => "gather",
            Self::Send => "send",
        }
    }
}

impl Group {
    /// A group of all ranks of the world; every rank makes it, under the same name. No exchange takes longer than the
    /// timeout. Returns when all ranks have it.
    ///
    /// # Errors
    /// [`Error::Exchange`] if ranks do not come or cannot reach each other.
    pub fn new(store: &Store, world: &World, name: &str, timeout: Duration) -> Result<Self, Error> {
        let began = Instant::now();
        Self::new_while(store, world, name, timeout, || began.elapsed() < timeout)
    }

    /// [`new`](Self::new), which waits for ranks that are still connecting only while `go_on` says so.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn new_while(
        store: &Store,
        world: &World,
        name: &str,
        timeout: Duration,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Self, Error> {
        let group = Self::connect(store, world, name, timeout)?;
        // Gloo lets a rank go on that others have yet to accept. One that left at once would be taken for lost by them.
        let met = store.under(&format!("group/{name}/met"))?;
        met.add("ranks", 1)?;
        while met.add("ranks", 0)? < world.size as i64 {
            if !go_on() {
                let problem = "other ranks are still connecting".to_owned();
                return Err(Error::Exchange { operation: "meet", rank: world.rank, problem });
            }
            std::thread::sleep(LOOK);
        }
        Ok(group)
    }

    fn connect(store: &Store, world: &World, name: &str, timeout: Duration) -> Result<Self, Error> {
        let World { rank, size, .. } = *world;
        let failed = |problem| Error::Exchange { operation: "meet", rank, problem };
        let address = std::env::var("GLOO_HOST").ok().or_else(|| world.own_address());
        let address = address.ok_or_else(|| failed(format!("there is no way to {}", world.at())))?;
        let (address, store) = (c_string(&address), store.under(&format!("group/{name}"))?);
        let mut raw = std::ptr::null_mut();
        #[allow(unsafe_code)]
        // SAFETY: store and address outlive the call, and `raw` may be written.
        checked(unsafe {
            foreign::torch_runtime_group_new(
                store.raw(),
                rank as i32,
                size as i32,
                address.as_ptr(),
                timeout.as_millis() as i64,
                &raw mut raw,
            )
        })
        .map_err(failed)?;
        Ok(Self { raw, rank, size, nccl: None })
    }

    /// Has tensors of GPUs go from GPU to GPU; every rank calls it, with the number of its own GPU. What tensors are is still
    /// compared over Gloo before they travel.
    ///
    /// # Errors
    /// As [`Communicator::new`].
    pub fn with_nccl(
        mut self,
        nccl: &Arc<Nccl>,
        store: &Store,
        name: &str,
        device: usize,
        timeout: Duration,
    ) -> Result<Self, Error> {
        self.nccl = Some(Communicator::new(nccl, store, name, device, timeout)?);
        Ok(self)
    }

    /// Where a tensor's exchange is NCCL's.
    fn on_gpu(&self, tensor: &Tensor) -> Option<&Communicator> {
        self.nccl.as_ref().filter(|_| tensor.device() != Device::Cpu)
    }

    /// This process.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The sum over all ranks, in place on every rank. All get the same bits; with more than two ranks these may depend on
    /// a number's place in the tensor.
    ///
    /// # Errors
    /// [`Error::Layout`], [`Error::Mismatch`], [`Error::Exchange`].
    pub fn sum(&self, tensor: &Tensor) -> Result<(), Error> {
        self.agree(Operation::Sum, tensor)?;
        if let Some(nccl) = self.on_gpu(tensor) {
            return nccl.sum(tensor);
        }
        #[allow(unsafe_code)]
        // SAFETY: the tensor outlives the call, which waits for the end.
        self.done("sum", unsafe { foreign::torch_runtime_group_sum(self.raw, tensor.as_ptr()) })
    }

    /// Rank `from`'s tensor, into every rank's.
    ///
    /// # Errors
    /// As [`Group::sum`].
    pub fn broadcast(&self, tensor: &Tensor, from: usize) -> Result<(), Error> {
        self.agree(Operation::Broadcast, tensor)?;
        if let Some(nccl) = self.on_gpu(tensor) {
            return nccl.broadcast(tensor, from);
        }
        #[allow(unsafe_code)]
        // SAFETY: as in `sum`.
        self.done("broadcast", unsafe {
            foreign::torch_runtime_group_broadcast(self.raw, tensor.as_ptr(), from as i32)
        })
    }

    /// Every rank's tensor, on every rank.
    ///
    /// # Shapes
    /// `tensor` \[…\] → \[ranks, …\]
    ///
    /// # Errors
    /// As [`Group::sum`].
    pub fn gather(&self, tensor: &Tensor) -> Result<Tensor, Error> {
        self.agree(Operation::Gather, tensor)?;
        match self.on_gpu(tensor) {
            Some(nccl) => nccl.all_gather(tensor),
            None => self.gathered(tensor),
        }
    }

    /// Sends to one rank, which receives. `tag` tells messages between two ranks apart.
    ///
    /// # Errors
    /// [`Error::Layout`], [`Error::Exchange`].
    pub fn send(&self, tensor: &Tensor, to: usize, tag: i32) -> Result<(), Error> {
        let description = Tensor::f_from_slice(&self.describe(Operation::Send, tensor)?)?;
        let nccl = self.on_gpu(tensor);
        for part in std::iter::once(&description).chain(nccl.is_none().then_some(tensor)) {
            #[allow(unsafe_code)]
            // SAFETY: as in `sum`.
            self.done("send", unsafe {
                foreign::torch_runtime_group_send(self.raw, part.as_ptr(), to as i32, tag)
            })?;
        }
        nccl.map_or(Ok(()), |nccl| nccl.send(tensor, to))
    }

    /// Receives what one rank sends, whatever its shape and type.
    ///
    /// # Errors
    /// [`Error::Exchange`].
    pub fn receive(&self, from: usize, tag: i32) -> Result<Tensor, Error> {
        let receive = |into: &Tensor| {
            #[allow(unsafe_code)]
            // SAFETY: as in `sum`.
            self.done("receive", unsafe {
                foreign::torch_runtime_group_receive(self.raw, into.as_ptr(), from as i32, tag)
            })
        };
        let description = Tensor::f_zeros([DESCRIPTION as i64], (Kind::Int64, Device::Cpu))?;
        receive(&description)?;
        let description: Vec<i64> = Vec::try_from(&description)?;
        let unknown = || Error::Exchange {
            operation: "receive",
            rank: self.rank,
            problem: format!("rank {from} sent something of an unknown type"),
        };
        let (kind, shape) = described(&description).ok_or_else(unknown)?;
        if description.get(3) == Some(&1) {
            let nccl = self.nccl.as_ref().ok_or_else(unknown)?;
            let tensor = Tensor::f_empty(&shape, (kind, nccl.device()))?;
            nccl.receive(&tensor, from)?;
            return Ok(tensor);
        }
        let tensor = Tensor::f_empty(&shape, (kind, Device::Cpu))?;
        receive(&tensor)?;
        Ok(tensor)
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// [`Error::Exchange`].
    pub fn barrier(&self) -> Result<(), Error> {
        #[allow(unsafe_code)]
        // SAFETY: the group is alive.
        self.done("barrier", unsafe { foreign::torch_runtime_group_barrier(self.raw) })
    }

    /// Compares what all ranks are about to do. What a rank cannot send at all, it says as well, so that nobody waits.
    fn agree(&self, operation: Operation, tensor: &Tensor) -> Result<(), Error> {
        let own = self.describe(operation, tensor);
        let sent = own.as_ref().map_or([-1; DESCRIPTION], |own| *own);
        let all = self.gathered(&Tensor::f_from_slice(&sent)?)?; // [ranks, DESCRIPTION]
        own?;
        for other in (0..self.size).filter(|other| *other != self.rank) {
            let theirs: Vec<i64> = Vec::try_from(&all.f_get(other as i64)?)?;
            if theirs != sent {
                return Err(Error::Mismatch {
                    operation: operation.name(),
                    rank: self.rank,
                    found: shown(&sent),
                    other,
                    expected: shown(&theirs),
                });
            }
        }
        Ok(())
    }

    /// What a tensor is, in numbers.
    fn describe(&self, operation: Operation, tensor: &Tensor) -> Result<[i64; DESCRIPTION], Error> {
        describe(operation, tensor, self.nccl.as_ref().map(Communicator::device))
    }

    fn gathered(&self, tensor: &Tensor) -> Result<Tensor, Error> {
        let shape = [&[self.size as i64], tensor.size().as_slice()].concat();
        let all = Tensor::f_empty(&shape, (tensor.kind(), Device::Cpu))?;
        #[allow(unsafe_code)]
        // SAFETY: both tensors outlive the call, which waits for the end.
        self.done("gather", unsafe {
            foreign::torch_runtime_group_gather(self.raw, tensor.as_ptr(), all.as_ptr())
        })?;
        Ok(all)
    }

    fn done(&self, operation: &'static str, problem: Problem) -> Result<(), Error> {
        checked(problem).map_err(|problem| Error::Exchange { operation, rank: self.rank, problem })
    }
}

/// Operation, type and shape in numbers, of a tensor on the CPU or on the group's GPU.
fn describe(operation: Operation, tensor: &Tensor, gpu: Option<Device>) -> Result<[i64; DESCRIPTION], Error> {
    let refuse = || Error::Layout { operation: operation.name() };
    if !tensor.defined() || !tensor.is_contiguous() {
        return Err(refuse());
    }
    let on_gpu = tensor.device() != Device::Cpu;
    if on_gpu && Some(tensor.device()) != gpu {
        return Err(refuse());
    }
    let shape = tensor.size();
    let kind = KINDS.iter().position(|kind| *kind == tensor.kind()).ok_or_else(refuse)?;
    if shape.len() > AXES {
        return Err(refuse());
    }
    let mut numbers = [0; DESCRIPTION];
    numbers[..4].copy_from_slice(&[operation as i64, kind as i64, shape.len() as i64, on_gpu.into()]);
    numbers[4..4 + shape.len()].copy_from_slice(&shape);
    Ok(numbers)
}

/// Types that travel, in an order that all ranks have.
const KINDS: [Kind; 8] =
    [Kind::Float, Kind::BFloat16, Kind::Half, Kind::Double, Kind::Int64, Kind::Int, Kind::Uint8, Kind::Bool];

/// Type and shape of a description.
fn described(numbers: &[i64]) -> Option<(Kind, Vec<i64>)> {
    let (kind, axes) = (*numbers.get(1)?, *numbers.get(2)?);
    let shape = numbers.get(4..4 + usize::try_from(axes).ok()?)?;
    Some((*KINDS.get(usize::try_from(kind).ok()?)?, shape.to_vec()))
}

/// A description as people read it.
fn shown(numbers: &[i64]) -> String {
    let operation = numbers.first().and_then(|n| Operation::ALL.get(usize::try_from(*n).ok()?));
    match (operation, described(numbers)) {
        (Some(operation), Some((kind, shape))) => {
            let place = if numbers.get(3) == Some(&1) { " on a GPU" } else { "" };
            format!("`{}` of {kind:?} {shape:?}{place}", operation.name())
        }
        _ => "a tensor that cannot be sent".to_owned(),
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[allow(unsafe_code)]
        // SAFETY: made by `new`, and freed once.
        unsafe {
            foreign::torch_runtime_group_free(self.raw);
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("rank", &self.rank).field("size", &self.size).finish_non_exhaustive()
    }
}

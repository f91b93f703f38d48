//! Several processes that compute together, on PyTorch's own engine: c10d, which LibTorch contains.
//!
//! A [`World`] is who a process is among others, as its launcher says it (torchrun, Slurm, MPI, or plain variables). The
//! processes of a world meet in a [`Store`] of small values, and exchange tensors in a [`Group`]. [`Heartbeat`] tells who
//! is gone. [`Ranks`] is all of that for one job: what rank 0 decides, what all agree on, who is lost.
//!
//! ```no_run
//! use std::time::Duration;
//! use torch_runtime::dist::{Group, Launcher, Store, World};
//! use torch_runtime::tch::{Device, Kind, Tensor};
//!
//! // torchrun --no-python --nproc_per_node 2 program
//! let Some(world) = World::from_env(Launcher::Environment)? else { return Ok(()) }; // one process, by itself
//! let store = Store::join(&world, Duration::from_secs(60))?;
//! let group = Group::new(&store, &world, "sums", Duration::from_secs(60))?;
//! let own = Tensor::f_full([2, 3], world.rank as f64, (Kind::Float, Device::Cpu))?;
//! group.sum(&own)?; // in place, on every rank
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here prints, and nothing of C++ reaches stderr: errors are values. Tensors are on the CPU, or on GPUs that NCCL
//! connects ([`Group::with_nccl`]).

mod communicator;
mod foreign;
mod group;
mod heartbeat;
mod lost;
mod nccl;
mod ranks;
mod store;
mod world;

pub use communicator::Communicator;
pub use group::Group;
pub use heartbeat::Heartbeat;
pub use lost::{Cause, Lost};
pub use nccl::Nccl;
pub use ranks::{Patience, Ranks};
pub use store::Store;
pub use world::{Launcher, World, own_address};

/// Why processes cannot compute together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What the launcher's variables say is incomplete or contradicts itself.
    #[error("{variable} {problem}")]
    Launcher {
        /// The variable.
        variable: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Processes that belong to the world have not come.
    #[error("ranks {} of {size} did not come within {seconds} s to {at}", list(missing))]
    Missing {
        /// Those that are missing.
        missing: Vec<usize>,
        /// How many there should be.
        size: usize,
        /// How long they were waited for.
        seconds: u64,
        /// Where they should have come to, as host:port.
        at: String,
    },
    /// Two processes came as one rank.
    #[error("another process has come to {at} as rank {rank}")]
    Twice {
        /// The rank.
        rank: usize,
        /// Where they came to, as host:port.
        at: String,
    },
    /// The store cannot be reached or served.
    #[error("the store at {at}: {problem}")]
    Store {
        /// Host and port.
        at: String,
        /// What c10d says.
        problem: String,
    },
    /// A tensor that cannot be exchanged, found before anything was sent.
    #[error("`{operation}` was given {found} on rank {rank} and {expected} on rank {other}")]
    Mismatch {
        /// The operation.
        operation: &'static str,
        /// A rank.
        rank: usize,
        /// Its tensor, or operation.
        found: String,
        /// Another rank.
        other: usize,
        /// Its tensor, or operation.
        expected: String,
    },
    /// A tensor whose numbers do not lie one after the other, or neither on the CPU nor on the GPU of a group with NCCL.
    #[error("`{operation}` needs a contiguous tensor on the CPU, or on the GPU that NCCL connects")]
    Layout {
        /// The operation.
        operation: &'static str,
    },
    /// An exchange failed: a peer is gone, or the network is.
    #[error("`{operation}` on rank {rank} failed: {problem}")]
    Exchange {
        /// The operation.
        operation: &'static str,
        /// The rank that says so.
        rank: usize,
        /// What c10d says.
        problem: String,
    },
    /// Another process of the job was lost.
    #[error("{0}")]
    Lost(Lost),
    /// The processes of a job are not of one mind; nothing was written.
    #[error("{}", objections.join("\n"))]
    Disagreement {
        /// What each of them says that differs from rank 0.
        objections: Vec<String>,
    },
    /// GPUs cannot exchange tensors: NCCL, or CUDA's runtime, is not in memory.
    #[error("NCCL is not there: {problem}")]
    NoNccl {
        /// What is missing.
        problem: String,
    },
    /// This LibTorch was built without c10d.
    #[error("this LibTorch has no c10d")]
    NoEngine,
    /// LibTorch itself.
    #[error(transparent)]
    Runtime(#[from] crate::Error),
    /// What tch refuses.
    #[error(transparent)]
    Torch(#[from] tch::TchError),
}

impl Error {
    /// The error of ranks that another one is, or was caused by.
    pub fn of<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Self> {
        std::iter::successors(Some(error), |error| error.source())
            .find_map(<dyn std::error::Error>::downcast_ref)
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Launcher { .. } => {
                "start under torchrun, or set MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE for every process"
            }
            Self::Missing { .. } => "start every rank, and let each reach that address",
            Self::Twice { .. } => {
                "give every process a RANK of its own, and every job a MASTER_PORT of its own"
            }
            Self::Store { .. } => {
                "MASTER_ADDR and MASTER_PORT are of rank 0's host; the port must be free there and reachable"
            }
            Self::Mismatch { .. } => "give every rank the same model, prompts and settings",
            Self::Layout { .. } => "`contiguous()` makes a tensor that can be sent",
            Self::Exchange { .. } => "the same command continues",
            Self::Lost(lost) => match lost.cause {
                Cause::Failed(_) => "that rank's own message says more",
                _ => "the same command continues",
            },
            Self::Disagreement { .. } => {
                "give every rank the same version, data and settings, on machines of one kind"
            }
            Self::NoNccl { .. } => {
                "a LibTorch with CUDA brings `libnccl.so.2`; without it tensors go by way of the CPU"
            }
            Self::NoEngine => "use the LibTorch that `cargo xtask libtorch` fetches",
            Self::Runtime(error) => return error.hint(),
            Self::Torch(_) => return None,
        };
        Some(hint.to_owned())
    }
}

fn list(ranks: &[usize]) -> String {
    ranks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

//! Where a run computes, and on how many threads.

use tch::Device;

use crate::source::{Layer, Source};
use crate::{Error, Result};

/// Where and how widely a run computes. Changes nothing in its results on one machine.
#[derive(Debug, Clone, Copy)]
pub struct Compute {
    /// Where the fits run.
    pub device: Device,
    /// Layers worked on at once, or folds where there are fewer layers, each with LibTorch at one thread; 0 is one for each
    /// core, fewer where the memory free at the start would not hold them, and one on a GPU.
    pub threads: usize,
}

impl Default for Compute {
    fn default() -> Self {
        Self { device: Device::Cpu, threads: 0 }
    }
}

/// How often a fit holds a layer's states, in bytes of f32: as loaded, selected, normalized in f64, in folds.
const COPIES: usize = 8;

impl Compute {
    /// How many layers are worked on at once, or fits of a layer: one on every fold, and one on all rows. `here` processes
    /// of this host share the work, and so its cores and its memory.
    pub(crate) fn workers(self, source: &dyn Source, layers: &[Layer], folds: usize, here: usize) -> usize {
        if self.threads > 0 {
            return self.threads;
        }
        if self.device != Device::Cpu {
            return 1;
        }
        let cores = (std::thread::available_parallelism().map_or(1, std::num::NonZero::get) / here).max(1);
        let dim = layers.iter().filter_map(|layer| source.dim(layer)).max().unwrap_or_default();
        let rows = source.all_tokens().unwrap_or(source.rows().labels.len());
        let layer = rows.saturating_mul(dim).saturating_mul(4 * 2 * COPIES);
        let free = torch_runtime::machine::available_memory().and_then(|free| usize::try_from(free).ok());
        let fitting = free.and_then(|free| (free / here).checked_div(layer)).unwrap_or(cores);
        cores.min(layers.len() * (folds + 1)).min(fitting).max(1)
    }
}

/// Runs `work` on its own pool whose threads use one LibTorch thread each: the order of a sum, and so its last bits,
/// must not depend on the number of cores.
pub(crate) fn in_parallel<T: Send, E: From<Error> + Send>(
    threads: usize,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, E> {
    let _restore = TorchThreads(tch::get_num_threads());
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .start_handler(|_| tch::set_num_threads(1))
        .build()
        .map_err(|e| Error::Threads { threads, reason: e.to_string() })?;
    pool.install(work)
}

/// Runs `work` here with one LibTorch thread, for the same reason.
pub(crate) fn one_thread<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let _restore = TorchThreads(tch::get_num_threads());
    tch::set_num_threads(1);
    work()
}

/// LibTorch's thread count before the run, set again when this is dropped, after a panic too.
struct TorchThreads(i32);

impl Drop for TorchThreads {
    fn drop(&mut self) {
        tch::set_num_threads(self.0);
    }
}

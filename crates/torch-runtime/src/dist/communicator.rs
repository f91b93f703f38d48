//! Tensors exchanged between GPUs, by NCCL. Everything runs on the default stream, as what tch computes does.

use std::ffi::{c_int, c_void};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use super::nccl::{Code, Comm, Functions, Nccl, SUCCESS, Stream, UniqueId, text};
use super::{Error, Store};

/// The default stream.
const STREAM: Stream = std::ptr::null_mut();
/// `cudaErrorNotReady`.
const NOT_READY: c_int = 600;
/// `ncclSum`.
const SUM: c_int = 0;
/// How often it is looked whether an exchange has ended.
const LOOK: Duration = Duration::from_micros(20);
/// How often rank 0's id is looked for.
const LOOK_FOR_ID: Duration = Duration::from_millis(5);

/// Ranks whose GPUs exchange tensors. Every rank makes the same calls in the same order; that tensors have the same shape
/// and type everywhere is the caller's to see to. `Send`, not `Sync`: a thread has a communicator of its own.
pub struct Communicator {
    nccl: Arc<Nccl>,
    /// None once it was aborted.
    raw: std::cell::Cell<Option<Comm>>,
    rank: usize,
    size: usize,
    device: c_int,
    timeout: Duration,
}

#[allow(unsafe_code)]
// SAFETY: NCCL's communicator may be driven from any one thread; the pointer is this value's alone.
unsafe impl Send for Communicator {}

impl Communicator {
    /// A communicator of all ranks of the store's world; every rank makes it, under the same name, with its own GPU. No
    /// exchange takes longer than the timeout.
    ///
    /// # Errors
    /// [`Error::Exchange`] if ranks do not come, or with what NCCL or CUDA says; [`Error::Store`].
    pub fn new(
        nccl: &Arc<Nccl>,
        store: &Store,
        name: &str,
        device: usize,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let (rank, size, key) = (store.world().rank, store.world().size, format!("nccl/{name}"));
        let id = if rank == 0 {
            let id = nccl.unique_id()?;
            store.set(&key, &id.0)?;
            id
        } else {
            let until = Instant::now() + timeout;
            let id = loop {
                if let Some(id) = store.get(&key)? {
                    break id;
                }
                if Instant::now() > until {
                    let problem = format!("rank 0 gave no id in {} s", timeout.as_secs());
                    return Err(Error::Exchange { operation: "meet", rank, problem });
                }
                std::thread::sleep(LOOK_FOR_ID);
            };
            let wrong = |_| Error::Exchange {
                operation: "meet",
                rank,
                problem: "rank 0 gave something else than an id".to_owned(),
            };
            UniqueId(id.try_into().map_err(wrong)?)
        };
        let device = c_int::try_from(device).unwrap_or(c_int::MAX);
        let met = Self { nccl: Arc::clone(nccl), raw: None.into(), rank, size, device, timeout };
        met.select_device("meet")?;
        let mut raw = std::ptr::null_mut();
        #[allow(unsafe_code)]
        // SAFETY: `raw` may be written; the id is passed by value.
        let code = unsafe { (nccl.functions.init)(&raw mut raw, size as c_int, id, rank as c_int) };
        nccl.checked("meet", rank, None, code)?;
        met.raw.set(Some(raw));
        Ok(met)
    }

    /// This rank's GPU.
    pub fn device(&self) -> Device {
        Device::Cuda(usize::try_from(self.device).unwrap_or_default())
    }

    /// The sum over all ranks, in place on every rank.
    ///
    /// # Errors
    /// [`Error::Layout`]; [`Error::Exchange`] with what NCCL says.
    pub fn sum(&self, tensor: &Tensor) -> Result<(), Error> {
        self.run("sum", tensor, |functions, comm, (numbers, count, kind)| {
            #[allow(unsafe_code)]
            // SAFETY: so many numbers of that type, in a tensor that outlives the exchange, which `run` waits for.
            unsafe {
                (functions.all_reduce)(numbers, numbers, count, kind, SUM, comm, STREAM)
            }
        })
    }

    /// Rank `from`'s tensor, into every rank's.
    ///
    /// # Errors
    /// As [`Communicator::sum`].
    pub fn broadcast(&self, tensor: &Tensor, from: usize) -> Result<(), Error> {
        self.run("broadcast", tensor, |functions, comm, (numbers, count, kind)| {
            #[allow(unsafe_code)]
            // SAFETY: as in `sum`.
            unsafe {
                (functions.broadcast)(numbers, numbers, count, kind, from as c_int, comm, STREAM)
            }
        })
    }

    /// Every rank's tensor, on every rank.
    ///
    /// # Shapes
    /// `tensor` \[…\] → \[ranks, …\]
    ///
    /// # Errors
    /// As [`Communicator::sum`].
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Tensor, Error> {
        let shape = [&[self.size as i64], tensor.size().as_slice()].concat();
        let all = Tensor::f_empty(&shape, (tensor.kind(), tensor.device()))?;
        let into = all.data_ptr();
        self.run("gather", tensor, |functions, comm, (numbers, count, kind)| {
            #[allow(unsafe_code)]
            // SAFETY: as in `sum`; `all` has room for as many of every rank.
            unsafe {
                (functions.all_gather)(numbers, into, count, kind, comm, STREAM)
            }
        })?;
        Ok(all)
    }

    /// Sends to one rank, which receives.
    ///
    /// # Errors
    /// As [`Communicator::sum`].
    pub fn send(&self, tensor: &Tensor, to: usize) -> Result<(), Error> {
        self.run("send", tensor, |functions, comm, (numbers, count, kind)| {
            #[allow(unsafe_code)]
            // SAFETY: as in `sum`.
            unsafe {
                (functions.send)(numbers, count, kind, to as c_int, comm, STREAM)
            }
        })
    }

    /// Receives what one rank sends, into a tensor of its shape and type.
    ///
    /// # Errors
    /// As [`Communicator::sum`].
    pub fn receive(&self, into: &Tensor, from: usize) -> Result<(), Error> {
        self.run("receive", into, |functions, comm, (numbers, count, kind)| {
            #[allow(unsafe_code)]
            // SAFETY: as in `sum`.
            unsafe {
                (functions.receive)(numbers, count, kind, from as c_int, comm, STREAM)
            }
        })
    }

    /// Sends one tensor and receives another at the same time, which neither order of the two could do among ranks in a ring.
    ///
    /// # Errors
    /// As [`Communicator::sum`].
    pub fn exchange(&self, own: (&Tensor, usize), other: (&Tensor, usize)) -> Result<(), Error> {
        let (send, receive) = (numbers("exchange", own.0)?, numbers("exchange", other.0)?);
        self.run_with("exchange", |functions, comm| {
            #[allow(unsafe_code)]
            // SAFETY: as in `sum`; what begins a group ends it, whatever fails between.
            unsafe {
                let start = (functions.group_start)();
                if start != SUCCESS {
                    return start;
                }
                let sent = (functions.send)(send.0, send.1, send.2, own.1 as c_int, comm, STREAM);
                let received =
                    (functions.receive)(receive.0, receive.1, receive.2, other.1 as c_int, comm, STREAM);
                let end = (functions.group_end)();
                [sent, received, end].into_iter().find(|code| *code != SUCCESS).unwrap_or(SUCCESS)
            }
        })
    }

    fn run(
        &self,
        operation: &'static str,
        tensor: &Tensor,
        enqueue: impl FnOnce(&Functions, Comm, Numbers) -> Code,
    ) -> Result<(), Error> {
        let numbers = numbers(operation, tensor)?;
        self.run_with(operation, |functions, comm| enqueue(functions, comm, numbers))
    }

    /// Begins an exchange, and waits for its end.
    fn run_with(
        &self,
        operation: &'static str,
        enqueue: impl FnOnce(&Functions, Comm) -> Code,
    ) -> Result<(), Error> {
        let Some(comm) = self.raw.get() else {
            let problem = "an earlier exchange failed".to_owned();
            return Err(Error::Exchange { operation, rank: self.rank, problem });
        };
        self.select_device(operation)?;
        let begun = enqueue(&self.nccl.functions, comm);
        let done = self
            .nccl
            .checked(operation, self.rank, Some(comm), begun)
            .and_then(|()| self.wait(operation, comm));
        if done.is_err() {
            self.abort();
        }
        done
    }

    /// Waits until everything on the stream is done, or until NCCL says that it never will be.
    fn wait(&self, operation: &'static str, comm: Comm) -> Result<(), Error> {
        let functions = &self.nccl.functions;
        let until = Instant::now() + self.timeout;
        loop {
            #[allow(unsafe_code)]
            // SAFETY: the default stream is always there.
            let state = unsafe { (functions.stream_query)(STREAM) };
            if state == SUCCESS {
                return Ok(());
            }
            if state != NOT_READY {
                return Err(self.cuda(operation, state));
            }
            let mut error = SUCCESS;
            #[allow(unsafe_code)]
            // SAFETY: the communicator is alive, and one number is written.
            let asked = unsafe { (functions.async_error)(comm, &raw mut error) };
            self.nccl.checked(operation, self.rank, Some(comm), asked)?;
            self.nccl.checked(operation, self.rank, Some(comm), error)?;
            if Instant::now() > until {
                let problem = format!("not done in {} s", self.timeout.as_secs_f64());
                return Err(Error::Exchange { operation, rank: self.rank, problem });
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Ends what is under way; nothing works after it.
    fn abort(&self) {
        if let Some(comm) = self.raw.take() {
            #[allow(unsafe_code)]
            // SAFETY: made by `new`, and freed once: `raw` is empty now.
            unsafe {
                (self.nccl.functions.abort)(comm);
            }
        }
    }

    /// NCCL and the default stream are those of the thread's device.
    fn select_device(&self, operation: &'static str) -> Result<(), Error> {
        #[allow(unsafe_code)]
        // SAFETY: takes any number.
        let code = unsafe { (self.nccl.functions.set_device)(self.device) };
        if code == SUCCESS { Ok(()) } else { Err(self.cuda(operation, code)) }
    }

    fn cuda(&self, operation: &'static str, code: Code) -> Error {
        #[allow(unsafe_code)]
        // SAFETY: takes any number, and gives a text that lives as long as the library.
        let said = text(unsafe { (self.nccl.functions.cuda_error)(code) });
        Error::Exchange { operation, rank: self.rank, problem: format!("CUDA says: {said}") }
    }
}

/// Where a tensor's numbers are, how many, and NCCL's number of their type.
type Numbers = (*mut c_void, usize, c_int);

fn numbers(operation: &'static str, tensor: &Tensor) -> Result<Numbers, Error> {
    let refuse = || Error::Layout { operation };
    if !tensor.defined() || !tensor.is_contiguous() {
        return Err(refuse());
    }
    Ok((tensor.data_ptr(), tensor.numel(), data_type(tensor.kind()).ok_or_else(refuse)?))
}

impl Drop for Communicator {
    fn drop(&mut self) {
        if let Some(comm) = self.raw.take() {
            #[allow(unsafe_code)]
            // SAFETY: made by `new`, and freed once.
            unsafe {
                (self.nccl.functions.destroy)(comm);
            }
        }
    }
}

impl fmt::Debug for Communicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Communicator")
            .field("rank", &self.rank)
            .field("size", &self.size)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// NCCL's number of a type (`ncclDataType_t`).
fn data_type(kind: Kind) -> Option<c_int> {
    Some(match kind {
        Kind::Int8 => 0,
        Kind::Uint8 | Kind::Bool => 1,
        Kind::Int => 2,
        Kind::Int64 => 4,
        Kind::Half => 6,
        Kind::Float => 7,
        Kind::Double => 8,
        Kind::BFloat16 => 9,
        _ => return None,
    })
}

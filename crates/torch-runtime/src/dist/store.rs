//! Small values that all ranks see.

use std::ffi::CString;
use std::fmt;
use std::time::{Duration, Instant};

use super::foreign::{self, StorePtr, checked};
use super::{Error, World};

/// How often something that is waited for is looked at. c10d's own waiting would write to stderr at every timeout, and not
/// notice what else happens.
pub(super) const LOOK: Duration = Duration::from_millis(5);
/// How often it is told who is missing.
const TELL: Duration = Duration::from_secs(5);

/// A connection to the store of a world: small values by name, and counters.
///
/// `Send`, not `Sync`: each thread connects for itself ([`Store::again`]).
pub struct Store {
    raw: StorePtr,
    world: World,
    timeout: Duration,
}

#[allow(unsafe_code)]
// SAFETY: c10d's client locks its connection; the pointer is this value's alone.
unsafe impl Send for Store {}
#[allow(unsafe_code)]
// SAFETY: every operation of that client takes its lock, so several threads may call.
unsafe impl Sync for Store {}

impl Store {
    /// Joins the world: connects to its store, which rank 0 serves where the launcher does not, and waits until all ranks
    /// have come.
    ///
    /// # Errors
    /// [`Error::Store`] if the address cannot be reached or served within the time, [`Error::Missing`] with the ranks that
    /// have not come, [`Error::Twice`] if another process came as this rank.
    pub fn join(world: &World, timeout: Duration) -> Result<Self, Error> {
        Self::join_telling(world, timeout, &mut |_| ())
    }

    /// [`join`](Self::join), which tells now and then which ranks it still waits for.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_telling(
        world: &World,
        timeout: Duration,
        waiting: &mut dyn FnMut(&[usize]),
    ) -> Result<Self, Error> {
        let store = Self::connect(world, timeout, world.rank == 0 && !world.served)?;
        // Unlike torchrun's, a store that rank 0 serves is of this start of the world alone.
        if !world.served && store.add(&format!("came/{}", world.rank), 1)? > 1 {
            return Err(Error::Twice { rank: world.rank, at: world.at() });
        }
        store.set(&format!("here/{}", world.rank), &[])?;
        let started = Instant::now();
        let mut missing: Vec<usize> = (0..world.size).collect();
        let mut told = Instant::now();
        loop {
            let mut absent = Vec::new();
            for rank in missing {
                if !store.has(&format!("here/{rank}"))? {
                    absent.push(rank);
                }
            }
            missing = absent;
            if missing.is_empty() {
                return Ok(store);
            }
            if started.elapsed() > timeout {
                let (size, seconds) = (world.size, timeout.as_secs());
                return Err(Error::Missing { missing, size, seconds, at: world.at() });
            }
            if told.elapsed() > TELL {
                told = Instant::now();
                waiting(&missing);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// One more connection of this process.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn again(&self) -> Result<Self, Error> {
        Self::connect(&self.world, self.timeout, false)
    }

    fn connect(world: &World, timeout: Duration, serve: bool) -> Result<Self, Error> {
        let problem = |problem: String| Error::Store { at: world.at(), problem };
        let host = c_string(&world.host);
        let mut raw = std::ptr::null_mut();
        #[allow(unsafe_code)]
        // SAFETY: the text outlives the call, and `raw` may be written.
        checked(unsafe {
            foreign::torch_runtime_store_connect(
                host.as_ptr(),
                world.port.into(),
                serve,
                timeout.as_millis() as i64,
                &raw mut raw,
            )
        })
        .map_err(problem)?;
        let whole = Self { raw, world: world.clone(), timeout };
        // torchrun's store outlives a restarted world, and its keys with it.
        whole.prefixed(&format!("llama-ccs/{}/{}", world.attempt, world.size))
    }

    /// The same store, for names of one purpose.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn under(&self, purpose: &str) -> Result<Self, Error> {
        self.prefixed(purpose)
    }

    /// The same store, all names with a prefix.
    fn prefixed(&self, prefix: &str) -> Result<Self, Error> {
        let prefix = c_string(prefix);
        let mut raw = std::ptr::null_mut();
        #[allow(unsafe_code)]
        // SAFETY: the text and the store outlive the call, and `raw` may be written.
        self.checked(unsafe {
            foreign::torch_runtime_store_prefixed(self.raw, prefix.as_ptr(), &raw mut raw)
        })?;
        Ok(Self { raw, world: self.world.clone(), timeout: self.timeout })
    }

    /// The world it is of.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Sets a value.
    ///
    /// # Errors
    /// [`Error::Store`] if the store is gone.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let key = c_string(key);
        #[allow(unsafe_code)]
        // SAFETY: key and value outlive the call.
        self.checked(unsafe {
            foreign::torch_runtime_store_set(self.raw, key.as_ptr(), value.as_ptr(), value.len())
        })
    }

    /// Whether a value was set.
    ///
    /// # Errors
    /// [`Error::Store`] if the store is gone.
    pub fn has(&self, key: &str) -> Result<bool, Error> {
        let key = c_string(key);
        let mut there = false;
        #[allow(unsafe_code)]
        // SAFETY: the key outlives the call, and `there` may be written.
        self.checked(unsafe { foreign::torch_runtime_store_check(self.raw, key.as_ptr(), &raw mut there) })?;
        Ok(there)
    }

    /// A value, if it was set.
    ///
    /// # Errors
    /// [`Error::Store`] if the store is gone.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        // c10d's `get` waits for a value that is not there.
        if !self.has(key)? {
            return Ok(None);
        }
        let key = c_string(key);
        let (mut value, mut size) = (std::ptr::null_mut(), 0);
        #[allow(unsafe_code)]
        // SAFETY: the key outlives the call, and both may be written.
        self.checked(unsafe {
            foreign::torch_runtime_store_get(self.raw, key.as_ptr(), &raw mut value, &raw mut size)
        })?;
        #[allow(unsafe_code)]
        // SAFETY: `size` bytes from malloc, which nobody else has.
        let bytes = unsafe {
            let bytes = std::slice::from_raw_parts(value, size).to_vec();
            foreign::free(value.cast());
            bytes
        };
        Ok(Some(bytes))
    }

    /// Waits for a value while `go_on` says so; `None` where it said no.
    ///
    /// # Errors
    /// [`Error::Store`] if the store is gone.
    pub fn wait(&self, key: &str, mut go_on: impl FnMut() -> bool) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(value) = self.get(key)? {
                return Ok(Some(value));
            }
            if !go_on() {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Adds to a counter that begins at 0, and returns the sum: no two ranks get the same.
    ///
    /// # Errors
    /// [`Error::Store`] if the store is gone.
    pub fn add(&self, key: &str, by: i64) -> Result<i64, Error> {
        let key = c_string(key);
        let mut sum = 0;
        #[allow(unsafe_code)]
        // SAFETY: the key outlives the call, and `sum` may be written.
        self.checked(unsafe { foreign::torch_runtime_store_add(self.raw, key.as_ptr(), by, &raw mut sum) })?;
        Ok(sum)
    }

    pub(super) fn raw(&self) -> StorePtr {
        self.raw
    }

    fn checked(&self, problem: foreign::Problem) -> Result<(), Error> {
        checked(problem).map_err(|problem| Error::Store { at: self.world.at(), problem })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        #[allow(unsafe_code)]
        // SAFETY: made by `connect` or `prefixed`, and freed once.
        unsafe {
            foreign::torch_runtime_store_free(self.raw);
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("at", &self.world.at())
            .field("rank", &self.world.rank)
            .finish_non_exhaustive()
    }
}

/// Names and hosts end where C ends them.
pub(super) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}

//! Threads that may fail to start. `thread::spawn` and `Scope::spawn` of the standard library panic if they cannot
//! start one, and so do rayon's own pool and libraries that use it.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle, available_parallelism};

use crate::hint::{THREADS, refused};

/// Starts a thread.
///
/// # Errors
/// The system cannot start another thread.
pub fn spawn<T, F>(name: &str, work: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().name(name.to_owned()).spawn(work).map_err(|error| cannot(name, &error))
}

/// Starts a thread in a scope.
///
/// # Errors
/// The system cannot start another thread.
pub fn spawn_scoped<'scope, 'env, T, F>(
    scope: &'scope Scope<'scope, 'env>,
    name: &str,
    work: F,
) -> io::Result<ScopedJoinHandle<'scope, T>>
where
    F: FnOnce() -> T + Send + 'scope,
    T: Send + 'scope,
{
    Builder::new().name(name.to_owned()).spawn_scoped(scope, work).map_err(|error| cannot(name, &error))
}

/// The number of cores that this process may use.
pub fn cores() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Checks that this many threads can run at once, before work goes to a library that panics if they cannot.
///
/// # Errors
/// The system starts fewer threads.
pub fn check(threads: usize) -> io::Result<()> {
    let gate = RwLock::new(());
    std::thread::scope(|scope| {
        let _closed = gate.write().unwrap_or_else(PoisonError::into_inner);
        let wait = || drop(gate.read());
        (0..threads).try_for_each(|_| spawn_scoped(scope, "check", wait).map(drop))
    })
}

/// Does `work` for every number below `tasks`, on as many cores as there are: the caller and threads that end with the call
/// take one number after the other. After each of its own, the caller calls `told`.
///
/// Where the system starts fewer threads, those that are there do everything.
///
/// # Errors
/// A thread died: `work` panicked.
pub fn share(tasks: usize, work: &(dyn Fn(usize) + Sync), told: &mut dyn FnMut()) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&task| task < tasks);
    let serve = || {
        while let Some(task) = take() {
            work(task);
        }
    };
    std::thread::scope(|scope| {
        let threads = if tasks > 1 { cores().min(tasks) } else { 1 };
        let helpers = (1..threads).map_while(|_| spawn_scoped(scope, "share", serve).ok());
        let helpers: Vec<_> = helpers.collect();
        while let Some(task) = take() {
            work(task);
            told();
        }
        let died = |_| io::Error::other("a thread died");
        helpers.into_iter().try_for_each(|helper| helper.join().map_err(died))
    })
}

/// A pool with one thread per core, or fewer if the system starts no more.
///
/// # Errors
/// Not even one thread can be started.
#[cfg(feature = "pool")]
pub fn pool() -> io::Result<rayon::ThreadPool> {
    let mut threads = cores();
    loop {
        match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
            Ok(pool) => return Ok(pool),
            Err(error) if threads == 1 => return Err(cannot("worker", &error)),
            Err(_) => threads /= 2,
        }
    }
}

fn cannot(name: &str, error: &dyn std::fmt::Display) -> io::Error {
    refused(ErrorKind::WouldBlock, format!("cannot start a thread (`{name}`): {error}"), THREADS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_start_and_end() {
        check(2 * cores()).unwrap();
        assert_eq!(spawn("one", || 1).unwrap().join().unwrap(), 1);
        let two = std::thread::scope(|scope| spawn_scoped(scope, "two", || 2).unwrap().join().unwrap());
        assert_eq!(two, 2);
    }

    #[test]
    fn every_task_is_done_once_whoever_does_it() {
        for tasks in [0, 1, 2, 1000] {
            let done: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            let mut own = 0;
            let work = |task: usize| {
                done[task].fetch_add(1, Ordering::Relaxed);
            };
            share(tasks, &work, &mut || own += 1).unwrap();
            assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1));
            assert!(own <= tasks);
        }
    }

    #[test]
    fn a_task_that_panics_on_another_thread_is_an_error() {
        let caller = std::thread::current().id();
        let gate = AtomicUsize::new(0);
        let work = |_: usize| {
            if std::thread::current().id() != caller {
                gate.store(1, Ordering::Release);
                panic!("as a library might");
            }
            // The caller waits until another thread has begun, if there is one.
            while cores() > 1 && gate.load(Ordering::Acquire) == 0 {
                std::thread::yield_now();
            }
        };
        assert_eq!(share(2, &work, &mut || ()).is_err(), cores() > 1);
    }
}

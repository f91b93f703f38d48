//! Who is still there: every rank counts on in the store, and watches that the others do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Error, Store};

/// How often a rank counts.
const BEAT: Duration = Duration::from_millis(500);

/// A rank that has not been heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// The rank; `None` where the store itself is gone, and with it whoever served it.
    pub rank: Option<usize>,
    /// Its host's name.
    pub host: String,
    /// How long nothing was heard.
    pub silent_for: Duration,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let silent = self.silent_for.as_secs_f64();
        match self.rank {
            Some(rank) => write!(f, "rank {rank} on {} is gone: nothing heard for {silent:.0} s", self.host),
            None => write!(f, "the store of {} is gone, and with it the other ranks", self.host),
        }
    }
}

/// A rank's sign of life, and its eye on the others. Both end with it.
///
/// A pending receive does not notice that its peer has died (c10d waits for its timeout); this does. Only local clocks
/// are read: counters that stand still tell who is silent.
#[derive(Debug)]
pub struct Heartbeat {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Begins to count, and to watch. A rank that is silent for longer than `patience` is reported once; a rank that has
    /// said goodbye ([`Heartbeat::leave`]) is not.
    ///
    /// # Errors
    /// [`Error::Store`]; a thread that the system refuses.
    pub fn start(
        store: &Store,
        host: &str,
        patience: Duration,
        mut lost: impl FnMut(Lost) + Send + 'static,
    ) -> Result<Self, Error> {
        let store = store.again()?;
        store.set(&format!("host/{}", store.world().rank), host.as_bytes())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let beat = move || watch(&store, patience, &stopped, &mut lost);
        let thread = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(beat);
        let thread = thread.map_err(|error| Error::Launcher {
            variable: "the heartbeat",
            problem: format!("has no thread: {error}"),
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Says goodbye: others need not hear of this rank any more.
    pub fn leave(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.end();
    }
}

/// What was last heard of a rank.
struct Heard {
    count: i64,
    at: Instant,
    gone: bool,
}

fn watch(store: &Store, patience: Duration, stop: &AtomicBool, lost: &mut dyn FnMut(Lost)) {
    let world = store.world().clone();
    let mut heard: Vec<Heard> =
        (0..world.size).map(|_| Heard { count: 0, at: Instant::now(), gone: false }).collect();
    let own = format!("beat/{}", world.rank);
    while !stop.load(Ordering::SeqCst) {
        if look(store, &own, patience, &mut heard, lost).is_err() {
            // The store is gone. At an end, rank 0 leaves last, so nobody is told then.
            if !stop.load(Ordering::SeqCst) {
                lost(Lost { rank: None, host: world.at(), silent_for: Duration::ZERO });
            }
            return;
        }
        std::thread::park_timeout(BEAT.min(patience / 4));
    }
    let _ = store.set(&format!("left/{}", world.rank), &[]);
}

fn look(
    store: &Store,
    own: &str,
    patience: Duration,
    heard: &mut [Heard],
    lost: &mut dyn FnMut(Lost),
) -> Result<(), Error> {
    store.add(own, 1)?;
    let rank = store.world().rank;
    for (other, heard) in heard.iter_mut().enumerate().filter(|(other, heard)| *other != rank && !heard.gone)
    {
        let count = store.add(&format!("beat/{other}"), 0)?;
        if count != heard.count {
            (heard.count, heard.at) = (count, Instant::now());
        } else if heard.at.elapsed() > patience {
            heard.gone = true;
            if !store.has(&format!("left/{other}"))? {
                let host = store.get(&format!("host/{other}"))?.unwrap_or_default();
                let host = String::from_utf8_lossy(&host).into_owned();
                lost(Lost { rank: Some(other), host, silent_for: heard.at.elapsed() });
            }
        }
    }
    Ok(())
}

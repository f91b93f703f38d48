//! Who is still there: every rank counts on in the store, and watches that the others do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Cause, Error, Lost, Store, World};

/// Where the first loss is written that somebody noticed, so that all ranks know of the same one: the rank, its host, and
/// the milliseconds of its silence or nothing, a line each; then what it said of itself.
const LOST: &str = "lost";
/// How often a rank counts.
const BEAT: Duration = Duration::from_millis(500);

impl Lost {
    /// The store of a world is gone, and with it whoever served it.
    pub fn of_store(world: &World) -> Self {
        let rank = (!world.served).then_some(0);
        Self { rank, host: world.host.clone(), cause: Cause::NoStore }
    }
}

/// A rank's sign of life, and its eye on the others. Both end with it.
///
/// A pending receive does not notice that its peer has died (c10d waits for its timeout); this does. Only local clocks
/// are read: counters that stand still tell who is silent.
#[derive(Debug)]
pub struct Heartbeat {
    store: Store,
    host: String,
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads of a heartbeat share.
struct State {
    /// This rank leaves.
    stop: AtomicBool,
    /// A loss was reported: the others are over, and the store may never answer.
    told: AtomicBool,
    /// When the store answered last.
    answered: Mutex<Instant>,
    lost: Mutex<Box<dyn FnMut(Lost) + Send>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("told", &self.told).finish_non_exhaustive()
    }
}

impl State {
    /// Reports the first loss.
    fn report(&self, loss: Lost) {
        if !self.told.swap(true, Ordering::SeqCst) {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            (*lost)(loss);
        }
    }

    fn answered(&self) -> MutexGuard<'_, Instant> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl Heartbeat {
    /// Begins to count, and to watch. A rank that is silent for longer than `patience` is reported once, and so is one
    /// that failed; a rank that has said goodbye ([`Heartbeat::leave`]) is not.
    ///
    /// # Errors
    /// [`Error::Store`]; a thread that the system refuses.
    pub fn start(
        store: &Store,
        host: &str,
        patience: Duration,
        lost: impl FnMut(Lost) + Send + 'static,
    ) -> Result<Self, Error> {
        let (own, store) = (store.again()?, store.again()?);
        store.set(&format!("host/{}", store.world().rank), host.as_bytes())?;
        let state = Arc::new(State {
            stop: AtomicBool::new(false),
            told: AtomicBool::new(false),
            answered: Mutex::new(Instant::now()),
            lost: Mutex::new(Box::new(lost)),
        });
        let world = store.world().clone();
        let (beating, listening) = (Arc::clone(&state), Arc::clone(&state));
        let threads = vec![
            thread("heartbeat", move || watch(&store, patience, &beating))?,
            thread("listener", move || listen(&world, patience, &listening))?,
        ];
        Ok(Self { store: own, host: host.to_owned(), state, threads })
    }

    /// Tells the others that this rank cannot go on, and why; the first to fail is heard.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn fail(&self, problem: &str) -> Result<(), Error> {
        let rank = Some(self.store.world().rank);
        let (host, cause) = (self.host.clone(), Cause::Failed(problem.to_owned()));
        tell(&self.store, &Lost { rank, host, cause })
    }

    /// Says goodbye: others need not hear of this rank any more.
    pub fn leave(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // One that waits for a store that is gone may wait for ever.
            if !self.state.told.load(Ordering::SeqCst) || thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| Error::Launcher {
        variable: "the heartbeat",
        problem: format!("has no thread: {error}"),
    })
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

fn watch(store: &Store, patience: Duration, state: &State) {
    let world = store.world().clone();
    let mut heard: Vec<Heard> =
        (0..world.size).map(|_| Heard { count: 0, at: Instant::now(), gone: false }).collect();
    let own = format!("beat/{}", world.rank);
    let mut looked = Instant::now();
    while !state.over() {
        // A process that was stopped itself, or its host, cannot say that the others were silent.
        if looked.elapsed() > patience / 2 {
            for heard in &mut heard {
                heard.at = Instant::now();
            }
        }
        looked = Instant::now();
        match look(store, &own, patience, &mut heard) {
            Ok(None) => {}
            Ok(Some(loss)) => state.report(loss),
            // The store is gone. At an end, rank 0 leaves last, so nobody is told then.
            Err(_) => {
                if !state.over() {
                    state.report(Lost::of_store(&world));
                }
                return;
            }
        }
        *state.answered() = Instant::now();
        std::thread::park_timeout(BEAT.min(patience / 4));
    }
    let _ = store.set(&format!("left/{}", world.rank), &[]);
}

/// Listens whether the store answers: one whose host was stopped or cut off keeps whoever asks it waiting for ever.
fn listen(world: &World, patience: Duration, state: &State) {
    let beat = BEAT.min(patience / 4);
    let (mut woken, mut since) = (Instant::now(), Instant::now());
    while !state.over() {
        if woken.elapsed() > patience / 2 {
            since = Instant::now(); // this process slept itself
        }
        woken = Instant::now();
        let silent = (*state.answered()).max(since).elapsed();
        if silent > patience + beat {
            let lost = Lost::of_store(world);
            return state.report(Lost { cause: Cause::Silent(silent), ..lost });
        }
        std::thread::park_timeout(beat);
    }
}

/// Beats once, and looks for a loss: one that others know of, or a rank that has been silent for too long.
fn look(store: &Store, own: &str, patience: Duration, heard: &mut [Heard]) -> Result<Option<Lost>, Error> {
    store.add(own, 1)?;
    let rank = store.world().rank;
    let mut lost = None;
    for (other, heard) in heard.iter_mut().enumerate().filter(|(other, heard)| *other != rank && !heard.gone)
    {
        let count = store.add(&format!("beat/{other}"), 0)?;
        let silent = heard.at.elapsed();
        if count != heard.count {
            (heard.count, heard.at) = (count, Instant::now());
        } else if silent > patience {
            heard.gone = true;
            if !store.has(&format!("left/{other}"))? {
                let host = store.get(&format!("host/{other}"))?.unwrap_or_default();
                let host = String::from_utf8_lossy(&host).into_owned();
                let loss = Lost { rank: Some(other), host, cause: Cause::Silent(silent) };
                tell(store, &loss)?;
                lost = lost.or(Some(loss));
            }
        }
    }
    Ok(known(store)?.or(lost))
}

/// Tells all of a loss, unless they know of one.
fn tell(store: &Store, loss: &Lost) -> Result<(), Error> {
    if store.add("losses", 1)? != 1 {
        return Ok(());
    }
    let Lost { rank, host, cause } = loss;
    let (silent, said) = match cause {
        Cause::Silent(time) => (time.as_millis().to_string(), ""),
        Cause::Failed(problem) => (String::new(), problem.as_str()),
        Cause::NoStore => return Ok(()),
    };
    let rank = rank.map(|rank| rank.to_string()).unwrap_or_default();
    store.set(LOST, format!("{rank}\n{host}\n{silent}\n{said}").as_bytes())
}

/// The loss of another rank that all know of.
fn known(store: &Store) -> Result<Option<Lost>, Error> {
    let Some(said) = store.get(LOST)? else { return Ok(None) };
    let said = String::from_utf8_lossy(&said);
    let mut parts = said.splitn(4, '\n');
    let rank = parts.next().and_then(|rank| rank.parse().ok());
    let host = parts.next().unwrap_or_default().to_owned();
    let silent = parts.next().and_then(|silent| silent.parse().ok()).map(Duration::from_millis);
    let said = parts.next().unwrap_or_default().to_owned();
    let cause = silent.map_or(Cause::Failed(said), Cause::Silent);
    Ok(Some(Lost { rank, host, cause }).filter(|lost| lost.rank != Some(store.world().rank)))
}

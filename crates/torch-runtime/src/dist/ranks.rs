//! Processes that do one job together: what rank 0 decides, what all must agree on, and who is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, Group, Heartbeat, Lost, Store, World};
use crate::machine;

type Result<T, E = Error> = std::result::Result<T, E>;

/// The processes of one job, as one of them sees them.
///
/// Every process of a [`World`] makes one, calls the same methods in the same order, and [leaves](Ranks::leave) at the
/// end. `llama_ccs::Extraction::among` divides an extraction among them, `ccs_trainer::Fit::among` a fit.
///
/// ```no_run
/// use torch_runtime::dist::{Launcher, Patience, Ranks, World};
///
/// // torchrun --no-python --nproc_per_node 2 this-program
/// let Some(world) = World::from_env(Launcher::Environment)? else { return Ok(()) };
/// let ranks = Ranks::join(&world, Patience::default(), |_| (), |lost| eprintln!("{lost}"))?;
/// let seed: u64 = ranks.decided("seed", || Ok::<_, Box<dyn std::error::Error>>(17))?; // rank 0's, on all
/// ranks.leave()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ranks {
    world: World,
    // Ends before the store does.
    heartbeat: Heartbeat,
    store: Store,
    lost: Arc<OnceLock<Lost>>,
    patience: Patience,
    /// How many decisions were made and agreements reached; equal on all ranks.
    calls: AtomicUsize,
    /// This rank's number among those of its host, and how many those are.
    on_host: (usize, usize),
}

/// How long ranks wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until all have come.
    pub join: Duration,
    /// Until one that is silent is lost.
    pub peer: Duration,
}

impl Default for Patience {
    /// Ten minutes, thirty seconds.
    fn default() -> Self {
        Self { join: Duration::from_mins(10), peer: Duration::from_secs(30) }
    }
}

/// A transfer that was announced on both sides and still takes so long will never end.
const TRANSFER: Duration = Duration::from_mins(10);

impl Ranks {
    /// Joins the others. `waiting` is told now and then which ranks have not come, `lost` which rank was lost: calls of
    /// this process then end with [`Error::Lost`], but for a transfer that is under way, which may take minutes to fail.
    ///
    /// # Errors
    /// Ranks that do not come, and whatever the network refuses.
    pub fn join(
        world: &World,
        patience: Patience,
        mut waiting: impl FnMut(&[usize]),
        lost: impl Fn(&Lost) + Send + 'static,
    ) -> Result<Self> {
        crate::check()?;
        let store = Store::join_telling(world, patience.join, &mut waiting)?;
        let first_lost = Arc::new(OnceLock::new());
        let noted = Arc::clone(&first_lost);
        let note = move |found: Lost| {
            if noted.set(found.clone()).is_ok() {
                lost(&found);
            }
        };
        let heartbeat = Heartbeat::start(&store, &machine::host_name(), patience.peer, note)?;
        let world = world.clone();
        let mut ranks = Self {
            world,
            heartbeat,
            store,
            lost: first_lost,
            patience,
            calls: AtomicUsize::new(0),
            on_host: (0, 1),
        };
        ranks.on_host = ranks.place_on_host()?;
        Ok(ranks)
    }

    /// This process's number, from 0.
    pub fn rank(&self) -> usize {
        self.world.rank
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.world.size
    }

    /// Whether this is rank 0, which decides and writes.
    pub fn is_first(&self) -> bool {
        self.world.rank == 0
    }

    /// This rank's number among those of its host, and how many those are.
    pub fn on_host(&self) -> (usize, usize) {
        self.on_host
    }

    /// What rank 0 decides, for all of them; `name` is the decision's.
    ///
    /// # Errors
    /// What `decide` gives, on rank 0; a rank that is lost.
    pub fn decided<T: Serialize + DeserializeOwned, E: From<Error>>(
        &self,
        name: &str,
        decide: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let key = self.call(name);
        if self.is_first() {
            let value = decide()?;
            let text = serde_json::to_vec(&value).map_err(|error| unreadable(&error))?;
            self.store.set(&key, &text)?;
            return Ok(value);
        }
        Ok(serde_json::from_slice(&self.wait(&key)?).map_err(|error| unreadable(&error))?)
    }

    /// Whether all agree; otherwise the same error on all of them. `own` is this rank's objection.
    ///
    /// # Errors
    /// [`Error::Disagreement`] with the objections; a rank that is lost.
    pub fn agreed(&self, name: &str, own: Option<String>) -> Result<()> {
        let name = self.call(name);
        let key = |rank: usize| format!("{name}/{rank}");
        let own = own.map(|own| format!("rank {} on {} {own}", self.rank(), machine::host_name()));
        self.store.set(&key(self.rank()), own.unwrap_or_default().as_bytes())?;
        let mut objections = Vec::new();
        for rank in 0..self.size() {
            let said = self.wait(&key(rank))?;
            if !said.is_empty() {
                objections.push(String::from_utf8_lossy(&said).into_owned());
            }
        }
        // Who has read them all may go, and who has not still needs the store.
        self.all_here(&name)?;
        if objections.is_empty() {
            return Ok(());
        }
        self.linger();
        Err(Error::Disagreement { objections })
    }

    /// Waits until all have called this.
    ///
    /// # Errors
    /// A rank that is lost.
    pub fn meet(&self, name: &str) -> Result<()> {
        self.all_here(&self.call(name))
    }

    /// Tells the others of an error that ends this rank, unless it came from them.
    pub fn fail(&self, error: &(dyn std::error::Error + 'static)) {
        // Of an error of ranks all are told, or find out by themselves; from this store, if this rank serves it.
        if Error::of(error).is_none() {
            // Nobody is there to be told if this fails, too.
            let _ = self.heartbeat.fail(&with_causes(error));
        }
        self.linger();
    }

    /// Leaves, when all are done; rank 0 goes last.
    ///
    /// # Errors
    /// A rank that is lost.
    pub fn leave(self) -> Result<()> {
        self.all_here("leave")?;
        self.heartbeat.leave();
        let store = self.store;
        store.add("gone", 1)?;
        let began = Instant::now();
        while self.world.rank == 0
            && store.add("gone", 0)? < self.world.size as i64
            && began.elapsed() < self.patience.peer
        {
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The rank that was lost.
    pub fn lost(&self) -> Option<&Lost> {
        self.lost.get()
    }

    /// [`Error::Lost`] once a rank is.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<()> {
        self.lost().map_or(Ok(()), |lost| Err(Error::Lost(lost.clone())))
    }

    /// One more connection to the store, for a thread of its own.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn connection(&self) -> Result<Store> {
        self.store.again()
    }

    /// A group of all ranks, met under a name.
    ///
    /// # Errors
    /// As [`Group::new`]; a rank that is lost.
    pub fn group(&self, name: &str) -> Result<Group> {
        let go_on = || self.lost().is_none();
        let met = Group::new_while(&self.store, &self.world, name, TRANSFER, go_on);
        met.map_err(|error| self.explained(error))
    }

    /// A value that another rank sets.
    fn wait(&self, key: &str) -> Result<Vec<u8>> {
        loop {
            let value = self.store.get(key);
            if let Some(value) = value.map_err(|error| self.explained(error))? {
                return Ok(value);
            }
            self.check()?;
            std::thread::sleep(LOOK);
        }
    }

    /// The cause of a connection's error: a rank that was lost, which the heartbeat may find out a little later.
    pub fn explained<E: std::error::Error + From<Error> + 'static>(&self, error: E) -> E {
        if matches!(Error::of(&error), None | Some(Error::Lost(_) | Error::Disagreement { .. })) {
            return error;
        }
        let began = Instant::now();
        while self.lost().is_none() && began.elapsed() < self.patience.peer + Duration::from_secs(1) {
            std::thread::sleep(LOOK);
        }
        self.check().err().map_or(error, E::from)
    }

    /// A name for a call that all ranks make, unlike that of any other.
    pub fn call(&self, name: &str) -> String {
        format!("{}/{name}", self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits until every rank has come to the same place.
    fn all_here(&self, name: &str) -> Result<()> {
        let key = format!("here/{name}");
        self.store.add(&key, 1)?;
        loop {
            let here = self.store.add(&key, 0);
            if here.map_err(|error| self.explained(error))? >= self.size() as i64 {
                return Ok(());
            }
            self.check()?;
            std::thread::sleep(LOOK);
        }
    }

    /// Rank 0 serves the store, from which the others learn why all end: it stays until they have left.
    fn linger(&self) {
        let began = Instant::now();
        let serves = self.is_first() && !self.world.served;
        let lost = self.lost().and_then(|lost| lost.rank);
        let left =
            |rank: usize| Some(rank) == lost || self.store.has(&format!("left/{rank}")).unwrap_or(true);
        while serves && began.elapsed() < LINGER && !(1..self.size()).all(left) {
            std::thread::sleep(LOOK);
        }
    }

    fn place_on_host(&self) -> Result<(usize, usize)> {
        let own = machine::host_name();
        let mut here = Vec::new();
        for rank in 0..self.size() {
            if self.wait(&format!("host/{rank}"))? == own.as_bytes() {
                here.push(rank);
            }
        }
        Ok((here.iter().take_while(|rank| **rank < self.rank()).count(), here.len().max(1)))
    }
}

/// How often a value that another rank sets is looked for.
const LOOK: Duration = Duration::from_millis(5);
/// How long rank 0 stays after an error, so that the others hear of it.
const LINGER: Duration = Duration::from_millis(2500);

/// An error and its causes, each that the text before it does not contain.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| {
        let cause = cause.to_string();
        if said.contains(&cause) { said } else { format!("{said}: {cause}") }
    })
}

/// What rank 0 decided is of another version of this program.
fn unreadable(error: &serde_json::Error) -> Error {
    let problem = error.to_string();
    Error::Disagreement {
        objections: vec![format!("a rank is of another version of this program: {problem}")],
    }
}

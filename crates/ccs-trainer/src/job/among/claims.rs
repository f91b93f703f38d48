//! Tasks that ranks claim one after another, and what comes of each, which goes to all ranks.
//!
//! The values in the ranks' store, for each phase of a run:
//!
//! | key | value |
//! |---|---|
//! | `next` | how many tasks were claimed; far beyond all of them once no more are to be |
//! | `T/size`, `T/P` | the length of what came of task T, and its P-th part |
//! | `done` | how many tasks the ranks other than 0 have done |
//! | `done/N` | the N-th of those |
//! | `drained` | how many ranks will do no more |

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{scope, sleep};
use std::time::Duration;

use torch_runtime::dist::{Error as Problem, Ranks, Store};

use crate::control::{Halt, RunControl, Work};
use crate::{Error, Result};

/// How often it is looked whether others have done something.
const LOOK: Duration = Duration::from_millis(10);
/// The most bytes of a value: c10d's store takes 8 MiB.
const PART: usize = 1 << 20;
/// More than there are tasks.
const ALL: i64 = 1 << 40;

/// What is done with a task's result once it is there: on rank 0 with everyone's, elsewhere with nobody's.
pub(super) type Arrived<'a> = &'a (dyn Fn(usize, &[u8]) -> Result<()> + Sync);

/// One phase of a run: tasks that are divided among ranks.
pub(super) struct Phase<'a> {
    ranks: &'a Ranks,
    store: Store,
    control: RunControl<'a>,
    /// Tasks that nobody has done.
    open: Vec<usize>,
    /// What came of each task.
    results: Mutex<Vec<Option<Vec<u8>>>>,
    /// This rank does no more.
    over: AtomicBool,
    arrived: Arrived<'a>,
}

impl<'a> Phase<'a> {
    /// Tasks of which rank 0 has some already; the other ranks take its word.
    pub(super) fn new(
        ranks: &'a Ranks,
        name: &str,
        control: RunControl<'a>,
        known: Vec<Option<Vec<u8>>>,
        arrived: Arrived<'a>,
    ) -> Result<Self> {
        let store = ranks.connection()?.under(&ranks.call(name))?;
        let phase = Self {
            ranks,
            store,
            control,
            open: Vec::new(),
            results: Mutex::new(vec![None; known.len()]),
            over: AtomicBool::new(false),
            arrived,
        };
        if ranks.is_first() {
            for (task, known) in known.into_iter().enumerate().filter_map(|(task, k)| Some((task, k?))) {
                phase.publish(task, &known)?;
                phase.put(task, known);
            }
        }
        let open = ranks.decided("open tasks", || Ok::<_, Error>(phase.missing()))?;
        Ok(Self { open, ..phase })
    }

    /// Does the tasks that this rank claims, by `work`, and waits for the others; then all have what came of every task.
    pub(super) fn run(self, work: impl FnOnce(&Self) -> Work<()>) -> Work<Vec<Vec<u8>>> {
        let done: Work<()> = scope(|scope| {
            let collect = || self.collect().inspect_err(|_| self.give_up());
            let collector = self.ranks.is_first();
            let collector = collector.then(|| host::threads::spawn_scoped(scope, "collector", collect));
            let collector = collector.transpose()?;
            let own = self.own(work);
            if own.is_err() {
                self.give_up();
            }
            let collected = collector.map(std::thread::ScopedJoinHandle::join);
            own?;
            match collected {
                Some(Ok(collected)) => Ok(collected?),
                Some(Err(_)) => Err(Error::from(std::io::Error::other("a thread died")).into()),
                None => Ok(()),
            }
        });
        done?;
        self.all()
    }

    /// The next task; none where nothing is left for this rank.
    pub(super) fn claim(&self) -> Work<Option<usize>> {
        self.ranks.check()?;
        if self.over.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.control.go_on()?;
        let claimed = self.store.add("next", 1)?;
        Ok(usize::try_from(claimed - 1).ok().and_then(|at| self.open.get(at).copied()))
    }

    /// Hands over what came of a task.
    pub(super) fn deliver(&self, task: usize, result: Vec<u8>) -> Work<()> {
        self.publish(task, &result)?;
        if self.ranks.is_first() {
            (self.arrived)(task, &result)?;
        } else {
            let number = self.store.add("done", 1)?;
            self.store.set(&format!("done/{number}"), task.to_string().as_bytes())?;
        }
        self.put(task, result);
        Ok(())
    }

    /// Has this rank do no more: something failed.
    pub(super) fn give_up(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// This rank's part, and the wait for the others'.
    fn own(&self, work: impl FnOnce(&Self) -> Work<()>) -> Work<()> {
        match work(self) {
            Err(Halt::Stopped) => self.end()?,
            done => done?,
        }
        let mut drained = self.store.add("drained", 1)?;
        while drained < self.ranks.size() as i64 && !self.over.load(Ordering::SeqCst) {
            self.ranks.check()?;
            if self.control.go_on().is_err() {
                self.end()?;
            }
            sleep(LOOK);
            drained = self.store.add("drained", 0)?;
        }
        Ok(())
    }

    /// Leaves nothing to claim, to any rank.
    fn end(&self) -> Result<()> {
        self.store.add("next", ALL)?;
        Ok(())
    }

    /// Rank 0: takes what the others have done, while they do it, so that nothing is lost if one of them is.
    fn collect(&self) -> Result<()> {
        let mut heard = 0;
        loop {
            // Before the results: who is drained has said everything.
            let drained = self.store.add("drained", 0)? >= self.ranks.size() as i64;
            let done = self.store.add("done", 0)?;
            while heard < done {
                // Counted first and said then.
                let Some(said) = self.store.get(&format!("done/{}", heard + 1))? else { break };
                let task = String::from_utf8_lossy(&said).parse().ok();
                let task = task.filter(|task| self.open.contains(task)).ok_or_else(|| unfit(&said))?;
                let result = self.fetch(task)?;
                (self.arrived)(task, &result)?;
                self.put(task, result);
                heard += 1;
            }
            if self.over.load(Ordering::SeqCst) || (drained && heard == done) {
                return Ok(());
            }
            self.ranks.check()?;
            sleep(LOOK);
        }
    }

    /// What came of every task, on every rank; stopped where something is missing.
    fn all(self) -> Work<Vec<Vec<u8>>> {
        let missing = self.ranks.decided("missing tasks", || Ok::<_, Error>(self.missing().len()))?;
        if missing > 0 {
            return Err(Halt::Stopped);
        }
        for task in self.missing() {
            self.put(task, self.fetch(task)?);
        }
        self.ranks.meet("results")?;
        let results = self.results.into_inner().unwrap_or_else(PoisonError::into_inner);
        let results: Vec<Vec<u8>> = results.into_iter().flatten().collect();
        if self.ranks.is_first() {
            // All have them, and the store would hold them until the ranks leave.
            for (task, result) in results.iter().enumerate() {
                for part in 0..result.len().div_ceil(PART) {
                    self.store.set(&format!("{task}/{part}"), &[])?;
                }
            }
        }
        Ok(results)
    }

    fn missing(&self) -> Vec<usize> {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.iter().enumerate().filter(|(_, result)| result.is_none()).map(|(task, _)| task).collect()
    }

    fn put(&self, task: usize, result: Vec<u8>) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = results.get_mut(task) {
            *place = Some(result);
        }
    }

    fn publish(&self, task: usize, result: &[u8]) -> Result<()> {
        for (part, bytes) in result.chunks(PART).enumerate() {
            self.store.set(&format!("{task}/{part}"), bytes)?;
        }
        Ok(self.store.set(&format!("{task}/size"), result.len().to_string().as_bytes())?)
    }

    fn fetch(&self, task: usize) -> Result<Vec<u8>> {
        let size = self.store.get(&format!("{task}/size"))?.unwrap_or_default();
        let size: usize = String::from_utf8_lossy(&size).parse().map_err(|_| unfit(&size))?;
        let mut result = Vec::new();
        for part in 0..size.div_ceil(PART) {
            result.extend(self.store.get(&format!("{task}/{part}"))?.unwrap_or_default());
        }
        if result.len() == size { Ok(result) } else { Err(unfit(&result)) }
    }
}

/// What a rank said makes no sense here.
pub(super) fn unfit(said: &[u8]) -> Error {
    let beginning = String::from_utf8_lossy(said.get(..said.len().min(40)).unwrap_or_default()).into_owned();
    Problem::Disagreement { objections: vec![format!("a rank sent `{beginning}`")] }.into()
}

//! What rank 0 does with the states of all ranks: it brings them into the plan's order and commits them.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use activations::{BatchStates, StoreWriter};
use torch_runtime::dist::{Group, Ranks, Store};

use super::deliver::{ANNOUNCED, DRAINED, announcement, take};
use super::parcel::{self, Announcement};
use super::{Grid, Run, claims};
use crate::error::Result;
use crate::extract::pipeline::{Inbox, Progress, Received};

/// How often it is looked whether there is something to do.
const LOOK: Duration = Duration::from_millis(5);
/// The most bytes of states that wait for an earlier batch. What others have computed waits with them meanwhile.
const WAITING: u64 = 2 << 30;

/// The states that wait to be committed, and the ranks they come from.
pub(super) struct Collector<'a> {
    ranks: &'a Ranks,
    grid: Grid,
    store: Store,
    group: Group,
    writer: &'a mut StoreWriter,
    progress: &'a Progress,
    /// By their batch the states of every stage, once they are there, and the bytes of all.
    waiting: HashMap<usize, Vec<Option<BatchStates>>>,
    bytes: u64,
    /// Computed elsewhere, by the number of the announcement.
    announced: Vec<(i64, Announcement)>,
    /// How many announcements were read.
    heard: i64,
}

impl<'a> Collector<'a> {
    pub(super) fn new(run: &Run<'a>, writer: &'a mut StoreWriter, progress: &'a Progress) -> Result<Self> {
        Ok(Self {
            ranks: run.ranks,
            grid: run.grid,
            store: run.connection()?,
            group: run.group()?,
            writer,
            progress,
            waiting: HashMap::new(),
            bytes: 0,
            announced: Vec::new(),
            heard: 0,
        })
    }

    /// Commits what comes, until every batch is in the store, or until nothing more will come.
    pub(super) fn run(mut self, inbox: &Inbox<'_>) -> Result<()> {
        let ranks = self.ranks;
        self.collect(inbox).map_err(|error| ranks.explained(error))
    }

    fn collect(&mut self, inbox: &Inbox<'_>) -> Result<()> {
        let mut own: Option<(usize, BatchStates)> = None;
        let mut own_ended = false;
        loop {
            self.commit()?;
            if self.writer.remaining().is_empty() {
                return claims::end(&self.store);
            }
            self.ranks.check()?;
            if own.is_none() && !own_ended {
                match inbox.within(LOOK)? {
                    Received::Batch(batch, states) => own = Some((batch, states)),
                    Received::Nothing => {}
                    Received::End => {
                        own_ended = true;
                        claims::end(&self.store)?;
                    }
                }
            } else {
                std::thread::sleep(LOOK);
            }
            if let Some((batch, states)) = own.take_if(|(batch, _)| self.has_room(*batch)) {
                self.put(self.ranks.rank(), batch, states);
            }
            // Before the announcements: who has delivered everything announces nothing more.
            let drained = self.store.add(DRAINED, 0)? as usize + 1 == self.ranks.size();
            self.hear()?;
            self.receive()?;
            if own_ended && own.is_none() && drained && self.announced.is_empty() {
                // Asked to stop. What waits for a batch that nobody has computed is computed again another time.
                return self.commit();
            }
        }
    }

    /// Commits what is next in the plan's order.
    fn commit(&mut self) -> Result<()> {
        while let Some(&next) = self.writer.remaining().first() {
            if !self.waiting.get(&next).is_some_and(|stages| stages.iter().all(Option::is_some)) {
                return Ok(());
            }
            let stages = self.waiting.remove(&next).unwrap_or_default();
            // The columns are in the order of the pass.
            let columns = stages.into_iter().flatten().flat_map(|stage| stage.columns).collect();
            let states = BatchStates { columns };
            self.bytes -= parcel::bytes(&states);
            let rows = self.writer.manifest().batches[next].len();
            self.writer.commit(next, states)?;
            self.progress.done.fetch_add(rows, Ordering::Release);
        }
        Ok(())
    }

    /// Whether a batch may be taken: the next one always.
    fn has_room(&self, batch: usize) -> bool {
        self.bytes < WAITING || self.writer.remaining().first() == Some(&batch)
    }

    fn put(&mut self, rank: usize, batch: usize, states: BatchStates) {
        self.bytes += parcel::bytes(&states);
        let none = || (0..self.grid.stages()).map(|_| None).collect();
        let stages: &mut Vec<_> = self.waiting.entry(batch).or_insert_with(none);
        stages[self.grid.stage(rank)] = Some(states);
    }

    /// Reads what others have announced.
    fn hear(&mut self) -> Result<()> {
        let count = self.store.add(ANNOUNCED, 0)?;
        while self.heard < count {
            // Counted first and said then.
            let Some(said) = self.store.get(&announcement(self.heard + 1))? else { return Ok(()) };
            self.heard += 1;
            self.announced.push((self.heard, Announcement::read(&said)?));
        }
        Ok(())
    }

    /// Receives what there is room for, the earliest batches first.
    fn receive(&mut self) -> Result<()> {
        self.announced.sort_by_key(|(_, announced)| announced.batch);
        while let Some((number, announced)) = self.announced.first().copied() {
            if !self.has_room(announced.batch) {
                return Ok(());
            }
            self.announced.remove(0);
            self.store.set(&take(number), &[])?;
            let states = parcel::receive(&self.group, announced.rank, self.writer.manifest().kind)?;
            self.put(announced.rank, announced.batch, states);
        }
        Ok(())
    }
}

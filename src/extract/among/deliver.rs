//! What a rank that has no store does with its states: it announces them, and sends them once rank 0 takes them.

use std::sync::atomic::Ordering;

use torch_runtime::dist::{Group, Ranks, Store};

use super::parcel::{self, Announcement};
use super::{Run, claims};
use crate::error::Result;
use crate::extract::pipeline::{Inbox, Progress};

/// How many batches were announced.
pub(super) const ANNOUNCED: &str = "announced";
/// How many ranks have delivered everything.
pub(super) const DRAINED: &str = "drained";

/// The N-th announcement.
pub(super) fn announcement(number: i64) -> String {
    format!("announce/{number}")
}

/// Rank 0's answer to it.
pub(super) fn take(number: i64) -> String {
    format!("take/{number}")
}

/// A rank's way to rank 0's store of states.
pub(super) struct Delivery<'a> {
    ranks: &'a Ranks,
    store: Store,
    group: Group,
    batches: &'a [Vec<usize>],
    progress: &'a Progress,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(run: &Run<'a>, batches: &'a [Vec<usize>], progress: &'a Progress) -> Result<Self> {
        Ok(Self { ranks: run.ranks, store: run.connection()?, group: run.group()?, batches, progress })
    }

    /// Delivers what comes, until nothing more does.
    pub(super) fn run(self, inbox: &Inbox<'_>) -> Result<()> {
        self.deliver(inbox).map_err(|error| self.ranks.explained(error))
    }

    fn deliver(&self, inbox: &Inbox<'_>) -> Result<()> {
        while let Some((batch, states)) = inbox.next()? {
            let announced = Announcement { rank: self.ranks.rank(), batch };
            let number = self.store.add(ANNOUNCED, 1)?;
            self.store.set(&announcement(number), &announced.write())?;
            // Until rank 0 has room: this rank's model waits, too, then.
            if self.store.wait(&take(number), || self.ranks.lost().is_none())?.is_none() {
                return Ok(self.ranks.check()?);
            }
            parcel::send(&self.group, &states, 0)?;
            self.progress.done.fetch_add(self.batches[batch].len(), Ordering::Release);
        }
        claims::end(&self.store)?;
        self.store.add(DRAINED, 1)?;
        Ok(())
    }
}

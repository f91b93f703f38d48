//! Which batch a rank computes next.

use torch_runtime::dist::{Ranks, Store};

use super::Run;
use crate::error::Result;

/// The batches that a rank claims, one after another, of those that the store lacks. Who is fast claims more.
pub(super) struct Claims<'a> {
    ranks: &'a Ranks,
    store: Store,
    missing: Vec<usize>,
}

/// How many batches were claimed.
const NEXT: &str = "next";
/// More than there are.
const ALL: i64 = 1 << 40;

impl<'a> Claims<'a> {
    pub(super) fn new(run: &Run<'a>, missing: Vec<usize>) -> Result<Self> {
        Ok(Self { ranks: run.ranks, store: run.connection()?, missing })
    }
}

impl Iterator for Claims<'_> {
    type Item = Result<usize>;

    fn next(&mut self) -> Option<Result<usize>> {
        if let Err(lost) = self.ranks.check() {
            return Some(Err(lost.into()));
        }
        match self.store.add(NEXT, 1) {
            Ok(claimed) => self.missing.get(usize::try_from(claimed - 1).ok()?).copied().map(Ok),
            Err(error) => Some(Err(self.ranks.explained(error.into()))),
        }
    }
}

/// Leaves nothing to claim, to any rank: one was asked to stop, or failed, or there is nothing left.
pub(super) fn end(store: &Store) -> Result<()> {
    store.add(NEXT, ALL)?;
    Ok(())
}

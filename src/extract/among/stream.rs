//! The residual stream between two stages: a thread of the one sends what its model leaves, a thread of the other receives
//! it before its model asks.

use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use llama_core::tch::{Device, Tensor};
use torch_runtime::dist::{Group, Ranks, Store};

use super::Run;
use crate::error::{Result, unfit};
use crate::extract::batch::torch;
use crate::extract::pipeline::{Leaving, Progress, Work};

/// Messages are of one kind.
const TAG: i32 = 2;
/// What is said after the last batch.
const END: &[u8] = b"end";

/// What one stage says of the N-th batch before it sends it: the batch, and for each of its pieces whether a stream
/// leaves it.
fn key(from: usize, number: usize) -> String {
    format!("stream/{from}/{number}")
}

/// The way to the next stage.
pub(super) struct Downstream<'a> {
    ranks: &'a Ranks,
    store: Store,
    group: Group,
    to: usize,
}

impl<'a> Downstream<'a> {
    pub(super) fn new(run: &Run<'a>, group: Group) -> Result<Self> {
        Ok(Self { ranks: run.ranks, store: run.connection()?, group, to: run.ranks.rank() + 1 })
    }

    /// Sends what leaves, until nothing more does.
    pub(super) fn run(self, leaving: &Receiver<Leaving>) -> Result<()> {
        self.send_all(leaving).map_err(|error| self.ranks.explained(error))
    }

    fn send_all(&self, leaving: &Receiver<Leaving>) -> Result<()> {
        let own = self.ranks.rank();
        let mut number = 0;
        while let Ok(Leaving { batch, streams }) = leaving.recv() {
            let there = streams.iter().map(|stream| if stream.is_some() { '1' } else { '0' });
            let said = format!("{batch} {}", there.collect::<String>());
            self.store.set(&key(own, number), said.as_bytes())?;
            number += 1;
            for stream in streams.iter().flatten() {
                let stream = torch(stream.f_to_device(Device::Cpu).and_then(|stream| stream.f_contiguous()))?;
                self.group.send(&stream, self.to, TAG)?;
            }
        }
        Ok(self.store.set(&key(own, number), END)?)
    }
}

/// What the stage before sends.
pub(super) struct Upstream<'a> {
    ranks: &'a Ranks,
    store: Store,
    group: Group,
    progress: &'a Progress,
    from: usize,
    received: usize,
    ended: bool,
}

impl<'a> Upstream<'a> {
    pub(super) fn new(run: &Run<'a>, group: Group, progress: &'a Progress) -> Result<Self> {
        let (ranks, from) = (run.ranks, run.ranks.rank() - 1);
        Ok(Self { ranks, store: run.connection()?, group, progress, from, received: 0, ended: false })
    }

    fn receive(&mut self) -> Result<Option<Work>> {
        // A receive is deaf to a peer that dies, so it begins when the peer sends.
        let goes_on = || self.ranks.lost().is_none() && !self.progress.over.load(Ordering::SeqCst);
        let said = self.store.wait(&key(self.from, self.received), goes_on)?;
        let Some(said) = said else {
            self.ranks.check()?;
            return Ok(None);
        };
        if said == END {
            return Ok(None);
        }
        self.received += 1;
        let said = String::from_utf8_lossy(&said);
        let unfit = || unfit(format!("a stage said `{said}`"));
        let (batch, there) = said.split_once(' ').ok_or_else(unfit)?;
        let number = batch.parse().map_err(|_| unfit())?;
        let stream = |there| (there == '1').then(|| self.group.receive(self.from, TAG)).transpose();
        let streams: Vec<Option<Tensor>> = there.chars().map(stream).collect::<Result<_, _>>()?;
        Ok(Some(Work { number, streams: Some(streams) }))
    }
}

impl Iterator for Upstream<'_> {
    type Item = Result<Work>;

    fn next(&mut self) -> Option<Result<Work>> {
        if self.ended {
            return None;
        }
        let received = self.receive().map_err(|error| self.ranks.explained(error)).transpose();
        self.ended = !matches!(received, Some(Ok(_)));
        received
    }
}

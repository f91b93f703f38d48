//! Batches through the model, with what comes before and after beside it: one thread lays out the next batches, one reads
//! states from the device and keeps them, the model runs on the caller's. Queues are short: a slow disk slows the model and
//! never grows the memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(feature = "distributed")]
use std::sync::mpsc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::ScopedJoinHandle;

use activations::{BatchStates, RowKind, StoreWriter};
use host::threads::spawn_scoped;
use llama_core::tch::{self, Tensor};

use super::batch::{BatchRunner, Outputs, PreparedBatch, asked_to_stop};
use super::examples::Example;
use super::token_rule::TokenRule;
use super::{Observer, log};
use crate::error::{Error, Result};

/// Batches that wait, laid out, for the model, and computed ones that wait to be read.
pub(super) const QUEUE: usize = 2;

/// A batch of the plan that this process is to compute.
pub(super) struct Work {
    pub(super) number: usize,
    /// Of a stage that does not begin: what enters each piece, where the stage before computed something that it wants.
    pub(super) streams: Option<Vec<Option<Tensor>>>,
}

impl From<usize> for Work {
    fn from(number: usize) -> Self {
        Self { number, streams: None }
    }
}

/// What leaves a stage for the next one: of each piece of a batch.
pub(super) struct Leaving {
    pub(super) batch: usize,
    pub(super) streams: Vec<Option<Tensor>>,
}

/// A thread's work: what leaves a stage, sent on.
pub(super) type Onward<'a> = Box<dyn FnOnce(&Receiver<Leaving>) -> Result<()> + Send + 'a>;

/// A batch laid out: usually in one piece, several where it had to be divided.
struct LaidOut<'p> {
    number: usize,
    pieces: Vec<PreparedBatch<'p>>,
}

/// A batch that the model has been through.
struct Computed<'p> {
    number: usize,
    pieces: Vec<(PreparedBatch<'p>, Outputs)>,
}

/// What the model does with the batches.
pub(super) struct Pipeline<'a> {
    pub(super) runner: BatchRunner<'a>,
    pub(super) examples: &'a [Example<'a>],
    pub(super) kind: RowKind,
    /// The plan: the rows of every batch.
    pub(super) batches: &'a [Vec<usize>],
    /// Batches that are laid out before the model asks for them.
    pub(super) ahead: usize,
    /// Each example has a pass of its own, so that no row's bytes depend on its neighbors.
    pub(super) one_a_pass: bool,
    /// Whether a batch for which memory runs out is divided.
    pub(super) divides: bool,
    /// Tokens, padding included, that one pass over a streamed model's weights is made for; 0 where the model is in memory.
    pub(super) group_tokens: usize,
    /// Once true, no further batch is begun.
    pub(super) stop: Option<&'a AtomicBool>,
}

/// Rows that were kept, of how many; who keeps them counts.
pub(super) struct Progress {
    pub(super) done: AtomicUsize,
    pub(super) total: usize,
    /// The model is through, or has failed: nobody waits for further batches.
    pub(super) over: AtomicBool,
}

impl Progress {
    pub(super) fn new(done: usize, total: usize) -> Self {
        Self { done: AtomicUsize::new(done), total, over: AtomicBool::new(false) }
    }
}

/// Batches that the model has been through, for who keeps their states.
pub(super) struct Inbox<'p> {
    computed: Receiver<Computed<'p>>,
    rules: &'p [TokenRule],
}

/// Where batches go that the model has been through.
struct Out<'p> {
    computed: SyncSender<Computed<'p>>,
    /// To the next stage.
    leaving: Option<SyncSender<Leaving>>,
}

/// What an [`Inbox`] held.
#[cfg(feature = "distributed")]
pub(super) enum Received {
    /// A batch's number, and its states, read from the device.
    Batch(usize, BatchStates),
    Nothing,
    /// Nothing more will come.
    End,
}

impl Inbox<'_> {
    /// The next batch, waited for no longer than that.
    #[cfg(feature = "distributed")]
    pub(super) fn within(&self, time: std::time::Duration) -> Result<Received> {
        match self.computed.recv_timeout(time) {
            Ok(computed) => self.read(computed).map(|(number, states)| Received::Batch(number, states)),
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(Received::Nothing),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(Received::End),
        }
    }

    /// The next batch; none at the end.
    pub(super) fn next(&self) -> Result<Option<(usize, BatchStates)>> {
        self.computed.recv().ok().map(|computed| self.read(computed)).transpose()
    }

    /// The number of the next batch, whose states nobody reads here; none at the end.
    #[cfg(feature = "distributed")]
    pub(super) fn skip(&self) -> Option<usize> {
        self.computed.recv().ok().map(|computed| computed.number)
    }

    fn read(&self, Computed { number, pieces }: Computed<'_>) -> Result<(usize, BatchStates)> {
        let _no_gradients = tch::no_grad_guard();
        let mut whole = BatchStates::default();
        for (prepared, shown) in pieces {
            append(&mut whole, prepared.read(shown, self.rules)?);
        }
        Ok((number, whole))
    }
}

impl Pipeline<'_> {
    /// Runs the model over the batches that `claims` gives, until the observer has seen enough; `keep` takes their states,
    /// and `onward` what leaves a stage.
    pub(super) fn run(
        &self,
        claims: impl Iterator<Item = Result<Work>> + Send,
        onward: Option<Onward<'_>>,
        keep: impl FnOnce(Inbox<'_>) -> Result<()> + Send,
        progress: &Progress,
        observer: &mut dyn Observer,
        log: &log::Log,
    ) -> Result<()> {
        std::thread::scope(|scope| {
            let (prepared, laid_out) = sync_channel(self.ahead);
            let lay_out = LayOut {
                examples: self.examples,
                kind: self.kind,
                sharing: self.runner.sharing,
                one_a_pass: self.one_a_pass,
            };
            let batches = self.batches;
            let prepare = move || {
                for work in claims {
                    let work = work.and_then(|work| lay_out.batch(&batches[work.number], work));
                    let failed = work.is_err();
                    // Nobody listens any more after an error or an interruption.
                    if prepared.send(work).is_err() || failed {
                        return;
                    }
                }
            };
            let (computed, to_read) = sync_channel(QUEUE);
            let inbox = Inbox { computed: to_read, rules: self.runner.rules };
            spawn_scoped(scope, "layout", prepare)?;
            let keeper = spawn_scoped(scope, "states", move || keep(inbox))?;
            let (leaving, to_send) = sync_channel(QUEUE);
            let is_stage = onward.is_some();
            let send_on = move || onward.map_or(Ok(()), |onward| onward(&to_send));
            let sender = spawn_scoped(scope, "stream", send_on)?;
            let out = Out { computed, leaving: is_stage.then_some(leaving) };
            let driven = self.drive(&laid_out, &out, progress, observer, log);
            progress.over.store(true, Ordering::SeqCst);
            drop((laid_out, out)); // all threads end
            let joined = |thread: ScopedJoinHandle<'_, Result<()>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            // An error of the disk is why the model could not go on, so it comes first.
            joined(keeper).and(joined(sender)).and(driven)?;
            let _ = observer.rows(progress.done.load(Ordering::Acquire), progress.total);
            Ok(())
        })
    }

    /// The model's part, on the thread that LibTorch's settings were made for.
    fn drive<'p>(
        &self,
        laid_out: &Receiver<Result<LaidOut<'p>>>,
        out: &Out<'p>,
        progress: &Progress,
        observer: &mut dyn Observer,
        log: &log::Log,
    ) -> Result<()> {
        let mut limit = Limit::default();
        let mut finished = false;
        while !finished && !self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            // As many batches as one pass over the weights is made for; the last group has what is left.
            let mut group: Vec<LaidOut<'p>> = Vec::new();
            let mut tokens = 0;
            while group.is_empty() || tokens < self.group_tokens {
                let Ok(work) = laid_out.recv() else {
                    finished = true;
                    break;
                };
                let work = work?;
                tokens += work.pieces.iter().map(PreparedBatch::layout_tokens).sum::<usize>();
                group.push(work);
            }
            let through = match self.through(group, &mut limit, observer, log) {
                Err(error) if asked_to_stop(&error) => return Ok(()),
                through => through?,
            };
            for mut done in through {
                // First what others wait for.
                let streams = done.pieces.iter_mut().map(|(_, outputs)| outputs.leaving.take()).collect();
                let leaving = Leaving { batch: done.number, streams };
                let sent = out.leaving.as_ref().is_none_or(|next| next.send(leaving).is_ok());
                if !sent || out.computed.send(done).is_err() {
                    return Ok(()); // who keeps or sends them says why
                }
            }
            if observer.rows(progress.done.load(Ordering::Acquire), progress.total).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A group of batches through the model.
    fn through<'p>(
        &self,
        group: Vec<LaidOut<'p>>,
        limit: &mut Limit,
        observer: &mut dyn Observer,
        log: &log::Log,
    ) -> Result<Vec<Computed<'p>>> {
        let mut numbers = Vec::new();
        let mut pieces = Vec::new();
        for work in group {
            numbers.extend(work.pieces.iter().map(|piece| (work.number, piece.rows().len())));
            pieces.extend(work.pieces);
        }
        let mut forward = |pieces: &[PreparedBatch<'p>]| self.runner.forward(pieces);
        let shown = if self.divides {
            limit.divide(pieces, &mut forward, &mut |tokens| {
                let text = format!("out of memory with {tokens} tokens at once; going on with half as many");
                observer.notice(&text);
                log.write("out_of_memory", &serde_json::json!({ "tokens": tokens }))
            })?
        } else {
            let shown = forward(&pieces)?;
            pieces.into_iter().zip(shown).collect()
        };
        // Pieces come back in order, perhaps divided further: each batch takes its rows' worth.
        let mut shown = shown.into_iter();
        let mut batches: Vec<Computed<'p>> = Vec::new();
        for (number, rows) in numbers {
            if batches.last().is_none_or(|batch| batch.number != number) {
                batches.push(Computed { number, pieces: Vec::new() });
            }
            let mut left = rows;
            while let (Some(batch), true) = (batches.last_mut(), left > 0) {
                let Some(piece) = shown.next() else { break };
                left = left.saturating_sub(piece.0.rows().len());
                batch.pieces.push(piece);
            }
        }
        Ok(batches)
    }
}

/// How batches are laid out.
struct LayOut<'p> {
    examples: &'p [Example<'p>],
    kind: RowKind,
    sharing: bool,
    one_a_pass: bool,
}

impl<'p> LayOut<'p> {
    fn batch(&self, rows: &[usize], work: Work) -> Result<LaidOut<'p>> {
        let piece = |rows| PreparedBatch::new(self.examples, self.kind, rows, self.sharing);
        let pieces: Result<Vec<_>> = if self.one_a_pass {
            rows.iter().map(|&row| piece(vec![row])).collect()
        } else {
            piece(rows.to_vec()).map(|piece| vec![piece])
        };
        let mut pieces = pieces?;
        for (piece, stream) in pieces.iter_mut().zip(work.streams.into_iter().flatten()) {
            piece.enter(stream);
        }
        Ok(LaidOut { number: work.number, pieces })
    }
}

/// Commits states to a store, batch after batch.
pub(super) fn commit(writer: &mut StoreWriter, inbox: &Inbox<'_>, progress: &Progress) -> Result<()> {
    while let Some((number, states)) = inbox.next()? {
        let rows = writer.manifest().batches[number].len();
        writer.commit(number, states)?;
        progress.done.fetch_add(rows, Ordering::Release);
    }
    Ok(())
}

/// Rows behind rows.
pub(crate) fn append(whole: &mut BatchStates, part: BatchStates) {
    if whole.columns.is_empty() {
        *whole = part;
        return;
    }
    for (whole, part) in whole.columns.iter_mut().zip(part.columns) {
        // Both are of the same examples.
        let _ = whole.append(part);
    }
}

/// The most tokens that one pass takes, once memory has run out.
#[derive(Debug, Default)]
struct Limit {
    tokens: Option<usize>,
}

impl Limit {
    /// Runs pieces through `forward`, all at once if memory allows, otherwise in halves; a limit that was found holds for
    /// all later pieces.
    fn divide<'p>(
        &mut self,
        pieces: Vec<PreparedBatch<'p>>,
        forward: &mut dyn FnMut(&[PreparedBatch<'p>]) -> Result<Vec<Outputs>>,
        notice: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Vec<(PreparedBatch<'p>, Outputs)>> {
        let tokens = pieces.iter().map(PreparedBatch::layout_tokens).sum::<usize>();
        let error = if self.tokens.is_some_and(|limit| tokens > limit) {
            None
        } else {
            match forward(&pieces) {
                Ok(shown) => return Ok(pieces.into_iter().zip(shown).collect()),
                Err(Error::Llama(error)) if error.is_out_of_memory() => Some(error),
                Err(error) => return Err(error),
            }
        };
        match (halves(pieces)?, error) {
            (Ok([first, second]), error) => {
                if error.is_some() {
                    notice(tokens)?;
                    self.tokens = Some(tokens / 2);
                }
                let mut shown = self.divide(first, forward, notice)?;
                shown.extend(self.divide(second, forward, notice)?);
                Ok(shown)
            }
            // One example is the least there is.
            (Err(_), Some(error)) => Err(error.into()),
            (Err(pieces), None) => {
                let shown = forward(&pieces)?;
                Ok(pieces.into_iter().zip(shown).collect())
            }
        }
    }
}

/// Pieces as two halves: of their number, or of a single piece's rows. Given back if they are one example.
#[allow(clippy::type_complexity)] // two lists, or the one that cannot be divided
fn halves(
    mut pieces: Vec<PreparedBatch<'_>>,
) -> Result<Result<[Vec<PreparedBatch<'_>>; 2], Vec<PreparedBatch<'_>>>> {
    if pieces.len() > 1 {
        let second = pieces.split_off(pieces.len() / 2);
        return Ok(Ok([pieces, second]));
    }
    let divided = pieces.first().map(PreparedBatch::halves).transpose()?.flatten();
    Ok(match divided {
        Some([first, second]) => Ok([vec![first], vec![second]]),
        None => Err(pieces),
    })
}

#[cfg(test)]
mod tests {
    use boolq::{AnswerSpans, ContrastPair, TokenizedPair, TokenizedPrompt};
    use llama_core::tch::TchError;

    use super::super::Examples;
    use super::*;

    fn pairs(n: usize) -> Vec<TokenizedPair> {
        let pair = |i: usize| {
            let prompt = |answer: u32| TokenizedPrompt {
                ids: vec![i as u32, 1, 2, answer],
                answer: 3..4,
                joined: false,
            };
            let pair = ContrastPair {
                idx: i as u64,
                plus_prompt: String::new(),
                minus_prompt: String::new(),
                answers: AnswerSpans { plus: 0..0, minus: 0..0 },
                label: true,
                question_id: i.to_string(),
                group: String::new(),
                template: String::new(),
                dataset: String::new(),
                classes: None,
                chat: None,
                columns: boolq::DataColumns::default(),
            };
            TokenizedPair { pair, plus: prompt(7), minus: prompt(8), seam: false }
        };
        (0..n).map(pair).collect()
    }

    /// A device with room for some tokens.
    fn forward(room: usize, seen: &mut Vec<usize>, pieces: &[PreparedBatch<'_>]) -> Result<Vec<Outputs>> {
        let tokens = pieces.iter().map(PreparedBatch::layout_tokens).sum::<usize>();
        seen.push(tokens);
        if tokens > room {
            let text = "CUDA out of memory. Tried to allocate 2.00 GiB.".to_owned();
            return Err(llama_core::Error::from(TchError::Torch(text)).into());
        }
        Ok(pieces.iter().map(|_| Outputs { captured: Vec::new(), answers: None, leaving: None }).collect())
    }

    #[test]
    fn memory_that_runs_out_halves_batches_and_keeps_their_rows_in_order() {
        let pairs = pairs(12);
        let rows = Examples::from(&pairs).rows();
        let work = |range: std::ops::Range<usize>| {
            PreparedBatch::new(&rows, RowKind::Pairs, range.collect(), true).expect("layout")
        };
        let (mut limit, mut seen, mut notices) = (Limit::default(), Vec::new(), Vec::new());
        // Five tokens a pair: eight pairs are 40, four 20, two 10; then a limit of 10 is known.
        let mut divide = |pieces| {
            limit.divide(pieces, &mut |pieces| forward(17, &mut seen, pieces), &mut |tokens| {
                notices.push(tokens);
                Ok(())
            })
        };
        let rows = |shown: &[(PreparedBatch<'_>, Outputs)]| -> Vec<usize> {
            shown.iter().flat_map(|(piece, _)| piece.rows().to_vec()).collect()
        };
        let shown = divide(vec![work(0..8)]).expect("in halves");
        assert_eq!(rows(&shown), (0..8).collect::<Vec<_>>());
        let shown = divide(vec![work(0..3), work(3..4), work(4..12)]).expect("in halves");
        assert_eq!(rows(&shown), (0..12).collect::<Vec<_>>());
        assert_eq!(notices, [40, 20]);
        assert_eq!(&seen[..3], [40, 20, 10]);
        assert!(seen[3..].iter().all(|&tokens| tokens <= 10), "{seen:?}");
    }

    #[test]
    fn a_single_pair_that_does_not_fit_is_the_devices_own_error() {
        let pairs = pairs(2);
        let rows = Examples::from(&pairs).rows();
        let piece = PreparedBatch::new(&rows, RowKind::Pairs, vec![0, 1], true).expect("layout");
        let mut seen = Vec::new();
        let error = Limit::default()
            .divide(vec![piece], &mut |pieces| forward(4, &mut seen, pieces), &mut |_| Ok(()))
            .err()
            .expect("no room")
            .to_string();
        assert!(error.contains("out of memory"), "{error}");
        assert_eq!(seen, [10, 5]);
    }
}

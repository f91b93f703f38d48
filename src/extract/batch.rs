//! One batch of pairs or statements through the model: states under every token rule, and of pairs answer probabilities,
//! of all sides, from one forward pass.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use activations::{BatchStates, ColumnStates, RowKind};
use llama_core::tch::kind::Element;
use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{
    Action, Activation, Batch, Capture, Captured, Edits, FnHook, Forward, Hook, HookPoint, HookSet, Llama,
    Site, Tokens,
};

use super::examples::{Example, Prompt};
use super::plan;
use super::token_rule::TokenRule;
use crate::error::{Error, Result};

/// Runs the model over batches of examples, each in the same way.
pub(crate) struct BatchRunner<'a> {
    pub(crate) llama: &'a Llama,
    pub(crate) hooks: &'a HookSet,
    pub(crate) rules: &'a [TokenRule],
    /// Changes of activations on the way, before anything is read.
    pub(crate) edits: Option<&'a Edits>,
    /// Whether what prompts of one question have in common is computed once.
    pub(crate) sharing: bool,
    /// Once true, a pass ends before the next block; [`asked_to_stop`] knows its error.
    pub(crate) stop: Option<&'a AtomicBool>,
}

/// A hook's error: the pass was asked to stop.
#[derive(Debug, thiserror::Error)]
#[error("stopped between two blocks")]
struct AskedToStop;

/// Whether a pass ended because it was asked to.
pub(super) fn asked_to_stop(error: &Error) -> bool {
    matches!(error, Error::Llama(llama_core::Error::Hook { source, .. }) if source.is::<AskedToStop>())
}

/// Examples laid out for one forward pass.
pub(super) struct PreparedBatch<'p> {
    examples: &'p [Example<'p>],
    kind: RowKind,
    rows: Vec<usize>,
    sharing: bool,
    /// In the layout's order.
    prompts: Vec<&'p Prompt<'p>>,
    /// For each prompt the positions whose next token is one of the answer's; none for statements.
    before_answer: Option<Vec<Vec<usize>>>,
    /// Where the layout has the first side of all rows, then the second.
    order: Vec<usize>,
    batch: Batch,
    entering: Entering,
}

/// Where a batch begins.
enum Entering {
    /// With its tokens.
    Tokens,
    /// In a stage, with the residual stream that the one before left. \[B, T, D\]
    Stream(Tensor),
    /// Nowhere: an earlier stage had the last point that is wanted.
    Nothing,
}

/// What a forward pass showed, on its device. Everything that LibTorch computes is done: whoever reads it only copies, since
/// two threads with LibTorch's own threads each would wait for one another's cores.
pub(super) struct Outputs {
    pub(super) captured: Vec<Captured>,
    /// log P of the answers' tokens, prompt after prompt, in f64. \[S\]
    pub(super) answers: Option<Tensor>,
    /// The residual stream for the next stage. \[B, T, D\]
    pub(super) leaving: Option<Tensor>,
}

impl BatchRunner<'_> {
    /// The columns of some batches, in the manifest's order: every hook point under every rule, then the answer's
    /// log-probability as a sum and as a mean.
    pub(crate) fn states(
        &self,
        examples: &[Example<'_>],
        kind: RowKind,
        batches: &[Vec<usize>],
    ) -> Result<Vec<BatchStates>> {
        let prepare = |rows: &Vec<usize>| PreparedBatch::new(examples, kind, rows.clone(), self.sharing);
        let group = batches.iter().map(prepare).collect::<Result<Vec<_>>>()?;
        let shown = self.forward(&group)?;
        group.iter().zip(shown).map(|(prepared, shown)| prepared.read(shown, self.rules)).collect()
    }

    /// Runs the model over some batches, in one pass over its weights if they are streamed.
    pub(super) fn forward(&self, group: &[PreparedBatch<'_>]) -> Result<Vec<Outputs>> {
        let edit = || self.edits.map(|e| e.hook(self.llama.config(), self.llama.device())).transpose();
        let mut edits = group.iter().map(|_| edit()).collect::<Result<Vec<_>, _>>()?;
        let capture = |prepared: &PreparedBatch<'_>| -> Vec<Capture> {
            let rules = self.rules.iter();
            rules
                .map(|rule| {
                    Capture::new(self.hooks.clone(), rule.tokens(&prepared.prompts)).kind(Kind::Float)
                })
                .collect()
        };
        let mut captures: Vec<Vec<Capture>> = group.iter().map(capture).collect();
        // What logits are made of, and not the logits: those of whole answers would not fit beside the model.
        let before_answer = |prepared: &PreparedBatch<'_>| {
            let before = prepared.before_answer.as_ref().filter(|_| !self.llama.config().headless)?;
            Some(Capture::new(HookPoint::FinalOut, Tokens::At(before.clone())))
        };
        let mut finals: Vec<Option<Capture>> = group.iter().map(before_answer).collect();
        let mut stops: Vec<_> =
            group.iter().map(|_| self.stop.map(|stop| self.between_blocks(stop))).collect();
        let hooked = captures.iter_mut().zip(&mut finals).zip(edits.iter_mut().zip(&mut stops));
        let runs = group.iter().zip(hooked).map(|(prepared, ((captures, last), (edits, stop)))| {
            let mut run = Forward::new();
            if let Entering::Stream(stream) = &prepared.entering {
                run = run.entering(torch(stream.f_alias())?);
            }
            if let Some(read) = prepared.read_tokens(self.rules).filter(|_| edits.is_none()) {
                run = run.reads(read);
            }
            if let Some(edits) = edits {
                run = run.hook(edits);
            }
            if let Some(stop) = stop {
                run = run.hook(stop);
            }
            if let Some(last) = last {
                run = run.hook(last);
            }
            Ok((&prepared.batch, captures.iter_mut().fold(run, |run, capture| run.hook(capture))))
        });
        let begins = |prepared: &PreparedBatch<'_>| !matches!(prepared.entering, Entering::Nothing);
        let runs: Vec<(&Batch, Forward<'_>)> = runs.collect::<Result<_>>()?;
        let runs = runs.into_iter().zip(group).filter(|(_, prepared)| begins(prepared)).map(|(run, _)| run);
        let mut outputs = self.llama.forward_all(runs)?.into_iter();
        let shown = captures.into_iter().zip(finals).zip(group).map(|((captures, last), prepared)| {
            let output = if begins(prepared) { outputs.next() } else { None };
            let normed = last.and_then(|last| last.finish().take(HookPoint::FinalOut)); // [S, D]
            let answers =
                normed.map(|normed| self.llama.log_probs(&normed, &prepared.answer_ids())).transpose()?;
            let captured = captures.into_iter().map(Capture::finish).collect();
            Ok(Outputs { captured, answers, leaving: output.and_then(|output| output.leaving) })
        });
        shown.collect()
    }

    /// A hook that looks, before each block, whether the pass is to stop.
    fn between_blocks(&self, stop: &AtomicBool) -> impl Hook {
        let points =
            (0..self.llama.config().n_layers).map(|block| HookPoint::Block(block as u16, Site::ResidPre));
        FnHook::new(points.collect::<HookSet>(), |activation: &Activation<'_>| {
            if stop.load(Ordering::Relaxed) { Err(activation.failed(AskedToStop)) } else { Ok(Action::Keep) }
        })
    }
}

impl<'p> PreparedBatch<'p> {
    pub(super) fn new(
        examples: &'p [Example<'p>],
        kind: RowKind,
        rows: Vec<usize>,
        sharing: bool,
    ) -> Result<Self> {
        let groups = if sharing {
            plan::shared_groups(examples, &rows)
        } else {
            plan::lone_groups(&rows, kind.sides().len())
        };
        // The prompts in the layout's order, each with its index among "the first side of all rows, then the second".
        let prompt = |&(at, side): &plan::Place| {
            let prompt: &'p Prompt<'p> = &examples[rows[at]].prompts[side];
            (side * rows.len() + at, prompt)
        };
        let laid_out: Vec<(usize, &'p Prompt<'p>)> = groups.iter().flatten().map(prompt).collect();
        let prompts: Vec<&Prompt<'_>> = laid_out.iter().map(|(_, prompt)| *prompt).collect();
        let before_answer = match kind {
            RowKind::Pairs => Some(before_answers(&laid_out, examples, &rows)?),
            RowKind::Statements => None,
        };
        let mut ids = prompts.iter().map(|p| p.ids);
        let layout: Vec<Vec<&[u32]>> =
            groups.iter().map(|group| ids.by_ref().take(group.len()).collect()).collect();
        let (order, batch) = (in_order(&laid_out), Batch::shared(&layout)?);
        let entering = Entering::Tokens;
        Ok(Self { examples, kind, rows, sharing, prompts, before_answer, order, batch, entering })
    }

    /// Begins in a stage, with what the one before left, or nowhere.
    pub(super) fn enter(&mut self, stream: Option<Tensor>) {
        self.entering = stream.map_or(Entering::Nothing, Entering::Stream);
    }

    /// The rows, in order.
    pub(super) fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Tokens of the layout, padding included.
    pub(super) fn layout_tokens(&self) -> usize {
        let (rows, width) = self.batch.shape();
        (rows * width) as usize
    }

    /// The same examples in two layouts of half as many; `None` for a single one.
    pub(super) fn halves(&self) -> Result<Option<[Self; 2]>> {
        let (first, second) = self.rows.split_at(self.rows.len() / 2);
        // What enters a stage is laid out as the batch is.
        if first.is_empty() || !matches!(self.entering, Entering::Tokens) {
            return Ok(None);
        }
        let half = |rows: &[usize]| Self::new(self.examples, self.kind, rows.to_vec(), self.sharing);
        Ok(Some([half(first)?, half(second)?]))
    }

    /// The tokens that rules, and the answers' log-probabilities, read, where those are not all.
    fn read_tokens(&self, rules: &[TokenRule]) -> Option<Tokens> {
        let positions = |(number, prompt): (usize, &&Prompt<'_>)| {
            let length = prompt.ids.len();
            let own = rules.iter().map(|rule| match rule {
                TokenRule::Last => Some(length - 1..length),
                TokenRule::First => Some(0..1),
                TokenRule::AnswerMean | TokenRule::AnswerLast => prompt.answer.clone(),
                TokenRule::Mean | TokenRule::All => None,
            });
            let own = own.collect::<Option<Vec<_>>>()?.into_iter().flatten();
            let before_answer = self.before_answer.iter().flat_map(|all| &all[number]);
            Some(own.chain(before_answer.copied()).collect())
        };
        let prompts = self.prompts.iter().enumerate();
        Some(Tokens::At(prompts.map(positions).collect::<Option<_>>()?))
    }

    /// The answers' tokens, prompt after prompt.
    fn answer_ids(&self) -> Vec<u32> {
        let own = |prompt: &&Prompt<'_>| Some(prompt.ids[prompt.answer.clone()?].to_vec());
        self.prompts.iter().filter_map(own).flatten().collect()
    }

    /// The columns of these examples, read from the device.
    pub(super) fn read(&self, shown: Outputs, rules: &[TokenRule]) -> Result<BatchStates> {
        let points = shown.captured.first().map_or(0, Captured::len);
        let mut captured: Vec<_> = shown.captured.into_iter().map(Captured::into_iter).collect();
        let mut columns = Vec::with_capacity(points * rules.len() + 2);
        for _ in 0..points {
            for (rule, shown) in rules.iter().zip(&mut captured) {
                if let Some((_, shown)) = shown.next() {
                    let states = rule.reduce(values(&shown)?, &self.prompts);
                    columns.push(self.sides(&states, |prompt| rule.states_of(prompt))?);
                }
            }
        }
        if let (Some(answers), Some(before_answer)) = (shown.answers, &self.before_answer) {
            let log_p: Vec<f64> = values(&answers)?;
            let mut rest = log_p.as_slice();
            let (mut sums, mut means) = (Vec::new(), Vec::new());
            for positions in before_answer {
                let (own, others) = rest.split_at(positions.len());
                rest = others;
                let sum: f64 = own.iter().sum();
                sums.push(sum as f32);
                means.push((sum / own.len() as f64) as f32);
            }
            columns.extend([self.sides(&sums, |_| 1)?, self.sides(&means, |_| 1)?]);
        }
        Ok(BatchStates { columns })
    }

    /// The prompts' states, side after side; `states_of` says how many each prompt has.
    ///
    /// # Shapes
    /// `states` \[S, …\], prompt after prompt in the layout's order → each side \[S of its rows, …\], flat
    fn sides(&self, states: &[f32], states_of: impl Fn(&Prompt<'_>) -> usize) -> Result<ColumnStates> {
        // Where each prompt's states begin, in the layout's order.
        let mut starts = vec![0];
        let mut total = 0;
        for prompt in &self.prompts {
            total += states_of(prompt);
            starts.push(total);
        }
        let width = states.len() / total.max(1);
        let mut sides = self.order.chunks(self.rows.len());
        ColumnStates::try_each(self.kind, |_| {
            let prompts = sides.next().unwrap_or_default().iter();
            let own = prompts.flat_map(|&at| &states[starts[at] * width..starts[at + 1] * width]);
            Ok(own.copied().collect())
        })
    }
}

/// Where the layout has the first side of all rows, then the second.
fn in_order(laid_out: &[(usize, &Prompt<'_>)]) -> Vec<usize> {
    let mut order = vec![0; laid_out.len()];
    for (index, (at, _)) in laid_out.iter().enumerate() {
        order[*at] = index;
    }
    order
}

/// For each prompt the positions whose next token is one of the answer's.
fn before_answers(
    prompts: &[(usize, &Prompt<'_>)],
    examples: &[Example<'_>],
    rows: &[usize],
) -> Result<Vec<Vec<usize>>> {
    let position = |&(at, prompt): &(usize, &Prompt<'_>)| {
        let is_within = |answer: &&Range<usize>| {
            answer.start > 0 && answer.start < answer.end && answer.end <= prompt.ids.len()
        };
        let Some(answer) = prompt.answer.as_ref().filter(is_within) else {
            let row = rows[at % rows.len()];
            return Err(Error::NothingBeforeAnswer { row, idx: examples[row].origin.idx });
        };
        Ok((answer.start - 1..answer.end - 1).collect())
    };
    prompts.iter().map(position).collect()
}

/// A tensor's numbers, from whatever device.
fn values<T: Element>(tensor: &Tensor) -> Result<Vec<T>> {
    let tensor = torch(tensor.f_to_device(Device::Cpu).and_then(|tensor| tensor.f_contiguous()))?;
    let mut values = vec![T::ZERO; tensor.numel()];
    torch(tensor.f_copy_data(&mut values, tensor.numel()))?;
    Ok(values)
}

/// LibTorch's errors come by way of llama-core's.
pub(crate) fn torch<T>(result: std::result::Result<T, llama_core::tch::TchError>) -> Result<T> {
    result.map_err(|e| Error::Llama(e.into()))
}

//! One batch of pairs through the model: states under every token rule and answer probabilities, of both sides, from
//! one forward pass.

use activations::{BatchStates, ColumnStates};
use boolq::{TokenizedPair, TokenizedPrompt};
use llama_core::tch::kind::Element;
use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{Batch, Capture, Captured, Edits, HookSet, Llama, Run, Tokens};

use super::plan::{self, Side};
use super::rule::TokenRule;
use crate::error::{Error, Result};

/// What is done to every batch of pairs.
pub(crate) struct Pass<'a> {
    pub(crate) llama: &'a Llama,
    pub(crate) hooks: &'a HookSet,
    pub(crate) rules: &'a [TokenRule],
    /// Changes of activations on the way, before anything is read.
    pub(crate) edits: Option<&'a Edits>,
    /// Whether what prompts of one question have in common is computed once.
    pub(crate) sharing: bool,
}

/// Pairs laid out for one forward pass.
pub(super) struct Prepared<'p> {
    pairs: &'p [TokenizedPair],
    rows: Vec<usize>,
    sharing: bool,
    /// In the layout's order.
    prompts: Vec<&'p TokenizedPrompt>,
    /// For each prompt the positions whose next token is one of the answer's.
    before_answer: Vec<Vec<usize>>,
    /// Where the layout has plus of all rows, then minus of all rows.
    order: Vec<usize>,
    batch: Batch,
}

/// What a forward pass showed, on its device. Everything that LibTorch computes is done: whoever reads it only copies, since
/// two threads with LibTorch's own threads each would wait for one another's cores.
pub(super) struct Shown {
    pub(super) captured: Vec<Captured>,
    /// log P of the answers' tokens, prompt after prompt, in f64. \[S\]
    pub(super) answers: Option<Tensor>,
}

impl Pass<'_> {
    /// The columns of some batches, in the manifest's order: every hook point under every rule, then the answer's
    /// log-probability.
    pub(crate) fn states(&self, pairs: &[TokenizedPair], batches: &[Vec<usize>]) -> Result<Vec<BatchStates>> {
        let prepare = |rows: &Vec<usize>| Prepared::new(pairs, rows.clone(), self.sharing);
        let group = batches.iter().map(prepare).collect::<Result<Vec<_>>>()?;
        let shown = self.forward(&group)?;
        group.iter().zip(shown).map(|(prepared, shown)| prepared.read(shown, self.rules)).collect()
    }

    /// Runs the model over some batches, in one pass over its weights if they are streamed.
    pub(super) fn forward(&self, group: &[Prepared<'_>]) -> Result<Vec<Shown>> {
        let edit = || self.edits.map(|e| e.hook(self.llama.config(), self.llama.device())).transpose();
        let mut edits = group.iter().map(|_| edit()).collect::<Result<Vec<_>, _>>()?;
        let capture = |prepared: &Prepared<'_>| -> Vec<Capture> {
            let rules = self.rules.iter();
            rules
                .map(|rule| {
                    Capture::new(self.hooks.clone(), rule.tokens(&prepared.prompts)).kind(Kind::Float)
                })
                .collect()
        };
        let mut captures: Vec<Vec<Capture>> = group.iter().map(capture).collect();
        let runs = group.iter().zip(&mut captures).zip(&mut edits).map(|((prepared, captures), edits)| {
            let mut run = Run::new();
            if !self.llama.config().headless {
                run = run.logits(Tokens::At(prepared.before_answer.clone()));
            }
            if let Some(read) = prepared.read_tokens(self.rules).filter(|_| edits.is_none()) {
                run = run.reads(read);
            }
            if let Some(edits) = edits {
                run = run.hook(edits);
            }
            (&prepared.batch, captures.iter_mut().fold(run, |run, capture| run.hook(capture)))
        });
        let outputs = self.llama.forward_all(runs)?;
        let shown = outputs.into_iter().zip(captures).zip(group).map(|((output, captures), prepared)| {
            let answers = output.logits.map(|logits| prepared.answers(&logits)).transpose()?;
            Ok(Shown { captured: captures.into_iter().map(Capture::finish).collect(), answers })
        });
        shown.collect()
    }
}

impl<'p> Prepared<'p> {
    pub(super) fn new(pairs: &'p [TokenizedPair], rows: Vec<usize>, sharing: bool) -> Result<Self> {
        let groups = if sharing { plan::shared_groups(pairs, &rows) } else { plan::lone_groups(&rows) };
        // The prompts in the layout's order, each with its place among "plus of all rows, then minus of all rows".
        let laid_out: Vec<(usize, &TokenizedPrompt)> = groups
            .iter()
            .flatten()
            .map(|&(at, side)| match side {
                Side::Plus => (at, &pairs[rows[at]].plus),
                Side::Minus => (rows.len() + at, &pairs[rows[at]].minus),
            })
            .collect();
        let prompts: Vec<&TokenizedPrompt> = laid_out.iter().map(|(_, prompt)| *prompt).collect();
        let before_answer = before_answers(&laid_out, pairs, &rows)?;
        let mut ids = prompts.iter().map(|p| p.ids.as_slice());
        let layout: Vec<Vec<&[u32]>> =
            groups.iter().map(|group| ids.by_ref().take(group.len()).collect()).collect();
        let (order, batch) = (in_order(&laid_out), Batch::shared(&layout)?);
        Ok(Self { pairs, rows, sharing, prompts, before_answer, order, batch })
    }

    /// The rows, in order.
    pub(super) fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Places of the layout, padding included.
    pub(super) fn places(&self) -> usize {
        let (rows, width) = self.batch.shape();
        (rows * width) as usize
    }

    /// The same pairs in two layouts of half as many; `None` for a single pair.
    pub(super) fn halves(&self) -> Result<Option<[Self; 2]>> {
        let (first, second) = self.rows.split_at(self.rows.len() / 2);
        if first.is_empty() {
            return Ok(None);
        }
        let half = |rows: &[usize]| Self::new(self.pairs, rows.to_vec(), self.sharing);
        Ok(Some([half(first)?, half(second)?]))
    }

    /// The tokens that rules read, where those are not all.
    fn read_tokens(&self, rules: &[TokenRule]) -> Option<Tokens> {
        let positions = |prompt: &&TokenizedPrompt| {
            let length = prompt.ids.len();
            let own = rules.iter().map(|rule| match rule {
                TokenRule::Last => Some(length - 1..length),
                TokenRule::First => Some(0..1),
                TokenRule::AnswerMean => Some(prompt.answer.clone()),
                TokenRule::Mean => None,
            });
            Some(own.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
        };
        Some(Tokens::At(self.prompts.iter().map(positions).collect::<Option<_>>()?))
    }

    /// log P(token | everything before it) of every answer's tokens.
    ///
    /// # Shapes
    /// `logits` \[S, V\], S answer tokens prompt after prompt → \[S\] f64
    fn answers(&self, logits: &Tensor) -> Result<Tensor> {
        let ids = self.prompts.iter().flat_map(|prompt| &prompt.ids[prompt.answer.clone()]);
        let ids: Vec<i64> = ids.map(|&id| i64::from(id)).collect();
        let log_p = Tensor::f_from_slice(&ids)
            .and_then(|ids| ids.f_unsqueeze(1)?.f_to_device(logits.device()))
            .and_then(|ids| logits.f_log_softmax(-1, Kind::Double)?.f_gather(1, &ids, false)) // [S, 1]
            .and_then(|log_p| log_p.f_flatten(0, -1));
        torch(log_p)
    }

    /// The columns of these pairs, read from the device.
    pub(super) fn read(&self, shown: Shown, rules: &[TokenRule]) -> Result<BatchStates> {
        let points = shown.captured.first().map_or(0, Captured::len);
        let mut captured: Vec<_> = shown.captured.into_iter().map(Captured::into_iter).collect();
        let mut columns = Vec::with_capacity(points * rules.len() + 1);
        for _ in 0..points {
            for (rule, shown) in rules.iter().zip(&mut captured) {
                if let Some((_, shown)) = shown.next() {
                    columns.push(self.sides(&rule.reduce(values(&shown)?, &self.prompts)));
                }
            }
        }
        if let Some(answers) = shown.answers {
            let log_p: Vec<f64> = values(&answers)?;
            let mut rest = log_p.as_slice();
            let means = self.before_answer.iter().map(|positions| {
                let (own, others) = rest.split_at(positions.len());
                rest = others;
                (own.iter().sum::<f64>() / own.len() as f64) as f32
            });
            columns.push(self.sides(&means.collect::<Vec<f32>>()));
        }
        Ok(BatchStates { columns })
    }

    /// Plus and minus of the prompts' states.
    ///
    /// # Shapes
    /// `states` \[2B, …\] in the layout's order → twice \[B, …\], flat
    fn sides(&self, states: &[f32]) -> ColumnStates {
        let width = states.len() / self.order.len().max(1);
        let side = |places: &[usize]| {
            places.iter().flat_map(|&place| &states[place * width..(place + 1) * width]).copied().collect()
        };
        let (plus, minus) = self.order.split_at(self.rows.len());
        ColumnStates { plus: side(plus), minus: side(minus) }
    }
}

/// Where the layout has plus of all rows, then minus of all rows.
fn in_order(laid_out: &[(usize, &TokenizedPrompt)]) -> Vec<usize> {
    let mut order = vec![0; laid_out.len()];
    for (place, (at, _)) in laid_out.iter().enumerate() {
        order[*at] = place;
    }
    order
}

/// For each prompt the positions whose next token is one of the answer's.
fn before_answers(
    prompts: &[(usize, &TokenizedPrompt)],
    pairs: &[TokenizedPair],
    rows: &[usize],
) -> Result<Vec<Vec<usize>>> {
    let position = |&(at, prompt): &(usize, &TokenizedPrompt)| {
        let (start, end) = (prompt.answer.start, prompt.answer.end);
        if start == 0 || start >= end || end > prompt.ids.len() {
            let row = rows[at % rows.len()];
            return Err(Error::NothingBeforeAnswer { row, idx: pairs[row].pair.idx });
        }
        Ok((start - 1..end - 1).collect())
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

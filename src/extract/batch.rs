//! One batch of pairs through the model: states under every token rule and answer probabilities, of both sides, from
//! one forward pass.

use activations::{BatchStates, ColumnStates};
use boolq::{TokenizedPair, TokenizedPrompt};
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
    order: Tensor,
    batch: Batch,
}

/// What a forward pass showed, on its device.
pub(super) struct Shown {
    pub(super) captured: Vec<Captured>,
    pub(super) logits: Option<Tensor>,
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
            let mut run = Run::new().logits(Tokens::At(prepared.before_answer.clone()));
            if let Some(read) = prepared.read_tokens(self.rules).filter(|_| edits.is_none()) {
                run = run.reads(read);
            }
            if let Some(edits) = edits {
                run = run.hook(edits);
            }
            (&prepared.batch, captures.iter_mut().fold(run, |run, capture| run.hook(capture)))
        });
        let outputs = self.llama.forward_all(runs)?;
        let shown = outputs.into_iter().zip(captures).map(|(output, captures)| Shown {
            captured: captures.into_iter().map(Capture::finish).collect(),
            logits: output.logits,
        });
        Ok(shown.collect())
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
        let (order, batch) = (in_order(&laid_out)?, Batch::shared(&layout)?);
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

    /// The columns of these pairs, read from the device.
    pub(super) fn read(&self, shown: Shown, rules: &[TokenRule]) -> Result<BatchStates> {
        let points = shown.captured.first().map_or(0, Captured::len);
        let mut captured: Vec<_> = shown.captured.into_iter().map(Captured::into_iter).collect();
        let mut columns = Vec::with_capacity(points * rules.len() + 1);
        for _ in 0..points {
            for (rule, shown) in rules.iter().zip(&mut captured) {
                if let Some((_, shown)) = shown.next() {
                    let shown = torch(shown.f_to_device(Device::Cpu))?;
                    columns.push(halves(&rule.reduce(shown, &self.prompts)?, &self.order)?);
                }
            }
        }
        if let Some(logits) = shown.logits {
            columns
                .push(halves(&answer_logprobs(&logits, &self.prompts, &self.before_answer)?, &self.order)?);
        }
        Ok(BatchStates { columns })
    }
}

/// Where the layout has plus of all rows, then minus of all rows.
fn in_order(laid_out: &[(usize, &TokenizedPrompt)]) -> Result<Tensor> {
    let mut order = vec![0i64; laid_out.len()];
    for (place, (at, _)) in laid_out.iter().enumerate() {
        order[*at] = place as i64;
    }
    torch(Tensor::f_from_slice(&order))
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

/// The mean over the answer's tokens of log P(token | everything before it).
///
/// # Shapes
/// `logits` \[S, V\], S answer tokens prompt after prompt → \[prompts\] f32
fn answer_logprobs(logits: &Tensor, prompts: &[&TokenizedPrompt], before: &[Vec<usize>]) -> Result<Tensor> {
    let targets: Vec<i64> =
        prompts.iter().flat_map(|p| p.ids[p.answer.clone()].iter().map(|&id| i64::from(id))).collect();
    let targets =
        torch(Tensor::f_from_slice(&targets).and_then(|t| t.f_unsqueeze(1)?.f_to_device(logits.device())))?;
    let log_p = torch(logits.f_log_softmax(-1, Kind::Double).and_then(|p| p.f_gather(1, &targets, false)))?; // [S, 1]
    let log_p: Vec<f64> = to_vec(&torch(log_p.f_flatten(0, -1))?)?;
    let mut from = 0;
    let means = before.iter().map(|positions| {
        let own = &log_p[from..from + positions.len()];
        from += own.len();
        (own.iter().sum::<f64>() / own.len() as f64) as f32
    });
    torch(Tensor::f_from_slice(&means.collect::<Vec<f32>>()))
}

/// Plus and minus of states in the layout's order.
///
/// # Shapes
/// \[2B, …\] and \[2B\], where plus of all rows and then minus of all rows are in it → twice \[B, …\], flat
fn halves(states: &Tensor, order: &Tensor) -> Result<ColumnStates> {
    let in_order = torch(states.f_index_select(0, order).and_then(|states| states.f_flatten(0, -1)))?;
    let mut plus: Vec<f32> = to_vec(&in_order)?;
    let minus = plus.split_off(plus.len() / 2);
    Ok(ColumnStates { plus, minus })
}

fn to_vec<T>(tensor: &Tensor) -> Result<Vec<T>>
where
    Vec<T>: for<'t> TryFrom<&'t Tensor, Error = llama_core::tch::TchError>,
{
    torch(Vec::try_from(tensor))
}

/// LibTorch's errors come by way of llama-core's.
pub(crate) fn torch<T>(result: std::result::Result<T, llama_core::tch::TchError>) -> Result<T> {
    result.map_err(|e| Error::Llama(e.into()))
}

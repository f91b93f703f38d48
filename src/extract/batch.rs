//! One batch of pairs through the model: states under every token rule and answer probabilities, of both sides, from
//! one forward pass.

use activations::{BatchStates, ColumnStates};
use boolq::{TokenizedPair, TokenizedPrompt};
use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{Batch, Capture, EditHook, HookSet, Llama, Run, Tokens};

use super::plan::{self, Side};
use super::rule::TokenRule;
use crate::error::{Error, Result};

/// What is done to every batch of pairs.
pub(crate) struct Pass<'a> {
    pub(crate) llama: &'a Llama,
    pub(crate) hooks: &'a HookSet,
    pub(crate) rules: &'a [TokenRule],
    /// Changes of activations on the way, before anything is read.
    pub(crate) edits: Option<EditHook>,
    /// Whether what prompts of one question have in common is computed once.
    pub(crate) sharing: bool,
}

impl Pass<'_> {
    /// The columns of one batch, in the manifest's order: every hook point under every rule, then the answer's
    /// log-probability.
    pub(crate) fn states(&mut self, pairs: &[TokenizedPair], rows: &[usize]) -> Result<BatchStates> {
        let groups = if self.sharing { plan::shared_groups(pairs, rows) } else { plan::lone_groups(rows) };
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
        let before_answer = before_answers(&laid_out, pairs, rows)?;
        let mut ids = prompts.iter().map(|p| p.ids.as_slice());
        let layout: Vec<Vec<&[u32]>> =
            groups.iter().map(|group| ids.by_ref().take(group.len()).collect()).collect();
        let order = in_order(&laid_out)?;

        let capture = |rule: &TokenRule| {
            Capture::new(self.hooks.clone(), rule.tokens(&prompts)).kind(Kind::Float).device(Device::Cpu)
        };
        let mut captures: Vec<Capture> = self.rules.iter().map(capture).collect();
        let mut run = Run::new().logits(Tokens::At(before_answer.clone()));
        if let Some(edits) = &mut self.edits {
            run = run.hook(edits);
        }
        let run = captures.iter_mut().fold(run, |run, capture| run.hook(capture));
        let output = self.llama.forward(&Batch::shared(&layout)?, run)?;

        let mut captured: Vec<_> = captures.into_iter().map(|c| c.finish().into_iter()).collect();
        let mut columns = Vec::with_capacity(self.hooks.len() * self.rules.len() + 1);
        for _ in self.hooks.iter() {
            for (rule, shown) in self.rules.iter().zip(&mut captured) {
                if let Some((_, shown)) = shown.next() {
                    columns.push(halves(&rule.reduce(shown, &prompts)?, &order)?);
                }
            }
        }
        if let Some(logits) = output.logits {
            columns.push(halves(&answer_logprobs(&logits, &prompts, &before_answer)?, &order)?);
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

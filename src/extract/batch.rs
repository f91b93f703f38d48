//! One batch of pairs through the model: states under every token rule and answer probabilities, of both sides, from
//! one forward pass.

use activations::{BatchStates, ColumnStates};
use boolq::{TokenizedPair, TokenizedPrompt};
use llama_core::tch::{Device, Kind, Tensor};
use llama_core::{Batch, Capture, HookSet, Llama, Run, Tokens};

use super::rule::TokenRule;
use crate::error::{Error, Result};

/// The columns of one batch, in the manifest's order: every hook point under every rule, then the answer's
/// log-probability.
pub(crate) fn states(
    llama: &Llama,
    hooks: &HookSet,
    rules: &[TokenRule],
    pairs: &[TokenizedPair],
    rows: &[usize],
) -> Result<BatchStates> {
    // Plus prompts of all rows, then minus prompts.
    let sides = [|p: &TokenizedPair| p.plus.clone(), |p: &TokenizedPair| p.minus.clone()];
    let prompts: Vec<TokenizedPrompt> =
        sides.iter().flat_map(|side| rows.iter().map(|&r| side(&pairs[r]))).collect();
    let ids: Vec<&[u32]> = prompts.iter().map(|p| p.ids.as_slice()).collect();
    let before_answer = before_answers(&prompts, pairs, rows)?;

    let capture = |rule: &TokenRule| {
        Capture::new(hooks.clone(), rule.tokens(&prompts)).kind(Kind::Float).device(Device::Cpu)
    };
    let mut captures: Vec<Capture> = rules.iter().map(capture).collect();
    let run = Run::new().logits(Tokens::At(before_answer.clone()));
    let run = captures.iter_mut().fold(run, |run, capture| run.hook(capture));
    let output = llama.forward(&Batch::new(&ids)?, run)?;

    let mut captured: Vec<_> = captures.into_iter().map(|c| c.finish().into_iter()).collect();
    let mut columns = Vec::with_capacity(hooks.len() * rules.len() + 1);
    for _ in hooks.iter() {
        for (rule, shown) in rules.iter().zip(&mut captured) {
            if let Some((_, shown)) = shown.next() {
                columns.push(halves(&rule.reduce(shown, &prompts)?)?);
            }
        }
    }
    if let Some(logits) = output.logits {
        columns.push(answer_logprobs(&logits, &prompts, &before_answer)?);
    }
    Ok(BatchStates { columns })
}

/// For each prompt the positions whose next token is one of the answer's.
fn before_answers(
    prompts: &[TokenizedPrompt],
    pairs: &[TokenizedPair],
    rows: &[usize],
) -> Result<Vec<Vec<usize>>> {
    let position = |(at, prompt): (usize, &TokenizedPrompt)| {
        let (start, end) = (prompt.answer.start, prompt.answer.end);
        if start == 0 || start >= end || end > prompt.ids.len() {
            let row = rows[at % rows.len()];
            return Err(Error::NothingBeforeAnswer { row, idx: pairs[row].pair.idx });
        }
        Ok((start - 1..end - 1).collect())
    };
    prompts.iter().enumerate().map(position).collect()
}

/// The mean over the answer's tokens of log P(token | everything before it).
///
/// # Shapes
/// `logits` \[S, V\], S answer tokens prompt after prompt
fn answer_logprobs(
    logits: &Tensor,
    prompts: &[TokenizedPrompt],
    before: &[Vec<usize>],
) -> Result<ColumnStates> {
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
    let means: Vec<f32> = means.collect();
    let (plus, minus) = means.split_at(means.len() / 2);
    Ok(ColumnStates { plus: plus.to_vec(), minus: minus.to_vec() })
}

/// Plus and minus of states whose first half of rows is plus.
///
/// # Shapes
/// \[2B, …\] → twice \[B, …\], flat
fn halves(states: &Tensor) -> Result<ColumnStates> {
    let mut plus: Vec<f32> = to_vec(&torch(states.f_flatten(0, -1))?)?;
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

//! What will be run and stored, worked out from all rows before the first forward.

use activations::{Column, Row, Side};
use boolq::{TokenizedPair, TokenizedPrompt};
use llama_core::{Axis, Config, HookPoint, HookSet, Tokenizer};

use super::{ANSWER_LOGPROB, TokenRule};

/// Whether every token has an activation at this point, of one shape for all prompts.
pub(crate) fn storable(point: HookPoint) -> bool {
    matches!(point.axes(), [Axis::Batch, Axis::Token, ..])
}

/// Rows of each batch: sorted by length, as many pairs as their padded prompts fit the budget.
///
/// A pair is never divided. The same pairs and budget give the same plan.
pub(crate) fn batches(pairs: &[TokenizedPair], batch_tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by_key(|&row| (pairs[row].longer_side(), row));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for row in order {
        // Ascending lengths: the newest row is the longest, and sets what every prompt is padded to.
        let width = pairs[row].longer_side();
        match batches.last_mut() {
            Some(batch) if 2 * (batch.len() + 1) * width <= batch_tokens => batch.push(row),
            _ => batches.push(vec![row]),
        }
    }
    batches
}

/// One column for each hook point and token rule, then the answer's log-probability.
pub(super) fn columns(hooks: &HookSet, rules: &[TokenRule], config: &Config) -> Vec<Column> {
    let states = hooks.iter().flat_map(|point| {
        let axes: Vec<&str> = point.axes()[2..].iter().map(|axis| axis.name()).collect();
        let shape: Vec<usize> = point.shape(config, 1, 1)[2..].iter().map(|&n| n as usize).collect();
        let column = Column::new(&point.to_string(), &axes, &shape);
        rules.iter().map(move |rule| column.clone().at(rule.name()))
    });
    states.chain([Column::scalar(ANSWER_LOGPROB)]).collect()
}

/// The store's table of rows.
pub(super) fn rows(pairs: &[TokenizedPair], tokenizer: &Tokenizer) -> Vec<Row> {
    let side = |prompt: &str, tokens: &TokenizedPrompt| {
        let captured = tokens.ids.last().copied().unwrap_or_default();
        Side {
            prompt: prompt.to_owned(),
            tokens: tokens.ids.len() as u32,
            answer_start: tokens.answer.start as u32,
            answer_end: tokens.answer.end as u32,
            captured_id: captured,
            captured_text: tokenizer.piece(captured).to_owned(),
        }
    };
    pairs
        .iter()
        .map(|TokenizedPair { pair, plus, minus, .. }| Row {
            idx: pair.idx,
            label: pair.label,
            question_id: pair.question_id.clone(),
            group: pair.group.clone(),
            template: pair.template.clone(),
            dataset: pair.dataset.clone(),
            plus: side(&pair.plus_prompt, plus),
            minus: side(&pair.minus_prompt, minus),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use boolq::ContrastPair;
    use proptest::prelude::*;

    use super::*;

    fn pair(plus: usize, minus: usize) -> TokenizedPair {
        let prompt = |n: usize| TokenizedPrompt { ids: vec![0; n], answer: n - 1..n };
        let pair = ContrastPair {
            idx: 0,
            plus_prompt: String::new(),
            minus_prompt: String::new(),
            label: true,
            question_id: String::new(),
            group: String::new(),
            template: String::new(),
            dataset: String::new(),
        };
        TokenizedPair { pair, plus: prompt(plus), minus: prompt(minus), seam: false }
    }

    proptest! {
        #[test]
        fn every_row_once_and_within_the_budget(lengths in prop::collection::vec((1usize..60, 1usize..60), 1..50), budget in 1usize..400) {
            let pairs: Vec<_> = lengths.iter().map(|&(plus, minus)| pair(plus, minus)).collect();
            let batches = batches(&pairs, budget);
            let mut rows = batches.concat();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..pairs.len()).collect::<Vec<_>>());
            for batch in &batches {
                let width = batch.iter().map(|&r| pairs[r].longer_side()).max().unwrap_or(0);
                prop_assert!(batch.len() == 1 || 2 * batch.len() * width <= budget);
            }
        }
    }
}

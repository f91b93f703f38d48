//! What will be run and stored, worked out from all rows before the first forward.

use std::collections::HashMap;

use activations::{ANSWER_LOGPROB, ANSWER_LOGPROB_MEAN, Column, Row, SideOf};
use boolq::{TokenizedPair, TokenizedPrompt};
use llama_core::{Axis, Batch, Config, HookPoint, HookSet, Tokenizer};

use super::TokenRule;

/// Whether every token has an activation at this point, of one shape for all prompts.
pub(crate) fn storable(point: HookPoint) -> bool {
    matches!(point.axes(), [Axis::Batch, Axis::Token, ..])
}

/// Which prompts share a row of a batch's layout, and in it what they begin with in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// None.
    Prompts,
    /// The two sides of a pair.
    Pairs,
    /// The pairs of one question that begin alike, as templates do.
    Questions,
}

/// Rows of each batch: sorted by length, as many as fit the budget when each row of the layout is padded to the widest.
///
/// A pair is never divided, nor is what shares a row. The same pairs and settings give the same plan.
pub(crate) fn batches(pairs: &[TokenizedPair], batch_tokens: usize, grouping: Grouping) -> Vec<Vec<usize>> {
    // What stays together: its rows, the rows it takes of a layout, and their width.
    struct Unit {
        rows: Vec<usize>,
        height: usize,
        width: usize,
    }
    let unit = |rows: Vec<usize>| {
        if grouping != Grouping::Prompts {
            let width = Batch::shared_len(&prompts(pairs, &rows));
            return Unit { rows, height: 1, width };
        }
        let width = rows.iter().map(|&row| pairs[row].longer_side()).max().unwrap_or(0);
        Unit { height: 2 * rows.len(), rows, width }
    };
    let all: Vec<usize> = (0..pairs.len()).collect();
    let together = match grouping {
        Grouping::Questions => alike(pairs, &all),
        Grouping::Pairs | Grouping::Prompts => all.into_iter().map(|row| vec![row]).collect(),
    };
    let mut units: Vec<Unit> = together.into_iter().map(unit).collect();
    units.sort_by_key(|unit| (unit.width, unit.rows[0]));
    let mut batches: Vec<(Vec<usize>, usize)> = Vec::new();
    for Unit { rows, height, width } in units {
        // Ascending widths: the newest unit is the widest, and sets what every row is padded to.
        match batches.last_mut() {
            Some((batch, own)) if (*own + height) * width <= batch_tokens => {
                batch.extend(rows);
                *own += height;
            }
            _ => batches.push((rows, height)),
        }
    }
    batches.into_iter().map(|(batch, _)| batch).collect()
}

/// Rows of one question whose prompts begin alike: each has at least a quarter of its plus prompt in common with the one
/// before. (Templates that put the passage first share it; those that put words before it share only among themselves.
/// Prompts with little in common would make one another's attention wider, and save little.)
fn alike(pairs: &[TokenizedPair], rows: &[usize]) -> Vec<Vec<usize>> {
    let question = |row: usize| {
        let pair = &pairs[row].pair;
        (pair.dataset.as_str(), pair.idx, pair.question_id.as_str())
    };
    let mut order = rows.to_vec();
    order.sort_by(|&a, &b| {
        let key = |row: usize| (question(row), &pairs[row].plus.ids);
        key(a).cmp(&key(b)).then(a.cmp(&b))
    });
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for row in order {
        let ids = &pairs[row].plus.ids;
        let begins_like = |&other: &usize| {
            let common = ids.iter().zip(&pairs[other].plus.ids).take_while(|(a, b)| a == b).count();
            question(other) == question(row) && 4 * common >= ids.len()
        };
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(begins_like) => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    groups
}

/// Both prompts of each row.
fn prompts<'p>(pairs: &'p [TokenizedPair], rows: &[usize]) -> Vec<&'p [u32]> {
    rows.iter().flat_map(|&row| [pairs[row].plus.ids.as_slice(), pairs[row].minus.ids.as_slice()]).collect()
}

/// A batch's prompts, by their rows' positions in it, in the groups that share a row of the layout.
pub(super) fn shared_groups(pairs: &[TokenizedPair], rows: &[usize]) -> Vec<Vec<(usize, SideOf)>> {
    let position: HashMap<usize, usize> = rows.iter().enumerate().map(|(at, &row)| (row, at)).collect();
    let sides = |row: &usize| [(position[row], SideOf::Plus), (position[row], SideOf::Minus)];
    alike(pairs, rows).iter().map(|group| group.iter().flat_map(sides).collect()).collect()
}

/// A batch's prompts, each in a row of its own: plus of all rows, then minus.
pub(super) fn lone_groups(rows: &[usize]) -> Vec<Vec<(usize, SideOf)>> {
    SideOf::BOTH.into_iter().flat_map(|side| (0..rows.len()).map(move |at| vec![(at, side)])).collect()
}

/// One column for each hook point and token rule, then the answer's log-probability as a sum and as a mean, if the model
/// has one.
pub(super) fn columns(hooks: &HookSet, rules: &[TokenRule], config: &Config) -> Vec<Column> {
    let states = hooks.iter().flat_map(|point| {
        let axes: Vec<&str> = point.axes()[2..].iter().map(|axis| axis.name()).collect();
        let shape: Vec<usize> = point.shape(config, 1, 1)[2..].iter().map(|&n| n as usize).collect();
        let column = Column::new(&point.to_string(), &axes, &shape);
        rules.iter().map(move |rule| column.clone().at(rule.name()))
    });
    let answers = (!config.headless).then(|| [ANSWER_LOGPROB, ANSWER_LOGPROB_MEAN].map(Column::scalar));
    states.chain(answers.into_iter().flatten()).collect()
}

/// The store's table of rows.
pub(super) fn rows(pairs: &[TokenizedPair], tokenizer: &Tokenizer) -> Vec<Row> {
    let side = |prompt: &str, tokens: &TokenizedPrompt| {
        let captured = tokens.ids.last().copied().unwrap_or_default();
        activations::Side {
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
            columns: pair.columns.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use boolq::{AnswerSpans, ContrastPair};
    use proptest::prelude::*;

    use super::*;

    /// A pair of question `idx`: `passage` tokens, its template's own, and the two answers.
    fn pair(idx: u64, passage: usize, template: u32, answers: (usize, usize)) -> TokenizedPair {
        let prompt = |answer: u32, n: usize| {
            let ids = [vec![idx as u32; passage], vec![template; 2], vec![answer; n]].concat();
            TokenizedPrompt { answer: passage + 2..ids.len(), ids, joined: false }
        };
        let pair = ContrastPair {
            idx,
            plus_prompt: String::new(),
            minus_prompt: String::new(),
            answers: AnswerSpans { plus: 0..0, minus: 0..0 },
            label: true,
            question_id: String::new(),
            group: String::new(),
            template: String::new(),
            dataset: String::new(),
            classes: None,
            columns: boolq::DataColumns::default(),
        };
        let (plus, minus) = (prompt(1000, answers.0), prompt(1001, answers.1));
        TokenizedPair { pair, plus, minus, seam: false }
    }

    proptest! {
        #[test]
        fn every_row_once_and_within_the_budget(
            shapes in prop::collection::vec((0u64..9, 1usize..60, 0u32..4, 1usize..4, 1usize..4), 1..50),
            budget in 1usize..400, sharing in any::<bool>(),
        ) {
            let pairs: Vec<_> =
                shapes.iter().map(|&(idx, passage, template, p, m)| pair(idx, passage, template, (p, m))).collect();
            let grouping = if sharing { Grouping::Questions } else { Grouping::Prompts };
            let batches = batches(&pairs, budget, grouping);
            let mut rows = batches.concat();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..pairs.len()).collect::<Vec<_>>());
            for batch in &batches {
                let groups = if sharing { shared_groups(&pairs, batch) } else { lone_groups(batch) };
                // Both sides of every row once, and those of a pair in one row of the layout if anything is shared.
                let mut prompts = groups.concat();
                prompts.sort_unstable_by_key(|&(at, side)| (at, side == SideOf::Minus));
                let expected: Vec<_> = (0..batch.len()).flat_map(|at| [(at, SideOf::Plus), (at, SideOf::Minus)]).collect();
                prop_assert_eq!(prompts, expected);
                let width = groups.iter().map(|group| {
                    let ids = |&(at, side): &(usize, SideOf)| {
                        let pair = &pairs[batch[at]];
                        if side == SideOf::Plus { pair.plus.ids.clone() } else { pair.minus.ids.clone() }
                    };
                    Batch::shared_len(&group.iter().map(ids).collect::<Vec<_>>())
                });
                let (width, height) = (width.max().unwrap_or(0), groups.len());
                let least = if sharing { 1 } else { 2 };
                prop_assert!(height == least || height * width <= budget, "{} rows of {}", height, width);
            }
        }
    }

    #[test]
    fn templates_of_one_question_share_a_row_and_questions_do_not() {
        let pairs: Vec<_> = [(0, 7), (1, 7), (0, 8), (0, 9), (1, 8)]
            .map(|(idx, template)| pair(idx, 50, template, (1, 2)))
            .into();
        let groups = shared_groups(&pairs, &[0, 1, 2, 3, 4]);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [6, 4]);
        assert_eq!(batches(&pairs, 10_000, Grouping::Questions), [vec![1, 4, 0, 2, 3]]);
        // 50 of the passage, then 2 of the template and 1 + 2 of the answers three times: 65 tokens, not 319.
        assert_eq!(Batch::shared_len(&prompts(&pairs, &[0, 2, 3])), 65);
        assert_eq!(batches(&pairs, 64, Grouping::Questions).len(), 2);
    }
}

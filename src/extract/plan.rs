//! What will be run and stored, worked out from all rows before the first forward.

use std::collections::HashMap;

use activations::{ANSWER_LOGPROB, ANSWER_LOGPROB_MEAN, Column, Row, RowKind, Sides, TokenIds};
use llama_core::{Axis, Batch, Config, HookPoint, HookSet, Tokenizer};

use super::TokenRule;
use super::examples::{Example, Prompt};
use crate::error::Result;

/// Whether every token has an activation at this point, of one shape for all prompts.
pub(crate) fn storable(point: HookPoint) -> bool {
    matches!(point.axes(), [Axis::Batch, Axis::Token, ..])
}

/// Which prompts share a row of a batch's layout, and in it what they begin with in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// None.
    Prompts,
    /// The two sides of a pair; a statement has a row to itself.
    Examples,
    /// The examples of one question that begin alike, as templates do.
    Questions,
}

/// Rows of each batch: sorted by length, as many as fit the budget when each row of the layout is padded to the widest.
///
/// A pair is never divided, nor is what shares a row. The same examples and settings give the same plan.
pub(crate) fn batches(examples: &[Example<'_>], batch_tokens: usize, grouping: Grouping) -> Vec<Vec<usize>> {
    // What stays together: its rows, the rows it takes of a layout, and their width.
    struct Unit {
        rows: Vec<usize>,
        height: usize,
        width: usize,
    }
    let unit = |rows: Vec<usize>| {
        let prompts = prompts(examples, &rows);
        if grouping != Grouping::Prompts {
            let width = Batch::shared_len(&prompts);
            return Unit { rows, height: 1, width };
        }
        let width = prompts.iter().map(|ids| ids.len()).max().unwrap_or(0);
        Unit { height: prompts.len(), rows, width }
    };
    let all: Vec<usize> = (0..examples.len()).collect();
    let together = match grouping {
        Grouping::Questions => alike(examples, &all),
        Grouping::Examples | Grouping::Prompts => all.into_iter().map(|row| vec![row]).collect(),
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

/// Rows of one question whose prompts begin alike: each has at least a quarter of its first prompt in common with the one
/// before. (Templates that put the passage first share it; those that put words before it share only among themselves.
/// Prompts with little in common would make one another's attention wider, and save little.)
fn alike(examples: &[Example<'_>], rows: &[usize]) -> Vec<Vec<usize>> {
    let question = |row: usize| {
        let origin = &examples[row].origin;
        (origin.dataset, origin.idx, origin.question_id)
    };
    let mut order = rows.to_vec();
    order.sort_by(|&a, &b| {
        let key = |row: usize| (question(row), examples[row].first_ids());
        key(a).cmp(&key(b)).then(a.cmp(&b))
    });
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for row in order {
        let ids = examples[row].first_ids();
        let begins_like = |&other: &usize| {
            let common = ids.iter().zip(examples[other].first_ids()).take_while(|(a, b)| a == b).count();
            question(other) == question(row) && 4 * common >= ids.len()
        };
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(begins_like) => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    groups
}

/// All prompts of each row.
fn prompts<'p>(examples: &[Example<'p>], rows: &[usize]) -> Vec<&'p [u32]> {
    rows.iter().flat_map(|&row| examples[row].prompts.iter().map(|prompt| prompt.ids)).collect()
}

/// A prompt of a batch: its row's position in the batch, and the number of its side.
pub(super) type Place = (usize, usize);

/// A batch's prompts in the groups that share a row of the layout.
pub(super) fn shared_groups(examples: &[Example<'_>], rows: &[usize]) -> Vec<Vec<Place>> {
    let position: HashMap<usize, usize> = rows.iter().enumerate().map(|(at, &row)| (row, at)).collect();
    let sides = |&row: &usize| {
        let at = position[&row];
        (0..examples[row].prompts.len()).map(move |side| (at, side))
    };
    alike(examples, rows).iter().map(|group| group.iter().flat_map(sides).collect()).collect()
}

/// A batch's prompts, each in a row of its own: the first side of all rows, then the second.
pub(super) fn lone_groups(rows: &[usize], sides: usize) -> Vec<Vec<Place>> {
    (0..sides).flat_map(|side| (0..rows.len()).map(move |at| vec![(at, side)])).collect()
}

/// One column for each hook point and token rule, then the answer's log-probability as a sum and as a mean, if the model
/// has one and the examples have answers.
pub(super) fn columns(hooks: &HookSet, rules: &[TokenRule], config: &Config, kind: RowKind) -> Vec<Column> {
    let states = hooks.iter().flat_map(|point| {
        let axes: Vec<&str> = point.axes()[2..].iter().map(|axis| axis.name()).collect();
        let shape: Vec<usize> = point.shape(config, 1, 1)[2..].iter().map(|&n| n as usize).collect();
        let column = Column::new(&point.to_string(), &axes, &shape);
        rules.iter().map(move |rule| column.clone().at(rule.name()))
    });
    let has_answers = !config.headless && kind == RowKind::Pairs;
    let answers = has_answers.then(|| [ANSWER_LOGPROB, ANSWER_LOGPROB_MEAN].map(Column::scalar));
    states.chain(answers.into_iter().flatten()).collect()
}

/// The ids of every prompt's tokens, and what they stand for.
pub(super) fn token_ids(examples: &[Example<'_>], kind: RowKind, tokenizer: &Tokenizer) -> Result<TokenIds> {
    let mut all = TokenIds::new(kind);
    for example in examples {
        let prompts: Vec<&[u32]> = example.prompts.iter().map(|prompt| prompt.ids).collect();
        all.push(&prompts)?;
    }
    Ok(all.with_texts(|id| tokenizer.piece(id)))
}

/// The store's table of rows.
pub(super) fn rows(examples: &[Example<'_>], tokenizer: &Tokenizer) -> Vec<Row> {
    examples
        .iter()
        .filter_map(|Example { origin, prompts }| {
            let columns = origin.columns.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            Some(Row {
                idx: origin.idx,
                label: origin.label,
                question_id: origin.question_id.to_owned(),
                group: origin.group.to_owned(),
                template: origin.template.to_owned(),
                dataset: origin.dataset.to_owned(),
                sides: sides(prompts, tokenizer)?,
                columns: columns.collect(),
            })
        })
        .collect()
}

/// A row's prompts for the store; every example is of one of the two kinds.
fn sides(prompts: &[Prompt<'_>], tokenizer: &Tokenizer) -> Option<Sides> {
    let captured = |prompt: &Prompt<'_>| {
        let id = prompt.ids.last().copied().unwrap_or_default();
        (id, tokenizer.piece(id).to_owned())
    };
    let side = |prompt: &Prompt<'_>| {
        let answer = prompt.answer.as_ref()?;
        let (captured_id, captured_text) = captured(prompt);
        Some(activations::Side {
            prompt: prompt.text.to_owned(),
            tokens: prompt.ids.len() as u32,
            answer_start: answer.start as u32,
            answer_end: answer.end as u32,
            captured_id,
            captured_text,
        })
    };
    match prompts {
        [plus, minus] => Some(Sides::Pair { plus: side(plus)?, minus: side(minus)? }),
        [only] => {
            let (captured_id, captured_text) = captured(only);
            let (prompt, tokens) = (only.text.to_owned(), only.ids.len() as u32);
            let statement = activations::Prompt { prompt, tokens, captured_id, captured_text };
            Some(Sides::Single { statement })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use boolq::{AnswerSpans, ContrastPair, Statement, TokenizedPair, TokenizedPrompt, TokenizedStatement};
    use proptest::prelude::*;

    use super::super::Examples;
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
            chat: None,
            columns: boolq::DataColumns::default(),
        };
        let (plus, minus) = (prompt(1000, answers.0), prompt(1001, answers.1));
        TokenizedPair { pair, plus, minus, seam: false }
    }

    /// A statement that begins like the pair's prompts.
    fn statement(idx: u64, passage: usize, template: u32) -> TokenizedStatement {
        let ids = [vec![idx as u32; passage], vec![template; 2]].concat();
        let statement = Statement {
            idx,
            prompt: String::new(),
            label: true,
            question_id: String::new(),
            group: String::new(),
            template: String::new(),
            dataset: String::new(),
            chat: None,
            columns: boolq::DataColumns::default(),
        };
        TokenizedStatement { statement, ids }
    }

    proptest! {
        #[test]
        fn every_row_once_and_within_the_budget(
            shapes in prop::collection::vec((0u64..9, 1usize..60, 0u32..4, 1usize..4, 1usize..4), 1..50),
            budget in 1usize..400, sharing in any::<bool>(), single in any::<bool>(),
        ) {
            let pairs: Vec<_> =
                shapes.iter().map(|&(idx, passage, template, p, m)| pair(idx, passage, template, (p, m))).collect();
            let statements: Vec<_> =
                shapes.iter().map(|&(idx, passage, template, ..)| statement(idx, passage, template)).collect();
            let examples = if single { Examples::from(&statements) } else { Examples::from(&pairs) };
            let (sides, pairs) = (examples.kind().sides().len(), examples.rows());
            let grouping = if sharing { Grouping::Questions } else { Grouping::Prompts };
            let batches = batches(&pairs, budget, grouping);
            let mut rows = batches.concat();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..pairs.len()).collect::<Vec<_>>());
            for batch in &batches {
                let groups = if sharing { shared_groups(&pairs, batch) } else { lone_groups(batch, sides) };
                // Both sides of every row once, and those of a pair in one row of the layout if anything is shared.
                let mut prompts = groups.concat();
                prompts.sort_unstable();
                let expected: Vec<_> = (0..batch.len()).flat_map(|at| (0..sides).map(move |side| (at, side))).collect();
                prop_assert_eq!(prompts, expected);
                let width = groups.iter().map(|group| {
                    let ids = |&(at, side): &Place| pairs[batch[at]].prompts[side].ids;
                    Batch::shared_len(&group.iter().map(ids).collect::<Vec<_>>())
                });
                let (width, height) = (width.max().unwrap_or(0), groups.len());
                let least = if sharing { 1 } else { sides };
                prop_assert!(height == least || height * width <= budget, "{} rows of {}", height, width);
            }
        }
    }

    #[test]
    fn templates_of_one_question_share_a_row_and_questions_do_not() {
        let pairs: Vec<TokenizedPair> = [(0, 7), (1, 7), (0, 8), (0, 9), (1, 8)]
            .map(|(idx, template)| pair(idx, 50, template, (1, 2)))
            .into();
        let pairs = Examples::from(&pairs).rows();
        let groups = shared_groups(&pairs, &[0, 1, 2, 3, 4]);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [6, 4]);
        assert_eq!(batches(&pairs, 10_000, Grouping::Questions), [vec![1, 4, 0, 2, 3]]);
        // 50 of the passage, then 2 of the template and 1 + 2 of the answers three times: 65 tokens, not 319.
        assert_eq!(Batch::shared_len(&prompts(&pairs, &[0, 2, 3])), 65);
        assert_eq!(batches(&pairs, 64, Grouping::Questions).len(), 2);
    }

    #[test]
    fn a_statement_under_several_templates_is_a_tree_of_one_prompt_each() {
        let statements: Vec<_> =
            [(0, 7), (1, 7), (0, 8), (0, 7)].map(|(idx, template)| statement(idx, 50, template)).into();
        let rows = Examples::from(&statements).rows();
        assert_eq!(shared_groups(&rows, &[0, 1, 2, 3]), [vec![(0, 0), (3, 0), (2, 0)], vec![(1, 0)]]);
        // The same prompt twice takes no room of its own.
        assert_eq!(Batch::shared_len(&prompts(&rows, &[0, 2, 3])), 50 + 2 + 2);
        assert_eq!(batches(&rows, 10_000, Grouping::Prompts).concat().len(), 4);
    }
}

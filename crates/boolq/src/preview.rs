//! A pair for people to read: both prompts, with the answer and the token whose state is captured marked.

use crate::statement::TokenizedStatement;
use crate::tokenize::{TokenizedPair, Tokenizer};
use std::fmt::Write as _;
use std::ops::Range;

/// Characters shown of a prompt's beginning and of the text around its answer.
const SHOWN: usize = 160;
/// Tokens shown at a prompt's end.
const LAST_TOKENS: usize = 6;

/// Both prompts as text, long ones shortened in the middle, with `⟦…⟧` around the whole answer, and each prompt's last
/// tokens with their ids: those of the answer, and the last one, whose hidden state is captured.
///
/// ```text
/// idx 3 (question 3 of dev, template llama-ccs, group 5f0c9a1b2c3d4e5f): the plus prompt is right
/// plus: 176 tokens
///   Harry Potter and the Escape from […] a roller coaster ride?
///
///   True or False: ⟦True⟧
///   last tokens: … 29901 ":" 5852 "▁True"
///   answer: position 175: 5852 "▁True"
///   captured: position 175: 5852 "▁True"
/// minus: …
/// ```
pub fn preview<T: Tokenizer + ?Sized>(tokenized: &TokenizedPair, tokenizer: &T) -> String {
    let pair = &tokenized.pair;
    let right = if pair.label { "plus" } else { "minus" };
    let mut out = format!(
        "idx {} (question {} of {}, template {}, group {}): the {right} prompt is right\n",
        pair.idx, pair.question_id, pair.dataset, pair.template, pair.group
    );
    if let Some([plus, minus]) = &pair.classes {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "classes: plus stands for {plus:?}, minus for {minus:?}");
    }
    let (plus, minus) = (&pair.answers.plus, &pair.answers.minus);
    let sides = [
        ("plus", marked(&pair.plus_prompt, plus.clone()), &tokenized.plus),
        ("minus", marked(&pair.minus_prompt, minus.clone()), &tokenized.minus),
    ];
    for (name, text, prompt) in sides {
        side(&mut out, name, &text, &prompt.ids, Some(prompt.answer.clone()), tokenizer);
    }
    if tokenized.seam {
        out.push_str("seam: the tokens before the answer differ between the two sides\n");
    }
    out
}

/// The prompt of a single statement as text, and its last tokens with their ids, as in [`preview`].
pub fn preview_statement<T: Tokenizer + ?Sized>(tokenized: &TokenizedStatement, tokenizer: &T) -> String {
    let statement = &tokenized.statement;
    let mut out = format!(
        "idx {} (statement {} of {}, template {}, group {}): {}\n",
        statement.idx,
        statement.question_id,
        statement.dataset,
        statement.template,
        statement.group,
        statement.label
    );
    side(&mut out, "statement", &shortened(&statement.prompt), &tokenized.ids, None, tokenizer);
    out
}

/// One prompt: its text, shortened, and its last tokens, with those of the answer if it has one.
fn side<T: Tokenizer + ?Sized>(
    out: &mut String,
    name: &str,
    text: &str,
    ids: &[u32],
    answer: Option<Range<usize>>,
    tokenizer: &T,
) {
    let count = ids.len();
    let shown = |range: Range<usize>| {
        let tokens = ids.get(range).unwrap_or_default();
        tokens.iter().map(|id| format!("{id} {:?}", tokenizer.token_text(*id))).collect::<Vec<_>>().join(" ")
    };
    let last = count.saturating_sub(1);
    let tail = count.saturating_sub(LAST_TOKENS);
    let cut = if tail > 0 { "… " } else { "" };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{name}: {count} tokens");
    for line in text.lines() {
        let _ = writeln!(out, "{}", format!("  {line}").trim_end());
    }
    let _ = writeln!(out, "  last tokens: {cut}{}", shown(tail..count));
    if let Some(answer) = answer {
        let positions = match answer.clone() {
            one if one.len() == 1 => format!("position {}", one.start),
            many => format!("positions {}-{}", many.start, many.end.saturating_sub(1)),
        };
        let _ = writeln!(out, "  answer: {positions}: {}", shown(answer));
    }
    let _ = writeln!(out, "  captured: position {last}: {}", shown(last..count));
}

/// The text with the answer marked, shortened before and after it.
fn marked(text: &str, answer: Range<usize>) -> String {
    let before = text.get(..answer.start).unwrap_or_default();
    let after = text.get(answer.end..).unwrap_or_default();
    let answer = text.get(answer).unwrap_or_default();
    format!("{}⟦{answer}⟧{}", shortened(before), shortened(after))
}

fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= 2 * SHOWN {
        return text.to_owned();
    }
    let head: String = text.chars().take(SHOWN).collect();
    let tail: String = text.chars().skip(count - SHOWN).collect();
    format!("{head} […{} characters…] {tail}", count - 2 * SHOWN)
}

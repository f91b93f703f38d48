//! The two columns of a prompts file that say where the answers are, and what is done where they are missing.

use super::column;
use crate::answer::{AnswerSpans, SpanFault, common_start};
use crate::dataset::{Column, Table};
use crate::error::{Error, Result, quoted};
use crate::pair::ContrastPair;
use crate::warning::Warning;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// The columns.
pub(super) const PLUS: &str = "plus_answer";
pub(super) const MINUS: &str = "minus_answer";

/// A span of bytes as one of code points, `START:END`.
pub(super) fn to_text(prompt: &str, span: &Range<usize>) -> String {
    let start = prompt.get(..span.start).map_or(0, |text| text.chars().count());
    let length = prompt.get(span.clone()).map_or(0, |text| text.chars().count());
    format!("{start}:{}", start + length)
}

/// The answers that the columns name.
///
/// # Errors
/// Row and column of what cannot be a pair's answers.
pub(super) fn read(table: &Table, plus: &[String], minus: &[String]) -> Result<Vec<AnswerSpans>> {
    let [plus_cells, minus_cells] = [table.texts(&column(PLUS))?, table.texts(&column(MINUS))?];
    let cells = plus_cells.iter().zip(&minus_cells).zip(plus.iter().zip(minus)).enumerate();
    cells
        .map(|(row, ((plus_cell, minus_cell), (plus, minus)))| {
            let spans = AnswerSpans {
                plus: one(table, row, &column(PLUS), plus_cell, plus)?,
                minus: one(table, row, &column(MINUS), minus_cell, minus)?,
            };
            let fault = spans.check(plus, minus).err();
            fault.map_or(Ok(spans), |fault| Err(refused(table, row, [plus_cell, minus_cell], fault)))
        })
        .collect()
}

/// The bytes of one cell's span.
fn one(table: &Table, row: usize, name: &Column, cell: &str, prompt: &str) -> Result<Range<usize>> {
    let hint =
        "START:END counts characters (Unicode code points) from 0: prompt[START:END] in Python is the answer";
    let digits = |text: &str| {
        let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if all { text.parse::<usize>().ok() } else { None }
    };
    let numbers = cell.trim().split_once(':').and_then(|(start, end)| digits(start).zip(digits(end)));
    let Some((start, end)) = numbers else {
        return Err(table.cell_error(row, name, quoted(cell), "START:END", hint));
    };
    let length = prompt.chars().count();
    if start >= end || end > length {
        let found = format!("{} of a prompt of {length} characters", quoted(cell));
        return Err(table.cell_error(row, name, found, "a span of its prompt that is not empty", hint));
    }
    let mut bytes = prompt.char_indices().map(|(at, _)| at).chain([prompt.len()]);
    let start_byte = bytes.nth(start).unwrap_or(prompt.len());
    let end_byte = bytes.nth(end - start - 1).unwrap_or(prompt.len());
    Ok(start_byte..end_byte)
}

fn refused(table: &Table, row: usize, [plus, minus]: [&str; 2], fault: SpanFault) -> Error {
    let hint = "the two prompts are the same up to their answers, which differ; were they changed without the spans?";
    match fault {
        SpanFault::Empty { side: "plus" } | SpanFault::Outside { side: "plus" } => {
            table.cell_error(row, &column(PLUS), quoted(plus), "a span that holds text", hint)
        }
        SpanFault::Empty { .. } | SpanFault::Outside { .. } => {
            table.cell_error(row, &column(MINUS), quoted(minus), "a span that holds text", hint)
        }
        SpanFault::TextBefore => {
            let (found, expected) =
                (quoted(minus), "a span with the text before it that plus_answer has before it");
            table.cell_error(row, &column(MINUS), found, expected, hint)
        }
        SpanFault::Same => {
            let expected = "the span of an answer other than plus_answer's";
            table.cell_error(row, &column(MINUS), quoted(minus), expected, hint)
        }
    }
}

/// The words in which the two prompts of each row differ.
///
/// # Errors
/// A row whose prompts do not differ.
pub(super) fn differing(table: &Table, plus: &[String], minus: &[String]) -> Result<Vec<AnswerSpans>> {
    let rows = plus.iter().zip(minus).enumerate();
    rows.map(|(row, (plus, minus))| {
        AnswerSpans::of_differing_words(plus, minus).ok_or_else(|| {
            let hint = "the two prompts of a row must differ in the answer, and in nothing else";
            let expected = "an answer other than plus_prompt's";
            table.cell_error(row, &column("minus_prompt"), quoted(minus), expected, hint)
        })
    })
    .collect()
}

/// A warning of pairs whose differing words may be less, or more, than their answers.
///
/// It is not given where the words surely are the answers: they are the same two in all pairs of a template (as True and
/// False are, and sentences are not), at the end of the prompts, after white space.
pub(super) fn unknown(pairs: &[ContrastPair]) -> Option<Warning> {
    let words = |pair: &ContrastPair| {
        let plus = pair.plus_prompt.get(pair.answers.plus.clone()).unwrap_or_default().to_owned();
        (plus, pair.minus_prompt.get(pair.answers.minus.clone()).unwrap_or_default().to_owned())
    };
    let mut templates: HashMap<_, Vec<&ContrastPair>> = HashMap::new();
    for pair in pairs {
        templates.entry((pair.dataset.as_str(), pair.template.as_str())).or_default().push(pair);
    }
    let fixed: HashSet<_> = templates
        .into_iter()
        .filter(|(_, own)| own.len() > 1 && own.windows(2).all(|two| words(two[0]) == words(two[1])))
        .map(|(key, _)| key)
        .collect();
    let fixed = |pair: &ContrastPair| fixed.contains(&(pair.dataset.as_str(), pair.template.as_str()));
    let doubtful = pairs.iter().filter(|pair| !fixed(pair) || !stands_alone(pair)).count();
    (doubtful > 0).then_some(Warning::AnswersUnknown { pairs: doubtful })
}

/// Whether the differing words are at the end, and differ from their first character on.
fn stands_alone(pair: &ContrastPair) -> bool {
    let ends = |prompt: &str, span: &Range<usize>| {
        prompt.get(span.end..).is_some_and(|after| after.trim().is_empty())
    };
    ends(&pair.plus_prompt, &pair.answers.plus)
        && ends(&pair.minus_prompt, &pair.answers.minus)
        && common_start(&pair.plus_prompt, &pair.minus_prompt) == pair.answers.plus.start
}

/// A warning of spans that begin or end inside a word, or after which the prompts differ, other than by the answer again.
pub(super) fn doubtful(pairs: &[ContrastPair]) -> Option<Warning> {
    let mut found = pairs.iter().filter(|pair| is_doubtful(pair));
    let first = found.next()?.idx;
    Some(Warning::SpansDoubtful { pairs: 1 + found.count(), first })
}

fn is_doubtful(pair: &ContrastPair) -> bool {
    let cuts = |prompt: &str, at: usize| {
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let (before, after) = prompt.split_at_checked(at).unwrap_or_default();
        letter(before.chars().next_back()) && letter(after.chars().next())
    };
    let AnswerSpans { plus, minus } = &pair.answers;
    let sides = [(&pair.plus_prompt, plus), (&pair.minus_prompt, minus)];
    if sides.iter().any(|(prompt, span)| cuts(prompt, span.start) || cuts(prompt, span.end)) {
        return true;
    }
    let [(plus, plus_after), (minus, minus_after)] = sides
        .map(|(prompt, span)| (prompt.get(span.clone()).unwrap_or_default(), prompt.get(span.end..)))
        .map(|(answer, after)| (answer, after.unwrap_or_default()));
    plus_after != minus_after && plus_after.replace(plus, minus) != minus_after
}

#[cfg(test)]
mod tests {
    use super::super::{read, write};
    use super::*;
    use crate::pair::Pairs;
    use proptest::prelude::*;

    const HEAD: &str = "idx,plus_prompt,minus_prompt,label";

    fn read_text(text: &str) -> Result<Pairs> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("p.csv");
        fs_err::write(&path, text).expect("writable");
        read(path)
    }

    fn answers(pair: &ContrastPair) -> (&str, &str) {
        (&pair.plus_prompt[pair.answers.plus.clone()], &pair.minus_prompt[pair.answers.minus.clone()])
    }

    /// The spans are what Python says: `p.index("He had")`, `len(p)`, of the same literals.
    #[test]
    fn spans_count_code_points() {
        let text = format!(
            "{HEAD},plus_answer,minus_answer\n\
             0,é🦙 because He had insulted her. ok,é🦙 because He had thanked her. ok,True,11:31,11:30\n"
        );
        let read = read_text(&text).expect("readable");
        assert_eq!(answers(&read.pairs[0]), ("He had insulted her.", "He had thanked her."));
        assert_eq!(read.pairs[0].answers.plus, 15..35, "bytes inside");
        assert!(!read.warnings.iter().any(|w| matches!(w, Warning::SpansDoubtful { .. })));
        let dir = tempfile::tempdir().expect("a temporary folder");
        write(dir.path().join("p.csv"), &read.pairs).expect("writes");
        let written = fs_err::read_to_string(dir.path().join("p.csv")).expect("readable");
        assert!(written.trim_end().ends_with(",11:31,11:30"), "{written}");
    }

    #[test]
    fn damaged_spans_are_refused_with_row_and_column() {
        let cell = |plus: &str, minus: &str| {
            let row = format!("1,is it? yes it is,is it? no it is,True,{plus},{minus}\n");
            let text = format!("{HEAD},plus_answer,minus_answer\n0,a yes,a no,True,2:5,2:4\n{row}");
            match read_text(&text) {
                Err(Error::Cell { row: 1, column, expected, hint, .. }) => {
                    assert!(!hint.is_empty() && !expected.is_empty());
                    column
                }
                other => panic!("{plus} {minus}: {other:?}"),
            }
        };
        for bad in [
            "",
            "7",
            "7:",
            ":16",
            "7-16",
            "a:b",
            "7:16:1",
            "7.0:16",
            "-1:3",
            "+7:16",
            "7:99999999999999999999",
        ] {
            assert_eq!(cell(bad, "7:15"), "plus_answer", "{bad}");
            assert_eq!(cell("7:16", bad), "minus_answer", "{bad}");
        }
        for outside in ["7:17", "16:17", "9:9", "12:10", "99:100"] {
            assert_eq!(cell(outside, "7:15"), "plus_answer", "{outside}");
        }
        assert_eq!(cell("7:16", "7:16"), "minus_answer", "the minus prompt is shorter");
        assert_eq!(cell("6:7", "7:15"), "plus_answer", "white space alone");
        assert_eq!(cell("11:16", "10:15"), "minus_answer", "the text before differs");
        assert_eq!(cell("0:6", "0:6"), "minus_answer", "the same answer");
        let one = format!("{HEAD},plus_answer\n0,a yes,a no,True,2:5\n");
        let Err(Error::MissingColumns { missing, .. }) = read_text(&one) else {
            panic!("one of two columns")
        };
        assert_eq!(missing, ["`minus_answer`"]);
    }

    #[test]
    fn without_the_columns_the_differing_words_are_taken_and_doubt_is_said() {
        let warned = |rows: &[(&str, &str)]| {
            let rows = rows.iter().enumerate().map(|(i, (p, m))| format!("{i},{p},{m},True\n"));
            let read = read_text(&format!("{HEAD}\n{}", rows.collect::<String>())).expect("readable");
            let unknown =
                |w: &Warning| if let Warning::AnswersUnknown { pairs } = w { Some(*pairs) } else { None };
            read.warnings.iter().find_map(unknown).unwrap_or(0)
        };
        assert_eq!(warned(&[("a: True", "a: False"), ("b: True ", "b: False ")]), 0, "llama-ccs' own");
        let shared = [("a He had insulted her.", "a He had thanked her."), ("b He ran.", "b He slept.")];
        assert_eq!(warned(&shared), 2);
        assert_eq!(warned(&[("a he ran", "a he slept"), ("b he sat", "b he stood")]), 2, "they vary");
        assert_eq!(warned(&[("a:True", "a:False"), ("b:True", "b:False")]), 2, "a word touches them");
        assert_eq!(
            warned(&[("a yes it is", "a no it is"), ("b yes it is", "b no it is")]),
            2,
            "text follows"
        );
        assert_eq!(warned(&[("a True", "a False")]), 1, "one pair tells nothing");
    }

    #[test]
    fn spans_of_other_prompts_are_doubted() {
        let doubted = |plus: &str, minus: &str, spans: &str| {
            let text = format!("{HEAD},plus_answer,minus_answer\n0,{plus},{minus},True,{spans}\n");
            let warnings = read_text(&text).expect("readable").warnings;
            warnings.iter().any(|w| matches!(w, Warning::SpansDoubtful { pairs: 1, first: 0 }))
        };
        assert!(!doubted("it is: True.", "it is: False.", "7:11,7:12"));
        // Somebody put two characters before both prompts.
        assert!(doubted("Q it is: True.", "Q it is: False.", "7:11,7:12"));
        assert!(doubted("is: he ran off", "is: he sat down", "4:10,4:10"), "the text after differs");
        assert!(!doubted("True; yes True", "False; yes False", "0:4,0:5"), "the answer again");
    }

    proptest! {
        #[test]
        fn spans_of_any_text_come_back(before in "\\PC{0,9}", plus in "[a-c🦙é]{1,4}", minus in "[d-fé]{1,4}", after in "\\PC{0,9}") {
            prop_assume!(plus != minus);
            let span = |answer: &str| before.len()..before.len() + answer.len();
            let prompt = format!("{before}{plus}{after}");
            let text = to_text(&prompt, &span(&plus));
            let (start, end) = text.split_once(':').expect("two numbers");
            let (start, end): (usize, usize) = (start.parse().expect("n"), end.parse().expect("n"));
            prop_assert_eq!(prompt.chars().skip(start).take(end - start).collect::<String>(), plus);
        }
    }
}

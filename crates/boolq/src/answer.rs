//! Where the answer stands in a pair's two prompts.
//!
//! A template knows: it prints the answer (`template/span.rs`). A file that does not say leaves one rule, derived from
//! the two texts and nothing else ([`answer_ranges`]): the words in which they differ. Of answers of several words that
//! share some (`He had insulted her.`, `He had thanked her.`) that is a part.

use serde::Serialize;
use std::fmt;
use std::ops::Range;

/// Where the answer stands in the plus and in the minus prompt, as bytes of UTF-8. (In a prompts file the same spans are
/// in code points, so that Python's `prompt[start:end]` is the answer.)
///
/// The text before the answer is the same in both prompts, so both spans begin at the same byte. White space at an
/// answer's ends is not part of it. Of an answer that a template prints several times, this is the first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct AnswerSpans {
    /// In the plus prompt.
    pub plus: Range<usize>,
    /// In the minus prompt.
    pub minus: Range<usize>,
}

impl AnswerSpans {
    /// The words in which two prompts differ ([`answer_ranges`]), taken for their answers, without white space at their
    /// ends; `None` if they hold no differing text.
    ///
    /// ```
    /// use boolq::AnswerSpans;
    ///
    /// let spans = AnswerSpans::of_differing_words("Is it so? True", "Is it so? False").expect("they differ");
    /// assert_eq!((spans.plus, spans.minus), (10..14, 10..15));
    /// ```
    pub fn of_differing_words(plus: &str, minus: &str) -> Option<Self> {
        let (plus_words, minus_words) = answer_ranges(plus, minus)?;
        let spans = Self { plus: plus_words, minus: minus_words }.trimmed(plus, minus)?;
        spans.check(plus, minus).is_ok().then_some(spans)
    }

    /// Whether these can be the answers of two prompts.
    ///
    /// # Errors
    /// What is wrong with them, the first such.
    pub fn check(&self, plus: &str, minus: &str) -> Result<(), SpanFault> {
        let sides = [("plus", plus, &self.plus), ("minus", minus, &self.minus)];
        let mut texts = [""; 2];
        for (text, (side, prompt, span)) in texts.iter_mut().zip(sides) {
            *text = prompt.get(span.clone()).ok_or(SpanFault::Outside { side })?;
            if text.trim().is_empty() {
                return Err(SpanFault::Empty { side });
            }
        }
        if plus.get(..self.plus.start) != minus.get(..self.minus.start) {
            return Err(SpanFault::TextBefore);
        }
        let [plus, minus] = texts;
        if plus == minus { Err(SpanFault::Same) } else { Ok(()) }
    }

    /// The same without white space at the answers' ends; what both begin with alone, so that they begin together.
    pub(crate) fn trimmed(&self, plus: &str, minus: &str) -> Option<Self> {
        let (p, m) = (plus.get(self.plus.clone())?, minus.get(self.minus.clone())?);
        let common = p.chars().zip(m.chars()).take_while(|(p, m)| p == m && p.is_whitespace());
        let before: usize = common.map(|(c, _)| c.len_utf8()).sum();
        let trim = |span: &Range<usize>, text: &str| span.start + before..span.start + text.trim_end().len();
        Some(Self { plus: trim(&self.plus, p), minus: trim(&self.minus, m) })
    }
}

/// Why spans cannot be a pair's answers.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanFault {
    /// One ends before it begins, is outside its prompt, or cuts a character.
    Outside {
        /// `"plus"` or `"minus"`.
        side: &'static str,
    },
    /// One holds no text, or white space alone.
    Empty {
        /// `"plus"` or `"minus"`.
        side: &'static str,
    },
    /// The text before the answer differs between the two prompts.
    TextBefore,
    /// Both answers are the same text.
    Same,
}

impl fmt::Display for SpanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside { side } => write!(f, "the answer's span is not inside the {side} prompt"),
            Self::Empty { side } => write!(f, "the answer's span in the {side} prompt holds no text"),
            Self::TextBefore => f.write_str("the two prompts differ before their answers"),
            Self::Same => f.write_str("the two answers are the same text"),
        }
    }
}

/// The words in which two prompts differ: their byte range in the plus and in the minus prompt; `None` if they hold no
/// differing text (equal prompts, or prompts that differ in white space only).
///
/// The two prompts share a beginning and an end; what is left between differs. That middle is extended to white space on
/// both sides, so that `True`/`False`, which share their last letter, are found whole, and so is a full stop that
/// touches them. Words that two answers share at their ends (`yes it is`, `no it is`) are part of the shared text.
///
/// Both ranges start at the same byte, and the text before them is the same.
///
/// ```
/// let (plus, minus) = boolq::answer_ranges("Is it so? True", "Is it so? False").expect("they differ");
/// assert_eq!(plus, 10..14);
/// assert_eq!(minus, 10..15);
/// ```
pub fn answer_ranges(plus: &str, minus: &str) -> Option<(Range<usize>, Range<usize>)> {
    if plus == minus {
        return None;
    }
    let start = common_start(plus, minus);
    let (plus_rest, minus_rest) = (plus.get(start..)?, minus.get(start..)?);
    let end: usize = plus_rest
        .chars()
        .rev()
        .zip(minus_rest.chars().rev())
        .take_while(|(p, m)| p == m)
        .map(|(c, _)| c.len_utf8())
        .sum();
    let plus_range = to_white_space(plus, start..plus.len() - end)?;
    let minus_range = to_white_space(minus, start..minus.len() - end)?;
    Some((plus_range, minus_range))
}

/// The bytes that two texts begin with in common, whole characters.
pub(crate) fn common_start(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum()
}

/// `range` widened to the white space around it; `None` if that leaves nothing but white space.
fn to_white_space(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let word = |c: &char| !c.is_whitespace();
    let left: usize = text.get(..range.start)?.chars().rev().take_while(word).map(char::len_utf8).sum();
    let right: usize = text.get(range.end..)?.chars().take_while(word).map(char::len_utf8).sum();
    let wide = range.start - left..range.end + right;
    if text.get(wide.clone())?.trim().is_empty() { None } else { Some(wide) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts<'a>(plus: &'a str, minus: &'a str) -> Option<(&'a str, &'a str)> {
        answer_ranges(plus, minus).map(|(p, m)| (&plus[p], &minus[m]))
    }

    #[test]
    fn shared_letters_belong_to_the_answer() {
        assert_eq!(texts("a True", "a False"), Some(("True", "False")));
        assert_eq!(texts("a No", "a Nope"), Some(("No", "Nope")));
        assert_eq!(texts("Is True.\nend", "Is False.\nend"), Some(("True.", "False.")));
        assert_eq!(texts("Δ→Wahr …", "Δ→Falsch …"), Some(("Δ→Wahr", "Δ→Falsch")));
        // The first byte of é and è is shared; ranges must not cut a character.
        assert_eq!(texts("x é", "x è"), Some(("é", "è")));
    }

    #[test]
    fn words_shared_at_the_ends_are_shared_text() {
        assert_eq!(texts("q: yes it is", "q: no it is"), Some(("yes", "no")));
    }

    #[test]
    fn no_answer_in_equal_prompts_or_white_space() {
        assert_eq!(texts("a b", "a b"), None);
        assert_eq!(texts("a ", "a  "), None);
        assert_eq!(texts("a ", "a x"), None, "the plus side has no answer");
    }

    #[test]
    fn spans_that_can_be_no_answers_are_told_apart() {
        let check =
            |plus: Range<usize>, minus| AnswerSpans { plus, minus }.check("é yes it is", "é no it is  ");
        assert_eq!(check(3..12, 3..11), Ok(()));
        assert_eq!(check(3..6, 3..5), Ok(()));
        assert_eq!(check(3..13, 3..5), Err(SpanFault::Outside { side: "plus" }));
        assert_eq!(check(3..6, 3..99), Err(SpanFault::Outside { side: "minus" }));
        #[allow(clippy::reversed_empty_ranges)]
        let backwards = 6..3;
        assert_eq!(check(backwards, 3..5), Err(SpanFault::Outside { side: "plus" }));
        assert_eq!(check(1..6, 3..5), Err(SpanFault::Outside { side: "plus" }), "inside a character");
        assert_eq!(check(3..3, 3..5), Err(SpanFault::Empty { side: "plus" }));
        assert_eq!(check(3..6, 11..12), Err(SpanFault::Empty { side: "minus" }));
        assert_eq!(check(7..9, 6..8), Err(SpanFault::TextBefore));
        assert_eq!(check(0..2, 0..2), Err(SpanFault::Same));
        for fault in [SpanFault::Same, SpanFault::TextBefore, SpanFault::Empty { side: "plus" }] {
            assert!(fault.to_string().contains("answer"), "{fault}");
        }
    }

    #[test]
    fn white_space_at_the_ends_is_no_answer() {
        let words = AnswerSpans::of_differing_words("a True", "a False \n").expect("they differ");
        assert_eq!((words.plus, words.minus), (2..6, 2..7));
        assert_eq!(AnswerSpans::of_differing_words("a b", "a b "), None);
        let (plus, minus) = ("q: \n yes \n", "q: \nno. ");
        let spans = AnswerSpans { plus: 3..10, minus: 3..8 }.trimmed(plus, minus).expect("spans");
        assert_eq!((&plus[spans.plus.clone()], &minus[spans.minus.clone()]), (" yes", "no."));
        assert_eq!(spans.check(plus, minus), Ok(()), "they begin together");
    }

    proptest! {
        #[test]
        fn covers_exactly_the_answer(
            before in ".{0,40}[ \n\t]", after in "(|[ \n].{0,20})",
            plus in "[A-Za-zé]{1,8}", minus in "[A-Za-zé]{1,8}",
        ) {
            prop_assume!(plus != minus);
            let (p, m) = (format!("{before}{plus}{after}"), format!("{before}{minus}{after}"));
            prop_assert_eq!(texts(&p, &m), Some((plus.as_str(), minus.as_str())));
        }

        #[test]
        fn never_panics_and_starts_alike(plus in ".{0,12}", minus in ".{0,12}") {
            if let Some((p, m)) = answer_ranges(&plus, &minus) {
                prop_assert_eq!(&plus[..p.start], &minus[..m.start]);
                prop_assert!(!plus[p.clone()].trim().is_empty() && !minus[m.clone()].trim().is_empty());
                prop_assert_eq!(AnswerSpans { plus: p, minus: m }.check(&plus, &minus), Ok(()));
            }
        }
    }
}

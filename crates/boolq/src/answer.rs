//! Where the answer stands in a pair's two prompts: one rule, derived from the two texts and nothing else.
//!
//! The rule needs no template, so it holds for prompts that come from a file just the same. The two prompts share a
//! beginning and an end; what is left between differs. That middle is extended to white space on both sides, so
//! that `True`/`False`, which share their last letter, are found whole, and so is a full stop that touches them.
//! Words that two answers share at their ends (`yes it is`, `no it is`) are part of the shared text.

use std::ops::Range;

/// The byte range of the answer in the plus and in the minus prompt; `None` if they hold no differing text
/// (equal prompts, or prompts that differ in white space only).
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
    let start: usize =
        plus.chars().zip(minus.chars()).take_while(|(p, m)| p == m).map(|(c, _)| c.len_utf8()).sum();
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
                prop_assert!(!plus[p].trim().is_empty() && !minus[m].trim().is_empty());
            }
        }
    }
}

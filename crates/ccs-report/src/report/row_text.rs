//! The text of a row, cut to what a page has room for.

use serde::{Deserialize, Serialize};

/// The most characters of what both prompts of a row begin with that are kept, from its end.
const SHARED: usize = 300;
/// The most characters of an answer that are kept, from its beginning.
const ANSWER: usize = 120;

/// The text of a row: the end of what its two prompts begin with (of the passage, and the question), and what each ends
/// with (the answer).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowText {
    /// The end of what both prompts begin with; an ellipsis stands for what was cut.
    pub shared: String,
    /// How the plus prompt goes on.
    pub plus: String,
    /// How the minus prompt goes on.
    pub minus: String,
}

impl RowText {
    /// Of two prompts. They part at the last white space before their first difference, so that no word is torn.
    ///
    /// ```
    /// use ccs_report::RowText;
    ///
    /// let text = RowText::of("Is it red? It is correct", "Is it red? It is corrupt");
    /// assert_eq!((text.shared.as_str(), text.plus.as_str(), text.minus.as_str()), ("Is it red? It is", "correct", "corrupt"));
    /// ```
    pub fn of(plus: &str, minus: &str) -> Self {
        let same =
            plus.chars().zip(minus.chars()).take_while(|(p, m)| p == m).map(|(p, _)| p.len_utf8()).sum();
        let space = |text: &str| text.char_indices().rfind(|(_, c)| c.is_whitespace()).map(|(at, _)| at);
        let (shared, _) = plus.split_at_checked(same).unwrap_or((plus, ""));
        // Texts that are the same to their ends part nowhere.
        let ends = plus.len() == same && minus.len() == same;
        let at = if ends { same } else { space(shared).unwrap_or(0) };
        let rest = |text: &str| first(text.get(at..).unwrap_or_default().trim(), ANSWER);
        let shared = plus.get(..at).unwrap_or_default();
        Self { shared: last(shared.trim(), SHARED), plus: rest(plus), minus: rest(minus) }
    }

    /// Of a statement's prompt, which goes on in one way alone.
    pub fn of_statement(prompt: &str) -> Self {
        Self { shared: last(prompt.trim(), SHARED), ..Self::default() }
    }
}

/// The first characters of a text.
fn first(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default().trim_end()),
    }
}

/// The last characters of a text, from the beginning of a word where one begins in time.
fn last(text: &str, most: usize) -> String {
    let Some((at, _)) = most.checked_sub(1).and_then(|back| text.char_indices().nth_back(back)) else {
        return text.to_owned();
    };
    if at == 0 {
        return text.to_owned();
    }
    let end = text.get(at..).unwrap_or_default();
    let word = end.char_indices().take(40).find(|(_, c)| c.is_whitespace());
    format!("…{}", end.get(word.map_or(0, |(at, _)| at)..).unwrap_or_default().trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_part_between_words_and_at_characters() {
        let of = |plus: &str, minus: &str| {
            let RowText { shared, plus, minus } = RowText::of(plus, minus);
            [shared, plus, minus]
        };
        assert_eq!(of("Größe? Ja", "Größe? Nein"), ["Größe?", "Ja", "Nein"]);
        assert_eq!(of("é", "è"), ["", "é", "è"]);
        assert_eq!(of("", "x"), ["", "", "x"]);
        assert_eq!(of("the same", "the same"), ["the same", "", ""]);
        // One goes on where the other ends.
        assert_eq!(of("It is", "It is not"), ["It", "is", "is not"]);
    }

    #[test]
    fn long_texts_keep_the_end_of_the_passage_and_the_beginning_of_the_answer() {
        let passage = "ä wörd ".repeat(200);
        let text = RowText::of(&format!("{passage}yes"), &format!("{passage}{}", "no".repeat(200)));
        assert!(text.shared.starts_with("…") && text.shared.ends_with("ä wörd"), "{}", text.shared);
        assert!((SHARED - 10..=SHARED + 1).contains(&text.shared.chars().count()));
        assert_eq!(text.plus, "yes");
        assert_eq!(text.minus.chars().count(), ANSWER + 1);
        // Without any space to part at.
        let joined = RowText::of(&"字".repeat(1000), &"字".repeat(999));
        assert_eq!(joined.plus.chars().count(), ANSWER + 1);
    }
}

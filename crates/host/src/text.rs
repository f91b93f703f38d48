//! Makes text from data and model files safe to show. Control characters can command a terminal, and some format
//! characters reverse or hide the text around them.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character affects its surroundings instead of being shown: a control character other than newline and tab,
/// Unicode's line and paragraph separators, a format character that reorders or hides others (bidirectional marks,
/// embeddings, overrides, and isolates, deprecated formats, annotations, tags), or a code point that is not a
/// character.
pub fn is_unsafe(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{206f}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{fffe}'..='\u{ffff}'
        | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(), // C0, DEL and C1
    }
}

/// The text with every [unsafe](is_unsafe) character written as an escape such as `\u{1b}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, |c, into| {
        let _ = write!(into, "{}", c.escape_unicode());
    })
}

/// A JSON document with the same characters written as JSON escapes (`\u001b`); every parser reads the same values.
/// (Newlines never occur inside a JSON string.)
pub fn json(document: &str) -> Cow<'_, str> {
    escaped(document, |c, into| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(into, "\\u{unit:04x}");
        }
    })
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) { escape(c, &mut escaped) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        let bad = "\u{1b}]0;title\u{7}\u{9b}31m\r\u{8}\u{7f}\u{202e}abc\u{2066}\u{200f}\u{e0041}\u{0}";
        let good = shown(bad);
        assert!(!good.contains(is_unsafe), "{good}");
        assert!(good.starts_with("\\u{1b}]0;title\\u{7}\\u{9b}31m\\u{d}\\u{8}\\u{7f}\\u{202e}abc"), "{good}");
        // Every language is left as it is, with what joins its letters.
        for fine in ["a\n\tb", "Größe 🏳️‍🌈 می‌خواهم हिन्दी 中文 עברית", ""]
        {
            assert_eq!(shown(fine), fine);
        }
    }

    #[test]
    fn json_says_the_same_without_them() {
        let document = "{\n  \"a\": \"\u{9b}31m\u{202e}x\u{e0041}\u{7f}\"\n}";
        assert_eq!(json(document), "{\n  \"a\": \"\\u009b31m\\u202ex\\udb40\\udc41\\u007f\"\n}");
        assert_eq!(json("{ \"ü\": 1 }"), "{ \"ü\": 1 }");
    }
}

//! Libraries speak of settings; what a flag is called is the command line's to say.

use crate::rules::calls::shown;
use crate::rules::ratchet::Measured;
use crate::rules::source::Source;
use crate::rust::lex::Kind;

/// How many words beginning with `--` a library's texts hold.
pub fn measure(source: &Source) -> Option<Measured> {
    if !source.is_library() {
        return None;
    }
    let code = source.code();
    let texts = code.iter().filter(|token| token.kind == Kind::Text);
    let lines: Vec<usize> = texts.flat_map(|text| std::iter::repeat_n(text.line, flags(text.text))).collect();
    (!lines.is_empty()).then(|| Measured::new("flag", &source.name, lines.len(), shown(&lines)))
}

/// Words like `--flag`, but not a style sheet's `var(--ink)` and `--ink: red`, nor `a --> b`.
fn flags(text: &str) -> usize {
    let is_flag = |(at, dashes): (usize, &str)| {
        let (before, after) = (&text[..at], &text[at + dashes.len()..]);
        let name = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(after.len());
        let in_style =
            before.ends_with("var(") || (after[name..].starts_with(':') && before.ends_with(['{', ';']));
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_');
        begins && after.starts_with(|c: char| c.is_ascii_alphabetic()) && !in_style
    };
    text.match_indices("--").filter(|found| is_flag(*found)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_words_that_begin_with_two_dashes() {
        assert_eq!(flags("give `--l2 0.01`, (--seed N) or \"--out\""), 3);
        assert_eq!(
            flags("a--b, a --> b, ---, <!-- no -->, var(--ink), p{--ink:red;--two: 1}, -x, -- and"),
            0
        );
    }

    #[test]
    fn only_texts_of_libraries_count() {
        let text = "/// `--doc`\nfn f() { let x = \"--a and --b\"; }\n#[cfg(test)] mod tests { const T: &str = \"--c\"; }";
        let count =
            |name: &str| measure(&Source { name: name.to_owned(), text: text.to_owned() }).map(|m| m.count);
        assert_eq!(count("crates/x/src/a.rs"), Some(2));
        for program in
            ["crates/x/src/main.rs", "src/cli/a.rs", "examples/a.rs", "xtask/src/a.rs", "tests/it/a.rs"]
        {
            assert_eq!(count(program), None, "{program}");
        }
    }
}

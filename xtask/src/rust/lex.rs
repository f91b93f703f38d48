//! Rust source as tokens, without comments.

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A name or a keyword.
    Word,
    /// A text in quotes of any kind, with them.
    Text,
    /// A character, a lifetime or a number.
    Other,
    /// Punctuation: `::`, or one character.
    Sign,
}

/// One token and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Its first line, from 1.
    pub line: usize,
}

impl Token<'_> {
    /// Whether this is that name, keyword or punctuation.
    pub fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Sign) && self.text == text
    }
}

/// The tokens of a file.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { source, at: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some((kind, length)) = lexer.next() {
        let text = &source[lexer.at..lexer.at + length];
        if let Some(kind) = kind {
            // r#type is the name `type`.
            let text = if kind == Kind::Word { text.strip_prefix("r#").unwrap_or(text) } else { text };
            tokens.push(Token { kind, text, line: lexer.line });
        }
        lexer.line += text.matches('\n').count();
        lexer.at += length;
    }
    tokens
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
}

impl Lexer<'_> {
    /// What stands here, `None` for a comment or space, and how long it is.
    fn next(&self) -> Option<(Option<Kind>, usize)> {
        let rest = &self.source[self.at..];
        let first = rest.chars().next()?;
        if first.is_whitespace() {
            return Some((None, first.len_utf8()));
        }
        if rest.starts_with("//") {
            return Some((None, rest.find('\n').unwrap_or(rest.len())));
        }
        if rest.starts_with("/*") {
            return Some((None, block_comment(rest)));
        }
        if let Some(length) = text(rest) {
            return Some((Some(Kind::Text), length));
        }
        if let Some(length) = character(rest) {
            return Some((Some(Kind::Other), length));
        }
        if is_name_start(first) {
            let raw = if rest.starts_with("r#") { 2 } else { 0 };
            return Some((Some(Kind::Word), raw + name_length(&rest[raw..])));
        }
        if first.is_ascii_digit() {
            return Some((Some(Kind::Other), number_length(rest)));
        }
        if rest.starts_with("::") {
            return Some((Some(Kind::Sign), 2));
        }
        Some((Some(Kind::Sign), first.len_utf8()))
    }
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a text: `"…"`, `b"…"`, `c"…"`, `r#"…"#` and their kin.
fn text(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| rest.starts_with(prefix))?;
    let after = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let inside = after[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + length);
    }
    let inside = after.strip_prefix('"')?;
    Some(prefix.len() + 1 + quoted(inside, '"'))
}

/// The length of a character, `'a'` or `b'\''`, or of a lifetime, `'a`.
fn character(rest: &str) -> Option<usize> {
    let prefix = usize::from(rest.starts_with("b'"));
    let inside = rest[prefix..].strip_prefix('\'')?;
    let mut chars = inside.chars();
    let (first, second) = (chars.next()?, chars.next());
    if first == '\\' || second == Some('\'') {
        return Some(prefix + 1 + quoted(inside, '\''));
    }
    Some(prefix + 1 + name_length(inside))
}

/// The length up to the closing quote, with it.
fn quoted(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    inside.len()
}

/// `1`, `0xff_u8`, `1.5e-3`; not the dots of `0..3` or `1.max(2)`.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = name_length(rest);
    if bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
        at += 1 + name_length(&rest[at + 1..]);
    }
    let exponent = !rest.starts_with("0x") && matches!(bytes[at - 1], b'e' | b'E');
    if exponent && matches!(bytes.get(at), Some(b'-' | b'+')) {
        at += 1 + name_length(&rest[at + 1..]);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_something_else_is_told_apart() {
        let source = r##"let a = 'x'; // 'y' "z"
/* "in" /* nested */ out */ b'\'' 'static '\u{1f}' "quo\"te //" r#"raw " \"# br"x\" c"y"
r#type 0..3 1.5e-3 1.max(2) a::b 'ü' '"' 7e4"##;
        let texts: Vec<&str> = tokens(source).iter().map(|t| t.text).collect();
        let expected = [
            "let",
            "a",
            "=",
            "'x'",
            ";",
            r"b'\''",
            "'static",
            r"'\u{1f}'",
            r#""quo\"te //""#,
            r##"r#"raw " \"#"##,
            r#"br"x\""#,
            r#"c"y""#,
            "type",
            "0",
            ".",
            ".",
            "3",
            "1.5e-3",
            "1",
            ".",
            "max",
            "(",
            "2",
            ")",
            "a",
            "::",
            "b",
            "'ü'",
            "'\"'",
            "7e4",
        ];
        assert_eq!(texts, expected);
        assert_eq!(tokens("a\n\"b\nc\"\nd").iter().map(|t| t.line).collect::<Vec<_>>(), [1, 2, 4]);
        for (unfinished, count) in [("\"abc", 1), ("r#\"abc", 1), ("/* abc", 0), ("'", 1), ("b'", 2)] {
            assert_eq!(tokens(unfinished).len(), count, "{unfinished}");
        }
    }
}

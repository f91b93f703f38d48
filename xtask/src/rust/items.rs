//! What stands in a file: code without its tests, and functions.

use super::lex::{Kind, Token};

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// Where it begins, from 1.
    pub line: usize,
    /// How many lines have code in them.
    pub lines: usize,
}

/// The tokens without items that are there in tests only (`#[cfg(test)]`, `#[test]`).
pub fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let attribute = attribute_end(tokens, at);
        if attribute.is_some_and(|end| is_of_tests(&tokens[at..end])) {
            at = item_end(tokens, at);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Every function, also those inside others.
pub fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let name = tokens.get(at + 1).filter(|name| token.is("fn") && name.kind == Kind::Word);
        let Some(name) = name else { continue };
        let end = item_end(tokens, at);
        if tokens[end - 1].is("}") {
            let lines = lines_with_code(&tokens[at..end]);
            found.push(Function { name: name.text.to_owned(), line: token.line, lines });
        }
    }
    found
}

/// The place behind what closes the bracket that opens at `open`.
pub fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if ["(", "[", "{"].iter().any(|bracket| token.is(bracket)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|bracket| token.is(bracket)) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

/// The place behind an attribute `#[…]` that begins at `at`.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    let begins = tokens[at].is("#") && tokens.get(at + 1).is_some_and(|next| next.is("["));
    begins.then(|| closing(tokens, at + 1))
}

fn is_of_tests(attribute: &[Token]) -> bool {
    let has = |word: &str| attribute.iter().any(|token| token.is(word));
    match attribute.get(2) {
        Some(first) if first.is("cfg") => has("test") && !has("not"),
        Some(first) => first.is("test") && attribute.len() == 4,
        None => false,
    }
}

/// The place behind the item that begins at `at`, attributes before it included.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while let Some(end) = tokens.get(at).and_then(|_| attribute_end(tokens, at)) {
        at = end;
    }
    // A block ends these only as a part of a value.
    let kinds = ["use", "const", "static", "type", "let"];
    let words =
        tokens[at.min(tokens.len())..].iter().take(6).position(|token| kinds.iter().any(|k| token.is(k)));
    let by_semicolon = words.is_some_and(|word| {
        let is_function =
            |token: &Token| ["fn", "mod", "impl", "struct", "enum", "trait"].iter().any(|k| token.is(k));
        !tokens[at..].iter().take(word + 3).any(is_function)
    });
    while at < tokens.len() {
        let token = &tokens[at];
        if token.is(";") {
            return at + 1;
        }
        if token.is("{") && !by_semicolon {
            return closing(tokens, at);
        }
        if token.is("}") {
            return at; // The end of what is around it, after a field or an arm.
        }
        at = if ["(", "[", "{"].iter().any(|bracket| token.is(bracket)) {
            closing(tokens, at)
        } else {
            at + 1
        };
    }
    tokens.len()
}

fn lines_with_code(tokens: &[Token]) -> usize {
    let (mut count, mut last) = (0, 0);
    for token in tokens {
        let end = token.line + token.text.matches('\n').count();
        count += (end + 1).saturating_sub(token.line.max(last + 1));
        last = last.max(end);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::super::lex::tokens;
    use super::*;

    #[test]
    fn tests_are_left_out_and_nothing_else() {
        let source = "#[cfg(test)] mod tests;\nuse a;\n#[cfg(test)]\n#[allow(x)]\nuse b::{c, d};\n\
            #[cfg(not(test))] fn e() {}\n#[cfg(all(test, unix))]\nmod f { fn g() { h; } }\n#[test] fn i() { j }\n\
            #[cfg(test)] const K: [u8; 2] = { [1; 2] };\n#[cfg(test)] pub(crate) const fn l() -> u8 { 1 }\nstruct M;";
        let kept: Vec<String> = without_tests(&tokens(source)).iter().map(|t| t.text.to_owned()).collect();
        assert_eq!(kept.concat(), "usea;#[cfg(not(test))]fne(){}structM;");
    }

    #[test]
    fn lines_of_functions_are_those_with_code() {
        let source = "trait A { fn none(&self); }\nfn one<T>(x: [u8; 2]) -> fn(u8) where T: B { x }\n\
            fn two(\n    a: u8,\n) {\n    // no code\n\n    fn inner() {}\n    let text = \"x\n    y\";\n}\n";
        let found = functions(&tokens(source));
        let found: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(found, [("one", 2, 1), ("two", 3, 7), ("inner", 8, 1)]);
    }
}

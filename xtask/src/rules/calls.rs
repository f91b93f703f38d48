//! Calls that libraries do not make: a tensor's size with a default, and JSON by pointers.

use crate::rules::ratchet::Measured;
use crate::rules::source::Source;
use crate::rust::items::closing;
use crate::rust::lex::{Kind, Token};

/// tch's answers about a shape.
const SIZES: [&str; 7] = ["size", "size1", "size2", "size3", "size4", "size5", "size6"];
/// What a shape is called where it is held.
const SHAPES: [&str; 6] = ["dims", "shape", "shapes", "size", "sizes", "widths"];
/// What makes something of nothing.
const DEFAULTS: [&str; 5] = ["unwrap_or_default", "unwrap_or", "unwrap_or_else", "map_or", "map_or_else"];

/// Both rules.
pub fn measure(source: &Source) -> Vec<Measured> {
    let (shipped, stores) = (["src/", "crates/"], "crates/activations/");
    if source.is_test() || !shipped.iter().any(|folder| source.name.starts_with(folder)) {
        return Vec::new();
    }
    let code = source.code();
    let mut found = Vec::new();
    if source.is_library() {
        found.push(("default", defaults(&code)));
    }
    if !source.name.starts_with(stores) {
        found.push(("pointer", pointers(&code)));
    }
    let measured = found.into_iter().filter(|(_, lines)| !lines.is_empty());
    measured.map(|(rule, lines)| Measured::new(rule, &source.name, lines.len(), shown(&lines))).collect()
}

/// `line 3, 17`
pub fn shown(lines: &[usize]) -> String {
    let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
    format!("line {}", lines.join(", "))
}

/// Lines on which a size or an element of a shape gets a default: `x.size().first().copied().unwrap_or(0)`,
/// `shape.get(1).map_or(0, …)`.
fn defaults(code: &[Token]) -> Vec<usize> {
    let starts = (0..code.len()).filter_map(|at| {
        let after = begins_size(code, at).or_else(|| begins_shape(code, at))?;
        chain(code, after).iter().any(|name| DEFAULTS.contains(name)).then_some(code[at].line)
    });
    starts.collect()
}

/// `.size()`; gives the place behind it.
fn begins_size(code: &[Token], at: usize) -> Option<usize> {
    let [dot, name, open, close] = code.get(at..at + 4)? else { return None };
    let is_size = dot.is(".") && SIZES.iter().any(|size| name.is(size)) && open.is("(") && close.is(")");
    is_size.then_some(at + 4)
}

/// `shape.get(` or `shape.first(` of a shape that is held; gives the place of its dot.
fn begins_shape(code: &[Token], at: usize) -> Option<usize> {
    let [shape, dot, element, open] = code.get(at..at + 4)? else { return None };
    let takes = ["get", "first", "last"].iter().any(|take| element.is(take)) && open.is("(");
    (SHAPES.iter().any(|name| shape.is(name)) && dot.is(".") && takes).then_some(at + 1)
}

/// The methods that are called one on the other from here on.
fn chain<'a>(code: &[Token<'a>], mut at: usize) -> Vec<&'a str> {
    let mut names = Vec::new();
    while let Some(token) = code.get(at) {
        match code.get(at + 1) {
            Some(name) if token.is(".") && name.kind == Kind::Word => {
                names.push(name.text);
                at += 2;
                if code.get(at).is_some_and(|next| next.is("::")) {
                    // `.parse::<u8>()`
                    at = code[at..].iter().position(|t| t.is("(")).map_or(code.len(), |open| at + open);
                }
                if code.get(at).is_some_and(|next| next.is("(")) {
                    at = closing(code, at);
                }
            }
            _ if token.is("?") => at += 1,
            _ => break,
        }
    }
    names
}

fn pointers(code: &[Token]) -> Vec<usize> {
    let call = |three: &&[Token]| {
        three[0].is(".") && (three[1].is("pointer") || three[1].is("pointer_mut")) && three[2].is("(")
    };
    code.windows(3).filter(call).map(|three| three[1].line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(name: &str, text: &str) -> Vec<(&'static str, usize)> {
        let source = Source { name: name.to_owned(), text: text.to_owned() };
        measure(&source).into_iter().map(|m| (m.rule, m.count)).collect()
    }

    #[test]
    fn defaults_of_shapes_are_found_however_they_are_written() {
        let text = "fn f() {\n let a = x.size().first().copied().unwrap_or_default();\n\
            let b = x\n  .size2()?\n  .checked::<u8>(1).map_or(0, |d| d);\n let size = y.size();\n\
            let c = (size.get(1).copied().unwrap_or(1), shape.first().copied().ok_or(Error)?);\n\
            let d = x.size()[0]; names.get(0).copied().unwrap_or_default(); x.size(); y.unwrap_or_default();\n\
            // x.size().unwrap_or(0)\n let t = \".size().unwrap_or(0)\";\n}\n\
            #[cfg(test)] mod tests { fn g() { x.size().first().unwrap_or(0); } }\n";
        assert_eq!(counts("crates/ccs/src/a.rs", text), [("default", 3)]);
        assert!(counts("crates/ccs/tests/it/a.rs", text).is_empty());
        assert!(counts("crates/ccs/src/main.rs", text).is_empty());
    }

    #[test]
    fn pointers_are_for_activations() {
        let text = "fn f() { a.pointer(\"/x\"); let pointer = |p| b.pointer_mut(p); pointer(c); }";
        assert_eq!(counts("src/cli/a.rs", text), [("pointer", 2)]);
        assert!(counts("crates/activations/src/a.rs", text).is_empty());
    }
}

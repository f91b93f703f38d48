//! The modules of a crate, by their `mod` declarations: what each defines, imports and names.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::items::{closing, without_tests};
use super::lex::{Kind, Token, tokens};
use crate::shell::{Result, at};

/// `use a::b as c;`, or one branch of it. A glob's alias is `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    pub alias: String,
    pub path: Vec<String>,
    /// `pub`, `pub(crate)` and the like: others may mean this name, and the file itself need not.
    pub public: bool,
}

/// A module, in a file of its own or inside another's.
#[derive(Debug, Default)]
pub struct Module {
    pub parent: Option<usize>,
    /// Its file, as an index into [`Crate::files`].
    pub file: usize,
    pub children: HashMap<String, usize>,
    /// Names of functions, types, traits and so on that are defined in it.
    pub items: HashSet<String>,
    pub imports: Vec<Import>,
    /// Every name or path in its code outside `use`, as often as it stands there, with the line.
    pub mentions: Vec<(Vec<String>, usize)>,
}

/// The modules of one library or program. The first is its root.
#[derive(Debug, Default)]
pub struct Crate {
    pub files: Vec<PathBuf>,
    pub modules: Vec<Module>,
}

impl Crate {
    /// Reads a crate from the file of its root module.
    pub fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        tree.file(root, None, &folder)?;
        Ok(tree)
    }

    /// Reads a module from its file; modules below it have theirs in `folder`.
    fn file(&mut self, path: &Path, parent: Option<usize>, folder: &Path) -> Result<usize> {
        let text = at("read", path, fs::read_to_string(path))?;
        let code = tokens(&text);
        self.files.push(path.to_owned());
        let module = self.add(parent, self.files.len() - 1);
        self.fill(module, &without_tests(&code), folder)?;
        Ok(module)
    }

    fn add(&mut self, parent: Option<usize>, file: usize) -> usize {
        self.modules.push(Module { parent, file, ..Module::default() });
        self.modules.len() - 1
    }

    fn fill(&mut self, module: usize, code: &[Token], folder: &Path) -> Result {
        let (mut at, mut depth) = (0, 0_usize);
        while at < code.len() {
            let token = &code[at];
            let name = code.get(at + 1).filter(|name| name.kind == Kind::Word);
            if token.is("use") {
                let end =
                    code[at..].iter().position(|t| t.is(";")).map_or(code.len(), |semicolon| at + semicolon);
                let public = at > 0 && (code[at - 1].is("pub") || code[at - 1].is(")"));
                imports(&code[at + 1..end], &[], public, &mut self.modules[module].imports);
                at = end;
            } else if let Some(name) = name.filter(|_| token.is("mod")) {
                at = self.child(module, code, at, name.text, folder)?;
            } else {
                depth += usize::from(token.is("{"));
                depth -= usize::from(token.is("}") && depth > 0);
                if depth == 0 {
                    self.modules[module].items.extend(defined(code, at).map(str::to_owned));
                }
                let path = mention(code, at);
                if !path.is_empty() {
                    self.modules[module].mentions.push((path, token.line));
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// `mod name;` or `mod name { … }` at `at`; gives the place of its last token.
    fn child(
        &mut self,
        module: usize,
        code: &[Token],
        at: usize,
        name: &str,
        folder: &Path,
    ) -> Result<usize> {
        let below = folder.join(name);
        let inline = code.get(at + 2).is_some_and(|next| next.is("{"));
        let (child, end) = if inline {
            let (child, end) = (self.add(Some(module), self.modules[module].file), closing(code, at + 2));
            self.fill(child, &code[at + 3..end - 1], &below)?;
            (child, end - 1)
        } else {
            let (beside, inside) = (folder.join(format!("{name}.rs")), below.join("mod.rs"));
            let path = if beside.is_file() { beside } else { inside };
            (self.file(&path, Some(module), &below)?, at + 2)
        };
        self.modules[module].children.insert(name.to_owned(), child);
        Ok(end)
    }
}

/// The name that an item at `at` defines.
fn defined<'a>(code: &[Token<'a>], at: usize) -> Option<&'a str> {
    let kinds = ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];
    let keyword = kinds.iter().any(|kind| code[at].is(kind));
    let skipped = ["!", "mut"];
    let mut after = code[at + 1..].iter().skip_while(|token| skipped.iter().any(|word| token.is(word)));
    let name = after.next().filter(|name| keyword && name.kind == Kind::Word)?;
    // `const fn f`: the function is met next.
    (!kinds.iter().any(|kind| name.is(kind))).then_some(name.text)
}

/// The path that begins at `at`: a name that no dot or `::` stands before, and what `::` puts behind it.
fn mention(code: &[Token], at: usize) -> Vec<String> {
    let before = at.checked_sub(1).map(|before| &code[before]);
    if code[at].kind != Kind::Word || before.is_some_and(|token| token.is("::") || token.is(".")) {
        return Vec::new();
    }
    let mut path = vec![code[at].text.to_owned()];
    let mut next = at + 1;
    while let [colons, name, ..] = &code[next.min(code.len())..] {
        if !colons.is("::") || name.kind != Kind::Word {
            break;
        }
        path.push(name.text.to_owned());
        next += 2;
    }
    path
}

/// The branches of a `use` tree.
fn imports(tree: &[Token], before: &[String], public: bool, into: &mut Vec<Import>) {
    let mut path = before.to_vec();
    let mut at = 0;
    while let Some(token) = tree.get(at) {
        if token.is("{") {
            let inside = &tree[at + 1..closing(tree, at) - 1];
            for branch in branches(inside) {
                imports(branch, &path, public, into);
            }
            return;
        }
        if token.is("as") {
            break;
        }
        if token.kind == Kind::Word || token.is("*") {
            path.push(token.text.to_owned());
        }
        at += 1;
    }
    // `use a::{self}` means `a`.
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let given = tree.get(at + 1).map(|alias| alias.text.to_owned());
    if let Some(alias) = given.or_else(|| path.last().cloned()) {
        path.retain(|name| name != "*");
        into.push(Import { alias, path, public });
    }
}

/// What commas part, outside of braces.
fn branches<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let (mut found, mut start, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        if tokens[at].is(",") {
            found.push(&tokens[start..at]);
            start = at + 1;
        }
        at = if tokens[at].is("{") { closing(tokens, at) } else { at + 1 };
    }
    found.push(&tokens[start..]);
    found.retain(|branch| !branch.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_trees_become_paths() {
        let code = tokens("a::{self, b as c, d::*, e::{f, g as _}}, h");
        let mut found = Vec::new();
        imports(&code[..code.len() - 2], &[], true, &mut found);
        let shown: Vec<_> = found.iter().map(|i| format!("{}={}", i.alias, i.path.join("::"))).collect();
        assert_eq!(shown, ["a=a", "c=a::b", "*=a::d", "f=a::e::f", "_=a::e::g"]);
    }

    #[test]
    fn items_and_mentions_are_told_apart() {
        let source = "pub const fn f<T>(x: super::T) { let y = g::h(x.z)?; }\nstatic mut S: u8 = 1;\n\
            macro_rules! m { () => {} }\nimpl A { fn not_here() {} }\nmod inside { struct B; }";
        let mut tree = Crate::default();
        tree.add(None, 0);
        tree.fill(0, &tokens(source), Path::new("")).unwrap();
        let mut items: Vec<_> = tree.modules[0].items.iter().map(String::as_str).collect();
        items.sort_unstable();
        assert_eq!(items, ["S", "f", "m"]);
        let mentions: Vec<_> = tree.modules[0].mentions.iter().map(|(path, _)| path.join("::")).collect();
        assert!(
            ["super::T", "g::h", "A"].iter().all(|path| mentions.contains(&(*path).to_owned())),
            "{mentions:?}"
        );
        assert!(!mentions.contains(&"z".to_owned()));
        assert!(tree.modules[1].items.contains("B"));
    }
}

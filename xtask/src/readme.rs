//! `cargo xtask readme`: each crate's README.md is made from its front page, so the two cannot disagree, and the
//! example in it is a tested one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{self, Result, at};

/// The longest example that still is one, in lines.
const LONGEST: usize = 25;

/// Writes `crates/*/README.md`.
pub fn run(args: &[String]) -> Result {
    shell::none("readme", args)?;
    for (path, text) in all()? {
        at("write", &path, fs::write(&path, text))?;
    }
    Ok(())
}

/// Fails if a README is not what its crate's front page makes it, or a front page has no tested example.
pub fn check() -> Result {
    front_page("llama-ccs", &source(&shell::root().join("src/lib.rs"))?)?;
    for (path, text) in all()? {
        if fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
            return Err(format!(
                "{} is not what src/lib.rs says\nhint: `cargo xtask readme` writes it",
                path.display()
            ));
        }
    }
    Ok(())
}

fn all() -> Result<Vec<(PathBuf, String)>> {
    let crates = shell::root().join("crates");
    let mut folders = at("list", &crates, fs::read_dir(&crates))?
        .map(|entry| at("list", &crates, entry).map(|e| e.path()))
        .collect::<Result<Vec<_>>>()?;
    folders.sort();
    folders
        .iter()
        .map(|folder| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let front = front_page(&name, &source(&folder.join("src/lib.rs"))?)?;
            Ok((folder.join("README.md"), readme(&name, &front)))
        })
        .collect()
}

fn source(lib: &Path) -> Result<String> {
    at("read", lib, fs::read_to_string(lib))
}

fn readme(name: &str, front: &str) -> String {
    format!(
        "# {name}\n\n{front}\n\
         One of the crates of [LLaMA-CCS](https://github.com/llama-ccs/llama-ccs); its README shows them together and says \
         how LibTorch is had where one needs it. `cargo doc --open` documents every item. MIT or Apache-2.0.\n\n\
         <!-- Made from src/lib.rs by `cargo xtask readme`. -->\n"
    )
}

/// The crate's front page down to the end of its first example, as Markdown: hidden lines and intra-doc links gone.
fn front_page(name: &str, source: &str) -> Result<String> {
    let front = source.lines().map_while(|line| line.strip_prefix("//!"));
    let mut lines = front.map(|line| line.strip_prefix(' ').unwrap_or(line));

    let mut text = String::new();
    for prose in lines.by_ref().take_while(|line| *line != "```") {
        text += &without_links(prose);
        text.push('\n');
    }
    let shown = |line: &&str| *line != "#" && !line.starts_with("# ");
    let code: Vec<&str> = lines.take_while(|line| *line != "```").filter(shown).collect();
    match code.len() {
        0 => Err(format!("{name}: no tested example (a plain ``` block) on the front page")),
        1..=LONGEST => Ok(format!("{text}```rust\n{}\n```\n", code.join("\n"))),
        long => Err(format!("{name}: the front page's example has {long} lines; {LONGEST} are the most")),
    }
}

/// [`Name`] becomes `Name`; a link with an address stays.
fn without_links(line: &str) -> String {
    if line.contains("`](") { line.to_owned() } else { line.replace("[`", "`").replace("`]", "`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONT: &str = "\
//! Reads [`Store`]s as [the paper](https://example.org/`x`) has them.
//!
//! ```
//! # let hidden = 1;
//! let shown = hidden;
//! #
//! #[derive(Debug)]
//! struct Kept;
//! ```
//! Not on the page.

pub struct Store;
//! ```
";

    #[test]
    fn a_front_page_is_prose_and_the_visible_example() {
        let page = front_page("x", FRONT).unwrap();
        let expected = "Reads `Store`s as [the paper](https://example.org/`x`) has them.\n\n\
                        ```rust\nlet shown = hidden;\n#[derive(Debug)]\nstruct Kept;\n```\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn an_untested_or_endless_example_is_refused() {
        let untested = FRONT.replacen("```", "```no_run", 1);
        assert!(front_page("x", &untested.replace("//! ```\n", "")).is_err());
        let long = FRONT.replace("//! struct Kept;\n", &"//! struct Kept;\n".repeat(LONGEST));
        assert!(front_page("x", &long).unwrap_err().contains("27 lines"));
    }
}

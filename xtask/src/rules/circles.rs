//! Circles of files inside a crate: files that cannot be read one after the other.

use std::collections::BTreeMap;
use std::path::Path;

use crate::metadata::Workspace;
use crate::rules::ratchet::Measured;
use crate::rust::modules::Crate;
use crate::shell::{self, Result};

/// The circles of a crate's libraries and programs, the largest first, each with the arrows in it.
pub struct Circles {
    pub package: String,
    pub circles: Vec<Circle>,
}

/// Files that reach each other, and the arrows between them.
pub struct Circle {
    pub files: Vec<String>,
    pub arrows: Vec<String>,
}

/// The circles of every crate of the workspace.
pub fn all(workspace: &Workspace) -> Result<Vec<Circles>> {
    let mut found = Vec::new();
    for package in &workspace.members {
        let mut circles = Vec::new();
        for root in &package.roots {
            circles.extend(of_crate(root)?);
        }
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.files.len()));
        found.push(Circles { package: package.name.clone(), circles });
    }
    Ok(found)
}

/// The size of each crate's largest circle.
pub fn measure(workspace: &Workspace) -> Result<Vec<Measured>> {
    let found = all(workspace)?;
    let largest = found.iter().filter_map(|of| {
        let circle = of.circles.first()?;
        Some(Measured::new("circle", &of.package, circle.files.len(), circle.files.join(" ")))
    });
    let largest: Vec<Measured> = largest.collect();
    let shown: Vec<String> = largest.iter().map(|m| format!("{} {}", m.key, m.count)).collect();
    eprintln!("  largest circles of files: {}", shown.join(", "));
    Ok(largest)
}

/// `cargo xtask tidy --circles CRATE`: which names hold a crate's circles together.
pub fn show(package: &str) -> Result {
    let found = all(&Workspace::read()?)?;
    let of = found.iter().find(|of| of.package == package);
    let of = of.ok_or_else(|| format!("no crate `{package}` in the workspace"))?;
    for circle in &of.circles {
        println!("{} files:", circle.files.len());
        for arrow in &circle.arrows {
            println!("  {arrow}");
        }
    }
    Ok(())
}

fn of_crate(root: &Path) -> Result<Vec<Circle>> {
    let tree = Crate::read(root)?;
    let arrows = tree.arrows();
    let top = shell::root();
    let name =
        |file: usize| tree.files[file].strip_prefix(&top).unwrap_or(&tree.files[file]).display().to_string();
    let circle = |files: Vec<usize>| {
        let inside = arrows.iter().filter(|((from, to), _)| files.contains(from) && files.contains(to));
        Circle {
            arrows: inside
                .map(|((from, to), why)| format!("{} -> {}  ({why})", name(*from), name(*to)))
                .collect(),
            files: files.into_iter().map(name).collect(),
        }
    };
    Ok(components(tree.files.len(), &arrows).into_iter().map(circle).collect())
}

/// The sets of two or more that reach each other.
fn components<T>(count: usize, arrows: &BTreeMap<(usize, usize), T>) -> Vec<Vec<usize>> {
    let reached: Vec<Vec<bool>> = (0..count).map(|from| reach(count, from, arrows)).collect();
    let both = |a: usize, b: usize| reached[a][b] && reached[b][a];
    let mut found = Vec::new();
    for first in 0..count {
        let set: Vec<usize> = (0..count).filter(|&other| both(first, other)).collect();
        if set.len() > 1 && set[0] == first {
            found.push(set);
        }
    }
    found
}

fn reach<T>(count: usize, from: usize, arrows: &BTreeMap<(usize, usize), T>) -> Vec<bool> {
    let (mut reached, mut next) = (vec![false; count], vec![from]);
    while let Some(at) = next.pop() {
        for ((_, to), _) in arrows.range((at, 0)..=(at, count)) {
            if !reached[*to] {
                reached[*to] = true;
                next.push(*to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A crate with a circle of three files (a → b → c → a, in three ways of naming), one that only re-exports, and a
    /// test that would close another circle.
    const FILES: [(&str, &str); 7] = [
        ("lib.rs", "mod a;\npub mod b;\nmod d;\npub use d::D;\nuse std::fmt::Debug;\npub struct Root;\n"),
        ("a.rs", "use crate::b;\npub fn a() { b::call() }\n"),
        ("b/mod.rs", "mod c;\nmod e;\npub use c::{call, C};\npub use e::*;\npub(crate) struct B;\n"),
        ("b/c.rs", "pub struct C;\npub fn call() { let b = 1; super::Elsewhere::new(b) }\n"),
        ("b/e.rs", "pub struct Elsewhere;\nimpl Elsewhere { fn new() { crate::a::a() } }\n"),
        ("d/mod.rs", "mod f;\nuse super::Root;\npub struct D(Root);\n#[cfg(test)]\nmod tests;\n"),
        ("d/f.rs", "fn f(d: &crate::D) {}\n// crate::b::B\n#[cfg(test)] mod tests { use crate::b::B; }\n"),
    ];

    #[test]
    fn a_circle_is_found_through_re_exports_and_tests_close_none() {
        let folder = std::env::temp_dir().join(format!("xtask-circles-{}", std::process::id()));
        for (name, text) in FILES {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = of_crate(&folder.join("lib.rs")).unwrap();
        let tree = Crate::read(&folder.join("lib.rs")).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let short =
            |path: &str| path.rsplit("xtask-circles-").next().unwrap().split_once('/').unwrap().1.to_owned();
        let files: Vec<Vec<String>> =
            found.iter().map(|circle| circle.files.iter().map(|f| short(f)).collect()).collect();
        assert_eq!(files, [["a.rs", "b/c.rs", "b/e.rs"]], "{:?}", found[0].arrows);
        let names = tree.arrows();
        let arrows: Vec<String> = names
            .keys()
            .map(|(from, to)| {
                let name =
                    |file: &usize| tree.files[*file].strip_prefix(&folder).unwrap().display().to_string();
                format!("{} {}", name(from), name(to))
            })
            .collect();
        let expected = ["a.rs b/c.rs", "b/c.rs b/e.rs", "b/e.rs a.rs", "d/mod.rs lib.rs", "d/f.rs d/mod.rs"];
        let mut sorted = [arrows, expected.map(str::to_owned).to_vec()];
        for list in &mut sorted {
            list.sort();
        }
        assert_eq!(sorted[0], sorted[1]);
    }
}

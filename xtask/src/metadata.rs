//! What cargo says of the workspace: its crates, and which crates each depends on.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use crate::json::Json;
use crate::shell::{self, Result};

/// The workspace as it is locked, with every feature, for the platform that is built and run on.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Its own crates.
    pub members: Vec<Member>,
    /// Normal dependencies by package id: neither of builds nor of tests.
    pub needs: HashMap<String, Vec<String>>,
    /// Names by package id.
    pub names: HashMap<String, String>,
    /// The `rust-version` of every dependency that states one, with its name.
    pub rust_versions: Vec<(String, String)>,
}

/// A crate of the workspace.
#[derive(Debug)]
pub struct Member {
    pub id: String,
    pub name: String,
    /// The root files of its library and programs.
    pub roots: Vec<PathBuf>,
}

impl Workspace {
    /// Asks cargo.
    pub fn read() -> Result<Self> {
        let mut command = shell::cargo_command();
        command.args(["metadata", "--format-version", "1", "--locked", "--all-features"]);
        command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
        Self::from(&Json::parse(&shell::output_of(&mut command)?)?)
    }

    fn from(metadata: &Json) -> Result<Self> {
        let mut workspace = Self::default();
        let own: HashSet<&str> = metadata.get("workspace_members").list().iter().map(Json::text).collect();
        for package in metadata.get("packages").list() {
            let (id, name) = (package.get("id").text(), package.get("name").text());
            workspace.names.insert(id.to_owned(), name.to_owned());
            if own.contains(id) {
                let roots = package.get("targets").list().iter().filter(|target| is_shipped(target));
                let roots = roots.map(|target| PathBuf::from(target.get("src_path").text())).collect();
                workspace.members.push(Member { id: id.to_owned(), name: name.to_owned(), roots });
            } else if let Json::Text(version) = package.get("rust_version") {
                workspace.rust_versions.push((version.clone(), name.to_owned()));
            }
        }
        for node in metadata.get("resolve").get("nodes").list() {
            let needs = node.get("deps").list().iter().filter(|dependency| is_normal(dependency));
            let needs = needs.map(|dependency| dependency.get("pkg").text().to_owned()).collect();
            workspace.needs.insert(node.get("id").text().to_owned(), needs);
        }
        if workspace.members.is_empty() || workspace.needs.is_empty() {
            return Err("`cargo metadata` names no crates".to_owned());
        }
        workspace.members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(workspace)
    }

    /// The way from a crate of the workspace to a dependency of that name, both included, if there is one.
    pub fn way(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let start = &self.members.iter().find(|member| member.name == from)?.id;
        let mut ways = vec![vec![start]];
        let mut seen = HashSet::from([start]);
        // By length: the shortest way says most.
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in &ways {
                for next in way.last().and_then(|last| self.needs.get(*last)).into_iter().flatten() {
                    let next_way: Vec<&String> = way.iter().copied().chain([next]).collect();
                    if self.names.get(next).is_some_and(|name| name == to) {
                        return Some(next_way.iter().filter_map(|id| self.names.get(*id).cloned()).collect());
                    }
                    if seen.insert(next) {
                        longer.push(next_way);
                    }
                }
            }
            ways = longer;
        }
        None
    }
}

fn is_shipped(target: &Json) -> bool {
    let kinds = ["lib", "bin", "rlib", "proc-macro"];
    target.get("kind").list().iter().any(|kind| kinds.contains(&kind.text()))
}

fn is_normal(dependency: &Json) -> bool {
    dependency.get("dep_kinds").list().iter().any(|kind| kind.get("kind") == &Json::Null)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A workspace of those crates; each arrow is (from, to, kind).
    pub fn workspace(members: &[&str], arrows: &[(&str, &str, &str)]) -> Workspace {
        let list = |items: Vec<String>| format!("[{}]", items.join(","));
        let mut names: Vec<&str> = members.to_vec();
        names.extend(arrows.iter().flat_map(|(from, to, _)| [*from, *to]));
        names.sort_unstable();
        names.dedup();
        let packages = names.iter().map(|name| {
            format!(r#"{{"id":"{name}#1","name":"{name}","rust_version":"1.{}","targets":[]}}"#, name.len())
        });
        let nodes = names.iter().map(|name| {
            let deps = arrows.iter().filter(|(from, ..)| from == name).map(|(_, to, kind)| {
                let kind = if kind.is_empty() { "null".to_owned() } else { format!("\"{kind}\"") };
                format!(r#"{{"pkg":"{to}#1","dep_kinds":[{{"kind":{kind}}}]}}"#)
            });
            format!(r#"{{"id":"{name}#1","deps":{}}}"#, list(deps.collect()))
        });
        let text = format!(
            r#"{{"workspace_members":{},"packages":{},"resolve":{{"nodes":{}}}}}"#,
            list(members.iter().map(|name| format!("\"{name}#1\"")).collect()),
            list(packages.collect()),
            list(nodes.collect())
        );
        Workspace::from(&Json::parse(&text).unwrap()).unwrap()
    }

    #[test]
    fn ways_are_of_normal_dependencies_and_the_shortest() {
        let arrows = [
            ("a", "b", ""),
            ("b", "c", ""),
            ("a", "far", ""),
            ("far", "b", ""),
            ("a", "d", "dev"),
            ("b", "e", "build"),
        ];
        let workspace = workspace(&["a", "b"], &arrows);
        assert_eq!(workspace.way("a", "c").unwrap(), ["a", "b", "c"]);
        for none in ["d", "e", "nothing"] {
            assert_eq!(workspace.way("a", none), None);
        }
        assert_eq!(workspace.way("nothing", "c"), None);
        assert_eq!(workspace.rust_versions.len(), 4, "those of others");
    }
}

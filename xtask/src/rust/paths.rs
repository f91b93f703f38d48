//! Where a path leads: to the file in which what it names is defined, through imports and re-exports.

use std::collections::{BTreeMap, HashSet};

use super::modules::{Crate, Import};

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Module(usize),
    /// An item that is defined in this file.
    File(usize),
}

/// Names in the middle of being looked up: re-exports may lead in a circle.
type Seen = HashSet<(usize, String)>;

impl Crate {
    /// The arrows between files: from, to, and a name with its line that makes one.
    pub fn arrows(&self) -> BTreeMap<(usize, usize), String> {
        let mut arrows = BTreeMap::new();
        for (module, of) in self.modules.iter().enumerate() {
            let mut add = |path: &[String], line: Option<usize>| {
                let target = self.resolve(module, path, &mut Seen::new());
                if let Some(Target::File(file)) = target.filter(|_| !path.is_empty()) {
                    let line = line.map_or(String::new(), |line| format!(", line {line}"));
                    arrows.entry((of.file, file)).or_insert_with(|| format!("{}{line}", path.join("::")));
                }
            };
            for (path, line) in &of.mentions {
                add(path, Some(*line));
            }
            // What is imported for its methods alone is mentioned nowhere; what is imported for others may be, too.
            for import in of.imports.iter().filter(|import| !import.public && import.alias != "*") {
                add(&import.path, None);
            }
        }
        arrows.retain(|(from, to), _| from != to);
        arrows
    }

    fn resolve(&self, module: usize, path: &[String], seen: &mut Seen) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.inside(0, rest, seen),
            "self" => self.inside(module, rest, seen),
            "super" => {
                let mut above = self.modules[module].parent?;
                let supers = rest.iter().take_while(|name| *name == "super").count();
                for _ in 0..supers {
                    above = self.modules[above].parent?;
                }
                self.inside(above, &rest[supers..], seen)
            }
            _ => self.named(module, path, seen),
        }
    }

    /// What a path means that begins at a module of ours; the module's file where the name is not seen, as a macro's.
    fn inside(&self, module: usize, path: &[String], seen: &mut Seen) -> Option<Target> {
        if path.is_empty() {
            return Some(Target::Module(module));
        }
        self.named(module, path, seen).or(Some(Target::File(self.modules[module].file)))
    }

    /// What a path means whose first name is in scope in a module.
    fn named(&self, module: usize, path: &[String], seen: &mut Seen) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let of = &self.modules[module];
        if let Some(child) = of.children.get(first) {
            return self.inside(*child, rest, seen);
        }
        if of.items.contains(first) {
            return Some(Target::File(of.file));
        }
        if !seen.insert((module, first.clone())) {
            return None;
        }
        let by_name = of.imports.iter().find(|import| import.alias == *first);
        if let Some(import) = by_name {
            let whole: Vec<String> = import.path.iter().chain(rest).cloned().collect();
            // `use tch::Tensor` leads outside.
            return self.resolve(module, &whole, seen);
        }
        let globs = of.imports.iter().filter(|import| import.alias == "*");
        globs.into_iter().find_map(|glob| self.through(module, glob, path, seen))
    }

    fn through(&self, module: usize, glob: &Import, path: &[String], seen: &mut Seen) -> Option<Target> {
        match self.resolve(module, &glob.path, seen)? {
            Target::Module(target) if target != module => self.named(target, path, seen),
            _ => None,
        }
    }
}

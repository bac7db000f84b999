//! From a path to the file that defines what it names.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{File, Graph};

/// One module, written in a file of its own or within another.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) file: File,
    /// The paths it uses, as they are written.
    pub(crate) paths: Vec<Vec<String>>,
    /// What its `use` lines bind: a name, and the path it stands for.
    pub(crate) names: BTreeMap<String, Vec<String>>,
}

/// The modules of a crate. Two that exclude each other by `cfg` may have one path, so a path has a list.
#[derive(Debug, Default)]
pub(crate) struct Crate(BTreeMap<Vec<String>, Vec<Module>>);

impl Crate {
    pub(crate) fn add(&mut self, path: Vec<String>, module: Module) {
        self.0.entry(path).or_default().push(module);
    }

    pub(crate) fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for (path, modules) in &self.0 {
            for module in modules {
                for used in &module.paths {
                    for file in self.imported_files(path, used) {
                        graph.add(&module.file, &file, used.join("::"));
                    }
                }
            }
        }
        graph
    }

    /// The files that define what `used` names, seen from the module at `from`.
    fn imported_files(&self, from: &[String], used: &[String]) -> Vec<File> {
        self.absolute(from, used).map_or_else(Vec::new, |path| self.resolve(&path, 0))
    }

    /// The path from the crate's root; `None` for one that begins in another crate.
    fn absolute(&self, from: &[String], used: &[String]) -> Option<Vec<String>> {
        let (mut base, mut rest) = (from.to_vec(), used);
        match rest.first()?.as_str() {
            "crate" => (base, rest) = (Vec::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            // A module of its own, by its bare name.
            first => {
                let mut child = base.clone();
                child.push(first.to_owned());
                if !self.0.contains_key(&child) {
                    return None;
                }
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    fn resolve(&self, path: &[String], depth: usize) -> Vec<File> {
        let mut files = Vec::new();
        // The longest beginning that is a module; what follows is an item of it. A shorter one counts where its `use`
        // lines bind the next segment: of two modules that exclude each other by `cfg`, one may import what the other
        // declares.
        let mut is_longest = true;
        for length in (0..=path.len()).rev() {
            let (module_path, rest) = path.split_at(length);
            let Some(modules) = self.0.get(module_path) else { continue };
            for module in modules {
                let bound = rest.first().and_then(|name| module.names.get(name)).filter(|_| depth < 10);
                match bound {
                    Some(bound) => {
                        if let Some(mut target) = self.absolute(module_path, bound) {
                            target.extend_from_slice(&rest[1..]);
                            if target != path {
                                files.extend(self.resolve(&target, depth + 1));
                            }
                        }
                    }
                    None if is_longest => files.push(module.file.clone()),
                    None => {}
                }
            }
            is_longest = false;
        }
        files
    }

    /// The files that were read.
    pub(crate) fn read_files(&self) -> BTreeSet<&File> {
        self.0.values().flatten().map(|module| &module.file).collect()
    }
}

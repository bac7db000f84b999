//! Which file imports which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::cycles;

/// A file, as a path relative to the folder that was read.
pub type File = String;

/// Which file imports which.
#[derive(Debug, Default)]
pub struct Graph {
    /// From a file to the files that it imports, each with one line that shows the import.
    pub(crate) edges: BTreeMap<File, BTreeMap<File, String>>,
    pub(crate) unreached: BTreeSet<File>,
}

/// An import that leads from a file to one that stands above it.
#[derive(Debug, PartialEq, Eq)]
pub struct Upward {
    /// The file that imports.
    pub from: File,
    /// The file that is imported.
    pub to: File,
    /// The import, as it is written.
    pub import: String,
}

impl fmt::Display for Upward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, import } = self;
        write!(f, "{from} imports {to} (`{import}`), which stands above it in the order of folders")
    }
}

impl Graph {
    /// The Rust files that were not read, because no `mod` line leads to them. Test modules are among them.
    pub fn unreached(&self) -> &BTreeSet<File> {
        &self.unreached
    }

    /// The circles: each a list of imports that leads back to its first file. Empty if there are none. Of several
    /// circles through the same files the shortest is given.
    pub fn circles(&self) -> Vec<String> {
        cycles::circles(&self.edges)
    }

    /// The imports that go up in `order`. A name in it is a folder or a file without its extension, at the top of the
    /// package; a file may import those that stand after its own. What is not in `order` stands below all of it.
    pub fn upward(&self, order: &[&str]) -> Vec<Upward> {
        let rank = |file: &str| {
            let top = file.split('/').next().unwrap_or(file).trim_end_matches(".rs");
            order.iter().position(|name| *name == top).unwrap_or(order.len())
        };
        let imports = self.edges.iter().flat_map(|(from, all)| all.iter().map(move |(to, line)| (from, to, line)));
        imports
            .filter(|(from, to, _)| rank(to) < rank(from))
            .map(|(from, to, import)| Upward { from: from.clone(), to: to.clone(), import: import.clone() })
            .collect()
    }

    /// The files that import something or are imported.
    pub fn files(&self) -> BTreeSet<&str> {
        self.edges.iter().flat_map(|(from, all)| all.keys().chain([from])).map(String::as_str).collect()
    }

    pub(crate) fn add(&mut self, from: &str, to: &str, import: impl Into<String>) {
        if from != to {
            self.edges.entry(from.into()).or_default().entry(to.into()).or_insert_with(|| import.into());
        }
    }
}

//! The import graph of a package: which file uses which.
//!
//! [`Graph::read`] parses the Rust files of a `src` folder and follows each `use` line and each path that begins with
//! `crate`, `self` or `super` to the file that defines the item. A name that a `mod.rs` or `lib.rs` re-exports counts
//! as an import of the file it comes from, so a module's front does not make a circle with its own parts. Test modules
//! (`#[cfg(test)]`) are left out. [`Graph::javascript`] does the same for `import … from "./file.js"`.
//!
//! The order of folders and the list of packages are in `tests/layers.rs`.

mod cycles;
mod javascript;
mod resolve;
mod rust;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// A file, as a path relative to the folder that was read.
pub type File = String;

/// Which file imports which.
#[derive(Debug, Default)]
pub struct Graph {
    /// From a file to the files that it imports, each with one line that shows the import.
    edges: BTreeMap<File, BTreeMap<File, String>>,
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
    /// Reads the Rust files below `src`. `root` is the crate's root file, relative to `src`.
    ///
    /// # Panics
    /// If a file cannot be read or parsed.
    pub fn read(src: &Path, root: &str) -> Self {
        rust::graph(&sources(src, "rs"), root)
    }

    /// Reads the JavaScript modules below `folder`.
    ///
    /// # Panics
    /// If a file cannot be read.
    pub fn javascript(folder: &Path) -> Self {
        javascript::graph(&sources(folder, "js"))
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

    fn add(&mut self, from: &str, to: &str, import: impl Into<String>) {
        if from != to {
            self.edges.entry(from.into()).or_default().entry(to.into()).or_insert_with(|| import.into());
        }
    }
}

/// The text of each file below `folder` that has this extension, by its path relative to `folder`.
fn sources(folder: &Path, extension: &str) -> BTreeMap<File, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(next) = open.pop() {
        let entries = std::fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display()));
        for path in entries.map(|entry| entry.expect("a folder's entry").path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let relative = path.strip_prefix(folder).expect("below the folder").to_string_lossy().into_owned();
                found.insert(relative, text);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        rust::graph(&files, "lib.rs")
    }

    #[test]
    fn a_circle_is_reported_with_both_files_and_their_imports() {
        let graph = graph(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use super::a::A; pub struct B;"),
        ]);
        assert_eq!(graph.circles(), ["a.rs -> b.rs (`crate::b::B`), b.rs -> a.rs (`super::a::A`)"]);
    }

    #[test]
    fn a_path_in_a_body_counts_as_an_import() {
        let graph = graph(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "fn f() { crate::b::g() }"),
            ("b.rs", "fn g() { crate::a::f() }"),
        ]);
        assert_eq!(graph.circles().len(), 1);
    }

    #[test]
    fn a_re_export_counts_as_the_file_it_comes_from() {
        let graph = graph(&[
            ("lib.rs", "mod folder;"),
            ("folder/mod.rs", "mod one; mod two; pub use one::One; pub use two::Two;"),
            ("folder/one.rs", "pub struct One;"),
            ("folder/two.rs", "use super::One; pub struct Two;"),
        ]);
        assert_eq!(graph.circles(), Vec::<String>::new());
        let imports: Vec<_> = graph.edges["folder/two.rs"].keys().collect();
        assert_eq!(imports, ["folder/one.rs"]);
    }

    #[test]
    fn a_front_with_code_of_its_own_can_be_part_of_a_circle() {
        let graph = graph(&[
            ("lib.rs", "mod folder;"),
            ("folder/mod.rs", "mod part; use part::Part; pub struct Whole(Part);"),
            ("folder/part.rs", "use super::Whole; pub struct Part;"),
        ]);
        assert_eq!(graph.circles().len(), 1);
    }

    #[test]
    fn tests_do_not_count() {
        let graph = graph(&[
            ("lib.rs", "mod a; mod b; #[cfg(test)] mod tests;"),
            ("a.rs", "use crate::b::B; pub struct A; #[cfg(test)] mod tests { use crate::tests::T; }"),
            ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
            ("tests.rs", "use crate::a::A; pub struct T;"),
        ]);
        assert_eq!(graph.circles(), Vec::<String>::new());
    }

    #[test]
    fn an_import_against_the_order_is_reported_with_both_files() {
        let graph = graph(&[
            ("lib.rs", "mod high; mod low;"),
            ("high/mod.rs", "use crate::low::Low; pub struct High;"),
            ("low.rs", "use crate::high::High; pub struct Low;"),
        ]);
        let upward = graph.upward(&["high", "low"]);
        assert_eq!(upward.len(), 1);
        let expected =
            "low.rs imports high/mod.rs (`crate::high::High`), which stands above it in the order of folders";
        assert_eq!(upward[0].to_string(), expected);
    }

    #[test]
    fn a_file_behind_a_path_attribute_stands_in_its_module_s_place() {
        let graph = graph(&[
            ("lib.rs", "#[path = \"other.rs\"] mod a; mod b;"),
            ("other.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use crate::a::A; pub struct B;"),
        ]);
        assert_eq!(graph.circles().len(), 1);
    }
}

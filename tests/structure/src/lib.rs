//! The import graph of a package: which file uses which.
//!
//! [`Graph::read`] parses the Rust files of a `src` folder and follows each `use` line and each path that begins with
//! `crate`, `self` or `super` to the file that defines the item. A name that a `mod.rs` or `lib.rs` re-exports counts
//! as an import of the file it comes from, so a module's front does not make a circle with its own parts. Test modules
//! (`#[cfg(test)]`) are left out. [`Graph::javascript`] does the same for `import … from "./file.js"`.
//!
//! The order of folders and the list of packages are in `tests/layers.rs`.

mod cycles;
mod graph;
mod javascript;
mod resolve;
mod rust;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use graph::{File, Graph, Upward};

impl Graph {
    /// Reads the Rust files below `src`. `root` is the crate's root file, relative to `src`.
    ///
    /// # Panics
    /// If a file cannot be read or parsed.
    pub fn read(src: &Path, root: &str) -> Self {
        let (mut graph, unreached) = rust::graph(&sources(src, "rs"), root);
        graph.unreached = unreached;
        graph
    }

    /// Reads the JavaScript modules below `folder`.
    ///
    /// # Panics
    /// If a file cannot be read.
    pub fn javascript(folder: &Path) -> Self {
        javascript::graph(&sources(folder, "js"))
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
        let (mut graph, unreached) = rust::graph(&files, "lib.rs");
        graph.unreached = unreached;
        graph
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
    fn a_path_in_a_macro_and_one_that_begins_with_a_child_count_as_imports() {
        let with = |body: &str| {
            let parent = format!("mod child; pub struct Parent; fn f() {{ {body} }}");
            graph(&[("lib.rs", &parent), ("child.rs", "use super::Parent; pub fn g() {}")]).circles().len()
        };
        assert_eq!((with("child::g()"), with("println!(\"{}\", crate::child::g())"), with("")), (1, 1, 0));
    }

    #[test]
    fn the_files_of_an_events_package_are_modules_without_a_declaration() {
        let graph = graph(&[
            ("lib.rs", "aaw_event::events!();"),
            ("_services.rs", "use crate::users::get::Body; pub struct App;"),
            ("users/get.rs", "use crate::_services::App; pub struct Body;"),
        ]);
        assert_eq!(graph.circles().len(), 1);
        assert!(graph.unreached().is_empty());
    }

    #[test]
    fn a_file_that_no_declaration_leads_to_is_reported() {
        let graph = graph(&[("lib.rs", "mod a;"), ("a.rs", ""), ("lost.rs", "")]);
        assert_eq!(graph.unreached().iter().collect::<Vec<_>>(), ["lost.rs"]);
    }

    #[test]
    fn an_import_in_place_of_a_module_that_a_feature_excludes_is_followed() {
        let graph = graph(&[
            (
                "lib.rs",
                "#[cfg(x)] #[path = \"on.rs\"] mod a; #[cfg(not(x))] #[path = \"off.rs\"] mod a; mod user; mod leaf;",
            ),
            ("on.rs", "pub mod b;"),
            ("a/b.rs", "pub struct B;"),
            ("off.rs", "pub use crate::leaf as b;"),
            ("leaf.rs", "use crate::user::User; pub struct B;"),
            ("user.rs", "use crate::a::b::B; pub struct User;"),
        ]);
        assert_eq!(
            graph.circles(),
            ["leaf.rs -> user.rs (`crate::user::User`), user.rs -> leaf.rs (`crate::a::b::B`)"]
        );
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

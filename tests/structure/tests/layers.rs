//! No package has a circle among its files, and the folders of aaw-server import in one direction.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aaw_structure::Graph;

/// The folders and files of `aaw-server/src`, from the program down. Each may import those after it. Everything that is
/// not named here is a leaf: it imports leaves alone.
const AAW_SERVER: [&str; 12] = [
    "bin",
    "lib",
    "server",
    "modules",
    "http",
    "net",
    "connection",
    "hub",
    "dispatch",
    "config_update",
    "config",
    "auth",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace's folder")
}

/// The members of the workspace, from its manifest.
fn packages() -> Vec<String> {
    let manifest = std::fs::read_to_string(workspace().join("Cargo.toml")).expect("the workspace's manifest");
    let (_, members) = manifest.split_once("members = [").expect("a list of members");
    let (members, _) = members.split_once(']').expect("the end of the list");
    members.split(',').filter_map(|member| member.trim().strip_prefix('"')?.strip_suffix('"')).map(Into::into).collect()
}

/// The roots of a package: its library and its programs.
fn roots(package: &str) -> Vec<(PathBuf, String)> {
    let src = workspace().join(package).join("src");
    let mut roots: Vec<_> = ["lib.rs", "main.rs"].map(|root| (src.clone(), root.to_owned())).into();
    for program in std::fs::read_dir(src.join("bin")).into_iter().flatten() {
        roots.push((program.expect("a program's folder").path(), "main.rs".into()));
    }
    roots.push((workspace().join(package).join("support"), "lib.rs".into()));
    roots.retain(|(folder, root)| folder.join(root).is_file());
    roots
}

#[test]
fn no_package_has_a_circle_among_its_files() {
    let packages = packages();
    assert!(packages.len() > 15, "the list of members was read: {packages:?}");
    let mut circles = Vec::new();
    for package in &packages {
        for (folder, root) in roots(package) {
            let found = Graph::read(&folder, &root).circles();
            circles.extend(found.into_iter().map(|circle| format!("{package}: {circle}")));
        }
    }
    assert!(circles.is_empty(), "circles among files:\n{}", circles.join("\n"));
}

/// A file that the reader of imports loses could hide a circle.
#[test]
fn every_file_but_those_of_test_modules_is_read() {
    let mut lost = Vec::new();
    for package in packages() {
        // A file is lost if no root of the package leads to it. Programs in `bin` are read from their own folders.
        let mut unreached: Option<BTreeSet<String>> = None;
        for (folder, root) in roots(&package).into_iter().filter(|(folder, _)| folder.ends_with("src")) {
            let by_root = Graph::read(&folder, &root).unreached().clone();
            unreached = Some(match unreached {
                Some(others) => others.intersection(&by_root).cloned().collect(),
                None => by_root,
            });
        }
        let is_test = |file: &String| file.contains("tests") || file.starts_with("bin/");
        lost.extend(
            unreached.into_iter().flatten().filter(|file| !is_test(file)).map(|file| format!("{package}: {file}")),
        );
    }
    assert!(lost.is_empty(), "files that no `mod` line leads to:\n{}", lost.join("\n"));
}

#[test]
fn the_javascript_client_has_no_circle_among_its_modules() {
    let graph = Graph::javascript(&workspace().join("aaw-js/aaw"));
    assert!(graph.files().len() > 15, "its imports were read: {:?}", graph.files());
    assert_eq!(graph.circles(), Vec::<String>::new());
}

#[test]
fn the_folders_of_aaw_server_import_in_one_direction() {
    let graph = Graph::read(&workspace().join("aaw-server/src"), "lib.rs");
    assert!(graph.files().len() > 50, "its imports were read: {:?}", graph.files());
    let upward: Vec<_> = graph.upward(&AAW_SERVER).iter().map(ToString::to_string).collect();
    assert!(upward.is_empty(), "imports against the order of folders:\n{}", upward.join("\n"));
}

/// The Rust files below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => rust_files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Cargo builds no test program for a target with `test = false`, so a test in it would never run.
#[test]
fn targets_whose_tests_are_not_built_have_none() {
    let mut targets = 0;
    for package in packages() {
        let folder = workspace().join(&package);
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("the package's manifest");
        for table in manifest.split("\n[").filter(|table| table.contains("\ntest = false")) {
            targets += 1;
            let path = table.lines().find_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
            let root = folder.join(path.unwrap_or("src/lib.rs"));
            // The files of a package with a library belong to that: a program beside it has one file.
            let of_library = root.ends_with("main.rs") && root.with_file_name("lib.rs").exists();
            let files = if of_library { vec![root] } else { rust_files(root.parent().expect("a file's folder")) };
            for file in files {
                let text = std::fs::read_to_string(&file).expect("a source file");
                assert!(!text.contains("#[test]") && !text.contains("::test]"), "{} has a test", file.display());
            }
        }
    }
    assert!(targets > 10, "{targets} targets");
}

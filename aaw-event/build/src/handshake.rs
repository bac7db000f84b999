//! Whether the code of a package reads the HTTP request behind a call, which a server keeps for such packages only.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

/// Returns whether a Rust file below `src`, shared ones included, contains the name of the function or of the type.
///
/// A name that means something else costs the server memory, and no more. What cannot be read or parsed does not count:
/// the compiler reports it. Neither does what a link leads to outside of the package: that may be any part of the disk.
pub(crate) fn is_read(src: &Path) -> bool {
    let Some(package) = src.canonicalize().ok().and_then(|src| Some(src.parent()?.to_owned())) else { return false };
    Search { package: &package, visited: HashSet::new() }.finds_in(src)
}

struct Search<'a> {
    /// The folder of the package, without links in its path.
    package: &'a Path,
    /// The folders that were searched, without links in their paths: links may lead to one of them again.
    visited: HashSet<PathBuf>,
}

impl Search<'_> {
    fn finds_in(&mut self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else { return false };
        if !path.starts_with(self.package) {
            return false;
        }
        if path.is_dir() {
            let Ok(entries) = fs::read_dir(&path) else { return false };
            return self.visited.insert(path) && entries.flatten().any(|entry| self.finds_in(&entry.path()));
        }
        path.extension().is_some_and(|extension| extension == "rs")
            && fs::read_to_string(&path).is_ok_and(|text| is_named_in(&text))
    }
}

fn is_named_in(text: &str) -> bool {
    // Parsing takes longer.
    text.contains("andshake") && text.parse().is_ok_and(has_name)
}

fn has_name(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "handshake" || ident == "Handshake",
        TokenTree::Group(group) => has_name(group.stream()),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_found_in_code_and_macros_but_not_in_comments_and_texts() {
        for (text, expected) in [
            ("fn f() { services.handshake() }", true),
            ("use aaw_event::Handshake as _;", true),
            ("stream! { if let Some(x) = opened.handshake { yield x } }", true),
            ("/// the handshake\n// Handshake\nfn f() { log(\"handshake\") }", false),
            ("fn handshakes() { let my_handshake = 1; }", false),
            ("fn f( { handshake", false),
        ] {
            assert_eq!(is_named_in(text), expected, "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_within_the_package_only_and_not_in_circles() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let (src, shared, outside) =
            (folder.path().join("package/src"), folder.path().join("package/shared"), folder.path().join("outside"));
        for folder in [&src, &shared, &outside] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(outside.join("a.rs"), "fn f() { services.handshake() }").unwrap();
        symlink(&outside, src.join("folder")).unwrap();
        symlink(outside.join("a.rs"), src.join("file.rs")).unwrap();
        symlink(&src, src.join("again")).unwrap();
        symlink(folder.path().join("missing"), src.join("broken.rs")).unwrap();
        assert!(!is_read(&src));
        symlink(&shared, src.join("shared")).unwrap();
        fs::write(shared.join("b.rs"), "fn f() { services.handshake() }").unwrap();
        assert!(is_read(&src));
    }
}

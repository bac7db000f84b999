//! Whether the code of a package reads the HTTP request behind a call, which a server keeps for such packages only.

use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};

/// Returns whether a Rust file below `folder`, shared ones included, contains the name of the function or of the type.
///
/// A name that means something else costs the server memory, and no more. What cannot be read or parsed does not count:
/// the compiler reports it.
pub(crate) fn is_read(folder: &Path) -> bool {
    find(folder, 0)
}

/// Deeper than the folders of events may be.
const MAX_DEPTH: usize = 100;

fn find(folder: &Path, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    depth <= MAX_DEPTH
        && entries.flatten().any(|entry| {
            let path = entry.path();
            if path.is_dir() {
                return find(&path, depth + 1);
            }
            path.extension().is_some_and(|extension| extension == "rs")
                && fs::read_to_string(&path).is_ok_and(|text| is_named_in(&text))
        })
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
}

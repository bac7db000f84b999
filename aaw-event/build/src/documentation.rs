//! The documentation of an event.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

use crate::handler;

/// The documentation of the file's handler; if it has none, that of the file. Empty if there is neither.
pub(crate) fn of_handler(file: &syn::File) -> String {
    let of_handler = handler::find(file).map(|handler| text(&handler.attrs)).unwrap_or_default();
    if of_handler.is_empty() { text(&file.attrs) } else { of_handler }
}

/// The text of documentation comments, and of attributes `#[doc = "…"]`.
pub(crate) fn text(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value()),
            _ => None,
        },
        _ => None,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    // The space behind the slashes of a comment does not belong to its text.
    let lines = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    let text = lines.collect::<Vec<_>>().join("\n");
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str) -> String {
        of_handler(&syn::parse_file(source).unwrap())
    }

    #[test]
    fn the_handler_is_documented_by_itself_or_else_by_its_file() {
        assert_eq!(of("//! The file.\n\n/// The\n/// handler.\npub fn handler() {}"), "The\nhandler.");
        assert_eq!(of("//! The file.\npub fn handler() {}"), "The file.");
        assert_eq!(of("// No documentation.\npub fn handler() {}"), "");
        assert_eq!(of("#[doc = \"One */ `two`\"]\npub fn handler() {}"), "One */ `two`");
    }

    #[test]
    fn the_indentation_of_code_is_kept() {
        assert_eq!(of("/// ```\n///     deep\n/// ```\npub fn handler() {}"), "```\n    deep\n```");
    }
}

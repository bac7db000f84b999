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
    // A comment begins with a space, which is no part of its text.
    let lines = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    let text = lines.collect::<Vec<_>>().join("\n");
    text.trim().to_owned()
}

//! The constants by which an event's file sets what holds for its event.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Ident, Item, Type, Visibility};

use crate::form::HandlerForm;
use crate::source_error::SourceError;

/// How long the handler may run.
pub(crate) const MAX_CALL_TIME: &str = "MAX_CALL_TIME";

/// How much of its caller's rate limit a call uses.
pub(crate) const COST: &str = "COST";

/// Whether a GET request may start the stream.
pub(crate) const EVENT_SOURCE: &str = "EVENT_SOURCE";

/// Which of the constants a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct EventConstants {
    pub(crate) max_call_time: bool,
    pub(crate) cost: bool,
    pub(crate) event_source: bool,
}

/// Reads the constants of an event's file, whose handler has this form.
pub(crate) fn read(file: &syn::File, form: HandlerForm) -> Result<EventConstants, SourceError> {
    let event_source = find(file, EVENT_SOURCE, "bool")?;
    if let Some(name) = event_source
        && !matches!(form, HandlerForm::Streaming | HandlerForm::AsyncStreaming)
    {
        let text = "EVENT_SOURCE is for handlers that return a stream, and this one does not: remove the constant, or \
                    return `impl Stream<Item = …>`";
        return Err(SourceError::at(name.span(), text));
    }
    Ok(EventConstants {
        max_call_time: find(file, MAX_CALL_TIME, "Duration")?.is_some(),
        cost: find(file, COST, "u32")?.is_some(),
        event_source: event_source.is_some(),
    })
}

/// Finds the public constant `name` of the type `expected`. The compiler checks its value.
fn find<'a>(file: &'a syn::File, name: &str, expected: &str) -> Result<Option<&'a Ident>, SourceError> {
    let found = file.items.iter().find_map(|item| match item {
        Item::Const(item) if item.ident == name => Some((&item.ident, &item.vis, &item.ty, false)),
        Item::Static(item) if item.ident == name => Some((&item.ident, &item.vis, &item.ty, true)),
        _ => None,
    });
    let Some((ident, visibility, ty, is_static)) = found else { return Ok(None) };
    let fault = if is_static {
        format!("is a static: expected `pub const {name}: {expected}`")
    } else if !is_named(ty, expected) {
        let found = ty.span().source_text().unwrap_or_else(|| ty.to_token_stream().to_string());
        format!(
            "is a `{found}`: expected `pub const {name}: {expected}`. aaw reads the constant of this name; a constant \
                 for another purpose needs another name"
        )
    } else if matches!(visibility, Visibility::Inherited) {
        "is not public: write `pub` before it".to_owned()
    } else {
        return Ok(Some(ident));
    };
    Err(SourceError::at(ident.span(), format!("{name} {fault}")))
}

/// Whether the type is written as `name`, with or without the path before it.
fn is_named(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

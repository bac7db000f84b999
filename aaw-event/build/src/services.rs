//! What `_services.rs` builds.

use syn::spanned::Spanned;
use syn::{Item, ReturnType, Type, Visibility};

use crate::handler::{result_of, written};
use crate::paths::Scope;
use crate::tree::Fault;

/// The function `services` of a package.
pub(crate) struct Services {
    /// What it builds, in words that mean the same everywhere in the crate.
    pub(crate) ty: String,
    pub(crate) is_async: bool,
}

pub(crate) fn read(file: &syn::File) -> Result<Services, Fault> {
    let function = file.items.iter().find_map(|item| match item {
        Item::Fn(function) if function.sig.ident == "services" => Some(function),
        _ => None,
    });
    let Some(function) = function else {
        let text = "there is no function `services`: expected `pub async fn services() -> Result<App>`";
        return Err(Fault { line: 1, text: text.to_owned() });
    };
    let signature = &function.sig;
    let at = |line: usize, text: String| Err(Fault { line, text });
    let line = signature.ident.span().start().line;
    if !matches!(function.vis, Visibility::Public(_)) {
        return at(line, "`services` is not public: write `pub` before it".to_owned());
    }
    if !signature.inputs.is_empty() || !signature.generics.params.is_empty() {
        return at(line, "`services` takes nothing: expected `pub async fn services() -> Result<App>`".to_owned());
    }
    let nothing = "`services` builds nothing: expected `pub async fn services() -> Result<App>`; a package that needs \
                   no services has no _services.rs";
    let ReturnType::Type(_, output) = &signature.output else { return at(line, nothing.to_owned()) };
    let ty: &Type = match result_of(output) {
        Some(arguments) => match arguments.first() {
            Some(ty) => ty,
            None => return at(line, format!("`services` returns `{}`: name the type that it builds", written(output))),
        },
        None => output,
    };
    if matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty()) {
        return at(line, nothing.to_owned());
    }
    match Scope::of(file).global(ty) {
        Ok(ty) => Ok(Services { ty, is_async: signature.asyncness.is_some() }),
        Err(text) => at(ty.span().start().line, text),
    }
}

//! The function `services` of `_services.rs`.

use syn::spanned::Spanned;
use syn::{Item, ReturnType, Type, Visibility};

use crate::handler::{result_of, source_text};
use crate::paths::FileScope;
use crate::source_error::SourceError;

/// The function `services` of a package.
pub(crate) struct ServicesFunction {
    /// The type that it builds, with paths that are valid everywhere in the crate.
    pub(crate) ty: String,
    pub(crate) is_async: bool,
}

pub(crate) fn read(file: &syn::File) -> Result<ServicesFunction, SourceError> {
    let function = file.items.iter().find_map(|item| match item {
        Item::Fn(function) if function.sig.ident == "services" => Some(function),
        _ => None,
    });
    let Some(function) = function else {
        let text = "no function `services` found: expected `pub async fn services() -> Result<App>`";
        return Err(SourceError::new(1, text));
    };
    let signature = &function.sig;
    let error = |text: &str| Err(SourceError::at(signature.ident.span(), text));
    if !matches!(function.vis, Visibility::Public(_)) {
        return error("`services` is not public: write `pub` before it");
    }
    if !signature.inputs.is_empty() || !signature.generics.params.is_empty() {
        return error("`services` has parameters: expected `pub async fn services() -> Result<App>`");
    }
    let no_type = "`services` returns nothing: expected `pub async fn services() -> Result<App>`. A package that \
                   needs no services has no _services.rs";
    let ReturnType::Type(_, output) = &signature.output else { return error(no_type) };
    let ty: &Type = match result_of(output) {
        Some(arguments) => match arguments.first() {
            Some(ty) => ty,
            None => {
                let found = source_text(output);
                return error(&format!("`services` returns `{found}`: expected a type argument, `Result<App>`"));
            }
        },
        None => output,
    };
    if matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty()) {
        return error(no_type);
    }
    match FileScope::of(file).globalize(ty) {
        Ok(ty) => Ok(ServicesFunction { ty, is_async: signature.asyncness.is_some() }),
        Err(text) => Err(SourceError::at(ty.span(), text)),
    }
}

//! How a file's `handler` is written, which decides how its event answers.

use syn::spanned::Spanned;
use syn::{
    FnArg, GenericArgument, GenericParam, Item, PathArguments, ReturnType, Safety, Type, TypeParamBound, Visibility,
};

use crate::tree::Fault;

/// What to generate for a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) arguments: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `async fn`.
    Answer,
    /// `fn` that returns nothing.
    Plain,
}

const STREAMS: &str = "streams, events that answer many times, come with the next version of aaw";

/// Finds the handler of an event's file; `stem` is the file's name, for the words.
pub(crate) fn read(file: &syn::File, stem: &str) -> Result<Shape, Fault> {
    let handler = file.items.iter().find_map(|item| match item {
        Item::Fn(function) if function.sig.ident == "handler" => Some(function),
        _ => None,
    });
    let Some(handler) = handler else {
        return Err(Fault {
            line: 1,
            text: format!(
                "there is no handler: an event's file has a `pub async fn handler(…)` or a `pub fn handler(…)`. A file \
                 that is no event begins with an underscore: _{stem}.rs"
            ),
        });
    };
    let signature = &handler.sig;
    let fault = |at: proc_macro2::Span, text: String| Err(Fault { line: at.start().line, text });
    let name = signature.ident.span();
    if !matches!(handler.vis, Visibility::Public(_)) {
        return fault(name, "the handler is not public: write `pub` before it".to_owned());
    }
    if signature.constness.is_some()
        || signature.abi.is_some()
        || signature.variadic.is_some()
        || !matches!(signature.safety, Safety::Default)
    {
        return fault(name, "a handler is an `async fn` or a `fn`, and neither const, unsafe nor extern".to_owned());
    }
    if let Some(parameter) = signature.generics.params.first() {
        let what = match parameter {
            GenericParam::Lifetime(_) => "borrows",
            _ => "is generic",
        };
        return fault(
            name,
            format!("the handler {what}: a handler takes and returns types of its own, without parameters"),
        );
    }
    match signature.inputs.len() {
        0..=2 => {}
        3 => {
            let text = "the handler has 3 arguments; expected (body, services). What a caller sends after its body, \
                        `incoming`, comes with a later version of aaw";
            return fault(name, text.to_owned());
        }
        more => return fault(name, format!("the handler has {more} arguments; expected (body, services), or fewer")),
    }
    for argument in &signature.inputs {
        let FnArg::Typed(argument) = argument else {
            return fault(name, "a handler is a free function: it has no self".to_owned());
        };
        match &*argument.ty {
            Type::Reference(_) => {
                let found = written(&argument.ty);
                return fault(
                    argument.span(),
                    format!("the handler takes `{found}`: it owns what it takes, without `&`"),
                );
            }
            Type::ImplTrait(_) => {
                let found = written(&argument.ty);
                return fault(argument.span(), format!("the handler takes `{found}`: a type with a name is expected"));
            }
            _ => {}
        }
    }
    let kind = if signature.asyncness.is_some() { answer(&signature.output)? } else { plain(&signature.output)? };
    Ok(Shape { kind, arguments: signature.inputs.len() })
}

fn answer(output: &ReturnType) -> Result<Kind, Fault> {
    let ReturnType::Type(_, output) = output else { return Ok(Kind::Answer) };
    let line = output.span().start().line;
    if is_impl_of(output, "Stream") {
        return Err(Fault { line, text: STREAMS.to_owned() });
    }
    // `Result<T, String>` is `Serialize`: left to the compiler, it would be answered as {"Ok": …}.
    if is_foreign_result(output) {
        let text = format!(
            "the handler returns `{}`; expected the `Result<T>` of aaw_event::prelude. `?` converts every standard \
             error into its error, `Error::new(\"…\")` says something to the caller",
            written(output)
        );
        return Err(Fault { line, text });
    }
    Ok(Kind::Answer)
}

/// A `Result` that is visibly not aaw_event's: it names another crate (`io::Result<T>`), or another error.
fn is_foreign_result(ty: &Type) -> bool {
    let (Some(arguments), Type::Path(path)) = (result_of(ty), ty) else { return false };
    let segments = &path.path.segments;
    match arguments[..] {
        [_, error] => {
            !matches!(error, Type::Path(error) if error.path.segments.last().is_some_and(|last| last.ident == "Error"))
        }
        _ => segments.len() > 1 && segments.first().is_some_and(|first| first.ident != "aaw_event"),
    }
}

fn plain(output: &ReturnType) -> Result<Kind, Fault> {
    let ReturnType::Type(_, output) = output else { return Ok(Kind::Plain) };
    let is_unit = |ty: &Type| matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty());
    if is_unit(output) || result_of(output).is_some_and(|arguments| arguments.first().is_some_and(|ok| is_unit(ok))) {
        return Ok(Kind::Plain);
    }
    let line = output.span().start().line;
    if is_impl_of(output, "Stream") {
        return Err(Fault { line, text: STREAMS.to_owned() });
    }
    let text = format!(
        "the handler is no `async fn` and returns `{}`. An `async fn` answers; a `fn` that returns nothing or \
         `Result<()>` is a plain event, which answers nobody",
        written(output)
    );
    Err(Fault { line, text })
}

/// The arguments of a type that is called `Result`, wherever it comes from.
pub(crate) fn result_of(ty: &Type) -> Option<Vec<&Type>> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Some(Vec::new()) };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    Some(types.collect())
}

fn is_impl_of(ty: &Type, name: &str) -> bool {
    let Type::ImplTrait(ty) = ty else { return false };
    ty.bounds.iter().any(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return false };
        bound.path.segments.last().is_some_and(|last| last.ident == name)
    })
}

/// As it stands in the file.
pub(crate) fn written(node: &(impl Spanned + quote::ToTokens)) -> String {
    node.span().source_text().unwrap_or_else(|| quote::quote!(#node).to_string())
}

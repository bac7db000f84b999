//! The signature of a file's `handler`, which decides the kind of its event.

use syn::spanned::Spanned;
use syn::{
    FnArg, GenericArgument, GenericParam, Item, ItemFn, PathArguments, ReturnType, Safety, Type, TypeParamBound,
    Visibility,
};

use crate::constants::{self, EventConstants};
use crate::form::HandlerForm;
use crate::source_error::SourceError;

/// What to generate for a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HandlerShape {
    pub(crate) form: HandlerForm,
    pub(crate) arguments: usize,
    pub(crate) constants: EventConstants,
}

/// Reads the handler of an event's file; `stem` is the file's name without the extension, for messages.
pub(crate) fn read(file: &syn::File, stem: &str) -> Result<HandlerShape, SourceError> {
    let Some(handler) = find(file) else {
        let text = format!(
            "no function `handler` found: expected `pub async fn handler(…)` or `pub fn handler(…)`. If the file is \
             not an event, begin its name with an underscore: _{stem}.rs"
        );
        return Err(SourceError::new(1, text));
    };
    let signature = &handler.sig;
    check(handler)?;
    let is_async = signature.asyncness.is_some();
    let form = if is_async { async_form(&signature.output)? } else { sync_form(&signature.output)? };
    let arguments = signature.inputs.len();
    if arguments > 3 {
        let text = format!("the handler has {arguments} arguments: expected at most three, `(body, services, upload)`");
        return Err(SourceError::at(signature.ident.span(), text));
    }
    for (position, argument) in signature.inputs.iter().enumerate() {
        if position != 2 && is_upload(argument, file) {
            let text = "`Upload` must be the third argument: expected `(body, services, upload)`. A handler that \
                        needs no body takes `_: Empty`, one that needs no services takes `_: Services`";
            return Err(SourceError::at(argument.span(), text));
        }
        if position == 2 && form == HandlerForm::OneWay {
            let text = "a one-way handler cannot take an upload: expected `(body, services)`, or an `async fn`, which \
                        returns a response and can take one";
            return Err(SourceError::at(argument.span(), text));
        }
    }
    Ok(HandlerShape { form, arguments, constants: constants::read(file, form)? })
}

/// The file's function `handler`.
pub(crate) fn find(file: &syn::File) -> Option<&ItemFn> {
    file.items.iter().find_map(|item| match item {
        Item::Fn(function) if function.sig.ident == "handler" => Some(function),
        _ => None,
    })
}

/// Checks what holds for every handler, of an event or of a hook.
pub(crate) fn check(handler: &ItemFn) -> Result<(), SourceError> {
    let signature = &handler.sig;
    let name = signature.ident.span();
    if !matches!(handler.vis, Visibility::Public(_)) {
        return Err(SourceError::at(name, "the handler is not public: write `pub` before it"));
    }
    if signature.constness.is_some()
        || signature.abi.is_some()
        || signature.variadic.is_some()
        || !matches!(signature.safety, Safety::Default)
    {
        let text = "the handler is const, unsafe, extern or variadic: expected an `async fn` or a `fn`";
        return Err(SourceError::at(name, text));
    }
    if let Some(parameter) = signature.generics.params.first() {
        let what = match parameter {
            GenericParam::Lifetime(_) => "has a lifetime parameter",
            _ => "is generic",
        };
        let text = format!("the handler {what}: expected a function without lifetime or type parameters");
        return Err(SourceError::at(name, text));
    }
    for argument in &signature.inputs {
        let FnArg::Typed(argument) = argument else {
            return Err(SourceError::at(name, "the handler takes `self`: expected a free function"));
        };
        let expected = match &*argument.ty {
            Type::Reference(_) => "an owned type, without `&`",
            Type::ImplTrait(_) => "a named type",
            _ => continue,
        };
        let text = format!("the handler takes `{}`: expected {expected}", source_text(&argument.ty));
        return Err(SourceError::at(argument.span(), text));
    }
    Ok(())
}

/// Whether the argument looks like aaw_event's `Upload<T>`, and the file defines no type of that name.
fn is_upload(argument: &FnArg, file: &syn::File) -> bool {
    let FnArg::Typed(argument) = argument else { return false };
    let Type::Path(path) = &*argument.ty else { return false };
    let is_own = file.items.iter().any(|item| match item {
        Item::Struct(item) => item.ident == "Upload",
        Item::Enum(item) => item.ident == "Upload",
        Item::Type(item) => item.ident == "Upload",
        _ => false,
    });
    let last = path.path.segments.last();
    !is_own && last.is_some_and(|last| last.ident == "Upload" && types_of(&last.arguments).next().is_some())
}

fn async_form(output: &ReturnType) -> Result<HandlerForm, SourceError> {
    let ReturnType::Type(_, output) = output else { return Ok(HandlerForm::Unary) };
    // `Result<T, String>` is `Serialize`: the compiler would accept it, and the response would be {"Ok": …}.
    if is_foreign_result(output) {
        let text = format!(
            "the handler returns `{}`: expected the `Result<T>` of aaw_event::prelude. `?` converts every standard \
             error into its error; `Error::new(\"…\")` is a message for the caller",
            source_text(output)
        );
        return Err(SourceError::at(output.span(), text));
    }
    let inner = result_of(output).and_then(|arguments| arguments.first().copied());
    if let Some(item) = stream_of(inner.unwrap_or(output)) {
        return check_item(item).map(|()| HandlerForm::AsyncStreaming);
    }
    Ok(HandlerForm::Unary)
}

/// Whether the type is a `Result` that is visibly not aaw_event's: it names another crate (`io::Result<T>`), or another
/// error.
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

fn sync_form(output: &ReturnType) -> Result<HandlerForm, SourceError> {
    let ReturnType::Type(_, output) = output else { return Ok(HandlerForm::OneWay) };
    if is_unit(output) {
        return Ok(HandlerForm::OneWay);
    }
    if let Some(item) = stream_of(output) {
        return check_item(item).map(|()| HandlerForm::Streaming);
    }
    let found = source_text(output);
    let text = if result_of(output).is_some_and(|arguments| arguments.first().is_some_and(|ok| stream_of(ok).is_some()))
    {
        format!(
            "the handler is not an `async fn` and returns `{found}`: write `pub async fn`, or yield the error as an \
             item of the stream"
        )
    } else {
        format!(
            "the handler is not an `async fn` and returns `{found}`: expected `pub async fn` for a handler that \
             returns one response, a return type `impl Stream<Item = …>` for a streaming handler, or no return type, \
             or `Result<()>`, for a one-way handler"
        )
    };
    Err(SourceError::at(output.span(), text))
}

/// Whether the type is `()`, or a `Result` of it.
pub(crate) fn is_unit(output: &Type) -> bool {
    let is_unit = |ty: &Type| matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty());
    is_unit(output) || result_of(output).is_some_and(|arguments| arguments.first().is_some_and(|ok| is_unit(ok)))
}

/// Checks the item type of a stream, where it is written.
fn check_item(item: Option<&Type>) -> Result<(), SourceError> {
    let Some(item) = item.filter(|item| is_foreign_result(item)) else { return Ok(()) };
    let text = format!(
        "the handler's stream yields `{}`: expected the `Result<T>` of aaw_event::prelude. In `try_stream!`, `?` \
         converts every standard error into its error",
        source_text(item)
    );
    Err(SourceError::at(item.span(), text))
}

/// The item type of a type that is visibly a stream: `impl Stream<Item = T>`, `Pin<Box<dyn Stream<Item = T>>>`,
/// `BoxStream<'static, T>`, `ReceiverStream<T>`. The inner `Option` is `None` where the item type is not written.
fn stream_of(ty: &Type) -> Option<Option<&Type>> {
    let bounds = match ty {
        Type::ImplTrait(ty) => &ty.bounds,
        Type::TraitObject(ty) => &ty.bounds,
        Type::Paren(ty) => return stream_of(&ty.elem),
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            let mut types = types_of(&last.arguments);
            return match last.ident.to_string().as_str() {
                "Pin" | "Box" => types.next().and_then(stream_of),
                "BoxStream" => Some(types.next()),
                name if name.ends_with("Stream") => Some(None),
                _ => None,
            };
        }
        _ => return None,
    };
    bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let last = bound.path.segments.last().filter(|last| last.ident.to_string().ends_with("Stream"))?;
        let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Some(None) };
        Some(arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(assigned) if assigned.ident == "Item" => Some(&assigned.ty),
            _ => None,
        }))
    })
}

fn types_of(arguments: &PathArguments) -> impl Iterator<Item = &Type> {
    let arguments = match arguments {
        PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    };
    arguments.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// The type arguments of a type named `Result`, whichever crate it is from.
pub(crate) fn result_of(ty: &Type) -> Option<Vec<&Type>> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Result")?;
    Some(types_of(&last.arguments).collect())
}

/// The text of a node as written in the file.
pub(crate) fn source_text(node: &(impl Spanned + quote::ToTokens)) -> String {
    node.span().source_text().unwrap_or_else(|| quote::quote!(#node).to_string())
}

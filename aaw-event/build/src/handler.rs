//! How a file's `handler` is written, which decides how its event answers.

use syn::spanned::Spanned;
use syn::{
    FnArg, GenericArgument, GenericParam, Item, ItemFn, PathArguments, ReturnType, Safety, Type, TypeParamBound,
    Visibility,
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
    /// `fn` that returns a stream.
    Stream,
    /// `async fn` that returns a stream, or a `Result` with one.
    AsyncStream,
}

/// Finds the handler of an event's file; `stem` is the file's name, for the words.
pub(crate) fn read(file: &syn::File, stem: &str) -> Result<Shape, Fault> {
    let Some(handler) = find(file) else {
        return Err(Fault {
            line: 1,
            text: format!(
                "there is no handler: an event's file has a `pub async fn handler(…)` or a `pub fn handler(…)`. A file \
                 that is no event begins with an underscore: _{stem}.rs"
            ),
        });
    };
    let signature = &handler.sig;
    check(handler)?;
    let kind = if signature.asyncness.is_some() { answer(&signature.output)? } else { plain(&signature.output)? };
    let fault = |at: proc_macro2::Span, text: &str| Err(Fault { line: at.start().line, text: text.to_owned() });
    let arguments = signature.inputs.len();
    if arguments > 3 {
        let text = format!("the handler has {arguments} arguments; expected (body, services, incoming), or fewer");
        return fault(signature.ident.span(), &text);
    }
    for (place, argument) in signature.inputs.iter().enumerate() {
        if place != 2 && is_incoming(argument, file) {
            let text = "`Upload` is a handler's third argument: (body, services, incoming). One that needs no body \
                        takes `_: Empty`, one that needs no services takes `_: Services`";
            return fault(argument.span(), text);
        }
        if place == 2 && kind == Kind::Plain {
            let text = "a plain handler takes no third argument: nobody waits for what it makes of its caller's \
                        stream. An `async fn` answers, and can take it";
            return fault(argument.span(), text);
        }
    }
    Ok(Shape { kind, arguments })
}

/// The file's function `handler`.
pub(crate) fn find(file: &syn::File) -> Option<&ItemFn> {
    file.items.iter().find_map(|item| match item {
        Item::Fn(function) if function.sig.ident == "handler" => Some(function),
        _ => None,
    })
}

/// What is wrong with a handler whatever it answers.
pub(crate) fn check(handler: &ItemFn) -> Result<(), Fault> {
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
    Ok(())
}

/// Whether it is aaw_event's `Upload<T>`, as far as one can see: a file may well call a type of its own that.
fn is_incoming(argument: &FnArg, file: &syn::File) -> bool {
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

fn answer(output: &ReturnType) -> Result<Kind, Fault> {
    let ReturnType::Type(_, output) = output else { return Ok(Kind::Answer) };
    let line = output.span().start().line;
    // `Result<T, String>` is `Serialize`: left to the compiler, it would be answered as {"Ok": …}.
    if is_foreign_result(output) {
        let text = format!(
            "the handler returns `{}`; expected the `Result<T>` of aaw_event::prelude. `?` converts every standard \
             error into its error, `Error::new(\"…\")` says something to the caller",
            written(output)
        );
        return Err(Fault { line, text });
    }
    let inner = result_of(output).and_then(|arguments| arguments.first().copied());
    if let Some(item) = stream_of(inner.unwrap_or(output)) {
        return items(item).map(|()| Kind::AsyncStream);
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
    if is_nothing(output) {
        return Ok(Kind::Plain);
    }
    if let Some(item) = stream_of(output) {
        return items(item).map(|()| Kind::Stream);
    }
    let line = output.span().start().line;
    let found = written(output);
    if result_of(output).is_some_and(|arguments| arguments.first().is_some_and(|ok| stream_of(ok).is_some())) {
        let text = format!(
            "the handler is no `async fn` and returns `{found}`: write `pub async fn`, or yield the error as an item"
        );
        return Err(Fault { line, text });
    }
    let text = format!(
        "the handler is no `async fn` and returns `{found}`. An `async fn` answers; a `fn` that returns a stream, \
         written as `impl Stream<Item = …>`, answers many times; a `fn` that returns nothing or `Result<()>` is a plain \
         event, which answers nobody"
    );
    Err(Fault { line, text })
}

/// `()`, or a `Result` of it.
pub(crate) fn is_nothing(output: &Type) -> bool {
    let is_unit = |ty: &Type| matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty());
    is_unit(output) || result_of(output).is_some_and(|arguments| arguments.first().is_some_and(|ok| is_unit(ok)))
}

/// Checks what a stream yields, as far as it is written.
fn items(item: Option<&Type>) -> Result<(), Fault> {
    let Some(item) = item.filter(|item| is_foreign_result(item)) else { return Ok(()) };
    let text = format!(
        "the handler's stream yields `{}`; expected the `Result<T>` of aaw_event::prelude. In `try_stream!`, `?` converts \
         every standard error into its error",
        written(item)
    );
    Err(Fault { line: item.span().start().line, text })
}

/// What a type yields that is visibly a stream: `impl Stream<Item = T>`, `Pin<Box<dyn Stream<Item = T>>>`,
/// `BoxStream<'static, T>`, `ReceiverStream<T>`. The inner `None` is for what is not written.
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

/// The arguments of a type that is called `Result`, wherever it comes from.
pub(crate) fn result_of(ty: &Type) -> Option<Vec<&Type>> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Result")?;
    Some(types_of(&last.arguments).collect())
}

/// As it stands in the file.
pub(crate) fn written(node: &(impl Spanned + quote::ToTokens)) -> String {
    node.span().source_text().unwrap_or_else(|| quote::quote!(#node).to_string())
}

//! The code of a package, as text: people read it when the compiler points there.

use std::fmt::Write;

use crate::handler::Kind;
use crate::hook::{Hook, When};
use crate::tree::{Content, Module, Package};

const HEAD: &str = "\
// Made by aaw_event_build::events() from the files in src/, and made anew when they change.
";

/// Writes everything.
pub(crate) fn package(name: &str, package: &Package) -> String {
    let mut code = String::from(HEAD);
    let is_empty = package.events.is_empty() && package.hooks.is_empty();
    if is_empty && package.complaints.is_empty() {
        complain(
            &mut code,
            "this package has no events: src/ping.rs with a `pub async fn handler()` would be the event `ping`",
        );
    }
    for complaint in &package.complaints {
        complain(&mut code, complaint);
    }
    modules(&mut code, &package.modules, 0);
    // A table of what is left would only add errors that follow from these.
    if package.complaints.is_empty() && !is_empty {
        table(&mut code, name, package);
    }
    code
}

fn complain(code: &mut String, text: &str) {
    let _ = writeln!(code, "\ncompile_error!({text:?});");
}

fn modules(code: &mut String, all: &[Module], depth: usize) {
    let indent = "    ".repeat(depth);
    for module in all {
        let ident = &module.ident;
        match &module.content {
            Content::File(path) => {
                let path = path.to_string_lossy();
                // A handler is public for the table's sake, and its file's name says what it is.
                let _ = writeln!(code, "\n{indent}#[allow(missing_docs, unreachable_pub, clippy::unused_async)]");
                let _ = writeln!(code, "{indent}#[path = {path:?}]");
                let _ = writeln!(code, "{indent}pub mod {ident};");
            }
            Content::Folder { path, beside, modules: inner } => {
                let doc = format!("The files of `{path}`.");
                let _ = writeln!(code, "\n{indent}#[doc = {doc:?}]");
                let _ = writeln!(code, "{indent}pub mod {ident} {{");
                if let Some(beside) = beside {
                    let _ = writeln!(code, "{indent}    #[allow(unused_imports)]");
                    let _ = writeln!(code, "{indent}    pub use super::{beside}::*;");
                }
                modules(code, inner, depth + 1);
                let _ = writeln!(code, "{indent}}}");
            }
        }
    }
}

fn table(code: &mut String, name: &str, package: &Package) {
    let symbol = name.replace('-', "_");
    let (app, start) = match &package.services {
        None => ("::aaw_event::export::NoServices", "sync_services(::aaw_event::export::no_services)"),
        Some(services) if services.is_async => (services.ty.as_str(), "async_services(crate::_services::services)"),
        Some(services) => (services.ty.as_str(), "sync_services(crate::_services::services)"),
    };
    let _ = writeln!(code, "\n::aaw_event::__package!({symbol:?}, {name:?}, {app}, ::aaw_event::export::{start}, [");
    for event in &package.events {
        let function = match event.shape.kind {
            Kind::Answer => "answer",
            Kind::Plain => "plain",
            Kind::Stream => "stream",
            Kind::AsyncStream => "async_stream",
        };
        let arguments = event.shape.arguments;
        let _ = writeln!(code, "    // src/{}", event.file);
        let _ = writeln!(
            code,
            "    ::aaw_event::export::Entry::<{app}>::{function}{arguments}({:?}, {}::handler),",
            event.name, event.module
        );
    }
    for hook in &package.hooks {
        let Hook { name, module, is_async, arguments, .. } = hook;
        let which = match hook.when {
            When::Open => "OPEN".to_owned(),
            When::Close => "CLOSE".to_owned(),
            When::Guard => format!("guard({name:?})"),
            When::PasswordReset => "PASSWORD_RESET".to_owned(),
        };
        let function = if *is_async { "async_hook" } else { "hook" };
        let _ = writeln!(code, "    // src/{name}.rs");
        let _ = writeln!(
            code,
            "    ::aaw_event::export::Entry::<{app}>::{function}{arguments}(::aaw_event::export::{which}, {module}::handler),"
        );
    }
    let _ = writeln!(code, "]);");
    if package.services.is_some() {
        let _ =
            writeln!(code, "\n/// As [`module`], with services that the program has built: `services()` does not run.");
        // The path is the file's own, or one from the crate's root, where we are: then `crate::` is one too many.
        let _ = writeln!(code, "#[allow(unused_qualifications)]");
        let _ = writeln!(code, "pub fn module_with(services: {app}) -> ::aaw_event::Module {{");
        let _ = writeln!(code, "    __aaw::PACKAGE.module_with(services)");
        let _ = writeln!(code, "}}");
    }
}

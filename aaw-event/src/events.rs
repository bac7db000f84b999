//! The macros of a package's `lib.rs`.

/// Makes a package of the files next to this one: each file with a `handler` becomes an event.
///
/// It is usually the only line of `lib.rs`. `aaw_event_build::events()` in `build.rs` has found the files; this macro
/// includes what it has generated: a module for each file, `pub fn module()` for programs that link the package (and
/// `pub fn module_with(services)` if there is a `_services.rs`), and the symbol by which a server that opens the
/// package as a library finds its events.
///
/// A mistake in a file is a compile error that names the file.
#[macro_export]
macro_rules! events {
    () => {
        include!(concat!(env!("OUT_DIR"), "/aaw_events.rs"));
    };
}

/// The ABI's number as a literal, which is the only form that the name of a symbol can be made of.
#[doc(hidden)]
#[macro_export]
macro_rules! __abi_number {
    () => {
        1
    };
}

/// The exported symbol of the package `$name`, a literal with `_` for `-`.
#[doc(hidden)]
#[macro_export]
macro_rules! __symbol {
    ($name:literal) => {
        concat!("aaw_module_v", $crate::__abi_number!(), "_", $name)
    };
}

/// For generated code: the exported table. A macro of this crate emits it, so that a package may contain
/// `#![forbid(unsafe_code)]`.
///
/// `$symbol` is the package's name with `_` for `-`.
#[doc(hidden)]
#[macro_export]
macro_rules! __package {
    (
        $symbol:literal, $package:literal, $app:ty, $start:expr,
        [$($entry:expr,)*] $(, [$($kind:ident($form:ident, $name:literal, $description:literal, $handler:path),)*])?
        $(, $declaration:ident)*
    ) => {
        #[doc(hidden)]
        pub mod __aaw {
            static EVENTS: &[$crate::export::HandlerEntry<$app>] = &[$($entry,)*];

            #[unsafe(export_name = $crate::__symbol!($symbol))]
            pub static PACKAGE: $crate::export::PackageSymbol<$app> =
                $crate::export::PackageSymbol::new($package, cfg!(panic = "unwind"), $start, EVENTS)
                    .describing(describe)$(.$declaration())*;

            #[allow(unused_imports, unused_variables)]
            fn describe(contract: &mut $crate::export::PackageContract) {
                use $crate::export::probe::{
                    PlainValue as _, WithItems as _, WithSchema as _, WithoutItems as _, WithoutSchema as _,
                    WithoutUpload as _,
                };
                $($($crate::__describe_event!(contract, $kind, $form, $name, $description, $handler);)*)?
            }
        }

        /// The events of this package, for the program that links it.
        pub fn module() -> $crate::Module {
            __aaw::PACKAGE.module()
        }
    };
}

/// For generated code: adds an event to the contract. The extra references let the compiler prefer the method for a type with a
/// schema.
#[doc(hidden)]
#[macro_export]
macro_rules! __describe_event {
    ($contract:ident, $kind:ident, $form:ident, $name:literal, $description:literal, $handler:path) => {{
        let handler = $crate::export::probe::$form($handler);
        let body = (&handler.body).schema($contract.input());
        let upload_item = (&handler.upload.upload_item()).schema($contract.input());
        let output = $crate::__output_schema!($contract, $kind, handler.output);
        $contract.add_event($name, $description, body, output, upload_item);
    }};
}

/// For generated code: the schema of a response or an item.
#[doc(hidden)]
#[macro_export]
macro_rules! __output_schema {
    ($contract:ident, one_way, $output:expr) => {
        None
    };
    ($contract:ident, unary, $output:expr) => {
        (&$output.value()).schema($contract.output())
    };
    ($contract:ident, streaming, $output:expr) => {
        (&(&$output).item().value()).schema($contract.output())
    };
    ($contract:ident, async_streaming, $output:expr) => {
        (&(&$output.value()).item().value()).schema($contract.output())
    };
}

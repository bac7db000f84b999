//! The macros of a package's `lib.rs`.

/// Makes a package of the files beside this one: each file with a `handler` is an event.
///
/// Stands alone in `lib.rs`; `aaw_event_build::events()` in `build.rs` has found the files. It declares a module for
/// each file, `pub fn module()` (and `pub fn module_with(services)` when there is a `_services.rs`) for programs that link
/// the package, and the symbol by which a server that opens it as a library finds it.
///
/// What is wrong with a file is a compile error that names it.
#[macro_export]
macro_rules! events {
    () => {
        include!(concat!(env!("OUT_DIR"), "/aaw_events.rs"));
    };
}

/// The ABI's number, as a literal: a symbol's name can be made of nothing else.
#[doc(hidden)]
#[macro_export]
macro_rules! __abi_number {
    () => {
        1
    };
}

/// The name of the symbol of a package whose name is the identifier `$name`.
#[doc(hidden)]
#[macro_export]
macro_rules! __symbol {
    ($name:literal) => {
        concat!("aaw_module_v", $crate::__abi_number!(), "_", $name)
    };
}

/// For generated code: the exported table. Here, so that a package can say `#![forbid(unsafe_code)]`.
///
/// `$symbol` is the package's name as an identifier, with `_` for `-`.
#[doc(hidden)]
#[macro_export]
macro_rules! __package {
    ($symbol:literal, $package:literal, $app:ty, $start:expr, [$($entry:expr,)*]) => {
        #[doc(hidden)]
        pub mod __aaw {
            static EVENTS: &[$crate::export::Entry<$app>] = &[$($entry,)*];

            #[unsafe(export_name = $crate::__symbol!($symbol))]
            pub static PACKAGE: $crate::export::Package<$app> =
                $crate::export::Package::new($package, cfg!(panic = "unwind"), $start, EVENTS);
        }

        /// The events of this package, to be served by the program that it is linked into.
        pub fn module() -> $crate::Module {
            __aaw::PACKAGE.module()
        }
    };
}

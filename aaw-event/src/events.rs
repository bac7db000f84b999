//! The macros of a package's `lib.rs`.

/// Makes a package of the files beside this one: each file with a `handler` is an event.
///
/// Stands alone in `lib.rs`; `aaw_event_build::events()` in `build.rs` has found the files. It declares a module for each
/// file, `pub fn module()` (and `pub fn module_with(services)` when there is a `_services.rs`) for programs that link
/// the package, and the symbol by which a server that opens it as a library finds it.
///
/// What is wrong with a file is a compile error that names it.
#[macro_export]
macro_rules! events {
    () => {
        include!(concat!(env!("OUT_DIR"), "/aaw_events.rs"));
    };
}

/// For generated code: the exported table. Here, so that a package can say `#![forbid(unsafe_code)]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __package {
    ($symbol:ident, $package:expr, $app:ty, $start:expr, [$($entry:expr,)*]) => {
        #[doc(hidden)]
        pub mod __aaw {
            static EVENTS: &[$crate::export::Entry<$app>] = &[$($entry,)*];

            #[allow(non_upper_case_globals)]
            #[unsafe(no_mangle)]
            pub static $symbol: $crate::export::Package<$app> =
                $crate::export::Package::new($package, cfg!(panic = "unwind"), $start, EVENTS);

            pub(super) use $symbol as PACKAGE;
        }

        /// The events of this package, to be served by the program that it is linked into.
        pub fn module() -> $crate::Module {
            __aaw::PACKAGE.module()
        }
    };
}

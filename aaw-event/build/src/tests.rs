//! From a folder to the text that is compiled.

use std::fs;

use tempfile::TempDir;

const ANSWER: &str = "pub async fn handler() {}";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The generated code, without the temporary folder and the attributes.
fn generated(files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    let code = crate::generate(folder.path(), "my-events").unwrap();
    // It is Rust, whatever the files are.
    syn::parse_file(&code).unwrap_or_else(|error| panic!("{error}:\n{code}"));
    let lines = code.lines().map(|line| line.replace(folder.path().to_str().unwrap(), "/src"));
    lines.filter(|line| !line.trim().is_empty() && !line.contains("#[allow")).collect::<Vec<_>>().join("\n")
}

/// What is complained about.
fn complaints(files: &[(&str, &str)]) -> Vec<String> {
    let code = generated(files);
    let inner = |line: &str| line.strip_prefix("compile_error!(\"")?.strip_suffix("\");").map(str::to_owned);
    code.lines().filter_map(inner).map(|text| text.replace("\\\"", "\"")).collect()
}

#[track_caller]
fn complaint(files: &[(&str, &str)], expected: &str) {
    let found = complaints(files);
    assert!(found.len() == 1 && found[0].contains(expected), "expected {expected:?}, found {found:#?}");
}

#[track_caller]
fn wrong_handler(text: &str, expected: &str) {
    complaint(&[("users/get.rs", text)], expected);
}

#[test]
fn a_folder_becomes_modules_and_a_table() {
    let code = generated(&[
        ("lib.rs", "aaw_event::events!();"),
        ("main.rs", "fn main() {}"),
        ("ping.rs", ANSWER),
        (
            "users/get.rs",
            "use super::_rows::Row;\npub async fn handler(body: Row, services: Services<App>) -> Result<Row> {}",
        ),
        ("users/_rows.rs", "pub struct Row;"),
        ("users/notes.txt", "not Rust"),
        ("pictures/cat.png", "not Rust"),
        ("announce.rs", "pub fn handler(body: Value) {}"),
        ("_services.rs", "pub struct App;\npub async fn services() -> Result<App> {}"),
    ]);
    let expected = r#"// Made by aaw_event_build::events() from the files in src/, and made anew when they change.
#[path = "/src/_services.rs"]
pub mod _services;
#[path = "/src/announce.rs"]
pub mod announce;
#[path = "/src/ping.rs"]
pub mod ping;
#[doc = "The files of `users/`."]
pub mod users {
    #[path = "/src/users/_rows.rs"]
    pub mod _rows;
    #[path = "/src/users/get.rs"]
    pub mod get;
}
::aaw_event::__package!("my_events", "my-events", crate::_services::App, ::aaw_event::export::async_services(crate::_services::services), [
    // src/announce.rs
    ::aaw_event::export::Entry::<crate::_services::App>::plain1("announce", crate::announce::handler),
    // src/ping.rs
    ::aaw_event::export::Entry::<crate::_services::App>::answer0("ping", crate::ping::handler),
    // src/users/get.rs
    ::aaw_event::export::Entry::<crate::_services::App>::answer2("users/get", crate::users::get::handler),
]);
/// As [`module`], with services that the program has built: `services()` does not run.
pub fn module_with(services: crate::_services::App) -> ::aaw_event::Module {
    __aaw::PACKAGE.module_with(services)
}"#;
    assert_eq!(code, expected);
}

#[test]
fn a_file_beside_its_folder_is_an_event_too() {
    let code = generated(&[("users.rs", ANSWER), ("users/get.rs", ANSWER)]);
    assert!(code.contains(r#"answer0("users", crate::users_event::handler)"#), "{code}");
    assert!(code.contains(r#"answer0("users/get", crate::users::get::handler)"#), "{code}");
    assert!(code.contains("pub use super::users_event::*;"), "{code}");
}

#[test]
fn names_that_are_no_identifiers_become_some() {
    let names = ["get-user", "get_user", "get.user", "type", "self", "2fa"];
    let files = names.map(|name| (format!("{name}.rs"), ANSWER));
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let code = generated(&files);
    let expected = [
        ("get_user", "get_user"),
        ("get-user", "get_user_2"),
        ("get.user", "get_user_3"),
        ("type", "r#type"),
        ("self", "self_"),
        ("2fa", "_2fa"),
    ];
    for (name, module) in expected {
        assert!(code.contains(&format!("answer0({name:?}, crate::{module}::handler)")), "{name} in {code}");
    }
}

#[test]
fn a_shared_folder_holds_no_events() {
    let code = generated(&[
        ("ping.rs", ANSWER),
        ("_shared/money.rs", "pub struct Money;"),
        ("_shared/deep/er.rs", "pub struct Deeper;"),
        ("_by_hand/mod.rs", "mod inner;"),
        ("_by_hand/inner.rs", ""),
    ]);
    assert!(code.contains("pub mod money;") && code.contains("pub mod er;"), "{code}");
    assert!(code.contains("#[path = \"/src/_by_hand/mod.rs\"]\npub mod _by_hand;"), "{code}");
    assert!(!code.contains("pub mod inner;"), "{code}");
    assert_eq!(code.matches("handler)").count(), 1, "{code}");
}

#[test]
fn everything_wrong_is_said_at_once() {
    let found = complaints(&[
        ("good.rs", ANSWER),
        ("one.rs", "fn handler() {}"),
        ("two.rs", "\n\npub fn handler() -> u32 { 1 }"),
        ("three.rs", ""),
    ]);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found.iter().any(|text| text.starts_with("src/one.rs:1: ")));
    assert!(found.iter().any(|text| text.starts_with("src/two.rs:3: ")));
}

#[test]
fn a_handler_that_is_none_is_explained() {
    wrong_handler("", "src/users/get.rs:1: there is no handler");
    wrong_handler("", "begins with an underscore: _get.rs");
    wrong_handler("async fn handler() {}", "the handler is not public");
    wrong_handler("pub fn handler() -> u32 { 1 }", "is no `async fn` and returns `u32`");
    wrong_handler("pub fn handler() -> Result<u32> { 1 }", "is no `async fn` and returns `Result<u32>`");
    wrong_handler("pub fn handler() -> u32 { 1 }", "written as `impl Stream<Item = …>`, answers many times");
    wrong_handler("pub fn handler() -> Result<impl Stream<Item = u32>> {}", "write `pub async fn`");
    wrong_handler("pub fn handler() -> impl Stream<Item = Result<u8, String>> {}", "yields `Result<u8, String>`");
    wrong_handler("pub fn handler() -> BoxStream<'static, io::Result<u8>> {}", "yields `io::Result<u8>`");
    wrong_handler("pub async fn handler() -> Result<u32, String> {}", "expected the `Result<T>` of aaw_event");
    wrong_handler("pub async fn handler() -> std::io::Result<u32> {}", "expected the `Result<T>` of aaw_event");
    wrong_handler("pub async fn handler(b: B, i: Upload<u8>) {}", "`Upload` is a handler's third argument");
    wrong_handler("pub async fn handler(i: aaw_event::Upload<u8>) {}", "takes `_: Empty`");
    wrong_handler(
        "pub fn handler(\n    b: B,\n    s: S,\n    i: Upload<u8>,\n) {}",
        "src/users/get.rs:4: a plain handler takes no third argument",
    );
    wrong_handler("pub async fn handler(a: A, b: B, c: C, d: D) {}", "has 4 arguments");
    wrong_handler("pub async fn handler<T>(body: T) {}", "is generic");
    wrong_handler("pub async fn handler<'a>(body: B<'a>) {}", "borrows");
    wrong_handler("pub async fn handler(\n    body: &str,\n) {}", "src/users/get.rs:2: the handler takes `&str`");
    wrong_handler("pub async fn handler(body: impl Send) {}", "takes `impl Send`");
    wrong_handler("pub async unsafe fn handler() {}", "neither const, unsafe nor extern");
    wrong_handler("pub async fn handler( {}", "src/users/get.rs:1: this is not Rust");
}

#[test]
fn handlers_that_are_right_are_taken() {
    for right in [
        "pub async fn handler() -> Result<Vec<u8>, Error> {}",
        "pub async fn handler(Body { id }: Body, _: Services) -> aaw_event::Result<u8> {}",
        "pub fn handler(_: Empty) -> () {}",
        "pub fn handler(_: Empty) -> Result<()> {}",
        "pub fn handler(_: Empty) -> Result<(), Error> {}",
        "pub async fn handler(_: Empty, _: Services, _: Upload<u8>) -> u8 {}",
        "pub fn handler() -> impl Stream<Item = Result<u8>> + Send {}",
        "pub struct Upload<T>(T);\npub async fn handler(body: Upload<u8>) {}",
    ] {
        assert_eq!(complaints(&[("x.rs", right)]), [""; 0], "{right}");
    }
}

#[test]
fn what_returns_a_stream_is_one() {
    let shape = |signature: &str| {
        let code = generated(&[("x.rs", &format!("pub {signature} {{}}"))]);
        let (_, shape) = code.split_once("::Entry::<::aaw_event::export::NoServices>::").expect(&code);
        shape.split_once('(').unwrap().0.to_owned()
    };
    for stream in [
        "impl Stream<Item = u8>",
        "impl Stream<Item = Result<u8>> + use<>",
        "impl aaw_event::prelude::Stream<Item = aaw_event::Result<u8>>",
        "impl Send + FusedStream<Item = u8>",
        "Pin<Box<dyn Stream<Item = u8> + Send>>",
        "std::pin::Pin<std::boxed::Box<dyn Stream<Item = Result<u8, Error>>>>",
        "Pin<Box<impl Stream<Item = u8>>>",
        "BoxStream<'static, Result<u8>>",
        "tokio_stream::wrappers::ReceiverStream<u8>",
    ] {
        assert_eq!(shape(&format!("fn handler() -> {stream}")), "stream0", "{stream}");
        assert_eq!(shape(&format!("async fn handler(a: A) -> {stream}")), "async_stream1", "{stream}");
        assert_eq!(shape(&format!("async fn handler(a: A, b: B) -> Result<{stream}>")), "async_stream2", "{stream}");
    }
    assert_eq!(shape("fn handler(a: A, b: B, c: Upload<u8>) -> impl Stream<Item = u8>"), "stream3");
    assert_eq!(shape("async fn handler(a: A, b: B, c: Upload<u8>) -> Vec<u8>"), "answer3");
    assert_eq!(shape("async fn handler() -> Option<Box<u8>>"), "answer0");
}

#[test]
fn hooks_are_in_the_table_too() {
    let code = generated(&[
        ("ping.rs", ANSWER),
        ("_open.rs", "pub async fn handler(opened: OpenInfo, services: Services) -> Result<()> {}"),
        ("_close.rs", "pub fn handler(_: CloseInfo) {}"),
    ]);
    let expected = r#"    // src/ping.rs
    ::aaw_event::export::Entry::<::aaw_event::export::NoServices>::answer0("ping", crate::ping::handler),
    // src/_close.rs
    ::aaw_event::export::Entry::<::aaw_event::export::NoServices>::hook1(::aaw_event::export::CLOSE, crate::_close::handler),
    // src/_open.rs
    ::aaw_event::export::Entry::<::aaw_event::export::NoServices>::async_hook2(::aaw_event::export::OPEN, crate::_open::handler),
]);"#;
    assert!(code.ends_with(expected), "{code}");
    assert!(code.contains("pub mod _open;"), "{code}");
    // Without an event there is something to be run, too.
    assert!(generated(&[("_open.rs", "pub fn handler() -> Result<()> {}")]).contains("hook0"));
}

#[test]
fn a_hook_that_is_none_is_explained() {
    let wrong = |file: &str, expected: &str| complaint(&[("x.rs", ANSWER), ("_open.rs", file)], expected);
    wrong(
        "pub fn opened() {}",
        "src/_open.rs:1: there is no handler: expected `pub async fn handler(opened: OpenInfo, ",
    );
    wrong("async fn handler() {}", "the handler is not public");
    wrong("pub async fn handler() -> bool {}", "returns `bool`, which nobody gets");
    wrong("pub fn handler() -> impl Stream<Item = u8> {}", "which nobody gets");
    wrong("pub fn handler(o: OpenInfo, s: Services, i: Upload<u8>) {}", "has 3 arguments");
    wrong("pub fn handler(o: &OpenInfo) {}", "takes `&OpenInfo`");
    wrong("pub fn handler( {}", "src/_open.rs:1: this is not Rust");
    let text = "src/users/_close.rs:1: what runs for every connection stands in one place: src/_close.rs";
    complaint(&[("x.rs", ANSWER), ("users/_close.rs", "pub fn handler() {}")], text);
    complaint(&[("x.rs", ANSWER), ("_shared/_open.rs", "")], "one place: src/_open.rs");
}

#[test]
fn guards_and_the_password_reset_are_in_the_table_too() {
    let code = generated(&[
        ("ping.rs", ANSWER),
        ("_guard.rs", "pub fn handler() -> Result<()> {}"),
        ("users/get.rs", ANSWER),
        ("users/type/_guard.rs", "pub async fn handler(call: GuardedCall, services: Services<App>) -> Result<()> {}"),
        ("users/type/x.rs", ANSWER),
        ("_password_reset.rs", "pub async fn handler(reset: PasswordReset) -> Result<()> {}"),
    ]);
    for line in [
        r#"hook0(::aaw_event::export::guard("_guard"), crate::_guard::handler),"#,
        r#"async_hook2(::aaw_event::export::guard("users/type/_guard"), crate::users::r#type::_guard::handler),"#,
        "async_hook1(::aaw_event::export::PASSWORD_RESET, crate::_password_reset::handler),",
    ] {
        assert!(code.contains(&format!("::NoServices>::{line}")), "{line} in {code}");
    }
}

#[test]
fn a_guard_that_is_none_is_explained() {
    let wrong = |file: &str, expected: &str| complaint(&[("x.rs", ANSWER), ("a/_guard.rs", file)], expected);
    let expected = "src/a/_guard.rs:1: there is no handler: expected `pub async fn handler(call: GuardedCall, ";
    wrong("pub fn guard() {}", expected);
    wrong("fn handler() -> Result<()> {}", "the handler is not public");
    wrong("pub async fn handler() -> bool {}", "returns `bool`, which nobody gets");
    wrong("pub fn handler(c: GuardedCall, s: Services, i: Upload<u8>) {}", "has 3 arguments");
    let right = "pub fn handler() -> Result<()> {}";
    let misplaced = |file: &str, expected: &str| complaint(&[("x.rs", ANSWER), (file, right)], expected);
    misplaced("_shared/_guard.rs", "src/_shared/_guard.rs:1: there are no events here that it could guard");
    misplaced("aaw/_guard.rs", "belong to aaw itself");
    misplaced("a b/_guard.rs", "there can be no events here");
    misplaced("a/_password_reset.rs", "what delivers tokens stands in one place: src/_password_reset.rs");
    let reset = [("x.rs", ANSWER), ("_password_reset.rs", "pub fn handler() -> u8 {}")];
    complaint(&reset, "expected `pub async fn handler(reset: PasswordReset, ");
}

#[test]
fn names_that_no_event_can_have_are_explained() {
    complaint(&[("get user.rs", ANSWER)], "src/get user.rs:1: this file cannot be an event");
    complaint(&[("aaw/login.rs", ANSWER)], "src/aaw/login.rs:1: the event aaw/login cannot be");
    complaint(&[("aaw.rs", ANSWER)], "belong to aaw itself");
    complaint(&[("users/mod.rs", "mod get;"), ("x.rs", ANSWER)], "src/users/mod.rs:1: there is no place for a mod.rs");
    complaint(&[("x.rs", ANSWER), ("users/_services.rs", "")], "services are built in one place");
    complaint(&[("lib.rs", "")], "this package has no events");
}

#[test]
fn the_type_of_the_services_is_named_from_outside() {
    let of = |file: &str| {
        let code = generated(&[("x.rs", ANSWER), ("_services.rs", file)]);
        let line = code.lines().find(|line| line.starts_with("pub fn module_with")).expect(&code).to_owned();
        let (_, ty) = line.split_once("services: ").unwrap();
        ty.split_once(") ->").unwrap().0.replace(' ', "")
    };
    assert_eq!(of("pub struct App;\npub fn services() -> App { App }"), "crate::_services::App");
    assert_eq!(
        of("use std::sync::Arc;\npub struct App;\npub fn services() -> Arc<App> {}"),
        "::std::sync::Arc<crate::_services::App>"
    );
    assert_eq!(of("use super::_db::{Pool as P};\npub async fn services() -> Result<P> {}"), "crate::_db::Pool");
    assert_eq!(of("pub async fn services() -> anyhow::Result<sqlx::Pool<u8>> {}"), "::sqlx::Pool<u8>");
    assert_eq!(
        of("use std::sync;\npub trait Store {}\npub fn services() -> sync::Arc<dyn Store + Send> {}"),
        "::std::sync::Arc<dyncrate::_services::Store+Send>"
    );

    let wrong = |file: &str, expected: &str| complaint(&[("x.rs", ANSWER), ("_services.rs", file)], expected);
    wrong("struct App;\npub fn services() -> App { App }", "src/_services.rs:2: `App` is not public");
    wrong("pub fn services() {}", "`services` builds nothing");
    wrong("pub async fn services() -> Result<()> {}", "`services` builds nothing");
    wrong("pub fn services() -> impl Send {}", "give it a name");
    wrong("pub struct App;", "there is no function `services`");
    wrong("pub struct App;\nfn services() -> App {}", "`services` is not public");
    wrong("pub struct App;\npub fn services(n: u8) -> App {}", "`services` takes nothing");
}

#[test]
fn the_same_files_give_the_same_text() {
    let folder = folder(&[("b.rs", ANSWER), ("a.rs", ANSWER), ("c/d.rs", ANSWER), ("c.rs", ANSWER)]);
    let text = || crate::generate(folder.path(), "my-events").unwrap();
    assert_eq!(text(), text());
}

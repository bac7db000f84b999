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
    wrong_handler("pub fn handler() -> impl Stream<Item = u32> {}", "come with the next version");
    wrong_handler("pub async fn handler() -> Result<u32, String> {}", "expected the `Result<T>` of aaw_event");
    wrong_handler("pub async fn handler() -> std::io::Result<u32> {}", "expected the `Result<T>` of aaw_event");
    wrong_handler("pub async fn handler(a: A, b: B, c: C) {}", "has 3 arguments; expected (body, services)");
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
    ] {
        assert_eq!(complaints(&[("x.rs", right)]), [""; 0], "{right}");
    }
}

#[test]
fn names_that_no_event_can_have_are_explained() {
    complaint(&[("get user.rs", ANSWER)], "src/get user.rs:1: this file cannot be an event");
    complaint(&[("aaw/login.rs", ANSWER)], "src/aaw/login.rs:1: the event aaw/login cannot be");
    complaint(&[("aaw.rs", ANSWER)], "belong to aaw itself");
    complaint(&[("x.rs", ANSWER), ("_guard.rs", "")], "src/_guard.rs:1: _guard.rs is not supported yet");
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

//! Loads valid and invalid libraries and packages.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Once};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::fixture::{
    ModuleSource, TestCaller, built_library, call_once, index, items, library, package, rustc, start, workshop,
};
use aaw_event::host::{Step, UploadSource, UploadStep};
use aaw_protocol::{Code, Failure};
use aaw_server::Events;
use aaw_server::modules::{EventsAt, LibraryCheckError, OpenError, Watch, load, open};
use object::{Object, ObjectSection, ObjectSegment};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing_subscriber::fmt::MakeWriter;

fn names(events: &[Events]) -> Vec<String> {
    events.iter().flat_map(|source| source.module.events()).map(|event| event.name.to_string()).collect()
}

/// Returns the error for a path, and checks that it names the path.
async fn load_error(path: &Path) -> String {
    let error = match EventsAt::find(path) {
        Ok(at) => load(&at).await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    let end = path.file_name().unwrap().to_str().unwrap();
    assert!(error.contains(end), "{error}");
    error
}

#[tokio::test]
async fn a_package_is_built_opened_and_called() {
    let library = built_library().await;
    let module = open(&library).unwrap();
    assert_eq!(module.package(), "built");
    assert_eq!(call_once(&module, "ping", "").await, r#"{"pong":true}"#);
    assert_eq!(call_once(&module, "echo", "[1]").await, "[1]");

    let instance = start(&module).await;
    let count = instance.call(index(&module, "count"), r#"{"to":3}"#, &Arc::new(TestCaller));
    assert_eq!(items(count).await, (vec!["1".to_owned(), "2".to_owned(), "3".to_owned()], Step::End));
}

/// An upload whose items and failures come from a channel.
struct ChannelUpload(Mutex<mpsc::UnboundedReceiver<Result<&'static str, Failure>>>);

impl UploadSource for ChannelUpload {
    fn poll_next(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<UploadStep> {
        let item = self.0.lock().unwrap().poll_recv(cx);
        item.map(|item| match item {
            Some(Ok(json)) => {
                out.extend_from_slice(json.as_bytes());
                UploadStep::Item
            }
            Some(Err(failure)) => UploadStep::Failed(failure),
            None => UploadStep::End,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_receives_uploads_and_has_hooks() {
    let package = package(&workshop("uploads"), "uploads");
    let save = |file: &str, text: &str| std::fs::write(package.join("src").join(file), text).unwrap();
    save(
        "sums.rs",
        "use aaw_event::prelude::*;
        pub const COST: u32 = 7;
        pub const EVENT_SOURCE: bool = true;
        pub fn handler(start: i64, _: Services, mut upload: Upload<i64>) -> impl Stream<Item = Result<i64>> {
            try_stream! {
                let mut sum = start;
                while let Some(number) = upload.next().await {
                    sum += number?;
                    yield sum;
                }
            }
        }",
    );
    save(
        "_open.rs",
        "use aaw_event::prelude::*;
        pub async fn handler(info: OpenInfo) -> Result<()> {
            info.client_key.map(drop).ok_or_else(|| Error::new(\"A client key is required\"))
        }",
    );
    let events = load(&EventsAt::find(&package).unwrap()).await.unwrap();
    let module = &events[0].module;
    let instance = start(module).await;
    let constants = |event| {
        let info = &module.events()[index(module, event)];
        (info.cost, info.allows_get)
    };
    assert_eq!((constants("sums"), constants("ping")), ((7, true), (1, false)));

    for (last, expected) in [
        (None, Step::End),
        (
            Some(Ok("\"x\"")),
            Step::Failed(Failure::new(Code::BAD_BODY, "Item 3 does not fit: invalid type: string \"x\", expected i64")),
        ),
        (Some(Err(Failure::new(Code::TIMEOUT, "Too late"))), Step::Failed(Failure::new(Code::TIMEOUT, "Too late"))),
    ] {
        let (sender, upload) = mpsc::unbounded_channel();
        let upload = Arc::new(ChannelUpload(Mutex::new(upload)));
        let call = instance.call_with_upload(index(module, "sums"), "10", &Arc::new(TestCaller), &upload);
        let call = tokio::spawn(items(call));
        for item in [Ok("1"), Ok("2")].into_iter().chain(last) {
            // Lets the handler wait for the item, so that this thread has to wake it.
            tokio::task::yield_now().await;
            sender.send(item).unwrap();
        }
        drop(sender);
        assert_eq!(call.await.unwrap(), (vec!["11".to_owned(), "13".to_owned()], expected));
        assert_eq!(Arc::strong_count(&upload), 1, "the library has dropped the upload");
    }

    assert_eq!(module.close_hook(), None);
    for (body, expected) in [
        (r#"{"client_key":"Ada"}"#, Step::End),
        ("{}", Step::Failed(Failure::new(Code::HANDLER, "A client key is required"))),
    ] {
        let call = instance.call(module.open_hook().unwrap(), body, &Arc::new(TestCaller));
        assert_eq!(items(call).await, (vec![], expected));
    }
}

#[tokio::test]
async fn the_subfolders_of_a_folder_of_libraries_become_prefixes() {
    let built = built_library().await;
    let top = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(top.path().join("shop/orders")).unwrap();
    for place in ["b", "shop/orders/a"] {
        std::fs::copy(&built, top.path().join(library(place))).unwrap();
    }
    std::fs::write(top.path().join("README"), "not a library").unwrap();

    let at = EventsAt::find(top.path()).unwrap();
    assert_eq!(at, EventsAt::Folder(top.path().to_owned()));
    let events = load(&at).await.unwrap();
    let prefixes: Vec<_> = events.iter().map(|source| source.prefix.as_str()).collect();
    assert_eq!(prefixes, ["", "shop/orders"]);
    assert_eq!(events[1].origin, top.path().join(library("shop/orders/a")).display().to_string());

    // A single library.
    let at = EventsAt::find(&top.path().join(library("b"))).unwrap();
    assert_eq!(names(&load(&at).await.unwrap()), names(&events[..1]));
}

#[tokio::test]
async fn a_library_truncated_at_any_length_is_rejected() {
    let whole = std::fs::read(built_library().await).unwrap();
    let mut lengths: BTreeSet<_> = (0..100).map(|part| whole.len() as u64 / 100 * part).collect();
    let file = object::File::parse(&*whole).unwrap();
    let sections = file.sections().filter_map(|section| section.file_range());
    for (start, size) in sections.chain(file.segments().map(|segment| segment.file_range())) {
        for edge in [start, start + size] {
            lengths.extend([edge.saturating_sub(1), edge, edge + 1]);
        }
    }
    lengths.extend([1, 4, 16, 63, 64, 65, whole.len() as u64 - 1]);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(library("cut"));
    std::fs::write(&path, &whole).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    for length in lengths.into_iter().rev().filter(|&length| length < whole.len() as u64) {
        file.set_len(length).unwrap();
        let error = open(&path).unwrap_err();
        let is_expected = match &error {
            OpenError::Check { reason: LibraryCheckError::Empty, .. } => length == 0,
            OpenError::Check { reason: LibraryCheckError::NotALibrary { .. }, .. } => length < 64,
            OpenError::Check { reason, .. } => {
                matches!(reason, LibraryCheckError::Truncated { .. } | LibraryCheckError::Damaged(_))
            }
            _ => false,
        };
        assert!(is_expected && error.to_string().starts_with(&*path.to_string_lossy()), "{length}: {error}");
    }
}

#[tokio::test]
async fn files_that_are_not_libraries_of_this_machine_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(library(name));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let built = std::fs::read(built_library().await).unwrap();
    let flipped = |at: usize, to: u8| {
        let mut bytes = built.clone();
        bytes[at] = to;
        bytes
    };
    assert!(load_error(&write("text", b"just some text, saved under a wrong name")).await.contains("is not a library"));
    assert!(load_error(&write("empty", b"")).await.contains("the file is empty"));
    if cfg!(target_os = "linux") {
        // e_machine.
        let (number, name) = if cfg!(target_arch = "x86_64") { (183, "Aarch64") } else { (62, "X86_64") };
        let machine = load_error(&write("machine", &flipped(18, number))).await;
        assert!(machine.contains(&format!("was built for {name}")), "{machine}");
        // e_type: a core dump.
        assert!(load_error(&write("kind", &flipped(16, 4))).await.contains("expected"));
        let program = std::fs::read("/proc/self/exe").unwrap();
        let program = load_error(&write("program", &program)).await;
        assert!(program.contains("not an events package") || program.contains("a program"), "{program}");
    }
    let folder = tempfile::tempdir().unwrap();
    let dangling = folder.path().join(library("dangling"));
    std::os::unix::fs::symlink("/no/such/file", &dangling).unwrap();
    assert!(open(&dangling).unwrap_err().to_string().contains("cannot read the library"));
}

#[tokio::test]
async fn a_pipe_named_like_a_library_does_not_block_loading() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join(library("pipe"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(load_error(&pipe).await.contains("not a regular file"));
}

#[test]
fn libraries_that_are_not_events_packages_are_rejected_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let header = ModuleSource::default;
    let other = ModuleSource { symbol: "aaw_module_v1_other", ..header() };
    for (name, source, expected) in [
        (
            "unrelated",
            "#[unsafe(no_mangle)] pub extern \"C\" fn hello() {}".to_owned(),
            "exports no symbol aaw_module_v1_…",
        ),
        (
            "newer",
            ModuleSource { symbol: "aaw_module_v2_made", abi: 2, ..header() }.source(),
            "uses module ABI 2, this server uses 1",
        ),
        ("mismatch", ModuleSource { abi: 7, ..header() }.source(), "uses module ABI 7, this host uses 1"),
        (
            "magic",
            ModuleSource { magic: "another!", ..header() }.source(),
            "does not begin with the magic bytes of one",
        ),
        ("aborts", ModuleSource { flags: 0, ..header() }.source(), "panic = \"abort\""),
        (
            "two",
            header().source() + &other.source(),
            "several events packages (aaw_module_v1_made, aaw_module_v1_other)",
        ),
        (
            "small",
            "#[unsafe(no_mangle)] pub static aaw_module_v1_made: u32 = 1;".to_owned(),
            "is not a table of events",
        ),
        (
            "code",
            "#[unsafe(no_mangle)] pub extern \"C\" fn aaw_module_v1_made() {}".to_owned(),
            "is not a table of events",
        ),
        (
            "lacking",
            header().source()
                + "unsafe extern \"C\" { fn nowhere(); } #[unsafe(no_mangle)] pub extern \"C\" fn f() { unsafe { nowhere() } }",
            "the library: undefined symbol: nowhere",
        ),
    ] {
        let path = rustc(folder.path(), name, &source);
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.starts_with(&*path.to_string_lossy()), "{error}");
    }
    assert_eq!(open(&rustc(folder.path(), "good", &header().source())).unwrap().package(), "made");
}

#[test]
fn opening_a_replaced_file_gives_the_new_module_and_the_old_one_still_works() {
    let folder = tempfile::tempdir().unwrap();
    let made = |package| rustc(folder.path(), package, &ModuleSource { package, ..ModuleSource::default() }.source());
    let (one, two, three) = (made("one"), made("two"), made("three"));
    let path = folder.path().join(library("events"));

    std::fs::copy(one, &path).unwrap();
    let first = open(&path).unwrap();
    // Overwritten in place, which would change the mapped pages of a library that was opened there.
    std::fs::copy(two, &path).unwrap();
    let second = open(&path).unwrap();
    // Replaced by renaming, the recommended way.
    std::fs::rename(three, &path).unwrap();
    let third = open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();

    assert_eq!([first, second, third].map(|module| module.package().to_owned()), ["one", "two", "three"]);
}

#[tokio::test]
async fn packages_that_cannot_be_built_are_rejected_with_the_reason() {
    let top = workshop("rejected");
    let write = |file: &str, text: &str| {
        let file = top.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    let package = |name: &str, rest: &str, source: &str| {
        write(&format!("{name}/Cargo.toml"), &format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{rest}"));
        write(&format!("{name}/src/lib.rs"), source);
    };
    let cdylib = "[lib]\ncrate-type = [\"cdylib\"]\n";
    package("no-cdylib", "[workspace]\n", "");
    package("no-rust", &format!("{cdylib}[workspace]\n"), "this is not Rust");
    package("no-events", &format!("{cdylib}[workspace]\n"), "");
    package("invalid", "wrong = {\n", "");
    write("around/Cargo.toml", "[workspace]\nresolver = \"3\"\n");
    package("around/unlisted", cdylib, "");
    write("around/unlisted/Cargo.toml", &format!("[package]\nname = \"unlisted\"\n{cdylib}"));
    write("many/Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n");
    for name in ["one", "two"] {
        write(&format!("many/{name}/Cargo.toml"), &format!("[package]\nname = \"{name}\"\n{cdylib}"));
        write(&format!("many/{name}/src/lib.rs"), "");
    }

    for (name, expected) in [
        ("no-cdylib", "expected crate-type = [\"cdylib\", \"rlib\"]"),
        ("no-rust", "failed (exit status: 101): see cargo's messages above"),
        ("no-events", "exports no symbol"),
        ("invalid", "cargo rejects the events package"),
        ("around/unlisted", "but is not a member of it: add it to `members` there"),
        ("many", "several of its members build a dynamic library (one, two): expected the folder of one"),
    ] {
        let path = top.join(name);
        let at = EventsAt::find(&path).unwrap();
        let error = load(&at).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[tokio::test]
async fn the_package_that_init_writes_builds_passes_its_tests_and_loads() {
    let top = workshop("first");
    let package = package(&top, "my first events");
    let tests = Command::new(env!("CARGO")).arg("test").current_dir(&package).output().unwrap();
    let output = String::from_utf8_lossy(&tests.stdout);
    assert!(
        tests.status.success()
            && ["greets_by_name", "counts_to_three"].iter().all(|test| output.contains(&format!("{test} ... ok"))),
        "{output}{}",
        String::from_utf8_lossy(&tests.stderr)
    );

    let events = load(&EventsAt::find(&package).unwrap()).await.unwrap();
    assert_eq!(names(&events), ["count", "hello", "ping"]);
    assert_eq!(events[0].module.package(), "my-first-events");
    assert_eq!(call_once(&events[0].module, "hello", r#"{"name":"Ada"}"#).await, r#"{"greeting":"Hello, Ada!"}"#);
}

#[tokio::test]
async fn a_package_built_with_panic_abort_is_rejected() {
    let top = workshop("aborting");
    let package = package(&top, "aborting");
    // Like `panic = "abort"` in a profile, but for this package only, which is the one that determines the strategy.
    let args = ["rustc", "--quiet", "--lib", "--crate-type=cdylib", "--message-format=json", "--", "-Cpanic=abort"];
    let built = Command::new(env!("CARGO")).args(args).current_dir(&package).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let messages = String::from_utf8(built.stdout).unwrap();
    let path = messages.split('"').find(|text| text.ends_with(&library("libaborting"))).unwrap();
    let error = load_error(Path::new(path)).await;
    assert!(error.contains("built with panic = \"abort\""), "{error}");
}

/// Creates a package whose build script never ends. The script keeps a connection as long as it runs.
async fn looping_package(name: &str) -> (PathBuf, TcpListener) {
    let package = workshop(name);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let manifest = "[package]\nname = \"looping\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    let script = format!(
        "fn main() {{
            let _connected = std::net::TcpStream::connect({:?}).unwrap();
            loop {{ std::thread::park(); }}
        }}",
        listener.local_addr().unwrap().to_string()
    );
    std::fs::create_dir(package.join("src")).unwrap();
    for (file, text) in [("Cargo.toml", manifest), ("src/lib.rs", ""), ("build.rs", &script)] {
        std::fs::write(package.join(file), text).unwrap();
    }
    (package, listener)
}

async fn expect_end(mut script: TcpStream) {
    let end = timeout(Duration::from_secs(30), script.read(&mut [0])).await.expect("the build script ends");
    assert!(!matches!(end, Ok(1..)), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_given_up_ends_with_all_its_processes() {
    let (package, listener) = looping_package("looping").await;
    let loading = tokio::spawn(async move { load(&EventsAt::find(&package).unwrap()).await.map(drop) });
    let (script, _) = timeout(CHANGE_TIMEOUT, listener.accept()).await.unwrap().unwrap();
    loading.abort();
    expect_end(script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_during_a_build_that_never_ends_starts_another_one() {
    let (package, listener) = looping_package("looping-until-saved").await;
    let mut watch = Watch::new(EventsAt::find(&package).unwrap()).unwrap();
    let loading = tokio::spawn(async move { watch.load().await.map(drop) });
    let (script, _) = timeout(CHANGE_TIMEOUT, listener.accept()).await.unwrap().unwrap();
    std::fs::write(package.join("build.rs"), "fn main() {}").unwrap();
    expect_end(script).await;
    let built = timeout(CHANGE_TIMEOUT, loading).await.unwrap().unwrap();
    assert!(built.unwrap_err().to_string().contains("not an events package"));
}

/// How long a change may take to be reported; cargo may have to wait for other tests.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(300);

async fn next(watch: &mut Watch) -> Vec<Events> {
    timeout(CHANGE_TIMEOUT, watch.next()).await.expect("no change")
}

thread_local! {
    static LINES: RefCell<Option<mpsc::UnboundedSender<String>>> = const { RefCell::new(None) };
}

/// Sends log lines to the receiver of the current thread.
struct ThreadLog;

impl std::io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow(|lines| {
            if let Some(lines) = lines {
                let _ = lines.send(String::from_utf8_lossy(bytes).into_owned());
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for ThreadLog {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

/// Returns the lines that are logged on this thread from now on. All tests share one subscriber: tracing loses lines
/// while subscribers are added and removed in parallel.
fn log_lines() -> mpsc::UnboundedReceiver<String> {
    static SUBSCRIBE: Once = Once::new();
    SUBSCRIBE.call_once(|| tracing_subscriber::fmt().with_writer(ThreadLog).with_ansi(false).init());
    let (sender, lines) = mpsc::unbounded_channel();
    LINES.set(Some(sender));
    lines
}

/// Watches until a line is logged that contains `expected`; the watch must not return events meanwhile.
async fn next_line(watch: &mut Watch, lines: &mut mpsc::UnboundedReceiver<String>, expected: &str) {
    let line = async { while !lines.recv().await.unwrap().contains(expected) {} };
    tokio::select! {
        events = next(watch) => panic!("events instead of a log line: {events:?}"),
        () = line => {}
    }
}

#[tokio::test]
async fn a_saved_file_is_loaded_and_a_broken_one_keeps_the_previous_events() {
    let mut lines = log_lines();
    let top = workshop("watched");
    let package = package(&top, "watched");
    let save = |file: &str, text: &str| std::fs::write(package.join("src").join(file), text).unwrap();
    let handler = |number: u32| format!("pub async fn handler() -> u32 {{ {number} }}");

    let mut watch = Watch::new(EventsAt::find(&package).unwrap()).unwrap();
    let first = watch.load().await.unwrap();
    assert_eq!(names(&first), ["count", "hello", "ping"]);

    save("ping.rs", &handler(1));
    let second = next(&mut watch).await;
    assert_eq!(call_once(&second[0].module, "ping", "").await, "1");
    assert_eq!(call_once(&first[0].module, "ping", "").await, r#"{"pong":true}"#);

    save("ping.rs", "this is not Rust");
    next_line(&mut watch, &mut lines, "keeping the previous events: building the events package").await;

    save("ping.rs", &handler(1));
    next_line(&mut watch, &mut lines, "the events are unchanged").await;

    save("ping.rs", "this is not Rust either");
    next_line(&mut watch, &mut lines, "keeping the previous events: building the events package").await;

    // Adds a file in a new folder, and fixes the error.
    std::fs::create_dir(package.join("src/users")).unwrap();
    save("users/get.rs", &handler(2));
    save("ping.rs", &handler(3));
    let mut third = next(&mut watch).await;
    // The two changes may have been loaded separately.
    while names(&third) != ["count", "hello", "ping", "users/get"]
        || call_once(&third[0].module, "ping", "").await != "3"
    {
        third = next(&mut watch).await;
    }

    // Changes a file in the new folder, then removes it.
    save("users/get.rs", &handler(4));
    let fourth = next(&mut watch).await;
    assert_eq!(call_once(&fourth[0].module, "users/get", "").await, "4");
    std::fs::remove_dir_all(package.join("src/users")).unwrap();
    assert_eq!(names(&next(&mut watch).await), ["count", "hello", "ping"]);
}

#[tokio::test]
async fn added_and_removed_libraries_are_loaded_and_an_incomplete_one_is_not() {
    let mut lines = log_lines();
    let top = tempfile::tempdir().unwrap();
    let made = tempfile::tempdir().unwrap();
    let make = |package| {
        let path = rustc(made.path(), package, &ModuleSource { package, ..ModuleSource::default() }.source());
        std::fs::read(path).unwrap()
    };
    let (one, two, three) = (make("one"), make("two"), make("three"));
    let packages = |events: &[Events]| {
        events.iter().map(|source| format!("{}:{}", source.prefix, source.module.package())).collect::<Vec<_>>()
    };
    let path = |name: &str| top.path().join(library(name));

    std::fs::write(path("a"), &one).unwrap();
    let mut watch = Watch::new(EventsAt::find(top.path()).unwrap()).unwrap();
    assert_eq!(packages(&watch.load().await.unwrap()), [":one"]);

    // Written in place, in two steps.
    std::fs::write(path("a"), &two[..two.len() / 2]).unwrap();
    next_line(&mut watch, &mut lines, "keeping the previous events: ").await;
    std::fs::write(path("a"), &two).unwrap();
    assert_eq!(packages(&next(&mut watch).await), [":two"]);

    // In a new folder, renamed into place.
    std::fs::create_dir_all(top.path().join("shop/new")).unwrap();
    std::fs::write(top.path().join("shop/new/b.tmp"), &three).unwrap();
    std::fs::rename(top.path().join("shop/new/b.tmp"), path("shop/new/b")).unwrap();
    assert_eq!(packages(&next(&mut watch).await), [":two", "shop/new:three"]);

    std::fs::rename(top.path().join("shop/new"), top.path().join("shop/old")).unwrap();
    assert_eq!(packages(&next(&mut watch).await), [":two", "shop/old:three"]);

    std::fs::remove_dir_all(top.path().join("shop")).unwrap();
    assert_eq!(packages(&next(&mut watch).await), [":two"]);

    // Removes the last library.
    std::fs::remove_file(path("a")).unwrap();
    next_line(&mut watch, &mut lines, "contains no libraries").await;
    std::fs::write(path("a"), &one).unwrap();
    assert_eq!(packages(&next(&mut watch).await), [":one"]);
}

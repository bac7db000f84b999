//! The examples without a page behave as their documentation describes.

use aaw_tests::Process;
use aaw_tests::cargo::artifacts;
use tokio::process::Command;

#[tokio::test]
async fn the_caller_example_calls_the_linked_example() {
    let built = artifacts().await;
    let mut linked = Command::new(&built.linked);
    linked.env("PORT", "0");
    let mut linked = Process::start(linked);
    let line = linked.line().await;
    let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));

    let mut caller = Command::new(&built.caller);
    caller.arg(url);
    let mut caller = Process::start(caller);
    assert!(caller.exited().await.success(), "{}", caller.stderr());
    let output = caller.stdout();
    for expected in [
        "open, as connection ",
        "ping responded with Pong { pong: true }",
        "ten at once: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]",
        "explode failed: Something went wrong (code handler)",
        "nowhere failed: Unknown event: nowhere (code unknown_event)",
        r#"notified: {"hello":"me"}"#,
        r#"broadcast: "happy birthday""#,
        "close: the client was closed",
    ] {
        assert!(output.contains(expected), "{expected:?} in\n{output}");
    }

    linked.signal("INT").await;
    assert!(linked.exited().await.success(), "{}", linked.stderr());
    assert!(linked.stdout().contains(r#"explode null failed: Something went wrong"#), "{}", linked.stdout());
}

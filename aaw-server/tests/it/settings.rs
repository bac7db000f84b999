//! `aaw-server config`, and the reference in the guide, which is its output.

use std::path::Path;
use std::process::{Command, Output};

/// Runs `aaw-server` with only these variables in its environment. Returns the exit code and both outputs.
fn run(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aaw-server"));
    let Output { status, stdout, stderr } =
        command.args(args).env_clear().envs(variables.iter().copied()).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_guide_has_the_output_with_the_defaults() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    let text = std::fs::read_to_string(&guide).unwrap();
    let (before, rest) = text.split_once("<!-- reference -->\n").expect("the mark before the reference");
    let (code, printed, errors) = run(&["config"], &[]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let reference = format!("<!-- snippet: toml settings -->\n```toml\n{printed}```\n");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(guide, format!("{before}<!-- reference -->\n{reference}")).unwrap();
    } else {
        assert!(rest == reference, "docs/settings.md is not current: run this test with UPDATE_DOCS=1");
    }
}

#[test]
fn the_output_is_a_file_with_the_same_settings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aaw.toml");
    let file = file.to_str().unwrap();
    let variables = [
        ("AAW_HOST", "a\\\"b"),
        ("AAW_ALLOW_ORIGIN", "https://a.example,*"),
        ("AAW_AUTH", "on"),
        ("AAW_WATCH", "poll"),
        ("AAW_LOG_BODY_LIMIT", "1000"),
        ("AAW_HTTP_POLL_TIMEOUT", "never"),
    ];
    let (code, printed, errors) =
        run(&["config", "--static", "my pages", "--auth-resets-per-email", "1 then 1 per 1h"], &variables);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert!(printed.contains("# From: environment variable AAW_WATCH\nwatch = \"poll\"\n"), "{printed}");
    assert!(printed.contains("# From: flag --static\nstatic_dir = \"my pages\"\n"), "{printed}");
    std::fs::write(file, &printed).unwrap();
    let (code, again, errors) = run(&["config", "--config", file], &[]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert_eq!(without_comments(&again), without_comments(&printed));
    assert!(again.contains(&format!("# From: {file}:")), "{again}");
    assert_eq!(run(&["config", "--check"], &[("AAW_CONFIG", file)]), (Some(0), String::new(), String::new()));
}

#[test]
fn invalid_settings_exit_with_code_2_and_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aaw.toml");
    std::fs::write(&file, "# Limits\nmax_conections = 3\n").unwrap();
    let file = file.to_str().unwrap();
    for args in [&["config", "--check", "--config", file][..], &["config", "--config", file], &["--config", file]] {
        let expected = format!("aaw-server: {file}:2:1: unknown key max_conections; did you mean max_connections?\n");
        assert_eq!(run(args, &[]), (Some(2), String::new(), expected), "{args:?}");
    }
    let (code, _, errors) = run(&["config", "--check"], &[("AAW_MAX_CALL_TIME", "0s")]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("environment variable AAW_MAX_CALL_TIME: max_call_time: invalid value \"0s\""), "{errors}");
    let (code, _, errors) = run(&["config", "--check", "--config", "/nonexistent/aaw.toml"], &[]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("cannot read the settings file /nonexistent/aaw.toml"), "{errors}");
    let (code, output, errors) = run(&["config", "--check"], &[("AAW_UNRELATED", "hunter2")]);
    assert_eq!((code, output.as_str()), (Some(0), ""));
    assert_eq!(errors, "warning: the environment variable AAW_UNRELATED is no setting\n");
}

#[test]
fn users_are_in_the_file_of_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, store) = (path("aaw.toml"), path("users.sqlite"));
    // A setting that does not concern users may be invalid.
    std::fs::write(&file, format!("port = 'x'\n[auth]\nfile = '{store}'\nmin_password_chars = 10\n")).unwrap();
    let add =
        |password: &str| run(&["user", "add", "ada@example.org", "--config", &file], &[("AAW_PASSWORD", password)]);
    let short = add("battery");
    assert!(short.2.contains("at least 10 are required"), "{short:?}");
    assert_eq!(add("correct horse").0, Some(0));
    assert!(run(&["user", "list", "--auth", &store], &[]).1.starts_with("ada@example.org\t"));
}

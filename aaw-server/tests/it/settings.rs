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
        ("AAW_LOG", "json"),
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
fn a_value_is_shown_once() {
    let (code, _, errors) = run(&["config", "--check"], &[("AAW_LISTEN", "localhost:x")]);
    assert_eq!(code, Some(2));
    assert_eq!(
        errors,
        "aaw-server: environment variable AAW_LISTEN: listen: invalid value \"localhost:x\": the port is no number from 0 to \
         65535; expected HOST:PORT, such as 127.0.0.1:1337 or [::]:443, or unix:PATH\n"
    );
    let (code, _, errors) = run(&["--listen", "localhost:x"], &[]);
    assert_eq!((code, errors.matches("localhost:x").count()), (Some(2), 1), "{errors}");
}

#[test]
fn an_optional_value_does_not_swallow_the_next_argument() {
    for flag in ["--own-log-ins", "--proxy-protocol"] {
        let args = ["config", flag, "my-events", "--trusted-proxy", "127.0.0.1"];
        let (code, printed, errors) = run(&args, &[]);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{flag}");
        assert!(printed.contains("\nevents = \"my-events\"\n"), "{flag}: {printed}");
        let key = flag.trim_start_matches("--").replace('-', "_");
        assert!(printed.contains(&format!("\n{key} = true\n")), "{flag}: {printed}");
        let (code, printed, _) = run(&["config", &format!("{flag}=false")], &[]);
        assert_eq!(code, Some(0));
        assert!(printed.contains(&format!("\n{key} = false\n")), "{flag}: {printed}");
    }
}

#[test]
fn settings_without_effect_are_warnings() {
    let args = ["config", "--check", "--tls-cache", "acme", "--auth-session-lifetime", "1h", "--port", "1"];
    let (code, output, errors) = run(&args, &[("AAW_LISTEN", "[::]:443"), ("AAW_LOG_BODY_LIMIT", "1")]);
    assert_eq!((code, output.as_str()), (Some(0), ""));
    let expected = [
        "warning: port (flag --port) has no effect: each address of listen has its own",
        "warning: log_body_limit (environment variable AAW_LOG_BODY_LIMIT) has no effect: it is for the lines of calls, and log is \
         not json",
        "warning: tls.cache (flag --tls-cache) has no effect: it is for certificates by ACME, and tls.hosts (--tls) is empty",
        "warning: auth.session_lifetime (flag --auth-session-lifetime) has no effect: no users and sessions are stored, since \
         auth.file (--auth) is off",
    ];
    let mut found: Vec<_> = errors.lines().collect();
    found.sort_by_key(|line| expected.iter().position(|expected| expected == line));
    assert_eq!(found, expected);
}

#[test]
fn settings_of_tls_are_checked_with_their_files_and_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, missing, garbage) = (path("aaw.toml"), path("missing.pem"), path("garbage.pem"));
    std::fs::write(&garbage, "garbage").unwrap();
    let fails = |text: &str, expected: &str| {
        std::fs::write(&file, text).unwrap();
        // The start checks the same, before a build.
        for args in [&["config", "--check", "--config", &file][..], &["--config", &file, "--port", "0", &path("")]] {
            let (code, output, errors) = run(args, &[]);
            assert_eq!((code, output.as_str()), (Some(2), ""), "{errors}");
            assert!(errors.contains(&format!("aaw-server: {file}:{expected}")), "expected {expected:?} in {errors}");
        }
    };
    fails(
        "[tls]\nhosts = ['a.example', '*.b.example']",
        "2:9: tls.hosts: invalid value \"a.example,*.b.example\": expected",
    );
    fails("[tls]\nhosts = ['a.example']\nemail = 'mailto:a@b.example'", "3:9: tls.email: invalid value");
    fails(
        "[tls]\nhosts = ['a.example']\ndirectory = 'http://ca/'",
        "3:13: tls.directory: invalid value \"http://ca/\": expected",
    );
    fails(&format!("[tls]\ncert = '{missing}'\nkey = '{garbage}'"), "2:8: tls.cert: cannot read ");
    fails(&format!("[tls]\nkey = '{missing}'\ncert = '{garbage}'"), "2:7: tls.key: cannot read ");
    fails(&format!("[tls]\ncert = '{garbage}'\nkey = '{file}'"), "2:8: tls.cert: ");
    let public = format!("[http]\nstatic_dir = '{}'\n[tls]\ncert = '{garbage}'\nkey = '{garbage}'", path(""));
    fails(&public, &format!("5:7: tls.key: {garbage} contains a private key"));
    // Printing reads none of the files, since another user may do it.
    std::fs::write(&file, format!("[tls]\ncert = '{missing}'\nkey = '{missing}'")).unwrap();
    assert_eq!(run(&["config", "--config", &file], &[]).0, Some(0));
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

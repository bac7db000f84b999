//! The subcommands of `aaw-server` that print generated files.

use std::process::{Command, Output};

const FLAGS: [&str; 35] = [
    "config",
    "port",
    "host",
    "listen",
    "listen-backlog",
    "unix-socket-mode",
    "tls-cert",
    "tls-key",
    "tls",
    "tls-cache",
    "tls-email",
    "tls-directory",
    "allow-origin",
    "trusted-proxy",
    "forwarded-header",
    "proxy-protocol",
    "path-prefix",
    "max-connections",
    "max-connections-per-address",
    "contention-delay",
    "handshake-rate-per-address",
    "call-rate-per-address",
    "input-rate-per-address",
    "keep-alive-timeout",
    "replaced-events-timeout",
    "static",
    "auth",
    "own-log-ins",
    "min-password-length",
    "log",
    "log-level",
    "log-body-limit",
    "watch",
    "stream-shutdown-timeout",
    "shutdown-timeout",
];

fn aaw_server(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aaw-server")).args(args).output().unwrap()
}

/// Runs a command that succeeds and prints to standard output only.
fn printed(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = aaw_server(args);
    assert_eq!((status.code(), String::from_utf8(stderr).unwrap()), (Some(0), String::new()), "{args:?}");
    String::from_utf8(stdout).unwrap()
}

#[test]
fn completions_of_each_shell_contain_the_flags_and_subcommands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for word in FLAGS.iter().chain(&["init", "user", "completions", "man", "config"]) {
            assert!(script.contains(word), "{shell}: no {word} in\n{script}");
        }
    }
}

#[test]
fn completions_of_an_unknown_shell_are_rejected_with_the_known_ones() {
    let output = aaw_server(&["completions", "tcsh"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("tcsh") && errors.contains("bash, elvish, fish, powershell, zsh"), "{errors}");
}

#[test]
fn the_man_page_contains_the_flags() {
    // Roff escapes hyphens.
    let page = printed(&["man"]).replace("\\-", "-");
    assert!(page.contains(".TH aaw-server 1"), "{page}");
    for flag in FLAGS {
        assert!(page.contains(&format!("--{flag}")), "no --{flag} in\n{page}");
    }
}

#[test]
fn the_help_of_each_flag_names_its_environment_variable() {
    let help = printed(&["--help"]);
    for flag in FLAGS {
        let variable = format!("AAW_{}", flag.replace('-', "_").to_uppercase());
        assert!(help.contains(&format!("--{flag}")) && help.contains(&variable), "{flag}:\n{help}");
    }
}

/// Runs `aaw-server user` with a file and a password, and returns the exit code and both outputs.
fn user(file: &std::path::Path, password: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aaw-server"));
    command.arg("user").args(args).arg("--auth").arg(file).env("AAW_PASSWORD", password);
    let Output { status, stdout, stderr } = command.env_remove("AAW_MIN_PASSWORD_LENGTH").output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn users_are_added_listed_changed_and_removed_by_address_or_id() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.sqlite");
    let (code, _, errors) = user(&file, "horse", &["add", "ada@example.org"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("The password has 5 characters; at least 6 are required"), "{errors}");
    let (code, added, errors) = user(&file, "correct horse", &["add", "A\u{30a}sa@example.org"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let id = added.strip_prefix("added \u{e5}sa@example.org (").and_then(|rest| rest.strip_suffix(")\n"));
    let id = id.unwrap_or_else(|| panic!("{added:?}"));

    // To a pipe, without a header.
    let line = format!("\u{e5}sa@example.org\t{id}\t0 sessions\t0 days\teverything\n");
    assert_eq!(user(&file, "", &["list"]), (Some(0), line, String::new()));

    let short = user(&file, "battery staple", &["passwd", id, "--min-password-length", "15"]);
    assert!(short.2.contains("The password has 14 characters; at least 15 are required"), "{short:?}");
    for name in [id, "a\u{30a}sa@example.org"] {
        let changed = user(&file, "battery staple", &["passwd", name]);
        assert_eq!(changed, (Some(0), "changed the password of \u{e5}sa@example.org\n".into(), String::new()));
    }
    for missing in ["eve@example.org", "7"] {
        let (code, _, errors) = user(&file, "battery staple", &["passwd", missing]);
        assert_eq!(code, Some(1));
        assert!(errors.contains(&format!("there is no user {missing}")), "{errors}");
    }
    assert_eq!(user(&file, "", &["remove", id]), (Some(0), "removed \u{e5}sa@example.org\n".into(), String::new()));
    assert_eq!(user(&file, "", &["list"]).1, "");
    assert_eq!(user(&file, "x", &["add", "a@b.c", "--min-password-length", "65"]).0, Some(2));
}

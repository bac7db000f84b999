//! The subcommands of `aaw-server` that print generated files.

use std::process::{Command, Output};

const FLAGS: [&str; 8] = ["port", "host", "allow-origin", "max-connections", "static", "auth", "log", "watch"];

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
        for word in FLAGS.iter().chain(&["init", "user", "completions", "man"]) {
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

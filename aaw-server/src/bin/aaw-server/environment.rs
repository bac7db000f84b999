//! What the environment variables of the flags mean: the same as the flags on the command line.
//!
//! An empty variable counts as unset. The variable of a flag that can stand without a value also accepts the words for yes
//! and no that switches accept: `AAW_AUTH=off`.

use std::env;
use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};

use crate::cli::WATCH;
use crate::users::DEFAULT_STORE;

/// The flags that can stand without a value, and the value that they have then.
const OPTIONAL_VALUES: [(&str, &str); 2] = [("auth", DEFAULT_STORE), ("watch", WATCH)];

const YES: [&str; 6] = ["y", "yes", "t", "true", "on", "1"];
const NO: [&str; 6] = ["n", "no", "f", "false", "off", "0"];

/// Adapts the arguments of a command, and of its subcommands, to the variables that are set.
pub(crate) fn apply(command: Command) -> Command {
    apply_with(command, &|name| env::var_os(name))
}

fn apply_with(command: Command, lookup: &dyn Fn(&OsStr) -> Option<OsString>) -> Command {
    command.mut_args(|arg| apply_to_arg(arg, lookup)).mut_subcommands(|command| apply_with(command, lookup))
}

fn apply_to_arg(arg: Arg, lookup: &dyn Fn(&OsStr) -> Option<OsString>) -> Arg {
    let Some(value) = arg.get_env().and_then(lookup) else { return arg };
    let optional_value = OPTIONAL_VALUES.iter().find(|(id, _)| arg.get_id() == id).map(|(_, value)| *value);
    let is_one_of = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    match optional_value {
        _ if value.is_empty() => arg.env(None::<&'static str>),
        // A switch that is off would otherwise conflict with others as if it were on.
        None if matches!(arg.get_action(), ArgAction::SetTrue) && is_one_of(&NO) => arg.env(None::<&'static str>),
        Some(_) if is_one_of(&NO) => arg.env(None::<&'static str>),
        Some(optional_value) if is_one_of(&YES) => arg.env(None::<&'static str>).default_value(optional_value),
        _ => arg,
    }
}

/// Returns the variable that an error of the command line is about, if the invalid value comes from one.
pub(crate) fn source(command: &Command, error: &clap::Error) -> Option<String> {
    source_of(command, error, &|name| env::var_os(name))
}

fn source_of(command: &Command, error: &clap::Error, lookup: &dyn Fn(&OsStr) -> Option<OsString>) -> Option<String> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let Some(ContextValue::String(invalid)) = error.get(ContextKind::InvalidValue) else { return None };
    // An argument can be printed as in the error once the command is built.
    let mut command = command.clone();
    command.build();
    let arg = command.get_arguments().find(|arg| arg.to_string() == *flag)?;
    let variable = arg.get_env()?;
    let value = lookup(variable)?;
    let value = value.to_string_lossy();
    let is_from_it = *value == **invalid || value.split(',').any(|item| item == invalid);
    is_from_it.then(|| variable.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::cli::Cli;

    /// Parses an empty command line with these variables in the environment.
    fn parse(variables: &'static [(&str, &str)]) -> Cli {
        let lookup = |name: &OsStr| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let command = apply_with(Cli::command(), &lookup);
        let auth = command.get_arguments().find(|arg| arg.get_id() == "auth").expect("the flag").clone();
        // The variables are not in the environment of the test, so their absence cannot be seen by parsing.
        assert!(auth.get_env().is_none() || !variables.iter().any(|(name, _)| *name == "AAW_AUTH"), "{auth:?}");
        Cli::from_arg_matches(&command.get_matches_from(["aaw-server"])).expect("valid")
    }

    #[test]
    fn a_word_for_yes_or_no_is_the_flag_without_a_value_or_no_flag() {
        for no in [&[("AAW_AUTH", "false")][..], &[("AAW_AUTH", "Off")], &[("AAW_AUTH", "0")], &[("AAW_AUTH", "no")]] {
            assert_eq!(parse(no).serve.auth, None, "{no:?}");
        }
        for yes in [&[("AAW_AUTH", "true")][..], &[("AAW_AUTH", "ON")], &[("AAW_AUTH", "1")], &[("AAW_AUTH", "yes")]] {
            assert_eq!(parse(yes).serve.auth, Some(DEFAULT_STORE.into()), "{yes:?}");
        }
    }

    #[test]
    fn a_switch_that_is_off_is_not_there() {
        let env_of_switch = |value: &'static str| {
            let lookup = |name: &OsStr| (name == "AAW_OWN_LOG_INS").then(|| value.into());
            let command = apply_with(Cli::command(), &lookup);
            let switch = command.get_arguments().find(|arg| arg.get_id() == "own_log_ins").expect("the flag");
            switch.get_env().is_some()
        };
        assert_eq!(
            ["off", "0", "False", "on", "1", "maybe"].map(env_of_switch),
            [false, false, false, true, true, true]
        );
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let empty = |name: &OsStr| Some(OsString::new()).filter(|_| name.to_string_lossy().starts_with("AAW_"));
        let command = apply_with(Cli::command(), &empty);
        let with_variable: Vec<_> = command.get_arguments().filter(|arg| arg.get_env().is_some()).collect();
        assert!(with_variable.is_empty(), "{with_variable:?}");
        let user = command.find_subcommand("user").expect("the command");
        assert!(user.get_arguments().all(|arg| arg.get_env().is_none()));
    }

    #[test]
    fn an_error_names_the_variable_that_the_value_is_from() {
        let source = |args: &[&str], value: &'static str| {
            let command = Cli::command();
            let error = command.clone().try_get_matches_from([&["aaw-server"], args].concat()).expect_err("invalid");
            source_of(&command, &error, &|name| (name == "AAW_PORT").then(|| value.into()))
        };
        assert_eq!(source(&["--port", "x"], "x").as_deref(), Some("AAW_PORT"));
        assert_eq!(source(&["--port", "x"], "1337"), None);
        assert_eq!(source(&["--host"], "x"), None);
    }
}

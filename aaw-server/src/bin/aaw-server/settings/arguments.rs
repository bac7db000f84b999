//! The flags of the settings.

use std::path::PathBuf;

use clap::builder::StyledStr;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};

use super::choices::DEFAULT_STORE;
use super::docs;
use super::kind::{Kind, Value};
use super::setting::Setting;
use super::table::SETTINGS;
use super::values::Values;

/// The flag of the settings file.
const CONFIG: &str = "config";
const CONFIG_VARIABLE: &str = "AAW_CONFIG";

/// The flags that were given, with which a server is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServeArgs(Flags);

/// The flags of the settings that `aaw-server user` has.
#[derive(Debug, Clone, Default)]
pub(crate) struct UserFlags(Flags);

/// The keys of the settings that `aaw-server user` reads.
pub(super) const USER_KEYS: [&str; 4] =
    ["auth.file", "auth.min_password_chars", "auth.password_memory_kib", "auth.password_iterations"];

/// The flags that were given.
#[derive(Debug, Clone, Default)]
pub(super) struct Flags {
    pub(super) file: Option<PathBuf>,
    /// Keys and texts.
    pub(super) given: Vec<(&'static str, String)>,
}

impl ServeArgs {
    pub(super) fn flags(&self) -> &Flags {
        &self.0
    }
}

impl UserFlags {
    pub(super) fn flags(&self) -> &Flags {
        &self.0
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(Flags::of(matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        SETTINGS
            .iter()
            .map(|setting| argument(setting, setting.is_common))
            .fold(command.arg(file_argument()), Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for UserFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(Flags::of(matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for UserFlags {
    fn augment_args(command: Command) -> Command {
        let settings = SETTINGS.iter().filter(|setting| USER_KEYS.contains(&setting.key));
        let arguments = settings.map(|setting| {
            let argument = argument(setting, true).global(true);
            match setting.key {
                // Whether the server has log-ins does not matter here.
                "auth.file" => argument.num_args(1).help(format!(
                    "The file of users and sessions [default: {DEFAULT_STORE}] [env: {}]",
                    setting.variable
                )),
                _ => argument,
            }
        });
        arguments.fold(command.arg(file_argument().global(true)), Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl Flags {
    fn of(matches: &ArgMatches) -> Self {
        let mut flags = Self { file: matches.get_one::<PathBuf>(CONFIG).cloned(), given: Vec::new() };
        for setting in SETTINGS.iter() {
            // Commands have the flags of some of the settings.
            let Ok(Some(texts)) = matches.try_get_many::<String>(setting.key) else { continue };
            if matches.value_source(setting.key) == Some(ValueSource::CommandLine) {
                let texts: Vec<_> = texts.map(String::as_str).collect();
                flags.given.push((setting.key, texts.join(",")));
            }
        }
        flags
    }

    /// The settings file: that of the flag, or that of the variable.
    pub(super) fn file(&self, variable: &dyn Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
        let from_variable = || variable(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        self.file.clone().or_else(from_variable)
    }
}

fn file_argument() -> Arg {
    Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(clap::value_parser!(PathBuf))
        .help(
            "A TOML file with settings; variables and flags override it. `aaw-server config` prints all settings in its form \
             [default: none] [env: AAW_CONFIG]",
        )
}

/// Makes the flag of a setting. Those that are not common are shown by `--help` only.
fn argument(setting: &'static Setting, is_common: bool) -> Arg {
    let mut argument = Arg::new(setting.key)
        .value_parser(move |text: &str| setting.parse(text).map(|_| text.to_owned()))
        .help(help(setting))
        .hide_short_help(!is_common);
    if setting.is_positional {
        argument = argument.value_name("EVENTS").value_hint(ValueHint::DirPath);
    } else {
        argument = argument.long(&*setting.flag).value_name(setting.kind.placeholder());
    }
    if let Some(value) = setting.optional_value {
        argument = argument.num_args(0..=1).default_missing_value(value).require_equals(setting.requires_equals);
    }
    if setting.kind.is_list() {
        argument = argument.action(ArgAction::Append);
    }
    match setting.kind {
        Kind::Path | Kind::PathOrOff => argument.value_hint(ValueHint::AnyPath),
        _ => argument,
    }
}

/// The first sentence of the documentation, the default, and the variable.
fn help(setting: &Setting) -> StyledStr {
    let documentation = setting.documentation(&SETTINGS);
    let sentence = docs::first_sentence(&documentation).replace('`', "");
    let default = match (setting.get)(&Values::default()) {
        // The documentation says what is done without one.
        Value::OptionalText(None) if setting.is_positional => {
            "events, or the current folder if that is a package without an events folder".into()
        }
        _ if setting.kind.is_list() && setting.text(&Values::default()).is_empty() => "none".into(),
        Value::OptionalText(None) if setting.optional_value.is_none() => "none".into(),
        value => setting.kind.to_text(&value),
    };
    format!("{sentence} [default: {default}] [env: {}]", setting.variable).into()
}

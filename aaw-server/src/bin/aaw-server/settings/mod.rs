//! The settings of a server: from flags, environment variables and one TOML file, in this order of precedence.
//!
//! `table` lists the settings, `kind` defines the forms of values. `load` finds the values, `print` writes them, `reload` applies
//! them to a running server.

mod arguments;
mod checks;
mod choices;
mod docs;
mod field;
mod file;
mod kind;
mod load;
mod nearest;
mod print;
mod reload;
mod setting;
mod table;
mod values;

pub(crate) use arguments::{ServeArgs, UserFlags};
pub(crate) use choices::{DEFAULT_STORE, LogFormat, WatchMode};
pub(crate) use kind::quote as quote_toml;
pub(crate) use load::Settings;
pub(crate) use print::{ConfigArgs, run as run_config};
pub(crate) use reload::{Reloader, SetLogLevel};
pub(crate) use setting::SettingsError;
pub(crate) use values::{Passwords, Program, TlsSettings, Values};

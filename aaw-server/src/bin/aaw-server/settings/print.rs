//! `aaw-server config`: prints the effective settings as a settings file.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::Args;

use super::arguments::ServeArgs;
use super::load::{CheckFiles, Settings};
use super::setting::Setting;
use super::table::SETTINGS;

/// The width of the comments.
const WIDTH: usize = 110;

const HEADER: &str = "\
# The settings of aaw-server. This output can be saved as a file and edited: aaw-server --config FILE
# What a running server applies, and concerns a connection, applies to connections that open afterwards.
";

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Print nothing if the settings are valid and the files of a certificate can be used, except for warnings; otherwise
    /// the exit code is 2
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Prints the effective settings, or only checks them, together with the files that `check_files` reads.
pub(crate) fn run(args: &ConfigArgs, check_files: CheckFiles) -> Result<(), Box<dyn Error>> {
    let settings = Settings::load(&args.serve)?;
    if args.check {
        check_files(&settings)?;
    }
    for warning in &settings.warnings {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    if !args.check {
        io::stdout().write_all(print(&settings).as_bytes())?;
    }
    Ok(())
}

/// The settings as TOML.
fn print(settings: &Settings) -> String {
    let mut text = String::from(HEADER);
    let mut section = "";
    for (setting, source) in SETTINGS.iter().zip(&settings.sources) {
        let (of, _) = setting.section_and_name();
        if of != section {
            section = of;
            let _ = write!(text, "\n[{section}]\n");
        }
        text.push('\n');
        for paragraph in setting.documentation(&SETTINGS).split("\n\n") {
            comment(&mut text, paragraph);
        }
        comment(&mut text, &names(setting));
        let when = match setting.is_live {
            true => "A running server applies a change.",
            false => "A change needs a restart.",
        };
        comment(&mut text, &format!("Form: {}. {when}", setting.kind.expected()));
        // A line of its own, which is not wrapped: paths are searched for.
        let _ = writeln!(text, "# From: {source}");
        text.push_str(&setting.line(&settings.values));
        text.push('\n');
    }
    text
}

fn names(setting: &Setting) -> String {
    let flag = match setting.is_positional {
        true => "Argument: [EVENTS]".to_owned(),
        false => format!("Flag: --{}", setting.flag),
    };
    let other = setting.other_variable.map(|name| format!(", or {name}")).unwrap_or_default();
    format!("{flag}. Variable: {}{other}.", setting.variable)
}

/// Adds a comment, and breaks it into lines.
fn comment(text: &mut String, paragraph: &str) {
    let mut width = 0;
    for word in paragraph.split_whitespace() {
        let len = word.chars().count();
        if width == 0 || width + 1 + len > WIDTH {
            text.push_str(if width == 0 { "#" } else { "\n#" });
            width = 1;
        }
        text.push(' ');
        text.push_str(word);
        width += 1 + len;
    }
    text.push('\n');
}

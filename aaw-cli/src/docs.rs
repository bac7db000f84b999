//! Shell completions and man pages, generated from the command line's definition.

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::args::Cli;
use crate::exit::CliError;

/// The completion script of a shell.
pub(crate) fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "aaw", &mut script);
    script
}

/// The man page of `aaw`, or of one of its commands, in roff.
pub(crate) fn man_page(command: Option<&str>) -> Result<Vec<u8>, CliError> {
    let mut root = Cli::command().disable_help_subcommand(true);
    // Gives each command its full name, such as `aaw-call`.
    root.build();
    let command = match command {
        None => root,
        Some(name) => root.find_subcommand(name).cloned().ok_or_else(|| {
            let names: Vec<_> = root.get_subcommands().map(clap::Command::get_name).collect();
            CliError::usage(format!("unknown command {name:?}; expected one of: {}", names.join(", ")))
        })?,
    };
    render(&command).map_err(CliError::system)
}

fn render(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let man = Man::new(command.clone()).source(concat!("aaw ", env!("CARGO_PKG_VERSION"))).manual("aaw");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(after_help) = command.get_after_help() {
        after_help_sections(&after_help.to_string()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// The text behind the options of `--help`: each line `Title:` begins a section, whose lines are kept as they are.
fn after_help_sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    for line in text.lines() {
        match line.strip_suffix(':') {
            Some(title) if !title.starts_with(' ') => {
                roff.control("fi", []).control("SH", [title.to_uppercase().as_str()]).control("nf", []);
            }
            _ => _ = roff.text([roman(line)]),
        }
    }
    roff.control("fi", []);
    roff
}

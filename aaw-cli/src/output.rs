//! Lines on standard output, and notes on standard error.

use std::io::{self, Write as _};

/// Writes whole lines to standard output and flushes them.
pub(crate) fn print(lines: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    out.flush()
}

/// Writes a line to standard error, prefixed with the program's name.
pub(crate) fn note(text: &str) {
    print_error(&format!("aaw: {text}"));
}

/// Writes a line to standard error.
pub(crate) fn print_error(line: &str) {
    // If standard error is closed, there is no place left to report that.
    let _ = writeln!(io::stderr(), "{line}");
}

/// JSON without line breaks. Inside strings they are escaped, so those that remain separate tokens, as a space does.
pub(crate) fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

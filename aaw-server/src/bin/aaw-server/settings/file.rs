//! The settings file.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest;
use super::setting::{Problem, Setting, Source};

/// The largest file, far above one with every setting and its documentation. It keeps a device or a wrong path from filling the
/// memory.
const MAX_BYTES: u64 = 1 << 20;

/// A value of the file, which has not been parsed yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileValue {
    pub(super) text: String,
    pub(super) source: Source,
}

/// What tells that a file has changed. Of a link, it is that of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    modified: SystemTime,
    len: u64,
    inode: u64,
}

impl Fingerprint {
    /// `None` if there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok()?, len: metadata.len(), inode: metadata.ino() })
    }
}

/// Reads a file as text.
pub(super) fn read(path: &Path) -> Result<String, Problem> {
    let problem = |error: &dyn std::fmt::Display| Problem {
        source: None,
        key: String::new(),
        message: format!("cannot read the settings file {}: {error}", path.display()),
    };
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| problem(&error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(problem(&"it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| problem(&"it is not UTF-8"))
}

/// Finds the values of the settings in a file. The values have the order of `settings`.
pub(super) fn parse(path: &Path, text: &str, settings: &[Setting]) -> (Vec<Option<FileValue>>, Vec<Problem>) {
    let place = Place { path: path.display().to_string(), text };
    let mut found = Found { values: settings.iter().map(|_| None).collect(), problems: Vec::new() };
    // The error of the crate shows the line with the fault, which might have a secret. The place is enough.
    match DeTable::parse(text) {
        Ok(table) => found.add_table("", table.get_ref(), &place, settings),
        Err(error) => {
            let source = place.at(error.span().map_or(0, |span| span.start));
            let message = format!("invalid TOML: {}", error.message().replace('\n', ", "));
            found.problems.push(Problem { source: Some(source), key: String::new(), message });
        }
    }
    (found.values, found.problems)
}

struct Place<'a> {
    path: String,
    text: &'a str,
}

impl Place<'_> {
    fn at(&self, offset: usize) -> Source {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Source::File { path: self.path.clone(), line, column }
    }
}

struct Found {
    values: Vec<Option<FileValue>>,
    problems: Vec<Problem>,
}

impl Found {
    fn add_table(&mut self, section: &str, table: &DeTable<'_>, place: &Place<'_>, settings: &[Setting]) {
        // The table is sorted by name, and people read errors in the order of the file.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let at = name.span().start;
            let name: &str = name.get_ref();
            let key = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            let is_section = section.is_empty() && settings.iter().any(|setting| setting.section_and_name().0 == name);
            match (settings.iter().position(|setting| setting.key == key), value.get_ref()) {
                (_, DeValue::Table(table)) if is_section => self.add_table(name, table, place, settings),
                (Some(index), _) => self.add_value(index, value, place, settings),
                (None, value) => {
                    let source = place.at(at);
                    let message = match value {
                        _ if is_section => format!("expected a section, [{key}], or keys such as {key}.NAME"),
                        DeValue::Table(_) if section.is_empty() => unknown_section(name, settings),
                        _ => unknown_key(&key, settings),
                    };
                    self.problems.push(Problem { source: Some(source), key, message });
                }
            }
        }
    }

    fn add_value(&mut self, index: usize, value: &Spanned<DeValue<'_>>, place: &Place<'_>, settings: &[Setting]) {
        let source = place.at(value.span().start);
        let setting = &settings[index];
        let is_list = setting.kind.is_list();
        let text = match value.get_ref() {
            DeValue::Array(items) if is_list => {
                let texts = items.iter().map(|item| text(item.get_ref()));
                texts.collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
            }
            value => text(value),
        };
        match text {
            Some(text) => self.values[index] = Some(FileValue { text, source }),
            None => {
                let (key, message) =
                    (setting.key.to_owned(), format!("{}: expected {}", setting.key, setting.kind.expected()));
                self.problems.push(Problem { source: Some(source), key, message });
            }
        }
    }
}

/// A value as it would be written in a variable.
fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        // The parser has removed the separators.
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string()),
        DeValue::Boolean(on) => Some(on.to_string()),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn unknown_key(key: &str, settings: &[Setting]) -> String {
    let what = format!("key {key}");
    // Flags may be named otherwise.
    match settings.iter().find(|setting| setting.flag == key.replace('_', "-")) {
        Some(setting) => format!("unknown {what}; did you mean {}?", setting.key),
        None => nearest::unknown(&what, key, settings.iter().map(|setting| setting.key)),
    }
}

fn unknown_section(name: &str, settings: &[Setting]) -> String {
    let sections = settings.iter().map(|setting| setting.section_and_name().0).filter(|section| !section.is_empty());
    nearest::unknown(&format!("section [{name}]"), name, sections)
}

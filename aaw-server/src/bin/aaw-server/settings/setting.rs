//! One setting: where its value is, what is valid, and what it is called in the file, in the environment and as a flag.

use std::fmt::{self, Write as _};

use super::docs;
use super::kind::{Kind, Value, parse_switch};
use super::values::Values;

/// Where the documentation of a setting is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Doc {
    /// At a field of this structure of the library.
    Field(&'static str, &'static str),
    Text(&'static str),
}

pub(crate) struct Setting {
    /// The key in the file, with the name of its section: `http.poll_timeout`.
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// Whether a running server applies it.
    pub(super) is_live: bool,
    pub(super) doc: Doc,
    pub(super) get: fn(&Values) -> Value,
    pub(super) set: fn(&mut Values, Value) -> Result<(), String>,
    /// Whether `-h` shows the flag.
    pub(super) is_common: bool,
    pub(super) is_positional: bool,
    /// The name of the flag, without dashes before it.
    pub(super) flag: String,
    pub(super) variable: String,
    /// A variable that is read if [`variable`](Self::variable) is not set.
    pub(super) other_variable: Option<&'static str>,
    /// What the flag means without a value, and a word for yes in the environment and in the file.
    pub(super) optional_value: Option<&'static str>,
    /// Whether a value of the flag must follow after `=`.
    pub(super) requires_equals: bool,
}

impl Setting {
    pub(super) fn new(
        key: &'static str,
        kind: Kind,
        is_live: bool,
        doc: Doc,
        get: fn(&Values) -> Value,
        set: fn(&mut Values, Value) -> Result<(), String>,
    ) -> Self {
        let setting = Self {
            key,
            kind,
            is_live,
            doc,
            get,
            set,
            is_common: false,
            is_positional: false,
            flag: String::new(),
            variable: String::new(),
            other_variable: None,
            optional_value: None,
            requires_equals: false,
        };
        setting.named(key)
    }

    /// Names the flag and the variable otherwise than the key.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.flag = name.replace(['.', '_'], "-");
        self.variable = format!("AAW_{}", self.flag.replace('-', "_").to_uppercase());
        self
    }

    /// Shows the flag in `-h`.
    pub(super) fn common(mut self) -> Self {
        self.is_common = true;
        self
    }

    /// The value is an argument of its own instead of a flag.
    pub(super) fn positional(mut self) -> Self {
        self.is_positional = true;
        self
    }

    pub(super) fn or_variable(mut self, variable: &'static str) -> Self {
        self.other_variable = Some(variable);
        self
    }

    pub(super) fn optional(mut self, value: &'static str) -> Self {
        self.optional_value = Some(value);
        self
    }

    pub(super) fn with_equals(mut self) -> Self {
        self.requires_equals = true;
        self
    }

    /// The name of the section in the file, and the key in it.
    pub(super) fn section_and_name(&self) -> (&'static str, &'static str) {
        self.key.split_once('.').unwrap_or(("", self.key))
    }

    /// The documentation as plain paragraphs.
    pub(super) fn documentation(&self, all: &[Self]) -> String {
        match self.doc {
            Doc::Text(text) => text.into(),
            Doc::Field(structure, field) => docs::of_field(structure, field, &|name| {
                let matching = all.iter().find(|setting| setting.section_and_name().1 == name);
                matching.map(|setting| setting.key.to_owned())
            }),
        }
    }

    /// Parses a value. The error says what was expected.
    pub(super) fn parse(&self, text: &str) -> Result<Value, String> {
        let text = match (self.optional_value, parse_switch(text)) {
            (Some(value), Some(true)) => value,
            (Some(_), Some(false)) => "off",
            _ => text,
        };
        let value = self.kind.parse(text)?;
        // The field may have a smaller range than the kind.
        (self.set)(&mut Values::default(), value.clone())?;
        Ok(value)
    }

    /// The value as text, in the form of a variable or flag.
    pub(super) fn text(&self, values: &Values) -> String {
        self.kind.to_text(&(self.get)(values))
    }

    /// The setting as a line of its section of the file.
    pub(super) fn line(&self, values: &Values) -> String {
        format!("{} = {}", self.section_and_name().1, self.kind.to_toml(&(self.get)(values)))
    }
}

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Default,
    /// A place in the settings file, counted from 1.
    File {
        path: String,
        line: usize,
        column: usize,
    },
    Variable(String),
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) if name.starts_with('[') => write!(f, "argument {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// What is wrong with a setting, or with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The place; `None` if the message names it.
    pub(super) source: Option<Source>,
    /// The key of the setting; empty for what belongs to none.
    pub(super) key: String,
    pub(super) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{source}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// All problems of the settings, one a line.
#[derive(Debug)]
pub(crate) struct SettingsError(pub(super) Vec<Problem>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = String::new();
        for problem in &self.0 {
            if !lines.is_empty() {
                lines.push('\n');
            }
            write!(lines, "{problem}")?;
        }
        f.write_str(&lines)
    }
}

impl std::error::Error for SettingsError {}

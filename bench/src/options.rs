//! What `bench/run` is asked to measure.

use crate::measurement::BoxError;

/// Measurements that `--only` selects together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Calls,
    Bodies,
    Handshakes,
    Sparse,
    Pushes,
    Rooms,
    Items,
    Memory,
    Batches,
    Clients,
    Http,
}

/// All groups, with the names that select them.
const GROUPS: [(&str, Group); 11] = [
    ("calls", Group::Calls),
    ("bodies", Group::Bodies),
    ("handshakes", Group::Handshakes),
    ("sparse", Group::Sparse),
    ("pushes", Group::Pushes),
    ("rooms", Group::Rooms),
    ("items", Group::Items),
    ("memory", Group::Memory),
    ("batches", Group::Batches),
    ("clients", Group::Clients),
    ("http", Group::Http),
];

/// The options and names of a command line.
pub(crate) struct Options {
    pub(crate) is_quick: bool,
    /// The groups that `--only` selects, or all.
    groups: Vec<Group>,
    /// The names of servers, or none for all.
    pub(crate) rows: Vec<String>,
}

impl Options {
    /// Parses `[--quick] [--only GROUP,…] [ROW…]`. The names of the rows are not checked.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, BoxError> {
        let mut options = Self { is_quick: false, groups: GROUPS.map(|(_, group)| group).into(), rows: Vec::new() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => options.is_quick = true,
                "--only" => options.groups = groups(arguments.next().map_or("", String::as_str))?,
                option if option.starts_with('-') => {
                    return Err(format!("expected --quick, --only GROUP,… or names of servers, found {option}").into());
                }
                row => options.rows.push(row.to_owned()),
            }
        }
        Ok(options)
    }

    pub(crate) fn has(&self, group: Group) -> bool {
        self.groups.contains(&group)
    }

    /// Returns whether the results are kept: all servers were measured, and for long enough.
    pub(crate) fn is_kept(&self) -> bool {
        !self.is_quick && self.rows.is_empty()
    }

    /// Returns whether all groups are measured.
    pub(crate) fn has_all_groups(&self) -> bool {
        self.groups.len() == GROUPS.len()
    }
}

/// Returns the groups with these names, which commas separate.
fn groups(names: &str) -> Result<Vec<Group>, BoxError> {
    let group = |name: &str| {
        let found = GROUPS.iter().find(|(known, _)| *known == name).map(|(_, group)| *group);
        found.ok_or_else(|| {
            let known: Vec<&str> = GROUPS.iter().map(|(known, _)| *known).collect();
            format!("--only expects some of {}, separated by commas; found {name:?}", known.join(",")).into()
        })
    };
    names.split(',').map(group).collect()
}

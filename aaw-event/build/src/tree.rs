//! The files below `src/`, as modules and events.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use aaw_protocol::EventName;

use crate::handler::{self, Shape};
use crate::hook::{self, Hook, When};
use crate::services::{self, Services};

/// What is wrong, as the author reads it: `src/users/get.rs:12: …`.
pub(crate) type Complaint = String;

/// What a line of a file has to be complained about.
pub(crate) struct Fault {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A package, read.
#[derive(Default)]
pub(crate) struct Package {
    pub(crate) modules: Vec<Module>,
    pub(crate) events: Vec<Event>,
    /// In the order of their files.
    pub(crate) hooks: Vec<Hook>,
    pub(crate) services: Option<Services>,
    pub(crate) complaints: Vec<Complaint>,
}

/// A module to be declared.
pub(crate) struct Module {
    /// As it is written: `users`, `r#type`.
    pub(crate) ident: String,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    File(PathBuf),
    Folder {
        /// Below `src/`, for the documentation.
        path: String,
        /// The module of the file of the same name, whose items belong here too.
        beside: Option<String>,
        modules: Vec<Module>,
    },
}

/// An event to be put into the table.
pub(crate) struct Event {
    pub(crate) name: String,
    /// Below `src/`.
    pub(crate) file: String,
    /// `crate::users::get`.
    pub(crate) module: String,
    pub(crate) shape: Shape,
}

/// Deeper than any name can be: folders that contain themselves end here.
const DEEPEST: usize = 100;

/// Reads all below `src`.
///
/// # Errors
/// When a file or folder cannot be read. What is wrong within a file is a complaint in the answer.
pub(crate) fn read(src: &Path) -> Result<Package, String> {
    let mut package = Package::default();
    let here = Here { folder: src, path: String::new(), module: "crate".to_owned(), depth: 0 };
    package.modules = folder(&mut package, &here)?;
    package.events.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(package)
}

struct Here<'a> {
    folder: &'a Path,
    /// Below `src/`, with a slash at its end where it is not empty.
    path: String,
    /// `crate::users`.
    module: String,
    depth: usize,
}

fn folder(package: &mut Package, here: &Here<'_>) -> Result<Vec<Module>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", here.folder.display());
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    if here.depth > DEEPEST {
        return Err(format!("{}: more than {DEEPEST} folders deep; does a link lead back?", here.folder.display()));
    }
    for entry in fs::read_dir(here.folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            folders.push((name, path));
        } else if let Some(stem) = name.strip_suffix(".rs") {
            files.push((stem.to_owned(), path));
        }
    }
    // A directory is listed in any order.
    files.sort();
    folders.sort();

    let is_shared = here.path.split('/').any(|part| part.starts_with('_'));
    let mut modules = Vec::new();
    let mut idents = Idents::default();
    // Names that can stay as they are have the first choice.
    for (name, _) in folders.iter().chain(&files) {
        idents.reserve(name);
    }
    let mut folder_idents = Vec::new();
    for (name, path) in folders {
        if !holds_rust(&path, here.depth) {
            continue;
        }
        let ident = idents.take(&name);
        folder_idents.push((name.clone(), ident.clone(), modules.len()));
        let hand_written = path.join("mod.rs");
        let content = if (is_shared || name.starts_with('_')) && hand_written.is_file() {
            Content::File(hand_written)
        } else {
            let path_below = format!("{}{name}/", here.path);
            let module = format!("{}::{ident}", here.module);
            let below = Here { folder: &path, path: path_below.clone(), module, depth: here.depth + 1 };
            Content::Folder { path: path_below, beside: None, modules: folder(package, &below)? }
        };
        modules.push(Module { ident, content });
    }
    for (stem, path) in files {
        if matches!(stem.as_str(), "lib" | "main") && here.depth == 0 {
            continue;
        }
        let beside = folder_idents.iter().find(|(name, ..)| *name == stem);
        let ident = match beside {
            Some(_) => idents.take(&format!("{stem}_event")),
            None => idents.take(&stem),
        };
        if let Some((.., index)) = beside
            && let Content::Folder { beside, .. } = &mut modules[*index].content
        {
            *beside = Some(ident.clone());
        }
        let module = format!("{}::{ident}", here.module);
        let below = format!("{}{stem}.rs", here.path);
        if !file(package, &stem, &below, &path, &module, is_shared)? {
            continue;
        }
        modules.push(Module { ident, content: Content::File(path) });
    }
    modules.sort_by(|one, other| one.ident.cmp(&other.ident));
    Ok(modules)
}

/// Reads one file; whether it is to be declared as a module.
fn file(
    package: &mut Package,
    stem: &str,
    below: &str,
    path: &Path,
    module: &str,
    is_shared: bool,
) -> Result<bool, String> {
    let complain = |line: usize, text: &str| format!("src/{below}:{line}: {text}");
    if stem == "mod" {
        package.complaints.push(complain(
            1,
            "there is no place for a mod.rs: aaw_event::events!() declares the modules of this folder. Put shared code \
             into a file whose name begins with an underscore",
        ));
        return Ok(false);
    }
    let is_services = stem == "_services";
    if is_services && below != "_services.rs" {
        package.complaints.push(complain(1, "services are built in one place: src/_services.rs"));
        return Ok(false);
    }
    let hook = When::of(stem);
    let folder = below.strip_suffix(&format!("{stem}.rs")).unwrap_or_default();
    let misplaced = match hook {
        None => None,
        Some(When::Guard) if is_shared => Some("there are no events here that it could guard".to_owned()),
        Some(When::Guard) if folder.split('/').next() == Some("aaw") => {
            Some("names under aaw/ belong to aaw itself".to_owned())
        }
        Some(When::Guard) => EventName::parse(folder.trim_end_matches('/'))
            .err()
            .filter(|_| !folder.is_empty())
            .map(|reason| format!("there can be no events here that it could guard: {reason}")),
        Some(When::Open | When::Close) if !folder.is_empty() => {
            Some(format!("what runs for every connection stands in one place: src/{stem}.rs"))
        }
        Some(When::PasswordReset) if !folder.is_empty() => {
            Some(format!("what delivers tokens stands in one place: src/{stem}.rs"))
        }
        Some(_) => None,
    };
    if let Some(text) = misplaced {
        package.complaints.push(complain(1, &text));
        return Ok(false);
    }
    let is_event = !is_shared && !stem.starts_with('_');
    if !is_event && !is_services && hook.is_none() {
        return Ok(true);
    }
    let name = below.strip_suffix(".rs").unwrap_or(below);
    if is_event {
        match EventName::parse(name) {
            Err(reason) => {
                package.complaints.push(complain(
                    1,
                    &format!(
                        "this file cannot be an event: {reason}. A file that is no event begins with an underscore"
                    ),
                ));
                return Ok(false);
            }
            Ok(name) if name.is_reserved() => {
                package
                    .complaints
                    .push(complain(1, &format!("the event {name} cannot be: names under aaw/ belong to aaw itself")));
                return Ok(false);
            }
            Ok(_) => {}
        }
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let parsed = match syn::parse_file(&text) {
        Ok(parsed) => parsed,
        Err(error) => {
            // It is declared, too: the compiler has better words for what it cannot read.
            package.complaints.push(complain(error.span().start().line, &format!("this is not Rust: {error}")));
            return Ok(true);
        }
    };
    if is_services {
        match services::read(&parsed) {
            Ok(found) => package.services = Some(found),
            Err(fault) => package.complaints.push(complain(fault.line, &fault.text)),
        }
        return Ok(true);
    }
    if let Some(when) = hook {
        match hook::read(&parsed, when, name, module) {
            Ok(found) => package.hooks.push(found),
            Err(fault) => package.complaints.push(complain(fault.line, &fault.text)),
        }
        return Ok(true);
    }
    match handler::read(&parsed, stem) {
        Ok(shape) => package.events.push(Event {
            name: name.to_owned(),
            file: below.to_owned(),
            module: module.to_owned(),
            shape,
        }),
        Err(fault) => package.complaints.push(complain(fault.line, &fault.text)),
    }
    Ok(true)
}

/// A folder of pictures is no module.
fn holds_rust(folder: &Path, depth: usize) -> bool {
    depth <= DEEPEST
        && fs::read_dir(folder).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| {
                    let path = entry.path();
                    let hidden = entry.file_name().to_string_lossy().starts_with('.');
                    !hidden
                        && (path.extension().is_some_and(|end| end == "rs")
                            || path.is_dir() && holds_rust(&path, depth + 1))
                })
            })
        })
}

/// The module names of one folder.
#[derive(Default)]
struct Idents {
    reserved: BTreeSet<String>,
    taken: BTreeSet<String>,
}

impl Idents {
    /// Keeps `name` for the file of that very name.
    fn reserve(&mut self, name: &str) {
        if ident(name) == name {
            self.reserved.insert(name.to_owned());
        }
    }

    fn take(&mut self, name: &str) -> String {
        let wanted = ident(name);
        let is_free =
            |this: &Self, ident: &str| !this.taken.contains(ident) && (ident == name || !this.reserved.contains(ident));
        let mut found = wanted.clone();
        let mut number = 2;
        while !is_free(self, &found) {
            found = format!("{}_{number}", wanted.trim_start_matches("r#"));
            number += 1;
        }
        self.taken.insert(found.clone());
        found
    }
}

fn ident(name: &str) -> String {
    let mut ident: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    if ident.starts_with(|c: char| c.is_numeric()) {
        ident.insert(0, '_');
    }
    match ident.as_str() {
        // These cannot be raw.
        "self" | "Self" | "super" | "crate" | "_" => format!("{ident}_"),
        "abstract" | "as" | "async" | "await" | "become" | "box" | "break" | "const" | "continue" | "do" | "dyn"
        | "else" | "enum" | "extern" | "false" | "final" | "fn" | "for" | "gen" | "if" | "impl" | "in" | "let"
        | "loop" | "macro" | "match" | "mod" | "move" | "mut" | "override" | "priv" | "pub" | "ref" | "return"
        | "static" | "struct" | "trait" | "true" | "try" | "type" | "typeof" | "unsafe" | "unsized" | "use"
        | "virtual" | "where" | "while" | "yield" => format!("r#{ident}"),
        _ => ident,
    }
}

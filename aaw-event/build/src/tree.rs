//! The files below `src/`, read as modules, events and hooks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::documentation;
use crate::event_name;
use crate::handler::{self, HandlerShape};
use crate::handshake;
use crate::hook::{self, HookFile, HookKind};
use crate::names::ModuleNames;
use crate::services::{self, ServicesFunction};
use crate::source_error::SourceError;

/// The contents of a package.
#[derive(Default)]
pub(crate) struct PackageSource {
    pub(crate) modules: Vec<ModuleDecl>,
    /// Sorted by name.
    pub(crate) events: Vec<EventFile>,
    /// In the order of their files.
    pub(crate) hooks: Vec<HookFile>,
    pub(crate) services: Option<ServicesFunction>,
    /// Whether the code reads the HTTP request behind a call.
    pub(crate) reads_handshakes: bool,
    /// The mistakes in the package's files, as the author reads them: `src/users/get.rs:12: …`.
    pub(crate) errors: Vec<String>,
}

/// A module to be declared.
pub(crate) struct ModuleDecl {
    /// The name as it is written: `users`, `r#type`.
    pub(crate) ident: String,
    pub(crate) content: ModuleContent,
}

pub(crate) enum ModuleContent {
    File(PathBuf),
    Folder {
        /// The path below `src/`, for the documentation.
        path: String,
        /// The module of the file with the folder's name, whose items are re-exported here.
        sibling: Option<String>,
        modules: Vec<ModuleDecl>,
    },
}

/// An event, to be added to the table.
pub(crate) struct EventFile {
    pub(crate) name: String,
    /// The path below `src/`.
    pub(crate) file: String,
    /// The path of its module: `crate::users::get`.
    pub(crate) module: String,
    pub(crate) shape: HandlerShape,
    /// The documentation of the handler.
    pub(crate) description: String,
}

/// Deeper than any event's name allows, so that folders that contain themselves through a link end somewhere.
const MAX_DEPTH: usize = 100;

/// Reads all files below `src`.
///
/// # Errors
/// When a file or folder cannot be read. A mistake within a file is one of the package's
/// [`errors`](PackageSource::errors) instead.
pub(crate) fn read(src: &Path) -> Result<PackageSource, String> {
    let mut package = PackageSource::default();
    let root = SourceFolder { directory: src, path: String::new(), module: "crate".to_owned(), depth: 0 };
    package.modules = read_folder(&mut package, &root)?;
    package.reads_handshakes = handshake::is_read(src);
    package.events.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(package)
}

struct SourceFolder<'a> {
    directory: &'a Path,
    /// The path below `src/`, with a trailing slash unless it is empty.
    path: String,
    /// The path of its module: `crate::users`.
    module: String,
    depth: usize,
}

impl SourceFolder<'_> {
    /// Whether the folder holds shared code: it, or a folder around it, begins with an underscore.
    fn is_shared(&self) -> bool {
        self.path.split('/').any(|part| part.starts_with('_'))
    }
}

/// The Rust files (without the extension) and the folders of one folder, with their paths, sorted by name.
struct Listing {
    files: Vec<(String, PathBuf)>,
    folders: Vec<(String, PathBuf)>,
}

fn list(folder: &SourceFolder<'_>) -> Result<Listing, String> {
    let failed = |error: std::io::Error| format!("cannot read the folder {}: {error}", folder.directory.display());
    let mut listing = Listing { files: Vec::new(), folders: Vec::new() };
    for entry in fs::read_dir(folder.directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if contains_rust(&path, folder.depth) {
                listing.folders.push((name, path));
            }
        } else if let Some(stem) = name.strip_suffix(".rs") {
            listing.files.push((stem.to_owned(), path));
        }
    }
    // The operating system lists a folder in any order.
    listing.files.sort();
    listing.folders.sort();
    Ok(listing)
}

/// Reads a folder, and returns the modules to be declared for it.
fn read_folder(package: &mut PackageSource, folder: &SourceFolder<'_>) -> Result<Vec<ModuleDecl>, String> {
    if folder.depth > MAX_DEPTH {
        let directory = folder.directory.display();
        return Err(format!(
            "{directory}: more than {MAX_DEPTH} folders deep; is a link to a folder around it in the path?"
        ));
    }
    let Listing { files, folders } = list(folder)?;
    let mut names = ModuleNames::default();
    // A name that needs no change takes precedence over one that becomes equal to it.
    for (name, _) in folders.iter().chain(&files) {
        names.reserve(name);
    }
    let mut modules = Vec::new();
    for (name, path) in &folders {
        let ident = names.take(name);
        let content = read_subfolder(package, folder, name, path, &ident)?;
        modules.push(ModuleDecl { ident, content });
    }
    for (stem, path) in files {
        if matches!(stem.as_str(), "lib" | "main") && folder.depth == 0 {
            continue;
        }
        // `users.rs` next to `users/` needs another module name than the folder's.
        let sibling = folders.iter().position(|(name, _)| *name == stem);
        let ident = match sibling {
            Some(_) => names.take(&format!("{stem}_event")),
            None => names.take(&stem),
        };
        if let Some(index) = sibling
            && let ModuleContent::Folder { sibling, .. } = &mut modules[index].content
        {
            *sibling = Some(ident.clone());
        }
        let module = format!("{}::{ident}", folder.module);
        let file = SourceFile { stem, path: &path, folder: &folder.path, module, is_shared: folder.is_shared() };
        if file.read(package)? {
            modules.push(ModuleDecl { ident, content: ModuleContent::File(path) });
        }
    }
    modules.sort_by(|one, other| one.ident.cmp(&other.ident));
    Ok(modules)
}

fn read_subfolder(
    package: &mut PackageSource,
    parent: &SourceFolder<'_>,
    name: &str,
    directory: &Path,
    ident: &str,
) -> Result<ModuleContent, String> {
    let hand_written = directory.join("mod.rs");
    if (parent.is_shared() || name.starts_with('_')) && hand_written.is_file() {
        return Ok(ModuleContent::File(hand_written));
    }
    let path = format!("{}{name}/", parent.path);
    let module = format!("{}::{ident}", parent.module);
    let folder = SourceFolder { directory, path: path.clone(), module, depth: parent.depth + 1 };
    Ok(ModuleContent::Folder { path, sibling: None, modules: read_folder(package, &folder)? })
}

/// A Rust file below `src/`.
struct SourceFile<'a> {
    /// The file's name without the extension.
    stem: String,
    path: &'a Path,
    /// The path of its folder below `src/`, with a trailing slash unless it is empty.
    folder: &'a str,
    /// The path of its module: `crate::users::get`.
    module: String,
    /// Whether it is in a folder of shared code.
    is_shared: bool,
}

/// What a file is, by its name and its folder.
enum FileRole {
    Event,
    Hook(HookKind),
    Services,
    /// The author's own code, which is only declared as a module.
    Shared,
}

impl SourceFile<'_> {
    /// Reads the file into `package`. Returns whether it is to be declared as a module.
    fn read(&self, package: &mut PackageSource) -> Result<bool, String> {
        let role = match self.role() {
            Ok(role) => role,
            Err(text) => {
                package.errors.push(self.message(SourceError::new(1, text)));
                return Ok(false);
            }
        };
        if matches!(role, FileRole::Shared) {
            return Ok(true);
        }
        let text =
            fs::read_to_string(self.path).map_err(|error| format!("cannot read {}: {error}", self.path.display()))?;
        if let Err(error) = self.parse(&text, role, package) {
            package.errors.push(self.message(error));
        }
        // A file with a mistake is declared too, so that the compiler reports what it finds in it.
        Ok(true)
    }

    fn parse(&self, text: &str, role: FileRole, package: &mut PackageSource) -> Result<(), SourceError> {
        let parsed = syn::parse_file(text)
            .map_err(|error| SourceError::at(error.span(), format!("this is not valid Rust: {error}")))?;
        match role {
            FileRole::Event => {
                let shape = handler::read(&parsed, &self.stem)?;
                let (name, file) = (self.name(), format!("{}.rs", self.name()));
                let description = documentation::of_handler(&parsed);
                package.events.push(EventFile { name, file, module: self.module.clone(), shape, description });
            }
            FileRole::Hook(kind) => package.hooks.push(hook::read(&parsed, kind, &self.name(), &self.module)?),
            FileRole::Services => package.services = Some(services::read(&parsed)?),
            FileRole::Shared => {}
        }
        Ok(())
    }

    /// The error is a message for the author: a file of this name is not allowed in this folder.
    fn role(&self) -> Result<FileRole, String> {
        let stem = self.stem.as_str();
        if stem == "mod" {
            return Err(
                "a mod.rs is not allowed here: aaw_event::events!() declares the modules of this folder. Move \
                        shared code to a file whose name begins with an underscore"
                    .to_owned(),
            );
        }
        if stem == "_services" {
            return if self.folder.is_empty() {
                Ok(FileRole::Services)
            } else {
                Err("_services.rs is not allowed in a subfolder: expected src/_services.rs".to_owned())
            };
        }
        if let Some(kind) = HookKind::of(stem) {
            return self.check_hook_folder(kind).map(|()| FileRole::Hook(kind));
        }
        if self.is_shared || stem.starts_with('_') {
            return Ok(FileRole::Shared);
        }
        let name = self.name();
        match event_name::check(&name) {
            Err(reason) => Err(format!(
                "this file name is not a valid event name: {reason}. If the file is not an event, begin its name \
                 with an underscore"
            )),
            Ok(()) if event_name::is_reserved(&name) => Err(format!(
                "the event name {name} is reserved: aaw and names under aaw/ belong to aaw. Rename the file or \
                     folder; if the file is not an event, begin its name with an underscore"
            )),
            Ok(()) => Ok(FileRole::Event),
        }
    }

    fn check_hook_folder(&self, kind: HookKind) -> Result<(), String> {
        let folder = self.folder.trim_end_matches('/');
        match kind {
            HookKind::Open
            | HookKind::Close
            | HookKind::Resume
            | HookKind::Away
            | HookKind::Back
            | HookKind::PasswordReset => {
                if folder.is_empty() {
                    return Ok(());
                }
                Err(format!("{stem}.rs is not allowed in a subfolder: expected src/{stem}.rs", stem = self.stem))
            }
            HookKind::Guard if self.is_shared => {
                Err("a guard is not allowed in a folder of shared code, which has no events".to_owned())
            }
            HookKind::Guard if folder.split('/').next() == Some("aaw") => {
                Err("a guard is not allowed in the folder aaw: names under aaw/ are reserved, so it has no events"
                    .to_owned())
            }
            HookKind::Guard if folder.is_empty() => Ok(()),
            HookKind::Guard => event_name::check(folder)
                .map_err(|reason| format!("a guard is not allowed in this folder, which cannot have events: {reason}")),
        }
    }

    /// The path below `src/`, without the extension.
    fn name(&self) -> String {
        format!("{}{}", self.folder, self.stem)
    }

    fn message(&self, error: SourceError) -> String {
        format!("src/{}.rs:{}: {}", self.name(), error.line, error.text)
    }
}

/// Whether a folder contains Rust files, at any depth. A folder of images, say, is not a module.
fn contains_rust(directory: &Path, depth: usize) -> bool {
    depth <= MAX_DEPTH
        && fs::read_dir(directory).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| {
                    let path = entry.path();
                    let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
                    !is_hidden
                        && (path.extension().is_some_and(|extension| extension == "rs")
                            || path.is_dir() && contains_rust(&path, depth + 1))
                })
            })
        })
}

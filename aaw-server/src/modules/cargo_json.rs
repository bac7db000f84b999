//! The part of cargo's JSON output that is used here.
//!
//! The crate `cargo_metadata` describes all of it, at the cost of a fifth of the code of this crate.
//! Unknown fields and unknown messages are ignored, so newer versions of cargo can add some.
//! Source: the cargo book, [`cargo metadata`] and [JSON messages].
//!
//! [`cargo metadata`]: https://doc.rust-lang.org/cargo/commands/cargo-metadata.html
//! [JSON messages]: https://doc.rust-lang.org/cargo/reference/external-tools.html#json-messages

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::PathBuf;

use serde::Deserialize;

/// The output of `cargo metadata --format-version 1`.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
    pub(super) workspace_root: PathBuf,
    pub(super) target_directory: PathBuf,
    /// The folder of intermediate files. Cargo before 1.91 does not report it.
    pub(super) build_directory: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) manifest_path: PathBuf,
    pub(super) targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Target {
    name: String,
    crate_types: Vec<String>,
}

impl Target {
    pub(super) fn builds_cdylib(&self) -> bool {
        self.crate_types.iter().any(|crate_type| crate_type == "cdylib")
    }

    /// The name of the file that cargo builds for a target of this crate type.
    pub(super) fn cdylib_file(&self) -> String {
        format!("{DLL_PREFIX}{}{DLL_SUFFIX}", self.name.replace('-', "_"))
    }
}

/// The message with which `cargo build --message-format=json` reports the files of one target.
#[derive(Debug, Deserialize)]
pub(super) struct Artifact {
    pub(super) package_id: String,
    pub(super) target: Target,
    pub(super) filenames: Vec<PathBuf>,
}

/// Returns the artifacts among cargo's messages, of which each is one line. Other lines are ignored: a build script or
/// a compiler wrapper can write to the same stream.
pub(super) fn artifacts(messages: &[u8]) -> impl Iterator<Item = Artifact> {
    #[derive(Deserialize)]
    struct Reason<'a> {
        #[serde(borrow)]
        reason: std::borrow::Cow<'a, str>,
    }
    messages
        .split(|byte| *byte == b'\n')
        .filter(|line| {
            serde_json::from_slice(line).is_ok_and(|message: Reason<'_>| message.reason == "compiler-artifact")
        })
        .filter_map(|line| serde_json::from_slice(line).ok())
}

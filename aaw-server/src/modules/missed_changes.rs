//! Lets cargo notice sources that have changed without a newer modification time.
//!
//! Cargo compiles what was modified after the previous build, by the modification times of the files. It does not notice a
//! file that is restored with its old time, as `cp -p`, `rsync -a` and archives do. The time of the last change of a file's
//! status (`ctime`) tells: the system sets it at each write, rename and change of the times, and programs cannot set it.
//! (Cargo can compare checksums instead, with `-Z checksum-freshness`, which needs a nightly version.)

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

use super::folder::is_hidden;

/// Sets the times of all files and folders to now that have changed after one of these builds and have a modification time
/// from before it. A needless case, such as changed permissions, costs one compilation.
///
/// Folders are searched, except for hidden files and `output_folders`.
pub(super) fn touch(sources: &BTreeSet<PathBuf>, output_folders: &BTreeSet<PathBuf>, builds: &[SystemTime]) {
    if builds.is_empty() {
        return;
    }
    let mut search = Search { output_folders, builds, seen: BTreeSet::new() };
    // In this order a folder comes before the files in it.
    for source in sources {
        search.visit(source, false);
    }
}

struct Search<'a> {
    output_folders: &'a BTreeSet<PathBuf>,
    builds: &'a [SystemTime],
    /// Without symbolic links, so that a cycle of links ends.
    seen: BTreeSet<PathBuf>,
}

impl Search<'_> {
    /// `in_missed` tells that a folder around `path` was missed. If that was moved here, the times of its contents tell
    /// nothing.
    fn visit(&mut self, path: &Path, in_missed: bool) {
        // A file that does not exist is noticed by cargo, and one that cannot be read is reported by it.
        let Ok((resolved, link)) = path.canonicalize().and_then(|at| Ok((at, path.symlink_metadata()?))) else {
            return;
        };
        let Ok(found) = resolved.metadata() else { return };
        let is_output = self.output_folders.iter().any(|folder| path.starts_with(folder));
        if is_output || !self.seen.insert(resolved) {
            return;
        }
        // A link that leads to another file from now on is a change too.
        let changed = changed(&found).max(changed(&link));
        let is_older = |build: &&SystemTime| found.modified().is_ok_and(|modified| modified <= **build);
        let is_missed = self.builds.iter().filter(is_older).any(|build| in_missed || *build < changed);
        if is_missed && let Err(error) = set_to_now(path) {
            tracing::warn!("{} has an old time, and cargo may not notice that it has changed: {error}", path.display());
        }
        if found.is_dir() {
            for entry in path.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()) {
                if !is_hidden(&entry) {
                    self.visit(&entry, is_missed);
                }
            }
        }
    }
}

/// The time of the last change of status.
pub(super) fn changed(found: &Metadata) -> SystemTime {
    let since_epoch = Duration::new(found.ctime().try_into().unwrap_or(0), found.ctime_nsec().try_into().unwrap_or(0));
    SystemTime::UNIX_EPOCH + since_epoch
}

/// Sets both times, since that is allowed to everyone who may write to the file, and to its owner in any case.
fn set_to_now(path: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    utimensat(CWD, path, &Timestamps { last_access: now, last_modification: now }, AtFlags::empty())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    /// The files and folders below a folder whose time is recent after [`touch`], if each was changed just now and modified
    /// `age` hours ago, and the last build was an hour ago.
    fn touched(top: &Path, ages: &[(&str, u64)]) -> Vec<String> {
        let hours_ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
        for (path, age) in ages.iter().rev() {
            File::open(top.join(path)).unwrap().set_modified(hours_ago(*age)).unwrap();
        }
        touch(&[top.to_owned()].into(), &[top.join("target")].into(), &[hours_ago(1)]);
        let is_recent = |path: &str| top.join(path).metadata().unwrap().modified().unwrap() > hours_ago(1);
        ages.iter().filter(|(path, age)| *age >= 2 && is_recent(path)).map(|(path, _)| (*path).to_owned()).collect()
    }

    #[test]
    fn what_changed_after_the_build_and_has_an_older_time_gets_a_new_one() {
        let top = tempfile::tempdir().unwrap();
        for folder in ["src", "target", ".git"] {
            fs::create_dir(top.path().join(folder)).unwrap();
            fs::write(top.path().join(folder).join("a.rs"), "").unwrap();
        }
        fs::write(top.path().join("read_only.rs"), "").unwrap();
        fs::set_permissions(top.path().join("read_only.rs"), Permissions::from_mode(0o444)).unwrap();
        symlink(".", top.path().join("cycle")).unwrap();
        let ages = [("src", 2), ("src/a.rs", 2), ("read_only.rs", 2), ("target/a.rs", 2), (".git/a.rs", 2)];
        assert_eq!(touched(top.path(), &ages), ["src", "src/a.rs", "read_only.rs"]);
    }

    #[test]
    fn what_has_not_changed_since_the_build_keeps_its_time() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("a.rs");
        fs::write(&file, "").unwrap();
        let modified = || file.metadata().unwrap().modified().unwrap();
        let before = modified();
        // It is older than the second build, and was not changed after it; it was changed after the first, and is newer.
        let builds = [before - Duration::from_secs(1), before + Duration::from_secs(1)];
        touch(&[file.clone()].into(), &BTreeSet::new(), &builds);
        assert_eq!(modified(), before);
    }

    #[test]
    fn a_link_that_leads_to_another_old_file_is_a_change() {
        let top = tempfile::tempdir().unwrap();
        let release = top.path().join("release.rs");
        fs::write(&release, "").unwrap();
        let modified = || release.metadata().unwrap().modified().unwrap();
        let before = modified();
        let build = SystemTime::now();
        let link = top.path().join("link.rs");
        // The clock of files is coarser than the other one.
        while link.symlink_metadata().is_err() || changed(&link.symlink_metadata().unwrap()) <= build {
            let _ = fs::remove_file(&link);
            symlink(&release, &link).unwrap();
        }
        touch(&[link].into(), &BTreeSet::new(), &[build]);
        assert!(modified() > before);
    }
}

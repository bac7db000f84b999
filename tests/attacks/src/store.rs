//! The store of users of a server that is attacked, and the disk that it is on, which may fail.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use tempfile::TempDir;

use crate::attack::Disk;
use crate::server::{Mount, ServerProcess, Setup, works};

/// The size of the file system that becomes read-only.
const IMAGE_SIZE: u64 = 16 << 20;

/// The size of the largest file where a file-size limit stands for a full disk: one page of the database.
const FILE_SIZE: u32 = 4096;

/// A file of users.
pub(crate) struct Store {
    folder: TempDir,
    disk: Option<Disk>,
    /// The file with the file system.
    image: Option<tempfile::NamedTempFile>,
    /// Whether the folder is a file system of the server's own.
    is_mounted: bool,
}

impl Store {
    /// Prepares a store. The inner error says why the disk cannot fail in this way here.
    pub(crate) fn new(disk: Option<Disk>) -> std::io::Result<Result<Self, String>> {
        let mut store = Self { folder: TempDir::new()?, disk, image: None, is_mounted: false };
        match disk {
            None => {}
            // Otherwise a limit of file sizes stands for it.
            Some(Disk::Full) => store.is_mounted = store.mount().is_possible(),
            Some(Disk::ReadOnly) => {
                let image = tempfile::NamedTempFile::new()?;
                image.as_file().set_len(IMAGE_SIZE)?;
                let is_formatted = works(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image.path()));
                store.image = Some(image);
                store.is_mounted = is_formatted && store.mount().is_possible();
                if !store.is_mounted {
                    return Ok(Err("an ext4 file system cannot be made and mounted here".to_owned()));
                }
            }
        }
        Ok(Ok(store))
    }

    fn mount(&self) -> Mount {
        let image = self.image.as_ref().map(|image| image.path().to_owned());
        Mount { folder: self.folder.path().to_owned(), image }
    }

    /// Has the server use this store.
    pub(crate) fn set_up(&self, setup: &mut Setup) {
        setup.auth = Some(self.folder.path().join("users.sqlite"));
        setup.mount = self.is_mounted.then(|| self.mount());
        setup.ignores_file_size_signal = self.disk == Some(Disk::Full) && !self.is_mounted;
    }

    /// Lets the disk fail. Returns why that is not possible, if so.
    pub(crate) fn break_disk(&self, server: &ServerProcess) -> Result<(), String> {
        match self.disk {
            None => Ok(()),
            Some(Disk::Full) if !self.is_mounted => match limit_file_size(server, Some(FILE_SIZE)) {
                true => Ok(()),
                false => {
                    Err("neither mounting a small file system nor limiting file sizes is possible here".to_owned())
                }
            },
            Some(Disk::Full) => {
                let filler = server.path(&self.folder.path().join("filler"));
                let mut file = File::create(&filler).map_err(|error| format!("{}: {error}", filler.display()))?;
                // Until nothing more fits.
                while file.write_all(&[0; 4096]).is_ok() {}
                Ok(())
            }
            Some(Disk::ReadOnly) => self.fail_read_only(server),
        }
    }

    /// Has the kernel make the file system read-only, as it does when a disk fails under it.
    fn fail_read_only(&self, server: &ServerProcess) -> Result<(), String> {
        let mounts = fs::read_to_string(format!("/proc/{}/mounts", server.id())).unwrap_or_default();
        let folder = self.folder.path().to_string_lossy();
        let device = mounts.lines().find_map(|line| {
            let (device, rest) = line.split_once(' ')?;
            rest.starts_with(&format!("{folder} ")).then(|| device.rsplit('/').next())?
        });
        let device = device.ok_or("the file system of the store is not mounted")?;
        // What is mapped is written, so that the next write to it has to ask the file system.
        works(Command::new("sync").arg("-f").arg(server.path(self.folder.path())));
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&trigger, "1").map_err(|error| format!("{trigger}: {error}"))?;
        match File::create(server.path(&self.folder.path().join("probe"))) {
            Ok(_) => Err("the kernel did not make the file system read-only".to_owned()),
            Err(_) => Ok(()),
        }
    }

    /// Ends what [`break_disk`](Self::break_disk) has done, if it can be ended while the server runs.
    pub(crate) fn mend_disk(&self, server: &ServerProcess) {
        if self.disk == Some(Disk::Full) {
            match self.is_mounted {
                true => drop(fs::remove_file(server.path(&self.folder.path().join("filler")))),
                false => drop(limit_file_size(server, None)),
            }
        }
    }

    /// Whether a disk has failed and is in order again.
    pub(crate) fn can_be_mended(&self) -> bool {
        self.disk == Some(Disk::Full)
    }

    /// Whether a disk has failed and has to be mounted again.
    pub(crate) fn needs_restart(&self) -> bool {
        self.disk == Some(Disk::ReadOnly)
    }
}

/// Limits the size of the files that a running server may write, where no file system can be mounted: its writes beyond that
/// fail. Without a size, lifts the limit.
fn limit_file_size(server: &ServerProcess, size: Option<u32>) -> bool {
    let limit = size.map_or_else(|| "unlimited".to_owned(), |size| size.to_string());
    // The limit that the process may raise itself: the other one stays, so that this one can be lifted again.
    works(Command::new("prlimit").args(["--pid", &server.id().to_string(), &format!("--fsize={limit}:")]))
}

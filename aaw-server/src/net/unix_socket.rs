//! A listening Unix domain socket, and its file.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

/// A listening socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file was created, by its device and inode. `None` for a socket that was passed, whose file is not ours.
    file: Option<(u64, u64)>,
}

impl UnixSocket {
    /// Listens on a path. The file of a server that has ended without removing it is replaced; one that a server listens on
    /// is not.
    pub(crate) fn bind(path: &Path, mode: u32, backlog: u32) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // On Linux, the file gets the mode of the socket at `bind`, restricted by the umask: it is never more accessible
        // than it is meant to be. Elsewhere this fails.
        let socket = File::from(OwnedFd::from(socket));
        let _ = socket.set_permissions(Permissions::from_mode(mode));
        let socket = Socket::from(OwnedFd::from(socket));
        socket.bind(&SockAddr::unix(path)?)?;
        let metadata = fs::symlink_metadata(path)?;
        let file = Some((metadata.dev(), metadata.ino()));
        // What the umask has taken away.
        let listen = || {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
            socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
            socket.set_nonblocking(true)?;
            UnixListener::from_std(OwnedFd::from(socket).into())
        };
        match listen() {
            Ok(listener) => Ok(Self { listener, path: path.to_owned(), file }),
            Err(error) => {
                let _ = fs::remove_file(path);
                Err(error)
            }
        }
    }

    /// Takes over a socket that another program has opened, and whose file it removes.
    pub(crate) fn passed(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let path = listener.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default();
        Ok(Self { listener, path, file: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(socket, _)| socket)
    }
}

impl std::os::fd::AsFd for UnixSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let Some(file) = self.file else { return };
        // Another server may have replaced it.
        let is_ours = |found: fs::Metadata| (found.dev(), found.ino()) == file;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the file of a socket that refuses connections, since no process listens on it any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // `bind` reports other errors.
        Err(_) => return Ok(()),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file exists and is no socket"));
    }
    // Non-blocking: a server whose backlog is full does not accept, but listens.
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Ok(()) | Err(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "another process listens on it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_replaced_if_it_is_stale_and_removed_at_the_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("socket");
        let bind = || UnixSocket::bind(&path, 0o600, 16);
        let mut first = bind().expect("a free path");
        assert_eq!(fs::metadata(&path).expect("its file").mode() & 0o777, 0o600);
        let taken = bind().expect_err("it is listened on").to_string();
        assert!(taken.contains("another process listens on it"), "{taken}");
        // As after a `kill -9`.
        first.file = None;
        drop(first);
        let second = bind().expect("a stale file");
        drop(second);
        assert!(!path.exists());
        fs::write(&path, "precious").expect("a file");
        let error = bind().expect_err("a file").to_string();
        assert!(error.contains("is no socket") && fs::read(&path).is_ok(), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_another_server_has_created_meanwhile_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("socket");
        let first = UnixSocket::bind(&path, 0o600, 16).expect("a free path");
        fs::remove_file(&path).expect("its file");
        let _second = UnixSocket::bind(&path, 0o600, 16).expect("a free path");
        drop(first);
        assert!(path.exists());
    }
}

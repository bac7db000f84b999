//! The files of a certificate from ACME, and of the account. Only their owner can read them.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rustls_acme::{AccountCache, CertCache};
use sha2::{Digest as _, Sha256};

/// A folder of files.
#[derive(Debug)]
pub(super) struct AcmeCache {
    dir: PathBuf,
}

impl AcmeCache {
    /// Creates the folder if it does not exist.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&dir)?;
        // Found now, and not after the certificate has been obtained.
        write(&dir.join("writable"), b"")?;
        fs::remove_file(dir.join("writable"))?;
        Ok(Self { dir })
    }

    /// The file for what belongs to these names and this authority.
    fn path(&self, kind: &str, names: &[String], directory_url: &str) -> PathBuf {
        let mut hasher = Sha256::new();
        for text in names.iter().map(String::as_str).chain([directory_url]) {
            hasher.update(text);
            hasher.update([0]);
        }
        let digest: String = hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.dir.join(format!("{kind}-{digest}.pem"))
    }
}

async fn load(path: PathBuf) -> io::Result<Option<Vec<u8>>> {
    let read = move || match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

async fn store(path: PathBuf, contents: &[u8]) -> io::Result<()> {
    let contents = contents.to_owned();
    let stored = tokio::task::spawn_blocking(move || write(&path, &contents)).await;
    stored.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Replaces a file at once: a crash leaves the previous one or the new one.
fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[async_trait]
impl CertCache for AcmeCache {
    type EC = io::Error;

    async fn load_cert(&self, domains: &[String], directory_url: &str) -> io::Result<Option<Vec<u8>>> {
        load(self.path("certificate", domains, directory_url)).await
    }

    async fn store_cert(&self, domains: &[String], directory_url: &str, cert: &[u8]) -> io::Result<()> {
        store(self.path("certificate", domains, directory_url), cert).await
    }
}

#[async_trait]
impl AccountCache for AcmeCache {
    type EA = io::Error;

    async fn load_account(&self, contact: &[String], directory_url: &str) -> io::Result<Option<Vec<u8>>> {
        load(self.path("account", contact, directory_url)).await
    }

    async fn store_account(&self, contact: &[String], directory_url: &str, account: &[u8]) -> io::Result<()> {
        store(self.path("account", contact, directory_url), account).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_stored_is_loaded_and_only_its_owner_can_read_it() {
        let parent = tempfile::tempdir().expect("a folder");
        let cache = AcmeCache::open(parent.path().join("a/b")).expect("a new folder");
        let names = ["a.example".to_owned()];
        assert_eq!(cache.load_cert(&names, "https://ca").await.expect("no file"), None);
        for contents in ["first", "second"] {
            cache.store_cert(&names, "https://ca", contents.as_bytes()).await.expect("a writable folder");
            assert_eq!(cache.load_cert(&names, "https://ca").await.expect("a file"), Some(contents.into()));
        }
        assert_eq!(cache.load_cert(&names, "https://other").await.expect("no file"), None);
        assert_eq!(cache.load_account(&names, "https://ca").await.expect("no file"), None);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
            assert_eq!(mode(&cache.dir), 0o700);
            assert_eq!(mode(&cache.path("certificate", &names, "https://ca")), 0o600);
        }
    }
}

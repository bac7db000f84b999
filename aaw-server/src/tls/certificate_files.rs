//! A certificate and its key in files, read again when they change.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use super::certificate_names::CertificateNames;
use super::error::TlsError;

/// A certificate from files, for all connections, whichever name they are for.
pub(super) struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<Current>,
    /// What the files had when they were read last, so that an error is reported once.
    seen: Mutex<Fingerprint>,
}

/// A certificate with its key, and the names that it is for.
struct Current {
    certified: Arc<CertifiedKey>,
    names: CertificateNames,
}

type Fingerprint = [u8; 32];

impl CertificateFiles {
    pub(super) fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let (seen, contents) = read(&certificate, &key);
        let current = parse(&certificate, &key, contents?)?;
        #[cfg(unix)]
        warn_if_exposed(&key);
        Ok(Self { certificate, key, current: ArcSwap::from_pointee(current), seen: Mutex::new(seen) })
    }

    /// Reads the files, and returns whether they can be used.
    pub(super) fn check(certificate: &Path, key: &Path) -> Result<(), TlsError> {
        parse(certificate, key, read(certificate, key).1?).map(|_| ())
    }

    /// The names of the current certificate.
    pub(super) fn names(&self) -> CertificateNames {
        self.current.load().names.clone()
    }

    /// Whether the current certificate is for this host name.
    pub(super) fn names_host(&self, host: &str) -> bool {
        self.current.load().names.contain(host)
    }

    pub(super) fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Reads the files. `None` if they have not changed.
    pub(super) fn reload_if_changed(&self) -> Option<Result<(), TlsError>> {
        // The modification time alone would miss a second change within its resolution.
        let (now, contents) = read(&self.certificate, &self.key);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut *seen, now) == now {
                return None;
            }
        }
        let parsed = contents.and_then(|contents| parse(&self.certificate, &self.key, contents));
        Some(parsed.map(|current| self.current.store(Arc::new(current))))
    }

    /// Looks at the files in this interval, until it is dropped.
    pub(super) async fn watch(self: &Arc<Self>, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            let files = Arc::clone(self);
            // A network file system may block.
            match tokio::task::spawn_blocking(move || files.reload_if_changed()).await {
                Ok(Some(Ok(()))) => {
                    let names = self.names().as_slice().join(", ");
                    tracing::info!(names, "reloaded the certificate {}", self.certificate.display());
                }
                Ok(Some(Err(error))) => tracing::error!("keeping the previous certificate: {error}"),
                Ok(None) | Err(_) => {}
            }
        }
    }
}

impl ResolvesServerCert for CertificateFiles {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().certified))
    }
}

impl fmt::Debug for CertificateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateFiles").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// The contents of both files, or why they cannot be read, and a fingerprint of either.
fn read(certificate: &Path, key: &Path) -> (Fingerprint, Result<[Vec<u8>; 2], TlsError>) {
    let read_file =
        |path: &Path| fs::read(path).map_err(|source: io::Error| TlsError::Read { path: path.to_owned(), source });
    let contents = read_file(certificate).and_then(|certificate| Ok([certificate, read_file(key)?]));
    let mut hasher = Sha256::new();
    match &contents {
        Ok(contents) => contents.iter().for_each(|content| {
            hasher.update(content.len().to_le_bytes());
            hasher.update(content);
        }),
        Err(error) => hasher.update(error.to_string()),
    }
    (hasher.finalize().into(), contents)
}

fn parse(certificate: &Path, key: &Path, [chain, secret]: [Vec<u8>; 2]) -> Result<Current, TlsError> {
    let invalid = |path: &Path, problem: String| TlsError::Invalid { path: path.to_owned(), problem };
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| invalid(certificate, format!("expected certificates in PEM: {error}")))?;
    if chain.is_empty() {
        return Err(invalid(certificate, "expected a certificate in PEM (-----BEGIN CERTIFICATE-----)".into()));
    }
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|_| {
        let expected = "expected a private key in PEM (PKCS#8, PKCS#1 or SEC1), without a password";
        invalid(key, expected.into())
    })?;
    let names = chain.first().map(CertificateNames::of).unwrap_or_default();
    let certified = CertifiedKey::from_der(chain, secret, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        rustls::Error::InvalidCertificate(_) => invalid(certificate, error.to_string()),
        error => invalid(key, format!("the key cannot be used: {error}")),
    })?;
    Ok(Current { certified: Arc::new(certified), names })
}

#[cfg(unix)]
fn warn_if_exposed(key: &Path) {
    use std::os::unix::fs::MetadataExt as _;

    if fs::metadata(key).is_ok_and(|metadata| metadata.mode() & 0o004 != 0) {
        tracing::warn!("every user of this machine can read the private key {}: chmod o-r it", key.display());
    }
}

//! Why a certificate cannot be used.

use std::io;
use std::path::PathBuf;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file has not what it should have.
    #[error("{}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The key is that of another certificate.
    #[error("the key in {} does not belong to the first certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// A certificate cannot be obtained with these settings of `Acme` (feature `acme`).
    #[error("cannot obtain a certificate: {0}")]
    Acme(String),
    /// rustls does not accept the settings.
    #[error("cannot set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}

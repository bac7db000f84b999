//! The flags for TLS, and the settings that they result in.

use std::error::Error;
use std::path::{Path, PathBuf};

use aaw_server::BoundAddress;
use aaw_server::tls::{Acme, Tls};
use clap::Args;

/// The folder of `--tls-cache` if none is given.
const DEFAULT_CACHE: &str = "aaw-acme";

/// The port on which an ACME authority looks for the proof.
const CHALLENGE_PORT: u16 = 443;

#[derive(Debug, Args)]
pub(crate) struct TlsArgs {
    /// Speak TLS, with the certificate chain in this PEM file, which is read again when it changes
    #[arg(long, value_name = "FILE", env = "AAW_TLS_CERT", requires = "tls_key", conflicts_with = "tls")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM without a password
    #[arg(long, value_name = "FILE", env = "AAW_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Speak TLS, with a certificate for this name that is obtained and renewed by ACME; the authority has to reach the server
    /// at port 443 of the name; may be given several times; accepts the terms of service of Let's Encrypt
    #[arg(long, value_name = "HOST", env = "AAW_TLS", value_delimiter = ',')]
    tls: Vec<String>,
    /// The folder in which the certificate of --tls and its keys are kept
    #[arg(long, value_name = "DIR", env = "AAW_TLS_CACHE", default_value = DEFAULT_CACHE)]
    tls_cache: PathBuf,
    /// Where the authority of --tls reports problems [default: none]
    #[arg(long, value_name = "ADDRESS", env = "AAW_TLS_EMAIL")]
    tls_email: Option<String>,
    /// The ACME directory of the authority of --tls; its own certificate must be trusted by the system, or be in the file
    /// that SSL_CERT_FILE names
    #[arg(long, value_name = "URL", env = "AAW_TLS_DIRECTORY", default_value = Acme::LETS_ENCRYPT)]
    tls_directory: String,
}

impl TlsArgs {
    /// Reads the certificate, or prepares to obtain one.
    pub(crate) fn open(&self, static_dir: Option<&Path>) -> Result<Option<Tls>, Box<dyn Error>> {
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            check_not_served(key, static_dir, "--tls-key")?;
            return Ok(Some(Tls::from_pem_files(certificate, key)?));
        }
        if self.tls.is_empty() {
            return Ok(None);
        }
        let acme = Acme {
            email: self.tls_email.clone(),
            directory_url: self.tls_directory.clone(),
            ..Acme::new(self.tls.iter().map(|name| name.trim()), &self.tls_cache)
        };
        let tls = Tls::acme(&acme)?;
        check_not_served(&self.tls_cache, static_dir, "--tls-cache")?;
        Ok(Some(tls))
    }

    /// Warns if the proof of `--tls` probably does not reach the server.
    pub(crate) fn check_port(&self, ports: impl IntoIterator<Item = u16>) {
        if !self.tls.is_empty() && !ports.into_iter().any(|port| port == CHALLENGE_PORT) {
            tracing::warn!(
                "the certificate authority connects to port {CHALLENGE_PORT} of {}, on which the server does not listen; \
                 forward it, or use --port {CHALLENGE_PORT}",
                self.tls.join(", ")
            );
        }
    }
}

/// Checks that secrets do not lie in the folder whose files are served.
fn check_not_served(path: &Path, static_dir: Option<&Path>, flag: &str) -> Result<(), String> {
    let Some(static_dir) = static_dir else { return Ok(()) };
    match (path.canonicalize(), static_dir.canonicalize()) {
        (Ok(found), Ok(served)) if found.starts_with(&served) => Err(format!(
            "{} contains a private key and lies in {}, whose files are public: choose another place with {flag}",
            path.display(),
            static_dir.display()
        )),
        // Errors of the folder are reported when it is opened.
        _ => Ok(()),
    }
}

/// The ports of addresses that are listened on.
pub(crate) fn ports(addresses: &[BoundAddress]) -> impl Iterator<Item = u16> {
    addresses.iter().filter_map(|address| match address {
        BoundAddress::Tcp(address) => Some(address.port()),
        _ => None,
    })
}

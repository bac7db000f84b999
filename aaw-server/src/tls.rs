//! TLS for the server's own TCP listeners (feature `tls`): [`Config::tls`](crate::Config::tls).
//!
//! TLS 1.2 and 1.3 by rustls with ring. Clients resume their sessions by tickets. There is no early data (0-RTT), because
//! calls in it could be replayed. Requests without an upgrade may use HTTP/2; browsers open WebSockets over HTTP/1.1.
//!
//! ```no_run
//! use aaw_server::tls::Tls;
//! use aaw_server::{Config, Server};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tls = Tls::from_pem_files("fullchain.pem", "privkey.pem")?;
//! let server = Server::new(Config { port: 443, tls: Some(tls), ..Config::default() }).bind().await?;
//! # drop(server);
//! # Ok(()) }
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::ResolvesServerCert;

pub use rustls;

pub use self::error::TlsError;

#[cfg(feature = "acme")]
pub use self::acme::Acme;
use self::certificate_files::CertificateFiles;

#[cfg(feature = "acme")]
mod acme;
#[cfg(feature = "acme")]
mod acme_cache;
mod certificate_files;
mod certificate_names;
mod error;

/// How often the files of a certificate are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How a server's TCP listeners speak TLS. Cheap to clone; the clones share their certificate.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    source: Source,
}

/// Where the certificate comes from.
#[derive(Clone)]
enum Source {
    Files(Arc<CertificateFiles>),
    #[cfg(feature = "acme")]
    Acme(Arc<acme::AcmeCertificate>),
    /// The program's own configuration.
    Custom,
}

impl Tls {
    /// Uses the certificate in these files: a chain in PEM, that of the server first, and its key in PEM (PKCS#8, PKCS#1 or
    /// SEC1, without a password).
    ///
    /// While the server serves, it looks at the files every five seconds. New contents apply to connections that begin after
    /// that. If they cannot be used, an error is logged and the previous certificate stays; so it does while only one of the
    /// two files has been replaced.
    ///
    /// # Errors
    /// If the files cannot be read, or are no certificate and the key of that.
    pub fn from_pem_files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let files = Arc::new(CertificateFiles::open(certificate.into(), key.into())?);
        Ok(Self { config: Arc::new(server_config(Arc::clone(&files) as _)?), source: Source::Files(files) })
    }

    /// Checks that [`from_pem_files`](Self::from_pem_files) can use these files now.
    ///
    /// # Errors
    /// As those of [`from_pem_files`](Self::from_pem_files).
    pub fn check_pem_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<(), TlsError> {
        CertificateFiles::check(certificate.as_ref(), key.as_ref())
    }

    /// Obtains the certificate by ACME, and renews it when a third of its time is left (feature `acme`). That happens while
    /// the server serves, and is logged. Without a certificate yet, handshakes fail. The authority has to reach the server at
    /// port 443.
    ///
    /// # Errors
    /// [`TlsError::Acme`] if the settings are not valid; [`TlsError::Read`] if the folder cannot be used.
    #[cfg(feature = "acme")]
    pub fn acme(acme: &Acme) -> Result<Self, TlsError> {
        let certificate = acme::AcmeCertificate::new(acme)?;
        let mut config = server_config(certificate.resolver())?;
        config.alpn_protocols.push(acme::CHALLENGE_PROTOCOL.to_vec());
        Ok(Self { config: Arc::new(config), source: Source::Acme(Arc::new(certificate)) })
    }

    /// Uses a configuration of the program's own, for example with its own resolver of certificates. Its
    /// `alpn_protocols` should be `h2` and `http/1.1`; without `h2` all requests use HTTP/1.1. The names of its certificates
    /// are unknown: list them in [`Config::allow_hosts`](crate::Config::allow_hosts).
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self { config, source: Source::Custom }
    }

    /// Reads the files now, instead of within five seconds. Has no effect if the certificate does not come from files.
    ///
    /// # Errors
    /// As [`from_pem_files`](Self::from_pem_files). The previous certificate stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        match &self.source {
            Source::Files(files) => files.reload_if_changed().unwrap_or(Ok(())),
            #[cfg(feature = "acme")]
            Source::Acme(_) => Ok(()),
            Source::Custom => Ok(()),
        }
    }

    /// The host names that the certificate is for now: the DNS names among its subject alternative names, or those that are
    /// obtained by ACME. Wildcards are left out: others may own the names that one covers. Requests may name the server by these
    /// names, as by those of [`Config::allow_hosts`](crate::Config::allow_hosts). Empty for [`from_config`](Self::from_config).
    pub fn names(&self) -> Vec<String> {
        match &self.source {
            Source::Files(files) => files.names().as_slice().to_vec(),
            #[cfg(feature = "acme")]
            Source::Acme(certificate) => certificate.names().as_slice().to_vec(),
            Source::Custom => Vec::new(),
        }
    }

    /// Whether the certificate is for this host name now, which is in lower case.
    pub(crate) fn names_host(&self, host: &str) -> bool {
        match &self.source {
            Source::Files(files) => files.names_host(host),
            #[cfg(feature = "acme")]
            Source::Acme(certificate) => certificate.names().contain(host),
            Source::Custom => false,
        }
    }

    /// Whether a connection with this protocol is a challenge of the authority, which ends with its handshake.
    pub(crate) fn is_challenge(protocol: Option<&[u8]>) -> bool {
        protocol == Some(b"acme-tls/1")
    }

    /// The configuration for new connections.
    pub(crate) fn server_config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// As [`server_config`](Self::server_config), for a connection that is not served: with HTTP/1.1 only, whose requests can be
    /// responded to without reading them, and without tickets for later sessions.
    pub(crate) fn config_without_http2(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.config);
        if !config.alpn_protocols.is_empty() {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    /// Keeps the certificate up to date until the future is dropped.
    pub(crate) async fn maintain(&self) {
        match &self.source {
            Source::Files(files) => files.watch(CHECK_INTERVAL).await,
            #[cfg(feature = "acme")]
            Source::Acme(certificate) => certificate.maintain().await,
            Source::Custom => std::future::pending().await,
        }
    }
}

/// The protocols over TLS, the preferred one first.
fn alpn_protocols() -> Vec<Vec<u8>> {
    let http2: &[&[u8]] = if cfg!(feature = "http") { &[b"h2"] } else { &[] };
    http2.iter().chain(&[&b"http/1.1"[..]]).map(|name| name.to_vec()).collect()
}

fn server_config(resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = alpn_protocols();
    // The client keeps its session, so that the server needs no memory for it. The keys of the tickets change after hours.
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Files(files) => files.certificate().display().to_string(),
            #[cfg(feature = "acme")]
            Source::Acme(certificate) => format!("{certificate:?}"),
            Source::Custom => "custom".into(),
        };
        f.debug_struct("Tls").field("source", &source).finish_non_exhaustive()
    }
}

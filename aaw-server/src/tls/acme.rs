//! Certificates from an authority that speaks ACME (RFC 8555), such as Let's Encrypt. The authority proves that the server
//! is reached by its names over TLS itself (TLS-ALPN-01, RFC 8737), so that no other port is needed.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::server::ResolvesServerCert;
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::{AcmeConfig, AcmeState, EventOk};

use super::acme_cache::AcmeCache;
use super::certificate_names::CertificateNames;
use super::error::TlsError;

/// The protocol of TLS-ALPN-01 challenges.
pub(super) const CHALLENGE_PROTOCOL: &[u8] = b"acme-tls/1";

/// The pause after the first failure to obtain a certificate. It doubles with each further one: authorities such as Let's
/// Encrypt refuse a name for an hour after five failures.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(60);

/// The longest pause between two attempts.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(3600);

/// Which certificate to obtain, and from which authority: for [`Tls::acme`](super::Tls::acme).
///
/// ```no_run
/// use aaw_server::tls::{Acme, Tls};
/// use aaw_server::{Config, Server};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let acme = Acme { email: Some("admin@example.com".into()), ..Acme::new(["api.example.com"], "/var/lib/my-server/acme") };
/// let config = Config { host: "::".into(), port: 443, tls: Some(Tls::acme(&acme)?), ..Config::default() };
/// # drop(Server::new(config));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Acme {
    /// The names of the server, all in one certificate. The authority connects to port 443 of each. No wildcards, which
    /// TLS-ALPN-01 cannot prove.
    pub domains: Vec<String>,
    /// The folder in which the certificate, its key and the key of the account are kept. It is created if it does not exist,
    /// with permissions for its owner alone, and so are its files.
    pub cache_dir: PathBuf,
    /// Where the authority reports problems. Default: none.
    pub email: Option<String>,
    /// The URL of the authority's directory. Default: that of Let's Encrypt. Its own certificate has to be one that the
    /// system trusts.
    pub directory_url: String,
}

impl Acme {
    /// The directory of Let's Encrypt.
    pub const LETS_ENCRYPT: &str = rustls_acme::acme::LETS_ENCRYPT_PRODUCTION_DIRECTORY;

    /// The directory of Let's Encrypt for tests, whose certificates browsers do not trust.
    pub const LETS_ENCRYPT_STAGING: &str = rustls_acme::acme::LETS_ENCRYPT_STAGING_DIRECTORY;

    /// A certificate of Let's Encrypt for these names. Using it means to agree to its terms of service.
    pub fn new(domains: impl IntoIterator<Item = impl Into<String>>, cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            domains: domains.into_iter().map(Into::into).collect(),
            cache_dir: cache_dir.into(),
            email: None,
            directory_url: Self::LETS_ENCRYPT.into(),
        }
    }

    /// Whether a certificate can be obtained for this name: a host name without a wildcard and without a dot at its end.
    pub fn is_valid_domain(name: &str) -> bool {
        let is_name = matches!(ServerName::try_from(name), Ok(ServerName::DnsName(_)));
        is_name && !name.contains('*') && !name.ends_with('.')
    }

    /// Whether this can be the URL of an authority's directory: one of `https`.
    pub fn is_valid_directory_url(url: &str) -> bool {
        let rest = url.strip_prefix("https://").and_then(|rest| rest.split('/').next());
        rest.is_some_and(|host| !host.is_empty()) && !url.contains(|c: char| c.is_whitespace() || c.is_control())
    }

    fn check(&self) -> Result<(), TlsError> {
        let invalid = |text: &str, problem: &str| Err(TlsError::Acme(format!("{text:?} {problem}")));
        if let Some(domain) = self.domains.iter().find(|domain| !Self::is_valid_domain(domain)) {
            return invalid(domain, "is no host name; expected one like api.example.com");
        }
        if self.domains.is_empty() {
            return Err(TlsError::Acme("expected at least one host name".into()));
        }
        if !Self::is_valid_directory_url(&self.directory_url) {
            return invalid(&self.directory_url, "is not the URL of an ACME directory; expected https://…");
        }
        Ok(())
    }
}

/// Obtains and renews a certificate.
pub(super) struct AcmeCertificate {
    /// For messages.
    domains: String,
    names: CertificateNames,
    resolver: Arc<dyn ResolvesServerCert>,
    /// Taken by the server that keeps the certificate up to date.
    state: Mutex<Option<Box<AcmeState<std::io::Error>>>>,
}

impl AcmeCertificate {
    pub(super) fn new(acme: &Acme) -> Result<Self, TlsError> {
        acme.check()?;
        let cache = AcmeCache::open(acme.cache_dir.clone())
            .map_err(|source| TlsError::Read { path: acme.cache_dir.clone(), source })?;
        let config = AcmeConfig::new_with_client_config(&acme.domains, Arc::new(client_config()?))
            .directory(&acme.directory_url)
            .contact(acme.email.iter().map(|email| format!("mailto:{email}")))
            .cache(cache);
        let state = config.state();
        Ok(Self {
            domains: acme.domains.join(", "),
            names: CertificateNames::new(&acme.domains),
            resolver: state.resolver(),
            state: Mutex::new(Some(Box::new(state))),
        })
    }

    pub(super) fn names(&self) -> &CertificateNames {
        &self.names
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.resolver)
    }

    /// Obtains the certificate and renews it, until the future is dropped.
    pub(super) async fn maintain(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Another server with the same settings does it.
        let Some(mut state) = state else { return std::future::pending().await };
        let domains = &self.domains;
        let mut delay = MIN_RETRY_DELAY;
        while let Some(event) = state.next().await {
            match event {
                Ok(EventOk::DeployedNewCert) => {
                    delay = MIN_RETRY_DELAY;
                    tracing::info!("obtained a certificate for {domains}");
                }
                Ok(EventOk::DeployedCachedCert) => tracing::info!("using the stored certificate for {domains}"),
                Ok(EventOk::CertCacheStore | EventOk::AccountCacheStore) => {}
                Err(rustls_acme::EventError::Order(error)) => {
                    tracing::error!(
                        "obtaining a certificate for {domains} failed, trying again in {} s: {error}",
                        delay.as_secs()
                    );
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(MAX_RETRY_DELAY);
                }
                Err(error) => tracing::error!("the stored certificate or account for {domains}: {error}"),
            }
        }
    }
}

impl fmt::Debug for AcmeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcmeCertificate").field("domains", &self.domains).finish_non_exhaustive()
    }
}

/// How the authority itself is reached: with the certificates that the system trusts.
fn client_config() -> Result<ClientConfig, TlsError> {
    let system = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(system.certs).0 == 0 {
        let errors: Vec<_> = system.errors.iter().map(ToString::to_string).collect();
        let problem = "this system trusts no certificates (on Debian, install ca-certificates)";
        return Err(TlsError::Acme(format!("{problem} {}", errors.join("; ")).trim_end().to_owned()));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_host_name_without_a_wildcard_and_a_final_dot() {
        for name in ["api.example.com", "API.example.com", "localhost"] {
            assert!(Acme::is_valid_domain(name), "{name}");
        }
        for name in ["api.example.com.", "*.example.com", "192.0.2.1", "", "a b"] {
            assert!(!Acme::is_valid_domain(name), "{name}");
        }
    }
}

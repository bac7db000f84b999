//! TLS as the settings describe it.

use std::error::Error;
use std::path::Path;

use aaw_server::BoundAddress;
use aaw_server::tls::{Acme, Tls};

use crate::settings::TlsSettings;

/// The port on which an ACME authority looks for the proof.
const CHALLENGE_PORT: u16 = 443;

/// Reads the certificate, or prepares to obtain one.
pub(crate) fn open(settings: &TlsSettings, static_dir: Option<&Path>) -> Result<Option<Tls>, Box<dyn Error>> {
    if let (Some(certificate), Some(key)) = (&settings.cert, &settings.key) {
        check_not_served(key, static_dir, "--tls-key")?;
        return Ok(Some(Tls::from_pem_files(certificate, key)?));
    }
    if settings.hosts.is_empty() {
        return Ok(None);
    }
    let acme = Acme {
        email: settings.email.clone(),
        directory_url: settings.directory.clone(),
        ..Acme::new(settings.hosts.iter().map(String::as_str), &settings.cache)
    };
    let tls = Tls::acme(&acme)?;
    check_not_served(settings.cache.as_ref(), static_dir, "--tls-cache")?;
    Ok(Some(tls))
}

/// Warns if the proof of `--tls` probably does not reach the server.
pub(crate) fn check_port(settings: &TlsSettings, addresses: &[BoundAddress]) {
    let is_reached =
        |address: &BoundAddress| matches!(address, BoundAddress::Tcp(address) if address.port() == CHALLENGE_PORT);
    if !settings.hosts.is_empty() && !addresses.iter().any(is_reached) {
        tracing::warn!(
            "the certificate authority connects to port {CHALLENGE_PORT} of {}, on which the server does not listen; \
             forward it, or use --port {CHALLENGE_PORT}",
            settings.hosts.join(", ")
        );
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

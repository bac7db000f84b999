//! TLS as the settings describe it.

use std::error::Error;
use std::path::Path;

use aaw_server::BoundAddress;
use aaw_server::tls::{Acme, Tls};

use crate::served_folder::check_not_served;
use crate::settings::TlsSettings;

/// The port on which an ACME authority looks for the proof.
const CHALLENGE_PORT: u16 = 443;

/// Reads the certificate, or prepares to obtain one.
pub(crate) fn open(settings: &TlsSettings, static_dir: Option<&Path>) -> Result<Option<Tls>, Box<dyn Error>> {
    let (tls, secret, flag) = match (&settings.cert, &settings.key) {
        (Some(certificate), Some(key)) => (Tls::from_pem_files(certificate, key)?, key.as_ref(), "--tls-key"),
        _ if settings.hosts.is_empty() => return Ok(None),
        _ => {
            let acme = Acme {
                email: settings.email.clone(),
                directory_url: settings.directory.clone(),
                ..Acme::new(settings.hosts.iter().map(String::as_str), &settings.cache)
            };
            (Tls::acme(&acme)?, settings.cache.as_ref(), "--tls-cache")
        }
    };
    check_not_served(secret, static_dir, "a private key", flag)?;
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

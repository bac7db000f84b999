//! TLS as the settings describe it.

use std::path::Path;

use aaw_server::BoundAddress;
use aaw_server::tls::{Acme, Tls, TlsError};

use crate::served_folder::check_not_served;
use crate::settings::{Settings, SettingsError, TlsSettings};

/// The port on which an ACME authority looks for the proof.
const CHALLENGE_PORT: u16 = 443;

/// Reads the certificate, or prepares to obtain one.
pub(crate) fn open(settings: &Settings) -> Result<Option<Tls>, SettingsError> {
    let tls = &settings.values.program.tls;
    if let (Some(certificate), Some(key)) = (&tls.cert, &tls.key) {
        check_places(settings)?;
        return Tls::from_pem_files(certificate, key).map(Some).map_err(|error| problem(settings, &error));
    }
    if tls.hosts.is_empty() {
        return Ok(None);
    }
    let acme = Acme {
        email: tls.email.clone(),
        directory_url: tls.directory.clone(),
        ..Acme::new(tls.hosts.iter().map(String::as_str), &tls.cache)
    };
    let opened = Tls::acme(&acme).map_err(|error| problem(settings, &error))?;
    // Its folder exists now.
    check_places(settings)?;
    Ok(Some(opened))
}

/// Checks the files of a certificate, without serving them.
pub(crate) fn check(settings: &Settings) -> Result<(), SettingsError> {
    check_places(settings)?;
    let TlsSettings { cert: Some(certificate), key: Some(key), .. } = &settings.values.program.tls else {
        return Ok(());
    };
    Tls::check_pem_files(certificate, key).map_err(|error| problem(settings, &error))
}

/// Checks that no private key is public.
fn check_places(settings: &Settings) -> Result<(), SettingsError> {
    const KEY: &str = "a private key";
    let TlsSettings { key, hosts, cache, .. } = &settings.values.program.tls;
    let static_dir = settings.values.config.http.static_dir.as_deref();
    if let Some(key) = key {
        check_not_served(key, static_dir, KEY, "--tls-key").map_err(|problem| settings.error("tls.key", &problem))?;
    }
    if !hosts.is_empty() {
        let cache = Path::new(cache);
        check_not_served(cache, static_dir, KEY, "--tls-cache")
            .map_err(|problem| settings.error("tls.cache", &problem))?;
    }
    Ok(())
}

/// The error as that of the setting that causes it.
fn problem(settings: &Settings, error: &TlsError) -> SettingsError {
    let tls = &settings.values.program.tls;
    let key = match error {
        TlsError::Read { path, .. } | TlsError::Invalid { path, .. } if tls.cert.as_ref() == Some(path) => "tls.cert",
        TlsError::Read { .. } if tls.cert.is_none() => "tls.cache",
        TlsError::Read { .. } | TlsError::Invalid { .. } | TlsError::Mismatch { .. } => "tls.key",
        _ if tls.cert.is_none() => "tls.hosts",
        _ => "tls.cert",
    };
    settings.error(key, error)
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

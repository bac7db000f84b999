//! The host names that a certificate is for.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The DNS names of a certificate's subject alternative names, in lower case. Its common name is not among them: no current client
/// compares that with a host. IP addresses are left out, since a server may always be reached by them; and so are wildcards: others
/// may control another name that one covers, and could make it lead to this server (DNS rebinding).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CertificateNames(Vec<String>);

impl CertificateNames {
    pub(super) fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let names = names.into_iter().map(|name| name.as_ref().trim_end_matches('.').to_ascii_lowercase());
        Self(names.filter(|name| !name.starts_with("*.")).collect())
    }

    /// The names of a certificate; none if it cannot be parsed.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        EndEntityCert::try_from(certificate).map(|parsed| Self::new(parsed.valid_dns_names())).unwrap_or_default()
    }

    pub(super) fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether the certificate names this host, which is in lower case.
    pub(super) fn contain(&self, host: &str) -> bool {
        self.0.iter().any(|name| name == host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_names_no_host() {
        let names = CertificateNames::new(["API.example.com.", "*.example.org"]);
        assert!(names.contain("api.example.com"));
        for host in ["example.com", "b.api.example.com", "example.org", "a.example.org", "*.example.org", "evil"] {
            assert!(!names.contain(host), "{host}");
        }
        assert_eq!(names.as_slice(), ["api.example.com"]);
    }
}

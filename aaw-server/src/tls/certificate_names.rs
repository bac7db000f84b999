//! The host names that a certificate is for.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The DNS names of a certificate's subject alternative names, in lower case. Its common name is not among them: no current client
/// compares that with a host. IP addresses are left out, since a server may always be reached by them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CertificateNames(Vec<String>);

impl CertificateNames {
    pub(super) fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self(names.into_iter().map(|name| name.as_ref().to_ascii_lowercase()).collect())
    }

    /// The names of a certificate; none if it cannot be parsed.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        EndEntityCert::try_from(certificate).map(|parsed| Self::new(parsed.valid_dns_names())).unwrap_or_default()
    }

    pub(super) fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether the certificate is for this host name, which is in lower case. A wildcard stands for one label (RFC 9525, 6.3).
    pub(super) fn contain(&self, host: &str) -> bool {
        self.0.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
            None => name == host,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let names = CertificateNames::new(["API.example.com", "*.example.org"]);
        for host in ["api.example.com", "a.example.org"] {
            assert!(names.contain(host), "{host}");
        }
        for host in ["example.com", "b.api.example.com", "example.org", ".example.org", "a.b.example.org", "evil"] {
            assert!(!names.contain(host), "{host}");
        }
    }
}

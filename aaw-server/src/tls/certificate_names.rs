//! The host names that a certificate is for.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The DNS names of a certificate's subject alternative names, in lower case and without a trailing dot. Its common name is not
/// among them: no current client compares that with a host. IP addresses are left out, since a server may always be reached by
/// them.
///
/// Wildcards are left out as well: others may own a name that one covers, such as the customer of a hosting company in whose
/// domain this server is, and let it resolve to this server (DNS rebinding).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CertificateNames(Vec<String>);

impl CertificateNames {
    pub(super) fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let names = names.into_iter().map(|name| {
            let name = name.as_ref();
            name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
        });
        Self(names.filter(|name| !name.contains('*')).collect())
    }

    /// The names of a certificate; none if it cannot be parsed.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        EndEntityCert::try_from(certificate).map(|parsed| Self::new(parsed.valid_dns_names())).unwrap_or_default()
    }

    pub(super) fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether the certificate is for this host name, which is in lower case.
    pub(super) fn contain(&self, host: &str) -> bool {
        self.0.iter().any(|name| name == host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_their_case_and_final_dot_and_wildcards_name_no_host() {
        let names = CertificateNames::new(["API.example.com", "www.example.com.", "*.example.org"]);
        assert_eq!(names.as_slice(), ["api.example.com", "www.example.com"]);
        for host in ["api.example.com", "www.example.com"] {
            assert!(names.contain(host), "{host}");
        }
        for host in ["example.com", "b.api.example.com", "example.org", "a.example.org", "*.example.org", "evil"] {
            assert!(!names.contain(host), "{host}");
        }
    }
}

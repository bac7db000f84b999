//! Which requests may connect, decided from their `Origin` and `Host` headers alone.
//!
//! Browsers send the origin of the page that makes a request in `Origin` (RFC 6454); programs send no such header. The
//! peer's address proves nothing: behind a proxy every peer is loopback. A server that is bound to loopback trusts its
//! machine, so a page must not reach it through a name of its own that resolves to loopback (DNS rebinding): such a
//! server also checks the `Host`.

use aaw_protocol::Shortened;

use crate::origin::{AllowedOrigin, Authority, Origin};

/// Why a request is rejected. The text is the body of the 403 response, and is logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginCheckError {
    #[error("The request has no valid Host header")]
    InvalidHost,
    #[error(
        "The host {0:?} is not a name of this server: it listens on loopback only. \
         If a proxy in front of the server uses that name, start the server with --allow-origin https://{0}"
    )]
    ForeignHost(String),
    #[error("The origin {0:?} is not allowed. To allow pages of that origin, start the server with --allow-origin {0}")]
    ForeignOrigin(String),
    #[error(
        "The origin null (of a local file, a sandboxed page or a redirect) is not allowed. \
         Serve the page from an http or https address"
    )]
    NullOrigin,
}

/// The rules of one server.
#[derive(Debug, Clone)]
pub(crate) struct OriginCheck {
    /// The server listens on loopback, so only this machine can reach it.
    pub(crate) on_loopback: bool,
    pub(crate) allowed: Vec<AllowedOrigin>,
}

impl OriginCheck {
    /// Checks the `Origin` and the `Host` of a request. A request without an `Origin` passes if its host does.
    pub(crate) fn check(&self, origin: Option<&str>, host: Option<&str>) -> Result<(), OriginCheckError> {
        let host = host.and_then(Authority::parse).ok_or(OriginCheckError::InvalidHost)?;
        if self.on_loopback && !host.is_loopback() && !self.allowed.iter().any(|allowed| allowed.names_host(&host)) {
            return Err(OriginCheckError::ForeignHost(Shortened(&host.to_string()).to_string()));
        }
        let Some(origin) = origin else { return Ok(()) };
        if origin.eq_ignore_ascii_case("null") {
            // Not even `*` allows it: a sandboxed page of any site has the origin `null`.
            return Err(OriginCheckError::NullOrigin);
        }
        let foreign = || OriginCheckError::ForeignOrigin(Shortened(origin).to_string());
        let origin = Origin::parse(origin).ok_or_else(foreign)?;
        let is_same = origin.is_at(&host);
        let are_both_loopback = origin.is_loopback_page() && host.is_loopback();
        if is_same || are_both_loopback || self.allowed.iter().any(|allowed| allowed.allows(&origin)) {
            Ok(())
        } else {
            Err(foreign())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin_check(on_loopback: bool, allowed: &[&str]) -> OriginCheck {
        OriginCheck { on_loopback, allowed: allowed.iter().map(|text| text.parse().unwrap()).collect() }
    }

    #[test]
    fn a_request_without_an_origin_passes() {
        assert_eq!(origin_check(true, &[]).check(None, Some("localhost:1337")), Ok(()));
        assert_eq!(origin_check(false, &[]).check(None, Some("api.example.com")), Ok(()));
    }

    #[test]
    fn a_page_of_the_same_host_and_port_passes() {
        let open = origin_check(false, &[]);
        for (origin, host) in [
            ("http://api.example.com", "api.example.com"),
            ("http://api.example.com", "API.example.com:80"),
            ("https://api.example.com", "api.example.com"),
            ("https://api.example.com", "api.example.com:443"),
            ("http://10.0.0.7:1337", "10.0.0.7:1337"),
            ("http://[2001:db8::1]:1337", "[2001:db8::1]:1337"),
        ] {
            assert_eq!(open.check(Some(origin), Some(host)), Ok(()), "{origin} at {host}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_rejected() {
        let open = origin_check(false, &[]);
        for (origin, host) in [
            ("https://evil.example", "api.example.com"),
            ("http://api.example.com:8080", "api.example.com:1337"),
            ("http://api.example.com.evil.example", "api.example.com"),
            ("http://localhost:5173", "api.example.com"),
            ("http://api.example.com:443", "api.example.com"),
            ("not an origin", "api.example.com"),
            ("", "api.example.com"),
        ] {
            let checked = open.check(Some(origin), Some(host));
            assert!(matches!(checked, Err(OriginCheckError::ForeignOrigin(_))), "{origin} at {host}: {checked:?}");
        }
        assert_eq!(open.check(Some("null"), Some("api.example.com")), Err(OriginCheckError::NullOrigin));
    }

    #[test]
    fn a_page_on_any_loopback_port_passes_at_a_loopback_host() {
        let local = origin_check(true, &[]);
        for (origin, host) in [
            ("http://localhost:5173", "localhost:1337"),
            ("http://127.0.0.1:5173", "localhost:1337"),
            ("http://app.localhost", "[::1]:1337"),
            ("http://localhost:5173", "[::ffff:127.0.0.1]:1337"),
        ] {
            assert_eq!(local.check(Some(origin), Some(host)), Ok(()), "{origin} at {host}");
        }
    }

    #[test]
    fn a_foreign_host_is_rejected_on_loopback() {
        let local = origin_check(true, &[]);
        let rejected = Err(OriginCheckError::ForeignHost("evil.example:1337".into()));
        assert_eq!(local.check(Some("http://evil.example:1337"), Some("evil.example:1337")), rejected);
        assert_eq!(local.check(None, Some("evil.example:1337")), rejected);
        assert_eq!(local.check(None, None), Err(OriginCheckError::InvalidHost));
        assert_eq!(local.check(None, Some("a b")), Err(OriginCheckError::InvalidHost));
        assert!(local.check(Some("chrome-extension://localhost"), Some("localhost:1337")).is_err());
        assert!(local.check(None, Some("127.0.0.1.evil.example")).is_err());
        assert!(local.check(None, Some("localhost.evil.example")).is_err());
    }

    #[test]
    fn an_allowed_origin_passes_and_similar_ones_do_not() {
        let local = origin_check(true, &["https://app.example.com", "http://dev.example:5173"]);
        assert_eq!(local.check(Some("https://app.example.com"), Some("localhost:1337")), Ok(()));
        assert_eq!(local.check(Some("https://app.example.com"), Some("app.example.com")), Ok(()));
        assert_eq!(local.check(Some("http://dev.example:5173"), Some("127.0.0.1:1337")), Ok(()));
        assert!(local.check(Some("http://app.example.com"), Some("localhost:1337")).is_err());
        assert!(local.check(Some("http://dev.example:5174"), Some("localhost:1337")).is_err());
        assert_eq!(local.check(Some("null"), Some("localhost")), Err(OriginCheckError::NullOrigin));
    }

    #[test]
    fn a_star_allows_every_origin_but_no_foreign_host() {
        let local = origin_check(true, &["*"]);
        assert_eq!(local.check(Some("https://any.example"), Some("localhost:1337")), Ok(()));
        assert_eq!(local.check(Some("null"), Some("localhost:1337")), Err(OriginCheckError::NullOrigin));
        assert!(local.check(Some("http://evil.example"), Some("evil.example")).is_err());
    }
}

//! Which requests may connect, decided from their `Origin` and `Host` headers alone.
//!
//! Browsers send the origin of the page that makes a request in `Origin` (RFC 6454); programs send no such header. The
//! peer's address proves nothing: behind a proxy every peer is loopback. A server that is bound to loopback trusts its
//! machine, so a page must not reach it through a name of its own that resolves to loopback (DNS rebinding): such a
//! server also checks the `Host`.

use aaw_protocol::Shortened;

use crate::origin::{AllowedOrigin, Authority, Origin};

/// Why a request is rejected. The text is the body of the response, and is logged. What it advises is complete: hosts and
/// origins that are parsed have a limited length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginCheckError {
    #[error("Expected one valid Host header")]
    InvalidHost,
    #[error(
        "The host {host:?} is not a name of this server: it listens on loopback only. \
         If a proxy in front of the server uses that name, start the server with --allow-origin {advice}"
    )]
    ForeignHost {
        host: String,
        /// An origin that allows the host.
        advice: String,
    },
    #[error("The origin {0:?} is not allowed. To allow pages of that origin, start the server with --allow-origin {0}")]
    ForeignOrigin(String),
    #[error(
        "The origin null is not allowed: the page is a local file, or sandboxed. Serve it from an http or https address; \
         or, since pages of any site can have that origin, only on a machine of your own: start the server with \
         --allow-origin null"
    )]
    NullOrigin,
    #[error("The origin {0:?} is not allowed, and not valid: expected one like https://app.example.com")]
    InvalidOrigin(String),
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
        let parsed = origin.map(Origin::parse);
        if self.on_loopback && !host.is_loopback() && !self.allowed.iter().any(|allowed| allowed.names_host(&host)) {
            // The host that a proxy passes on may lack the port; the origin of a page of the same host has it.
            let page = parsed.flatten().filter(|origin| origin.has_name_of(&host));
            let advice = page.map_or_else(|| format!("https://{host}"), |origin| origin.to_string());
            return Err(OriginCheckError::ForeignHost { host: host.to_string(), advice });
        }
        let (Some(origin), Some(parsed)) = (origin, parsed) else { return Ok(()) };
        if self.allowed.iter().any(AllowedOrigin::allows_all) {
            return Ok(());
        }
        let Some(parsed) = parsed else {
            return Err(OriginCheckError::InvalidOrigin(Shortened(origin).to_string()));
        };
        let is_same = parsed.is_at(&host);
        let are_both_loopback = parsed.is_loopback_page() && host.is_loopback();
        if is_same || are_both_loopback || self.allowed.iter().any(|allowed| allowed.allows(&parsed)) {
            return Ok(());
        }
        Err(match parsed {
            // A sandboxed page of any site has it, so that whoever allows it allows nearly all.
            Origin::Null => OriginCheckError::NullOrigin,
            parsed => OriginCheckError::ForeignOrigin(parsed.to_string()),
        })
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
            ("file://", "api.example.com"),
            ("chrome-extension://abcdef", "api.example.com"),
        ] {
            let checked = open.check(Some(origin), Some(host));
            assert!(matches!(checked, Err(OriginCheckError::ForeignOrigin(_))), "{origin} at {host}: {checked:?}");
        }
        for origin in ["not an origin", "", "http://", "file:///etc/passwd", "https://a.example https://b.example"] {
            let checked = open.check(Some(origin), Some("api.example.com"));
            assert_eq!(checked, Err(OriginCheckError::InvalidOrigin(origin.into())), "{origin}");
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
        let rejected =
            |host: &str, advice: &str| Err(OriginCheckError::ForeignHost { host: host.into(), advice: advice.into() });
        let host = "evil.example:1337";
        assert_eq!(
            local.check(Some("http://evil.example:1337"), Some(host)),
            rejected(host, "http://evil.example:1337")
        );
        assert_eq!(local.check(None, Some(host)), rejected(host, "https://evil.example:1337"));
        assert_eq!(local.check(Some("https://x.example"), Some(host)), rejected(host, "https://evil.example:1337"));
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
    fn a_host_without_the_port_of_its_origin_is_named_by_the_origin_and_can_be_allowed() {
        // A proxy on port 8443 that passes on the name only.
        let (origin, host) = ("https://api.example.org:8443", "api.example.org");
        let advice = |checked: Result<(), OriginCheckError>| {
            let text = checked.expect_err("not allowed yet").to_string();
            text.rsplit_once("--allow-origin ").expect("advice").1.to_owned()
        };
        for on_loopback in [true, false] {
            let advice = advice(origin_check(on_loopback, &[]).check(Some(origin), Some(host)));
            assert_eq!(advice, origin);
            let allowing = origin_check(on_loopback, &[&advice]);
            assert_eq!(allowing.check(Some(origin), Some(host)), Ok(()));
            assert_eq!(allowing.check(None, Some(host)), Ok(()));
            assert!(allowing.check(Some("https://api.example.org"), Some("localhost")).is_err());
        }
    }

    #[test]
    fn whatever_is_advised_can_be_allowed() {
        let long = format!("https://{}.example", "x".repeat(240));
        for (origin, host) in [
            ("null", "localhost:1337"),
            ("file://", "localhost:1337"),
            ("chrome-extension://abcdef", "localhost:1337"),
            ("HTTPS://App.Example:443", "localhost:1337"),
            ("https://app.example.", "localhost:1337"),
            ("http://[2001:db8::1]:80", "localhost:1337"),
            (&long, "localhost:1337"),
            ("https://app.example", "api.example:1337"),
        ] {
            let check = |allowed: &[String]| {
                let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
                origin_check(true, &allowed).check(Some(origin), Some(host))
            };
            let mut allowed = Vec::new();
            // A foreign host and a foreign origin are advised one after the other.
            while let Err(error) = check(&allowed) {
                assert!(allowed.len() < 2, "{origin} at {host}: {error}");
                let text = error.to_string();
                allowed.push(text.rsplit_once("--allow-origin ").expect("advice").1.to_owned());
            }
        }
    }

    #[test]
    fn null_and_schemes_without_a_host_pass_if_they_are_allowed() {
        for origin in ["null", "file://"] {
            let local = origin_check(true, &[origin]);
            assert_eq!(local.check(Some(origin), Some("localhost:1337")), Ok(()), "{origin}");
            assert!(local.check(Some("https://any.example"), Some("localhost:1337")).is_err());
            assert!(local.check(Some("content://"), Some("localhost:1337")).is_err());
            assert!(local.check(None, Some("evil.example")).is_err());
        }
    }

    #[test]
    fn a_star_allows_every_origin_but_no_foreign_host() {
        let local = origin_check(true, &["*"]);
        assert_eq!(local.check(Some("https://any.example"), Some("localhost:1337")), Ok(()));
        for origin in ["null", "file://", "chrome-extension://abcdef", "anything"] {
            assert_eq!(local.check(Some(origin), Some("localhost:1337")), Ok(()), "{origin}");
        }
        assert!(local.check(Some("http://evil.example"), Some("evil.example")).is_err());
    }
}

//! Who may connect, decided from `Origin` and `Host` alone.
//!
//! Browsers name in `Origin` (RFC 6454) the page that asks; programs name none. The peer's address proves nothing: behind
//! a proxy every peer is loopback. And a server that is bound to loopback trusts its machine, so it must not be reached
//! by a page whose own name was made to point there (DNS rebinding): there the `Host` is checked too.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use aaw_protocol::Shortened;

/// An origin that may connect, as `--allow-origin` names it: `https://app.example.com`, with a port if it is not the
/// scheme's own, or `*` for every origin.
///
/// ```
/// use aaw_server::config::AllowedOrigin;
///
/// let origin: AllowedOrigin = "https://app.example.com".parse()?;
/// assert!("app.example.com".parse::<AllowedOrigin>().is_err());
/// # Ok::<(), aaw_server::config::InvalidOrigin>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigin(Allowed);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Any,
    Origin(Origin),
}

/// Why a text is not an [`AllowedOrigin`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no origin; expected one like https://app.example.com or http://localhost:5173, or * for all")]
pub struct InvalidOrigin(String);

impl FromStr for AllowedOrigin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self(Allowed::Any));
        }
        // A trailing slash is what one copies from the address bar.
        let origin = Origin::parse(text.strip_suffix('/').unwrap_or(text));
        origin.map(|origin| Self(Allowed::Origin(origin))).ok_or_else(|| InvalidOrigin(text.into()))
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Allowed::Any => f.write_str("*"),
            Allowed::Origin(Origin { scheme, authority: Authority { host, port } }) => {
                write!(f, "{scheme}://{host}")?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

/// Why a request was not let in. The text is its answer (403) and the log's line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The request has no valid Host header")]
    NoHost,
    #[error(
        "The host {0:?} is not one of this server's names: it listens on loopback only. \
         If a proxy in front of it uses that name, start it with --allow-origin https://{0}"
    )]
    ForeignHost(String),
    #[error(
        "The origin {0:?} is not allowed. To let pages from there connect, start the server with --allow-origin {0}"
    )]
    ForeignOrigin(String),
    #[error("The origin null (a file, a sandbox or a redirect) is not allowed")]
    NullOrigin,
}

/// What requests are judged by.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// Whether only this machine can reach the server.
    pub(crate) on_loopback: bool,
    pub(crate) allowed: Vec<AllowedOrigin>,
}

impl Admission {
    /// Judges a request by its `Origin` and `Host` headers.
    pub(crate) fn judge(&self, origin: Option<&str>, host: Option<&str>) -> Result<(), Refusal> {
        let host = host.and_then(Authority::parse).ok_or(Refusal::NoHost)?;
        if self.on_loopback && !host.is_loopback() && !self.allows_host(&host) {
            return Err(Refusal::ForeignHost(Shortened(&host.to_string()).to_string()));
        }
        let Some(origin) = origin else { return Ok(()) };
        if origin.eq_ignore_ascii_case("null") {
            // Never by `*`: a sandboxed page of anybody's is `null`.
            return Err(Refusal::NullOrigin);
        }
        let foreign = || Refusal::ForeignOrigin(Shortened(origin).to_string());
        let origin = Origin::parse(origin).ok_or_else(foreign)?;
        let same = origin.authority.host == host.host && origin.port() == host.port.or(origin.default_port());
        let is_page = matches!(origin.scheme.as_str(), "http" | "https");
        let both_loopback = is_page && origin.authority.is_loopback() && host.is_loopback();
        if same || both_loopback || self.allows(&origin) { Ok(()) } else { Err(foreign()) }
    }

    fn allows(&self, origin: &Origin) -> bool {
        self.allowed.iter().any(|AllowedOrigin(allowed)| match allowed {
            Allowed::Any => true,
            Allowed::Origin(allowed) => {
                allowed.scheme == origin.scheme
                    && allowed.authority.host == origin.authority.host
                    && allowed.port() == origin.port()
            }
        })
    }

    /// Whether a host was named with `--allow-origin`. `*` names none: it opens the server to pages, not to names.
    fn allows_host(&self, host: &Authority) -> bool {
        self.allowed.iter().any(|AllowedOrigin(allowed)| match allowed {
            Allowed::Any => false,
            Allowed::Origin(allowed) => {
                allowed.authority.host == host.host && allowed.port() == host.port.or(allowed.default_port())
            }
        })
    }
}

/// Scheme, host and port (RFC 6454, 4).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    authority: Authority,
}

/// A host in lower case, and a port if one was named.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme_is_valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        scheme_is_valid.then_some(())?;
        Some(Self { scheme: scheme.to_ascii_lowercase(), authority: Authority::parse(rest)? })
    }

    fn default_port(&self) -> Option<u16> {
        match self.scheme.as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        }
    }

    fn port(&self) -> Option<u16> {
        self.authority.port.or(self.default_port())
    }
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        // The colons of an IPv6 address are within brackets.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            None | Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
        };
        let host_is_valid = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
            }
        };
        // A name may end in the dot of the root.
        let host = host.strip_suffix('.').unwrap_or(host);
        host_is_valid.then(|| Self { host: host.to_ascii_lowercase(), port })
    }

    fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>()
            .map_or_else(|_| bare == "localhost" || bare.ends_with(".localhost"), |ip| ip.to_canonical().is_loopback())
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(on_loopback: bool, allowed: &[&str]) -> Admission {
        Admission { on_loopback, allowed: allowed.iter().map(|text| text.parse().unwrap()).collect() }
    }

    #[test]
    fn programs_name_no_origin_and_pass() {
        assert_eq!(admission(true, &[]).judge(None, Some("localhost:1337")), Ok(()));
        assert_eq!(admission(false, &[]).judge(None, Some("api.example.com")), Ok(()));
    }

    #[test]
    fn a_page_of_the_same_host_and_port_passes() {
        let open = admission(false, &[]);
        for (origin, host) in [
            ("http://api.example.com", "api.example.com"),
            ("http://api.example.com", "API.example.com:80"),
            ("https://api.example.com", "api.example.com"),
            ("https://api.example.com", "api.example.com:443"),
            ("http://10.0.0.7:1337", "10.0.0.7:1337"),
            ("http://[2001:db8::1]:1337", "[2001:db8::1]:1337"),
        ] {
            assert_eq!(open.judge(Some(origin), Some(host)), Ok(()), "{origin} at {host}");
        }
    }

    #[test]
    fn a_page_from_elsewhere_does_not() {
        let open = admission(false, &[]);
        for (origin, host) in [
            ("https://evil.example", "api.example.com"),
            ("http://api.example.com:8080", "api.example.com:1337"),
            ("http://api.example.com.evil.example", "api.example.com"),
            ("http://localhost:5173", "api.example.com"),
            ("http://api.example.com:443", "api.example.com"),
            ("not an origin", "api.example.com"),
            ("", "api.example.com"),
        ] {
            let refused = open.judge(Some(origin), Some(host));
            assert!(matches!(refused, Err(Refusal::ForeignOrigin(_))), "{origin} at {host}: {refused:?}");
        }
        assert_eq!(open.judge(Some("null"), Some("api.example.com")), Err(Refusal::NullOrigin));
    }

    #[test]
    fn a_page_of_this_machine_reaches_a_server_of_this_machine_on_any_port() {
        let local = admission(true, &[]);
        for (origin, host) in [
            ("http://localhost:5173", "localhost:1337"),
            ("http://127.0.0.1:5173", "localhost:1337"),
            ("http://app.localhost", "[::1]:1337"),
            ("http://localhost:5173", "[::ffff:127.0.0.1]:1337"),
        ] {
            assert_eq!(local.judge(Some(origin), Some(host)), Ok(()), "{origin} at {host}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_point_to_loopback_is_refused() {
        let local = admission(true, &[]);
        let refused = Err(Refusal::ForeignHost("evil.example:1337".into()));
        assert_eq!(local.judge(Some("http://evil.example:1337"), Some("evil.example:1337")), refused);
        assert_eq!(local.judge(None, Some("evil.example:1337")), refused);
        assert_eq!(local.judge(None, None), Err(Refusal::NoHost));
        assert_eq!(local.judge(None, Some("a b")), Err(Refusal::NoHost));
        assert!(local.judge(Some("chrome-extension://localhost"), Some("localhost:1337")).is_err());
        assert!(local.judge(None, Some("127.0.0.1.evil.example")).is_err());
        assert!(local.judge(None, Some("localhost.evil.example")).is_err());
    }

    #[test]
    fn what_was_allowed_passes_and_nothing_beside_it() {
        let local = admission(true, &["https://app.example.com", "http://dev.example:5173"]);
        assert_eq!(local.judge(Some("https://app.example.com"), Some("localhost:1337")), Ok(()));
        assert_eq!(local.judge(Some("https://app.example.com"), Some("app.example.com")), Ok(()));
        assert_eq!(local.judge(Some("http://dev.example:5173"), Some("127.0.0.1:1337")), Ok(()));
        assert!(local.judge(Some("http://app.example.com"), Some("localhost:1337")).is_err());
        assert!(local.judge(Some("http://dev.example:5174"), Some("localhost:1337")).is_err());
        assert_eq!(local.judge(Some("null"), Some("localhost")), Err(Refusal::NullOrigin));
    }

    #[test]
    fn a_star_opens_to_every_page_but_to_no_foreign_name() {
        let local = admission(true, &["*"]);
        assert_eq!(local.judge(Some("https://any.example"), Some("localhost:1337")), Ok(()));
        assert_eq!(local.judge(Some("null"), Some("localhost:1337")), Err(Refusal::NullOrigin));
        assert!(local.judge(Some("http://evil.example"), Some("evil.example")).is_err());
    }

    #[test]
    fn a_text_that_is_no_origin_is_named() {
        for bad in
            ["example.com", "https://", "https://a b", "https://a/path", "://x", "https://x:port", "", "https://u@x"]
        {
            assert!(bad.parse::<AllowedOrigin>().unwrap_err().to_string().contains("is no origin"), "{bad}");
        }
        assert_eq!("https://App.Example.com/".parse::<AllowedOrigin>().unwrap().to_string(), "https://app.example.com");
    }
}

//! Origins (RFC 6454) and hosts, parsed: those of requests, and those that the config allows.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An origin whose pages may connect, in the form of `--allow-origin`: `https://app.example.com`, with a port if it is
/// not the default port of the scheme, or `*` for every origin.
///
/// ```
/// use aaw_server::config::AllowedOrigin;
///
/// let origin: AllowedOrigin = "https://app.example.com".parse()?;
/// assert!("app.example.com".parse::<AllowedOrigin>().is_err());
/// # Ok::<(), aaw_server::config::InvalidOrigin>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigin(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    Exact(Origin),
}

/// The error of parsing an [`AllowedOrigin`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid origin {0:?}: expected one like https://app.example.com or http://localhost:5173, or * for all")]
pub struct InvalidOrigin(String);

impl AllowedOrigin {
    /// Whether pages of this origin may connect.
    pub(crate) fn allows(&self, origin: &Origin) -> bool {
        match &self.0 {
            Pattern::Any => true,
            Pattern::Exact(allowed) => {
                allowed.scheme == origin.scheme
                    && allowed.authority.host == origin.authority.host
                    && allowed.port() == origin.port()
            }
        }
    }

    /// Whether this origin names the host. `*` names none: it admits the pages of every origin, but does not make the
    /// server reachable under every name.
    pub(crate) fn names_host(&self, host: &Authority) -> bool {
        match &self.0 {
            Pattern::Any => false,
            Pattern::Exact(allowed) => allowed.is_at(host),
        }
    }
}

impl FromStr for AllowedOrigin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self(Pattern::Any));
        }
        // An address copied from a browser ends with a slash.
        let origin = Origin::parse(text.strip_suffix('/').unwrap_or(text));
        origin.map(|origin| Self(Pattern::Exact(origin))).ok_or_else(|| InvalidOrigin(text.into()))
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Any => f.write_str("*"),
            Pattern::Exact(Origin { scheme, authority }) => write!(f, "{scheme}://{authority}"),
        }
    }
}

/// Scheme, host and port (RFC 6454, 4). The scheme is in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    authority: Authority,
}

/// A host in lower case, and the port if the text has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    host: String,
    port: Option<u16>,
}

impl Origin {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme_is_valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        scheme_is_valid.then_some(())?;
        Some(Self { scheme: scheme.to_ascii_lowercase(), authority: Authority::parse(rest)? })
    }

    /// Whether the host and port are those of `host`. A port that `host` leaves out is the default of this scheme.
    pub(crate) fn is_at(&self, host: &Authority) -> bool {
        self.authority.host == host.host && self.port() == host.port.or(self.default_port())
    }

    /// Whether this is a web page of this machine.
    pub(crate) fn is_loopback_page(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https") && self.authority.is_loopback()
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
    pub(crate) fn parse(text: &str) -> Option<Self> {
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
            Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
            }
        };
        // A fully qualified name may end with the dot of the root zone.
        let host = host.strip_suffix('.').unwrap_or(host);
        host_is_valid.then(|| Self { host: host.to_ascii_lowercase(), port })
    }

    pub(crate) fn is_loopback(&self) -> bool {
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

    #[test]
    fn an_allowed_origin_needs_a_scheme_and_a_host_and_has_no_path() {
        for bad in
            ["example.com", "https://", "https://a b", "https://a/path", "://x", "https://x:port", "", "https://u@x"]
        {
            assert!(bad.parse::<AllowedOrigin>().unwrap_err().to_string().contains("invalid origin"), "{bad}");
        }
    }

    #[test]
    fn an_allowed_origin_is_printed_in_lower_case_without_a_trailing_slash() {
        for (text, printed) in [
            ("https://App.Example.com/", "https://app.example.com"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("*", "*"),
        ] {
            assert_eq!(text.parse::<AllowedOrigin>().unwrap().to_string(), printed);
        }
    }
}

//! Origins (RFC 6454) and hosts, parsed: those of requests, and those that the config allows.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// An origin whose pages may connect, in the form of `--allow-origin`:
///
/// - `https://app.example.com`, with a port if it is not the default port of the scheme;
/// - `file://` for pages opened as files, as some browsers name them, and other schemes without a host;
/// - `null` for pages whose origin browsers do not tell: most of those opened as files, and sandboxed pages **of any
///   site**;
/// - `*` for every origin, `null` included.
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
#[error(
    "invalid origin {0:?}: expected one like https://app.example.com or http://localhost:5173, file://, null, or * for all"
)]
pub struct InvalidOrigin(String);

impl AllowedOrigin {
    /// Whether pages of every origin may connect, whatever their browser sends as their origin.
    pub(crate) fn allows_all(&self) -> bool {
        self.0 == Pattern::Any
    }

    /// Whether pages of this origin may connect.
    pub(crate) fn allows(&self, origin: &Origin) -> bool {
        match &self.0 {
            Pattern::Any => true,
            Pattern::Exact(allowed) => allowed.is_same(origin),
        }
    }

    /// Whether this origin names the host, with any port. `*` names none: it admits the pages of every origin, but does
    /// not make the server reachable under every name.
    ///
    /// The check of hosts is one of names: who controls an allowed name may connect with any port. A proxy may leave the
    /// port out, or pass on its own.
    pub(crate) fn names_host(&self, host: &Authority) -> bool {
        match &self.0 {
            Pattern::Exact(Origin::Site { authority, .. }) => authority.has_same_name(host),
            Pattern::Exact(_) | Pattern::Any => false,
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
        let origin = Origin::parse(text).or_else(|| Origin::parse(text.strip_suffix('/')?));
        origin.map(|origin| Self(Pattern::Exact(origin))).ok_or_else(|| InvalidOrigin(text.into()))
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Any => f.write_str("*"),
            Pattern::Exact(origin) => origin.fmt(f),
        }
    }
}

/// The origin of a page (RFC 6454, 4 and 6.1). Schemes are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Scheme, host and port.
    Site { scheme: String, authority: Authority },
    /// A scheme without hosts, `file://` for example.
    Hostless { scheme: String },
    /// `null`: the browser does not tell.
    Null,
}

/// The scheme of the address at which a client reaches the server. A WebSocket has that of its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A host in lower case, and the port if the text has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    host: String,
    port: Option<u16>,
}

/// The longest scheme and the longest host that are accepted, in bytes: an error that names them is to be complete.
const MAX_SCHEME_LEN: usize = 64;
/// As above. Names of the DNS are shorter.
const MAX_HOST_LEN: usize = 255;

impl Origin {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("null") {
            return Some(Self::Null);
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme_is_valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.len() <= MAX_SCHEME_LEN
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        scheme_is_valid.then_some(())?;
        let scheme = scheme.to_ascii_lowercase();
        if rest.is_empty() && default_port(&scheme).is_none() {
            return Some(Self::Hostless { scheme });
        }
        Some(Self::Site { scheme, authority: Authority::parse(rest)? })
    }

    /// Whether the scheme is this one of a request.
    pub(crate) fn has_scheme(&self, of: Scheme) -> bool {
        matches!(self, Self::Site { scheme, .. } if scheme == of.as_str())
    }

    /// Whether the host and port are those of `host`. A port that `host` leaves out is the default of this scheme.
    pub(crate) fn is_at(&self, host: &Authority) -> bool {
        let Self::Site { scheme, authority } = self else { return false };
        let default = default_port(scheme);
        authority.host == host.host && authority.port.or(default) == host.port.or(default)
    }

    /// Whether the host is that of `host`, with any port.
    pub(crate) fn has_name_of(&self, host: &Authority) -> bool {
        matches!(self, Self::Site { authority, .. } if authority.has_same_name(host))
    }

    /// Whether this is a web page of this machine.
    pub(crate) fn is_loopback_page(&self) -> bool {
        matches!(self, Self::Site { scheme, authority }
            if matches!(scheme.as_str(), "http" | "https") && authority.is_loopback())
    }

    /// Whether the two are equal once default ports are filled in.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Site { scheme, .. }, Self::Site { scheme: other_scheme, authority }) => {
                scheme == other_scheme && self.is_at(authority)
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site { scheme, authority } => write!(f, "{scheme}://{authority}"),
            Self::Hostless { scheme } => write!(f, "{scheme}://"),
            Self::Null => f.write_str("null"),
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
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
        (host_is_valid && (1..=MAX_HOST_LEN).contains(&host.len()))
            .then(|| Self { host: host.to_ascii_lowercase(), port })
    }

    pub(crate) fn is_loopback(&self) -> bool {
        match self.ip() {
            Some(ip) => ip.to_canonical().is_loopback(),
            None => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// The host in lower case, without the port. An IPv6 address has its brackets.
    pub(crate) fn name(&self) -> &str {
        &self.host
    }

    /// Whether the host is an IP address. No page can make a browser send one to another address (DNS rebinding).
    pub(crate) fn is_ip(&self) -> bool {
        self.ip().is_some()
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    fn has_same_name(&self, other: &Self) -> bool {
        self.host == other.host
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
        for bad in [
            "example.com",
            "https://",
            "https://a b",
            "https://a/path",
            "://x",
            "https://x:port",
            "",
            "https://u@x",
            "file:",
        ] {
            assert!(bad.parse::<AllowedOrigin>().unwrap_err().to_string().contains("invalid origin"), "{bad}");
        }
    }

    #[test]
    fn an_allowed_origin_is_printed_in_lower_case_without_a_trailing_slash() {
        for (text, printed) in [
            ("https://App.Example.com/", "https://app.example.com"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("*", "*"),
            ("FILE://", "file://"),
            ("file:///", "file://"),
            ("null", "null"),
            ("app://obsidian.md", "app://obsidian.md"),
        ] {
            assert_eq!(text.parse::<AllowedOrigin>().unwrap().to_string(), printed);
        }
    }
}

//! The addresses that a server listens on, as text.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on: `127.0.0.1:1337`, `[::]:443`, `example.com:443`, a host without a port (that of
/// [`Config::port`](crate::Config::port)), or `unix:/run/aaw.sock`.
///
/// ```
/// use aaw_server::Config;
///
/// let listen = vec!["127.0.0.1:1337".parse()?, "[::1]:1337".parse()?, "unix:/run/aaw.sock".parse()?];
/// let config = Config { listen, ..Config::default() };
/// # drop(config);
/// # Ok::<(), aaw_server::config::InvalidListenAddress>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenAddress {
    /// A TCP port.
    Tcp {
        /// An address or a name, an IPv6 address without brackets.
        host: String,
        /// The port; `None` for that of [`Config::port`](crate::Config::port). 0 selects a free one.
        port: Option<u16>,
    },
    /// A Unix domain socket at this path, on Unix only.
    Unix(PathBuf),
}

/// The text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid address {text:?}: {reason}; expected HOST:PORT, such as 127.0.0.1:1337 or [::]:443, or unix:PATH")]
pub struct InvalidListenAddress {
    text: String,
    reason: &'static str,
}

impl FromStr for ListenAddress {
    type Err = InvalidListenAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidListenAddress { text: text.to_owned(), reason };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(invalid("the path is missing")),
                path => Ok(Self::Unix(path.into())),
            };
        }
        // An IPv6 address without brackets has no port.
        if text.parse::<IpAddr>().is_ok() {
            return Ok(Self::Tcp { host: text.to_owned(), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| invalid("the port is no number from 0 to 65535"))?))
            }
            _ => (text, None),
        };
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']').filter(|host| host.parse::<std::net::Ipv6Addr>().is_ok()),
            None => Some(host).filter(|host| !host.contains([':', '[', ']', '/'])),
        };
        match host {
            None => Err(invalid("the host is no address and no name")),
            Some("") => Err(invalid("the host is missing")),
            Some(host) if host.bytes().all(|byte| byte.is_ascii_digit()) => Err(invalid("the host is missing")),
            Some(host) => Ok(Self::Tcp { host: host.to_owned(), port }),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => {
                if host.contains(':') {
                    write!(f, "[{host}]")?;
                } else {
                    f.write_str(host)?;
                }
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An address that a server listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BoundAddress {
    /// A TCP address, with the actual port.
    Tcp(SocketAddr),
    /// The path of a Unix domain socket; empty for one that was [passed](crate::Server::listener) and has no path.
    Unix(PathBuf),
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_and_written() {
        let tcp = |host: &str, port| Ok(ListenAddress::Tcp { host: host.into(), port });
        for (text, expected, written) in [
            ("127.0.0.1:1337", tcp("127.0.0.1", Some(1337)), "127.0.0.1:1337"),
            ("[::]:443", tcp("::", Some(443)), "[::]:443"),
            ("[::1]", tcp("::1", None), "[::1]"),
            ("::1", tcp("::1", None), "[::1]"),
            ("0.0.0.0", tcp("0.0.0.0", None), "0.0.0.0"),
            ("example.com:0", tcp("example.com", Some(0)), "example.com:0"),
            ("localhost", tcp("localhost", None), "localhost"),
            ("unix:/run/aaw.sock", Ok(ListenAddress::Unix("/run/aaw.sock".into())), "unix:/run/aaw.sock"),
        ] {
            let parsed = text.parse::<ListenAddress>();
            assert_eq!(parsed, expected, "{text}");
            assert_eq!(parsed.map(|address| address.to_string()), Ok(written.to_owned()));
        }
    }

    #[test]
    fn what_is_no_address_is_named_with_the_reason() {
        for (text, reason) in [
            ("", "the host is missing"),
            ("1337", "the host is missing"),
            (":1337", "the host is missing"),
            ("localhost:http", "the port is no number from 0 to 65535"),
            ("localhost:70000", "the port is no number from 0 to 65535"),
            ("[localhost]:80", "the host is no address and no name"),
            ("[::1:80", "the host is no address and no name"),
            ("::1:80:x:[", "the port is no number from 0 to 65535"),
            ("http://localhost:80", "the host is no address and no name"),
            ("unix:", "the path is missing"),
        ] {
            let error = text.parse::<ListenAddress>().expect_err(text).to_string();
            assert!(error.contains(reason) && error.contains("expected HOST:PORT"), "{text}: {error}");
        }
    }
}

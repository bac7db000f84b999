//! Which peers are proxies whose statements about their clients are believed, and which of their headers are read.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Peers that are trusted to state who their clients are, in the form of `--trusted-proxy`: a network (`10.0.0.0/8`,
/// `2001:db8::/32`), an address (`127.0.0.1`), or `unix` for all peers of Unix sockets.
///
/// ```
/// use aaw_server::config::TrustedProxy;
///
/// let proxy: TrustedProxy = "10.0.0.0/8".parse()?;
/// assert!("10.0.0.0/33".parse::<TrustedProxy>().is_err());
/// # Ok::<(), aaw_server::config::InvalidTrustedProxy>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy(Trusted);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trusted {
    Network(IpNet),
    Unix,
}

/// The error of parsing a [`TrustedProxy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid proxy {0:?}: expected an address such as 127.0.0.1, a network such as 10.0.0.0/8 or fd00::/8, or unix"
)]
pub struct InvalidTrustedProxy(String);

/// Which headers of trusted proxies state the client. A proxy sets headers of one kind, and commonly passes on those of the
/// other kind as the client has sent them. So only one kind is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`, which nearly all proxies set.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    #[cfg_attr(not(unix), allow(dead_code, reason = "for listeners on Unix sockets"))]
    Unix,
    /// A client whose address the proxy at this one does not know.
    Hidden(SocketAddr),
    /// A program's own axum server has accepted the connection, and does not tell from whom.
    Unknown,
}

impl From<Option<SocketAddr>> for Peer {
    fn from(address: Option<SocketAddr>) -> Self {
        address.map_or(Self::Unknown, Self::Tcp)
    }
}

impl Peer {
    /// The peer's address, if it has one that is known. Limits of an address are those of this one.
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Hidden(address) => Some(address),
            Self::Unix | Self::Unknown => None,
        }
    }

    /// Whether the peer is one of these proxies.
    pub(crate) fn is_one_of(self, proxies: &[TrustedProxy]) -> bool {
        match self {
            Self::Tcp(address) => is_trusted(address.ip(), proxies),
            Self::Unix => proxies.iter().any(|proxy| proxy.0 == Trusted::Unix),
            Self::Hidden(_) | Self::Unknown => false,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Hidden(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The text of a client's address: without the port if that is unknown.
pub(crate) struct PeerText(pub(crate) SocketAddr);

impl fmt::Display for PeerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.port() == 0 { self.0.ip().fmt(f) } else { self.0.fmt(f) }
    }
}

/// Whether one of these proxies has this address. An IPv4 client of a socket that listens on `::` has an IPv6 address, which
/// is that of its IPv4 network.
pub(crate) fn is_trusted(address: IpAddr, proxies: &[TrustedProxy]) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|proxy| matches!(&proxy.0, Trusted::Network(network) if network.contains(&address)))
}

impl FromStr for TrustedProxy {
    type Err = InvalidTrustedProxy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("unix") {
            return Ok(Self(Trusted::Unix));
        }
        let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let network = parsed.ok_or_else(|| InvalidTrustedProxy(text.to_owned()))?;
        Ok(Self(Trusted::Network(canonical(network))))
    }
}

/// The network of IPv4 addresses for one of those addresses in their IPv6 form, which addresses are compared without.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let mapped = v6.network().to_ipv4_mapped().filter(|_| v6.prefix_len() >= 96);
    let v4 = mapped.and_then(|address| Ipv4Net::new(address, v6.prefix_len() - 96).ok());
    v4.map_or(network, IpNet::V4)
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Trusted::Network(network) => network.fmt(f),
            Trusted::Unix => f.write_str("unix"),
        }
    }
}

/// The error of parsing a [`ForwardedHeader`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid header {0:?}: expected x-forwarded-for or forwarded")]
pub struct InvalidForwardedHeader(String);

impl FromStr for ForwardedHeader {
    type Err = InvalidForwardedHeader;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::XForwardedFor, Self::Forwarded]
            .into_iter()
            .find(|header| text.eq_ignore_ascii_case(header.name()))
            .ok_or_else(|| InvalidForwardedHeader(text.to_owned()))
    }
}

impl ForwardedHeader {
    /// The name of the header that states the client's address, in lower case.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// The kind that is not read.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::XForwardedFor => Self::Forwarded,
            Self::Forwarded => Self::XForwardedFor,
        }
    }
}

impl fmt::Display for ForwardedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_trusted_by(proxies: &[&str], address: &str) -> bool {
        let proxies: Vec<TrustedProxy> = proxies.iter().map(|text| text.parse().expect("a proxy")).collect();
        is_trusted(address.parse().expect("an address"), &proxies)
    }

    #[test]
    fn an_address_is_trusted_if_one_of_the_networks_contains_it() {
        let networks = ["10.0.0.0/8", "192.0.2.7", "fd00::/8", "2001:db8::1"];
        for trusted in ["10.0.0.0", "10.255.255.255", "192.0.2.7", "::ffff:10.1.2.3", "fd12::1", "2001:db8::1"] {
            assert!(is_trusted_by(&networks, trusted), "{trusted}");
        }
        for other in ["11.0.0.1", "192.0.2.8", "fe80::1", "2001:db8::2", "::ffff:11.0.0.1", "::"] {
            assert!(!is_trusted_by(&networks, other), "{other}");
        }
        assert!(!is_trusted_by(&[], "127.0.0.1"));
        assert!(!is_trusted_by(&["unix"], "127.0.0.1"));
        assert!(is_trusted_by(&["::ffff:10.0.0.0/104"], "10.9.9.9"), "an IPv4 network in IPv6 form");
        assert!(is_trusted_by(&["0.0.0.0/0"], "203.0.113.1") && !is_trusted_by(&["0.0.0.0/0"], "2001:db8::1"));
        assert!(is_trusted_by(&["10.1.2.3/8"], "10.9.9.9"), "an address within the network stands for it");
    }

    #[test]
    fn peers_of_unix_sockets_are_trusted_by_a_word_and_unknown_ones_never() {
        let proxies = ["UNIX".parse().expect("a proxy"), "0.0.0.0/0".parse().expect("a proxy")];
        assert!(Peer::Unix.is_one_of(&proxies) && !Peer::Unix.is_one_of(&proxies[1..]));
        assert!(Peer::Tcp(([192, 0, 2, 1], 80).into()).is_one_of(&proxies));
        assert!(!Peer::Unknown.is_one_of(&proxies));
    }

    #[test]
    fn the_error_of_an_invalid_proxy_names_it_and_what_is_expected() {
        for bad in
            ["", "10.0.0.0/33", "10.0.0/8", "fd00::/129", "proxy.example", "10.0.0.0/", "unix:/x", "127.0.0.1:80"]
        {
            let error = bad.parse::<TrustedProxy>().unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("10.0.0.0/8"), "{error}");
        }
        assert_eq!("X-Forwarded-For".parse(), Ok(ForwardedHeader::XForwardedFor));
        assert_eq!("forwarded".parse(), Ok(ForwardedHeader::Forwarded));
        assert!("x-real-ip".parse::<ForwardedHeader>().unwrap_err().to_string().contains("expected x-forwarded-for"));
    }

    #[test]
    fn a_proxy_is_printed_as_it_is_parsed() {
        for text in ["10.0.0.0/8", "fd00::/8", "unix"] {
            assert_eq!(text.parse::<TrustedProxy>().expect("a proxy").to_string(), text);
        }
        assert_eq!("127.0.0.1".parse::<TrustedProxy>().expect("a proxy").to_string(), "127.0.0.1/32");
    }
}

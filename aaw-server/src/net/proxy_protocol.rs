//! The header of the PROXY protocol, versions 1 and 2, by which a proxy states the client before the first byte of a
//! connection: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.
//!
//! Whether there is a header is a matter of configuration, since a client could send one as well: with
//! [`Config::proxy_protocol`](crate::Config::proxy_protocol) each connection must have one, and must be from a trusted proxy.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use crate::net::context::ServerContext;
use crate::net::port::parse_port;
use crate::net::shutdown_phase::ShutdownPhase;
use crate::trusted_proxy::Peer;

/// The first bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The longest header of version 1, with its line break.
const MAX_V1_LEN: usize = 107;

/// The bytes of version 2 before the length that they state.
const V2_LEN: usize = 16;

/// Both addresses and ports, the longest of version 2 (of Unix sockets).
const MAX_ADDRESSES_LEN: usize = 216;

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
enum ProxyHeaderError {
    #[error("its first bytes are none")]
    Missing,
    #[error("this one is malformed: {0}")]
    Malformed(&'static str),
    #[error("the connection ended within it")]
    Ended,
    #[error("reading it failed: {0}")]
    Io(io::Error),
}

impl From<io::Error> for ProxyHeaderError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Ended } else { Self::Io(error) }
    }
}

/// Returns who a connection is from: the peer, or, if connections are to begin with a header, the client that it states.
/// Nothing behind the header is read. `None` if the connection is to be closed, because it does not begin with a header from a
/// trusted proxy within the handshake's timeout, or because the server stops.
pub(crate) async fn accept(stream: &mut (impl AsyncRead + Unpin), peer: Peer, shared: &ServerContext) -> Option<Peer> {
    let config = Arc::clone(&shared.config.load().config);
    if !config.proxy_protocol {
        return Some(peer);
    }
    let refuse = |error: &str| {
        if let Some(suppressed) = shared.dispatch.throttles.proxy_protocol.pass() {
            tracing::warn!(%peer, suppressed, "refused a connection: {error}");
        }
        None
    };
    if !peer.is_one_of(&config.trusted_proxies) {
        return refuse("with --proxy-protocol only proxies of --trusted-proxy may connect");
    }
    let read = tokio::select! {
        read = timeout(config.handshake_timeout, read_header(stream)) => read,
        () = shared.shutdown.reached(ShutdownPhase::Draining) => return None,
    };
    match read {
        Ok(Ok(Stated::Proxy)) => Some(peer),
        Ok(Ok(Stated::Unknown)) => Some(peer.address().map_or(Peer::Unknown, Peer::Hidden)),
        Ok(Ok(Stated::Client(address))) => Some(Peer::Tcp(address)),
        Ok(Err(error)) => refuse(&format!("expected a header of the PROXY protocol, and {error}")),
        Err(_) => {
            let seconds = config.handshake_timeout.as_secs_f64();
            refuse(&format!("expected a header of the PROXY protocol, which did not arrive within {seconds} s"))
        }
    }
}

/// Who a connection is from, as its header states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stated {
    /// The proxy itself, as in its health checks.
    Proxy,
    /// A client whose address the proxy does not know, or that is not of TCP. What follows is the client's, not the proxy's.
    Unknown,
    Client(SocketAddr),
}

/// Reads the header, and nothing behind it.
async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Stated, ProxyHeaderError> {
    // No header of either version is shorter.
    let mut first = [0; SIGNATURE.len()];
    read_first(stream, &mut first).await?;
    if first == SIGNATURE {
        return read_v2(stream).await;
    }
    let mut line = [0; MAX_V1_LEN];
    line[..first.len()].copy_from_slice(&first);
    let mut len = first.len();
    // Byte by byte: what is behind the line is not of this header. A line has some 50 bytes.
    while !line[..len].ends_with(b"\r\n") {
        let next = line.get_mut(len).ok_or(ProxyHeaderError::Malformed("its line is too long"))?;
        *next = stream.read_u8().await?;
        len += 1;
    }
    parse_v1(&line[..len - 2])
}

/// Reads the bytes by which the versions differ. Fails at the first one that is of neither, which may be the last that is sent.
async fn read_first(
    stream: &mut (impl AsyncRead + Unpin),
    first: &mut [u8; SIGNATURE.len()],
) -> Result<(), ProxyHeaderError> {
    const V1: &[u8] = b"PROXY ";
    let mut len = 0;
    while len < first.len() {
        match stream.read(&mut first[len..]).await? {
            0 => return Err(ProxyHeaderError::Ended),
            read => len += read,
        }
        let begins = |with: &[u8]| first[..len].iter().zip(with).all(|(byte, expected)| byte == expected);
        if !begins(V1) && !begins(&SIGNATURE) {
            return Err(ProxyHeaderError::Missing);
        }
    }
    Ok(())
}

/// Parses a line of version 1, without its line break.
fn parse_v1(line: &[u8]) -> Result<Stated, ProxyHeaderError> {
    let malformed = ProxyHeaderError::Malformed;
    let line = std::str::from_utf8(line).map_err(|_| malformed("it is not text"))?;
    let mut words = line.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // The rest of the line has no meaning.
        return Ok(Stated::Unknown);
    }
    let (Some(source), Some(destination), Some(source_port), Some(destination_port), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(malformed("expected two addresses and two ports"));
    };
    let parse_ip = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (Some(source), Some(_)) = (parse_ip(source), parse_ip(destination)) else {
        return Err(malformed("expected two addresses of TCP4 or TCP6"));
    };
    let (Some(port), Some(_)) = (parse_port(source_port), parse_port(destination_port)) else {
        return Err(malformed("expected two ports"));
    };
    Ok(Stated::Client(SocketAddr::new(source.to_canonical(), port)))
}

/// Reads a header of version 2 behind its signature.
async fn read_v2(stream: &mut (impl AsyncRead + Unpin)) -> Result<Stated, ProxyHeaderError> {
    let mut head = [0; V2_LEN - SIGNATURE.len()];
    stream.read_exact(&mut head).await?;
    let [version_and_command, family, length @ ..] = head;
    let len = usize::from(u16::from_be_bytes(length));
    let address = AddressKind::of(version_and_command, family)?;
    let needed = address.len();
    if len < needed {
        return Err(ProxyHeaderError::Malformed("it is too short for its addresses"));
    }
    let mut addresses = [0; MAX_ADDRESSES_LEN];
    let addresses = &mut addresses[..needed];
    stream.read_exact(addresses).await?;
    // What is behind the addresses says more about the connection (TLVs), and is not used. It is not kept, whatever its length.
    let rest = (len - needed) as u64;
    let skipped = tokio::io::copy(&mut stream.take(rest), &mut tokio::io::sink()).await?;
    if skipped < rest {
        return Err(ProxyHeaderError::Ended);
    }
    Ok(address.stated(addresses).unwrap_or(Stated::Unknown))
}

/// What the addresses of version 2 are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressKind {
    V4,
    V6,
    /// There are none: the proxy speaks for itself.
    Local,
    /// They are not of TCP.
    Other,
}

impl AddressKind {
    /// Reads the version, the command, and the family and the protocol of the addresses.
    fn of(version_and_command: u8, family: u8) -> Result<Self, ProxyHeaderError> {
        match version_and_command {
            // LOCAL: the family is ignored.
            0x20 => return Ok(Self::Local),
            // PROXY.
            0x21 => {}
            _ => return Err(ProxyHeaderError::Malformed("unknown version or command")),
        }
        match family {
            0x11 => Ok(Self::V4),
            0x21 => Ok(Self::V6),
            // Unspecified, UDP, and Unix sockets.
            0x00..=0x02 | 0x10 | 0x12 | 0x20 | 0x22 | 0x30..=0x32 => Ok(Self::Other),
            _ => Err(ProxyHeaderError::Malformed("unknown kind of addresses")),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::V4 => 12,
            Self::V6 => 36,
            Self::Local | Self::Other => 0,
        }
    }

    /// What the addresses state, which have the right length: source, destination, and their ports.
    fn stated(self, addresses: &[u8]) -> Option<Stated> {
        let (ip, port) = match self {
            Self::V4 => (IpAddr::from(*addresses.first_chunk::<4>()?), addresses.get(8..10)?),
            Self::V6 => (IpAddr::from(*addresses.first_chunk::<16>()?), addresses.get(32..34)?),
            Self::Local => return Some(Stated::Proxy),
            Self::Other => return Some(Stated::Unknown),
        };
        Some(Stated::Client(SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(port.try_into().ok()?))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a header from these bytes. Returns the client's address, `proxy` or `unknown`, or the error, and the bytes that are
    /// left.
    fn read(bytes: &[u8]) -> (Result<String, String>, &[u8]) {
        let mut rest = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let read = runtime.block_on(read_header(&mut rest));
        let text = |stated| match stated {
            Stated::Proxy => "proxy".to_owned(),
            Stated::Unknown => "unknown".to_owned(),
            Stated::Client(address) => address.to_string(),
        };
        (read.map(text).map_err(|error| error.to_string()), rest)
    }

    fn v2(version_and_command: u8, family: u8, len: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([version_and_command, family]);
        bytes.extend(len.to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn v2_addresses(source: SocketAddr) -> (u8, Vec<u8>) {
        let (family, mut bytes) = match source.ip() {
            IpAddr::V4(ip) => (0x11, [ip.octets(), [127, 0, 0, 1]].concat()),
            IpAddr::V6(ip) => (0x21, [ip.octets(), Ipv6Addr::LOCALHOST.octets()].concat()),
        };
        bytes.extend(source.port().to_be_bytes());
        bytes.extend(443_u16.to_be_bytes());
        (family, bytes)
    }

    #[test]
    fn version_1_states_the_source_and_nothing_behind_it_is_read() {
        for (line, expected) in [
            ("PROXY TCP4 203.0.113.7 127.0.0.1 56324 443", "203.0.113.7:56324"),
            ("PROXY TCP6 2001:db8::1 ::1 56324 443", "[2001:db8::1]:56324"),
            ("PROXY TCP6 ::ffff:203.0.113.7 ::1 1 443", "203.0.113.7:1"),
            ("PROXY UNKNOWN", "unknown"),
            ("PROXY UNKNOWN 203.0.113.7 what ever", "unknown"),
        ] {
            let bytes = format!("{line}\r\nGET / HTTP/1.1\r\n\r\n");
            assert_eq!(read(bytes.as_bytes()), (Ok(expected.to_owned()), &b"GET / HTTP/1.1\r\n\r\n"[..]), "{line}");
        }
        let longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535";
        let padded = format!("{longest:x<105}\r\nrest");
        assert_eq!(read(padded.as_bytes()), (Ok("unknown".into()), &b"rest"[..]));
    }

    #[test]
    fn version_2_states_the_source_and_what_is_behind_the_addresses_is_skipped() {
        for source in ["203.0.113.7:56324", "[2001:db8::1]:56324"] {
            let (family, mut addresses) = v2_addresses(source.parse().expect("an address"));
            for tlvs in [0, 7, 60_000] {
                addresses.truncate(if family == 0x11 { 12 } else { 36 });
                addresses.resize(addresses.len() + tlvs, 4);
                let mut bytes = v2(0x21, family, addresses.len() as u16, &addresses);
                bytes.extend(b"\x16\x03\x01");
                assert_eq!(read(&bytes), (Ok(source.to_owned()), &b"\x16\x03\x01"[..]), "{tlvs}");
            }
        }
        // LOCAL: the proxy itself. Unspecified, UDP and Unix sockets: a client whose address is not known.
        for (command, family, expected) in [
            (0x20, 0x00, "proxy"),
            (0x20, 0x11, "proxy"),
            (0x20, 0xff, "proxy"),
            (0x21, 0x00, "unknown"),
            (0x21, 0x12, "unknown"),
            (0x21, 0x31, "unknown"),
        ] {
            let bytes = v2(command, family, 3, b"xyzGET");
            assert_eq!(read(&bytes), (Ok(expected.into()), &b"GET"[..]), "{command:x} {family:x}");
        }
    }

    #[test]
    fn a_malformed_header_is_an_error() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "its first bytes are none"),
            // A client that waits for a response would send nothing more.
            (b"G", "its first bytes are none"),
            (b"proxy TCP4 1.2.3.4", "its first bytes are none"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00", "its first bytes are none"),
            (b"\r\n\r\n\0\r\nQUIT\r", "its first bytes are none"),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "expected two addresses and two ports"),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", "expected two addresses and two ports"),
            (b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", "expected two addresses and two ports"),
            (b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n", "expected two addresses of TCP4 or TCP6"),
            (b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "expected two addresses of TCP4 or TCP6"),
            (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", "expected two addresses of TCP4 or TCP6"),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", "expected two ports"),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", "expected two ports"),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n\r\n", "expected two ports"),
            (b"PROXY \xff\xff\xff\xff\xff\xff\xff\r\n", "it is not text"),
            (b"PROXY TCP4 1.2.3.4", "ended within it"),
            (b"PROX", "ended within it"),
            (b"", "ended within it"),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00", "ended within it"),
        ] {
            let error = read(bytes).0.expect_err("malformed");
            assert!(error.contains(expected), "{:?}: {error}", String::from_utf8_lossy(bytes));
        }
        let too_long = format!("PROXY UNKNOWN {:x<93}\r\n", "");
        assert!(read(too_long.as_bytes()).0.expect_err("too long").contains("too long"));
        assert_eq!(
            read(&[b"PROXY ".to_vec(), vec![b'x'; 100_000]].concat())
                .0
                .expect_err("endless")
                .matches("too long")
                .count(),
            1
        );
        for (command, family, len, expected) in [
            (0x11, 0x11, 12, "unknown version or command"),
            (0x31, 0x11, 12, "unknown version or command"),
            (0x22, 0x11, 12, "unknown version or command"),
            (0x21, 0x13, 12, "unknown kind of addresses"),
            (0x21, 0x41, 12, "unknown kind of addresses"),
            (0x21, 0x11, 11, "too short for its addresses"),
            (0x21, 0x21, 35, "too short for its addresses"),
            (0x21, 0x11, 0, "too short for its addresses"),
            (0x21, 0x11, 500, "ended within it"),
        ] {
            let error = read(&v2(command, family, len, &[0; 100])).0.expect_err("malformed");
            assert!(error.contains(expected), "{command:x} {family:x} {len}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_a_proxy_writes_is_read(ip in any::<IpAddr>(), port in any::<u16>(), tlvs in proptest::collection::vec(any::<u8>(), 0..50), rest in "[ -~]{0,20}") {
            let source = SocketAddr::new(ip, port);
            let expected = SocketAddr::new(ip.to_canonical(), port).to_string();
            let (family, mut addresses) = v2_addresses(source);
            addresses.extend(tlvs);
            let mut bytes = v2(0x21, family, addresses.len() as u16, &addresses);
            bytes.extend(rest.bytes());
            prop_assert_eq!(read(&bytes), (Ok(expected.clone()), rest.as_bytes()));
            let (family, other) = if ip.is_ipv4() { ("TCP4", "127.0.0.1") } else { ("TCP6", "::1") };
            let line = format!("PROXY {family} {ip} {other} {port} 443\r\n{rest}");
            prop_assert_eq!(read(line.as_bytes()), (Ok(expected), rest.as_bytes()));
        }

        /// Neither a panic, nor more read than a header may have.
        #[test]
        fn any_bytes_end_in_an_address_or_an_error(version in 0..3_u8, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let begin = [&b""[..], b"PROXY ", &SIGNATURE][usize::from(version)];
            let bytes = [begin, &bytes].concat();
            let (_, rest) = read(&bytes);
            prop_assert!(rest.len() <= bytes.len());
        }
    }
}

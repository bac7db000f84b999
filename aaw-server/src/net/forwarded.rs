//! Who sends a request, and by which scheme and host, if a trusted proxy passes it on.
//!
//! Each proxy on the way adds the address that it has received the request from behind those that were there, and a client can
//! send any header. So the list is read from its end: an address counts if the peer, or an address behind it, is a trusted
//! proxy. The first one that is no trusted proxy is the client.

use std::borrow::Cow;
use std::net::SocketAddr;

use hyper::header::{HeaderMap, HeaderValue};

use crate::config::Config;
use crate::net::forwarded_field::{ForwardedElement, parse_address, parse_elements};
use crate::origin::Scheme;
use crate::trusted_proxy::{ForwardedHeader, Peer, TrustedProxy, is_trusted};

/// The client of a request. Without a trusted proxy it is the peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClientInfo {
    /// The client's address, if it is known. All limits of an address are those of this one. The port is 0 if the proxy does not
    /// tell it.
    pub(crate) address: Option<SocketAddr>,
    /// The scheme that the client has used, if the proxy tells it.
    pub(crate) scheme: Option<Scheme>,
    /// The host that the client has requested, with its port, if the proxy tells it. Not parsed.
    pub(crate) host: Option<String>,
}

impl ClientInfo {
    /// Returns the client of a request that the peer has sent itself.
    pub(crate) fn of_peer(peer: Peer) -> Self {
        Self { address: peer.address(), ..Self::default() }
    }

    /// Returns the client of a request with these headers.
    pub(crate) fn of_request(peer: Peer, headers: &HeaderMap, config: &Config) -> Self {
        if config.trusted_proxies.is_empty() || !peer.is_one_of(&config.trusted_proxies) {
            return Self::of_peer(peer);
        }
        match config.forwarded_header {
            ForwardedHeader::XForwardedFor => Self::from_x_forwarded(peer, headers, &config.trusted_proxies),
            ForwardedHeader::Forwarded => Self::from_forwarded(peer, headers, &config.trusted_proxies),
        }
    }

    fn from_x_forwarded(peer: Peer, headers: &HeaderMap, proxies: &[TrustedProxy]) -> Self {
        let mut walk = Walk { nearest: peer.address(), proxies };
        for address in from_the_end(headers, "x-forwarded-for") {
            if walk.step(Some(&String::from_utf8_lossy(address))) == Step::Arrived {
                break;
            }
        }
        // These have one value, which some proxies replace and others append to.
        let last = |name| from_the_end(headers, name).next().map(String::from_utf8_lossy);
        Self {
            address: walk.nearest,
            scheme: last("x-forwarded-proto").and_then(|proto| scheme(&proto)),
            host: last("x-forwarded-host").map(Cow::into_owned),
        }
    }

    fn from_forwarded(peer: Peer, headers: &HeaderMap, proxies: &[TrustedProxy]) -> Self {
        let mut walk = Walk { nearest: peer.address(), proxies };
        let mut of_client = ForwardedElement::default();
        'lines: for line in headers.get_all("forwarded").into_iter().rev() {
            let Some(elements) = parse_elements(line.as_bytes()) else {
                // The proxy that has added the next line has received something that it passes on without understanding it.
                of_client = ForwardedElement::default();
                break;
            };
            for element in elements.into_iter().rev() {
                let step = walk.step(element.client.as_deref());
                // What the proxy has received from this client. It is not what the proxies before it have received.
                of_client = element;
                if step == Step::Arrived {
                    break 'lines;
                }
            }
        }
        Self {
            address: walk.nearest,
            scheme: of_client.proto.and_then(|proto| scheme(&proto)),
            host: of_client.host.map(Cow::into_owned),
        }
    }
}

/// The way from the peer to the client.
struct Walk<'a> {
    /// The address that the last proxy has named; at first the peer's.
    nearest: Option<SocketAddr>,
    proxies: &'a [TrustedProxy],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The address is that of a trusted proxy, which names the next one.
    Continue,
    /// The address is that of the client.
    Arrived,
}

impl Walk<'_> {
    /// Goes to the address that the proxy before it has named. A hidden or malformed one ends the way at that proxy: what is
    /// in front of it may be from anyone, and the clients whose addresses that proxy hides share its limits.
    fn step(&mut self, address: Option<&str>) -> Step {
        let Some(address) = address.and_then(parse_address) else { return Step::Arrived };
        self.nearest = Some(address);
        if is_trusted(address.ip(), self.proxies) { Step::Continue } else { Step::Arrived }
    }
}

/// The elements of all lines of a header whose value is a comma-separated list, from the last one. Without empty ones.
fn from_the_end<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter().rev().map(HeaderValue::as_bytes);
    lines
        .flat_map(|line| line.rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

fn scheme(proto: &str) -> Option<Scheme> {
    // Some proxies name the scheme of a WebSocket.
    let is = |names: [&str; 2]| names.into_iter().any(|name| proto.eq_ignore_ascii_case(name));
    match proto {
        _ if is(["https", "wss"]) => Some(Scheme::Https),
        _ if is(["http", "ws"]) => Some(Scheme::Http),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    const PROXIES: [&str; 4] = ["127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix"];

    fn config(header: ForwardedHeader, proxies: &[&str]) -> Config {
        let trusted_proxies = proxies.iter().map(|text| text.parse().expect("a proxy")).collect();
        Config { trusted_proxies, forwarded_header: header, ..Config::default() }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn peer(address: &str) -> Peer {
        Peer::Tcp(address.parse().expect("an address"))
    }

    /// Checks the client of a request that 127.0.0.1:5000 has passed on.
    #[track_caller]
    fn check(header: ForwardedHeader, lines: &[&str], expected: &str) {
        let lines: Vec<_> = lines.iter().map(|line| (header.name(), *line)).collect();
        let client = ClientInfo::of_request(peer("127.0.0.1:5000"), &headers(&lines), &config(header, &PROXIES));
        assert_eq!(client.address.map(|address| address.to_string()).as_deref(), Some(expected), "{lines:?}");
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
        for (lines, expected) in [
            (&["203.0.113.7"][..], "203.0.113.7:0"),
            (&["203.0.113.7:4711"], "203.0.113.7:4711"),
            (&["[2001:db8::1]:4711"], "[2001:db8::1]:4711"),
            (&["2001:db8::1"], "[2001:db8::1]:0"),
            (&["203.0.113.7, 10.0.0.1, fd00::1"], "203.0.113.7:0"),
            (&["::ffff:203.0.113.7, ::ffff:10.0.0.1"], "203.0.113.7:0"),
            // What the client itself has sent is in front.
            (&["192.0.2.99, 203.0.113.7"], "203.0.113.7:0"),
            (&["192.0.2.99", "203.0.113.7"], "203.0.113.7:0"),
            (&["192.0.2.99", "203.0.113.7", "10.0.0.1,10.0.0.2"], "203.0.113.7:0"),
            // A client within a trusted network.
            (&["10.0.0.9, 10.0.0.1"], "10.0.0.9:0"),
            (&[", ,203.0.113.7, ,"], "203.0.113.7:0"),
            // Nothing behind a hidden or malformed address, and nothing without an address.
            (&["203.0.113.7, unknown"], "127.0.0.1:5000"),
            (&["203.0.113.7, _hidden, 10.0.0.1"], "10.0.0.1:0"),
            (&["203.0.113.7, 1.2.3, 10.0.0.1"], "10.0.0.1:0"),
            (&["203.0.113.7 192.0.2.1"], "127.0.0.1:5000"),
            (&["\"203.0.113.7\""], "127.0.0.1:5000"),
            (&["<script>"], "127.0.0.1:5000"),
            (&[""], "127.0.0.1:5000"),
            (&[], "127.0.0.1:5000"),
        ] {
            check(ForwardedHeader::XForwardedFor, lines, expected);
        }
    }

    #[test]
    fn the_client_is_the_last_element_of_forwarded_that_is_no_trusted_proxy() {
        for (lines, expected) in [
            (&["for=203.0.113.7"][..], "203.0.113.7:0"),
            (&["for=\"203.0.113.7:4711\""], "203.0.113.7:4711"),
            (&["For=\"[2001:db8::1]:4711\";proto=https"], "[2001:db8::1]:4711"),
            (&["for=203.0.113.7, for=10.0.0.1;by=10.0.0.2, for=\"[fd00::1]\""], "203.0.113.7:0"),
            (&["for=192.0.2.99, for=203.0.113.7"], "203.0.113.7:0"),
            (&["for=192.0.2.99", "for=203.0.113.7", "for=10.0.0.1"], "203.0.113.7:0"),
            (&["for=10.0.0.9, for=10.0.0.1"], "10.0.0.9:0"),
            (&["for=203.0.113.7, for=unknown"], "127.0.0.1:5000"),
            (&["for=203.0.113.7, for=_hidden, for=10.0.0.1"], "10.0.0.1:0"),
            (&["for=203.0.113.7, proto=https"], "127.0.0.1:5000"),
            // A malformed line ends the way, wherever the fault is.
            (&["for=203.0.113.7, for=\"x"], "127.0.0.1:5000"),
            (&["for=\"x, for=203.0.113.7"], "127.0.0.1:5000"),
            (&["for=203.0.113.7", "for=\"x", "for=10.0.0.1"], "10.0.0.1:0"),
            (&["203.0.113.7"], "127.0.0.1:5000"),
            (&[], "127.0.0.1:5000"),
        ] {
            check(ForwardedHeader::Forwarded, lines, expected);
        }
    }

    #[test]
    fn long_headers_are_read_to_their_end() {
        let commas = ",".repeat(10_000);
        let client = |spaces: &str| format!("{commas}203.0.113.7{spaces}{commas}");
        check(ForwardedHeader::XForwardedFor, &[&client("")], "203.0.113.7:0");
        check(ForwardedHeader::XForwardedFor, &[&client(" "), &commas], "203.0.113.7:0");
        check(ForwardedHeader::Forwarded, &[&format!("{commas}for=203.0.113.7{commas}")], "203.0.113.7:0");
        check(ForwardedHeader::Forwarded, &[&";".repeat(10_000)], "127.0.0.1:5000");
        check(ForwardedHeader::XForwardedFor, &[&"10.0.0.1,".repeat(1000)], "10.0.0.1:0");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let lines = headers(&[
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "api.example.org"),
        ]);
        let believed = |from: Peer, proxies: &[&str]| {
            let client = ClientInfo::of_request(from, &lines, &config(ForwardedHeader::XForwardedFor, proxies));
            client != ClientInfo::of_peer(from)
        };
        // Which peers are one of them is tested where that is decided.
        assert!(believed(peer("127.0.0.1:5000"), &PROXIES));
        assert!(!believed(peer("192.0.2.1:5000"), &PROXIES) && !believed(peer("127.0.0.1:5000"), &[]));
    }

    #[test]
    fn only_one_kind_of_header_is_read() {
        let lines = headers(&[
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "x.example"),
            ("forwarded", "for=192.0.2.2;proto=http;host=f.example"),
        ]);
        let client = |header| ClientInfo::of_request(peer("127.0.0.1:1"), &lines, &config(header, &PROXIES));
        assert_eq!(
            client(ForwardedHeader::XForwardedFor),
            ClientInfo {
                address: Some(([192, 0, 2, 1], 0).into()),
                scheme: Some(Scheme::Https),
                host: Some("x.example".into())
            }
        );
        assert_eq!(
            client(ForwardedHeader::Forwarded),
            ClientInfo {
                address: Some(([192, 0, 2, 2], 0).into()),
                scheme: Some(Scheme::Http),
                host: Some("f.example".into())
            }
        );
    }

    #[test]
    fn the_scheme_and_the_host_are_those_that_the_nearest_proxy_states() {
        let client = |lines: &[(&'static str, &str)], header| {
            let client = ClientInfo::of_request(peer("127.0.0.1:1"), &headers(lines), &config(header, &PROXIES));
            (client.scheme, client.host)
        };
        for (proto, scheme) in [
            ("https", Some(Scheme::Https)),
            ("HTTPS", Some(Scheme::Https)),
            ("wss", Some(Scheme::Https)),
            ("http", Some(Scheme::Http)),
            ("ws", Some(Scheme::Http)),
            ("http, https", Some(Scheme::Https)),
            ("https, http", Some(Scheme::Http)),
            ("ftp", None),
            ("", None),
        ] {
            assert_eq!(client(&[("x-forwarded-proto", proto)], ForwardedHeader::XForwardedFor).0, scheme, "{proto}");
        }
        let host =
            client(&[("x-forwarded-host", "evil.example, api.example.org:8443")], ForwardedHeader::XForwardedFor).1;
        assert_eq!(host.as_deref(), Some("api.example.org:8443"));
        // In `Forwarded`, the element of the client has them: the proxies behind it have received other requests.
        let chain = "for=192.0.2.9;host=evil.example, for=203.0.113.7;proto=https;host=\"api.example.org:8443\", \
                     for=10.0.0.1;proto=http;host=internal";
        assert_eq!(
            client(&[("forwarded", chain)], ForwardedHeader::Forwarded),
            (Some(Scheme::Https), Some("api.example.org:8443".into()))
        );
        assert_eq!(
            client(&[("forwarded", "for=_hidden;proto=https;host=a.example")], ForwardedHeader::Forwarded),
            (Some(Scheme::Https), Some("a.example".into())),
            "the client's address is hidden, and what it has requested is not"
        );
        assert_eq!(
            client(&[("forwarded", "for=192.0.2.1;proto=https;x=\"")], ForwardedHeader::Forwarded),
            (None, None)
        );
    }
}

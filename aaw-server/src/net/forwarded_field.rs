//! The syntax of `Forwarded` (RFC 7239), and of the addresses in it and in `X-Forwarded-For`.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::net::http_token::is_token_byte;
use crate::net::port::parse_port;

/// What one proxy states about a request that it has received.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ForwardedElement<'a> {
    /// Who has sent it the request.
    pub(super) client: Option<Cow<'a, str>>,
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) proto: Option<Cow<'a, str>>,
}

/// Parses one value of the header. `None` if a part of it is malformed.
///
/// A client can send a header whose end is malformed, such as a quoted string that has no end, to which a proxy then appends
/// its own element. So nothing of such a value is used, not even what could be parsed.
pub(super) fn parse_elements(value: &[u8]) -> Option<Vec<ForwardedElement<'_>>> {
    let mut rest = std::str::from_utf8(value).ok()?;
    let mut elements = Vec::new();
    loop {
        // Elements may be empty (RFC 9110, 5.6.1).
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return Some(elements);
        }
        elements.push(parse_element(&mut rest)?);
    }
}

/// Parses an element up to the comma behind it.
fn parse_element<'a>(rest: &mut &'a str) -> Option<ForwardedElement<'a>> {
    let mut element = ForwardedElement::default();
    loop {
        *rest = rest.trim_start_matches([' ', '\t']);
        // Pairs may be empty.
        if !rest.starts_with([';', ',']) && !rest.is_empty() {
            let (name, value) = parse_pair(rest)?;
            let field = match name {
                name if name.eq_ignore_ascii_case("for") => Some(&mut element.client),
                name if name.eq_ignore_ascii_case("host") => Some(&mut element.host),
                name if name.eq_ignore_ascii_case("proto") => Some(&mut element.proto),
                // `by`, and extensions.
                _ => None,
            };
            if field.is_some_and(|field| field.replace(value).is_some()) {
                return None;
            }
        }
        *rest = rest.trim_start_matches([' ', '\t']);
        match rest.chars().next() {
            None | Some(',') => return Some(element),
            Some(';') => *rest = &rest[1..],
            Some(_) => return None,
        }
    }
}

fn parse_pair<'a>(rest: &mut &'a str) -> Option<(&'a str, Cow<'a, str>)> {
    let (name, behind) = rest.split_once('=')?;
    if name.is_empty() || !name.as_bytes().iter().all(is_token_byte) {
        return None;
    }
    let (value, behind) = match behind.strip_prefix('"') {
        Some(quoted) => parse_quoted(quoted)?,
        None => {
            // Wider than a token: some proxies send IPv6 addresses without quotation marks.
            let len = behind.bytes().take_while(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(byte)).count();
            let (value, behind) = behind.split_at(len);
            (Cow::Borrowed(value), behind)
        }
    };
    *rest = behind;
    (!value.is_empty()).then_some((name, value))
}

/// Parses a quoted string behind its first quotation mark. Returns what is behind its last one as well.
fn parse_quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut unescaped = String::new();
    let mut plain = text;
    loop {
        let end = plain.find(['"', '\\'])?;
        let (before, found) = plain.split_at(end);
        match found.strip_prefix('\\') {
            None if unescaped.is_empty() => return Some((Cow::Borrowed(before), &found[1..])),
            None => {
                unescaped.push_str(before);
                return Some((Cow::Owned(unescaped), &found[1..]));
            }
            Some(escaped) => {
                let escaped_char = escaped.chars().next()?;
                unescaped.push_str(before);
                unescaped.push(escaped_char);
                plain = &escaped[escaped_char.len_utf8()..];
            }
        }
    }
}

/// Parses the address of a client. The port is 0 if there is none, or if it is obfuscated. `None` if the address is obfuscated
/// (`unknown`, `_hidden`) or malformed.
pub(super) fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (ip, behind) = bracketed.split_once(']')?;
            let port = if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) };
            (IpAddr::V6(ip.parse::<Ipv6Addr>().ok()?), port)
        }
        None => match text.parse::<IpAddr>() {
            Ok(ip) => (ip, None),
            Err(_) => {
                let (ip, port) = text.split_once(':')?;
                (ip.parse().ok()?, Some(port))
            }
        },
    };
    let port = port.map_or(Some(0), parse_node_port)?;
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// Parses a port that may be obfuscated (RFC 7239, 6.3).
fn parse_node_port(text: &str) -> Option<u16> {
    if text.starts_with('_') && text.len() > 1 {
        return Some(0);
    }
    parse_port(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clients(value: &str) -> Option<Vec<Option<String>>> {
        let elements = parse_elements(value.as_bytes())?;
        Some(elements.into_iter().map(|element| element.client.map(Cow::into_owned)).collect())
    }

    fn some(clients: &[&str]) -> Option<Vec<Option<String>>> {
        Some(clients.iter().map(|client| Some((*client).to_owned())).collect())
    }

    #[test]
    fn the_examples_of_the_rfc_are_parsed() {
        assert_eq!(clients("for=\"_gazonk\""), some(&["_gazonk"]));
        assert_eq!(clients("For=\"[2001:db8:cafe::17]:4711\""), some(&["[2001:db8:cafe::17]:4711"]));
        assert_eq!(clients("for=192.0.2.43, for=198.51.100.17"), some(&["192.0.2.43", "198.51.100.17"]));
        assert_eq!(clients("for=_hidden, for=_SEVKISEK"), some(&["_hidden", "_SEVKISEK"]));
        let elements = parse_elements(b"for=192.0.2.60;proto=http;by=203.0.113.43").expect("valid");
        let [ForwardedElement { client, host, proto }] = &*elements else { panic!("{elements:?}") };
        assert_eq!((client.as_deref(), host.as_deref(), proto.as_deref()), (Some("192.0.2.60"), None, Some("http")));
    }

    #[test]
    fn spaces_empty_elements_and_escapes_are_allowed() {
        assert_eq!(clients(" , ,for=1.2.3.4 ; proto=http ;, ,\t"), some(&["1.2.3.4"]));
        assert_eq!(clients(""), some(&[]));
        assert_eq!(clients(&",".repeat(10_000)), some(&[]));
        assert_eq!(clients(";proto=http"), Some(vec![None]));
        assert_eq!(clients(r#"for="\[::1\]", for="a\"b\\c""#), some(&["[::1]", r#"a"b\c"#]));
        assert_eq!(clients("for=[::1]:80, for=::1"), some(&["[::1]:80", "::1"]));
        assert_eq!(clients(r#"x="a,b;c";for=1.2.3.4"#), some(&["1.2.3.4"]));
    }

    #[test]
    fn a_value_with_a_malformed_part_is_not_used_at_all() {
        for bad in [
            "for",
            "for=",
            "for=\"\"",
            "for=\"1.2.3.4",
            "for=\"1.2.3.4\\",
            "for=\"1.2.3.4\"x",
            "for=a b",
            "for=1.2.3.4;for=5.6.7.8",
            "=x",
            "f(r=x",
            "for =1.2.3.4",
            "for=a\"b",
            "1.2.3.4",
            // A client has sent the first part, and a proxy has appended to it.
            r#"for=203.0.113.9;x=", for=192.0.2.1"#,
            r#"for=203.0.113.9;x=", for="[2001:db8::1]""#,
            r#"for=203.0.113.9;x=", for="[2001:db8::1]";host="a""#,
            r"for=203.0.113.9;x=\, for=192.0.2.1",
        ] {
            assert_eq!(clients(bad), None, "{bad}");
        }
        assert_eq!(parse_elements(b"for=\xff"), None);
    }

    #[test]
    fn addresses_have_a_port_brackets_or_neither() {
        for (text, expected) in [
            ("192.0.2.43", Some("192.0.2.43:0")),
            ("192.0.2.43:47011", Some("192.0.2.43:47011")),
            ("192.0.2.43:_port", Some("192.0.2.43:0")),
            ("[2001:db8::17]", Some("[2001:db8::17]:0")),
            ("[2001:db8::17]:4711", Some("[2001:db8::17]:4711")),
            ("2001:db8::17", Some("[2001:db8::17]:0")),
            ("::ffff:192.0.2.1", Some("192.0.2.1:0")),
            ("[::ffff:192.0.2.1]:7", Some("192.0.2.1:7")),
            ("unknown", None),
            ("_hidden", None),
            ("_", None),
            ("", None),
            ("192.0.2", None),
            ("192.0.2.256", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:+80", None),
            ("192.0.2.1:65536", None),
            ("192.0.2.1:_", None),
            ("192.0.2.1:80:80", None),
            ("[192.0.2.1]", None),
            ("[::1", None),
            ("[::1]80", None),
            ("fe80::1%eth0", None),
            ("localhost", None),
            ("192.0.2.1 ", None),
        ] {
            let expected = expected.map(|text| text.parse().expect("an address"));
            assert_eq!(parse_address(text), expected, "{text}");
        }
    }

    proptest! {
        /// A client can send any bytes. Whatever it is, the elements behind it are that of the proxy, or nothing is used.
        #[test]
        fn what_a_client_sends_never_takes_the_place_of_what_a_proxy_appends(sent in "[ -~]{0,60}") {
            let value = format!("{sent}, for=\"[2001:db8::1]:443\";proto=https");
            if let Some(elements) = parse_elements(value.as_bytes()) {
                let last = elements.last().expect("an element");
                prop_assert_eq!(last.client.as_deref(), Some("[2001:db8::1]:443"));
                prop_assert_eq!(last.proto.as_deref(), Some("https"));
            }
        }

        #[test]
        fn any_bytes_are_parsed_without_a_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            for element in parse_elements(&value).into_iter().flatten() {
                let _ = element.client.as_deref().map(parse_address);
            }
        }

        #[test]
        fn a_quoted_string_is_unescaped(text in "[ -~]{1,30}") {
            let escaped = text.replace('\\', r"\\").replace('"', "\\\"");
            prop_assert_eq!(clients(&format!("for=\"{escaped}\"")), Some(vec![Some(text)]));
        }
    }
}

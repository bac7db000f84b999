//! What a server must refuse in the head of a request (RFC 9112), and hyper does not.

use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{StatusCode, Uri, Version};

use crate::net::effective_target::named_host;
use crate::origin::Authority;

/// Checks the head of a request. The error is the status and the text of the response.
pub(crate) fn check_message(version: Version, headers: &HeaderMap, uri: &Uri) -> Result<(), (StatusCode, String)> {
    check_transfer_encoding(headers)?;
    // HTTP/1.0 requires no host, and HTTP/2 has it in the target.
    if version == Version::HTTP_11 {
        check_host_header(headers, uri)?;
    } else if version == Version::HTTP_2 {
        check_authority(headers, uri)?;
    }
    Ok(())
}

/// Whether a header whose value is a comma-separated list contains this token, in any case.
pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// The elements of a header whose value is a comma-separated list (RFC 9110, 5.6.1), without empty ones.
pub(crate) fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// RFC 9112, 3.2.
fn check_host_header(headers: &HeaderMap, uri: &Uri) -> Result<(), (StatusCode, String)> {
    let is_single = headers.get_all(HOST).iter().count() == 1;
    if is_single && named_host(headers, uri).is_some_and(|host| Authority::parse(&host).is_some()) {
        return Ok(());
    }
    Err((StatusCode::BAD_REQUEST, "Expected one valid Host header".into()))
}

/// RFC 9113, 8.3.1: the header must not name another host than the target.
fn check_authority(headers: &HeaderMap, uri: &Uri) -> Result<(), (StatusCode, String)> {
    let Some(authority) = uri.authority() else { return Ok(()) };
    if headers.get_all(HOST).iter().all(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())) {
        return Ok(());
    }
    Err((StatusCode::BAD_REQUEST, "Expected the header host to be that of :authority, or none".into()))
}

/// RFC 9112, 6.1. hyper decodes the chunks, and would pass on what is encoded within them.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), (StatusCode, String)> {
    let mut codings = elements(headers, &TRANSFER_ENCODING);
    if codings.any(|coding| !coding.eq_ignore_ascii_case(b"chunked")) {
        let error = "The only supported transfer coding is chunked";
        return Err((StatusCode::NOT_IMPLEMENTED, error.into()));
    }
    if elements(headers, &TRANSFER_ENCODING).count() > 1 {
        return Err((StatusCode::BAD_REQUEST, "Expected the transfer coding chunked at most once".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: Version, headers: &[(HeaderName, &'static str)], target: &str) -> Result<(), u16> {
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).expect("a value");
        let headers = headers.iter().map(|(name, text)| (name.clone(), value(text)));
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(name, value);
        }
        check_message(version, &all, &target.parse().expect("a target")).map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn http_1_1_needs_one_valid_host() {
        let check_hosts = |version, hosts: &[&'static str], target| {
            check(version, &hosts.iter().map(|host| (HOST, *host)).collect::<Vec<_>>(), target)
        };
        for hosts in [&["localhost:1337"][..], &["[::1]"], &["EXAMPLE.com"]] {
            assert_eq!(check_hosts(Version::HTTP_11, hosts, "/"), Ok(()), "{hosts:?}");
        }
        for hosts in [&[][..], &[""], &["a", "a"], &["a b"], &["user@a"], &["a:b"]] {
            assert_eq!(check_hosts(Version::HTTP_11, hosts, "/"), Err(400), "{hosts:?}");
        }
        // The header is required even if the target names the host (RFC 9112, 3.2).
        assert_eq!(check_hosts(Version::HTTP_11, &[], "http://localhost/"), Err(400));
        assert_eq!(check_hosts(Version::HTTP_10, &[], "/"), Ok(()));
        assert_eq!(check_hosts(Version::HTTP_2, &[], "http://localhost/"), Ok(()));
        assert_eq!(check_hosts(Version::HTTP_2, &["LOCALHOST"], "http://localhost/"), Ok(()));
        assert_eq!(check_hosts(Version::HTTP_2, &["evil.example"], "http://localhost/"), Err(400));
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        for (values, expected) in [
            (&["chunked"][..], Ok(())),
            (&["Chunked"], Ok(())),
            (&[], Ok(())),
            (&["gzip, chunked"], Err(501)),
            (&["gzip", "chunked"], Err(501)),
            (&["identity, chunked"], Err(501)),
            (&["chunked, chunked"], Err(400)),
            (&["chunked", "chunked"], Err(400)),
            // Not text, and hyper looks at the last header only.
            (&["\u{e4}", "chunked"], Err(501)),
            (&[",, chunked ,"], Ok(())),
        ] {
            let headers: Vec<_> = values.iter().map(|value| (TRANSFER_ENCODING, *value)).collect();
            assert_eq!(check(Version::HTTP_10, &headers, "/"), expected, "{values:?}");
        }
    }
}

//! The address at which the client reaches the server, as far as the check of origins and hosts needs it.

use std::borrow::Cow;

use hyper::header::{HOST, HeaderMap};
use hyper::{Uri, Version};

use crate::origin::Scheme;

/// The scheme and the host of a request's target, as its client sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EffectiveTarget<'a> {
    pub(crate) scheme: Scheme,
    /// Not parsed, with the port if the request has one; `None` if the request names no host.
    pub(crate) host: Option<Cow<'a, str>>,
}

impl<'a> EffectiveTarget<'a> {
    /// Returns the target of a request, which arrived over a connection of this scheme. This is the only place that decides
    /// what the host and the scheme of a request are.
    ///
    /// HTTP/2 states the scheme in each request (RFC 9113, 8.3.1). An absolute target of HTTP/1.1 has one as well, and means
    /// nothing: the client writes it, not its TLS.
    pub(crate) fn of(connection: Scheme, version: Version, headers: &'a HeaderMap, uri: &'a Uri) -> Self {
        let stated = uri.scheme_str().filter(|_| version >= Version::HTTP_2);
        let is_https = connection == Scheme::Https || stated == Some(Scheme::Https.as_str());
        let scheme = if is_https { Scheme::Https } else { Scheme::Http };
        Self { scheme, host: named_host(headers, uri) }
    }
}

/// The host that a request names. That of an absolute request target takes precedence over the `Host` header (RFC 9112,
/// 3.2.2). HTTP/2 has it in the target (`:authority`), and only some clients repeat it in the header.
pub(crate) fn named_host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>> {
    let header = || headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
    uri.authority().map(|host| host.as_str().into()).or_else(header)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn target(connection: Scheme, version: Version, host: Option<&'static str>, uri: &str) -> (Scheme, Option<String>) {
        let headers = host.map(|host| (HOST, HeaderValue::from_static(host))).into_iter().collect();
        let uri = uri.parse().expect("a target");
        let EffectiveTarget { scheme, host } = EffectiveTarget::of(connection, version, &headers, &uri);
        (scheme, host.map(Cow::into_owned))
    }

    #[test]
    fn the_host_of_an_absolute_target_takes_precedence() {
        let host = |host, uri| target(Scheme::Http, Version::HTTP_11, host, uri).1;
        assert_eq!(host(Some("a.example:1"), "/"), Some("a.example:1".into()));
        assert_eq!(host(Some("a.example"), "http://b.example:2/x"), Some("b.example:2".into()));
        assert_eq!(host(None, "http://b.example/"), Some("b.example".into()), "as in HTTP/2");
        assert_eq!(host(None, "/"), None);
    }

    #[test]
    fn the_scheme_is_that_of_the_connection_and_http_2_may_state_https() {
        let scheme = |connection, version, uri| target(connection, version, Some("a.example"), uri).0;
        assert_eq!(scheme(Scheme::Http, Version::HTTP_11, "/"), Scheme::Http);
        assert_eq!(scheme(Scheme::Http, Version::HTTP_11, "https://a.example/"), Scheme::Http);
        assert_eq!(scheme(Scheme::Http, Version::HTTP_2, "https://a.example/"), Scheme::Https);
        assert_eq!(scheme(Scheme::Http, Version::HTTP_2, "http://a.example/"), Scheme::Http);
        assert_eq!(scheme(Scheme::Https, Version::HTTP_11, "/"), Scheme::Https);
    }
}
